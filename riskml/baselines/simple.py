"""Scores that need no learning; whoever does not beat them has learnt nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from riskml.core.types import FloatArray, Windows
from riskml.models.base import Detector, read_detector, write_state


class _NothingLearnt(Detector):
    """Keeps the feature spec, nothing else.

    Args:
        contamination: share of odd rows that is expected; sets `threshold_`.
    """

    def __init__(self, contamination: float = 0.1) -> None:
        self.expect(contamination, None)

    def learn(self, windows: Windows, validation: Windows | None = None) -> None:
        """Remember the columns."""
        self.spec_ = windows.spec

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"contamination": self.contamination}

    def save(self, folder: Path) -> None:
        """Write `detector.json`."""
        write_state(folder, self)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        return read_detector(folder, cls)[0]


class RandomDetector(_NothingLearnt):
    """A random number for each window, drawn from what is in it, so that it never changes.

    That is its user, the minute of the year in which it begins, its features and its actions; not
    its id, which says nothing, so that no score may depend on it.

    Args:
        seed: another seed, another order.
        contamination: share of odd rows that is expected; sets `threshold_`.
    """

    def __init__(self, seed: int = 0, contamination: float = 0.1) -> None:
        super().__init__(contamination)
        self.seed = seed

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"seed": self.seed, "contamination": self.contamination}

    def score(self, windows: Windows) -> FloatArray:
        """Float32 [n] in [0, 1)."""
        self.check_spec(windows)
        salt = str(self.seed).encode()
        minute = pl.col("start").dt.strftime("%m-%d %H:%M")
        whose = windows.keys.select(pl.concat_str("user_id", minute, separator=" ")).to_series()
        x, rows = np.ascontiguousarray(windows.x), zip(whose, windows.lengths, strict=True)
        digests = b"".join(
            hashlib.blake2b(
                name.encode() + x[row].tobytes() + windows.tokens[row, :length].tobytes(),
                digest_size=4,
                salt=salt,
            ).digest()
            for row, (name, length) in enumerate(rows)
        )
        return (np.frombuffer(digests, np.uint32) / 2.0**32).astype(np.float32)


class WindowLengthDetector(_NothingLearnt):
    """The number of events in a window."""

    def score(self, windows: Windows) -> FloatArray:
        """Float32 [n] counts."""
        self.check_spec(windows)
        return windows.keys["n_events"].to_numpy().astype(np.float32)
