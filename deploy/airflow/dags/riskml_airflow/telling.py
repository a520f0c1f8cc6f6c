"""Failures and deadlines to the Alertmanager that riskml's alerts go to."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

URL = "RISKML_ALERTMANAGER_URL"
FAILED, LATE = "RiskmlDagFailed", "RiskmlDagLate"
STANDS = timedelta(days=1)
"""An alert ends by itself after that; a run that succeeds ends it before."""

TRIES, WAIT_S = 4, 10.0

_logger = logging.getLogger(__name__)


def tell_failure(context: Mapping[str, Any]) -> None:
    """A task has failed for good: all its tries are used up."""
    found = context["ti"]
    run, reason = context["dag_run"], context.get("exception")
    summary = f"{found.dag_id}: {found.task_id} failed in {run.run_id}"
    # what an exception says may quote anything, and Alertmanager sends it on: Airflow's log has it
    about = f"{type(reason).__name__} in try {found.try_number}; its log: {found.log_url}"
    _post(_alert(FAILED, found.dag_id, "high", summary, about))


def tell_success(context: Mapping[str, Any]) -> None:
    """A run has succeeded: what was told of its DAG is over."""
    dag_id = context["dag_run"].dag_id
    over = datetime.now(UTC)
    _post(
        _alert(FAILED, dag_id, "high", "a later run succeeded", "", over),
        _alert(LATE, dag_id, "high", "a later run succeeded", "", over),
    )


def tell_late(dag_id: str, within: str, context: Mapping[str, Any] | None = None) -> None:
    """A run was not done by its deadline.

    Args:
        dag_id: whose run it is.
        within: how long it may take.
        context: of the deadline, as Airflow gives it.
    """
    run = ((context or {}).get("dag_run") or {}).get("dag_run_id", "a run")
    summary = f"{dag_id}: {run} was not done {within} after it was queued"
    _post(_alert(LATE, dag_id, "high", summary, "Scores may be missing."))


def _alert(
    name: str,
    dag_id: str,
    severity: str,
    summary: str,
    description: str,
    until: datetime | None = None,
) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "labels": {"alertname": name, "dag_id": dag_id, "severity": severity},
        "annotations": {"summary": summary, "description": description},
        "startsAt": min(until or now, now).isoformat(),
        "endsAt": (until or now + STANDS).isoformat(),
    }


def _post(*alerts: Mapping[str, Any]) -> None:
    """Send alerts; a callback must not fail, so what goes wrong stands in the log alone."""
    place = os.environ.get(URL)
    if not place:
        _logger.warning("nobody is told: %s is not set", URL)
        return
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    again = Retry(
        TRIES, backoff_factor=1, status_forcelist=(429, 500, 502, 503, 504), allowed_methods=None
    )
    try:
        with requests.Session() as session:
            session.mount("http", HTTPAdapter(max_retries=again))
            url = f"{place.rstrip('/')}/api/v2/alerts"
            session.post(url, json=list(alerts), timeout=WAIT_S).raise_for_status()
    except requests.RequestException as error:
        # the message may quote the address, which may hold a password
        status = "" if error.response is None else f" {error.response.status_code}"
        _logger.error("Alertmanager was not told: %s%s", type(error).__name__, status)
