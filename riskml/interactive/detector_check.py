"""Whether a detector of your own keeps the contract (docs/adding-a-detector.md)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from riskml.core.cards import card, table
from riskml.core.errors import RiskmlError
from riskml.core.types import FloatArray, Windows
from riskml.interactive.windows import LogWindows, check_detectors, check_windows
from riskml.models.base import Detector

SUFFIXES = (".json", ".safetensors", ".parquet")
"""Of files that hold plain values: none can run code when it is loaded."""

RTOL, ATOL = 1e-4, 1e-5
"""Kernels add up one row in another order than many."""


@dataclass(frozen=True, repr=False)
class DetectorCheck:
    """What `riskml.check_detector` found.

    Args:
        name: of the class.
        problems: by check, in words; empty where it is passed.
    """

    name: str
    problems: dict[str, str]

    @property
    def passed(self) -> bool:
        """Whether all are."""
        return not any(self.problems.values())

    def __repr__(self) -> str:
        failed = [f"{check}: {problem}" for check, problem in self.problems.items() if problem]
        if not failed:
            return f"DetectorCheck({self.name} passes all {len(self.problems)} checks)"
        return f"DetectorCheck({self.name} fails {'; '.join(failed)})"

    def _repr_html_(self) -> str:
        rows = [(check, problem or "passed") for check, problem in self.problems.items()]
        return card(f"Checks of {self.name}", {}, table(("check", "result"), rows))


def check_detector(detector: Detector, windows: LogWindows) -> DetectorCheck:
    """Fit copies of a detector and hold them to the contract.

    Args:
        detector: fitted or not; it is left as it is.
        windows: of `riskml.extract`; few, since it is fitted twice.

    Raises:
        ConfigError: it is no detector.
        DataError: windows are not those of all periods.
    """
    check_detectors([detector])
    check_windows(windows, "check_detector")
    problems: dict[str, str] = {}
    kind, settings = type(detector), detector.get_params(deep=False)
    fitted = kind(**settings)
    for name, check in CHECKS.items():
        try:
            problems[name] = "; ".join(check(fitted, windows))
        except Exception as error:  # whatever somebody's own code raises is what they want to see
            problems[name] = f"{type(error).__name__}: {error}"
    return DetectorCheck(kind.__name__, problems)


def _refuses(detector: Detector, windows: LogWindows) -> Iterator[str]:
    try:
        detector.score(windows.test)
    except RiskmlError:
        return
    yield "it scores before it is fitted: call check_spec(windows) first"


def _scores(detector: Detector, windows: LogWindows) -> Iterator[str]:
    detector.fit(windows.train, windows.calibration)
    scores = detector.score(windows.test)
    if scores.dtype != np.float32 or scores.shape != (len(windows.test),):
        yield f"scores are {scores.dtype} {scores.shape}, not float32 ({len(windows.test)},)"
    elif not np.isfinite(scores).all():
        yield "a score is not finite"
    elif len(np.unique(scores)) == 1:
        yield "all windows score the same"


def _again(detector: Detector, windows: LogWindows) -> Iterator[str]:
    scores = detector.score(windows.test)
    if not np.array_equal(scores, detector.score(windows.test)):
        yield "the second call gives other scores"
    another = type(detector)(**detector.get_params(deep=False))
    another.fit(windows.train, windows.calibration)
    if not np.array_equal(scores, another.score(windows.test)):
        yield "the same settings and windows give another detector"


def _alone(detector: Detector, windows: LogWindows) -> Iterator[str]:
    if detector.remembers:
        return
    test, scores = windows.test, detector.score(windows.test)
    rows = np.unique([0, len(test) // 2, int(scores.argmax()), int(scores.argmin())])
    single = np.concatenate([detector.score(test.take(np.array([row]))) for row in rows])
    if not _close(single, scores[rows]):
        yield "a window scores otherwise alone than among others; if it may, set remembers = True"
    if len(detector.score(test.take(np.zeros(0, np.int64)))):
        yield "no windows have scores"


def _shares(detector: Detector, windows: LogWindows) -> Iterator[str]:
    parts, topics = detector.contributions(windows.test), detector.topics()
    if topics is not None and parts.shape[1] != len(topics):
        yield f"contributions have {parts.shape[1]} parts, topics {len(topics)}"
    if parts.shape[1] and not _close(parts.sum(1), detector.score(windows.test)):
        yield "contributions do not sum to the score"


def _columns(detector: Detector, windows: LogWindows) -> Iterator[str]:
    test = windows.test
    fewer = type(test.spec)(test.spec.features[:-1], test.spec.actions, test.spec.action_vectors)
    other = Windows(test.keys, test.x[:, :-1], fewer, test.tokens, test.lengths)
    try:
        detector.score(other)
    except RiskmlError:
        return
    yield "it scores windows of other columns: call check_spec(windows) first"


def _saved(detector: Detector, windows: LogWindows) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        detector.save(Path(folder))
        odd = [f.name for f in Path(folder).rglob("*") if f.is_file() and f.suffix not in SUFFIXES]
        if odd:
            yield f"{', '.join(sorted(odd))} may hold a pickle: write {', '.join(SUFFIXES)}"
        loaded = type(detector).load(Path(folder))
    if not np.array_equal(loaded.score(windows.test), detector.score(windows.test)):
        yield "once saved and loaded it gives other scores"
    if loaded.settings() != detector.settings():
        yield "once saved and loaded it has other settings"


Check = Callable[[Detector, LogWindows], Iterator[str]]

CHECKS: dict[str, Check] = {  # in this order: the second fits it
    "unfitted it refuses to score": _refuses,
    "one finite float32 score a window": _scores,
    "the same again": _again,
    "the same alone as among others": _alone,
    "shares sum to the score": _shares,
    "other columns are refused": _columns,
    "saved without pickle, loaded the same": _saved,
}


def _close(one: FloatArray, other: FloatArray) -> bool:
    return bool(np.allclose(one, other, rtol=RTOL, atol=ATOL))
