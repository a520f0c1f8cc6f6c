"""A real Airflow in an environment of its own: its homes, and runs of DAGs there."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

ROOT = Path(__file__).parents[2]
DAGS = ROOT / "deploy" / "airflow" / "dags"
PASSWORD = "hush/hush 7"
DATABASE = "airflow.db"

IMPORTED = """
import json, os, sys
from pathlib import Path
from airflow.dag_processing.dagbag import BundleDagBag

place = os.environ["AIRFLOW__CORE__DAGS_FOLDER"]
bag = BundleDagBag(dag_folder=place, bundle_path=Path(place), bundle_name="dags-folder")
found = {
    dag.dag_id: {
        "deadlines": [
            [each.interval.total_seconds(), type(each.reference).__name__, each.callback.path]
            for each in dag.deadline or []
        ],
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "tasks": {
            task.task_id: {
                "operator": task.operator_class.__name__ if task.is_mapped else task.operator_name,
                "python": getattr(task, "python", None),
                "retries": task.retries,
                "backoff": task.retry_exponential_backoff,
                "told": [each.__name__ for each in task.on_failure_callback],
                "outlets": [each.name for each in task.outlets],
                "after": sorted(task.upstream_task_ids),
            }
            for task in dag.tasks
        },
    }
    for dag in bag.dags.values()
}
Path(sys.argv[1]).write_text(json.dumps({"errors": bag.import_errors, "dags": found}))
"""


@dataclass
class Run:
    """One `airflow dags test`, which goes on beside others.

    Args:
        home: of Airflow.
        process: of the command.
        log: what it says.
    """

    home: Path
    process: subprocess.Popen[bytes]
    log: Path

    def done(self) -> bool:
        """Whether the DAG run was a success; waits for its end."""
        return self.process.wait(timeout=600) == 0

    @property
    def said(self) -> str:
        """Its log."""
        return self.log.read_text()


@dataclass
class Airflow:
    """An installation, the settings of the DAGs, and a home whose database was made once.

    Args:
        environment: folder of the installation.
        folder: for homes and for what the DAGs make.
        databases: Airflow Connection → URL of its database.
        variables: Airflow Variables without `riskml_`.
    """

    environment: Path
    folder: Path
    databases: dict[str, str]
    variables: dict[str, str] = field(default_factory=dict)
    runs: int = 0

    def __post_init__(self) -> None:
        self.python = self._failing_once()
        self._made = self.folder / "made"
        words = [str(self.environment / "bin" / "airflow"), "db", "migrate"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._migration = subprocess.Popen(words, env=self._variables(self._made), **quiet)

    @property
    def work(self) -> Path:
        """Where the DAGs keep what they make."""
        return self.folder / "work"

    def home(self, name: str) -> Path:
        """A home of its own: two that write to one SQLite file would wait for each other."""
        assert self._migration.wait(timeout=600) == 0
        (self.folder / name).mkdir()
        shutil.copy(self._made / DATABASE, self.folder / name)
        return self.folder / name

    def test(self, home: Path, dag: str, date: str, *words: str, **settings: str) -> Run:
        """Begin `airflow dags test`."""
        self.runs += 1
        log = self.folder / f"{self.runs}-{dag}.log"
        command = [str(self.environment / "bin" / "airflow"), "dags", "test", dag, date, *words]
        variables = self._variables(home) | {"RISKML_AIRFLOW_DEADLINES": "off"} | settings
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, env=variables, stdout=file, stderr=subprocess.STDOUT
            )
        return Run(home, process, log)

    def imported(self) -> Any:
        """What Airflow finds in the folder of DAGs."""
        told = self.folder / "imported.json"
        words = [str(self.environment / "bin" / "python"), "-c", IMPORTED, str(told)]
        subprocess.run(words, env=self._variables(self._made), check=True, capture_output=True)
        return json.loads(told.read_text())

    def rows(self, home: Path, query: str) -> list[tuple[Any, ...]]:
        """Of Airflow's own database."""
        with sqlite3.connect(home / DATABASE) as connection:
            return connection.execute(query).fetchall()

    def fail_once(self) -> None:
        """The next command of riskml ends before it has done anything."""
        (self.folder / "fail").touch()

    def _failing_once(self) -> Path:
        """The Python of riskml, as Airflow is told of it."""
        program = self.folder / "python"
        flag = self.folder / "fail"
        program.write_text(
            f'#!/bin/sh\ncase "$1" in */script.py) rm "{flag}" 2>/dev/null && exit 9;; esac\n'
            f'exec "{sys.executable}" "$@"\n'
        )
        program.chmod(0o755)
        return program

    def _variables(self, home: Path) -> dict[str, str]:
        left_out = ("RISKML", "AIRFLOW", "PYTHON", "MLFLOW", "COV_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        connections = {
            f"AIRFLOW_CONN_{name.upper()}": _connection(url) for name, url in self.databases.items()
        }
        told = {f"AIRFLOW_VAR_RISKML_{name.upper()}": v for name, v in self.variables.items()}
        return {
            **kept,
            **connections,
            **told,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / DATABASE}",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
            "RISKML_AIRFLOW_PYTHON": str(self.python),
            "RISKML_AIRFLOW_ROOT": str(ROOT),
            "RISKML_AIRFLOW_WORK": str(self.work),
            "RISKML_AIRFLOW_RETRIES": "1",
            "RISKML_AIRFLOW_RETRY_S": "1",
            "RISKML_AIRFLOW_SOURCE_CONNECTION": "riskml_source",
            "RISKML_PSEUDONYM_KEY": "0" * 64,
            "OMP_NUM_THREADS": "1",
        }


def _connection(url: str) -> str:
    """An Airflow Connection as JSON; the server of the tests asks for no password."""
    parts = make_url(url)
    return json.dumps(
        {
            "conn_type": "postgres",
            "host": parts.host,
            "port": parts.port,
            "login": parts.username,
            "password": PASSWORD,
            "schema": parts.database,
            "extra": dict(parts.query),
        }
    )
