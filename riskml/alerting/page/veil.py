"""Users by pseudonym wherever they are shown: as users, and within texts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select

from riskml.alerting.alert_log import AlertLog
from riskml.alerting.log_tables import ALERTS
from riskml.core.pseudonyms import DIGITS, PREFIX, Pseudonyms
from riskml.core.redaction import printable
from riskml.data.pseudonymous import Names

PSEUDONYM = re.compile(f"{PREFIX}[0-9a-f]{{{DIGITS}}}")
"""A log that was read with pseudonyms has them already: they are shown as they are."""


@dataclass(frozen=True)
class Veil:
    """What one page shows of users.

    Args:
        names: finds users in texts, by id → what is shown.
    """

    names: Names

    def user(self, user_id: str) -> str:
        """The pseudonym, or the name where it was unveiled."""
        return printable(self.names.pseudonyms.get(user_id, user_id))

    def text(self, text: str) -> str:
        """The text with pseudonyms for users of the log."""
        return printable(self.names.replaced(text))

    def is_hidden(self, user_id: str) -> bool:
        """Whether there is a name to unveil."""
        return user_id in self.names.pseudonyms


class Veils:
    """Veils over the users of an alert log; what is known of them is kept from page to page.

    Args:
        log: whose users are hidden.
        pseudonyms: what is shown for them.
    """

    def __init__(self, log: AlertLog, pseudonyms: Pseudonyms) -> None:
        self._log, self._pseudonyms = log, pseudonyms
        self._names = Names({})

    def veil(self, unveiled: Iterable[str] = ()) -> Veil:
        """For a page.

        Args:
            unveiled: alerts whose users are shown.

        Raises:
            DataError: the log cannot be read.
        """
        with self._log.reading() as connection:
            users = set(connection.execute(select(ALERTS.c.user_id).distinct()).scalars())
            mine = select(ALERTS.c.user_id).where(ALERTS.c.alert_id.in_(list(unveiled)))
            seen = set(connection.execute(mine).scalars())
        names = self._known({user for user in users if not PSEUDONYM.fullmatch(user)})
        if seen:
            names = Names({u: p for u, p in names.pseudonyms.items() if u not in seen})
        return Veil(names)

    def _known(self, users: set[str]) -> Names:
        if users != self._names.pseudonyms.keys():
            self._names = Names(self._pseudonyms.of(sorted(users)))
        return self._names
