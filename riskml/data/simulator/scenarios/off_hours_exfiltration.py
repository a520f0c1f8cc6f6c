"""An insider stays late and carries data out."""

import numpy as np

from riskml.data.simulator.resources import OWN
from riskml.data.simulator.scenarios.base import AttackDay, Scenario


class OffHoursExfiltration(Scenario):
    """Collect during or after the day, carry out in the evening by stick, upload or mail."""

    name = "off_hours_exfiltration"
    phases = ("collect", "exfiltrate")
    touches = ("off_hours", "file_copy", "usb_copy", "upload", "email_external", "new_resources")
    weight = 1.2

    def length(self, draw: np.random.Generator) -> int:
        """Return one to three days."""
        return int(draw.integers(1, 4))

    def act(self, day: AttackDay) -> None:
        """Collect and carry out."""
        evening = day.after_work(2.0, 8.0)
        day.do("logon", 1, "collect", evening - 60, 0.5)
        day.do("file_open", day.amount(3), "collect", evening, 40, reach=OWN)
        if day.chance(0.5):
            day.do(
                "file_open", day.amount(3), "collect", evening, 40, resources=day.sensitive("file")
            )
        day.do(
            "file_copy", day.amount(8), "collect", evening, 60, reach=(0.7, 0.25, 0.05), size=1.3
        )
        day.sometimes("exfiltrate", evening + 900, file_delete=0.5, print=0.4, db_export=0.4)
        if day.chance(0.55):
            day.do("usb_connect", 1, "exfiltrate", evening + 600, 1)
            day.do(
                "usb_copy",
                day.amount(9, 1),
                "exfiltrate",
                evening + 660,
                40,
                reach=(0.7, 0.25, 0.05),
                size=1.3,
            )
        elif day.chance(0.6):
            day.do(
                "upload",
                day.amount(8, 1),
                "exfiltrate",
                evening + 600,
                60,
                reach=(0.4, 0.1, 0.5),
                size=1.5,
            )
        else:
            day.do(
                "email_external",
                day.amount(8, 1),
                "exfiltrate",
                evening + 600,
                60,
                reach=(0.4, 0.1, 0.5),
                size=1.5,
            )
