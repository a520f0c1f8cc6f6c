"""When somebody asks: a stretch of the log with any model, into a folder of its own."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, chain, dag, task

from riskml_airflow.commands import TRAIN, command
from riskml_airflow.settings import Settings, variable
from riskml_airflow.shape import shape

WORK = Settings().work
RUN = f"{WORK}/on_demand/{{{{ run_id | replace(':', '') | replace('+', '_') }}}}"
TIME = r"\d{4}-\d\d-\d\d(T\d\d:\d\d[\d:.]*(Z|[+-]\d\d:\d\d)?)?"
UNTIL = "params.until or dag_run.run_after | ds"
LOG = f"sqlite:///{RUN}/alerts.db"


@task.short_circuit
def wanted(params: Any = None) -> bool:
    """Whether the alerts are to be raised; they are in a log of the run's own anyway."""
    return bool(params["raise_alerts"])


@dag(
    schedule=None,
    doc_md=__doc__,
    params={
        "model": Param("models:/logins@champion", type="string", pattern=r"^models:/[^\s]+$"),
        "since": Param(
            "last",
            type="string",
            pattern=rf"^(last|{TIME})$",
            description="A time later than what the model knows from training, or last.",
        ),
        "until": Param(
            None,
            type=["null", "string"],
            pattern=rf"^{TIME}$",
            description="A time before which all events have arrived; today unless given.",
        ),
        "raise_alerts": Param(
            False, type="boolean", description="Tell people, as the nightly run does."
        ),
    },
    **shape("risk_on_demand", "ON_DEMAND", 5),
)
def risk_on_demand() -> None:
    """Fetch → score → alert → report; the nightly scores stay as they are."""
    fetch = command(
        "fetch",
        *("riskml", "registry", "fetch", "{{ params.model }}", "--json"),
        *("--out", f"{WORK}/bundles/{{version}}"),
        image=TRAIN,
    )
    score = command(
        "score",
        *("riskml", "score", "--bundle", "{{ ti.xcom_pull(task_ids='fetch')['folder'] }}"),
        *("--since", "{{ params.since }}", "--until", f"{{{{ {UNTIL} }}}}"),
        *("--out", f"{RUN}/scores", "--json"),
        options=variable("score_options"),
    )
    alert_log = command("alert_log", "riskml", "alerts", "init", "--log", LOG)
    alert = command(
        "alert",
        *("riskml", "alerts", "take", "--from", f"{RUN}/scores", "--log", LOG, "--json"),
        options=variable("alert_options"),
    )
    report = command(
        "report",
        *("riskml", "report", "--period", "month", "--log", LOG, "--scores", f"{RUN}/scores"),
        *("--ending", f"{{{{ macros.ds_add(({UNTIL})[:10], -1) }}}}", "--out", RUN),
        options=variable("report_options", "--html-only"),
    )
    raise_alerts = command(
        "raise_alerts",
        *("riskml", "alerts", "take", "--from", f"{RUN}/scores", "--json"),
        options=variable("alert_options"),
    )
    chain(fetch, score, alert_log, alert, report)
    chain(score, wanted(), raise_alerts)


risk_on_demand()
