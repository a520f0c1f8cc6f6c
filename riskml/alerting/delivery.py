"""From the outbox to people: in order, at least once, through whatever the channels do.

Each channel has a place in the outbox. It moves on once a message was taken, so that a worker that
is killed sends at most its last message again, with the same key. A channel that does not answer
is left alone for a while that doubles, then gets one message to try: the circuit is open, then half
open. Nothing overtakes what it did not take.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import insert, select

from riskml.alerting.alert_log import AlertLog
from riskml.alerting.channels import AwayError, Channel, RefusedError
from riskml.alerting.log_tables import REFUSED
from riskml.alerting.messages import standing
from riskml.alerting.parcels import Parcels
from riskml.alerting.places import DIGESTS, LETTERS, MUTED, NOTICES, STANDING, Clock, Places
from riskml.alerting.routing import Routing
from riskml.alerting.states import AlertState, FromFile
from riskml.core.errors import require
from riskml.monitoring.tracing import span

_logger = logging.getLogger(__name__)

MINUTE = timedelta(minutes=1)

AT_ONCE = 200
"""Alerts of a message that says again what stands."""


@dataclass(frozen=True)
class DeliverySettings(FromFile):
    """How a worker goes.

    Args:
        first_wait: after a channel did not answer; doubles with each further time.
        longest_wait: at most; a random part of up to a half is taken off.
        digest_every: how long digests are gathered.
        a_minute: messages that a channel gets in a minute at most.
        lease: how long a channel is a worker's own; a killed worker's channels wait so long.

    Raises:
        ConfigError: no message a minute, or a time that is none.
    """

    first_wait: timedelta = timedelta(seconds=5)
    longest_wait: timedelta = timedelta(minutes=10)
    digest_every: timedelta = timedelta(days=1)
    a_minute: int = 30
    lease: timedelta = timedelta(minutes=1)

    def __post_init__(self) -> None:
        require("a_minute", self.a_minute, self.a_minute >= 1, "must be at least 1")
        for name in ("first_wait", "longest_wait", "lease"):
            time = getattr(self, name)
            require(name, time, time > timedelta(0), "must be above 0")


@dataclass(frozen=True)
class Delivered:
    """What a round did.

    Args:
        sent: messages that a channel took; a digest is one.
        refused: that it never will take; they are kept in `riskml_alert_refused`.
        away: channels that did not answer, or are left alone since they did not.
        held: channels that had as much as they may get in a minute.
    """

    sent: int = 0
    refused: int = 0
    away: int = 0
    held: int = 0

    def __add__(self, other: Delivered) -> Delivered:
        return Delivered(
            self.sent + other.sent,
            self.refused + other.refused,
            self.away + other.away,
            self.held + other.held,
        )


@dataclass
class Worker:
    """Delivers what lies in the outbox of a log.

    Args:
        log: whose it is.
        channels: by name; the name keeps the place.
        settings: how.
        routing: which channel tells of which alert; None: each of all.
        clock: tells the time.
        chance: 0 to 1, of the random part of waits.
    """

    log: AlertLog
    channels: Mapping[str, Channel]
    settings: DeliverySettings = DeliverySettings()
    routing: Routing | None = None
    clock: Clock = lambda: datetime.now(UTC)
    chance: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        self._sent: dict[str, deque[datetime]] = {}
        self._places = Places(self.log, self.settings.lease, self.clock)
        self._parcels = Parcels(self.log, tuple(self.channels), self.routing, self.clock)

    def round(self) -> Delivered:
        """Send what is due, over all channels.

        Raises:
            ConfigError: a secret of a channel is missing.
            DataError: the database cannot be used.
        """
        done = Delivered()
        for channel in self.channels.values():
            channel.check()
        self._escalate()
        for name, channel in self.channels.items():
            for queue in (MUTED, NOTICES, DIGESTS):
                done += self._queue(name, channel, queue)
            if channel.repeats is not None:
                done += self._say_again(name, channel, channel.repeats)
        return done + self.letters()

    def letters(self) -> Delivered:
        """Send letters alone.

        Raises:
            ConfigError: a secret of a channel is missing.
            DataError: the database cannot be used.
        """
        done = Delivered()
        for name, channel in self.channels.items():
            if channel.carries_letters:
                channel.check()
                done += self._queue(name, channel, LETTERS)
        return done

    def _say_again(self, name: str, channel: Channel, every: timedelta) -> Delivered:
        place = self._places.take(name, STANDING)
        if place is None:
            return Delivered()
        messages = self._parcels.standing(name, channel)
        failures, wait, done = 0, every, Delivered()
        try:
            for start in range(0, len(messages), AT_ONCE):
                channel.send(messages[start : start + AT_ONCE])
                done += Delivered(sent=1)
        except (AwayError, RefusedError) as error:
            failures, done = place["failures"] + 1, done + Delivered(away=1)
            wait = min(self._wait(failures), every)
            _logger.warning("%s: %s", name, error)
        finally:
            self._places.leave(name, STANDING, 0, failures, self.clock() + wait)
        return done

    def _queue(self, name: str, channel: Channel, queue: str) -> Delivered:
        done, place = Delivered(), self._places.take(name, queue)
        if place is None:
            return Delivered(away=1) if self._places.failed(name, queue) else done
        position, failures = place["position"], place["failures"]
        wait_until = None
        try:
            while True:
                parcel, last = self._parcels.next(name, channel, queue, position)
                if parcel is not None:
                    wait_until = self._full_until(name, channel)
                    if wait_until is not None:
                        return done + Delivered(held=1)
                    try:
                        with span("deliver", parcel.written_in, channel=name):
                            parcel.send()
                        done += Delivered(sent=1)
                    except AwayError as error:
                        failures += 1
                        wait_until = self.clock() + self._wait(failures)
                        _logger.warning("%s: %s; again from %s", name, error, wait_until)
                        return done + Delivered(away=1)
                    except RefusedError as error:
                        _logger.error("%s: %s", name, error)
                        self._refuse(name, parcel.keys, error)
                        done += Delivered(refused=1)
                    failures = 0
                    if queue == DIGESTS:
                        wait_until = self.clock() + self.settings.digest_every
                if last == position:
                    break
                position = last
                self._places.move(name, queue, position)
                if wait_until is not None:
                    break
            return done
        finally:
            self._places.leave(name, queue, position, failures, wait_until)

    def _full_until(self, name: str, channel: Channel) -> datetime | None:
        """When the channel may get its next message, else None: now, and one more is counted."""
        now, sent = self.clock(), self._sent.setdefault(name, deque())
        while sent and sent[0] <= now - MINUTE:
            sent.popleft()
        if len(sent) >= (channel.a_minute or self.settings.a_minute):
            return sent[0] + MINUTE
        sent.append(now)
        return None

    def _escalate(self) -> None:
        """Put by what further people are to be told of alerts that nobody has acknowledged."""
        if self.routing is None or not any(route.escalate for route in self.routing.routes):
            return
        now = self.clock()
        with self.log.reading() as connection:
            waiting = [m for m in standing(connection) if m.state == AlertState.OPEN]
        for message in waiting:
            told = message.notified_at
            assert told is not None  # else it would not stand
            for route in self.routing.way(message, told).routes:
                mute = self.routing.mute(route, now)
                if route.escalate and now - told >= route.escalate.after and mute is None:
                    self.log.escalate(message.alert_id, message.severity, route.escalate.to, now)

    def _wait(self, failures: int) -> timedelta:
        doubled = self.settings.first_wait * 2 ** min(failures - 1, 30)
        wait: timedelta = min(doubled, self.settings.longest_wait) * (1 - self.chance() / 2)
        return wait

    def _refuse(self, name: str, keys: list[str], error: RefusedError) -> None:
        rows = [
            {"channel": name, "key": key, "at": self.clock(), "reason": str(error)} for key in keys
        ]
        with self.log.writing() as connection:
            known = set(
                connection.execute(select(REFUSED.c.key).where(REFUSED.c.channel == name)).scalars()
            )
            new = [row for row in rows if row["key"] not in known]
            if new:
                connection.execute(insert(REFUSED), new)
