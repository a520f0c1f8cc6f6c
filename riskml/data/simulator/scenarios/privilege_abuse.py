"""Somebody gives themselves rights and reads what is not theirs."""

import numpy as np

from riskml.data.simulator.scenarios.base import AttackDay, Scenario


class PrivilegeAbuse(Scenario):
    """Change rights, run commands, read sensitive data."""

    name = "privilege_abuse"
    phases = ("escalate", "abuse")
    touches = ("privilege_change", "admin_command", "sensitive_resources", "db_query")
    weight = 1.2

    def length(self, draw: np.random.Generator) -> int:
        """Return two to four days."""
        return int(draw.integers(2, 5))

    def act(self, day: AttackDay) -> None:
        """Escalate on the first day and now and then, abuse on all of them."""
        at = day.during_work(120)
        if day.step == 0 or day.chance(0.5):
            day.do("privilege_change", day.amount(2, 1), "escalate", at, 10, reach=(0.2, 0.5, 0.3))
        day.do("admin_command", day.amount(5), "escalate", at, 20, reach=(0.6, 0.3, 0.1))
        day.do("db_query", day.amount(6), "abuse", at + 900, 60, reach=(0.8, 0.2, 0))
        secret = day.sensitive("file")
        day.do("file_open", day.amount(2, 1), "abuse", at + 900, 90, resources=secret)
        day.sometimes("abuse", at + 1_200, remote_logon=0.6, share_change=0.5, password_reset=0.5)
        if day.chance(0.6):
            tables = day.sensitive("table")
            day.do("db_export", day.amount(3, 1), "abuse", at + 2_400, 30, resources=tables)
