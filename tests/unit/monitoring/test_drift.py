"""Drift among made-up windows of people who work on weekdays."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from riskml.core.errors import BundleError, ConfigError, DataError
from riskml.core.types import Feature, FeatureKind, FeatureSpec, Windows
from riskml.monitoring.day_counts import period_starts, stability
from riskml.monitoring.drift import Drift, DriftRules, find_drift
from riskml.monitoring.drift_reference import FILE, DriftReference

USERS = 600
MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
SPEC = FeatureSpec(
    (
        Feature("events", "volume", FeatureKind.COUNT, "events"),
        Feature("share", "volume", FeatureKind.CONTINUOUS, "share of reads"),
        Feature("new_host", "novelty", FeatureKind.COUNT, "new hosts", aspect="new_host"),
        Feature("absence_host", "novelty", FeatureKind.COUNT, "away", aspect="absence_host"),
        Feature("weekday_sin", "time_of_day", FeatureKind.CYCLIC, "weekday", aspect="weekday"),
        Feature("always", "volume", FeatureKind.COUNT, "the same for all"),
    ),
    ("<pad>", "<unknown>", "read", "write"),
)


def windows_of(
    first: int, days: int, seed: int, events: float = 10, share: float = 0.5, new: float = 0.3
) -> Windows:
    """User-days: as many as users on weekdays, a tenth of them at weekends, who do half as much."""
    rng, rows = np.random.default_rng(seed), []
    for day in range(first, first + days):
        weekend = day % 7 >= 5
        count = USERS // 10 if weekend else USERS
        rows.append(
            np.column_stack(
                [
                    np.full(count, day),
                    rng.poisson(events / 2 if weekend else events, count),
                    rng.beta(50 * share, 50 * (1 - share), count),
                    rng.poisson(new, count),
                    rng.poisson(day + 1, count),  # grows for ever
                    np.full(count, np.sin(day % 7)),
                    np.ones(count),
                ]
            )
        )
    table = np.concatenate(rows)
    n = len(table)
    start = [MONDAY + timedelta(days=int(day), hours=9) for day in table[:, 0]]
    keys = pl.DataFrame(
        {
            "window_id": [f"w{seed}-{row}" for row in range(n)],
            "user_id": [f"u{row % USERS}" for row in range(n)],
            "start": start,
            "end": [moment + timedelta(hours=8) for moment in start],
            "n_events": [4] * n,
        }
    )
    tokens = rng.choice([2, 3], (n, 4), p=[0.7, 0.3]).astype(np.int32)
    lengths = np.full(n, 4, np.int32)
    return Windows(keys, table[:, 1:].astype(np.float32), SPEC, tokens, lengths)


def scores_of(windows: Windows, seed: int = 9) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2, size=len(windows)).astype(np.float32)


@pytest.fixture(scope="module")
def reference() -> DriftReference:
    windows = windows_of(0, 56, seed=1)
    return DriftReference.of([windows], windows, scores_of(windows))


def found(reference: DriftReference, *parts: Windows, rules: DriftRules | None = None) -> Drift:
    keys = pl.concat([part.keys for part in parts])
    x, tokens, lengths = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("x", "tokens", "lengths")
    )
    windows = Windows(keys, x, SPEC, tokens, lengths)
    return find_drift(reference, windows, scores_of(windows), rules)


def test_the_same_world_wakes_nobody(reference: DriftReference) -> None:
    drift = found(reference, windows_of(56, 56, seed=2))
    assert not drift.table["drifts"].any()
    assert drift.wakes == [] and drift.episodes().is_empty() and drift.actions.is_empty()
    assert drift.since is None


def test_a_shift_wakes_in_its_second_period(reference: DriftReference) -> None:
    drift = found(reference, windows_of(56, 7, seed=2), windows_of(63, 2, seed=3, events=14))
    events = drift.table.filter(pl.col("quantity") == "events")
    assert events["drifts"].to_list()[-3:] == [False, True, True]
    assert events["wakes"].to_list()[-3:] == [False, False, True]
    assert drift.wakes == ["events"]
    (episode,) = drift.episodes().to_dicts()
    assert str(episode["begin"]) == str(episode["end"]) == "2024-03-05"
    assert str(drift.since) == "2024-03-02"  # the weekend and its Monday are one period


def test_one_odd_day_wakes_nobody(reference: DriftReference) -> None:
    parts = windows_of(56, 2, seed=2), windows_of(58, 1, seed=3, events=20)
    drift = found(reference, *parts, windows_of(59, 6, seed=4))
    assert drift.table["drifts"].any() and not drift.table["wakes"].any()


def test_weekends_are_held_to_weekends(reference: DriftReference) -> None:
    saturdays = windows_of(61, 2, seed=5)
    rules = DriftRules(least_windows=60, in_a_row=1)
    assert found(reference, saturdays, rules=rules).wakes == []
    like_weekdays = windows_of(61, 2, seed=5, events=20)  # ten at weekends
    assert "events" in found(reference, like_weekdays, rules=rules).wakes


def test_less_that_is_new_is_no_drift_and_more_is(reference: DriftReference) -> None:
    assert found(reference, windows_of(56, 4, seed=2, new=0.01)).wakes == []
    assert found(reference, windows_of(56, 4, seed=2, new=1.5)).wakes == ["new_host"]


def test_what_tells_the_calendar_or_how_long_one_watched_is_left_out(
    reference: DriftReference,
) -> None:
    names = {each.name for each in reference.quantities}
    assert names == {"events", "share", "new_host", "score", "actions"}


def test_outliers_move_no_edge(reference: DriftReference) -> None:
    windows = windows_of(0, 56, seed=1)
    windows.x[::1000, 0] = 1e30
    held = DriftReference.of([windows], windows, scores_of(windows))
    edges = {each.name: each.edges for each in held.quantities}
    assert edges["events"] == {each.name: each.edges for each in reference.quantities}["events"]
    live = windows_of(56, 5, seed=2)
    live.x[::1000, 0] = -1e30
    assert found(held, live).wakes == []


def test_actions_that_went_and_that_nobody_knows_are_named(reference: DriftReference) -> None:
    live = windows_of(56, 3, seed=2)
    live.tokens[live.tokens == 3] = 1
    drift = found(reference, live)
    assert "actions" in drift.wakes
    last = drift.actions.filter(pl.col("begin") == drift.actions["begin"].max())
    assert last.select("action", "change").rows() == [("<unknown>", "unknown"), ("write", "gone")]


def test_windows_that_are_too_few_wait(reference: DriftReference) -> None:
    drift = found(reference, windows_of(56, 6, seed=2))  # Monday to Saturday
    assert drift.waiting == 60
    with pytest.raises(DataError, match="60 windows are too few: a period takes 500"):
        found(reference, windows_of(61, 1, seed=2))


def test_periods_are_days_with_enough_windows() -> None:
    days = np.repeat([10, 11, 13, 14, 15], [600, 300, 300, 500, 10])
    assert period_starts(days).tolist() == [10, 11, 14]
    assert period_starts(np.zeros(0, np.int64)).tolist() == []


def test_the_index_is_the_published_formula() -> None:
    seen, wanted = np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.4, 0.2])
    by_hand = 0.1 * np.log(0.5 / 0.4) - 0.1 * np.log(0.3 / 0.4)
    assert stability(seen, wanted) == pytest.approx(by_hand)
    assert stability(seen * 1000, wanted) == pytest.approx(by_hand)
    assert np.isfinite(stability(np.array([1.0, 0.0]), np.array([0.0, 1.0])))


def test_a_reference_is_kept_as_json(reference: DriftReference, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no drift\.json"):
        DriftReference.load(tmp_path)
    (tmp_path / FILE).write_text(reference.text())
    assert DriftReference.load(tmp_path) == reference
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(BundleError, match=FILE):
        DriftReference.load(tmp_path)


def test_a_reference_takes_enough_periods() -> None:
    windows = windows_of(0, 3, seed=1)
    with pytest.raises(DataError, match="it takes 4 periods of 500 windows"):
        DriftReference.of([windows], windows, scores_of(windows))


def test_a_score_of_few_windows_is_not_watched() -> None:
    windows, few = windows_of(0, 28, seed=1), windows_of(28, 1, seed=1)
    held = DriftReference.of([windows, few], few, scores_of(few))
    assert "score" not in {each.name for each in held.quantities}
    assert found(held, windows_of(35, 4, seed=2, events=14)).wakes == ["events"]


def test_what_is_told_is_json(reference: DriftReference) -> None:
    told = found(reference, windows_of(56, 4, seed=2, events=14)).plain()
    assert json.loads(json.dumps(told, allow_nan=False))["wakes"] == ["events"]
    assert told["latest"][0]["quantity"] == "events"


@pytest.mark.parametrize(
    "setting", [{"least_windows": 0}, {"psi": -1.0}, {"significance": 0.0}, {"in_a_row": 0}]
)
def test_impossible_rules_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="--"):
        DriftRules(**setting)  # type: ignore[arg-type]
