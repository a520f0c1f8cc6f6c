"""The windows of a log, by period, and what one user does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from riskml.core.arguments import check_arguments
from riskml.core.cards import card, table
from riskml.core.errors import ConfigError, DataError, did_you_mean
from riskml.core.redaction import shown
from riskml.core.types import Windows
from riskml.features.action_embedding import ActionEmbeddingFeatures
from riskml.features.extractor import FeatureExtractor
from riskml.features.novelty import NoveltyFeatures
from riskml.features.peer_groups import PeerGroups
from riskml.features.preparation import PreparedWindows, prepare
from riskml.features.time_of_day import TimeOfDayFeatures
from riskml.features.volume import VolumeFeatures
from riskml.features.windows import WINDOWINGS
from riskml.interactive.logs import Log
from riskml.models.base import Detector

if TYPE_CHECKING:
    from riskml.evaluation.reporting.plots import Drawing

PERIODS = ("train", "calibration", "test")


@dataclass(frozen=True, repr=False)
class LogWindows:
    """What `riskml.extract` gives: the windows of each period.

    Args:
        log: that they are of.
        extractor: fitted on its train period.
        prepared: windows by period, and the truth of the test period apart.
    """

    log: Log
    extractor: FeatureExtractor
    prepared: PreparedWindows

    @property
    def train(self) -> Windows:
        """What detectors are fitted on."""
        return self.prepared.train

    @property
    def calibration(self) -> Windows:
        """What sets risk scale and threshold; training may stop early by it."""
        return self.prepared.calibration

    @property
    def test(self) -> Windows:
        """What is judged."""
        return self.prepared.test

    @property
    def names(self) -> list[str]:
        """Of the features."""
        return self.train.spec.names

    def __repr__(self) -> str:
        facts = "; ".join(f"{name} {value}" for name, value in self._facts().items())
        return f"LogWindows({facts})"

    def _repr_html_(self) -> str:
        families: dict[str, list[str]] = {}
        for feature in self.train.spec.features:
            families.setdefault(feature.family, []).append(feature.meaning)
        rows = [
            (family, len(meanings), ", ".join(dict.fromkeys(meanings[:3])) + " …")
            for family, meanings in families.items()
        ]
        return card(
            f"Windows of {self.log.name}",
            self._facts(),
            table(("family", "features", "such as"), rows),
        )

    def _facts(self) -> dict[str, str]:
        parts = {name: getattr(self.prepared, name) for name in PERIODS}
        return {
            "kind": self.extractor.window.kind,
            **{name: f"{len(part):,}" for name, part in parts.items()},
            "features": f"{len(self.train.spec):,}",
        }

    def keys(self) -> pl.DataFrame:
        """Keys of the windows of all periods in order of start, with `period`."""
        parts = [
            part.keys.with_columns(pl.lit(name).alias("period"))
            for name, part in zip(PERIODS, (self.train, self.calibration, self.test), strict=True)
        ]
        return pl.concat(parts).sort("start", "window_id")

    def plot_user(self, user_id: str) -> Drawing:
        """One user's timeline: when they were active, and how much.

        Raises:
            DataError: there is no such user.
        """
        from riskml.interactive.pictures import timeline

        check_user(user_id, self.log)
        return timeline(self.log.events, self.extractor.time_zone, self.keys(), user_id)


def check_windows(windows: object, asked: str) -> None:
    """Refuse what is not the windows of all periods.

    Raises:
        DataError: naming who asked.
    """
    if not isinstance(windows, LogWindows):
        kind = type(windows).__name__
        raise DataError(f"{asked} needs the windows of all periods, of riskml.extract, not {kind}")


def check_detectors(detectors: Iterable[object]) -> None:
    """Refuse what is no detector, such as its class.

    Raises:
        ConfigError: with an example.
    """
    for each in detectors:
        if not isinstance(each, Detector):
            what = f"the class {each.__name__}" if isinstance(each, type) else type(each).__name__
            raise ConfigError(
                f"a detector is an object, such as riskml.NeighboursDetector(), not {what}"
            )


def check_user(user_id: str, log: Log) -> None:
    """Refuse a user who is not in the log.

    Raises:
        DataError: with the nearest ids.
    """
    users = log.users
    if user_id not in users:
        raise DataError(f"no user {shown(repr(user_id))}: {shown(did_you_mean(user_id, users))}")


def extract(
    log: Log,
    window: str = "user_day",
    extractor: FeatureExtractor | None = None,
    peers: str | None = None,
    novelty: Sequence[str] | None = None,
    event_times: bool | None = None,
    time_zone: str | None = None,
    seed: int = 0,
) -> LogWindows:
    """Learn the features from the train period, and make the windows of all periods.

    Args:
        log: of `riskml.read_log` or `riskml.simulate`.
        window: `user_day`, `session` or `block`.
        extractor: in place of all that follows, where you want other features.
        peers: column of the log that names the peer group; None: as suits the log, else learnt.
        novelty: columns whose first times count; None: as suits the log.
        event_times: gaps and hours of single events too, for models of sequences.
        time_zone: the clock of users whose own zone is not in the log.
        seed: of what chance has a part in.

    Raises:
        DataError: a period is too short for such windows.
        ConfigError: there is no such window.
    """
    if not isinstance(log, Log):
        raise DataError(f"extract needs a log, not {type(log).__name__}: riskml.read_log gives one")
    if extractor is None:
        given = {"peers": peers, "novelty": novelty, "event_times": event_times}
        given = {**given, "time_zone": time_zone}
        check_arguments(extract, {**given, "seed": seed})
        own = {name: value for name, value in given.items() if value is not None}
        extractor = usual_extractor(window, seed=seed, **{**log.suits, **own})
    if not isinstance(extractor, FeatureExtractor):
        raise ConfigError(f"extractor must be a FeatureExtractor, not {type(extractor).__name__}")
    fitted = extractor.fit(log.dataset.train_events)
    return LogWindows(log, fitted, prepare(log.dataset, fitted))


def usual_extractor(
    window: str = "user_day",
    peers: str | None = None,
    novelty: Sequence[str] = ("action", "resource", "source"),
    event_times: bool = False,
    time_zone: str | None = None,
    seed: int = 0,
) -> FeatureExtractor:
    """The features of conf/features, which `train.py` uses; arguments as of `extract`.

    Raises:
        ConfigError: there is no such window.
    """
    if window not in WINDOWINGS:
        raise ConfigError(f"no window '{window}': {did_you_mean(window, WINDOWINGS)}")
    return FeatureExtractor(
        WINDOWINGS[window](),
        {
            "volume": VolumeFeatures(),
            "time_of_day": TimeOfDayFeatures(),
            "novelty": NoveltyFeatures(columns=list(novelty)),
            "action_embedding": ActionEmbeddingFeatures(poolings=(), seed=seed),
        },
        PeerGroups(peers, seed=seed),
        time_zone=time_zone,
        event_times=event_times,
    )
