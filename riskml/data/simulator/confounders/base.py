"""What a benign oddity is: a small class that says to whom it happens and what it adds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from riskml.data.simulator.canvas import Canvas
from riskml.data.simulator.randomness import Integers


class Confounder(ABC):
    """One kind of benign oddity.

    Attributes:
        name: what it is called in ``world.json``.
        rate: share of active user-days on which it happens.
    """

    name: ClassVar[str]
    rate: ClassVar[float]

    def who(self, canvas: Canvas, scale: float) -> Integers:
        """Return the accounts to which it happens on a day."""
        state = canvas.state
        happens = canvas.draw.random(len(state.active)) < self.rate * scale
        return np.flatnonzero(happens & state.active & ~state.plan.people.service)

    @abstractmethod
    def paint(self, canvas: Canvas, users: Integers) -> None:
        """Add its events for these accounts."""


def amount(canvas: Canvas, users: Integers, median: float, spread: float = 0.6) -> Integers:
    """Return a log-normal number of events for each user, at least 1."""
    return np.maximum(
        np.rint(median * canvas.draw.lognormal(0.0, spread, len(users))).astype(np.int64), 1
    )


def some(canvas: Canvas, users: Integers, share: float) -> Integers:
    """Return a random share of the accounts."""
    return users[canvas.draw.random(len(users)) < share]
