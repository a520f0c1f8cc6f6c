"""From one machine to the next."""

import numpy as np

from riskml.data.simulator.resources import ANYWHERE
from riskml.data.simulator.scenarios.base import AttackDay, Scenario


class LateralMovement(Scenario):
    """Remote logons to unusual hosts, failures on the way, commands where one gets in."""

    name = "lateral_movement"
    phases = ("probe", "spread")
    touches = ("remote_logon", "admin_command", "new_hosts", "failures")
    weight = 1.1

    def length(self, draw: np.random.Generator) -> int:
        """Return one to three days."""
        return int(draw.integers(1, 4))

    def act(self, day: AttackDay) -> None:
        """Probe, then spread."""
        at = day.during_work(120) if day.chance(0.3) else day.after_work(0.5, 8)
        day.do("remote_logon", day.amount(2), "probe", at, 60, reach=ANYWHERE, success=False)
        day.do("remote_logon", day.amount(5, 1), "spread", at + 120, 80, reach=(0.25, 0.4, 0.35))
        day.sometimes("spread", at + 1_800, privilege_change=0.5, db_query=0.5, share_change=0.4)
        for hop in range(1 + day.amount(1.2)):
            later = at + 900 * (hop + 1)
            device = day.colleagues_device()
            day.do("logon", 1, "spread", later, 2, device=device)
            day.do(
                "admin_command",
                day.amount(3),
                "spread",
                later + 120,
                12,
                reach=(0.25, 0.4, 0.35),
                device=device,
            )
            day.do(
                "file_open",
                day.amount(1),
                "spread",
                later + 120,
                12,
                resources=day.sensitive("file"),
                device=device,
            )
