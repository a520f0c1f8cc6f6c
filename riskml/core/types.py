"""What travels between rooms: features, windows, reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from riskml.core.cards import card, table
from riskml.core.errors import DataError
from riskml.core.schema import time_span

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]

PAD, UNKNOWN_ACTION = 0, 1
"""Token ids that every vocabulary reserves."""

PEER, EVERYONE = "peer", "everyone"
"""The column of a window's peer group, and the group of users who belong to none."""


SHOWN_KEYS = 5
"""How many windows a notebook shows of many."""


class FeatureKind(StrEnum):
    """What sort of number a feature is; it picks the likelihood that models it."""

    COUNT = "count"
    BINARY = "binary"
    CONTINUOUS = "continuous"
    CYCLIC = "cyclic"


SHARE, RANK, LOG_RATIO, RARITY = "share", "rank", "log ratio", "orders of magnitude"
"""Units that reasons put in words: 0.98 as 98 %, 1.1 as three times, 2 as one in a hundred.

The meaning of a rank reads "<what>: rank among <others>", that of a ratio "<what> against <what>".
"""


@dataclass(frozen=True)
class Feature:
    """One named number of a window.

    Args:
        name: unique column name.
        family: the room that makes it (`volume`, `time_of_day`, ...).
        kind: picks the likelihood head.
        meaning: one line for people, used in reasons ("failed actions").
        unit: of the number, empty for a plain count or share.
        topic: features of one topic are explained together (all dimensions of an embedding,
            sine and cosine of an hour); defaults to the feature's own name.
        aspect: topics of one aspect tell of the same thing (a device that is new to the user, to
            peers, to everyone), so one of them is reason enough; defaults to the topic.
    """

    name: str
    family: str
    kind: FeatureKind
    meaning: str
    unit: str = ""
    topic: str = ""
    aspect: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", FeatureKind(self.kind))
        if not self.topic:
            object.__setattr__(self, "topic", self.name)
        if not self.aspect:
            object.__setattr__(self, "aspect", self.topic)


@dataclass(frozen=True)
class FeatureSpec:
    """What the columns of `Windows.x`, the ids in `Windows.tokens` and `Windows.times` mean.

    Args:
        features: one entry per column of `x`, in order.
        actions: token id -> action name; ids 0 and 1 are padding and the unknown action.
        action_vectors: float32 [len(actions), k] frozen embedding of each token, k may be 0.
        event_times: whether windows hold the times of their tokens.
    """

    features: tuple[Feature, ...]
    actions: tuple[str, ...] = ("<pad>", "<unknown>")
    action_vectors: FloatArray = field(
        default_factory=lambda: np.zeros((2, 0), np.float32), compare=False
    )
    event_times: bool = False

    def __len__(self) -> int:
        return len(self.features)

    @property
    def names(self) -> list[str]:
        """Column names of `x`."""
        return [feature.name for feature in self.features]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the vectors are stored apart."""
        return {
            "features": [asdict(f) for f in self.features],
            "actions": list(self.actions),
            "event_times": self.event_times,
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any], action_vectors: FloatArray) -> FeatureSpec:
        """Read what `to_dict` gave."""
        features = tuple(Feature(**feature) for feature in state["features"])
        return cls(features, tuple(state["actions"]), action_vectors, state["event_times"])

    def columns(self, *kinds: FeatureKind) -> npt.NDArray[np.int64]:
        """Indices of the columns of the given kinds, in order."""
        return np.array([i for i, f in enumerate(self.features) if f.kind in kinds], np.int64)


@dataclass(frozen=True)
class Windows:
    """The scored units and all that a detector may see of them. No labels inside.

    Args:
        keys: frame with window_id (str), user_id (str), start, end (datetime[us, UTC]),
            n_events (int) and peer (str, the user's peer group; "everyone" unless given), one row
            a window.
        x: float32 [n, d] feature values, raw (not scaled).
        spec: meaning of columns and tokens.
        tokens: int32 [n, L] action ids in order, padded with 0.
        lengths: int32 [n] number of valid tokens in each row.
        times: float32 [n, L, 2] of each token, padded with 0: log(1 + seconds since the event
            before in the window), 0 for the window's first event; and the hour of the user's own
            clock, 0 to 24. [n, 0, 2] where the spec has no `event_times`.
        event_ids: lists of the ids of a window's events, of many only the first and the last, where
            they were asked for.

    Raises:
        DataError: the parts disagree in length, or a feature value is not finite.
    """

    keys: pl.DataFrame
    x: FloatArray
    spec: FeatureSpec
    tokens: IntArray
    lengths: IntArray
    times: FloatArray = field(default_factory=lambda: np.zeros((0, 0, 2), np.float32))
    event_ids: pl.Series | None = None

    def __post_init__(self) -> None:
        if PEER not in self.keys.columns:
            keys = self.keys.with_columns(pl.lit(EVERYONE).alias(PEER))
            object.__setattr__(self, "keys", keys)
        rows = {len(self.keys), len(self.x), len(self.tokens), len(self.lengths)}
        if len(rows) != 1:
            raise DataError(f"windows: keys, x, tokens and lengths differ in rows: {sorted(rows)}")
        if self.x.shape[1:] != (len(self.spec),):
            raise DataError(
                f"windows: x is {self.x.shape}, the spec names {len(self.spec)} columns"
            )
        timed = (*self.tokens.shape, 2) if self.spec.event_times else (len(self), 0, 2)
        if not self.times.size and 0 in timed:
            object.__setattr__(self, "times", np.zeros(timed, np.float32))
        if self.times.shape != timed:
            raise DataError(f"windows: times are {self.times.shape}, the spec asks for {timed}")
        if not np.isfinite(self.x).all():
            row, column = np.argwhere(~np.isfinite(self.x))[0]
            raise DataError(
                f"windows: feature '{self.spec.names[column]}' of window "
                f"'{self.keys['window_id'][int(row)]}' is not a finite number"
            )

    def __len__(self) -> int:
        return len(self.keys)

    def __repr__(self) -> str:
        facts = "; ".join(f"{name} {value}" for name, value in self._facts().items())
        return f"Windows({facts})"

    def _repr_html_(self) -> str:
        families = Counter(feature.family for feature in self.spec.features)
        shown = self.keys.head(SHOWN_KEYS)
        rows = [
            (row["user_id"], f"{row['start']:%Y-%m-%d %H:%M}", row["n_events"], row[PEER])
            for row in shown.iter_rows(named=True)
        ]
        return card(
            "Windows",
            self._facts() | {"families": ", ".join(f"{n} {name}" for name, n in families.items())},
            table(("user", "start (UTC)", "events", "peers"), rows, "the first of them:"),
        )

    def _facts(self) -> dict[str, str]:
        """What they are, for people."""
        facts = {"windows": f"{len(self):,}", "features": f"{len(self.spec):,}"}
        if len(self):
            first, last = time_span(self.keys["start"], self.keys["end"])
            facts["users"] = f"{self.keys['user_id'].n_unique():,}"
            facts["from"] = f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"
        return facts

    def fingerprint(self) -> str:
        """Tells within one process whether anything of these windows was changed in place."""
        digest = blake2b(digest_size=16)
        digest.update(repr(self.keys.schema).encode())
        parts = (self.keys.hash_rows().to_numpy(), self.x, self.tokens, self.lengths, self.times)
        for part in parts:
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Windows:
        """The windows at `rows` (a mask or indices), in that order."""
        index = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return Windows(
            self.keys[index],
            self.x[index],
            self.spec,
            self.tokens[index],
            self.lengths[index],
            self.times[index],
            None if self.event_ids is None else self.event_ids[index],
        )


@dataclass(frozen=True)
class Reason:
    """Why a window scored as it did, for one topic.

    Args:
        topic: feature topic or action that it speaks of.
        share: part of the score that is due to its aspect, in the score's unit (nats for
            likelihoods).
        text: the sentence for people.
    """

    topic: str
    share: float
    text: str


Explanations = Sequence[Sequence[Reason]]
"""One list of reasons a window, largest share first."""
