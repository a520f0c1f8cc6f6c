"""Reserved: an intruder who keeps the victim's hours and habits. Not to be tuned on."""

import numpy as np

from riskml.data.simulator.scenarios.base import AttackDay, Scenario


class Mimicry(Scenario):
    """Work like the victim, at the victim's hours, and touch a little more."""

    name = "mimicry"
    phases = ("blend_in", "take")
    touches = ("new_device", "new_resources")
    weight = 0.8

    def length(self, draw: np.random.Generator) -> int:
        """Return two to five days."""
        return int(draw.integers(2, 6))

    def act(self, day: AttackDay) -> None:
        """Blend in, then take."""
        at = day.during_work(60)
        away = day.chance(0.4)
        day.work(day.amount(7, 1), "blend_in", at, foreign_device=True, foreign_address=away)
        if day.chance(0.3):
            secret = day.sensitive("file")
            day.do("file_open", day.amount(3), "take", at + 300, 30, resources=secret)
        day.do("file_copy", day.amount(3), "take", at + 600, 30, reach=(0.8, 0.2, 0))
        day.sometimes("take", at + 600, share_change=0.4, upload=0.4)
