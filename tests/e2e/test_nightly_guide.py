"""docs/nightly.md, followed on a real PostgreSQL: the past is learnt, then comes a night."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command_line import ROOT, environment
from sqlalchemy import create_engine, text

from riskml.data.simulator import SimulationSettings, simulate

pytestmark = pytest.mark.slow

GUIDE = (ROOT / "docs" / "nightly.md").read_text()
AUDIT = "postgresql+psycopg://reader:...@host/audit"
RISK = "postgresql+psycopg://riskml:...@host/risk"


def commands(title: str) -> str:
    """The commands of a section."""
    section = GUIDE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return "\n".join(re.findall(r"```bash\n(.*?)```", section, re.DOTALL))


def champion(printed: str) -> dict[str, Any]:
    """The job's summary."""
    (line,) = [line for line in printed.splitlines() if line.startswith("{")]
    summary: dict[str, Any] = json.loads(line)["champion"]
    return summary


def insert(database: str, events: pl.DataFrame) -> None:
    """Write events into an audit table with its own names."""
    rows = events.select(
        employee="user_id", login_time="timestamp", action="action", document="resource"
    )
    with create_engine(database).begin() as connection:
        connection.execute(
            text(
                "CREATE TABLE IF NOT EXISTS logins (id bigserial, employee text, "
                "login_time timestamptz, action text, document text)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO logins (employee, login_time, action, document) "
                "VALUES (:employee, :login_time, :action, :document)"
            ),
            rows.to_dicts(),
        )


def test_a_night_after_the_past(new_database: Callable[[], str], tmp_path: Path) -> None:
    audit, risk = new_database(), new_database()
    simulate(SimulationSettings(users=20, days=60, test_days=20), tmp_path / "world")
    events = pl.read_parquet(tmp_path / "world" / "events", hive_partitioning=False).sort(
        "timestamp"
    )
    last = events["timestamp"].max()
    assert last is not None
    yesterday = pl.col("timestamp") >= last - timedelta(days=2)

    def follow(script: str) -> str:
        changes = {AUDIT: audit, RISK: risk, "/srv/riskml": str(tmp_path), "<date>": "*"}
        changes |= {"python train.py": f"python {ROOT}/train.py paths.outputs={tmp_path}/outputs"}
        for old, new in changes.items():
            script = script.replace(old, new)
        variables = "\n".join(re.findall(r"^export .*", commands("Once"), re.MULTILINE))
        variables = variables.replace(AUDIT, audit).replace(RISK, risk)
        paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(
            ["bash", "-c", f"set -e\n{variables}\n{script}"],
            cwd=tmp_path,
            env=environment() | {"PATH": paths, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout

    insert(audit, events.filter(~yesterday))
    follow(commands("Once"))
    insert(audit, events.filter(yesterday))
    night = champion(follow(commands("Every night")))
    assert night["windows_closed"] > 0
    again = champion(follow(commands("Every night")))
    assert again["windows_closed"] == 0, "each window once"
    listed = follow(commands("Every morning").splitlines()[0].replace("medium", "low"))
    assert len(listed.splitlines()) == night["alerts"]
