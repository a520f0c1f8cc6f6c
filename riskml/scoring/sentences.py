"""Values of features in words."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from riskml.core.redaction import shortened
from riskml.core.types import LOG_RATIO, RANK, RARITY, SHARE, Feature, FeatureKind, FloatArray

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
LONGEST_NAME = 60

SLOW_LEAK, PERSISTENCE, USUAL_FOR_USER = "slow_leak", "persistence", "usual_for_user"
"""Topics of what a user's past adds to the score of a window."""

OF_THE_PAST = {
    SLOW_LEAK: "small excesses of this user's last windows add up",
    PERSISTENCE: "this user's windows just before were unusual too",
}


ACTION = "action: "
"""Begins the topic of what is put down to one of the window's actions."""


def value_sentence(feature: Feature, value: float, low: float, high: float) -> str:
    """What was seen and what is usual, `low` to `high`, of a feature that is no direction."""
    if feature.kind == FeatureKind.BINARY:
        return feature.meaning if value > 0.5 else f"no {feature.meaning}"
    meaning = shorten(feature.meaning)
    if feature.unit == RANK:
        what, _, others = feature.meaning.rpartition(": rank among ")
        than, share = ("more", value) if value >= 0.5 else ("less", 1 - value)
        return f"{shorten(what)}: {than} than in {_percent(share)} % of {others}"
    if feature.unit == SHARE:
        return f"{meaning}: {_percent(value)} %, usually {_range(_percent, low, high)} %"
    if feature.unit == LOG_RATIO:
        what, _, mean = feature.meaning.rpartition(" against ")
        usual = _range(_times, low, high)
        return f"{shorten(what)}: {_times(value)} × {mean}, usually {usual} ×"
    if feature.unit == RARITY:
        return f"{meaning}: 1 in {_odds(value)}, usually 1 in {_range(_odds, low, high)}"
    number = _number(value)
    unit = f" {_unit(feature.unit, number)}" if feature.unit else ""
    return f"{meaning}: {number}{unit}, usually {_range(_number, low, high)}"


_TELLING_RATIO = float(np.log(100))


def _unit(unit: str, number: str) -> str:
    days = "day" if number == "1" else "days"
    return days if unit == "d" else unit


def _range(write: Callable[[float], str], low: float, high: float) -> str:
    first, last = write(low), write(high)
    return first if first == last else f"{first}–{last}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 10 else f"{value:.2g}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"


def _times(log_ratio: float) -> str:
    if log_ratio > _TELLING_RATIO:
        return "over 100"  # of a mean near zero: the number would say nothing
    return _number(float(f"{np.exp(log_ratio):.2g}"))


def _odds(magnitude: float) -> str:
    """One in how many."""
    return _number(float(f"{10 ** max(magnitude, 0.0):.2g}"))


def cyclic_sentence(feature: Feature, value: FloatArray, usual: FloatArray) -> str:
    """Likewise of a (sine, cosine) pair: an hour or a weekday."""
    here, there = turn_of(value), turn_of(usual)
    if feature.unit == "d":
        # the middle of a working week would say nothing
        return f"{feature.meaning}: {_weekday(here)}"
    return f"{feature.meaning} around {_clock(here)}, usually around {_clock(there)}"


def turn_of(direction: npt.NDArray[np.float32]) -> float:
    """Part of a full turn, 0 to 1, of a (sine, cosine) pair."""
    return float(np.arctan2(direction[0], direction[1]) / (2 * np.pi) % 1)


def _clock(turn: float) -> str:
    minutes = round(turn * 24 * 60) % (24 * 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _weekday(turn: float) -> str:
    return WEEKDAYS[round(turn * 7) % 7]


def shorten(name: str) -> str:
    """A name for a sentence: not longer than a line bears."""
    return shortened(name, LONGEST_NAME)
