"""A champion and its log as they are now: reasons to train again, and what to learn from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import cached_property
from pathlib import Path

import polars as pl
from omegaconf import DictConfig

from riskml.alerting.feedback import Verdict
from riskml.core.errors import ConfigError, DataError
from riskml.core.types import FloatArray, Windows
from riskml.export.bundle import Bundle, load_bundle
from riskml.monitoring.drift import Drift, find_drift
from riskml.monitoring.drift_reference import FILE as REFERENCE
from riskml.monitoring.drift_reference import DriftReference
from riskml.retraining.policy import Facts
from riskml.retraining.snapshot import held_events, highest_of_each_day
from riskml.serving.standing import known_until


@dataclass(frozen=True)
class Outlook:
    """What is known at a moment; windows are made and scored when they are first asked for.

    Args:
        cfg: of the champion's run, with the log's own source.
        folder: of the champion's bundle.
        events: of the log up to now, in order of time.
        verdicts: of people up to now, the last of each window.
        earlier: file with what was held back when the champion was trained; None: nothing.
        now: the moment.
    """

    cfg: DictConfig
    folder: Path
    events: pl.DataFrame
    verdicts: pl.DataFrame
    earlier: Path | None
    now: datetime

    @cached_property
    def bundle(self) -> Bundle:
        """The champion."""
        return load_bundle(self.folder)

    @cached_property
    def scored(self) -> tuple[Windows, FloatArray]:
        """Closed windows that came after its training, in order of their ends, and their scores.

        Raises:
            ConfigError: the champion knows events that are later than now.
        """
        known = known_until(self.bundle)
        if known is not None and known > self.now:
            raise ConfigError(
                f"--until {self.now:%Y-%m-%d %H:%M} is before {known:%Y-%m-%d %H:%M}, up to which "
                "the champion knows the log: give a later time, or train it with "
                "bundle_knows=before_test"
            )
        events = self.events
        return self.bundle.closed(
            events if known is None else events.filter(pl.col("timestamp") > known)
        )

    @property
    def drift(self) -> Drift | None:
        """None where the bundle has nothing to hold windows to, or they are too few yet."""
        if not (self.folder / REFERENCE).is_file():
            return None
        try:
            return find_drift(DriftReference.load(self.folder), *self.scored)
        except DataError:
            return None

    def facts(self, drift: bool, asked: str) -> Facts:
        """For the policy.

        Args:
            drift: whether to look for it.
            asked: why a person asks for a retraining.

        Raises:
            DataError: the champion does not say until when it was trained, or the log lost events.
        """
        self.check_log()
        told = self.bundle.manifest.get("train_until")
        if not isinstance(told, str):
            raise DataError("the champion's manifest does not say until when it was trained")
        until = datetime.fromisoformat(told)
        found = self.drift if drift else None
        since = None if found is None else found.since
        begun = None if since is None else datetime.combine(since, time.min, UTC)
        drifting = () if found is None else tuple(found.wakes)
        said = self.verdicts.filter(pl.col("at") >= until, pl.col("verdict") != Verdict.UNSURE)
        return Facts(self.now, until, drifting, begun, len(said), asked)

    def check_log(self) -> None:
        """That the log still has what the champion was trained on, at its end.

        Raises:
            DataError: it ends before; a challenger would learn from less.
        """
        known = known_until(self.bundle)
        last = self.events["timestamp"].max()
        if known is None or known > self.now or (isinstance(last, datetime) and last >= known):
            return
        ends = f"ends at {last:%Y-%m-%d %H:%M}" if isinstance(last, datetime) else "is empty"
        raise DataError(
            f"the log {ends}, and the champion knows it up to {known:%Y-%m-%d %H:%M}: events were "
            "lost; bring them back, or train and register another champion"
        )

    def check_grown(self) -> None:
        """That there is something in the log that the champion does not know.

        Raises:
            DataError: there is nothing; a challenger would learn no more.
        """
        known = known_until(self.bundle)
        if known is not None:
            self.check_later(known + timedelta.resolution, "that the champion does not know")

    def check_later(self, since: datetime, what: str) -> None:
        """That events have come since.

        Args:
            since: the first moment that they are needed from.
            what: they are needed for, in words.

        Raises:
            DataError: there are none.
        """
        last = self.events["timestamp"].max()
        if isinstance(last, datetime) and last >= since:
            return
        raise DataError(
            f"the log has nothing from {since:%Y-%m-%d %H:%M} to {self.now:%Y-%m-%d %H:%M} {what}: "
            "see that new events arrive; a later step looks again"
        )

    def held(self, share: float) -> pl.DataFrame:
        """Events that a challenger does not learn from, see `held_events`."""
        windows, scores = self.scored
        highest = highest_of_each_day(windows.keys, scores, share)
        return held_events(self.bundle, self.events, highest, self.verdicts, self.earlier)
