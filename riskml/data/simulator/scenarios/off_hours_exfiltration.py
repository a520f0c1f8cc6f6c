"""An insider stays late and carries data out."""

import numpy as np

from riskml.data.simulator.scenarios.base import AttackDay, Scenario


class OffHoursExfiltration(Scenario):
    """Collect during or after the day, carry out in the evening by stick, upload or mail."""

    name = "off_hours_exfiltration"
    phases = ("collect", "exfiltrate")
    touches = ("off_hours", "file_copy", "usb_copy", "upload", "email_external", "new_resources")

    def length(self, draw: np.random.Generator) -> int:
        """Return one to three days."""
        return int(draw.integers(1, 4))

    def act(self, day: AttackDay) -> None:
        """Collect and carry out."""
        evening = day.after_work(0.8, 4.5)
        day.do("file_open", day.amount(5), "collect", evening, 25, reach=(0.3, 0.4, 0.3))
        day.do("file_copy", day.amount(5), "collect", evening, 30, reach=(0.3, 0.4, 0.3), size=2.0)
        way = int(day.draw.integers(3))
        if way == 0:
            day.do("usb_connect", 1, "exfiltrate", evening + 600, 1)
            day.do("usb_copy", day.amount(6, 1), "exfiltrate", evening + 660, 20,
                   reach=(0.4, 0.4, 0.2), size=2.0)
        elif way == 1:
            day.do("upload", day.amount(5, 1), "exfiltrate", evening + 600, 30,
                   reach=(0.2, 0.2, 0.6), size=2.5)
        else:
            day.do("email_external", day.amount(5, 1), "exfiltrate", evening + 600, 30,
                   reach=(0.3, 0.2, 0.5), size=2.5)
