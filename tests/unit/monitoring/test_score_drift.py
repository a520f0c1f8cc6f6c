"""River's detectors over p-values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from riskml.monitoring.score_drift import believed, changes, error_changes

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
A_DAY, DAYS = 400, 20


def ends() -> pl.Series:
    minutes = np.arange(A_DAY * DAYS) * (24 * 60 // A_DAY)
    return pl.Series([BEGIN + timedelta(minutes=int(each)) for each in minutes])


def even() -> np.ndarray:
    return np.random.default_rng(0).uniform(size=A_DAY * DAYS)


def test_even_p_values_are_no_change() -> None:
    assert believed(changes(even(), ends())) == []


def test_a_change_is_believed_when_several_see_it() -> None:
    p_values, moments = even(), ends()
    shift = len(p_values) // 2
    p_values[shift:] **= 3
    seen = changes(p_values, moments)
    after = seen.filter(pl.col("at") >= moments[shift])
    assert {"ADWIN", "KSWIN", "HDDM-A"} <= set(after["detector"])
    (at,) = believed(seen)
    assert moments[shift] <= at <= moments[shift] + timedelta(days=5)


def test_the_order_is_that_of_time() -> None:
    p_values, moments = even(), ends()
    p_values[len(p_values) // 2 :] **= 3
    shuffled = np.random.default_rng(1).permutation(len(p_values))
    other = changes(p_values[shuffled], moments.gather(shuffled.astype(np.uint32)))
    assert other.equals(changes(p_values, moments))


def test_one_detector_alone_is_not_believed() -> None:
    seen = pl.DataFrame({"detector": ["DDM"] * 3, "at": [BEGIN] * 3})
    assert believed(seen) == []


def test_false_alarms_that_become_more_are_seen() -> None:
    rng = np.random.default_rng(0)
    false = [*(rng.random(300) < 0.1), *(rng.random(300) < 0.7)]
    moments = [BEGIN + timedelta(hours=each) for each in range(600)]
    risen = error_changes(map(bool, false), moments)
    assert risen and all(at >= moments[300] for at in risen)
    assert error_changes([], []) == []


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_constant_verdicts_are_no_change(share: float) -> None:
    moments = [BEGIN + timedelta(hours=each) for each in range(200)]
    assert error_changes([bool(share)] * 200, moments) == []
