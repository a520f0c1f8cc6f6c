"""What all DAGs have: retries, deadlines, and who is told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DeadlineAlert, DeadlineReference, SyncCallback

from riskml_airflow.settings import BEFORE_ALL, Settings
from riskml_airflow.telling import tell_failure, tell_late, tell_success

LONGEST_WAIT = timedelta(hours=1)


def shape(dag_id: str, name: str, hours: float) -> dict[str, Any]:
    """Arguments of `@dag`.

    Args:
        dag_id: of the DAG.
        name: of its settings, such as SCORING.
        hours: that a run may take after it was queued, unless its setting says else.
    """
    settings = Settings()
    within = settings.hours(name, hours)
    late = DeadlineAlert(
        # not the logical date: a back-fill would be late before it began
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=within,
        callback=SyncCallback(tell_late, kwargs={"dag_id": dag_id, "within": str(within)}),
        name=f"{dag_id} in time",
    )
    return {
        "dag_id": dag_id,
        "start_date": settings.start or BEFORE_ALL,
        "catchup": settings.start is not None,
        "max_active_runs": 1,
        "tags": ["riskml"],
        "deadline": late if settings.deadlines else None,
        "on_success_callback": tell_success,
        "default_args": {
            "owner": "riskml",
            "pool": settings.pool,
            "retries": settings.retries,
            "retry_delay": timedelta(seconds=settings.retry_s),
            "retry_exponential_backoff": 2.0,
            "max_retry_delay": LONGEST_WAIT,
            "execution_timeout": within,
            "on_failure_callback": tell_failure,
        },
    }
