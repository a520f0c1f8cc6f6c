"""Detectors of change from River over the p-values of windows, one after the other.

A well calibrated model gives p-values that lie evenly between 0 and 1. Each detector begins with as
many even ones as a period has windows, and then sees those of the log in the order in which windows
end: the p-values themselves, or whether one is small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from riskml.core.errors import ConfigError
from riskml.monitoring.day_counts import LEAST_WINDOWS, Floats

SMALL = 0.05
"""P-value from which down a window is an error, for detectors of error rates."""

ADWIN_DELTA, HDDM_CONFIDENCE, KSWIN_ALPHA = 1e-6, 1e-6, 1e-6
"""Far below River's own: windows of a day are alike, and there are thousands of tests a year."""

KSWIN_EVERY = 10
"""Of the windows: it tests two samples at each value that it is given."""

AGREEING, WITHIN = 3, timedelta(days=7)
"""Detectors that have to see a change within that time before it is believed."""

OF_ERRORS = ("DDM", "HDDM-A", "HDDM-W")
"""Detectors that see whether a p-value is small."""

PAGE_HINKLEY_THRESHOLD = 100.0


def changes(p_values: Floats, ends: pl.Series) -> pl.DataFrame:
    """When each detector saw a change.

    Args:
        p_values: of closed windows [n].
        ends: of the windows [n].

    Returns:
        detector and at, a row a change, in order of time.

    Raises:
        ConfigError: River is not installed.
    """
    order = np.argsort(ends.to_numpy(), kind="stable")
    values, moments = p_values[order], ends.gather(order.astype(np.uint32)).to_list()
    even = np.random.default_rng(0).permutation((np.arange(LEAST_WINDOWS) + 0.5) / LEAST_WINDOWS)
    rows = []
    for name, make in _detectors().items():
        every = KSWIN_EVERY if name == "KSWIN" else 1
        before, seen = (
            part <= SMALL if name in OF_ERRORS else part[::every] for part in (even, values)
        )
        rows += [
            {"detector": name, "at": at} for at in _seen(make(), before, seen, moments[::every])
        ]
    schema = {"detector": pl.String(), "at": ends.dtype}
    return pl.DataFrame(rows, schema=schema).sort("at", "detector")


def believed(seen: pl.DataFrame) -> list[datetime]:
    """When as many detectors as have to agree had seen a change.

    Args:
        seen: as of `changes`.
    """
    found: list[datetime] = []
    for at in seen["at"].to_list():
        lately = seen.filter(pl.col("at").is_between(at - WITHIN, at))
        if lately["detector"].n_unique() >= AGREEING and (not found or at - found[-1] > WITHIN):
            found.append(at)
    return found


def error_changes(errors: Iterable[bool], moments: list[datetime]) -> list[datetime]:
    """When the rate of errors rose, such as of false alarms among verdicts.

    Args:
        errors: in order of time.
        moments: of them.

    Raises:
        ConfigError: River is not installed.
    """
    return list(_seen(_detectors()["DDM"](), [], list(errors), moments))


def _seen(
    detector: Any, before: Iterable[Any], values: Iterable[Any], moments: list[datetime]
) -> Iterable[datetime]:
    for value in before:
        detector.update(value)
    for value, moment in zip(values, moments, strict=True):
        detector.update(value)
        if detector.drift_detected:
            yield moment


def _detectors() -> Mapping[str, Callable[[], Any]]:
    try:
        from river import drift
    except ImportError as error:
        raise ConfigError("detectors of change need River: pip install 'riskml[drift]'") from error
    untyped: Any = drift
    return {
        "ADWIN": lambda: untyped.ADWIN(delta=ADWIN_DELTA),
        "DDM": lambda: drift.binary.DDM(warm_start=30),
        "HDDM-A": lambda: untyped.binary.HDDMA(drift_confidence=HDDM_CONFIDENCE),
        "HDDM-W": lambda: untyped.binary.HDDMW(drift_confidence=HDDM_CONFIDENCE),
        "KSWIN": lambda: drift.KSWIN(alpha=KSWIN_ALPHA, window_size=300, stat_size=100, seed=0),
        "Page-Hinkley": lambda: drift.PageHinkley(
            min_instances=LEAST_WINDOWS, delta=0.02, threshold=PAGE_HINKLEY_THRESHOLD
        ),
    }
