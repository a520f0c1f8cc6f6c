"""Holds a batch of events to declared rules: each row, and the batch as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import polars as pl

from riskml.core.errors import ConfigError, DataError, did_you_mean, require
from riskml.core.redaction import shown
from riskml.core.schema import REQUIRED_COLUMNS
from riskml.data import clocks
from riskml.data.batch_reference import BatchReference, odd_days, schema_drift
from riskml.data.quality import DUPLICATE_RULE
from riskml.data.quarantine import REJECTED_SCHEMA, rejected_rows
from riskml.data.row_checks import (
    LEAP,
    WRONG_TYPE,
    batch_rules,
    broken_by_row,
    conform,
    longest_text,
)

IGNORE, WARN, REFUSE = "ignore", "warn", "refuse"
ACTIONS: Mapping[str, str] = {
    "new_column": WARN,
    "missing_column": REFUSE,
    "retyped_column": REFUSE,
    "clock_backwards": WARN,
    "clock_offset": WARN,
    "unknown_outcome": WARN,
    "volume": WARN,
}
"""Rules for a batch as a whole, and what breaking one does unless a config says otherwise."""

SETTING = "data.quality"


@dataclass(frozen=True)
class BatchReport:
    """What the checks found in a batch that they did not refuse.

    Args:
        accepted: the good rows in the order given, event columns in their types, others as given.
        rejected: the others, columns of `REJECTED_SCHEMA`.
        warnings: lines for people.
        counts: given, accepted, rejected, and rows for each row rule that was broken.
        kept: positions of the accepted rows in the batch.
    """

    accepted: pl.DataFrame
    rejected: pl.DataFrame
    warnings: tuple[str, ...]
    counts: Mapping[str, int]
    kept: pl.Series = field(repr=False)


@dataclass(frozen=True)
class RowsBeside:
    """Rows of a batch that are not among the events to judge, but count in its shares.

    Args:
        rejected: rows set apart before, columns of `REJECTED_SCHEMA`.
        known: how many were judged with an earlier batch.
        tolerated: so many rejected rows never refuse a batch: a share of a handful says nothing.
    """

    rejected: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=REJECTED_SCHEMA))
    known: int = 0
    tolerated: int = 0


@dataclass(frozen=True)
class BatchChecks:
    """The rules and limits for a batch; a limit that is None is not held.

    Args:
        max_rejected_share: of the rows that may break a row rule, 0 to 1.
        rule_limits: row rule -> share of the rows that may break it, 0 to 1.
        actions: batch rule -> ignore, warn or refuse; the others are as in `ACTIONS`.
        max_text_length: characters of a text.
        max_clock_leap_days: a row may be ahead of the rows around it.
        max_backwards_share: of the rows may be earlier than the same user's row before.
        max_clock_offset_minutes: a source's clock may be off the others.
        volume_weeks: weeks before that a day's volume is compared with; 0 for not at all.

    Raises:
        ConfigError: a setting is impossible.
    """

    max_rejected_share: float = 0.2
    rule_limits: Mapping[str, float | None] = field(default_factory=dict)
    actions: Mapping[str, str] = field(default_factory=dict)
    max_text_length: int = 10_000
    max_clock_leap_days: float | None = 7.0
    max_backwards_share: float | None = 0.01
    max_clock_offset_minutes: float | None = 45.0
    volume_weeks: int = 8

    def __post_init__(self) -> None:
        rules = [rule.name for rule in batch_rules(datetime.now(UTC), 1)]
        valid_rules = (*rules, DUPLICATE_RULE.name)
        for name in self.rule_limits:
            if name not in valid_rules:
                hint = did_you_mean(name, valid_rules)
                raise ConfigError(f"{SETTING}.rule_limits.{name}: no such rule; {hint}")
        shares = {
            "max_rejected_share": self.max_rejected_share,
            **{f"rule_limits.{name}": share for name, share in self._own_limits()},
        }
        if self.max_backwards_share is not None:
            shares["max_backwards_share"] = self.max_backwards_share
        for name, share in shares.items():
            fits = isinstance(share, int | float) and 0 <= share <= 1
            require(f"{SETTING}.{name}", share, fits, "must be a share between 0 and 1")
        for name, action in self.actions.items():
            if name not in ACTIONS:
                hint = did_you_mean(name, ACTIONS)
                raise ConfigError(f"{SETTING}.actions.{name}: no such rule; {hint}")
            if action not in (IGNORE, WARN, REFUSE):
                hint = did_you_mean(str(action), (IGNORE, WARN, REFUSE))
                raise ConfigError(f"{SETTING}.actions.{name}={action}: {hint}")
        for name in ("max_clock_leap_days", "max_clock_offset_minutes"):
            value = getattr(self, name)
            fits = value is None or (isinstance(value, int | float) and value > 0)
            require(f"{SETTING}.{name}", value, fits, "must be above 0, or null")
        for name, least in (("max_text_length", 1), ("volume_weeks", 0)):
            value = getattr(self, name)
            fits = isinstance(value, int) and value >= least
            require(f"{SETTING}.{name}", value, fits, f"must be a number from {least} up")

    def _own_limits(self) -> list[tuple[str, float]]:
        return [(rule, limit) for rule, limit in self.rule_limits.items() if limit is not None]

    def check(
        self,
        events: pl.DataFrame,
        reference: BatchReference | None = None,
        origin: pl.DataFrame | None = None,
        beside: RowsBeside | None = None,
    ) -> BatchReport:
        """Tell good rows from bad ones; nothing is written and the reference stays as it is.

        Args:
            events: a batch in the event schema, or what was meant to be that.
            reference: of the batches accepted before; None leaves drift and old volumes out.
            origin: columns file and row of each event; None for one file in the order given.
            beside: the batch's rows that are not to be judged here, None if there are none.

        Raises:
            DataError: the batch is refused as a whole; names rule, measure, limit, an example and
                the setting to change.
        """
        _check_columns(events)
        if origin is None:
            origin = pl.select(file=pl.lit("batch"), row=pl.int_range(1, len(events) + 1))
        made_ids = origin.select(pl.format("{}:{}", "file", "row")).to_series()
        conformed = conform(events, made_ids)
        rows = conformed.columns.with_columns(
            conformed.problem.alias("timestamp_problem"),
            conformed.wrong_type.alias(WRONG_TYPE),
            longest_text(conformed.columns),
        )
        arrived = _arrived(conformed.columns, origin)
        rows = rows.with_columns(self._leaps(arrived, len(events)))
        rules = batch_rules(datetime.now(UTC), self.max_text_length)
        broken = broken_by_row(rows, rules)
        rejected = rejected_rows(origin, broken, events, rules)
        self._check_shares(rejected, len(events), beside or RowsBeside())
        kept = broken.is_null()
        others = events.select(n for n in events.columns if n not in rows.columns)
        whole = pl.concat([conformed.columns, others], how="horizontal")
        accepted = whole.select(
            *(name for name in ("event_id",) if name not in events.columns), *events.columns
        ).filter(kept)
        warnings = [
            *self._drift(accepted, reference),
            *self._clock(arrived, origin),
            *self._outcomes(conformed.unknown_outcomes, len(events)),
            *self._volume(accepted, reference),
        ]
        counts = {"given": len(events), "accepted": len(accepted), "rejected": len(rejected)}
        counts |= dict(rejected.group_by("rule").len().sort("rule").iter_rows())
        return BatchReport(accepted, rejected, tuple(warnings), counts, kept.arg_true())

    def _leaps(self, arrived: pl.DataFrame, n_rows: int) -> pl.Series:
        flags = pl.repeat(False, n_rows, eager=True).alias(LEAP)
        if self.max_clock_leap_days is None:
            return flags
        found = clocks.leaps(arrived, timedelta(days=self.max_clock_leap_days))
        return flags.scatter(found, True) if len(found) else flags

    def _check_shares(self, rejected: pl.DataFrame, n_rows: int, beside: RowsBeside) -> None:
        n_rows += beside.known + len(beside.rejected)
        rejected = pl.concat([rejected, beside.rejected.select(rejected.columns)])
        if len(rejected) <= beside.tolerated:
            return
        for rule, limit in self._own_limits():
            broken = rejected.filter(pl.col("rule") == rule)
            _refuse_above(broken, n_rows, limit, rule, f"rule_limits.{rule}")
        _refuse_above(rejected, n_rows, self.max_rejected_share, "", "max_rejected_share")

    def _drift(self, accepted: pl.DataFrame, reference: BatchReference | None) -> list[str]:
        if reference is None or not reference.columns or accepted.is_empty():
            return []
        drift = schema_drift(accepted, reference)
        told = {
            "new_column": (drift.new_column, "columns that the last accepted batch had not"),
            "missing_column": (drift.missing_column, "columns are missing or empty now"),
            "retyped_column": (drift.retyped_column, "columns have another type now"),
        }
        return [
            line
            for rule, (names, what) in told.items()
            if names
            for line in self._act(rule, f"{len(names)} {what}: {', '.join(names)} (limit 0)")
        ]

    def _clock(self, arrived: pl.DataFrame, origin: pl.DataFrame) -> list[str]:
        lines = []
        if self.max_backwards_share is not None and len(arrived):
            back = clocks.backward_steps(arrived, timedelta(0))
            share = len(back) / len(arrived)
            if share > self.max_backwards_share:
                lines += self._act(
                    "clock_backwards",
                    f"time runs backwards at {len(back):,} of {len(arrived):,} rows ({share:.1%}, "
                    f"limit {SETTING}.max_backwards_share={self.max_backwards_share:g}), for "
                    f"example at {_place(origin, back[0])}",
                )
        if self.max_clock_offset_minutes is not None and len(arrived):
            limit = timedelta(minutes=self.max_clock_offset_minutes)
            for source in clocks.wrong_clocks(arrived, limit).head(5).iter_rows(named=True):
                ahead = "ahead" if source["minutes"] > 0 else "behind"
                lines += self._act(
                    "clock_offset",
                    f"the clock of source '{shown(source['source'])}' is "
                    f"{abs(source['minutes']):.0f} minutes {ahead} in {source['rows']:,} rows "
                    f"(limit {SETTING}.max_clock_offset_minutes="
                    f"{self.max_clock_offset_minutes:g}), for example at "
                    f"{_place(origin, source['position'])}; correct it, or its time zone",
                )
        return lines

    def _outcomes(self, unknown: int, n_rows: int) -> list[str]:
        if not unknown:
            return []
        return self._act(
            "unknown_outcome",
            f"{unknown:,} of {n_rows:,} outcomes are not understood and left empty (limit 0)",
        )

    def _volume(self, accepted: pl.DataFrame, reference: BatchReference | None) -> list[str]:
        if not self.volume_weeks:
            return []
        odd = odd_days(accepted, reference or BatchReference(), self.volume_weeks)
        if not odd:
            return []
        # the one that differs most by its ratio, so that the example is worth a look
        worst = max(odd, key=lambda o: max(o.events / (o.high + 1), (o.low + 1) / (o.events + 1)))
        days = "1 day has" if len(odd) == 1 else f"{len(odd)} days have"
        return self._act(
            "volume",
            f"{days} far more or far fewer events than that weekday had in the last "
            f"{self.volume_weeks} weeks, for example {worst.day:%A %Y-%m-%d}: {worst.events:,} "
            f"events, bounds {worst.low:,} to {worst.high:,} "
            f"({SETTING}.volume_weeks={self.volume_weeks})",
        )

    def _act(self, rule: str, finding: str) -> list[str]:
        action = self.actions.get(rule, ACTIONS[rule])
        if action == REFUSE:
            raise DataError(
                f"batch refused, {rule}: {finding}. Correct the log, or accept it with "
                f"{SETTING}.actions.{rule}=warn"
            )
        return [f"{rule}: {finding}"] if action == WARN else []


def _check_columns(events: pl.DataFrame) -> None:
    missing = [name for name in REQUIRED_COLUMNS if name not in events.columns]
    if missing:
        raise DataError(
            f"batch refused, required_columns: it has no column {', '.join(missing)} (limit 0); "
            f"its columns are {', '.join(events.columns) or 'none'}. Map them: "
            + " ".join(f"columns.{name}=<your column>" for name in missing)
        )


def _arrived(columns: pl.DataFrame, origin: pl.DataFrame) -> pl.DataFrame:
    """What the clock rules look at: rows with a time, in the order of arrival."""
    names: Sequence[str] = [n for n in ("user_id", "source", "timestamp") if n in columns.columns]
    rows = columns.select(names).with_columns(origin["file"], origin["row"])
    rows = rows.with_row_index("position").filter(pl.col("timestamp").is_not_null())
    return clocks.in_order_of_arrival(rows)


def _refuse_above(
    rejected: pl.DataFrame, n_rows: int, limit: float, rule: str, setting: str
) -> None:
    share = len(rejected) / n_rows if n_rows else 0.0
    if share <= limit:
        return
    counts = rejected["rule"].value_counts().sort("count", "rule", descending=[True, False])
    common = rule or str(counts["rule"][0])
    example = rejected.row(rejected["rule"].index_of(common) or 0, named=True)
    told = ", ".join(f"{name}: {count:,}" for name, count in counts.iter_rows())
    raise DataError(
        f"batch refused, {rule or 'rejected rows'}: {len(rejected):,} of {n_rows:,} rows "
        f"({share:.1%}) cannot be used, more than {SETTING}.{setting}={limit:g} allows ({told}). "
        f"For example {shown(example['file'])} row {example['row']}, {common} "
        f"({example['reason']}): {shown(example['record'])}. Correct the log, or go on "
        f"without these rows with {SETTING}.{setting}={min(1.0, int(share * 100 + 1) / 100):g}"
    )


def _place(origin: pl.DataFrame, position: int) -> str:
    return f"{shown(origin['file'][position])} row {origin['row'][position]}"
