"""Reasons in words: what was seen, and what is usual for this user."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from safetensors.numpy import load_file, save_file

from riskml.core.errors import reading
from riskml.core.types import (
    UNKNOWN_ACTION,
    Explanations,
    FeatureKind,
    FeatureSpec,
    FloatArray,
    IntArray,
    Reason,
    Windows,
)
from riskml.scoring.newcomers import is_learning, window_counts
from riskml.scoring.sentences import (
    ACTION,
    OF_THE_PAST,
    cyclic_sentence,
    shorten,
    turn_of,
    value_sentence,
)

LOW, HIGH = 0.1, 0.9
MIN_WINDOWS = 5
"""Users with fewer train windows are compared with everyone."""

NEW_USER = "new_user"
"""Topic of the note that a user is new."""

MIX_OF_ACTIONS = "action_embedding"
"""Topic of what is put down to the window's actions as a whole."""

MIN_ACTIONS = 3
"""Padding, unknown and a single action: no mix that could be unusual."""

HOUR = 1 / 24

FAR_DAY = 0.2
"""How far outside its usual range a weekday's sine or cosine is that of an unusual weekday."""


class Explainer:
    """Knows the usual range of every feature for every user, and for everyone.

    Attributes:
        users: user id -> row of the ranges; row 0 is everyone.
        low, high: float32 [users + 1, d] the 10 % and 90 % quantiles of train windows.
        action_counts: how often each token id was seen in training.
        n_windows: train windows of each user.
        learning_windows: users with fewer are new, and their reasons say so first.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        users: dict[str, int],
        low: FloatArray,
        high: FloatArray,
        action_counts: tuple[int, ...],
        n_windows: dict[str, int] | None = None,
        learning_windows: int = 0,
    ) -> None:
        self.spec, self.users, self.low, self.high = spec, users, low, high
        self.action_counts = action_counts
        self.n_windows, self.learning_windows = n_windows or {}, learning_windows
        self._aspects = {feature.topic: feature.aspect for feature in spec.features}
        self._columns: dict[str, list[int]] = {}
        for column, feature in enumerate(spec.features):
            self._columns.setdefault(feature.topic, []).append(column)

    @classmethod
    def fit(
        cls, windows: Windows, action_counts: tuple[int, ...], learning_windows: int = 0
    ) -> Explainer:
        """Learn usual ranges from train windows.

        Args:
            windows: of the train period.
            action_counts: how often each token id was seen in it.
            learning_windows: users with fewer windows are new; 0: nobody is.
        """
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
            window_counts(windows.keys),
            learning_windows,
        )

    def is_learning(self, users: pl.Series) -> npt.NDArray[np.bool_]:
        """Whether too few train windows of each user were seen to know what is usual [n]."""
        return is_learning(users, self.n_windows, self.learning_windows)

    def usual(self, windows: Windows) -> FloatArray:
        """The middle of each user's usual range, raw features, float32 [n, d]."""
        rows = [self._row(windows, i) for i in range(len(windows))]
        middle: FloatArray = (self.low[rows] + self.high[rows]) / np.float32(2)
        return middle

    def explain(
        self, windows: Windows, shares: FloatArray, topics: list[str] | None, top: int = 5
    ) -> Explanations:
        """The `top` reasons of each window, of different aspects.

        Args:
            windows: to be explained; few, since this writes sentences.
            shares: [n, parts] of the score, exact or by gradients (`models.attribution`); without
                parts the distance from the usual range stands in.
            topics: of each part; None: parts are the window's actions.
            top: reasons a window at most, beside the note that the user is new.
        """
        if topics is not None and shares.shape[1] == 0:
            shares, topics = self._distance(windows), [f.topic for f in self.spec.features]
        new = self.is_learning(windows.keys["user_id"])
        return [
            [*self._news(windows, i, new[i]), *self._reasons(windows, i, shares[i], topics, top)]
            for i in range(len(windows))
        ]

    def _reasons(
        self, windows: Windows, i: int, shares: FloatArray, topics: list[str] | None, top: int
    ) -> list[Reason]:
        if topics is None:
            return self._action_reasons(windows, i, shares, top)
        return self._feature_reasons(windows, i, shares, topics, top)

    def _news(self, windows: Windows, i: int, new: bool) -> list[Reason]:
        """That the user is new, for which nothing of the score is due."""
        if not new:
            return []
        n = self.n_windows.get(windows.keys["user_id"][i], 0)
        known = "no window known from training" if n == 0 else f"only {n} known from training"
        return [Reason(NEW_USER, 0.0, f"new user, {known}: what is usual is still being learnt")]

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
        of_aspect: dict[str, float] = {}
        for topic, share in zip(topics, shares.tolist(), strict=True):
            aspect = self._aspects.get(topic, topic)
            total[topic] = total.get(topic, 0.0) + share
            of_aspect[aspect] = of_aspect.get(aspect, 0.0) + share
        row = self._row(windows, i)
        ranked = [topic for topic in sorted(total, key=lambda t: -total[t]) if total[topic] > 0]
        # a sentence about a usual value persuades nobody; it stands only where there is no other
        x, low, high = windows.x[i], self.low[row], self.high[row]
        outside = ((x < low) | (x > high)).tolist()
        telling = [t for t in ranked if self._is_telling(t, outside, x, low, high)]
        first: dict[str, str] = {}
        # what can be counted persuades sooner than a rank or a rarity
        for topic in sorted(telling or ranked, key=lambda t: not self._is_count(t)):
            first.setdefault(self._aspects.get(topic, topic), topic)
        largest = sorted(first, key=lambda aspect: -of_aspect[aspect])[:top]
        return [
            Reason(first[a], of_aspect[a], self._sentence(first[a], windows, i, row))
            for a in largest
            if of_aspect[a] > 0
        ]

    def _is_count(self, topic: str) -> bool:
        columns = self._columns.get(topic)
        return columns is not None and self.spec.features[columns[0]].kind == FeatureKind.COUNT

    def _is_telling(
        self, topic: str, outside: list[bool], x: FloatArray, low: FloatArray, high: FloatArray
    ) -> bool:
        """Whether what the sentence shows lies outside what is usual.

        Args:
            topic: of the sentence.
            outside: whether each feature of the window is outside its usual range.
            x: the window's features, [d].
            low: of their usual ranges, [d].
            high: likewise.
        """
        if topic in OF_THE_PAST or topic.startswith(ACTION):
            return True
        if topic == MIX_OF_ACTIONS:
            return len(self.spec.actions) > MIN_ACTIONS
        columns = self._columns.get(topic)
        if columns is None:
            return False
        feature = self.spec.features[columns[0]]
        if feature.kind != FeatureKind.CYCLIC:
            return outside[columns[0]]
        value, low, high = x[columns], low[columns], high[columns]
        if feature.unit == "h":
            apart = abs(turn_of(value) - turn_of((low + high) / np.float32(2)))
            return min(apart, 1 - apart) > HOUR
        return bool((np.maximum(value - high, low - value) > FAR_DAY).any())

    def _sentence(self, topic: str, windows: Windows, i: int, row: int) -> str:
        if topic == MIX_OF_ACTIONS:
            return f"the mix of actions is unusual (rarest here: {self._rarest(windows, i)})"
        if topic.startswith(ACTION):
            token = self.spec.actions.index(topic.removeprefix(ACTION))
            return self._action_sentence(token, windows.tokens[i, : windows.lengths[i]])
        columns = self._columns.get(topic)
        if columns is None:
            return OF_THE_PAST.get(topic, "the features together are unlike this user")
        feature = self.spec.features[columns[0]]
        value, low, high = (a[columns] for a in (windows.x[i], self.low[row], self.high[row]))
        if feature.kind == FeatureKind.CYCLIC:
            return cyclic_sentence(feature, value, (low + high) / 2)
        return value_sentence(feature, float(value[0]), float(low[0]), float(high[0]))

    def _rarest(self, windows: Windows, i: int, n: int = 3) -> str:
        tokens = np.unique(windows.tokens[i, : windows.lengths[i]])
        rare = sorted(tokens.tolist(), key=lambda token: self.action_counts[token])[:n]
        return ", ".join(self._action(token) for token in rare)

    def _action_sentence(self, token: int, tokens: IntArray) -> str:
        return f"{self._action(token)} × {(tokens == token).sum()}: not expected here"

    def _action(self, token: int) -> str:
        if token == UNKNOWN_ACTION:
            return "a new or rare action"
        return f"'{shorten(self.spec.actions[token])}'"

    def _action_reasons(
        self, windows: Windows, i: int, shares: FloatArray, top: int
    ) -> list[Reason]:
        tokens = windows.tokens[i, : windows.lengths[i]]
        total: dict[int, float] = {}
        for token, share in zip(tokens.tolist(), shares.tolist(), strict=False):
            total[token] = total.get(token, 0.0) + share
        largest = sorted(total, key=lambda token: -total[token])[:top]
        return [
            Reason(self.spec.actions[token], total[token], self._action_sentence(token, tokens))
            for token in largest
            if total[token] > 0
        ]

    def save(self, folder: Path) -> None:
        """Write `usual.safetensors` and `usual.parquet` (user ids in the order of its rows)."""
        arrays = {
            "low": self.low,
            "high": self.high,
            "counts": np.array(self.action_counts),
            "learning_windows": np.array([self.learning_windows]),
        }
        arrays = {name: np.ascontiguousarray(a) for name, a in arrays.items()}
        save_file(arrays, folder / "usual.safetensors")
        names = list(dict.fromkeys([*self.users, *self.n_windows]))
        pl.DataFrame(
            {
                "user_id": names,
                "row": [self.users.get(name, 0) for name in names],
                "n_windows": [self.n_windows.get(name, 0) for name in names],
            },
            schema={"user_id": pl.String, "row": pl.Int32, "n_windows": pl.Int32},
        ).write_parquet(folder / "usual.parquet")

    @classmethod
    def load(cls, folder: Path, spec: FeatureSpec) -> Explainer:
        """Read what `save` wrote.

        Raises:
            BundleError: missing or unreadable.
        """
        with reading(folder / "usual.safetensors"):
            arrays = load_file(folder / "usual.safetensors")
            known = pl.read_parquet(folder / "usual.parquet")
            if "row" not in known.columns:  # from before users were told apart by their windows
                row = pl.int_range(1, pl.len() + 1).alias("row")
                known = known.with_columns(row, pl.lit(0).alias("n_windows"))
            users = dict(known.filter(pl.col("row") > 0).select("user_id", "row").iter_rows())
            for name in ("low", "high"):
                ranges = arrays[name]
                if ranges.shape != (len(users) + 1, len(spec)) or ranges.dtype != np.float32:
                    raise ValueError(f"{name} is {ranges.dtype} {ranges.shape}")
            if len(arrays["counts"]) != len(spec.actions):
                raise ValueError("counts are not of these actions")
            return cls(
                spec,
                users,
                arrays["low"],
                arrays["high"],
                tuple(arrays["counts"].tolist()),
                dict(known.select("user_id", "n_windows").iter_rows()),
                int(arrays.get("learning_windows", np.zeros(1, np.int64))[0]),
            )
