"""A stranger logs on with stolen credentials from a device never seen before."""

import numpy as np

from riskml.data.simulator.resources import OWN
from riskml.data.simulator.scenarios.base import AttackDay, Scenario


class AccountTakeover(Scenario):
    """Enter from a new device and place, look around, take something."""

    name = "account_takeover"
    phases = ("enter", "explore", "take")
    touches = ("new_device", "new_address", "failed_logon", "new_resources", "download")
    weight = 1.3

    def length(self, draw: np.random.Generator) -> int:
        """Return one to three days."""
        return int(draw.integers(1, 4))

    def act(self, day: AttackDay) -> None:
        """Enter, explore, take; on later days mostly without failures."""
        at = day.during_work(40) if day.chance(0.3) else day.after_work(1.0, 11.0)
        if day.step == 0 or day.chance(0.3):
            day.do("logon", day.amount(1.5), "enter", at - 120, 2, foreign=True, success=False)
        day.do("logon", 1, "enter", at, 0.5, foreign=True, success=True)
        day.do("search", day.amount(3), "explore", at + 60, 15, reach=OWN, foreign=True)
        day.do("email_read", day.amount(5), "explore", at + 60, 15, reach=OWN, foreign=True)
        day.do("file_open", day.amount(3, 1), "explore", at + 90, 25, reach=OWN, foreign=True)
        if day.chance(0.35):
            secret = day.sensitive("file")
            day.do(
                "file_open", day.amount(3), "explore", at + 90, 25, resources=secret, foreign=True
            )
        day.do("download", day.amount(3), "take", at + 900, 20, reach=(0.7, 0.2, 0.1), foreign=True)
        day.sometimes(
            "take",
            at + 900,
            15,
            foreign=True,
            share_change=0.6,
            password_reset=0.5,
            db_export=0.3,
            email_external=0.5,
        )
        day.do("logoff", 1, "take", at + 2_200, 3, foreign=True)
