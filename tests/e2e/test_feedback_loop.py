"""Verdicts on the alerts of a run, and its windows ranked anew; verdicts in a real PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner
from command_line import environment, last_run, read_json
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from riskml.alerting.feedback import FeedbackStore, Judgement
from riskml.cli import main

pytestmark = pytest.mark.slow

AT = datetime(2026, 3, 1, 9, tzinfo=UTC)
FIRST = Judgement("w1", "ann", "false_alarm", "kim", AT, "vae/1", "was on call")


def riskml(*arguments: str) -> str:
    """What the command says beside its results."""
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    return done.stderr


def riskml_alone(*arguments: str, folder: Path) -> str:
    """The same in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "riskml.cli", *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


def test_from_alert_to_verdict_to_ranking(trained: Path, tmp_path: Path) -> None:
    run = last_run(trained)
    scores = pl.read_parquet(run / "scores.parquet").sort("score", descending=True)
    store, ranked = f"sqlite:///{tmp_path / 'feedback.db'}", run / "triage"
    arguments = ("triage", "--run", str(run), "--store", store, "--fewest", "2")

    FeedbackStore(store).add([])
    before = riskml(*arguments)
    assert "0 true incidents and 0 false alarms: 2 of each" in before
    first = pl.read_parquet(ranked / "ranking.parquet")
    assert first["evidence"].is_sorted(descending=True)
    assert first["confirm_probability"].null_count() == len(first)

    for risky, verdict in ((1, "true_incident"), (0, "false_alarm")):
        judged = scores.filter(pl.col("label") == risky)
        for window in judged.unique("user_id", keep="first", maintain_order=True)["window_id"][:4]:
            add = ("feedback", "add", window, verdict, "--who", "kim", "--run", str(run))
            riskml(*add, "--store", store)
    after = riskml_alone(*arguments, folder=tmp_path)
    assert "learnt from 4 true incidents and 4 false alarms" in after
    about = read_json(ranked / "triage.json")
    assert (about["true_incidents"], about["false_alarms"]) == (4, 4)
    assert about["learnt"]
    assert about["on_other_windows"] == 0
    ranking = pl.read_parquet(ranked / "ranking.parquet").join(
        scores.select("window_id", "label"), on="window_id"
    )
    told = ranking.group_by("label").agg(pl.col("confirm_probability").median()).sort("label")
    assert told["confirm_probability"][0] < told["confirm_probability"][1]
    alerts = pl.read_csv(ranked / "alerts.csv")
    assert alerts["window_id"].to_list() == (
        pl.read_parquet(ranked / "ranking.parquet").filter("within_budget")["window_id"].to_list()
    )


def test_verdicts_in_postgresql(new_database: Callable[[], str]) -> None:
    database = new_database()

    def add(i: int) -> int:
        """Two at a time make the table and say half of the same."""
        own = [replace(FIRST, window_id=f"w{n}") for n in range(i * 50, i * 50 + 100)]
        return FeedbackStore(database).add(own)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(add, range(6))) == 350
    store = FeedbackStore(database)
    later = replace(FIRST, verdict="true_incident", at=datetime(2026, 3, 2, tzinfo=UTC))
    assert store.add([later, later]) == 1
    assert store.latest().filter(pl.col("window_id") == "w1")["verdict"].to_list() == [
        "true_incident"
    ]
    for statement in ("UPDATE verdicts SET who='x'", "DELETE FROM verdicts", "TRUNCATE verdicts"):
        with (
            pytest.raises(SQLAlchemyError, match="only added"),
            store.engine.begin() as connection,
        ):
            connection.execute(text(statement))
    assert len(store.history()) == 351
