"""Events as columns of codes, before they get their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from riskml.data.simulator.randomness import Flags, Floats, Integers

NOBODY = -1
"""The incident and the phase of a benign event; also a missing resource."""


@dataclass(frozen=True)
class EventBlock:
    """Some events of one local day; each array is [events].

    Attributes:
        user: account index.
        time: seconds after the local midnight that begins the day; may exceed a day.
        action: index into ``ACTIONS``.
        resource: resource code or -1.
        device, address: endpoint codes.
        success: outcome.
        size: bytes, 0 where none are logged.
        incident: index of the incident or -1.
        phase: index into the scenario's phases or -1.
    """

    user: Integers
    time: Floats
    action: Integers
    resource: Integers
    device: Integers
    address: Integers
    success: Flags
    size: Floats
    incident: Integers
    phase: Integers

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.user)


def join_blocks(blocks: Sequence[EventBlock]) -> EventBlock:
    """Put blocks of the same day one after the other; at least one is needed."""
    return EventBlock(
        **{
            field.name: np.concatenate([getattr(block, field.name) for block in blocks])
            for field in fields(EventBlock)
        }
    )
