"""A sweep from the log to the refitted best, in one process; the test period is never looked at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import polars as pl
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from planted import TEST_DAYS, make_events

from riskml.core.errors import ConfigError, DataError
from riskml.core.types import FloatArray, Windows
from riskml.data.datasets import Dataset
from riskml.data.splits import TimeSplit
from riskml.evaluation.choice import TERMS as ALL_TERMS
from riskml.evaluation.unlabelled import Judge
from riskml.models.counts import CountsDetector
from riskml.runs.sweeps.command import sweep
from riskml.runs.sweeps.folds import Past, before_test, make_judges, prepare_past
from riskml.runs.sweeps.report import SWEEP_FILE
from riskml.runs.sweeps.settings import read_settings
from riskml.runs.sweeps.study import open_storage

pytestmark = pytest.mark.slow

CONF = Path(__file__).parents[2] / "conf"
QUICK = (
    "sweep.n_trials=3",
    "sweep.startup_trials=2",
    "sweep.pruner=none",
    "sweep.simple=[window_length,random]",
    "sweep.keep=0",
    "logger=none",
    "callbacks=quiet",
    f"data.split.test={TEST_DAYS}",
    "data.split.calibration=10",
    "features.use=[volume,time_of_day,novelty]",
)
COUNTS = ("sweep=counts", "sweep.space.top_k.choices=[1,2,8,24]")


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISKML_ROOT", str(CONF.parent))


@pytest.fixture(scope="module")
def events() -> pl.DataFrame:
    made, truth = make_events()
    return made.join(truth, on="event_id")


def config(events: pl.DataFrame, folder: Path, *overrides: str) -> DictConfig:
    folder.mkdir(parents=True, exist_ok=True)
    events.write_parquet(folder / "log.parquet")
    paths = [f"paths.outputs={folder}", f"paths.run={folder / 'run'}"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        data = ["data=parquet", f"path={folder / 'log.parquet'}"]
        detector = () if any(one.startswith("sweep=") for one in overrides) else COUNTS
        return compose("train", overrides=[*data, *paths, *detector, *QUICK, *overrides])


def swept(events: pl.DataFrame, folder: Path, *overrides: str) -> dict[str, Any]:
    run = sweep(config(events, folder, *overrides))
    found: dict[str, Any] = json.loads((run / SWEEP_FILE).read_text())
    return found


def trials(folder: Path, name: str) -> list[optuna.trial.FrozenTrial]:
    storage = open_storage(f"sqlite:///{folder / 'sweeps.db'}")
    return optuna.load_study(study_name=name, storage=storage).get_trials(deepcopy=False)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without studies: making its tables takes as long as a sweep here."""
    path = tmp_path_factory.mktemp("storage") / "sweeps.db"
    open_storage(f"sqlite:///{path}")
    return path


@pytest.fixture
def only_trials(monkeypatch: pytest.MonkeyPatch, empty: Path, tmp_path: Path) -> None:
    """Nor tables to be made: both take longer than a sweep of four trials."""
    monkeypatch.setattr("riskml.runs.sweeps.report.save_sweep_plots", lambda *_: [])
    (tmp_path / "sweeps.db").write_bytes(empty.read_bytes())


plain = pytest.mark.usefixtures("only_trials")


@pytest.fixture(scope="module")
def done(events: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished sweep."""
    folder = tmp_path_factory.mktemp("sweep")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RISKML_ROOT", str(CONF.parent))
        swept(events, folder)
    return folder


def test_what_a_sweep_leaves(done: Path) -> None:
    found = json.loads((done / "run" / SWEEP_FILE).read_text())
    ended = {"complete": 3, "pruned": 0, "failed": 0, "died_or_interrupted": 0}
    assert found["trials"] == {"wanted": 3} | ended
    assert found["objective"] == {"likelihood": 1.0, "injected": 1.0, "agreement": 1.0}
    best = found["best"]
    assert [one["place"] for one in best] == list(range(1, len(best) + 1))
    assert [one["quality"] for one in best] == sorted((o["quality"] for o in best), reverse=True)
    assert set(best[0]["terms"]) == set(found["objective"])
    assert best[0]["settings"].keys() == {"model.top_k"}
    assert any(one["default"] and one["settings"]["model.top_k"] == 8 for one in best)
    plots = {path.name for path in (done / "run" / "plots").iterdir()}
    for name in ("history", "importance", "parallel_coordinates", "pareto"):
        assert {f"{name}.html", f"{name}.png"} <= plots


@plain
def test_the_same_command_goes_on_up_to_the_total(
    done: Path, events: pl.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    before = json.loads((done / "run" / SWEEP_FILE).read_text())
    for total in (3, 4):
        cfg = config(events, done, f"sweep.n_trials={total}")
        cfg.paths.run = str(done / f"again_{total}")
        again = json.loads((sweep(cfg) / SWEEP_FILE).read_text())
        assert "goes on after 3" in capsys.readouterr().out
        assert len(trials(done, before["study"])) == total
        assert (again["best"] == before["best"]) == (total == 3)
        assert again["refitted"] == []


@plain
def test_another_log_is_refused(done: Path, events: pl.DataFrame) -> None:
    name = json.loads((done / "run" / SWEEP_FILE).read_text())["study"]
    fewer = events.filter(pl.col("user_id") != "user_1")
    cfg = config(fewer, done / "fewer", f"sweep.study={name}", "sweep.n_trials=9")
    cfg.sweep.storage = f"sqlite:///{done / 'sweeps.db'}"
    with pytest.raises(ConfigError, match="begun with another log"):
        sweep(cfg)


@plain
def test_the_test_period_is_never_looked_at(
    done: Path, events: pl.DataFrame, tmp_path: Path
) -> None:
    """Poisoned from its first event on: every term of every trial is the same to the last bit."""
    cut = TimeSplit(TEST_DAYS, 10).assign(events.drop("label"))
    test = (cut["period"] == "test").to_numpy()
    rng = np.random.default_rng(0)
    shuffled = pl.Series(rng.permutation(events["user_id"].to_numpy()))
    poisoned = events.with_columns(
        action=pl.when(test).then(pl.lit("poison")).otherwise("action"),
        resource=pl.when(test).then(pl.lit("poison")).otherwise("resource"),
        user_id=pl.when(test).then(shuffled).otherwise("user_id"),
        label=pl.when(test).then(1 - pl.col("label")).otherwise("label").cast(pl.Int8),
    )
    assert 0.2 < test.mean() < 0.5
    found = swept(poisoned, tmp_path)
    clean = trials(done, found["study"])[:3]
    dirty = trials(tmp_path, found["study"])
    keys = ("terms", "default")
    for one, other in zip(clean, dirty, strict=True):
        assert one.params == other.params
        assert one.state == other.state
        assert one.intermediate_values == other.intermediate_values
        assert [one.user_attrs.get(k) for k in keys] == [other.user_attrs.get(k) for k in keys]


class NaNDetector(CountsDetector):
    """Has no number for windows where it looks at more than ten counts."""

    def score(self, windows: Windows) -> FloatArray:
        scores = super().score(windows)
        return scores * np.float32(np.nan) if self.top_k > 10 else scores


@plain
def test_a_trial_without_a_number_fails_and_the_sweep_goes_on(
    events: pl.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("riskml.models.counts.CountsDetector", NaNDetector)
    choices = "sweep.space.top_k.choices=[8,16,24,32]"
    found = swept(events, tmp_path, choices, "sweep.sampler=random", "sweep.folds=1")
    assert found["trials"]["failed"] > 0
    assert found["trials"]["complete"] + found["trials"]["failed"] == 3
    assert {one["settings"]["model.top_k"] for one in found["best"]} == {8}
    for failure in found["failures"]:
        assert "scores are no finite number" in failure["reason"] and failure["counts"]
    assert "failed: " in capsys.readouterr().out


@plain
def test_two_objectives_are_quality_and_time(events: pl.DataFrame, tmp_path: Path) -> None:
    found = swept(events, tmp_path, "sweep.objectives=[quality,score_time]", "sweep.folds=1")
    assert found["objectives"] == ["quality", "score_time"]
    assert found["trials"]["pruned"] == 0
    front = [one for one in found["best"] if one["not_beaten_in_both"]]
    assert front == found["best"][: len(front)] and front
    assert all(len(trial.values) == 2 for trial in trials(tmp_path, found["study"]))


@plain
def test_settings_of_features_make_windows_of_their_own(
    events: pl.DataFrame, tmp_path: Path
) -> None:
    space = "+sweep.space.rare={name:features.min_action_count,type:choice,choices:[2,200]}"
    found = swept(
        events, tmp_path, space, "~sweep.space.top_k", "sweep.folds=1", "sweep.n_trials=4"
    )
    assert found["objective"] == {"injected": 1.0, "agreement": 1.0}
    by_setting = {one["settings"]["features.min_action_count"]: one for one in found["best"]}
    assert by_setting.keys() == {2, 200}
    assert by_setting[2]["terms"] != by_setting[200]["terms"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["ckpt_path=last.ckpt"], "a sweep goes on by itself"),
        (["trainer=ddp"], r"a trial runs in one process"),
        (["sweep.simple=[countz]"], "no model 'countz': did you mean 'counts'"),
        (["model.top_k=-1", "sweep.space.top_k.choices=[-1]"], "top_k=-1 must be 0"),
    ],
)
def test_mistakes_are_told_before_the_data_are_read(
    events: pl.DataFrame, tmp_path: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        swept(events.head(0), tmp_path, *overrides)


def test_a_log_too_short_for_folds_is_named(events: pl.DataFrame, tmp_path: Path) -> None:
    short = events.filter(pl.col("timestamp").dt.ordinal_day() > 48)
    with pytest.raises(DataError, match=r"fewer sweep\.folds"):
        swept(short, tmp_path, "data.split.test=6", "data.split.calibration=2")


# ---- folds


@pytest.fixture(scope="module")
def made(
    events: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Past, list[Judge]]:
    """Two folds; some windows before the test period are known to be attacks."""
    odd = (pl.col("timestamp").dt.hour() == 9) & (pl.col("timestamp").dt.day() % 7 == 0)
    truth = events.select("event_id", label=odd.cast(pl.Int8))
    cut = TimeSplit(TEST_DAYS, 10).assign(events.drop("label"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RISKML_ROOT", str(CONF.parent))
        families = "sweep.injected.families=[inflated_volume]"
        cfg = config(events, tmp_path_factory.mktemp("folds"), families)
        past = prepare_past(before_test(Dataset(cut, truth, pl.DataFrame())), cfg.features)
        weights = dict.fromkeys(ALL_TERMS, 1.0)
        return past, make_judges(past, cfg, read_settings(cfg), weights)


def test_folds_are_blocks_one_after_the_other(made: tuple[Past, list[Judge]]) -> None:
    past, judges = made
    assert len(judges) == 2
    known = set(past.attacks["window_id"])
    assert past.known_attacks == len(known) > 10
    ends = []
    for judge in judges:
        fold = judge.fold
        order = [part.keys["end"] for part in (fold.train, fold.calibration, fold.held)]
        assert order[0].max() < order[1].min() <= order[1].max() < order[2].min()
        for part in (fold.train, fold.calibration, fold.held):
            assert not known & set(part.keys["window_id"])
        usual = fold.injected.take(fold.odd == 0)
        assert not known & set(usual.keys["window_id"])
        assert fold.attacks is not None and fold.attacks.count >= 5
        assert judge.simple is not None
        assert len(judge.simple) == len(fold.injected) == len(fold.odd)
        assert 8 <= fold.odd.sum() < len(fold.odd) / 2
        ends.append((order[2].min(), order[2].max()))
    assert ends[0][1] < ends[1][0]
    usual = past.windows.take(past.usual)
    assert ends[1][1] == usual.keys["end"].max(), "the newest before the test period count"


def test_windows_that_were_not_touched_are_the_same(made: tuple[Past, list[Judge]]) -> None:
    """What is injected into some windows does not reach others."""
    fold = made[1][0].fold
    row = {name: i for i, name in enumerate(fold.held.keys["window_id"])}
    volume = [i for i, f in enumerate(fold.held.spec.features) if f.family == "volume"]
    for i, name in enumerate(fold.injected.keys["window_id"]):
        equal = np.array_equal(fold.injected.x[i, volume], fold.held.x[row[name], volume])
        assert equal != bool(fold.odd[i])
