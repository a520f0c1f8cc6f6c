"""What an alert log holds, counted for metrics; names no user."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import func, select

from riskml.alerting.alert_log import AlertLog
from riskml.alerting.channels import Channel
from riskml.alerting.letters import LETTER
from riskml.alerting.log_tables import ALERTS, OUTBOX, PLACES, REFUSED, SIGHTINGS
from riskml.alerting.places import DIGESTS, NOTICES
from riskml.alerting.suppression import Notice
from riskml.monitoring.command_metrics import AlertLogCounts, OutboxCounts


def count_log(log: AlertLog) -> AlertLogCounts:
    """Alerts and raised windows.

    Raises:
        DataError: the database cannot be used.
    """
    with log.reading() as connection:
        by = ALERTS.c.severity, ALERTS.c.state
        alerts = connection.execute(select(*by, func.count()).group_by(*by)).all()
        rules = SIGHTINGS.c.rule, SIGHTINGS.c.told
        windows = connection.execute(select(*rules, func.count()).group_by(*rules)).all()
    return AlertLogCounts(
        {(severity, state): n for severity, state, n in alerts},
        {(rule, "yes" if told else "no"): n for rule, told, n in windows},
    )


def count_outbox(log: AlertLog, channels: Mapping[str, Channel]) -> OutboxCounts:
    """What each channel has before it; messages that go to others are passed over once it looks.

    Raises:
        DataError: the database cannot be used.
    """
    digest, letter = OUTBOX.c.kind == Notice.DIGEST, OUTBOX.c.kind == LETTER
    waiting, failures = dict.fromkeys(channels, 0), dict.fromkeys(channels, 0)
    oldest = []
    with log.reading() as connection:
        places = connection.execute(select(PLACES)).mappings().all()
        for name in channels:
            for queue, which in ((NOTICES, ~digest & ~letter), (DIGESTS, digest)):
                mine = [p for p in places if (p["channel"], p["queue"]) == (name, queue)]
                position = mine[0]["position"] if mine else 0
                query = select(func.count(), func.min(OUTBOX.c.created_at))
                ahead = which & (OUTBOX.c.number > position)
                n, first = connection.execute(query.where(ahead)).one()
                waiting[name] += n
                # a digest waits for its time, which is no delay
                if first is not None and queue == NOTICES:
                    oldest.append(first)
                failures[name] = max([failures[name], *(p["failures"] for p in mine)])
        counted = select(REFUSED.c.channel, func.count()).group_by(REFUSED.c.channel)
        refused = {name: n for name, n in connection.execute(counted)}
    of_channels = {name: refused.get(name, 0) for name in channels}
    return OutboxCounts(waiting, min(oldest, default=None), failures, of_channels)
