"""Each way to break the contract is found, and the detector of the notebook keeps it."""

from __future__ import annotations

import importlib.util
import pickle  # noqa: TID251  (written, to see that it is found)
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest

import riskml
from riskml.core.types import FloatArray, Windows
from riskml.interactive.detector_check import CHECKS

FILE = Path(__file__).parents[3] / "notebooks" / "own_tails.py"


@pytest.fixture(scope="module")
def own_tails() -> Iterator[ModuleType]:
    """The file beside the notebook, imported as the notebook does."""
    spec = importlib.util.spec_from_file_location("own_tails", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["own_tails"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["own_tails"]


def failed(detector: riskml.Detector, windows: riskml.LogWindows) -> list[str]:
    check = riskml.check_detector(detector, windows)
    assert list(check.problems) == list(CHECKS)
    assert check.passed == (not any(check.problems.values()))
    return [name for name, problem in check.problems.items() if problem]


def test_the_detector_of_the_notebook_keeps_the_contract(
    own_tails: ModuleType, windows: riskml.LogWindows
) -> None:
    detector = own_tails.OwnTailsDetector(prior_windows=3)
    check = riskml.check_detector(detector, windows)
    assert check.passed, check
    assert "passes all 7" in repr(check) and "passed" in check._repr_html_()
    assert not hasattr(detector, "spec_"), "it was left as it is"


def test_the_detector_of_the_notebook_tells_tails(
    own_tails: ModuleType, windows: riskml.LogWindows
) -> None:
    detector = own_tails.OwnTailsDetector().fit(windows.train)
    own = windows.train.keys["user_id"] == "u1"
    x = windows.train.x[own.to_numpy()]
    day = windows.train.take(np.flatnonzero(own)[:1])
    column = windows.names.index("events")
    larger = day.x.copy()
    larger[0, column] = windows.train.x[:, column].max() + 1
    odd = Windows(day.keys, larger, day.spec, day.tokens, day.lengths, day.times)
    n, everybody = len(x), 5.0 / (len(windows.train) + 1)
    share = detector.contributions(odd)[0, column]
    assert share == pytest.approx(-np.log(everybody / (n + 5)), rel=1e-5)
    stranger = day.keys.with_columns(pl.lit("nobody").alias("user_id"))
    new = Windows(stranger, larger, day.spec, day.tokens, day.lengths, day.times)
    assert detector.contributions(new)[0, column] == pytest.approx(-np.log(everybody / 5), rel=1e-5)


@pytest.mark.parametrize("kind", ["NeighboursDetector", "CountsDetector", "RRCFDetector"])
def test_detectors_of_the_house_keep_it(kind: str, windows: riskml.LogWindows) -> None:
    assert failed(getattr(riskml, kind)(), windows) == []


BROKEN = {
    "unfitted": ["unfitted it refuses to score", "other columns are refused"],
    "double": ["one finite float32 score a window"],
    "nan": ["one finite float32 score a window"],
    "constant": ["one finite float32 score a window"],
    "random": ["the same again"],
    "batch": ["the same alone as among others"],
    "shares": ["shares sum to the score"],
    "pickle": ["saved without pickle, loaded the same"],
    "settings": ["saved without pickle, loaded the same"],
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_breaks_it_is_found(
    fault: str, own_tails: ModuleType, windows: riskml.LogWindows
) -> None:
    class Broken(own_tails.OwnTailsDetector):  # type: ignore[name-defined, misc]
        def check_spec(self, windows: Windows) -> None:
            if fault != "unfitted":
                super().check_spec(windows)

        def contributions(self, windows: Windows) -> FloatArray:
            if fault == "unfitted":
                return np.asarray(windows.x[:, :1] + np.arange(1, dtype=np.float32))
            found = super().contributions(windows)
            return found * 2 if fault == "shares" else found

        def topics(self) -> list[str]:
            return ["one"] if fault == "unfitted" else super().topics()  # type: ignore[no-any-return]

        def score(self, windows: Windows) -> FloatArray:
            scores: Any = super().score(windows)
            if fault == "shares":
                scores = scores / 2
            if fault == "double":
                scores = scores.astype(np.float64)
            if fault == "nan":
                scores[:1] = np.nan
            if fault == "constant":
                scores = np.zeros_like(scores)
            if fault == "random":
                scores = scores + np.random.default_rng().normal(size=len(scores)).astype("f4")
            if fault == "batch" and len(scores):
                scores = scores - scores.mean()
            return scores  # type: ignore[no-any-return]

        def save(self, folder: Path) -> None:
            super().save(folder)
            if fault == "pickle":
                (folder / "more.bin").write_bytes(pickle.dumps(1))

        @classmethod
        def load(cls, folder: Path) -> Any:
            detector = super().load(folder)
            if fault == "settings":
                detector.contamination = 0.2
            return detector

    found = failed(Broken(), windows)
    assert set(BROKEN[fault]) <= set(found)
    if fault in ("unfitted", "random", "shares", "pickle", "settings", "double"):
        assert BROKEN[fault] == found or fault == "random"
