"""The scoring job: one pass over the log, however it is cut into runs, batches and files."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scored_log import AFTER_ALL, END, Run, later, read

from riskml.core.errors import BundleError, ConfigError, DataError
from riskml.data.database import open_engine
from riskml.export.bundle import Bundle, load_bundle
from riskml.features.profile import Profile
from riskml.serving.alerts import raised_alerts
from riskml.serving.folder_store import FolderStore
from riskml.serving.job import JobSettings, open_store
from riskml.serving.scoring import SCORE_SCHEMA
from riskml.serving.standing import version_of
from riskml.serving.stores import QUARANTINE_SCHEMA, JobBusyError, Output

# between two knots of the calibration the risk is steep
LIKE: dict[str, Any] = {"check_exact": False, "rel_tol": 1e-4, "abs_tol": 1e-3}


def at_once(bundle: Bundle, log: pl.DataFrame) -> pl.DataFrame:
    """One pass by the bundle itself, all windows closed."""
    profile = replace(bundle.profile, watermark=END)
    windows, _ = bundle.extractor.transform(log, profile)
    scores = bundle.score_windows(windows)
    return (
        windows.keys.select("window_id", "n_events")
        .with_columns(
            pl.Series("score", scores.astype(np.float64)),
            pl.Series("risk", bundle.calibration.risk(scores, windows.keys["peer"])),
            pl.Series("alert", bundle.alerts(scores, windows.keys)[0]),
        )
        .sort("window_id")
    )


@pytest.mark.parametrize("which", ["bundle", "remembering"])
@pytest.mark.parametrize("size", [7, 60, 10_000])
def test_any_batches_give_one_pass(
    which: str, size: int, run: Run, log: pl.DataFrame, tmp_path: Path, request: Any
) -> None:
    bundle = request.getfixturevalue(which)
    done = run(bundle=bundle, batch_events=size)
    rows, expected = read(tmp_path / "scores"), at_once(bundle, log)
    assert_frame_equal(rows.select(expected.columns), expected, **LIKE)
    assert done.windows_closed == len(rows) and done.alerts == rows["alert"].sum() > 0
    assert done.events_new == done.events_read == len(log)
    assert not rows["open"].any()


@pytest.mark.parametrize("which", ["bundle", "remembering"])
def test_run_after_run_gives_one_pass(which: str, run: Run, tmp_path: Path, request: Any) -> None:
    bundle = request.getfixturevalue(which)
    run(bundle=bundle, out=tmp_path / "whole")
    for days in (3.4, 3.4, 9, 20.5, 33):
        run(bundle=bundle, until=later(days), open_windows=days < 30)
    whole, parts = read(tmp_path / "whole"), read(tmp_path / "scores")
    assert_frame_equal(parts, whole, **LIKE)
    assert_frame_equal(
        read(tmp_path / "scores", "alerts"), read(tmp_path / "whole", "alerts"), **LIKE
    )
    assert read(tmp_path / "scores", "open").is_empty()
    again = run(bundle=bundle)
    assert (again.events_new, again.windows_closed, again.batches) == (0, 0, 0)


def test_alerts_have_reasons_and_others_none(run: Run, tmp_path: Path) -> None:
    run()
    rows, alerts = read(tmp_path / "scores"), read(tmp_path / "scores", "alerts")
    assert rows.filter(~pl.col("alert"))["reasons"].null_count() == (~rows["alert"]).sum()
    assert set(alerts["window_id"]) == set(rows.filter("alert")["window_id"])
    for told in alerts["reasons"]:
        assert all(set(reason) == {"topic", "share", "text"} for reason in json.loads(told))
    assert any(json.loads(told) for told in alerts["reasons"])


def test_alerts_name_their_events(run: Run, log: pl.DataFrame, tmp_path: Path) -> None:
    for days in (3.4, 9, 20.5, 33):
        run(until=later(days), batch_events=50)
    alerts = read(tmp_path / "scores", "alerts")
    assert len(alerts)
    for row in alerts.iter_rows(named=True):
        within = pl.col("timestamp").is_between(row["window_start"], row["window_end"])
        mine = log.filter(within, user_id=row["user_id"]).sort("timestamp", "event_id")
        ids = mine["event_id"].to_list()
        assert json.loads(row["event_ids"]) == {"count": len(ids), "ids": ids}
    others = read(tmp_path / "scores").filter(~pl.col("alert"))
    assert others["event_ids"].null_count() == len(others)


def test_tables_of_an_older_riskml_get_what_they_lack(run: Run, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'scores.db'}"
    run(out=url, until=later(10.4))
    engine = open_engine(url)
    with engine.begin() as connection:
        for table in ("riskml_scores", "riskml_alerts"):
            connection.exec_driver_sql(f"ALTER TABLE {table} DROP COLUMN event_ids")
        before = pl.read_database("SELECT window_id FROM riskml_alerts", connection)
    old = raised_alerts(url)
    assert old["window_id"].sort().to_list() == before["window_id"].sort().to_list()
    assert old["event_ids"].null_count() == len(old) > 0
    run(out=url)
    new = raised_alerts(url).filter(~pl.col("window_id").is_in(before["window_id"].to_list()))
    assert new["event_ids"].null_count() == 0 < len(new)


def test_both_stores_hold_the_same(run: Run, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'scores.db'}"
    for days in (10.4, 20, 33):
        for out in (tmp_path / "scores", url):
            run(out=out, until=later(days), open_windows=True, batch_events=50)
    with open_engine(url).connect() as connection:
        rows = pl.read_database("SELECT * FROM riskml_scores", connection)
        alerts = pl.read_database("SELECT * FROM riskml_alerts", connection)
    mine = read(tmp_path / "scores")
    rows = rows.sort("window_id").with_columns(pl.col("alert", "learning", "open").cast(pl.Boolean))
    same = ["window_id", "model_version", "user_id", "n_events", "score", "risk", "alert", "open"]
    assert_frame_equal(rows.select(same), mine.select(same))
    assert alerts["window_id"].sort().to_list() == mine.filter("alert")["window_id"].to_list()


def test_a_full_disk_is_told_and_leaves_the_batch_to_the_next_run(
    run: Run, bundle: Bundle, tmp_path: Path
) -> None:
    folder = tmp_path / "scores" / "scores" / f"version={version_of(bundle.manifest)}"
    folder.mkdir(parents=True)
    (folder / "batch=000001.parquet.draft").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as refused:
        run()
    assert refused.value.filename == str(folder / "batch=000001.parquet")
    assert not (tmp_path / "scores" / "state.json").exists()
    run()
    run(out=tmp_path / "whole")
    assert_frame_equal(read(tmp_path / "scores"), read(tmp_path / "whole"))


def test_files_in_any_order_of_time(run: Run, log: pl.DataFrame, tmp_path: Path) -> None:
    run()
    shuffled = log.sample(fraction=1, shuffle=True, seed=3)
    for name, write in {
        "log.csv": shuffled.write_csv,
        "log.jsonl": shuffled.write_ndjson,
        "log.parquet": shuffled.write_parquet,
    }.items():
        write(tmp_path / name)
        run(source=tmp_path / name, out=tmp_path / "of_file", batch_events=100)
        assert_frame_equal(read(tmp_path / "of_file"), read(tmp_path / "scores"), **LIKE)
        shutil.rmtree(tmp_path / "of_file")


def test_what_comes_twice_late_or_broken(
    run: Run, files: Path, log: pl.DataFrame, tmp_path: Path
) -> None:
    run(until=later(20))
    before = read(tmp_path / "scores")
    newest = log.filter(pl.col("timestamp") < later(20))["timestamp"].max()
    assert newest is not None
    first = log[0].with_columns(pl.lit("new").alias("event_id"))
    late = first.with_columns(timestamp=pl.lit(newest) - timedelta(minutes=110))
    broken = log[-1].with_columns(pl.lit("broken").alias("event_id"), pl.lit(" ").alias("user_id"))
    again = log.filter(pl.col("timestamp") == newest)
    pl.concat([late, broken, again]).write_parquet(files / "more.parquet")
    done = run()
    assert (done.events_late, done.events_rejected, done.quarantined) == (1, 1, 2)
    assert done.events_duplicate >= len(again)
    apart = read(tmp_path / "scores", "quarantine")
    assert sorted(apart["rule"]) == ["late_event", "missing_user"]
    assert json.loads(apart.filter(rule="late_event")["record"][0])["event_id"] == "new"
    rows = read(tmp_path / "scores")
    kept = rows.filter(pl.col("window_id").is_in(before["window_id"].to_list()))
    assert_frame_equal(kept, before)
    done = run()
    assert (done.events_new, done.events_late, done.quarantined) == (0, 0, 0)
    assert_frame_equal(read(tmp_path / "scores", "quarantine"), apart)


def test_too_many_bad_rows_leave_nothing(run: Run, log: pl.DataFrame, tmp_path: Path) -> None:
    bad = log.with_columns(
        user_id=pl.when(pl.col("action") == "action_1").then(pl.lit("")).otherwise("user_id")
    )
    bad.write_parquet(tmp_path / "bad.parquet")
    with pytest.raises(DataError, match="max_rejected_share"):
        run(source=tmp_path / "bad.parquet")
    assert read(tmp_path / "scores").is_empty()


def test_dry_run_counts_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    dry = run(dry_run=True)
    assert not (tmp_path / "scores").exists() and dry.dry_run
    run(dry_run=True, out=f"sqlite:///{tmp_path / 'scores.db'}")
    assert not (tmp_path / "scores.db").exists()
    done = run()
    same = ("events_new", "windows_closed", "alerts", "last_event")
    assert [getattr(dry, name) for name in same] == [getattr(done, name) for name in same]


def test_open_windows_are_told_apart_and_replaced(
    run: Run, log: pl.DataFrame, tmp_path: Path
) -> None:
    cut = later(10.345)
    done = run(until=cut, open_windows=True)
    waiting = read(tmp_path / "scores", "open")
    assert done.windows_open == len(waiting) > 0
    assert waiting["open"].all() and not waiting["alert"].any()
    assert not set(waiting["window_id"]) & set(read(tmp_path / "scores")["window_id"])
    run(until=later(10.9), open_windows=True)
    assert read(tmp_path / "scores", "open").is_empty()
    assert set(waiting["window_id"]) <= set(read(tmp_path / "scores")["window_id"])


def test_a_challenger_scores_beside_and_raises_nothing(
    run: Run, other_folder: Path, tmp_path: Path
) -> None:
    run()
    champion = read(tmp_path / "scores", "alerts")
    done = run(bundle=load_bundle(other_folder), role="challenger")
    assert done.alerts > 0
    assert_frame_equal(read(tmp_path / "scores", "alerts"), champion)
    rows = read(tmp_path / "scores")
    assert set(rows["role"]) == {"champion", "challenger"}
    assert rows["window_id"].n_unique() * 2 == len(rows)


def test_since_begins_the_first_run_only(run: Run, log: pl.DataFrame, tmp_path: Path) -> None:
    done = run(since=later(15), until=later(20))
    assert done.first_event is not None and done.first_event >= later(15)
    begun = log.filter(pl.col("timestamp").is_between(later(15), later(20), closed="left"))
    assert done.events_new == len(begun)
    rest = run(since=later(15))
    assert rest.events_new == len(log.filter(pl.col("timestamp") >= later(20)))


def test_what_training_knows_is_not_scored_again(
    bundle: Bundle, run: Run, log: pl.DataFrame
) -> None:
    past = log.filter(pl.col("timestamp") < later(15))
    _, profile = bundle.extractor.transform(past, Profile())
    trained = replace(bundle, profile=profile)
    done = run(bundle=trained, dry_run=True)
    assert done.events_read == len(log) - len(past)
    with pytest.raises(ConfigError, match=r"--since .* the bundle knows the events up to"):
        run(bundle=trained, since=later(3))


def test_a_second_job_is_refused(run: Run, tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "scores")
    with store.alone("x", timedelta(0)), pytest.raises(JobBusyError, match="another job"):
        run(wait=timedelta(seconds=0.2))
    assert run().windows_closed


def test_a_batch_that_another_job_wrote_is_refused(
    run: Run, bundle: Bundle, tmp_path: Path
) -> None:
    for out in (str(tmp_path / "scores"), f"sqlite:///{tmp_path / 'scores.db'}"):
        run(out=out)
        store, nothing = open_store(out), pl.DataFrame(schema=SCORE_SCHEMA)
        stale = Output(nothing, pl.DataFrame(schema=QUARANTINE_SCHEMA), {}, 1)
        with pytest.raises(JobBusyError, match="another job"):
            store.write(version_of(bundle.manifest), "champion", stale)


def test_a_damaged_state_is_named(run: Run, tmp_path: Path) -> None:
    run(until=later(10))
    (file,) = (tmp_path / "scores").glob("standing/*/*/recent.parquet")
    file.write_bytes(b"none")
    with pytest.raises(BundleError, match="the state of model"):
        run()


def test_impossible_settings() -> None:
    ahead = datetime.now(UTC) + timedelta(hours=1)
    for wrong in (
        {"batch_events": 0},
        {"overlap": timedelta(-1)},
        {"since": END, "until": END},
        {"until": ahead},
    ):
        with pytest.raises(ConfigError):
            JobSettings(**wrong)  # type: ignore[arg-type]
    assert AFTER_ALL.until == END
