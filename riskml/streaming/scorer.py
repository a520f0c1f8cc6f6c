"""Events of one partition, some at a time → scores of their windows, as they grow and as they end.

Features, profile, score, risk and alerts are those of the scoring job; what is new here is whose
windows are looked at: those of users with an event, and those whose time has passed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from riskml.core.schema import TIMESTAMP
from riskml.core.types import PEER, Windows
from riskml.export.bundle import Bundle
from riskml.features.hashing import hashed
from riskml.features.profile import USER, Profile
from riskml.features.windows import is_closed
from riskml.serving.scoring import LATE, SCORE_SCHEMA, Closed, decided, no_events, score_rows
from riskml.streaming.counts import Counts
from riskml.streaming.due import DueUsers
from riskml.streaming.open_windows import DUE, IDS, told_of, with_open_windows
from riskml.streaming.user_profiles import Hashes, UserProfiles

AT, ARRIVED = "_at", "_arrived"
"""Place of an event's message among those that came with it, and when the broker had it."""

ROWS: dict[str, pl.DataType] = {
    **SCORE_SCHEMA,
    "revision": pl.Int64(),
    "raised": pl.String(),
    "raised_at": TIMESTAMP,
    "arrived_at": TIMESTAMP,
}
"""Columns of what is told of a window: how often it was told, the state of its alert, when that
was first raised, and when the newest message of its user that came with it was at the broker."""

EARLY, FINAL, WITHDRAWN = "early", "final", "withdrawn"
"""An alert on a window that may still grow; of a whole one; an early one that the whole window does
not bear out."""

REPEATED = "repeated"
AHEAD = ("future_event", "the event lies in the future, and would close the windows of today")

_APART = {AT: pl.Int64(), "rule": pl.String(), "reason": pl.String()}


@dataclass(frozen=True)
class StreamSettings:
    """How a partition is scored.

    Args:
        early_alerts: raise an alert as soon as a growing window reaches the threshold.
        ahead: events further in the future are set apart.
        users_at_once: whose windows are closed together; bounds the memory at midnight.
    """

    early_alerts: bool = True
    ahead: timedelta = timedelta(minutes=5)
    users_at_once: int = 20_000


@dataclass(frozen=True)
class Step:
    """What some events gave.

    Args:
        rows: columns `ROWS`, closed windows in the order in which they closed, then open ones.
        apart: events that were set apart: `_at`, rule, reason.
    """

    rows: pl.DataFrame
    apart: pl.DataFrame


@dataclass
class PartitionScorer:
    """Scores a partition; its state moves on with every step.

    Args:
        bundle: the model, with the alerting and the memory of this partition.
        profiles: of its users.
        settings: how.
        newest: time of the newest event so far.
        counts: so far.
    """

    bundle: Bundle
    profiles: UserProfiles
    settings: StreamSettings = field(default_factory=StreamSettings)
    newest: datetime | None = None
    counts: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        self._due = DueUsers(self.profiles.table(DUE))
        self._adopted = pl.DataFrame(schema=ROWS)

    def adopt(self) -> None:
        """Take over all users whose windows training has left open.

        For a stream of one partition: of several, nobody knows where such a user will turn up. They
        are told with the first step.
        """
        left_open = self.bundle.profile.open
        if left_open is not None and len(left_open):
            users = np.unique(left_open[USER].to_numpy())
            self._adopted = self._score(self.profiles.of(users), self._none(), frozenset())

    def step(self, events: pl.DataFrame) -> Step:
        """Score what some events change.

        Args:
            events: event schema, what the bundle reads, `_at`, and `_arrived` where it is known;
                in any order.
        """
        events = events.sort("timestamp", "event_id", AT).with_columns(
            hashed("user_id").alias(USER), hashed("event_id").alias("id")
        )
        known = self.profiles.of(np.unique(events[USER].to_numpy()))
        fresh, apart = self._fresh(events, known)
        rows, self._adopted = [self._adopted], self._adopted.clear()
        if len(fresh):
            disordered = self._disordered(fresh)
            newest = fresh["timestamp"][-1]
            self.newest = newest if self.newest is None else max(newest, self.newest)
            due = self._due_at(self.newest - self.bundle.extractor.lateness)
            with_events = np.unique(fresh[USER].to_numpy())
            now, later = due[: self.settings.users_at_once], due[self.settings.users_at_once :]
            touched = self.profiles.of(np.union1d(with_events, now))
            rows.append(self._score(touched, fresh, disordered))
            while len(later):
                now, later = later[: self.settings.users_at_once], later[len(now) :]
                rows.append(self._score(self.profiles.of(now), self._none(), frozenset()))
        return Step(pl.concat(rows), apart)

    # ---- what comes in

    def _fresh(self, events: pl.DataFrame, known: Profile) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Events that can be scored, and those that are set apart."""
        ids = known.tables.get(IDS)
        pair = pl.struct(USER, "id")
        repeated = events.select(~pair.is_first_distinct()).to_series()
        if ids is not None and len(ids):
            found = events.join(ids.select(USER, "id", there=True), on=[USER, "id"], how="left")
            repeated = repeated | found["there"].fill_null(False)
        late = self.bundle.extractor.late(events, known) & ~repeated
        limit = datetime.now(UTC) + self.settings.ahead
        ahead = (events["timestamp"] > limit) & ~repeated & ~late
        apart = pl.concat(
            [
                events.filter(which).select(AT, rule=pl.lit(rule), reason=pl.lit(reason))
                for which, (rule, reason) in ((late, LATE), (ahead, AHEAD))
            ]
        )
        fresh = events.filter(~(repeated | late | ahead))
        self.counts = self.counts.plus(
            events=len(fresh),
            repeated=int(repeated.sum()),
            late=int(late.sum()),
            ahead=int(ahead.sum()),
            unknown=self.bundle.extractor.vocabulary.unknown(fresh["action"]),
        )
        return fresh, apart.cast(_APART)  # type: ignore[arg-type]

    def _disordered(self, fresh: pl.DataFrame) -> frozenset[str]:
        """Users with an event that is older than one that came before."""
        if self.newest is None:
            return frozenset()
        return frozenset(fresh.filter(pl.col("timestamp") < self.newest)["user_id"])

    def _due_at(self, mark: datetime) -> Hashes:
        """Users with a window that closes by then."""
        users = self._due.take(int(mark.timestamp() * 1_000_000))
        if not len(users):
            return users
        # of a window that has grown since, an earlier time may have been noted
        due = self.profiles.rows(users, [DUE])[DUE]
        return np.sort(due.filter(pl.col("due") <= mark)[USER].to_numpy())

    # ---- what goes out

    def _score(
        self, known: Profile, events: pl.DataFrame, disordered: frozenset[str]
    ) -> pl.DataFrame:
        """Rows of the users' windows that are closed now or have grown; the state moves on."""
        plain = events.drop(USER, "id", AT, ARRIVED, strict=False)
        extractor = self.bundle.extractor
        windows, closed_from, after = extractor.closing(
            plain, known, open_windows=True, with_ids=True
        )
        keys = windows.keys.with_columns(
            hashed("user_id").alias(USER),
            due=closed_from,
            closed=is_closed(closed_from, after.watermark),
        ).with_row_index("row")
        order = keys.filter("closed").sort("due", "window_id")["row"]
        still = keys.filter(~pl.col("closed")).select(
            "row", USER, "window_id", pl.col("n_events").cast(pl.Int64), "due"
        )
        seen = told_of(known).select("window_id", "n_events")
        grown = still.join(seen, on=["window_id", "n_events"], how="anti", maintain_order="left")
        closed = self._closed(windows.take(order.to_numpy().astype(np.int64)))
        opened = self._open(windows.take(grown["row"].to_numpy().astype(np.int64)))
        rows = self._raised(pl.concat([closed, opened]), told_of(known), _arrivals(events))
        self._count(rows, disordered)
        kept, due = with_open_windows(known, events, after, rows, still.drop("row"))
        self._due.add(due)
        self.profiles.put(kept)
        return rows.select(*ROWS)

    def _closed(self, windows: Windows) -> pl.DataFrame:
        """Rows of whole windows, in the order in which they closed; the model learns from them."""
        if not len(windows):
            return pl.DataFrame(schema=SCORE_SCHEMA)
        scores = self.bundle.score_windows(windows)
        closed = Closed(windows, scores, self.bundle.after(windows))
        rows, self.bundle = decided(self.bundle, closed)
        return rows

    def _open(self, windows: Windows) -> pl.DataFrame:
        """Rows of windows that may still grow; nothing learns from them."""
        if not len(windows):
            return pl.DataFrame(schema=SCORE_SCHEMA)
        scores = self.bundle.score_windows(windows)
        evidence = self.bundle.calibration.evidence(scores, windows.keys[PEER])
        above = np.asarray(evidence >= self.bundle.threshold)
        alerts = above & self.settings.early_alerts
        return score_rows(self.bundle, windows, scores, alerts, is_open=True)

    def _raised(
        self, rows: pl.DataFrame, told: pl.DataFrame, arrivals: pl.DataFrame | None
    ) -> pl.DataFrame:
        """The rows with revision and the state of their alerts."""
        before = told.select("window_id", "revision", "raised_at")
        rows = rows.join(before, on="window_id", how="left", maintain_order="left")
        earlier = pl.col("raised_at").is_not_null()
        state = (
            pl.when(pl.col("open") & (pl.col("alert") | earlier))
            .then(pl.lit(EARLY))
            .when(~pl.col("open") & pl.col("alert"))
            .then(pl.lit(FINAL))
            .when(~pl.col("open") & earlier)
            .then(pl.lit(WITHDRAWN))
        )
        now = pl.lit(datetime.now(UTC), TIMESTAMP)
        rows = rows.with_columns(
            pl.col("revision").fill_null(0) + 1, raised=state, is_new=~earlier
        ).with_columns(
            raised_at=pl.when(pl.col("raised").is_not_null()).then(pl.coalesce("raised_at", now))
        )
        if arrivals is None:
            return rows.with_columns(arrived_at=pl.lit(None, TIMESTAMP))
        return rows.join(arrivals, on="user_id", how="left", maintain_order="left")

    def _count(self, rows: pl.DataFrame, disordered: frozenset[str]) -> None:
        is_open, raised, again = rows["open"], rows["raised"], rows["revision"] > 1
        changed = again & rows["user_id"].is_in(list(disordered))
        self.counts = self.counts.plus(
            told=len(rows),
            closed=int((~is_open).sum()),
            corrections=int(changed.sum()),
            early=int(((raised == EARLY) & rows["is_new"]).sum()),
            alerts=int((raised == FINAL).sum()),
            withdrawn=int((raised == WITHDRAWN).sum()),
        )

    def _none(self) -> pl.DataFrame:
        """No events, with all columns that are read."""
        own: dict[str, pl.DataType] = {USER: pl.UInt64(), "id": pl.UInt64(), AT: pl.Int64()}
        return pl.DataFrame(schema={**no_events(self.bundle).schema, **own})


def _arrivals(events: pl.DataFrame) -> pl.DataFrame | None:
    """When each user's newest message was at the broker."""
    if ARRIVED not in events.columns:
        return None
    return events.group_by("user_id").agg(arrived_at=pl.col(ARRIVED).max())
