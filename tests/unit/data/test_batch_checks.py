"""What a batch is held to: rows to quarantine, warnings, and batches refused as a whole."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from batches import START, at, batch
from log_files import utc

from riskml.core.errors import ConfigError, DataError
from riskml.core.redaction import HIDDEN, hiding_values
from riskml.data.batch_checks import ACTIONS, BatchChecks, BatchReport
from riskml.data.batch_reference import BatchReference
from riskml.data.quality import DUPLICATE_RULE
from riskml.data.quarantine import REJECTED_SCHEMA
from riskml.data.row_checks import batch_rules

CHECKS = BatchChecks()


def rules(report: BatchReport) -> list[tuple[int, str]]:
    return report.rejected.select("row", "rule").rows()


def test_a_good_batch_stays_as_it_is() -> None:
    events = batch(extra=pl.lit("x"))
    report = CHECKS.check(events)
    assert report.accepted.equals(events)
    assert report.rejected.schema == REJECTED_SCHEMA
    assert report.warnings == ()
    assert report.counts == {"given": 1120, "accepted": 1120, "rejected": 0}


def test_an_empty_batch_is_no_fault() -> None:
    report = CHECKS.check(batch().clear(), BatchReference().updated(batch()))
    assert report.counts == {"given": 0, "accepted": 0, "rejected": 0}
    assert report.warnings == ()


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("user_id", None, "missing_user"),
        ("user_id", "  ", "missing_user"),
        ("timestamp", None, "missing_timestamp"),
        ("timestamp", utc(1980, 1, 1), "timestamp_out_of_range"),
        ("timestamp", utc(2200, 1, 1), "timestamp_out_of_range"),
        ("action", None, "missing_action"),
        ("resource", "x" * 10_001, "text_too_long"),
        ("event_id", "e0-3", "duplicate_event_id"),
        ("timestamp", START + timedelta(days=40), "clock_leap"),
    ],
)
def test_bad_rows(column: str, value: Any, rule: str) -> None:
    report = CHECKS.check(at(batch(), column, 20, value))
    assert rules(report) == [(21, rule)]
    assert len(report.accepted) == 1119
    assert report.counts[rule] == 1
    assert report.kept.to_list() == [i for i in range(1120) if i != 20]


@pytest.mark.parametrize(
    ("column", "value"), [("user_id", [["a"]]), ("action", [b"\xff"]), ("timestamp", [[1]])]
)
def test_values_of_a_wrong_type(column: str, value: list[Any]) -> None:
    events = batch().head(20).with_columns(pl.Series(column, value * 20))
    with pytest.raises(DataError, match=r"wrong_type: 20.*data\.quality\.max_rejected_share=1"):
        CHECKS.check(events)
    report = BatchChecks(max_rejected_share=1).check(events)
    assert report.counts["wrong_type"] == 20


def test_values_that_can_be_converted_are() -> None:
    events = batch().with_columns(
        user_id=pl.int_range(pl.len()).cast(pl.Float64) % 3,
        timestamp=pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        action=pl.col("action").cast(pl.Categorical),
        success=pl.lit("denied"),
    )
    accepted = CHECKS.check(events).accepted
    assert accepted.schema["timestamp"] == pl.Datetime("us", "UTC")
    assert accepted["user_id"].head(3).to_list() == ["0", "1", "2"]
    assert not accepted["success"].any()


def test_ids_are_made_where_there_are_none() -> None:
    assert CHECKS.check(batch().drop("event_id")).accepted["event_id"][1] == "batch:2"


def test_a_batch_without_a_required_column_is_refused() -> None:
    with pytest.raises(DataError, match=r"required_columns.*user_id.*columns\.user_id="):
        CHECKS.check(batch().drop("user_id"))


def test_too_many_bad_rows_refuse_the_batch() -> None:
    events = batch().with_columns(
        user_id=pl.when(pl.int_range(pl.len()) % 3 == 0).then(None).otherwise("user_id")
    )
    message = (
        r"rejected rows: 374 of 1,120 rows \(33\.4%\).*max_rejected_share=0\.2.*batch row 1, "
        r"missing_user.*max_rejected_share=0\.34"
    )
    with pytest.raises(DataError, match=message):
        CHECKS.check(events)
    assert len(BatchChecks(max_rejected_share=0.34).check(events).rejected) == 374


def test_a_limit_for_one_rule() -> None:
    events = at(batch(), "user_id", 5, None)
    with pytest.raises(DataError, match=r"missing_user: 1 of 1,120.*rule_limits\.missing_user"):
        BatchChecks(rule_limits={"missing_user": 0.0}).check(events)


def test_messages_hide_values_where_they_must() -> None:
    events = at(batch(), "user_id", 5, None)
    with hiding_values(), pytest.raises(DataError) as error:
        BatchChecks(max_rejected_share=0).check(events)
    assert HIDDEN in str(error.value)
    assert "/srv/5" not in str(error.value)


# ---- clocks


def test_several_leaps_and_late_rows() -> None:
    events = at(batch(), "timestamp", 50, START + timedelta(days=100))
    events = at(events, "timestamp", 51, START + timedelta(days=90))
    assert rules(CHECKS.check(events)) == [(51, "clock_leap"), (52, "clock_leap")]
    late = batch().with_row_index("n").sort(pl.col("n") + 1000 * (pl.col("n") == 30)).drop("n")
    assert CHECKS.check(late).rejected.is_empty(), "a late row is no wrong one"


def test_a_log_sorted_by_user_is_left_alone() -> None:
    events = batch(users=200).sort("user_id", "timestamp")
    report = CHECKS.check(events)
    assert report.rejected.is_empty()
    assert report.warnings == ()


def test_newest_first_is_an_order_too() -> None:
    assert CHECKS.check(batch().reverse()).warnings == ()
    assert rules(
        CHECKS.check(at(batch().reverse(), "timestamp", 50, START + timedelta(days=100)))
    ) == [(51, "clock_leap")]


def test_time_that_runs_backwards_is_told() -> None:
    (warning,) = CHECKS.check(batch().sample(fraction=1, shuffle=True, seed=0)).warnings
    assert warning.startswith("clock_backwards: time runs backwards at ")
    assert "data.quality.max_backwards_share=0.01" in warning
    assert "batch row" in warning


@pytest.mark.parametrize(("hours", "word"), [(2, "ahead"), (-1, "behind")])
def test_a_source_whose_clock_is_off(hours: int, word: str) -> None:
    events = batch(days=3, per_day=4000, users=40).with_columns(
        source=pl.when(pl.int_range(pl.len()) % 10 == 0).then(pl.lit("odd")).otherwise("source")
    )
    events = events.with_columns(
        timestamp=pl.when(pl.col("source") == "odd")
        .then(pl.col("timestamp") + timedelta(hours=hours))
        .otherwise("timestamp")
    )
    checks = BatchChecks(max_backwards_share=None)
    (warning,) = checks.check(events).warnings
    # its rows stand between rows of some seconds before and after
    assert f"the clock of source 'odd' is {abs(hours) * 60 - 1} minutes {word}" in warning
    with pytest.raises(DataError, match=r"clock_offset.*actions\.clock_offset=warn"):
        BatchChecks(max_backwards_share=None, actions={"clock_offset": "refuse"}).check(events)


# ---- drift


@pytest.mark.parametrize(
    ("events", "rule", "words"),
    [
        (batch().drop("resource"), "missing_column", "resource"),
        (batch(resource=pl.lit(None, pl.String)), "missing_column", "resource"),
        (batch(extra=pl.lit("1")), "retyped_column", r"extra \(Int32, now String\)"),
    ],
    ids=["gone", "emptied", "retyped"],
)
def test_drift_is_refused(events: pl.DataFrame, rule: str, words: str) -> None:
    before = BatchReference().updated(batch(extra=pl.lit(1)))
    checks = BatchChecks(volume_weeks=0)
    if "extra" not in events.columns:
        events = events.with_columns(extra=pl.lit(1))
    with pytest.raises(DataError, match=rf"{rule}: .*{words}.*data\.quality\.actions\.{rule}=warn"):
        checks.check(events, before)
    (warning,) = BatchChecks(volume_weeks=0, actions={rule: "warn"}).check(events, before).warnings
    assert warning.startswith(rule)
    assert (
        BatchChecks(volume_weeks=0, actions={rule: "ignore"}).check(events, before).warnings == ()
    )


def test_new_columns_are_told() -> None:
    before = BatchReference().updated(batch())
    (warning,) = BatchChecks(volume_weeks=0).check(batch(extra=pl.lit(1)), before).warnings
    assert warning.startswith("new_column: 1 columns that the last accepted batch had not: extra")


# ---- volume


def test_a_day_with_few_events_inside_one_log() -> None:
    events = batch(days=56)
    quiet = events.filter(
        (pl.col("timestamp").dt.date() != date(2024, 2, 7)) | (pl.int_range(pl.len()) % 10 == 0)
    )
    (warning,) = CHECKS.check(quiet).warnings
    assert "Wednesday 2024-02-07: 4 events, bounds 23 to 67" in warning
    gone = events.filter(pl.col("timestamp").dt.date() != date(2024, 2, 7))
    assert "Wednesday 2024-02-07: 0 events" in CHECKS.check(gone).warnings[0]


def test_volume_against_the_batches_before() -> None:
    reference = BatchReference()
    for week in range(4):
        reference = reference.updated(batch(days=7, first_day=7 * week))
    flood = batch(days=1, per_day=400, first_day=28)
    assert "Monday 2024-01-29: 400 events" in CHECKS.check(flood, reference).warnings[0]
    with pytest.raises(DataError, match=r"volume: 1 day.*data\.quality\.actions\.volume=warn"):
        BatchChecks(actions={"volume": "refuse"}).check(flood, reference)
    part = batch(days=1, per_day=4, first_day=28)
    assert CHECKS.check(part, reference).warnings == (), "the day is not over"
    rest = batch(days=2, per_day=36, first_day=28).with_columns(
        event_id=pl.format("r{}", "event_id")
    )
    assert CHECKS.check(rest, reference.updated(part)).warnings == ()
    skipped = batch(days=1, first_day=30)
    assert "2024-01-30: 0 events" in CHECKS.check(skipped, reference.updated(flood)).warnings[0]


# ---- reference


def test_reference_is_kept_whole(tmp_path: Path) -> None:
    path = tmp_path / "state" / "reference.json"
    assert BatchReference.load(path) is None
    reference = BatchReference().updated(batch())
    reference.save(path)
    assert BatchReference.load(path) == reference
    assert [file.name for file in path.parent.iterdir()] == ["reference.json"]
    assert "user0" not in path.read_text()
    assert reference.updated(batch().clear()) == reference
    assert reference.volumes[date(2024, 1, 1)] == 40
    assert len(BatchReference().updated(batch(days=500, per_day=1)).volumes) == 400


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 2}', '{"format": 1, "columns": 3}'])
def test_a_damaged_reference_is_told(content: str, tmp_path: Path) -> None:
    path = tmp_path / "reference.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"reference\.json is damaged.*restore it, or remove it"):
        BatchReference.load(path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_rejected_share": 2}, "max_rejected_share=2 must be a share"),
        ({"max_rejected_share": None}, "max_rejected_share=None must be a share"),
        ({"rule_limits": {"clock_leep": 0.1}}, "did you mean 'clock_leap'"),
        ({"rule_limits": {"clock_leap": -1}}, r"rule_limits\.clock_leap=-1"),
        ({"actions": {"volumes": "warn"}}, "did you mean 'volume'"),
        ({"actions": {"volume": "wern"}}, "did you mean 'warn'"),
        ({"max_clock_leap_days": 0}, "max_clock_leap_days=0"),
        ({"max_text_length": None}, "max_text_length=None"),
        ({"volume_weeks": -1}, "volume_weeks=-1"),
    ],
)
def test_impossible_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BatchChecks(**settings)


def test_the_config_says_what_the_defaults_are() -> None:
    import yaml

    file = Path(__file__).parents[3] / "conf" / "quality" / "default.yaml"
    stated = yaml.safe_load(file.read_text())
    del stated["_target_"]
    assert stated.pop("actions") == ACTIONS
    own = [rule.name for rule in (*batch_rules(START, 1), DUPLICATE_RULE)]
    assert stated.pop("rule_limits") == dict.fromkeys(own)
    assert BatchChecks(**stated) == CHECKS
