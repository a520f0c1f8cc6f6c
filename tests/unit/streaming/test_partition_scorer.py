"""A stream's windows are those of the scoring job, whatever the sizes of its steps."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from streams import batch_rows, people, scorer, steps

from riskml.export.bundle import Bundle
from riskml.features.cutting import EVENT_ID
from riskml.features.profile import OPEN
from riskml.scoring.alerting import FixedThreshold
from riskml.streaming.scorer import (
    EARLY,
    FINAL,
    WITHDRAWN,
    PartitionScorer,
    StreamSettings,
)
from riskml.streaming.user_profiles import UserProfiles

SAME = ["window_id", "user_id", "n_events", "score", "p_value", "risk", "alert", "reasons"]


def closed(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(~pl.col("open")).sort("window_id")


def run(
    made: PartitionScorer, events: pl.DataFrame, seed: int = 0, most: int = 120
) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.concat([made.step(part).rows for part in steps(events, rng, most)])


def assert_same(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    assert found["window_id"].to_list() == expected["window_id"].to_list()
    left = found.select(SAME).drop("reasons")
    right = expected.select(SAME).drop("reasons")
    assert left.drop("score", "p_value", "risk").equals(right.drop("score", "p_value", "risk"))
    for name in ("score", "p_value", "risk"):
        np.testing.assert_allclose(left[name], right[name], rtol=1e-5, atol=1e-6)
    assert (found["reasons"].is_null() == expected["reasons"].is_null()).all()
    if "event_ids" in found.columns:
        assert found["event_ids"].to_list() == expected["event_ids"].to_list()


@pytest.mark.parametrize("most", [1, 25, 1_000])
def test_all_families_give_the_batch_scores(rich: Bundle, tmp_path: Path, most: int) -> None:
    events = people(15, 2 if most == 1 else 6)
    expected = batch_rows(rich, events)
    assert expected["alert"].any()
    assert_same(closed(run(scorer(rich, tmp_path), events, most, most)), expected)


def test_a_detector_that_learns_gives_the_batch_scores(
    remembering: Bundle, log: pl.DataFrame, tmp_path: Path
) -> None:
    later = log.with_columns(pl.col("timestamp") + timedelta(days=60))
    expected = batch_rows(remembering, later)
    found = closed(run(scorer(remembering, tmp_path), later, 1, 40))
    np.testing.assert_allclose(found["score"], expected["score"], rtol=1e-5)


def test_a_partition_goes_on_from_what_was_flushed(rich: Bundle, tmp_path: Path) -> None:
    events = people(15, 6)
    made, rows = scorer(rich, tmp_path), []
    for number, part in enumerate(steps(events, np.random.default_rng(3), 80), start=1):
        rows.append(made.step(part).rows)
        profiles = made.profiles
        profiles.flush(number)
        again = UserProfiles(
            tmp_path, rich.profile, profiles.segments, profiles.shared, profiles.watermark
        )
        made = PartitionScorer(made.bundle, again, made.settings, made.newest, made.counts)
    assert_same(closed(pl.concat(rows)), batch_rows(rich, events))


def test_a_state_of_before_ids_goes_on(rich: Bundle, tmp_path: Path) -> None:
    """Events of then have no ids; the scores are the same."""
    events = people(15, 6)
    made = scorer(rich, tmp_path)
    half = events["timestamp"][len(events) // 2]
    parts = [events.filter(earlier := pl.col("timestamp") < half), events.filter(~earlier)]
    rows = [run(made, parts[0])]
    made.profiles.flush(1)
    for file in tmp_path.glob(f"*/{OPEN}.arrow"):
        older = tmp_path / "older.arrow"
        pl.read_ipc(file).drop(EVENT_ID).write_ipc(older)
        older.replace(file)
    again = UserProfiles(
        tmp_path,
        rich.profile,
        made.profiles.segments,
        made.profiles.shared,
        made.profiles.watermark,
    )
    made = PartitionScorer(made.bundle, again, made.settings, made.newest, made.counts)
    found, expected = closed(pl.concat([*rows, run(made, parts[1])])), batch_rows(rich, events)
    assert_same(found.drop("event_ids"), expected.drop("event_ids"))
    ids = [json.loads(text) for text in found["event_ids"].drop_nulls()]
    assert any(len(each["ids"]) < each["count"] for each in ids)
    assert any(len(each["ids"]) == each["count"] for each in ids)


def test_each_window_is_told_as_it_grows_and_once_it_is_closed(
    rich: Bundle, tmp_path: Path
) -> None:
    events = people(15, 4)
    made = scorer(rich, tmp_path)
    rows = run(made, events)
    for _, window in rows.group_by("window_id"):
        assert window["revision"].to_list() == list(range(1, len(window) + 1))
        assert window["open"].to_list() in (
            [True] * len(window),
            [True] * (len(window) - 1) + [False],
        )
        assert window["n_events"].is_sorted()
    assert made.counts.told == len(rows)
    assert made.counts.closed == int((~rows["open"]).sum())


def test_an_early_alert_is_final_or_withdrawn(rich: Bundle, tmp_path: Path) -> None:
    """The state of each window's alert over time."""
    events = people(15, 6)
    made = scorer(rich, tmp_path)
    rows = run(made, events)
    seen = set()
    for _, window in rows.group_by("window_id", maintain_order=True):
        raised = window["raised"].to_list()
        first = next((i for i, state in enumerate(raised) if state is not None), len(raised))
        later = raised[first:]
        assert all(state == EARLY for state in later[:-1])
        if later and not window["open"][-1]:
            assert later[-1] == (FINAL if window["alert"][-1] else WITHDRAWN)
            seen.add(later[-1])
        assert window["raised_at"][first:].n_unique() <= 1
    assert seen == {FINAL, WITHDRAWN}
    assert made.counts.alerts == int((rows["raised"] == FINAL).sum())
    calm = run(scorer(rich, tmp_path, StreamSettings(early_alerts=False)), events)
    assert set(calm["raised"].drop_nulls()) == {FINAL}


def test_repeated_events_change_nothing(rich: Bundle, tmp_path: Path) -> None:
    events = people(15, 4)
    rng = np.random.default_rng(5)
    made, rows = scorer(rich, tmp_path), []
    apart = []
    for part in steps(events, rng, 40):
        twice = pl.concat([part, part.sample(len(part) // 3, seed=1)])
        again = twice.with_columns(pl.int_range(pl.len()).alias("_at"))
        for copy in (again, part):  # within a step, and in the next
            step = made.step(copy)
            rows.append(step.rows)
            apart.append(step.apart)
    assert_same(closed(pl.concat(rows)), batch_rows(rich, events))
    assert made.counts.events == len(events)
    late = pl.concat(apart)
    assert set(late["rule"]) <= {"late_event"}  # copies of windows that the first copy closed
    copies = sum(len(part) + len(part) // 3 for part in steps(events, np.random.default_rng(5), 40))
    assert made.counts.repeated + made.counts.late == copies


def test_late_and_future_events_are_set_apart(rich: Bundle, tmp_path: Path) -> None:
    events = people(15, 4).with_columns(pl.int_range(pl.len()).alias("_at"))
    made = scorer(rich, tmp_path)
    made.step(events)
    late = events[:3].with_columns(
        event_id=pl.lit("late") + pl.col("event_id"), _at=pl.int_range(pl.len())
    )
    future = events[:1].with_columns(
        event_id=pl.lit("future"),
        timestamp=pl.lit(datetime.now(UTC) + timedelta(days=1)).cast(pl.Datetime("us", "UTC")),
        _at=pl.lit(3),
    )
    step = made.step(pl.concat([late, future.select(late.columns)], how="vertical_relaxed"))
    assert step.rows.is_empty()
    assert step.apart.select("_at", "rule").rows() == [
        (0, "late_event"),
        (1, "late_event"),
        (2, "late_event"),
        (3, "future_event"),
    ]
    assert (made.counts.late, made.counts.ahead) == (3, 1)


def test_an_event_out_of_order_corrects_what_was_told(rich: Bundle, tmp_path: Path) -> None:
    events = people(15, 1)
    day = rich.extractor.assign(events)
    largest = day["window_id"].mode()[0]
    mine = day.filter(pl.col("window_id") == largest).drop("window_id")
    mine = mine.sort("timestamp").with_columns(_at=pl.int_range(pl.len()))
    made = scorer(rich, tmp_path)
    made.step(mine[1:])
    assert made.counts.corrections == 0
    (row,) = made.step(mine[:1]).rows.to_dicts()
    assert made.counts.corrections == 1
    assert (row["revision"], row["n_events"]) == (2, len(mine))


def test_lateness_keeps_windows_open(rich: Bundle, tmp_path: Path) -> None:
    events = people(15, 4)
    patient = replace(rich)
    rng = np.random.default_rng(0)
    delay = pl.Series(rng.integers(0, 7_200, len(events)))
    shuffled = events.with_columns(delay=pl.col("timestamp") + pl.duration(seconds=delay))
    shuffled = shuffled.sort("delay").drop("delay")
    before = rich.extractor.lateness
    try:
        rich.extractor.lateness = timedelta(hours=2)
        made = scorer(patient, tmp_path)
        rows = run(made, shuffled)
    finally:
        rich.extractor.lateness = before
    assert made.counts.late == 0
    counts = dict(closed(rows).select("window_id", "n_events").iter_rows())
    expected = dict(batch_rows(rich, events).select("window_id", "n_events").iter_rows())
    assert counts == {name: expected[name] for name in counts}
    assert made.counts.corrections > 0


def test_at_midnight_users_are_closed_in_parts(rich: Bundle, tmp_path: Path) -> None:
    events = people(15, 3)
    few = StreamSettings(users_at_once=2)
    assert_same(closed(run(scorer(rich, tmp_path, few), events)), batch_rows(rich, events))


def test_a_threshold_nobody_reaches_raises_nothing(rich: Bundle, tmp_path: Path) -> None:
    calm = replace(rich, alerting=FixedThreshold(1e9))
    rows = run(scorer(calm, tmp_path), people(15, 3))
    assert rows["raised"].null_count() == len(rows)
