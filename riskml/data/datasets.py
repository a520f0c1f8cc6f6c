"""A log cut into periods, with its truth kept apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from hashlib import sha256

import polars as pl

from riskml.core.errors import DataError, require, require_positive
from riskml.core.redaction import hiding_values, shown
from riskml.core.schema import time_span
from riskml.data.batch_checks import BatchChecks
from riskml.data.batch_reference import BatchReference
from riskml.data.pseudonymous import PseudonymousLog
from riskml.data.quality import check_enough
from riskml.data.sources import EventLog
from riskml.data.sources.base import Source
from riskml.data.splits import PERIOD, TRAIN, FoldPeriods, Split


@dataclass(frozen=True)
class Dataset:
    """Events with their `period`, and what is known of them.

    Args:
        events: event schema, pass-through columns and `period`.
        truth: `event_id`, `label` (0 or 1) and, where known, `incident_id` and `scenario`.
        rejected: rows in quarantine, each with its reason.
        normal_weight: how many normal windows one normal test window stands for, where the test
            set holds a sample of them.
        warnings: what the checks found, lines for people.
        warm_up: share of the train period, from its start, whose windows only make users known
            and are not learnt from: while nobody is known all is new.
        over_time: whether the periods are cuts in time; else they are a published protocol.
        fold: of a backtest, where this is one.
    """

    events: pl.DataFrame
    truth: pl.DataFrame | None
    rejected: pl.DataFrame
    normal_weight: float = 1.0
    warnings: tuple[str, ...] = ()
    warm_up: float = 0.0
    over_time: bool = True
    fold: FoldPeriods | None = None

    def __post_init__(self) -> None:
        require("data.warm_up", self.warm_up, 0 <= self.warm_up < 1, "must lie in [0, 1)")

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of events and truth as they were read; the same log gives the same."""
        digest = sha256()
        for table in (self.events.drop(PERIOD), self.truth):
            if table is not None:
                for part in table.select(sorted(table.columns)).iter_slices(100_000):
                    digest.update(part.write_json().encode())
        return digest.hexdigest()

    @property
    def train_events(self) -> pl.DataFrame:
        """Events of the train period, the only ones that anything is fitted on."""
        return self.events.filter(pl.col(PERIOD) == TRAIN)

    @property
    def learnt_from(self) -> datetime:
        """From when on windows of the train period are learnt from; before, they make users known.

        The warm-up is counted from the first event there is: what a fold has before its train
        period is warm-up already.
        """
        time = self.train_events["timestamp"]
        first, last = time_span(time, time)
        known = first
        if self.fold is not None:
            known = time_span(self.events["timestamp"], time)[0]
        return max(first, known + self.warm_up * (last - first))

    def in_fold(self, periods: FoldPeriods) -> Dataset:
        """The same log as it was at the end of a fold, cut into its periods.

        Raises:
            DataError: a period has no events.
        """
        events = periods.assign(self.events.drop(PERIOD))
        return replace(self, events=events, fold=periods)


def load_dataset(
    source: Source,
    split: Split,
    normal_weight: float = 1.0,
    single_user: bool = False,
    checks: BatchChecks | None = None,
    pseudonyms: PseudonymousLog | None = None,
    reference: BatchReference | None = None,
    warm_up: float = 0.0,
) -> Dataset:
    """Read a log, check it, and cut it into periods.

    Args:
        source: reads the log.
        split: cuts it.
        normal_weight: see `Dataset`.
        single_user: the log is known to be of one user, or of one machine.
        checks: what the log is held to; None for nothing but the rules of its source.
        pseudonyms: stand in for user ids; None leaves them as they are.
        reference: what earlier logs were like, for the checks.
        warm_up: see `Dataset`.

    Raises:
        ConfigError: the key for pseudonyms is missing, or `normal_weight` is no finite number
            above 0.
        DataError: too little data, labels that are not 0 or 1, or a log that the checks refuse.
    """
    require_positive("data.normal_weight", normal_weight)
    if pseudonyms is not None:
        _ = pseudonyms.pseudonyms  # a missing key should say so before the work, not after it
    with hiding_values(pseudonyms is not None):
        log = source.load()
        if pseudonyms is not None:
            log = pseudonyms.apply(log)
        warnings: tuple[str, ...] = ()
        if checks is not None:
            log, warnings = _checked(log, checks, reference)
        check_enough(log.events, single_user)
        truth = _binary_truth(log.truth)
        events = split.assign(log.events)
    return Dataset(events, truth, log.rejected, normal_weight, warnings, warm_up, split.over_time)


def _checked(
    log: EventLog, checks: BatchChecks, reference: BatchReference | None
) -> tuple[EventLog, tuple[str, ...]]:
    """The log without the rows that break a rule, and what else there is to say."""
    report = checks.check(log.events, reference, log.origin)
    if report.rejected.is_empty():
        return log, report.warnings
    rejected = pl.concat([log.rejected, report.rejected]).sort("file", "row", maintain_order=True)
    # accepted events are cut already
    kept = replace(log, events=log.events.select("event_id")).only(report.kept)
    return replace(kept, events=report.accepted, rejected=rejected), report.warnings


def _binary_truth(truth: pl.DataFrame | None) -> pl.DataFrame | None:
    if truth is None or "label" not in truth.columns:
        return None
    label = truth["label"].cast(pl.Float64, strict=False)
    odd = truth["label"].filter(label.is_null() | ~label.is_in([0.0, 1.0]))
    if not odd.is_empty():
        raise DataError(f"column 'label' must hold 0 or 1 a row, not {shown(repr(odd[0]))}")
    return truth.with_columns(label.cast(pl.Int8).alias("label"))
