"""What of the outbox a channel is to send next, by routing and queue."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import RowMapping, func, select

from riskml.alerting.alert_log import ESCALATED, AlertLog
from riskml.alerting.channels import Channel
from riskml.alerting.letters import LETTER, letter_of
from riskml.alerting.log_tables import OUTBOX
from riskml.alerting.messages import AlertMessage, message_of, standing
from riskml.alerting.places import DIGESTS, LETTERS, MUTED, NOTICES, Clock
from riskml.alerting.routing import Routing, Way
from riskml.alerting.suppression import Notice

FEW, MANY = 50, 1_000
"""Notices that are looked at together for one message, and for a digest."""


@dataclass(frozen=True)
class Parcel:
    """What a channel sends at once.

    Args:
        keys: of the notices in it.
        send: does it.
        written_in: traces in which the notices were written.
    """

    keys: list[str]
    send: Callable[[], None]
    written_in: tuple[str, ...] = ()


@dataclass(frozen=True)
class Parcels:
    """Looks into the outbox of a log.

    Args:
        log: whose it is.
        channels: names of all.
        routing: which channel tells of which alert; None: each of all.
        clock: tells the time.
    """

    log: AlertLog
    channels: tuple[str, ...]
    routing: Routing | None
    clock: Clock

    def standing(self, name: str, channel: Channel) -> list[AlertMessage]:
        """What stands and is told by a channel, which says it again and again."""
        with self.log.reading() as connection:
            return [
                each
                for each in map(self._placed, standing(connection))
                if channel.takes(each)
                and _is_told(name, channel, self._way(each, each.notified_at))
            ]

    def next(
        self, name: str, channel: Channel, queue: str, position: int
    ) -> tuple[Parcel | None, int]:
        """The next message, or a digest of all that there are, and the place after it.

        Args:
            name: of the channel.
            channel: which sends it.
            queue: of the channel, see `places`.
            position: what lies in the outbox up to here is done.
        """
        if queue == LETTERS:
            return self._next_letter(name, channel, position)
        digest, letter = OUTBOX.c.kind == Notice.DIGEST, OUTBOX.c.kind == LETTER
        kinds = {DIGESTS: digest, NOTICES: ~digest & ~letter, MUTED: ~letter}
        query = (
            select(*OUTBOX.c)
            .where(OUTBOX.c.number > position, kinds[queue])
            .order_by(OUTBOX.c.number)
            .limit(FEW if queue == NOTICES else MANY)
        )
        found: dict[str, AlertMessage] = {}
        with self.log.reading() as connection:
            if queue == MUTED and not self._may_be_mute:
                newest = connection.execute(select(func.max(OUTBOX.c.number))).scalar()
                return None, max(position, newest or 0)
            for notice in connection.execute(query).mappings().all():
                message = self._placed(message_of(connection, notice))
                if channel.takes(message) and self._is_in(queue, name, channel, message, notice):
                    if queue == MUTED and name in self._way(message, self.clock()).muted:
                        break
                    found[message.alert_id] = message
                position = notice["number"]
                if found and queue == NOTICES:
                    break
        messages = list(found.values())
        if not messages:
            return None, position
        written_in = sorted({each.traceparent for each in messages if each.traceparent})
        keys, send = [each.key for each in messages], partial(channel.send, messages)
        return Parcel(keys, send, tuple(written_in)), position

    def _next_letter(self, name: str, channel: Channel, position: int) -> tuple[Parcel | None, int]:
        query = (
            select(*OUTBOX.c)
            .where(OUTBOX.c.number > position, OUTBOX.c.kind == LETTER)
            .order_by(OUTBOX.c.number)
        )
        with self.log.reading() as connection:
            for notice in connection.execute(query).mappings():
                letter, position = letter_of(notice), notice["number"]
                if letter.channel == name:
                    return Parcel([letter.key], partial(channel.send_letter, letter)), position
        return None, position

    def _is_in(
        self, queue: str, name: str, channel: Channel, message: AlertMessage, notice: RowMapping
    ) -> bool:
        """Whether a notice is told by this queue of the channel."""
        if notice["kind"] == ESCALATED:
            return queue == NOTICES and name in json.loads(notice["content"])["to"]
        way = self._way(message, notice["created_at"])
        if queue == MUTED:
            return channel.repeats is None and name in way.muted
        return _is_told(name, channel, way)

    @property
    def _may_be_mute(self) -> bool:
        return self.routing is not None and any(route.mute for route in self.routing.routes)

    def _placed(self, message: AlertMessage) -> AlertMessage:
        return message if self.routing is None else self.routing.placed(message)

    def _way(self, message: AlertMessage, at: datetime | None) -> Way:
        """The channels that tell of an alert."""
        if self.routing is None:
            return Way(self.channels, ())
        return self.routing.way(message, at or self.clock())


def _is_told(name: str, channel: Channel, way: Way) -> bool:
    """Whether a channel tells of an alert at once; an Alertmanager has mute times of its own."""
    return name in way.channels or (channel.repeats is not None and name in way.muted)
