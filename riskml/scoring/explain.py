"""Reasons in words: what was seen, and what is usual for this user."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from safetensors.numpy import load_file, save_file

from riskml.core.errors import reading
from riskml.core.types import (
    LOG_RATIO,
    RANK,
    RARITY,
    SHARE,
    UNKNOWN_ACTION,
    Explanations,
    Feature,
    FeatureKind,
    FeatureSpec,
    FloatArray,
    Reason,
    Windows,
)

LOW, HIGH = 0.1, 0.9
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MIN_WINDOWS = 5
"""Users with fewer train windows are compared with everyone."""

MIN_ACTIONS = 3
"""Padding, unknown and a single action: no mix that could be unusual."""

HOUR = 1 / 24
LONGEST_NAME = 60


class Explainer:
    """Knows the usual range of every feature for every user, and for everyone.

    Attributes:
        users: user id -> row of the ranges; row 0 is everyone.
        low, high: float32 [users + 1, d] the 10 % and 90 % quantiles of train windows.
        action_counts: how often each token id was seen in training.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        users: dict[str, int],
        low: FloatArray,
        high: FloatArray,
        action_counts: tuple[int, ...],
    ) -> None:
        self.spec, self.users, self.low, self.high = spec, users, low, high
        self.action_counts = action_counts

    @classmethod
    def fit(cls, windows: Windows, action_counts: tuple[int, ...]) -> Explainer:
        """Learn usual ranges from train windows."""
        names = windows.spec.names
        columns = [pl.Series(str(i), windows.x[:, i]) for i in range(len(names))]
        frame = pl.DataFrame([windows.keys["user_id"], *columns])
        by_user = (
            frame.group_by("user_id")
            .agg(
                pl.len().alias("n"),
                *(pl.col(str(i)).quantile(LOW).alias(f"low{i}") for i in range(len(names))),
                *(pl.col(str(i)).quantile(HIGH).alias(f"high{i}") for i in range(len(names))),
            )
            .filter(pl.col("n") >= MIN_WINDOWS)
            .sort("user_id")
        )
        everyone = np.quantile(windows.x, [LOW, HIGH], axis=0).astype(np.float32)
        low, high = (
            by_user.select(pl.col(f"^{side}\\d+$")).to_numpy().astype(np.float32)
            for side in ("low", "high")
        )
        users = {name: i + 1 for i, name in enumerate(by_user["user_id"].to_list())}
        return cls(
            windows.spec,
            users,
            np.vstack([everyone[:1], low]),
            np.vstack([everyone[1:], high]),
            action_counts,
        )

    def explain(
        self, windows: Windows, shares: FloatArray, topics: list[str] | None, top: int = 5
    ) -> Explanations:
        """The `top` reasons of each window.

        Args:
            windows: to be explained; few, since this writes sentences.
            shares: [n, parts] of the score, from `Detector.contributions`; without parts the
                distance from the usual range stands in.
            topics: of each part, from `Detector.topics`; None: parts are the window's actions.
            top: reasons a window at most.
        """
        if topics is None:
            return [self._action_reasons(windows, i, shares[i], top) for i in range(len(windows))]
        if shares.shape[1] == 0:
            shares, topics = self._distance(windows), [f.topic for f in self.spec.features]
        return [
            self._feature_reasons(windows, i, shares[i], topics, top) for i in range(len(windows))
        ]

    def _row(self, windows: Windows, i: int) -> int:
        return self.users.get(windows.keys["user_id"][i], 0)

    def _distance(self, windows: Windows) -> FloatArray:
        """How far outside the usual range, in widths of the range for everyone."""
        rows = [self._row(windows, i) for i in range(len(windows))]
        width = np.maximum(self.high[0] - self.low[0], 1.0)
        outside = np.maximum(windows.x - self.high[rows], self.low[rows] - windows.x)
        distance: FloatArray = np.maximum(outside, 0) / width
        return distance

    def _feature_reasons(
        self, windows: Windows, i: int, shares: FloatArray, topics: list[str], top: int
    ) -> list[Reason]:
        total: dict[str, float] = {}
        for topic, share in zip(topics, shares.tolist(), strict=True):
            total[topic] = total.get(topic, 0.0) + share
        row = self._row(windows, i)
        ranked = [topic for topic in sorted(total, key=lambda t: -total[t]) if total[topic] > 0]
        # a sentence about a usual value persuades nobody; it stands only where there is no other
        telling = [topic for topic in ranked if self._is_telling(topic, windows, i, row)]
        return [
            Reason(topic, total[topic], self._sentence(topic, windows, i, row))
            for topic in (telling or ranked)[:top]
        ]

    def _columns(self, topic: str) -> list[int]:
        return [j for j, f in enumerate(self.spec.features) if f.topic == topic]

    def _is_telling(self, topic: str, windows: Windows, i: int, row: int) -> bool:
        """Whether what the sentence shows lies outside what is usual."""
        columns = self._columns(topic)
        if not columns:
            return False
        feature = self.spec.features[columns[0]]
        if topic == "action_embedding":
            return len(self.spec.actions) > MIN_ACTIONS
        value, low, high = (a[columns] for a in (windows.x[i], self.low[row], self.high[row]))
        if feature.kind == FeatureKind.CYCLIC:
            apart = abs(_turn(value) - _turn((low + high) / 2))
            return feature.unit == "h" and min(apart, 1 - apart) > HOUR
        return not low[0] <= value[0] <= high[0]

    def _sentence(self, topic: str, windows: Windows, i: int, row: int) -> str:
        columns = self._columns(topic)
        if not columns:
            return "the features together are unlike this user"
        feature = self.spec.features[columns[0]]
        if topic == "action_embedding":
            return f"the mix of actions is unusual (rarest here: {self._rarest(windows, i)})"
        value, low, high = (a[columns] for a in (windows.x[i], self.low[row], self.high[row]))
        if feature.kind == FeatureKind.CYCLIC:
            return _cyclic_sentence(feature, value, (low + high) / 2)
        return _value_sentence(feature, float(value[0]), float(low[0]), float(high[0]))

    def _rarest(self, windows: Windows, i: int, n: int = 3) -> str:
        tokens = np.unique(windows.tokens[i, : windows.lengths[i]])
        rare = sorted(tokens.tolist(), key=lambda token: self.action_counts[token])[:n]
        return ", ".join(self._action(token) for token in rare)

    def _action(self, token: int) -> str:
        if token == UNKNOWN_ACTION:
            return "a new or rare action"
        return f"'{shorten(self.spec.actions[token])}'"

    def _action_reasons(
        self, windows: Windows, i: int, shares: FloatArray, top: int
    ) -> list[Reason]:
        tokens = windows.tokens[i, : windows.lengths[i]].tolist()
        total: dict[int, float] = {}
        for token, share in zip(tokens, shares.tolist(), strict=False):
            total[token] = total.get(token, 0.0) + share
        largest = sorted(total, key=lambda token: -total[token])[:top]
        return [
            Reason(
                self.spec.actions[token],
                total[token],
                f"{self._action(token)} × {tokens.count(token)}: not expected here",
            )
            for token in largest
            if total[token] > 0
        ]

    def save(self, folder: Path) -> None:
        """Write `usual.safetensors` and `usual.parquet` (user ids in the order of its rows)."""
        arrays = {"low": self.low, "high": self.high, "counts": np.array(self.action_counts)}
        arrays = {name: np.ascontiguousarray(a) for name, a in arrays.items()}
        save_file(arrays, folder / "usual.safetensors")
        pl.DataFrame({"user_id": list(self.users)}, schema={"user_id": pl.String}).write_parquet(
            folder / "usual.parquet"
        )

    @classmethod
    def load(cls, folder: Path, spec: FeatureSpec) -> Explainer:
        """Read what `save` wrote.

        Raises:
            BundleError: missing or unreadable.
        """
        with reading(folder / "usual.safetensors"):
            arrays = load_file(folder / "usual.safetensors")
            names = pl.read_parquet(folder / "usual.parquet")["user_id"].to_list()
            users = {name: i + 1 for i, name in enumerate(names)}
            return cls(spec, users, arrays["low"], arrays["high"], tuple(arrays["counts"].tolist()))


def _value_sentence(feature: Feature, value: float, low: float, high: float) -> str:
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
    unit = f" {_UNITS.get(feature.unit, feature.unit)}" if feature.unit else ""
    return f"{meaning}: {_number(value)}{unit}, usually {_range(_number, low, high)}"


_UNITS = {"d": "days"}
_TELLING_RATIO = float(np.log(100))


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


def _cyclic_sentence(feature: Feature, value: FloatArray, usual: FloatArray) -> str:
    here, there = _turn(value), _turn(usual)
    if feature.unit == "d":
        # the middle of a working week would say nothing
        return f"{feature.meaning}: {_weekday(here)}"
    return f"{feature.meaning} around {_clock(here)}, usually around {_clock(there)}"


def _turn(direction: npt.NDArray[np.float32]) -> float:
    """Part of a full turn, 0 to 1, of a (sine, cosine) pair."""
    return float(np.arctan2(direction[0], direction[1]) / (2 * np.pi) % 1)


def _clock(turn: float) -> str:
    minutes = round(turn * 24 * 60) % (24 * 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _weekday(turn: float) -> str:
    return WEEKDAYS[round(turn * 7) % 7]


def shorten(name: str) -> str:
    """A name for a sentence: not longer than a line bears."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
