"""An insider stays late and carries data out."""

import numpy as np

from riskml.data.simulator.scenarios.base import AttackDay, Scenario


class OffHoursExfiltration(Scenario):
    """Collect during or after the day, carry out in the evening by stick, upload or mail."""

    name = "off_hours_exfiltration"
    phases = ("collect", "exfiltrate")
    touches = ("off_hours", "file_copy", "usb_copy", "upload", "email_external", "new_resources")
    weight = 1.4

    def length(self, draw: np.random.Generator) -> int:
        """Return one to three days."""
        return int(draw.integers(1, 4))

    def act(self, day: AttackDay) -> None:
        """Collect and carry out."""
        evening = day.after_work(2.0, 8.0)
        known = (0.8, 0.2, 0.0)
        day.do("logon", 1, "collect", evening - 60, 0.5)
        day.do("file_open", day.amount(3), "collect", evening, 40, reach=known)
        day.do("file_copy", day.amount(8), "collect", evening, 60, reach=known)
        if day.chance(0.35):
            secret = day.sensitive("file")
            day.do("file_open", day.amount(3), "collect", evening, 40, resources=secret)
        way_out = evening + 600
        day.sometimes("exfiltrate", way_out + 300, file_delete=0.6, print=0.5, db_export=0.3)
        if day.chance(0.55):
            day.do("usb_connect", 1, "exfiltrate", way_out, 1)
            day.do("usb_copy", day.amount(9, 1), "exfiltrate", way_out + 60, 40, reach=known)
        else:
            channel = "upload" if day.chance(0.6) else "email_external"
            day.do(channel, day.amount(8, 1), "exfiltrate", way_out, 60, reach=(0.6, 0.1, 0.3))
