"""A little every day, for weeks."""

import numpy as np

from riskml.data.simulator.scenarios.base import AttackDay, Scenario


class SlowLeak(Scenario):
    """A few documents a day leave by one channel, within working hours."""

    name = "slow_leak"
    phases = ("leak",)
    touches = ("email_external", "upload", "file_open", "new_resources")
    weight = 1.1

    def length(self, draw: np.random.Generator) -> int:
        """Return twelve days or more."""
        return int(draw.integers(12, 17))

    def act(self, day: AttackDay) -> None:
        """Read a little and send a little."""
        at = day.during_work(60)
        channel = "upload" if day.incident.number % 2 else "email_external"
        day.do("file_open", day.amount(2.5), "leak", at, 40, reach=(0.8, 0.2, 0))
        day.do(channel, day.amount(4, 1), "leak", at + 300, 50, reach=(0.6, 0.1, 0.3))
