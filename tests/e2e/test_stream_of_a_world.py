"""A whole simulated world as a stream and in batches, and what drifts in it: the same bundle."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from command_line import ROOT, SMALL, environment, once, run_cold

pytestmark = pytest.mark.slow

WORLD = ("data.source.users=60", "data.source.days=90", "data.split.test=30")
EPOCHS = "model.training.max_epochs=8"
TRAIN = ("model=vae", "bundle_knows=before_test", "callbacks=quiet", EPOCHS, *SMALL, *WORLD)
SIMULATE = ["simulate", "--users", "60", "--days", "90"]


def riskml(*words: str, source: bytes | None = None) -> bytes:
    """The command; gives what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "riskml.cli", *words],
        input=source,
        capture_output=True,
        env=environment(),
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.fixture(scope="module")
def scored(shared: Path) -> Path:
    """A folder with the world, and what batches and a stream say of its test period."""

    def make(folder: Path) -> None:
        run_cold("train.py", folder / "outputs", *TRAIN)
        [run] = (folder / "outputs" / "train").iterdir()
        bundle = str(run / "bundle")
        riskml(*SIMULATE, "--out", str(folder / "world"))
        messages = riskml(*SIMULATE, "--test-period", "--speed", "1000000000x")
        log = folder / "log.jsonl"
        log.write_bytes(messages)
        riskml("score", "--bundle", bundle, "--source", str(log), "--out", str(folder / "batch"))
        told = f"file://{folder}/told.jsonl"
        state = str(folder / "state")
        words = ["stream", "--bundle", bundle, "--state", state, "--sink", told]
        riskml(*words, source=messages)

    return once(shared, "stream_of_a_world", make)


def closed_rows(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Whole windows, of the batches and of the stream."""
    batch = pl.read_parquet(folder / "batch" / "**" / "scores" / "**" / "*.parquet")
    told = pl.read_ndjson(folder / "told.jsonl", infer_schema_length=None)
    return batch.filter(~pl.col("open")).sort("window_id"), told.filter(~pl.col("open")).sort(
        "window_id"
    )


def test_windows_scores_and_alerts_are_those_of_the_run(scored: Path) -> None:
    batch, _ = closed_rows(scored)
    [run] = (scored / "outputs" / "train").iterdir()
    known = pl.read_parquet(run / "scores.parquet").select("window_id", "score", "alert")
    both = batch.join(known, on="window_id", suffix="_run")
    assert len(both) > 0.95 * len(known)  # some are still open in the end
    np.testing.assert_allclose(both["score"], both["score_run"], rtol=1e-5)
    assert (both["alert"] == both["alert_run"]).mean() > 0.99


def test_windows_scores_and_alerts_are_the_same(scored: Path) -> None:
    batch, stream = closed_rows(scored)
    assert len(batch) > 1_000
    assert stream["window_id"].to_list() == batch["window_id"].to_list()
    assert stream["n_events"].to_list() == batch["n_events"].to_list()
    np.testing.assert_allclose(stream["score"], batch["score"], rtol=1e-5)
    assert stream["alert"].to_list() == batch["alert"].to_list()


def test_incidents_are_caught_at_the_same_windows(scored: Path) -> None:
    incidents = pl.read_parquet(scored / "world" / "incidents.parquet")
    caught = []
    for rows in closed_rows(scored):
        alerts = rows.filter("alert").select(
            "window_id",
            "user_id",
            *(pl.col(c).cast(pl.String).str.to_datetime(time_zone="UTC") for c in SPAN),
        )
        both = incidents.join(alerts, on="user_id")
        hit = both.filter(
            pl.col("window_start") <= pl.col("end"), pl.col("window_end") >= pl.col("start")
        )
        caught.append(set(hit.select("incident_id", "window_id").iter_rows()))
    assert caught[0] == caught[1] != set()


SPAN = ("window_start", "window_end")


def test_each_alert_says_when_it_was_raised(scored: Path) -> None:
    _, stream = closed_rows(scored)
    alerts = stream.filter("alert")
    assert alerts["raised"].to_list() == ["final"] * len(alerts)
    assert alerts["raised_at"].null_count() == 0


def drift(scored: Path, log: Path, *words: str) -> tuple[int, str]:
    """Exit code and standard output of `riskml drift`; periods are small as the world is."""
    [run] = (scored / "outputs" / "train").iterdir()
    command = ["drift", "--bundle", str(run / "bundle"), "--source", str(log), "--least", "150"]
    done = subprocess.run(
        [sys.executable, "-m", "riskml.cli", *command, *words],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=ROOT,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_an_upgrade_that_renames_an_action_is_drift(scored: Path, tmp_path: Path) -> None:
    page = tmp_path / "drift.html"
    code, told = drift(scored, scored / "log.jsonl", "--report", str(page))
    assert code == 0, told
    assert "nothing drifts at present" in told
    assert "data:image/svg+xml" in page.read_text()
    events = pl.read_ndjson(scored / "log.jsonl", infer_schema_length=None)
    other = pl.col("action").replace("web_visit", "visit")
    renamed = tmp_path / "renamed.parquet"
    events.with_columns(other).write_parquet(renamed)
    code, told = drift(scored, renamed, "--json")
    assert code == 3
    found = json.loads(told)
    assert {"actions", "count:web_visit"} <= set(found["wakes"])
    changes = {(each["action"], each["change"]) for each in found["actions"]}
    assert changes == {("<unknown>", "unknown"), ("web_visit", "gone")}
