"""A log cut into periods, its truth apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from log_files import utc

from riskml.core.errors import DataError
from riskml.data.batch_checks import BatchChecks
from riskml.data.batch_reference import BatchReference
from riskml.data.datasets import Dataset, load_dataset
from riskml.data.quarantine import REJECTED_SCHEMA
from riskml.data.sources import CsvSource, EventLog
from riskml.data.splits import PERIOD, TRAIN, TimeSplit

SPLIT = TimeSplit(test=0.3, calibration=0.2)


@dataclass
class MadeLog:
    """A source that has its log already."""

    log: EventLog

    def load(self) -> EventLog:
        return self.log


def made_log(labels: Sequence[Any] | None = None, users: int = 2, **truth: Any) -> MadeLog:
    n = 20
    events = pl.DataFrame(
        {
            "event_id": [f"e{i}" for i in range(n)],
            "user_id": [f"u{i % users}" for i in range(n)],
            "timestamp": [utc(2024, 3, 4) + timedelta(hours=i) for i in range(n)],
            "action": ["read"] * n,
        }
    )
    columns = dict(truth) if labels is None else {"label": list(labels) * (n // len(labels))}
    table = events.select("event_id").with_columns(pl.Series(k, v) for k, v in columns.items())
    rejected = pl.DataFrame(schema=REJECTED_SCHEMA)
    return MadeLog(EventLog(events, table if columns else None, rejected))


def load(log: MadeLog, **settings: Any) -> Dataset:
    return load_dataset(log, SPLIT, **settings)


def test_periods_and_train_events() -> None:
    source = made_log()
    data = load(source, normal_weight=3.0)
    assert data.events.drop(PERIOD).equals(source.log.events)
    assert data.train_events["event_id"].to_list() == [f"e{i}" for i in range(10)]
    assert set(data.train_events[PERIOD]) == {TRAIN}
    assert data.truth is None
    assert data.rejected is source.log.rejected
    assert data.normal_weight == 3


@pytest.mark.parametrize(
    "labels",
    [[0, 1], [False, True], ["0", "1"], [0.0, 1.0], ["0.0", "1e0"]],
    ids=["integer", "boolean", "text", "float", "float-text"],
)
def test_labels_in_many_types(labels: list[Any]) -> None:
    truth = load(made_log(labels)).truth
    assert truth is not None
    assert truth["label"].to_list() == [0, 1] * 10
    assert truth.schema["label"] == pl.Int8


@pytest.mark.parametrize(
    ("labels", "odd"),
    [([0, 2], "2"), (["0", "yes"], "'yes'"), ([1, None], "None"), ([0.5, 0.0], "0.5")],
    ids=["two", "word", "null", "fraction"],
)
def test_labels_that_are_not_0_or_1(labels: list[Any], odd: str) -> None:
    with pytest.raises(DataError, match=f"'label' must hold 0 or 1 a row, not {odd}"):
        load(made_log(labels))


def test_truth_without_labels_is_none() -> None:
    assert load(made_log(gt_scenario=["theft"] * 20)).truth is None


def test_too_little_data() -> None:
    with pytest.raises(DataError, match="of the user 'u0'"):
        load(made_log(users=1))
    assert len(load(made_log(users=1), single_user=True).events) == 20
    with pytest.raises(DataError, match="one event only"):
        load(made_log(users=20))


def test_truth_of_a_file_stays_out_of_the_events(tmp_path: Path) -> None:
    rows = "".join(f"u{i % 2},2024-03-{i + 1:02d}T12:00:00Z,read,{i % 2},s{i}\n" for i in range(20))
    path = tmp_path / "log.csv"
    path.write_text("user_id,timestamp,action,label,gt_scenario\n" + rows)
    data = load_dataset(CsvSource(path), SPLIT)
    assert not {"label", "gt_scenario"} & set(data.events.columns)
    assert data.truth is not None
    joined = data.events.join(data.truth, on="event_id")
    assert joined["label"].to_list() == [i % 2 for i in range(20)]


def spoilt(truth: str) -> MadeLog:
    """Twenty events, the third of which names no action, with truth of all or of some."""
    log = made_log([0, 1]).log
    actions = log.events["action"].scatter(2, None)
    labels = log.truth
    assert labels is not None
    if truth == "some":
        labels = labels[[1, 2, 5]]
    return MadeLog(EventLog(log.events.with_columns(actions), labels, log.rejected))


@pytest.mark.parametrize(("truth", "left"), [("all", 19), ("some", 2)])
def test_rows_that_break_a_rule_leave_the_truth_too(truth: str, left: int) -> None:
    data = load(spoilt(truth), checks=BatchChecks())
    assert data.rejected.select("file", "row", "rule").rows() == [("batch", 3, "missing_action")]
    assert len(data.events) == 19
    assert data.truth is not None
    assert len(data.truth) == left
    assert set(data.truth["event_id"]) <= set(data.events["event_id"])
    assert len(load(spoilt(truth)).events) == 20, "nothing is checked without checks"


def test_warnings_and_refusals_of_the_checks() -> None:
    source = made_log()
    reference = BatchReference().updated(
        source.log.events.drop("action").with_columns(old=pl.lit(1))
    )
    with pytest.raises(DataError, match=r"missing_column.*old"):
        load(source, checks=BatchChecks(), reference=reference)
    checks = BatchChecks(actions={"missing_column": "warn"})
    first, second = load(source, checks=checks, reference=reference).warnings
    assert "action" in first
    assert "old" in second
