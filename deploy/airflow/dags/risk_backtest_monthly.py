"""Every month: how detectors would have done, fitted again and again on what was known then."""

from __future__ import annotations

from airflow.sdk import CronDataIntervalTimetable, dag

from riskml_airflow.assets import BACKTEST
from riskml_airflow.commands import TRAIN, command
from riskml_airflow.settings import END, Settings, days_before, days_of, variable
from riskml_airflow.shape import shape

WORK = Settings().work
RUN = f"{WORK}/backtest/{END}"


@dag(
    schedule=CronDataIntervalTimetable("0 4 1 * *", timezone="UTC"),
    doc_md=__doc__,
    **shape("risk_backtest_monthly", "BACKTEST", 48),
)
def risk_backtest_monthly() -> None:
    """One evaluation over folds in time; a try that was killed is gone on with."""
    command(
        "backtest",
        *("evaluate.py", "data=database", f"paths.outputs={WORK}", f"hydra.run.dir={RUN}"),
        f"since={days_before(days_of('backtest_days', 180))}T00:00:00Z",
        f"until={END}T00:00:00Z",
        options=variable("backtest_options", "backtest=rolling model=vae baselines=[counts]"),
        once=f"{RUN}/done.json",
        resume=RUN,
        image=TRAIN,
        told=BACKTEST,
    )


risk_backtest_monthly()
