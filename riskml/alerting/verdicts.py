"""Verdicts of people: the state of an alert, and what the triage learns from."""

from __future__ import annotations

from datetime import UTC, datetime

from riskml.alerting.alert_log import AlertLog
from riskml.alerting.feedback import FeedbackStore, Judgement, Verdict
from riskml.alerting.states import AlertState

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
    """Give an alert a state, and store what that says of each of its windows.

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
        DataError: as `AlertLog.change` and `FeedbackStore.add`; where the latter does, the state
            has changed.
    """
    log.change(alert_id, state, who, why)
    verdict = VERDICTS.get(state)
    if store is None or verdict is None:
        return 0
    now = datetime.now(UTC)
    return store.add(
        Judgement(each["window_id"], each["user_id"], verdict, who, now, each["model_version"], why)
        for each in log.history(alert_id).sightings
    )
