"""The incremental load between SQLite files; PostgreSQL has its own tests among the slow ones."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from load_cases import MAPPING, SOURCE_DDL, START, Case, query
from sqlalchemy import text

from riskml.core.errors import ConfigError, DataError
from riskml.data.event_mapping import EventMapping
from riskml.data.event_store import EventStore
from riskml.data.incremental import IncrementalLoader, LoadReport
from riskml.data.table_source import Span, TableSource

HOURS = range(40)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def counts(report: LoadReport) -> tuple[int, int, int, int, int]:
    numbers = report.loaded, report.duplicates, report.rejected, report.too_late, report.missing
    assert report.read == sum(numbers[:3])
    return numbers


def test_only_what_is_new_is_loaded_and_running_again_changes_nothing(case: Case) -> None:
    case.arrive(HOURS)
    report = case.loader().run()
    assert counts(report) == (40, 0, 0, 0, 0)
    assert report.last_run is not None and report.last_run.isoformat() == (
        "2024-01-31T15:00:00+00:00"
    )
    before = case.stored("*")
    assert counts(case.loader().run()) == (0, 2, 0, 0, 0)  # the overlap once more
    assert case.stored("*") == before
    case.arrive(range(40, 50))
    assert counts(case.loader().run()) == (10, 2, 0, 0, 0)
    assert len(case.stored()) == 50
    total = "pipeline, source, read, loaded, duplicates, rejected, too_late"
    assert case.stored(total, "riskml_watermarks") == [("p", "logins", 54, 50, 4, 0, 0)]


def test_rows_from_a_moment_on_are_left_to_a_later_run(case: Case) -> None:
    case.arrive(HOURS)
    day = timedelta(days=1)
    first = case.loader(until=START + day).run()
    assert counts(first) == (24, 0, 0, 0, 0)
    assert first.last_run == START + timedelta(hours=23)
    assert counts(case.loader(until=START + day).run()) == (0, 2, 0, 0, 0)
    earlier = START + timedelta(hours=6)  # nothing lies after the overlap and before that
    assert counts(case.loader(until=earlier).run()) == (0, 0, 0, 0, 0)
    assert counts(case.loader().run()) == (16, 2, 0, 0, 0)


def test_values_arrive_as_they_were(case: Case) -> None:
    case.arrive([0.5], document=' "quoted"\n', success=False)
    case.loader().run()
    columns = "event_id, user_id, login_time, action, resource, success, amount"
    expected = ("e0.5", "u0", "2024-01-30 00:30:00.000000", "login", '"quoted"', 0, 1.5)
    assert case.stored(columns) == [expected]


def test_a_late_row_within_the_overlap_is_loaded(case: Case) -> None:
    case.arrive(HOURS)
    case.loader().run()
    case.arrive([37.5])
    assert counts(case.loader().run()) == (1, 2, 0, 0, 0)


@pytest.mark.parametrize("ingested_column", [None, "ingested_at"])
def test_what_comes_later_is_counted_once_and_loaded_by_a_wider_overlap(
    case: Case, ingested_column: str | None
) -> None:
    case.arrive(HOURS)
    case.loader(ingested_column).run()
    case.arrive([3.5, 20.5, 37.5])
    assert counts(case.loader(ingested_column).run())[3:] == (2, 2)
    assert counts(case.loader(ingested_column).run())[3:] == (0, 2)
    assert case.stored("event_id", "events_late") == ["e20.5", "e3.5"]
    wider = case.loader(ingested_column, overlap=timedelta(days=2)).run()
    assert counts(wider) == (2, 41, 0, 0, 0)
    assert case.stored("event_id", "events_late") == []


def test_what_is_beyond_the_look_back_is_only_noticed_by_an_ingestion_column(case: Case) -> None:
    case.arrive(range(0, 400, 10))
    case.loader("ingested_at").run()
    case.arrive([5.5])
    near = timedelta(days=2)
    assert counts(case.loader(look_back=near).run())[3] == 0
    assert counts(case.loader(look_back=timedelta(0)).run())[3] == 0
    assert counts(case.loader("ingested_at", look_back=near).run())[3] == 1


def test_an_id_that_comes_back_with_another_time_stays_as_it_was_first(case: Case) -> None:
    case.arrive(HOURS)
    case.arrive([39.5], event_id="e39")
    case.arrive([39.25, 39.25], event_id="e38")
    assert counts(case.loader().run()) == (40, 3, 0, 0, 0)
    case.arrive([45], event_id="e1")
    assert counts(case.loader().run())[:2] == (0, 6)
    assert len(case.stored("DISTINCT event_id")) == len(case.stored()) == 40
    assert "2024-01-31 15:00:00.000000" in case.stored("login_time")


def test_unusable_rows_are_kept_once_with_the_reason(case: Case) -> None:
    case.arrive(HOURS)
    case.arrive([39.1], employee=" ")
    case.arrive([39.2], event_id=None)
    case.arrive([39.3], login_time=None)
    case.arrive([39.4], document="a\0b")
    assert counts(case.loader().run()) == (40, 0, 4, 0, 0)
    assert counts(case.loader().run())[:3] == (0, 6, 0)
    kept = case.stored("rule, event_id", "events_quarantine")
    assert kept == [
        ("missing_event_id", None),
        ("missing_timestamp", "e39.3"),
        ("missing_user", "e39.1"),
        ("nul_character", "e39.4"),
    ]
    assert '"employee": " "' in str(case.stored("record", "events_quarantine"))


def test_a_batch_of_mostly_bad_rows_is_refused_and_nothing_of_it_is_stored(case: Case) -> None:
    case.arrive(HOURS)
    case.arrive([hour + 40 for hour in HOURS], employee=None)
    with pytest.raises(DataError, match=r"max_rejected_share=0\.2"):
        case.loader(batch_rows=40).run()
    assert len(case.stored()) == 40
    assert case.stored("*", "events_quarantine") == []
    assert case.stored("read", "riskml_watermarks") == [40]
    bold = EventMapping(columns=MAPPING.columns, time_zone="UTC", max_rejected_share=1)
    assert counts(case.loader(mapping=bold, batch_rows=40).run())[2] == 40


def test_a_clock_that_is_ahead_does_not_carry_the_window_away(tmp_path: Path) -> None:
    case = Case(tmp_path)
    now = datetime.now(UTC)
    ahead = (now + timedelta(hours=20)).strftime("%Y-%m-%d %H:%M:%S.%f")
    case.arrive([0], login_time=ahead)
    report = case.loader().run()
    assert report.loaded == 1
    assert report.last_run is not None and report.last_run <= datetime.now(UTC)


def test_a_run_that_fails_in_the_middle_is_taken_up(case: Case) -> None:
    case.arrive(HOURS)
    with case.source.begin() as connection:
        connection.execute(text("UPDATE logins SET login_time = 'x' WHERE event_id = 'e30'"))
    with pytest.raises(DataError, match="'logins' cannot be read"):
        case.loader().run()
    assert len(case.stored()) > 20
    with case.source.begin() as connection:
        connection.execute(
            text("UPDATE logins SET login_time='2024-01-31 06:00:00' WHERE event_id='e30'")
        )
    assert counts(case.loader().run())[3:] == (1, 1)  # its time has left the overlap meanwhile
    assert counts(case.loader(overlap=timedelta(days=1)).run())[0] == 1
    assert len(case.stored("DISTINCT event_id")) == len(case.stored()) == 40


def test_source_and_store_may_be_one_database(case: Case) -> None:
    case.store_url, case.store = case.source_url, case.source
    case.arrive(HOURS)
    assert counts(case.loader(batch_rows=3).run())[0] == 40
    assert len(query(case.source, "SELECT * FROM events")) == 40
    with pytest.raises(ConfigError, match="same table"):
        source = TableSource(case.source_url, "events")
        IncrementalLoader(source, EventStore(case.source_url), "p", MAPPING)


def test_a_store_from_before_the_table_of_ids_gets_one(case: Case) -> None:
    case.arrive(HOURS)
    case.loader().run()
    with case.store.begin() as connection:
        connection.execute(text("DROP TABLE events_ids"))
    assert counts(case.loader(overlap=timedelta(days=9)).run()) == (0, 40, 0, 0, 0)


def test_local_times_without_a_zone_are_read_across_the_change_of_clocks(case: Case) -> None:
    berlin = EventMapping(columns=MAPPING.columns, time_zone="Europe/Berlin")
    times = [f"2024-10-27 {hour:02}:30:00" for hour in range(1, 8)]
    for number, when in enumerate(times):
        case.arrive([number], login_time=when)
        case.loader(mapping=berlin).run()
    stored = case.stored("login_time")
    assert stored[:3] == [f"2024-10-{day}:30:00.000000" for day in ("26 23", "27 00", "27 02")]
    assert len(stored) == 7


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"overlap": timedelta(0)}, "overlap="),
        ({"look_back": timedelta(days=-1)}, "look_back="),
        ({"batch_rows": 0}, "batch_rows=0"),
    ],
)
def test_impossible_settings_are_refused(
    case: Case, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        case.loader(**settings)


def test_a_source_that_cannot_be_read_says_why(case: Case) -> None:
    store = EventStore(case.store_url)

    def message(columns: dict[str, str], table: str = "logins", zone: str | None = "UTC") -> str:
        mapping = EventMapping(columns=columns, time_zone=zone)
        source = TableSource.of(case.source_url, table, mapping)
        with pytest.raises(DataError) as caught:
            IncrementalLoader(source, store, "p", mapping).run()
        return str(caught.value)

    right = {"user_id": "employee"}
    assert "did you mean 'logins'" in message(right, "login")
    assert "columns.event_id=" in message({**right, "event_id": "evnt"})
    assert "has no time zone" in message(right, zone=None)
    assert "is TEXT" in message({**right, "timestamp": "document", "resource": "action"})
    with case.source.begin() as connection:
        connection.execute(text("CREATE TABLE bare (user_id TEXT, login_time TIMESTAMP, action)"))
        connection.execute(text("CREATE TABLE f (event_id REAL, user_id, login_time TIMESTAMP)"))
    assert "has no column 'event_id'" in message({}, "bare")
    assert "floating-point" in message({"action": "user_id"}, "f")


def test_a_pipeline_reads_one_table(case: Case) -> None:
    case.arrive([1])
    case.loader().run()
    with case.source.begin() as connection:
        connection.execute(text(SOURCE_DDL.replace("logins", "others")))
    source = TableSource.of(case.source_url, "others", MAPPING)
    with pytest.raises(DataError, match="reads the table 'logins'"):
        IncrementalLoader(source, EventStore(case.store_url), "p", MAPPING).run()


def test_a_new_column_of_the_source_is_named(case: Case) -> None:
    case.arrive([1])
    case.loader().run()
    with case.source.begin() as connection:
        connection.execute(text("ALTER TABLE logins ADD COLUMN device TEXT"))
    with pytest.raises(DataError, match=r"no column 'device'.*ALTER TABLE"):
        case.loader().run()


def test_two_runs_at_once_store_every_event_once(case: Case) -> None:
    case.arrive(range(400))
    loaders = [case.loader(batch_rows=20) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(lambda loader: loader.run(), loaders))
    assert sum(report.loaded for report in reports) == 400
    assert len(case.stored("DISTINCT event_id")) == len(case.stored()) == 400
    assert case.stored("loaded, read", "riskml_watermarks") == [
        (400, sum(report.read for report in reports))
    ]


def test_the_source_is_read_a_batch_at_a_time(case: Case) -> None:
    case.arrive(range(100))
    source = TableSource.of(case.source_url, "logins", MAPPING)
    assert [len(rows) for rows in source.batches(Span(), 30)] == [30, 30, 30, 10]
