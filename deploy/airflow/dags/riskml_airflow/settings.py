"""Settings of the DAGs (docs/airflow.md).

What shapes a DAG comes from the environment, since DAG files must not ask Airflow's database;
words of commands come from Airflow Variables, which are read when a task runs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

EXTERNAL_PYTHON, KUBERNETES = "external_python", "kubernetes"
PREFIX = "RISKML_AIRFLOW_"
BEFORE_ALL = datetime(2024, 1, 1, tzinfo=UTC)


def _text(name: str, usual: str) -> str:
    return os.environ.get(PREFIX + name) or usual


def _number(name: str, usual: float) -> float:
    value = _text(name, str(usual))
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"{PREFIX}{name}={value}: must be a number") from None


def _choice(name: str, *choices: str) -> str:
    value = _text(name, choices[0])
    if value not in choices:
        raise ValueError(f"{PREFIX}{name}={value}: must be one of {', '.join(choices)}")
    return value


def _start() -> datetime | None:
    value = _text("START", "")
    try:
        return datetime.fromisoformat(value).replace(tzinfo=UTC) if value else None
    except ValueError:
        raise ValueError(f"{PREFIX}START={value}: write a day, such as 2026-03-01") from None


@dataclass(frozen=True)
class Settings:
    """As the environment has them when DAG files are read."""

    runtime: str = field(default_factory=lambda: _choice("RUNTIME", EXTERNAL_PYTHON, KUBERNETES))
    python: str = field(default_factory=lambda: _text("PYTHON", "/opt/riskml/bin/python"))
    root: str = field(default_factory=lambda: _text("ROOT", "/app"))
    work: str = field(default_factory=lambda: _text("WORK", "/srv/riskml"))
    mlflow: str = field(
        default_factory=lambda: _text("MLFLOW", os.environ.get("MLFLOW_TRACKING_URI", ""))
    )
    connection: str = field(default_factory=lambda: _text("CONNECTION", "riskml_db"))
    source: str = field(default_factory=lambda: _text("SOURCE_CONNECTION", ""))
    channels: str = field(default_factory=lambda: _text("CHANNELS", ""))
    pool: str = field(default_factory=lambda: _text("POOL", "default_pool"))
    start: datetime | None = field(default_factory=_start)
    retries: int = field(default_factory=lambda: int(_number("RETRIES", 4)))
    retry_s: float = field(default_factory=lambda: _number("RETRY_S", 60))
    deadlines: bool = field(default_factory=lambda: _choice("DEADLINES", "on", "off") == "on")
    image: str = field(default_factory=lambda: _text("IMAGE", "registry.example/riskml"))
    tag: str = field(default_factory=lambda: _text("TAG", "0.1.0"))
    namespace: str = field(default_factory=lambda: _text("NAMESPACE", "riskml"))
    secret: str = field(default_factory=lambda: _text("SECRET", "riskml"))
    claim: str = field(default_factory=lambda: _text("CLAIM", "riskml-work"))

    @property
    def tracking_uri(self) -> str:
        """Of MLflow, with the model registry."""
        return self.mlflow or f"sqlite:///{self.work}/mlflow.db"

    def hours(self, name: str, usual: float) -> timedelta:
        """A length of time, such as `RISKML_AIRFLOW_SCORING_HOURS`."""
        return timedelta(hours=_number(f"{name}_HOURS", usual))


def variable(name: str, usual: str = "") -> str:
    """Template of the Airflow Variable `riskml_<name>`."""
    return f"{{{{ var.value.get('riskml_{name}', '{usual}') }}}}"


_END = "(dag_run.data_interval_end or dag_run.run_after)"
END = f"{{{{ {_END} | ds }}}}"
"""Day before whose midnight (UTC) a run looks at the log: that on which its data interval ends."""


def days_before(days: str) -> str:
    """Template of the day so many days before `END`.

    Args:
        days: a number, or an expression for one.
    """
    return f"{{{{ ({_END} - macros.timedelta(days={days})) | ds }}}}"


def days_of(name: str, usual: int) -> str:
    """Expression, for `days_before`, of the Airflow Variable `riskml_<name>`."""
    return f"var.value.get('riskml_{name}', '{usual}') | int"


PIPELINE, TABLE = variable("pipeline", "logins"), variable("table", "logins")
MODEL = variable("model", "logins")
