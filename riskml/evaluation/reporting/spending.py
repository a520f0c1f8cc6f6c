"""What the budget of alerts has room for: what binds, and which windows it is spent on."""

from __future__ import annotations

from riskml.evaluation.reporting.numbers import count, share, some
from riskml.evaluation.reporting.view import View
from riskml.scoring.conformal import ConformalAlerts
from riskml.scoring.thresholds import DailyBudget

WAITS = {
    "user_day": "up to a day, as a user's day is over at midnight on the user's own clock",
    "session": "until nothing has come for as long as the gap that ends a session",
    "block": "until the block has all its events",
}
"""How long after its last event a window is scored, by the kind of window."""


def chosen_within_budget(view: View) -> str:
    """Which windows the figures within the budget are of."""
    if view.about.rule is None:
        return "the highest scores"
    rule, binds = _daily(view), what_binds(view)
    by_day = [rule is not None and rule.by_day(table) for table in view.tables]
    day, whole = "the highest of each UTC day", "the highest of the whole test period"
    if all(by_day):
        return day
    if any(by_day):
        whole = f"{day}, in some folds {whole}"
    return f"{whole}, which cannot be told before it is over" + (f"; {binds}" if binds else "")


def what_binds(view: View) -> str:
    """That the share of windows allows fewer alerts than the number a day; empty where not."""
    rule = _daily(view)
    if rule is None or not any(rule.capped(table) for table in view.tables):
        return ""
    room = sum(rule.promised(table) for table in view.tables)
    return (
        f"the cap of {share(rule.max_share)} of windows binds: of "
        f"{count(len(view.whole) / view.test_days)} windows a day it allows "
        f"{some(round(room / view.test_days, 1), 'alert')} a day instead of "
        f"{count(rule.alerts_per_day)}"
    )


def wait_of(view: View) -> str:
    """What has to be added to a time to detect."""
    wait = WAITS.get(view.about.window, "until the window is over")
    return f"plus the wait until the window closes: {wait}"


def _daily(view: View) -> DailyBudget | None:
    rule = view.about.rule
    rule = rule.budget if isinstance(rule, ConformalAlerts) else rule
    return rule if isinstance(rule, DailyBudget) else None
