"""Reserved: an account that nobody has used for weeks wakes up. Not to be tuned on."""

import numpy as np

from riskml.data.simulator.scenarios.base import AttackDay, Scenario


class DormantAccount(Scenario):
    """Use a forgotten account; people also come back from a long leave."""

    name = "dormant_account"
    phases = ("awaken", "use")
    touches = ("days_since_last_event", "new_device", "new_resources")
    weight = 0.8
    quiet_days = True
    silent_before = 25

    def length(self, draw: np.random.Generator) -> int:
        """Return two to four days."""
        return int(draw.integers(2, 5))

    def act(self, day: AttackDay) -> None:
        """Log on and work, on the owner's device only seldom."""
        at = day.during_work(60) if day.chance(0.5) else day.after_work(0.0, 9.0)
        if day.step == 0 or day.chance(0.3):
            day.do("logon", day.amount(1.5, 1), "awaken", at - 200, 3, foreign=True, success=False)
        foreign = day.chance(0.85)
        day.work(day.amount(12, 3), "awaken", at, foreign_device=foreign, foreign_address=foreign)
        if day.chance(0.4):
            day.do(
                "file_open",
                day.amount(3),
                "use",
                at + 400,
                40,
                resources=day.sensitive("file"),
                foreign=foreign,
            )
        day.sometimes(
            "use", at + 600, foreign=foreign, share_change=0.5, db_export=0.4, password_reset=0.4
        )
        day.do(
            "download", day.amount(3), "use", at + 400, 40, reach=(0.5, 0.3, 0.2), foreign=foreign
        )
