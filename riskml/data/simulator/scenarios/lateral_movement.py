"""From one machine to the next."""

import numpy as np

from riskml.data.simulator.scenarios.base import AttackDay, Scenario


class LateralMovement(Scenario):
    """Remote logons to unusual hosts, failures on the way, commands where one gets in."""

    name = "lateral_movement"
    phases = ("probe", "spread")
    touches = ("remote_logon", "admin_command", "new_hosts", "failures")

    def length(self, draw: np.random.Generator) -> int:
        """Return one to three days."""
        return int(draw.integers(1, 4))

    def act(self, day: AttackDay) -> None:
        """Probe, then spread."""
        at = day.during_work(120) if day.chance(0.6) else day.after_work(0.5, 4)
        day.do("remote_logon", day.amount(1.5), "probe", at, 60, reach=(0, 0.3, 0.7), success=False)
        day.do("remote_logon", day.amount(3.5, 1), "spread", at + 120, 80, reach=(0.1, 0.3, 0.6))
        day.do("admin_command", day.amount(4), "spread", at + 300, 90, reach=(0.1, 0.3, 0.6))
        day.do("file_open", day.amount(2.5), "spread", at + 600, 80, reach=(0, 0.4, 0.6))
