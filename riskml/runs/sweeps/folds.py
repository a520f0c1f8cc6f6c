"""Blocked folds inside the train and calibration periods; the test period is left out at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from omegaconf import DictConfig

from riskml.core.errors import DataError
from riskml.core.schema import time_span
from riskml.core.types import Windows
from riskml.data.datasets import Dataset
from riskml.data.splits import PERIOD, TEST
from riskml.evaluation.choice import AGREEMENT, INJECTED, Float64
from riskml.evaluation.injection import inject
from riskml.evaluation.metrics import Labels, Mask
from riskml.evaluation.unlabelled import Attacks, Judge, TimeFold, ranks_by
from riskml.features.extractor import FeatureExtractor
from riskml.features.profile import Profile
from riskml.features.windows import WINDOW_ID
from riskml.runs.assembly import build_detector, build_extractor, build_threshold, model_config
from riskml.runs.sweeps.settings import SweepSettings

BETWEEN = 0.5
"""Length of the calibration part before a block, in blocks."""


@dataclass(frozen=True)
class Past:
    """What a sweep may see of a data set: its train and calibration periods.

    Args:
        dataset: without the test period.
        extractor: fitted on the train period.
        windows: of both periods.
        log: events with `window_id`, in order of time.
        attacks: windows known to be attacks: window_id and the ids of its incidents.
    """

    dataset: Dataset
    extractor: FeatureExtractor
    windows: Windows
    log: pl.DataFrame
    attacks: pl.DataFrame

    @property
    def known_attacks(self) -> int:
        """Number of incidents, or of windows where no incidents are named."""
        return self.attacks["incidents"].explode().n_unique() if len(self.attacks) else 0

    @property
    def learnt(self) -> Mask:
        """Windows that may be fitted on: after the warm-up, and no known attacks."""
        warm = (self.windows.keys["start"] >= self.dataset.learnt_from).to_numpy()
        mask: Mask = warm & self.usual
        return mask

    @property
    def usual(self) -> Mask:
        """Windows that are not known to be attacks."""
        return ~is_among(self.windows, self.attacks[WINDOW_ID])

    def about(self) -> str:
        """What tells this log from another one, for people and for comparison."""
        events = self.dataset.events
        first, last = time_span(events["timestamp"], events["timestamp"])
        return (
            f"{len(events):,} events of {events['user_id'].n_unique():,} users from "
            f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}, {self.known_attacks} known attacks"
        )


def before_test(dataset: Dataset) -> Dataset:
    """The train and calibration periods of a data set, with what is known of them."""
    events = dataset.events.filter(pl.col(PERIOD) != TEST).sort("timestamp", maintain_order=True)
    truth = dataset.truth
    if truth is not None:
        truth = truth.join(events, on="event_id", how="semi", maintain_order="left")
    return replace(dataset, events=events, truth=truth)


def prepare_past(dataset: Dataset, features: DictConfig) -> Past:
    """Windows of the train and calibration periods.

    Args:
        dataset: of `before_test`.
        features: of a config.
    """
    extractor = build_extractor(features).fit(dataset.train_events)
    windows, _ = extractor.transform(dataset.events, Profile(), open_windows=True)
    log = extractor.assign(dataset.events).sort("timestamp", maintain_order=True)
    attacks = pl.DataFrame(schema={WINDOW_ID: pl.String, "incidents": pl.List(pl.String)})
    if dataset.truth is not None:
        attacks = _attacked(log, dataset.truth.filter(pl.col("label") == 1))
    return Past(dataset, extractor, windows, log, attacks)


def _attacked(log: pl.DataFrame, odd: pl.DataFrame) -> pl.DataFrame:
    """Windows with an event of an attack, and the incidents in each."""
    named = "incident_id" in odd.columns
    incident = pl.col("incident_id") if named else pl.lit(None, pl.String)
    return (
        log.select("event_id", WINDOW_ID)
        .join(odd, on="event_id")
        .with_columns(pl.coalesce(incident.cast(pl.String), WINDOW_ID).alias("incident"))
        .group_by(WINDOW_ID)
        .agg(pl.col("incident").unique().sort().alias("incidents"))
        .sort(WINDOW_ID)
    )


def make_judges(
    past: Past, cfg: DictConfig, settings: SweepSettings, weights: Mapping[str, float]
) -> list[Judge]:
    """Cut the past into folds and make ready what every trial is measured by.

    Args:
        past: events and windows before the test period.
        cfg: names the alert budget and what the simple detectors refer to.
        settings: of the sweep.
        weights: of the terms that count.

    Raises:
        DataError: the log is too short for so many folds.
    """
    judges, profile, done = [], Profile(), past.log["timestamp"][0]
    for number, cuts in enumerate(_cuts(past.windows, settings)):
        parts = _parts(past, cuts)
        seed = int(cfg.seed) * 1000 + number
        injected, odd = parts[2], np.zeros(len(parts[2]), np.int8)
        if INJECTED in weights:
            span = pl.col("timestamp").is_between(done, cuts[1], closed="left")
            _, profile = past.extractor.transform(past.log.drop(WINDOW_ID).filter(span), profile)
            done = cuts[1]
            injected, odd = _injected(past, profile, cuts, settings, seed)
        fold = TimeFold(*parts, injected, odd, _known(past, cuts[2]), seed)
        simple = _simple(fold, cfg, settings.simple) if AGREEMENT in weights else None
        judges.append(Judge(fold, build_threshold(cfg.threshold), tuple(weights), simple))
    return judges


def _simple(fold: TimeFold, cfg: DictConfig, names: Sequence[str]) -> Float64:
    ranks = []
    for name in names:
        detector = build_detector(model_config(cfg, name), cfg)
        try:
            ranks.append(ranks_by(fold, detector))
        except DataError as error:
            raise DataError(f"sweep.simple: {name}: {error}; name others") from error
    mean: Float64 = np.mean(ranks, axis=0)
    return mean


Cuts = tuple[datetime, datetime, datetime]
"""Where calibration begins, where the block begins, and where it ends."""


def _cuts(windows: Windows, settings: SweepSettings) -> list[Cuts]:
    """The cuts of each fold, earliest first: blocks of equally many windows up to the end."""
    end = windows.keys["end"].sort()
    last = end[-1] + timedelta(microseconds=1)
    days = (last - end[0]) / timedelta(days=1)

    def at(share: float) -> datetime:
        moment: datetime = end[int(share * (len(end) - 1))]
        if days < 14:
            return moment
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight + timedelta(days=1) if moment - midnight > timedelta(hours=12) else midnight

    cuts = []
    for number in range(settings.folds, 0, -1):
        begins = 1 - number * settings.held_out
        ends = last if number == 1 else at(begins + settings.held_out)
        cuts.append((at(begins - BETWEEN * settings.held_out), at(begins), ends))
    return cuts


def _parts(past: Past, cuts: Cuts) -> tuple[Windows, Windows, Windows]:
    """Windows to fit on, to stop by and of the block; by their ends, as periods are."""
    end = past.windows.keys["end"]
    masks = {
        "train": (end < cuts[0]).to_numpy() & past.learnt,
        "calibration": end.is_between(cuts[0], cuts[1], closed="left").to_numpy() & past.usual,
        "held-out": end.is_between(cuts[1], cuts[2], closed="left").to_numpy() & past.usual,
    }
    for name, mask in masks.items():
        if not mask.any():
            raise DataError(
                f"sweep: the {name} part of a fold ({cuts[0]:%Y-%m-%d %H:%M} to "
                f"{cuts[2]:%Y-%m-%d %H:%M}) has no window: give a longer log, or fewer sweep.folds"
            )
    train, calibration, held = (past.windows.take(mask) for mask in masks.values())
    return train, calibration, held


def _injected(
    past: Past, profile: Profile, cuts: Cuts, settings: SweepSettings, seed: int
) -> tuple[Windows, Labels]:
    """Windows of a block with made-up anomalies, and which they are."""
    extractor = past.extractor
    fixed = (*extractor.peers.reads(), *extractor.window.columns(), PERIOD)
    made = inject(past.log, cuts[1], cuts[2], settings.families, settings.share, seed, fixed)
    windows, _ = extractor.transform(made.events, profile, open_windows=True)
    before = past.log.filter(pl.col("timestamp") < cuts[1]).drop(WINDOW_ID)
    is_odd = is_among(windows, made.odd_windows(before, extractor))
    known = is_among(windows, past.attacks[WINDOW_ID])
    kept = (windows.keys["end"] >= cuts[1]).to_numpy() & (is_odd | ~known)
    return windows.take(kept), is_odd[kept].astype(np.int8)


def _known(past: Past, until: datetime) -> Attacks | None:
    """The known attacks up to the end of a block."""
    mask = ~past.usual & (past.windows.keys["end"] < until).to_numpy()
    if not mask.any():
        return None
    there = past.windows.take(mask)
    names = there.keys.join(past.attacks, on=WINDOW_ID, how="left", maintain_order="left")
    return Attacks(there, names["incidents"].to_list())


def is_among(windows: Windows, names: pl.Series) -> Mask:
    """Which windows have one of these ids."""
    mask: Mask = windows.keys[WINDOW_ID].is_in(names.unique().to_list()).to_numpy()
    return mask
