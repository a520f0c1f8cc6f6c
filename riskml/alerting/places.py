"""How far each channel has come in the outbox: a place in each queue, one worker's at a time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, RowMapping, insert, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from riskml.alerting.alert_log import AlertLog
from riskml.alerting.log_tables import PLACES

Clock = Callable[[], datetime]

NOTICES, DIGESTS, STANDING, MUTED = "notices", "digests", "standing", "muted"
"""What is told at once, what is gathered, what is said again while it stands, and what came while
the channel was mute."""

LETTERS = "letters"
"""What is for one receiver alone."""

START = datetime(1970, 1, 1, tzinfo=UTC)


class Places:
    """Those of a log's channels.

    Args:
        log: whose they are.
        lease: how long a place is a worker's own.
        clock: tells the time.
    """

    def __init__(self, log: AlertLog, lease: timedelta, clock: Clock) -> None:
        self._log, self._lease, self._clock = log, lease, clock

    def take(self, name: str, queue: str) -> RowMapping | None:
        """A queue's place, for this worker alone; None: it is another's, or it has to wait."""
        now = self._clock()
        mine = _place(name, queue)
        with self._log.writing() as connection:
            _make(connection, name, queue)
            free = mine & (PLACES.c.busy_until <= now) & (PLACES.c.next_at <= now)
            until = now + self._lease
            if not connection.execute(update(PLACES).where(free).values(busy_until=until)).rowcount:
                return None
            return connection.execute(select(*PLACES.c).where(mine)).mappings().one()

    def failed(self, name: str, queue: str) -> bool:
        """Whether the queue waits since its channel did not answer."""
        query = select(PLACES.c.failures).where(_place(name, queue))
        with self._log.reading() as connection:
            return bool(connection.execute(query).scalar_one())

    def move(self, name: str, queue: str, position: int) -> None:
        """A message was taken; the place stays this worker's."""
        values = {"position": position, "busy_until": self._clock() + self._lease}
        self._set(name, queue, values)

    def leave(
        self, name: str, queue: str, position: int, failures: int, until: datetime | None
    ) -> None:
        """Let others have it, from a moment on or at once."""
        now = self._clock()
        values = {"position": position, "failures": failures, "busy_until": now}
        self._set(name, queue, {**values, "next_at": now if until is None else until})

    def _set(self, name: str, queue: str, values: dict[str, object]) -> None:
        with self._log.writing() as connection:
            connection.execute(update(PLACES).where(_place(name, queue)).values(values))


def _make(connection: Connection, name: str, queue: str) -> None:
    if connection.execute(select(PLACES.c.position).where(_place(name, queue))).first() is None:
        told = select(PLACES.c.position).where(_place(name, NOTICES))
        # a channel that is mute from now on has told already what came before
        position = connection.execute(told).scalar() or 0 if queue == MUTED else 0
        row = {"channel": name, "queue": queue, "position": position, "failures": 0}
        try:
            with connection.begin_nested():
                connection.execute(insert(PLACES), [{**row, "next_at": START, "busy_until": START}])
        except IntegrityError:
            return  # another worker was quicker


def _place(name: str, queue: str) -> ColumnElement[bool]:
    """Which row of the places is a queue's."""
    return (PLACES.c.channel == name) & (PLACES.c.queue == queue)
