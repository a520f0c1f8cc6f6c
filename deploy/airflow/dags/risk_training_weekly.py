"""Every week: train on the days before, register the bundle, and make it champion if it may be."""

from __future__ import annotations

from typing import Any

from airflow.sdk import CronDataIntervalTimetable, Variable, chain, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from riskml_airflow.assets import CHAMPION
from riskml_airflow.commands import TRAIN, command, end_of
from riskml_airflow.settings import END, MODEL, Settings, days_before, days_of, variable
from riskml_airflow.shape import shape

WORK = Settings().work
RUN = f"{WORK}/train/{END}"
BUNDLES = f"{WORK}/bundles"
FIRST, ALWAYS = "first", "always"


@task(inlets=[CHAMPION])
def may_promote(registered: dict[str, Any], dag_run: Any = None, inlet_events: Any = None) -> str:
    """The version that becomes champion; the rest is skipped where people choose.

    Without labels nothing says which of two models is the better one (docs/compare.md), so that
    only the first becomes champion by itself, unless the Variable says always.
    """
    when = Variable.get("riskml_promote", default=FIRST)
    if when not in (FIRST, ALWAYS):
        raise ValueError(f"riskml_promote={when}: must be {FIRST} or {ALWAYS}")
    mine, champion = str(registered["version"]), registered["champion"]
    # a week that is made up for must not put an older model in the place of a newer one
    newest = max((each.extra.get("until", "") for each in inlet_events[CHAMPION]), default="")
    if champion not in (None, mine) and (when == FIRST or end_of(dag_run) < newest):
        raise AirflowSkipException(f"version {champion} stays champion")
    return mine


@dag(
    schedule=CronDataIntervalTimetable("0 3 * * 0", timezone="UTC"),
    doc_md=__doc__,
    **shape("risk_training_weekly", "TRAINING", 12),
)
def risk_training_weekly() -> None:
    """Train → register as challenger → champion → the link that scoring uses."""
    train = command(
        "train",
        *("train.py", "data=database", f"paths.outputs={WORK}", f"hydra.run.dir={RUN}"),
        f"since={days_before(days_of('train_days', 120))}T00:00:00Z",
        f"until={END}T00:00:00Z",
        options=variable("train_options", "model=vae"),
        once=f"{RUN}/done.json",
        image=TRAIN,
    )
    register = command(
        "register",
        *("riskml", "registry", "register", f"{RUN}/bundle", "--name", MODEL),
        *("--alias", "challenger", "--json"),
        image=TRAIN,
    )
    chosen = may_promote(register)
    promote = command(
        "promote",
        *("riskml", "registry", "alias", MODEL),
        *("{{ ti.xcom_pull(task_ids='may_promote') }}", "champion"),
        image=TRAIN,
    )
    publish = command(
        "publish",
        *("riskml", "registry", "fetch", f"models:/{MODEL}@champion", "--json"),
        *("--out", f"{BUNDLES}/{{version}}", "--link", f"{BUNDLES}/current"),
        image=TRAIN,
        told=CHAMPION,
    )
    chain(train, register, chosen, promote, publish)


risk_training_weekly()
