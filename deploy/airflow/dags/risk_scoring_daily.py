"""Every night: load what is new, see whether it is fit to be scored, score, alert, report."""

from __future__ import annotations

from typing import Any

from airflow.sdk import CronDataIntervalTimetable, chain, dag, task
from airflow.sdk.exceptions import AirflowFailException

from riskml_airflow.assets import CHAMPION, SCORES
from riskml_airflow.commands import TRAIN, command
from riskml_airflow.settings import (
    END,
    MODEL,
    PIPELINE,
    TABLE,
    Settings,
    days_before,
    days_of,
    variable,
)
from riskml_airflow.shape import shape

BUNDLES = f"{Settings().work}/bundles"
UNFIT = 3


@task
def gate(judged: dict[str, Any]) -> None:
    """Let nothing be scored after a day that is unfit.

    Trying again would not help. Once the day was mended, clear `load`; to go on as it is, give
    `--accept <day>` in the Variable riskml_quality_options and clear `quality`.
    """
    if not judged["passed"]:
        raise AirflowFailException("; ".join(judged["faults"]))


@dag(
    schedule=CronDataIntervalTimetable("15 1 * * *", timezone="UTC"),
    doc_md=__doc__,
    **shape("risk_scoring_daily", "SCORING", 5),
)
def risk_scoring_daily() -> None:
    """Load → quality gate → score → alert → report, of the days up to the end of the interval."""
    load = command(
        "load",
        *("riskml", "load", "--pipeline", PIPELINE, "--table", TABLE, "--until", END, "--json"),
        options=variable("load_options"),
    )
    judged = command(
        "quality",
        # not the last day alone: the run after would else score what this one would not
        *("riskml", "quality", "--pipeline", PIPELINE, "--each-day", "--json"),
        *("--since", days_before(days_of("gate_days", 7)), "--until", END),
        options=variable("quality_options"),
        accept=(0, UNFIT),
    )
    # takes up a champion that people chose since the last training
    champion = command(
        "champion",
        *("riskml", "registry", "fetch", f"models:/{MODEL}@champion", "--json"),
        *("--out", f"{BUNDLES}/{{version}}", "--link", f"{BUNDLES}/current"),
        image=TRAIN,
        inlets=[CHAMPION],
    )
    score = command(
        "score",
        *("riskml", "score", "--bundle", f"{BUNDLES}/current", "--until", END, "--json"),
        options=variable("score_options"),
        told=SCORES,
    )
    alert = command(
        "alert",
        *("riskml", "alerts", "take", "--json"),
        options=variable("alert_options"),
    )
    tables = command("alert_log", "riskml", "alerts", "init")
    report = command(
        "report",
        *("riskml", "report", "--period", "week", "--ending", days_before("1")),
        *("--out", f"{Settings().work}/reports"),
        options=variable("report_options", "--html-only"),
    )
    chain(load, judged, gate(judged), score, alert, report)
    chain([champion, tables], score)
    if channels := Settings().channels:
        words = ("riskml", "alerts", "deliver", "--channels", channels, "--json")
        chain(alert, command("deliver", *words))


risk_scoring_daily()
