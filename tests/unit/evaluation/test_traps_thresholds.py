"""No rule for alerts sees the truth or the future, and a best F1 is an oracle's. docs/traps.md."""

from __future__ import annotations

import inspect
import pkgutil
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import polars as pl
import pytest
from evaluation_cases import MakeWindows
from sklearn.metrics import f1_score
from trap_cases import Honest, bad, fair, judged, labels

import riskml.evaluation.evaluator
from riskml.core.types import Windows
from riskml.evaluation.checks.probes import KEYS
from riskml.evaluation.metrics import alert_metrics, ranking_metrics
from riskml.features.preparation import PreparedWindows
from riskml.scoring.alerting import FixedThreshold
from riskml.scoring.conformal import ConformalAlerts
from riskml.scoring.spot import PeaksOverThreshold
from riskml.scoring.thresholds import AlertShare, DailyBudget, Threshold


@pytest.fixture
def windows(make_windows: MakeWindows) -> PreparedWindows:
    return fair(make_windows)


@pytest.mark.parametrize(
    "rule",
    [
        DailyBudget(1),
        DailyBudget(1, adapt=True),
        DailyBudget(0.3),
        AlertShare(0.05),
        PeaksOverThreshold(),
        ConformalAlerts(),
    ],
    ids=lambda rule: rule.describe(),
)
def test_our_rules_pass(rule: Threshold, windows: PreparedWindows) -> None:
    assert bad(judged(Honest(), windows, rule)) == {}


class Cheat(DailyBudget):
    """A rule that decides as it likes.

    Args:
        windows: whose truth it knows.
    """

    def __init__(self, windows: PreparedWindows) -> None:
        super().__init__(1)
        self.truth = labels(windows)
        self.risky = set(windows.test.keys["window_id"].filter(pl.Series(self.truth == 1)))

    def start(self, scores: Any, keys: pl.DataFrame) -> Any:
        return Deciding(self)

    def alerts(self, scores: np.ndarray, keys: pl.DataFrame) -> np.ndarray:
        raise NotImplementedError


@dataclass(frozen=True)
class Deciding:
    rule: Cheat
    threshold = 0.0
    kind = "cheat"

    def decide(self, scores: Any, keys: pl.DataFrame) -> Any:
        return self.rule.alerts(np.asarray(scores), keys), self


class BestF1(Cheat):
    """The threshold that is best on the test labels, in the order of the test windows."""

    def alerts(self, scores: np.ndarray, keys: pl.DataFrame) -> np.ndarray:
        truth = np.resize(self.truth, len(scores))
        return scores >= max(scores, key=lambda level: f1_score(truth, scores >= level))


class QuantileOfTheTest(Cheat):
    """The highest of all that the test period will bring."""

    def alerts(self, scores: np.ndarray, keys: pl.DataFrame) -> np.ndarray:
        return scores >= np.quantile(scores, 0.95)


class ByName(Cheat):
    """Exactly the risky windows."""

    def alerts(self, scores: np.ndarray, keys: pl.DataFrame) -> np.ndarray:
        return keys["window_id"].is_in(self.risky).to_numpy()


class FailsOnOtherNames(Cheat):
    def alerts(self, scores: np.ndarray, keys: pl.DataFrame) -> np.ndarray:
        if keys["window_id"][0].startswith("window"):
            raise KeyError(keys["window_id"][0])
        return scores >= 2


class TopByName(Cheat):
    """Fills the budget with risky windows."""

    def top(self, scores: Any, keys: pl.DataFrame) -> Any:
        return keys["window_id"].is_in(self.risky).to_numpy()

    def alerts(self, scores: np.ndarray, keys: pl.DataFrame) -> np.ndarray:
        return scores >= 2


class OnDaysOfTheMonth(Cheat):
    """Speaks up on days that have an attack."""

    def alerts(self, scores: np.ndarray, keys: pl.DataFrame) -> np.ndarray:
        return (scores >= 2) & keys["end"].dt.day().is_in(self.days).to_numpy()

    def __init__(self, windows: PreparedWindows) -> None:
        super().__init__(windows)
        self.days = set(windows.test.keys["end"].dt.day().filter(pl.Series(self.truth == 1)))


class OfUsers(Cheat):
    """Speaks up for attackers alone."""

    def alerts(self, scores: np.ndarray, keys: pl.DataFrame) -> np.ndarray:
        return (scores >= 2) & keys["user_id"].is_in(["user0", "user1", "user2"]).to_numpy()


@pytest.mark.parametrize(
    "cheat",
    [
        *(BestF1, QuantileOfTheTest, ByName, FailsOnOtherNames, TopByName),
        *(OnDaysOfTheMonth, OfUsers),
    ],
)
def test_a_rule_that_knows_truth_or_future_is_refused(
    cheat: type[Cheat], windows: PreparedWindows
) -> None:
    found = judged(Honest(), windows, cheat(windows))
    assert bad(found) == {"threshold": "refused"}
    assert found.metrics["f1_at_threshold"] is found.metrics["average_precision"] is None


def test_a_rule_cannot_read_labels_from_what_it_is_given(windows: PreparedWindows) -> None:
    """Not even where somebody has put them into the windows."""
    seen: list[list[str]] = []

    class Reads(DailyBudget):
        def start(self, scores: Any, keys: pl.DataFrame) -> FixedThreshold:
            seen.append(keys.columns)
            return FixedThreshold(1.0)

        def top(self, scores: Any, keys: pl.DataFrame) -> Any:
            seen.append(keys.columns)
            return super().top(scores, keys)

    class Spied(Honest):
        def score(self, windows: Windows) -> Any:
            seen.append(windows.keys.columns)
            return super().score(windows)

    for part in (windows.calibration, windows.test):
        truth = labels(windows)[: len(part)]
        part.keys.insert_column(0, pl.Series("label", truth))
    detector = Spied().fit(windows.train)
    seen.clear()
    found = riskml.evaluation.evaluator.evaluate_detector("it", detector, windows, Reads(1))  # type: ignore[attr-defined]
    assert len(seen) > 4
    assert {tuple(columns) for columns in seen} == {KEYS}
    assert found.refused


def test_the_best_f1_is_under_no_name_but_an_oracles(windows: PreparedWindows) -> None:
    """Of all that is measured, nothing else is the best that labels could choose."""
    found = judged(Honest(), windows, AlertShare(0.2))
    truth, scores = labels(windows), found.scores["score"].to_numpy()
    best = max(f1_score(truth, scores >= level) for level in scores)
    assert found.metrics["oracle_f1"] == pytest.approx(best)
    same = {name for name, value in found.metrics.items() if value == pytest.approx(best, rel=1e-9)}
    assert same == {"oracle_f1"}
    chosen_by_labels = {
        name for name in found.metrics if name.startswith(("best", "max", "optimal", "oracle"))
    }
    assert all(name.startswith("oracle_") for name in chosen_by_labels)
    at = alert_metrics(truth, scores >= found.threshold)
    assert found.metrics["f1_at_threshold"] == at["f1"]


def test_point_adjustment_is_not_offered(windows: PreparedWindows) -> None:
    """It counts a whole incident as found by one window, by which chance looks splendid."""
    names = set(judged(Honest(), windows).metrics)
    for module in pkgutil.iter_modules(riskml.evaluation.__path__):
        loaded = import_module(f"riskml.evaluation.{module.name}")
        names |= {name for name, _ in inspect.getmembers(loaded, callable)}
    assert not [name for name in names if "adjust" in name.lower()]
    # one window of a long incident is one window found
    truth = np.array([1] * 99 + [0])
    alerts = np.zeros(100, np.bool_)
    alerts[0] = True
    assert alert_metrics(truth, alerts)["recall"] == pytest.approx(1 / 99)
    scores = alerts.astype(np.float32)
    assert ranking_metrics(truth, scores)["roc_auc"] == pytest.approx(0.5 + 0.5 / 99)
