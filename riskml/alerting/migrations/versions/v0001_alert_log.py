"""The alert log, its trail and its outbox."""

import sqlalchemy as sa
from alembic import op

from riskml.data.event_tables import UtcTime

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")

TRAIL = "riskml_alert_trail"

APPEND_ONLY = {
    "sqlite": [
        f"CREATE TRIGGER {TRAIL}_no_{verb.lower()} BEFORE {verb} ON {TRAIL} "
        "BEGIN SELECT RAISE(ABORT, 'the trail is only added to'); END"
        for verb in ("UPDATE", "DELETE")
    ],
    "postgresql": [
        f"CREATE FUNCTION {TRAIL}_only_added() RETURNS trigger AS "
        "$$ BEGIN RAISE EXCEPTION 'the trail is only added to'; END $$ LANGUAGE plpgsql",
        f"CREATE TRIGGER {TRAIL}_only_added BEFORE UPDATE OR DELETE OR TRUNCATE ON {TRAIL} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {TRAIL}_only_added()",
    ],
}


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "riskml_alert_log",
        sa.Column("alert_id", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("peer", sa.Text),
        sa.Column("signature", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("risk", sa.Double, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("first_seen", UtcTime, nullable=False),
        sa.Column("last_seen", UtcTime, nullable=False),
        sa.Column("notified_at", UtcTime),
    )
    op.create_index(
        "riskml_alert_log_user", "riskml_alert_log", ["user_id", "signature", "last_seen"]
    )
    op.create_index("riskml_alert_log_state", "riskml_alert_log", ["state", "risk"])
    op.create_table(
        "riskml_alert_sightings",
        sa.Column("window_id", sa.Text, primary_key=True),
        sa.Column("model_version", sa.Text, primary_key=True),
        sa.Column("alert_id", sa.Text, sa.ForeignKey("riskml_alert_log.alert_id"), nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("peer", sa.Text),
        sa.Column("window_start", UtcTime, nullable=False),
        sa.Column("window_end", UtcTime, nullable=False),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("p_value", sa.Double, nullable=False),
        sa.Column("risk", sa.Double, nullable=False),
        sa.Column("threshold", sa.Double),
        sa.Column("reasons", sa.Text, nullable=False),
        sa.Column("event_ids", sa.Text),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("told", sa.Boolean, nullable=False),
        sa.Column("seen_at", UtcTime, nullable=False),
    )
    op.create_index(
        "riskml_alert_sightings_alert", "riskml_alert_sightings", ["alert_id", "window_end"]
    )
    op.create_index("riskml_alert_sightings_end", "riskml_alert_sightings", ["window_end"])
    op.create_table(
        TRAIL,
        sa.Column("number", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("alert_id", sa.Text, nullable=False),
        sa.Column("at", UtcTime, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("before", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False, unique=True),
    )
    op.create_index("riskml_alert_trail_alert", TRAIL, ["alert_id", "number"])
    op.create_table(
        "riskml_alert_outbox",
        sa.Column("number", NUMBER, primary_key=True),
        sa.Column("key", sa.Text, nullable=False, unique=True),
        sa.Column("alert_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
    )
    op.create_index("riskml_alert_outbox_alert", "riskml_alert_outbox", ["alert_id"])
    op.create_table(
        "riskml_alert_places",
        sa.Column("channel", sa.Text, primary_key=True),
        sa.Column("queue", sa.Text, primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("next_at", UtcTime, nullable=False),
        sa.Column("busy_until", UtcTime, nullable=False),
    )
    op.create_table(
        "riskml_alert_refused",
        sa.Column("channel", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("at", UtcTime, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    for statement in APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(statement)
