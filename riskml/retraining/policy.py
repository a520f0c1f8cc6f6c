"""When a model is trained again, and what its challenger has to show."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from riskml.alerting.settings_files import checked, read_yaml
from riskml.alerting.states import FromFile
from riskml.core.errors import require
from riskml.evaluation.injection import FAMILIES

DRIFT, AGE, LABELS, PERSON = "drift", "age", "labels", "person"
"""What a retraining is for."""


@dataclass(frozen=True, kw_only=True)
class RetrainPolicy(FromFile):
    """The settings of a retraining; conf/retraining/policy.yaml says what each is for.

    Args:
        drift: whether drift is a reason.
        settle: since the first drifting day, so that a challenger sees something of the new world.
        age: of the champion's last day of training, from which on that is a reason; None: never.
        labels: verdicts since then that are a reason; None: never.
        cool_down: after a challenger was promoted or rejected; a person may ask sooner.
        retry: after a training that failed.
        hold: share of each day's windows, the highest by the champion, that are not learnt from.
        calibration, test: days of the challenger's log after those that it is fitted on.
        shadow: how long a challenger is watched on what came after its training.
        injected: share of the watched windows into which anomalies are made up.
        draws: how often, each time into other windows.
        families: of those, names of `riskml.evaluation.injection`.
        margin: average precision that the challenger may be worse by, at the lower end of the
            paired interval.
        most_alerts: how often its promised alerts a challenger may raise, unless the champion
            raises as many.

    Raises:
        ConfigError: a setting is impossible.
    """

    drift: bool = True
    settle: timedelta = timedelta(days=7)
    age: timedelta | None = timedelta(days=180)
    labels: int | None = 200
    cool_down: timedelta = timedelta(days=14)
    retry: timedelta = timedelta(days=1)
    hold: float = 0.01
    calibration: int = 2
    test: int = 1
    shadow: timedelta = timedelta(days=2)
    injected: float = 0.05
    draws: int = 10
    families: tuple[str, ...] = tuple(FAMILIES)
    margin: float = 0.02
    most_alerts: float = 3.0

    def __post_init__(self) -> None:
        for name in ("settle", "cool_down", "retry"):
            length = getattr(self, name)
            require(name, length, length >= timedelta(), "must not be below 0")
        day = timedelta(days=1)
        require("shadow", self.shadow, self.shadow >= day, "must be a day or more, such as 2d")
        fits = self.age is None or self.age >= day
        require("age", self.age, fits, "must be a day or more, or null for never")
        fits = self.labels is None or self.labels >= 1
        require("labels", self.labels, fits, "must be at least 1, or null for never")
        require("hold", self.hold, 0 <= self.hold <= 0.5, "must lie between 0 and 0.5")
        for name in ("calibration", "test"):
            require(name, getattr(self, name), getattr(self, name) >= 1, "must be a day or more")
        require("injected", self.injected, 0 < self.injected <= 0.5, "must be above 0, up to 0.5")
        require("draws", self.draws, self.draws >= 1, "must be at least 1")
        fits = len(self.families) > 0 and set(self.families) <= set(FAMILIES)
        require("families", list(self.families), fits, f"must be among {', '.join(FAMILIES)}")
        require("margin", self.margin, 0 <= self.margin < 1, "must lie in [0, 1)")
        fits = 0 < self.most_alerts < math.inf
        require("most_alerts", self.most_alerts, fits, "must be above 0")


@dataclass(frozen=True)
class Facts:
    """What is known of a champion and its log when somebody looks.

    Args:
        now: all earlier events have arrived.
        trained_until: end of the last window that the champion was trained on.
        drifting: quantities that drift by now, the furthest first.
        drifting_since: first day of that.
        labels: verdicts that came after `trained_until`.
        asked: why a person asks for a retraining; empty where nobody does.
    """

    now: datetime
    trained_until: datetime
    drifting: tuple[str, ...] = ()
    drifting_since: datetime | None = None
    labels: int = 0
    asked: str = ""


def reasons(policy: RetrainPolicy, facts: Facts) -> dict[str, str]:
    """Why a champion is to be trained again: trigger → in words; empty where there is no reason."""
    found = {}
    if facts.asked:
        found[PERSON] = facts.asked
    since = facts.drifting_since
    if policy.drift and since is not None and facts.now - since >= policy.settle:
        named = ", ".join(facts.drifting[:5])
        found[DRIFT] = f"{named} since {since:%Y-%m-%d}"
    age = facts.now - facts.trained_until
    if policy.age is not None and age >= policy.age:
        found[AGE] = f"trained until {facts.trained_until:%Y-%m-%d}, {age.days} days ago"
    if policy.labels is not None and facts.labels >= policy.labels:
        found[LABELS] = f"{facts.labels} verdicts since {facts.trained_until:%Y-%m-%d}"
    return found


def read_policy(path: Path) -> RetrainPolicy:
    """The policy of a YAML file; lengths of time are written as 12h, 2d or 1w.

    Raises:
        ConfigError: not readable, no YAML, or a setting that is wrong, with its place.
    """
    where = f"--policy {path}"
    return checked(RetrainPolicy, read_yaml(path, where), where)
