"""Reads what decides about alerts from plain values."""

from __future__ import annotations

from typing import Any

from riskml.scoring.alerting import Alerting, FixedThreshold
from riskml.scoring.conformal import FalseDiscoveryControl
from riskml.scoring.rolling_budget import RollingBudget
from riskml.scoring.spot import SpotTail

KIND, SCORE = "kind", "score"
ADAPTIVE = {kind.kind: kind for kind in (RollingBudget, SpotTail, FalseDiscoveryControl)}


def alerting_state(alerting: Alerting) -> dict[str, Any]:
    """Plain values for JSON: the present threshold as `score`, and the rest where it is needed."""
    if isinstance(alerting, FixedThreshold):
        return alerting.state()
    return {SCORE: alerting.threshold, KIND: alerting.kind, "state": alerting.state()}


def read_alerting(state: dict[str, Any]) -> Alerting:
    """Read what `alerting_state` gave; a `score` alone is a fixed threshold.

    Raises:
        ValueError: of a kind that is not known.
    """
    kind = state.get(KIND, FixedThreshold.kind)
    if kind == FixedThreshold.kind:
        return FixedThreshold.from_state(state)
    if kind not in ADAPTIVE:
        raise ValueError(f"no alerting of kind '{kind}'")
    alerting: Alerting = ADAPTIVE[kind].from_state(state["state"])
    return alerting
