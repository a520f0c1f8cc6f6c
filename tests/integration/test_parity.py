"""Bundles of all detectors against the code that trained them, from raw events to risk.

Differences of scores are shares of the larger of 1 and the score, those of risk of its scale.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from omegaconf import DictConfig, ListConfig, OmegaConf

from riskml.core.types import PEER, FloatArray, Windows
from riskml.data.simulator import SimulationSettings, simulate
from riskml.export.bundle import Bundle, export_bundle, load_bundle
from riskml.features.action_embedding import ActionEmbeddingFeatures
from riskml.features.extractor import FeatureExtractor
from riskml.features.history import HistoryFeatures
from riskml.features.novelty import NoveltyFeatures
from riskml.features.profile import Profile
from riskml.features.time_of_day import TimeOfDayFeatures
from riskml.features.volume import VolumeFeatures
from riskml.features.windows import SessionWindows
from riskml.models.base import Detector
from riskml.runs.assembly import build_detector, model_config
from riskml.scoring.calibration import Calibration
from riskml.scoring.explain import Explainer

pytestmark = pytest.mark.slow

CONF = Path(__file__).parents[2] / "conf"
MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
ONNX = ("autoencoder", "contrastive", "lstm_ae", "vae")
DAYS = 26
WINDOWS, TRAIN, SINGLE = 10_000, 400, 40
TRAINING, ONE_BY_ONE, RUNTIMES = 1e-5, 1e-6, 1e-4
ATTENTION = 5e-6
"""Of the transformer one by one: alone, a window has less padding, and sums another order."""
RISK_SCALE = 100


@dataclass(frozen=True)
class World:
    """A simulated log cut in two, as training sees it.

    Args:
        events: that come after training.
        extractor: fitted on those before.
        train: the last windows before.
        profile: what is known then.
        windows: of `events`, those that are open at the end as they stand.
        singles: the first windows that close, each alone, from `events` in small pieces.
    """

    events: pl.DataFrame
    extractor: FeatureExtractor
    train: Windows
    profile: Profile
    windows: Windows
    singles: list[Windows]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    settings = SimulationSettings(users=40, days=DAYS, test_days=10)
    folder = simulate(settings, tmp_path_factory.mktemp("world") / "world")
    log = pl.scan_parquet(folder / "events", hive_partitioning=False).sort("timestamp").collect()
    log = log.with_row_index("row")
    before, events = log.filter(pl.col("row") < 8_000), log.filter(pl.col("row") >= 8_000)
    families = {
        "volume": VolumeFeatures(max_actions=10),
        "time_of_day": TimeOfDayFeatures(),
        "novelty": NoveltyFeatures(),
        "history": HistoryFeatures(),
        "action_embedding": ActionEmbeddingFeatures(dimensions=4, epochs=1),
    }
    extractor = FeatureExtractor(
        SessionWindows(gap_minutes=2), families, max_tokens=16, event_times=True
    ).fit(before)
    past, profile = extractor.transform(before, Profile())
    train = past.take(np.arange(len(past) - TRAIN, len(past)))
    windows, _ = extractor.transform(events, profile, open_windows=True)
    singles = list(one_by_one(extractor, profile, events))
    return World(events, extractor, train, profile, windows, singles)


def one_by_one(
    extractor: FeatureExtractor, profile: Profile, events: pl.DataFrame
) -> Iterator[Windows]:
    """The first windows that close, while the events come in pieces."""
    found = 0
    for piece in events.iter_slices(40):
        closed, profile = extractor.transform(piece, profile)
        for row in range(len(closed)):
            yield closed.take(np.array([row]))
            found += 1
            if found == SINGLE:
                return


@pytest.fixture(scope="module", params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def detector(name: str, world: World) -> Detector:
    return make(name).fit(world.train, world.train)


@pytest.fixture(scope="module")
def calibration(detector: Detector, world: World) -> Calibration:
    return Calibration.fit(detector.score(world.windows))


@pytest.fixture(scope="module")
def folder(
    name: str,
    detector: Detector,
    calibration: Calibration,
    world: World,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Of the bundle, with a graph for ONNX Runtime where there can be one."""
    return export_bundle(
        tmp_path_factory.mktemp(name) / "bundle",
        detector,
        world.extractor,
        calibration,
        float(np.quantile(calibration.knots, 0.95)),
        Explainer.fit(world.train, world.extractor.vocabulary.counts),
        world.profile,
        {"detector": name},
        onnx=name in ONNX and all(map(find_spec, ("onnxruntime", "onnxscript"))),
    )


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    return load_bundle(folder)


@pytest.fixture(scope="module")
def scored(bundle: Bundle, world: World) -> pl.DataFrame:
    return bundle.score(world.events)


def make(name: str) -> Detector:
    """As its config makes it, but hardly trained."""
    cfg = OmegaConf.create(
        {"seed": 0, "data": {"population_weight": 0.5}, "paths": {"conf": str(CONF)}}
    )
    node = model_config(cfg, name)
    if name in ("pyod_autoencoder", "pyod_vae"):
        node.parameters = {"epoch_num": 1}
    _hurry(node)
    return build_detector(node, cfg)


def _hurry(node: Any) -> None:
    if isinstance(node, DictConfig) and "max_epochs" in node:
        node.max_epochs = min(2, node.max_epochs)
    if isinstance(node, DictConfig | ListConfig):
        for inner in node.values() if isinstance(node, DictConfig) else node:
            _hurry(inner)


def difference(found: Any, expected: FloatArray) -> float:
    """The largest, as a share of the larger of 1 and the score."""
    exact = np.asarray(expected, np.float64)
    return float((np.abs(np.asarray(found) - exact) / np.maximum(1, np.abs(exact))).max())


def test_there_are_enough_windows_of_many_lengths(world: World) -> None:
    assert len(world.windows) >= WINDOWS
    assert len(np.unique(world.windows.lengths)) > 10
    assert len(world.singles) == SINGLE


def test_windows_one_by_one_are_those_of_the_whole(world: World) -> None:
    """To the last bit, whatever comes with them."""
    place = {window_id: row for row, window_id in enumerate(world.windows.keys["window_id"])}
    for single in world.singles:
        whole = world.windows.take(np.array([place[single.keys["window_id"][0]]]))
        length = single.tokens.shape[1]  # padding is for the longest that comes along
        assert single.x.tobytes() == whole.x.tobytes()
        assert single.tokens.tolist() == whole.tokens[:, :length].tolist()
        assert single.times.tobytes() == whole.times[:, :length].tobytes()


def test_bundle_scores_raw_events_as_training_does(
    detector: Detector, calibration: Calibration, scored: pl.DataFrame, world: World
) -> None:
    assert scored["window_id"].to_list() == world.windows.keys["window_id"].to_list()
    scores = detector.score(world.windows)
    assert difference(scored["score"], scores) <= TRAINING
    risk = calibration.risk(scores, world.windows.keys[PEER])
    assert np.abs(scored["risk"].to_numpy() - risk).max() <= TRAINING * RISK_SCALE


def test_same_events_same_bits(bundle: Bundle, scored: pl.DataFrame, world: World) -> None:
    for _ in range(2):
        again = bundle.score_windows(world.windows)
        assert again.tobytes() == scored["score"].to_numpy().tobytes()


def test_one_by_one_is_as_in_a_batch(
    name: str, bundle: Bundle, scored: pl.DataFrame, world: World
) -> None:
    """Each window when it closes, the memory carried on."""
    ids = pl.DataFrame({"window_id": [w.keys["window_id"][0] for w in world.singles]})
    batch = ids.join(scored, on="window_id", how="left", maintain_order="left")
    found = []
    for window in world.singles:
        found.append(float(bundle.score_windows(window)[0]))
        bundle = bundle.after(window)
    bound = ATTENTION if name == "transformer" else ONE_BY_ONE
    assert difference(found, batch["score"].to_numpy()) <= bound
    risk = bundle.calibration.risk(found, batch[PEER])
    assert np.abs(risk - batch["risk"].to_numpy()).max() <= TRAINING * RISK_SCALE


def test_both_runtimes_score_raw_events_alike(
    name: str, folder: Path, scored: pl.DataFrame, world: World
) -> None:
    if name not in ONNX:
        pytest.skip("it has no ONNX graph")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    bundle = load_bundle(folder, "onnx")
    found = bundle.score(world.events)
    assert difference(found["score"], scored["score"].to_numpy()) <= RUNTIMES
    some = world.windows.take(np.arange(4096))  # a whole batch
    again = {bundle.score_windows(some).tobytes() for _ in range(10)}
    assert len(again) == 1, "threads get into each other's way"
