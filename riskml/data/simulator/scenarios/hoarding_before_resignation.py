"""Somebody who is about to leave takes their work along, and that of others."""

import numpy as np

from riskml.data.simulator.scenarios.base import AttackDay, Scenario


class HoardingBeforeResignation(Scenario):
    """More copies every day until the last ones."""

    name = "hoarding_before_resignation"
    phases = ("hoard", "carry_off")
    touches = ("file_copy", "download", "usb_copy", "code_pull", "new_resources")
    weight = 1.4
    leaves_after = True

    def length(self, draw: np.random.Generator) -> int:
        """Return five to eight days."""
        return int(draw.integers(5, 9))

    def act(self, day: AttackDay) -> None:
        """Hoard, more and more, and carry off at the end."""
        at = day.during_work(90)
        growth = 0.7 + 0.8 * day.progress
        known = (0.8, 0.2, 0.0)
        day.do("file_open", day.amount(3 * growth), "hoard", at, 80, reach=known)
        day.do("file_copy", day.amount(8 * growth, 1), "hoard", at, 80, reach=known)
        day.do("download", day.amount(2.5 * growth), "hoard", at, 80, reach=known)
        day.do("code_pull", day.amount(1 * growth), "hoard", at, 80, reach=(0.5, 0.4, 0.1))
        if day.chance(0.3):
            secret = day.sensitive("file")
            day.do("file_copy", day.amount(2 * growth), "hoard", at, 80, resources=secret)
        day.sometimes("hoard", at, 90, db_export=0.35, print=0.5, upload=0.4)
        if day.chance(0.2 + 0.5 * day.progress):
            day.do("usb_connect", 1, "carry_off", at + 4_000, 1)
            day.do("usb_copy", day.amount(7, 1), "carry_off", at + 4_060, 25, reach=known)
