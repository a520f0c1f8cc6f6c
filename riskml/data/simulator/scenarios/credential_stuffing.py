"""Leaked passwords tried on many accounts; a few of them still work."""

import numpy as np

from riskml.data.simulator.scenarios.base import AttackDay, Scenario


class CredentialStuffing(Scenario):
    """One device, many accounts, few successes; behind a success, a look around."""

    name = "credential_stuffing"
    phases = ("attempt", "success")
    touches = ("failed_logon", "new_device", "new_address")
    weight = 1.2
    accounts = (7, 11)

    def length(self, draw: np.random.Generator) -> int:
        """Return one day."""
        return 1

    def act(self, day: AttackDay) -> None:
        """Try, and on the first accounts of the list get in."""
        # All accounts of a campaign are tried within the same two hours, wherever they are.
        at = day.utc(19.0 + day.incident.campaign * 7919 % 9) + day.draw.uniform(0, 5_400)
        day.do("logon", day.amount(1.6, 1), "attempt", at, 12, foreign=True, success=False)
        if day.incident.ordinal < 2:
            day.do("logon", 1, "success", at + 800, 1, foreign=True, success=True)
            day.do("email_read", day.amount(4), "success", at + 860, 15, foreign=True)
            day.do("file_open", day.amount(4), "success", at + 860, 15, foreign=True)
            day.sometimes(
                "success",
                at + 900,
                12,
                foreign=True,
                password_reset=0.5,
                share_change=0.5,
                email_external=0.5,
            )
            day.do("logoff", 1, "success", at + 1_900, 2, foreign=True)
