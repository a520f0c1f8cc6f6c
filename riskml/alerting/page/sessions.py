"""Who is signed in, for how long, and how often somebody may try."""

from __future__ import annotations

import hmac
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock
from time import monotonic

from cryptography.fernet import Fernet, InvalidToken

from riskml.alerting.page.people import People, Person

Clock = Callable[[], float]


@dataclass
class Session:
    """Somebody who has signed in.

    Args:
        name: of the session, secret.
        person: whose it is.
        ends: seconds of the clock.
        csrf: what every form of it has to hold.
        unveiled: alerts whose user's name was asked for.
    """

    name: str
    person: Person
    ends: float
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    unveiled: set[str] = field(default_factory=set)

    def has(self, csrf: str) -> bool:
        """Whether a form comes from a page of this session."""
        return hmac.compare_digest(csrf.encode(), self.csrf.encode())


class Sessions:
    """Sessions in memory: a restart ends them all, and so does taking somebody's token away.

    Args:
        people: who may sign in.
        lasts: from signing in.
        clock: seconds.
    """

    def __init__(self, people: People, lasts: timedelta, clock: Clock = monotonic) -> None:
        self.people, self.lasts, self._clock = people, lasts, clock
        self._sessions: dict[str, Session] = {}
        self._seal = Fernet(Fernet.generate_key())
        self._lock = Lock()

    def begin(self, person: Person) -> str:
        """A new session; gives what the cookie holds, signed."""
        now = self._clock()
        session = Session(secrets.token_urlsafe(32), person, now + self.lasts.total_seconds())
        with self._lock:
            for name in [n for n, each in self._sessions.items() if each.ends <= now]:
                del self._sessions[name]
            self._sessions[session.name] = session
        return self._seal.encrypt(session.name.encode()).decode()

    def find(self, cookie: str | None) -> Session | None:
        """The session of a cookie, unless it has ended; its person as they stand now."""
        if cookie is None:
            return None
        try:
            name = self._seal.decrypt(cookie.encode()).decode()
        except InvalidToken:
            return None
        session = self._sessions.get(name)
        person = None if session is None else self.people.again(session.person)
        if session is None or person is None or session.ends <= self._clock():
            return None
        session.person = person
        return session

    def end(self, session: Session) -> None:
        """Sign out."""
        with self._lock:
            self._sessions.pop(session.name, None)


class Attempts:
    """How often signing in may fail from one address.

    Args:
        most: failures.
        within: this time; then the next attempt is possible.
        clock: seconds.
    """

    def __init__(
        self,
        most: int = 5,
        within: timedelta = timedelta(minutes=5),
        clock: Clock = monotonic,
    ) -> None:
        self._most, self._within, self._clock = most, within.total_seconds(), clock
        self._failures: dict[str, deque[float]] = {}
        self._lock = Lock()

    def wait(self, address: str) -> float:
        """Seconds until the next attempt; 0: now."""
        failures = self._failures.get(address)
        if failures is None or len(failures) < self._most:
            return 0.0
        return max(0.0, failures[0] + self._within - self._clock())

    def failed(self, address: str) -> None:
        """One more failure; addresses that have waited long enough are forgotten."""
        now = self._clock()
        with self._lock:
            for other in [a for a, f in self._failures.items() if f[-1] + self._within <= now]:
                del self._failures[other]
            self._failures.setdefault(address, deque(maxlen=self._most)).append(now)
