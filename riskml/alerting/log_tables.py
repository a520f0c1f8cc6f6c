"""The tables of the alert log; `migrations/` makes them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
)

from riskml.data.event_tables import UtcTime

METADATA = MetaData()

AlertRow = dict[str, Any]
"""A row of one of these tables, by column."""

NUMBER = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts only in an INTEGER key."""

ALERTS = Table(
    "riskml_alert_log",
    METADATA,
    Column("alert_id", Text, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("peer", Text),
    Column("signature", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("risk", Double, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("first_seen", UtcTime, nullable=False),
    Column("last_seen", UtcTime, nullable=False),
    Column("notified_at", UtcTime),
    Index("riskml_alert_log_user", "user_id", "signature", "last_seen"),
    Index("riskml_alert_log_state", "state", "risk"),
)
"""What auditors see: a window that was raised, and those after it that say the same again."""

SIGHTINGS = Table(
    "riskml_alert_sightings",
    METADATA,
    Column("window_id", Text, primary_key=True),
    Column("model_version", Text, primary_key=True),
    Column("alert_id", Text, ForeignKey("riskml_alert_log.alert_id"), nullable=False),
    Column("user_id", Text, nullable=False),
    Column("peer", Text),
    Column("window_start", UtcTime, nullable=False),
    Column("window_end", UtcTime, nullable=False),
    Column("score", Double, nullable=False),
    Column("p_value", Double, nullable=False),
    Column("risk", Double, nullable=False),
    Column("threshold", Double),
    Column("reasons", Text, nullable=False),
    Column("event_ids", Text),
    Column("rule", Text, nullable=False),
    Column("told", Boolean, nullable=False),
    Column("seen_at", UtcTime, nullable=False),
    Index("riskml_alert_sightings_alert", "alert_id", "window_end"),
    Index("riskml_alert_sightings_end", "window_end"),
)
"""Every window that a model has raised, with the rule that decided whether people are told."""

TRAIL = Table(
    "riskml_alert_trail",
    METADATA,
    Column("number", NUMBER, primary_key=True, autoincrement=False),
    Column("alert_id", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("who", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("digest", Text, nullable=False, unique=True),
    Index("riskml_alert_trail_alert", "alert_id", "number"),
)
"""Every change, only added, each with the digest of the one before."""

OUTBOX = Table(
    "riskml_alert_outbox",
    METADATA,
    Column("number", NUMBER, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("alert_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Index("riskml_alert_outbox_alert", "alert_id"),
)
"""What people are to be told, written with the alert that it tells of."""

PLACES = Table(
    "riskml_alert_places",
    METADATA,
    Column("channel", Text, primary_key=True),
    Column("queue", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("next_at", UtcTime, nullable=False),
    Column("busy_until", UtcTime, nullable=False),
)
"""How far each channel has come in the outbox, and when it is tried again."""

REFUSED = Table(
    "riskml_alert_refused",
    METADATA,
    Column("channel", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("reason", Text, nullable=False),
)
"""What a channel will never take."""
