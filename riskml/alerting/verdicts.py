"""Verdicts of people: the state of an alert, and what the triage learns from."""

from __future__ import annotations

from datetime import UTC, datetime

from riskml.alerting.alert_log import AlertLog
from riskml.alerting.feedback import FeedbackStore, Judgement, Verdict
from riskml.alerting.states import AlertState, check_change

VERDICTS = {
    AlertState.RESOLVED: Verdict.TRUE_INCIDENT,
    AlertState.FALSE_ALARM: Verdict.FALSE_ALARM,
}
"""What an ended alert teaches; an accepted risk teaches nothing."""


def give_verdict(
    log: AlertLog,
    alert_id: str,
    state: AlertState,
    who: str,
    why: str = "",
    store: FeedbackStore | None = None,
) -> int:
    """Store what a state says of each of an alert's windows, and give it to the alert.

    In this order: where the verdicts cannot be stored the alert is as it was, and whoever gave the
    state gives it again. The other way round nobody could, since the state would be there already.

    Args:
        log: that has the alert.
        alert_id: of the alert.
        state: that it is given.
        who: gives it.
        why: in a sentence.
        store: of verdicts; None: only the state changes.

    Returns:
        How many new verdicts were stored.

    Raises:
        DataError: as `AlertLog.change` and `FeedbackStore.add`; the state has not changed.
    """
    verdict, stored = VERDICTS.get(state), 0
    if store is not None and verdict is not None:
        found = log.history(alert_id)
        check_change(alert_id, AlertState(found.alert["state"]), state)
        now = datetime.now(UTC)
        stored = store.add(
            Judgement(w["window_id"], w["user_id"], verdict, who, now, w["model_version"], why)
            for w in found.sightings
        )
    log.change(alert_id, state, who, why)
    return stored
