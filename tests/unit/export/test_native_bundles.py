"""Detectors without a graph: what goes along, and what does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from forging import forge
from polars.testing import assert_frame_equal

import riskml
from riskml.core.errors import BundleError, ConfigError
from riskml.export.bundle import export_bundle, load_bundle
from riskml.export.native import as_graphs
from riskml.export.scripted import ScriptedDetector
from riskml.features.profile import Profile
from riskml.models.base import Detector, load_detector
from riskml.models.sequence import SequenceDetector
from riskml.wrappers.ensemble import EnsembleDetector
from riskml.wrappers.persistence import PersistenceDetector
from riskml.wrappers.quarantine import QuarantineDetector

Export = Callable[..., Path]
ROOT = Path(riskml.__file__).parents[1]

BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"pytorch_lightning", "lightning", "hydra", "omegaconf",
                                      "gensim", "pyod", "mlflow", "pandas", "matplotlib"}:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)
sys.meta_path.insert(0, Blocked())
"""


@pytest.fixture
def export(exported: Any, tmp_path: Path) -> Export:
    """Writes a bundle of another detector, beside the same features."""

    def write(detector: Detector) -> Path:
        return export_bundle(
            tmp_path / "other",
            detector,
            exported.extractor,
            exported.evaluation.calibration,
            exported.evaluation.threshold,
            exported.explainer,
            Profile(),
            {"detector": "other"},
        )

    return write


@pytest.fixture(scope="session")
def around(exported: Any) -> Detector:
    """Two networks and a memory, deep inside of each other."""
    inner = EnsembleDetector([exported.detector, QuarantineDetector(SequenceDetector())])
    windows = exported.extractor.windows(exported.events)
    return PersistenceDetector(inner).fit(windows, windows)


def test_networks_inside_of_others_are_graphs(around: Detector, export: Export) -> None:
    folder = export(around)
    assert {path.name for path in folder.rglob("*.ts")} == {"model.ts"}
    bundle = load_bundle(folder)
    assert bundle.manifest["graph"] == {"format": "native", "runtimes": ["native"]}
    inner = bundle.graph.part_.detector.parts_[0].detector  # type: ignore[attr-defined]
    assert isinstance(inner, ScriptedDetector)
    with pytest.raises(ConfigError, match="cannot be fitted"):
        inner.learn(None)  # type: ignore[arg-type]


def test_scores_and_reasons_are_the_same(around: Detector, export: Export, exported: Any) -> None:
    loaded = load_bundle(export(around)).graph
    assert isinstance(loaded, PersistenceDetector)
    windows = exported.test
    np.testing.assert_allclose(loaded.score(windows), around.score(windows), atol=1e-5)
    assert loaded.topics() == around.topics()
    shares = loaded.contributions(windows)
    np.testing.assert_allclose(shares, around.contributions(windows), atol=1e-4)


def test_memory_goes_along_and_goes_on(around: Detector, export: Export, exported: Any) -> None:
    """From raw events, in two loads or in one."""
    events = exported.events.sort("timestamp")
    cut = events["timestamp"][len(events) // 2].replace(hour=0, minute=0)
    days = [events.filter(pl.col("timestamp") < cut), events.filter(pl.col("timestamp") >= cut)]
    bundle = load_bundle(export(around))
    first, profile = bundle.extractor.transform(days[0], bundle.profile)
    later = bundle.after(first).score(days[1], profile)
    later = later.filter(pl.col("start") >= cut)
    whole = bundle.score(events).filter(pl.col("start") >= cut)
    assert_frame_equal(
        later.sort("window_id").select("window_id", "score"),
        whole.sort("window_id").select("window_id", "score"),
        rel_tol=1e-5,
        abs_tol=1e-5,
    )
    forgetful = bundle.score(days[1], profile).filter(pl.col("start") >= cut)
    assert (forgetful["score"] - later["score"]).abs().max() > 1e-3  # type: ignore[operator]


def test_graphs_are_made_once(exported: Any, tmp_path: Path) -> None:
    scripted = as_graphs(exported.detector)
    again = as_graphs(scripted)
    again.save(tmp_path)
    loaded = load_detector(tmp_path)
    np.testing.assert_array_equal(loaded.score(exported.test), scripted.score(exported.test))
    assert (
        loaded.predict(exported.test).tolist() == exported.detector.predict(exported.test).tolist()
    )
    assert loaded.contributions(exported.test.take(np.zeros(0, np.int64))).shape[0] == 0


def test_a_native_bundle_has_one_runtime(around: Detector, export: Export) -> None:
    with pytest.raises(BundleError, match="cannot be run by 'torchscript': Valid: native"):
        riskml.load(export(around), "torchscript")


@pytest.mark.parametrize("name", ["ls", "riskml.data.sources.CsvSource", "os.system"])
def test_only_detectors_of_the_list_are_loaded(name: str, around: Detector, export: Export) -> None:
    folder = export(around)
    path = folder / "detector" / "part" / "detector" / "detector.json"
    path.write_text(path.read_text().replace("riskml.wrappers.ensemble.EnsembleDetector", name))
    forge(folder)
    with pytest.raises(BundleError, match=r"not on the list|is no detector"):
        load_bundle(folder)


@pytest.mark.parametrize("kind", ["graph", pytest.param("native", marks=pytest.mark.slow)])
def test_one_line_without_the_laboratory(
    kind: str, around: Detector, export: Export, exported: Any, tmp_path: Path
) -> None:
    """Lightning, Hydra, gensim, PyOD, MLflow and pandas may not even be asked for."""
    folder = exported.folder if kind == "graph" else export(around)
    exported.events.write_parquet(tmp_path / "events.parquet")
    code = f"""{BLOCKED}
import riskml, polars as pl
scored = riskml.load({str(folder)!r}).score(pl.read_parquet({str(tmp_path / "events.parquet")!r}))
scored.write_parquet({str(tmp_path / "scored.parquet")!r})
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert_frame_equal(
        pl.read_parquet(tmp_path / "scored.parquet"),
        riskml.load(folder).score(exported.events),
        rel_tol=1e-6,
        abs_tol=1e-6,
    )
