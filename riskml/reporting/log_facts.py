"""What the alert log has of a period and the one before it, as frames."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import polars as pl
from sqlalchemy import Select, func, select
from sqlalchemy.engine import Connection

from riskml.alerting.alert_log import AlertLog
from riskml.alerting.feedback import FeedbackStore, Verdict
from riskml.alerting.log_tables import ALERTS, SIGHTINGS, TRAIL
from riskml.alerting.states import AlertState
from riskml.alerting.suppression import ACCEPTED
from riskml.alerting.taking import RAISED, SEEN
from riskml.alerting.trail import JOB
from riskml.core.schema import TIMESTAMP
from riskml.reporting.periods import Period

TEXT, TRUTH = pl.String(), pl.Boolean()
WINDOWS: dict[str, pl.DataType] = {
    "window_id": TEXT,
    "model_version": TEXT,
    "alert_id": TEXT,
    "user_id": TEXT,
    "window_end": TIMESTAMP,
    "risk": pl.Float64(),
    "rule": TEXT,
    "told": TRUTH,
}
ALERT: dict[str, pl.DataType] = {
    "alert_id": TEXT,
    "user_id": TEXT,
    "peer": TEXT,
    "signature": TEXT,
    "severity": TEXT,
    "state": TEXT,
    "risk": pl.Float64(),
    "begun": TIMESTAMP,
}
DEEDS: dict[str, pl.DataType] = {
    "alert_id": TEXT,
    "at": TIMESTAMP,
    "who": TEXT,
    "what": TEXT,
    "why": TEXT,
    "content": TEXT,
}
TRUE, FALSE = Verdict.TRUE_INCIDENT.value, Verdict.FALSE_ALARM.value
STATE_SAYS = {AlertState.RESOLVED.value: TRUE, AlertState.FALSE_ALARM.value: FALSE}


@dataclass(frozen=True)
class LogFacts:
    """Of one period.

    Args:
        windows: raised windows that end in it, `WINDOWS`.
        alerts: those that began in it, `ALERT`, with `windows` (how many in all), `verdict`
            (`true_incident`, `false_alarm` or null) and `answered` (from the first window that
            people were told of to the first deed of anybody; null: nobody yet).
        concerned: alerts with a window in it, likewise.
        accepted: `why` of windows that somebody answers for, and how many (`n`).
    """

    windows: pl.DataFrame
    alerts: pl.DataFrame
    concerned: pl.DataFrame
    accepted: pl.DataFrame

    @property
    def waiting(self) -> pl.DataFrame:
        """New alerts that nobody has ended."""
        ended = [state.value for state in AlertState if state.is_ended]
        return self.alerts.filter(~pl.col("state").is_in(ended))

    @property
    def median_answer(self) -> timedelta | None:
        """Until somebody did something, of new alerts with which somebody did."""
        found = self.alerts["answered"].drop_nulls().median()
        return found if isinstance(found, timedelta) else None

    def grave(self) -> int:
        """New alerts of high or critical severity."""
        return self.alerts.filter(pl.col("severity").is_in(["high", "critical"])).height


def read_log(log: AlertLog, period: Period, feedback: FeedbackStore | None) -> LogFacts:
    """What stands in the log now of windows that end in a period.

    Args:
        log: to be read.
        period: of windows' ends.
        feedback: verdicts on single windows, for alerts whose state says none.

    Raises:
        DataError: it cannot be read.
    """
    end = SIGHTINGS.c.window_end
    inside = (end >= period.start) & (end < period.end)
    mine = select(SIGHTINGS.c.alert_id).where(inside)
    with log.reading() as connection:
        windows = _frame(
            connection, select(*(SIGHTINGS.c[name] for name in WINDOWS)).where(inside), WINDOWS
        )
        first = (
            select(SIGHTINGS.c.alert_id, func.min(end).label("begun"))
            .where(SIGHTINGS.c.alert_id.in_(mine))
            .group_by(SIGHTINGS.c.alert_id)
            .subquery()
        )
        columns = [first.c.begun if name == "begun" else ALERTS.c[name] for name in ALERT]
        query = select(*columns).join(first, first.c.alert_id == ALERTS.c.alert_id)
        alerts = _frame(connection, query, ALERT)
        every = {**WINDOWS, "seen_at": TIMESTAMP}
        query = select(*(SIGHTINGS.c[name] for name in every)).where(SIGHTINGS.c.alert_id.in_(mine))
        all_windows = _frame(connection, query, every)
        query = select(*(TRAIL.c[name] for name in DEEDS)).where(TRAIL.c.alert_id.in_(mine))
        deeds = _frame(connection, query, DEEDS)
    concerned = _with_verdicts(alerts, all_windows, feedback).join(
        _answered(all_windows, deeds), on="alert_id", how="left"
    )
    concerned = concerned.sort("risk", "begun", "alert_id", descending=[True, False, False])
    return LogFacts(
        windows,
        concerned.filter(period.holds("begun")),
        concerned,
        _accepted(windows, deeds),
    )


def _frame(
    connection: Connection, query: Select[Any], schema: dict[str, pl.DataType]
) -> pl.DataFrame:
    rows = [tuple(row) for row in connection.execute(query)]
    return pl.DataFrame(rows, schema=schema, orient="row")


def _with_verdicts(
    alerts: pl.DataFrame, windows: pl.DataFrame, feedback: FeedbackStore | None
) -> pl.DataFrame:
    """The state says it, else the last verdicts on its windows: one true incident is enough."""
    by_state = pl.col("state").replace_strict(STATE_SAYS, default=None, return_dtype=TEXT)
    counted = windows.group_by("alert_id").agg(windows=pl.len())
    found = alerts.join(counted, on="alert_id", how="left").with_columns(verdict=by_state)
    if feedback is None:
        return found
    said = (
        windows.join(feedback.latest().select("window_id", "verdict"), on="window_id")
        .filter(pl.col("verdict").is_in([TRUE, FALSE]))
        .group_by("alert_id")
        .agg(said=pl.col("verdict").max())  # "true_incident" comes after "false_alarm"
    )
    undecided = pl.col("state").is_in([AlertState.OPEN.value, AlertState.ACKNOWLEDGED.value])
    verdict = pl.when(undecided).then(pl.col("said")).otherwise(pl.col("verdict"))
    return found.join(said, on="alert_id", how="left").with_columns(verdict=verdict).drop("said")


def _answered(windows: pl.DataFrame, deeds: pl.DataFrame) -> pl.DataFrame:
    told = windows.filter("told").group_by("alert_id").agg(told_at=pl.col("seen_at").min())
    states = [state.value for state in AlertState]
    by_people = deeds.filter(pl.col("who") != JOB, pl.col("what").is_in(states))
    first = by_people.group_by("alert_id").agg(pl.col("at").min())
    answered = (pl.col("at") - pl.col("told_at")).alias("answered")
    return told.join(first, on="alert_id").select("alert_id", answered)


def _accepted(windows: pl.DataFrame, deeds: pl.DataFrame) -> pl.DataFrame:
    """The trail has the owner's words, in an entry for each window."""
    keys = ["window_id", "model_version"]
    accepted = windows.filter(pl.col("rule") == ACCEPTED)
    told = deeds.filter(pl.col("what").is_in([RAISED, SEEN])).with_columns(
        pl.col("content").str.json_path_match(f"$.{key}").alias(key) for key in keys
    )
    why = pl.col("why").str.strip_prefix(f"{ACCEPTED} (").str.strip_suffix(")")
    found = accepted.join(told, on=keys).group_by(why).agg(n=pl.len())
    return found.sort("n", "why", descending=[True, False])
