"""Reserved: an account that nobody has used for weeks wakes up. Not to be tuned on."""

import numpy as np

from riskml.data.simulator.scenarios.base import AttackDay, Scenario


class DormantAccount(Scenario):
    """Use a forgotten account; people also come back from a long leave."""

    name = "dormant_account"
    phases = ("awaken", "use")
    touches = ("days_since_last_event", "new_device", "new_resources")
    quiet_days = True
    silent_before = 25

    def length(self, draw: np.random.Generator) -> int:
        """Return two to four days."""
        return int(draw.integers(2, 5))

    def act(self, day: AttackDay) -> None:
        """Log on and work, on one's own device only seldom."""
        at = day.during_work(60)
        if day.step == 0 and day.chance(0.4):
            day.do("logon", day.amount(1, 1), "awaken", at - 200, 3, foreign=True, success=False)
        day.work(day.amount(12, 3), "awaken", at, foreign_device=day.chance(0.7),
                 foreign_address=day.chance(0.7))
        day.do("file_open", day.amount(5), "use", at + 400, 40, reach=(0.2, 0.4, 0.4))
        day.do("download", day.amount(2), "use", at + 400, 40, reach=(0.2, 0.4, 0.4))
