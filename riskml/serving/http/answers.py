"""What requests come to, and what metrics are told of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from riskml.core.types import PAD, UNKNOWN_ACTION, FloatArray, Int64Array, IntArray


@dataclass(frozen=True)
class Seen:
    """What a request was about, without its users.

    Args:
        scores, p_values: of its windows [n].
        actions: of its windows.
        unknown_actions: of these, that training has not seen.
        events, late, repeated: that were posted: scored, too late, or a second time.
    """

    scores: FloatArray = field(default_factory=lambda: np.zeros(0, np.float32))
    p_values: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    actions: int = 0
    unknown_actions: int = 0
    events: int = 0
    late: int = 0
    repeated: int = 0


@dataclass(frozen=True)
class Answer:
    """What a request comes to.

    Args:
        version: of the model.
        body: JSON.
        windows, alerts: how many are in it.
        seen: what metrics are made of.
    """

    version: str
    body: bytes
    windows: int
    alerts: int
    seen: Seen = field(default_factory=Seen)


@dataclass(frozen=True)
class Scored:
    """Windows of one or more requests with their scores.

    Args:
        rows: as they are told.
        tokens: int32 [n, L], of their actions.
        scores, p_values: [n].
        alert: [n].
    """

    rows: list[dict[str, Any]]
    tokens: IntArray
    scores: FloatArray
    p_values: npt.NDArray[np.float64]
    alert: npt.NDArray[np.bool_]

    def seen(self, part: Int64Array) -> Seen:
        """What metrics are told of some of the rows."""
        tokens = self.tokens[part]
        actions = int(np.count_nonzero(tokens != PAD))
        unknown = int(np.count_nonzero(tokens == UNKNOWN_ACTION))
        return Seen(self.scores[part], self.p_values[part], actions, unknown)
