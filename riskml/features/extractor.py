"""From events to windows: the one place where features are computed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from safetensors.numpy import load_file, save_file

from riskml.core.errors import ConfigError, DataError, did_you_mean, reading, require
from riskml.core.schema import EVENT_SCHEMA, TIME_ZONE
from riskml.core.types import PEER, Feature, FeatureSpec, FloatArray, Windows
from riskml.features.action_embedding import ActionEmbeddingFeatures
from riskml.features.actions import ActionVocabulary
from riskml.features.cutting import (
    EVENT_ID,
    close,
    cut,
    event_ids,
    is_late,
    join,
    take,
    without_late,
)
from riskml.features.family import Columns, FeatureFamily
from riskml.features.graph import GraphFeatures
from riskml.features.hashing import by_user, hashed
from riskml.features.history import HistoryFeatures
from riskml.features.local_time import with_local_time
from riskml.features.novelty import NoveltyFeatures
from riskml.features.numbers import NumberFeatures, as_number
from riskml.features.peer import PeerFeatures
from riskml.features.peer_groups import PeerGroups
from riskml.features.profile import USER, Profile, upsert
from riskml.features.rows import begins, find, index, micros
from riskml.features.sequences import sequences
from riskml.features.time_of_day import TimeOfDayFeatures
from riskml.features.volume import VolumeFeatures
from riskml.features.windows import WINDOW_ID, WINDOWINGS, Windowing

FAMILIES: dict[str, type[FeatureFamily]] = {
    family.name: family
    for family in (
        VolumeFeatures,
        TimeOfDayFeatures,
        NoveltyFeatures,
        HistoryFeatures,
        PeerFeatures,
        GraphFeatures,
        NumberFeatures,
        ActionEmbeddingFeatures,
    )
}
"""Families by name, in the order of their columns; a family may look at those before it."""

NEED_COUNTS = (HistoryFeatures.name, PeerFeatures.name)

HASHED = ("resource", "source")
"""Columns whose names are compared, beside those that families read."""


class FeatureExtractor:
    """Cuts events into windows and computes their features.

    Vocabulary, embedding, peer groups and graph are learnt by `fit` from the train period and
    frozen. What is known of a user grows with every event and is carried in a `Profile`, so that
    a year at once, its days one by one, and a stream of single events give the same windows.

    Args:
        window: the rule that cuts.
        families: by name; a family set to None is switched off.
        peers: who is compared with whom.
        max_tokens: longest action sequence kept of a window; longer ones keep their end.
        min_action_count: actions rarer than this in training count as unknown.
        time_zone: the clock of users whose own zone is not in the data; None is UTC.
        lateness_minutes: how long a window stays open for events that arrive late.
        use: names of the families that are used; None for all that are there.
        event_times: also give the times of a window's events (`Windows.times`).

    Raises:
        ConfigError: no family is left on, or one lacks another that it needs.
    """

    def __init__(
        self,
        window: Windowing,
        families: Mapping[str, FeatureFamily | None],
        peers: PeerGroups | None = None,
        max_tokens: int = 256,
        min_action_count: int = 2,
        time_zone: str | None = None,
        lateness_minutes: float = 0.0,
        use: Sequence[str] | None = None,
        event_times: bool = False,
    ) -> None:
        if isinstance(use, str):
            raise ConfigError(f"features.use={use} must be a list: features.use=[{use}]")
        for setting, named in (("features.families", families), ("features.use", use or ())):
            unknown = [name for name in named if name not in FAMILIES]
            if unknown:
                raise ConfigError(f"{setting}: {unknown[0]}: {did_you_mean(unknown[0], FAMILIES)}")
        if use is not None:
            families = {name: families.get(name) for name in use}
        self.window = window
        self.families = [family for name in FAMILIES if (family := families.get(name)) is not None]
        if not self.families:
            raise ConfigError(f"features.use: name at least one of {', '.join(FAMILIES)}")
        on = [family.name for family in self.families]
        for name in NEED_COUNTS:
            if name in on and VolumeFeatures.name not in on:
                raise ConfigError(f"features.families.{name} compares counts: switch on volume too")
        require("features.max_tokens", max_tokens, max_tokens >= 1, "must be at least 1")
        require(
            "features.min_action_count",
            min_action_count,
            min_action_count >= 1,
            "must be at least 1",
        )
        fits = lateness_minutes >= 0
        require("features.lateness_minutes", lateness_minutes, fits, "must be 0 or more")
        self.max_tokens = max_tokens
        self.event_times = event_times
        self.time_zone = time_zone or "UTC"
        self.lateness = timedelta(minutes=lateness_minutes)
        self.peers = peers or PeerGroups()
        self.vocabulary = ActionVocabulary(min_action_count)
        # what `fit` teaches a family is told of once it is done
        self._spec: FeatureSpec | None = None

    # ---- learning what is the same for all ---------------------------------------------------

    def fit(self, events: pl.DataFrame) -> FeatureExtractor:
        """Learn vocabulary, peer groups, embedding and graph from the train period's events.

        Raises:
            DataError: there are no events, or a column that a family reads is missing.
        """
        self.vocabulary.fit(events["action"])
        self.peers.check(events)
        coded = events.select(
            hashed("user_id").alias(USER), self.vocabulary.encode(), *self.peers.reads()
        )
        self.peers.fit(coded, len(self.vocabulary))
        arrived, profile = self.arrive(events, Profile())
        windows = cut(arrived, self.window, self.vocabulary, profile.names)
        before = Columns([], np.zeros((len(windows), 0), np.float32))
        for family in self.families:
            family.fit(windows, before)
            x, profile = family.transform(windows, before, profile)
            features = family.features(self.vocabulary, before.features)
            before = Columns(before.features + features, np.hstack([before.x, x]))
        self._spec = None
        return self

    # ---- windows -----------------------------------------------------------------------------

    def windows(self, events: pl.DataFrame) -> Windows:
        """Windows of a whole log, in order of start.

        Raises:
            DataError: there are no events, or a time zone is not known.
        """
        if events.is_empty():
            raise DataError("there are no events to make windows of")
        return self.transform(events, Profile(), open_windows=True)[0]

    def transform(
        self, events: pl.DataFrame, profile: Profile, open_windows: bool = False
    ) -> tuple[Windows, Profile]:
        """Windows that these events close, and the profile for the events that come next.

        However a history is cut into calls, the same windows come out. Events come in order of
        time, from call to call and apart from `lateness_minutes`; one that comes after its window
        was closed is left out, counted in `Profile.late` and warned of.

        Args:
            events: event schema and the columns that the families read.
            profile: what the calls before have left; `Profile()` to begin with.
            open_windows: also give the windows that may still grow, as they stand. They stay
                open in the profile, which is the same with and without.

        Returns:
            Windows in order of start, and the next profile.

        Raises:
            DataError: a column is missing, or a time zone is not known.
        """
        windows, _, profile = self.closing(events, profile, open_windows)
        return windows, profile

    def closing(
        self,
        events: pl.DataFrame,
        profile: Profile,
        open_windows: bool = False,
        with_ids: bool = False,
    ) -> tuple[Windows, pl.Series, Profile]:
        """As `transform`, and from what time on no event could join each window.

        In the order of these times windows close the same, however a log is cut into calls.
        `with_ids` gives windows the ids of their events, and keeps those of open windows.
        """
        return self.close(*self.meet(events, profile, with_ids), open_windows)

    def close(
        self, met: pl.DataFrame, profile: Profile, open_windows: bool = False
    ) -> tuple[Windows, pl.Series, Profile]:
        """The second half of `closing`.

        Args:
            met: what `meet` gave, and `settle` where users of several buckets arrive side by side.
            profile: which it left.
            open_windows: as of `closing`.
        """
        arrived, profile = join(met, profile, self.lateness)
        windows = cut(arrived, self.window, self.vocabulary, profile.names, profile.watermark)
        profile = close(windows, self.window, profile)
        if not open_windows and not windows.closed.all():
            windows = take(windows, np.flatnonzero(windows.closed))
        spec = self.spec
        x = np.empty((len(windows), len(spec)), np.float32)
        done = 0
        for family in self.families if len(windows) else ():
            before = Columns(list(spec.features[:done]), x[:, :done])
            columns, profile = family.transform(windows, before, profile)
            x[:, done : done + columns.shape[1]] = columns
            done += columns.shape[1]
        order = _by_start(windows.keys)
        tokens, lengths, times = sequences(windows, order, self.max_tokens, self.event_times)
        rows = windows.keys[index(order)]
        closed_from, peer = rows["closed_from"], self.peers.named(rows[PEER])
        keys = rows[[WINDOW_ID, "user_id", "start", "end", "n_events"]].hstack([peer])
        ids = event_ids(windows)
        ids = None if ids is None else ids[index(order)]
        return Windows(keys, x[order], spec, tokens, lengths, times, ids), closed_from, profile

    def late(self, events: pl.DataFrame, profile: Profile) -> pl.Series:
        """Which of the events came after their window was closed, so that `transform` drops them.

        Args:
            events: with user_id and timestamp.
            profile: before them.
        """
        coded = events.select(hashed("user_id").alias(USER), "timestamp")
        return pl.Series("timestamp", is_late(coded, profile.ordered()))

    def assign(self, events: pl.DataFrame) -> pl.DataFrame:
        """The events of a whole log in order of window and time, with `window_id`."""
        numbered, names = self._prepare(events.with_row_index("_event"), ("_event",))
        arrived = self.window.arrive(numbered, Profile().users)
        windows = cut(arrived, self.window, self.vocabulary, names)
        ids = windows.keys[WINDOW_ID].gather(windows.row)
        return events[windows.events["_event"]].with_columns(ids.alias(WINDOW_ID))

    @property
    def spec(self) -> FeatureSpec:
        """Meaning of the columns and token ids."""
        if self._spec is None or self._spec.actions is not self.vocabulary.actions:
            features: list[Feature] = []
            vectors = np.zeros((len(self.vocabulary), 0), np.float32)
            for family in self.families:
                features += family.features(self.vocabulary, features)
                if isinstance(family, ActionEmbeddingFeatures):
                    vectors = family.vectors
            actions = self.vocabulary.actions
            self._spec = FeatureSpec(tuple(features), actions, vectors, self.event_times)
        return self._spec

    def reads(self) -> list[str]:
        """Columns of the log that are needed; the user's `time_zone` is used where it is there."""
        families = (c for family in self.families for c in (*family.reads(), *family.numbers(())))
        return list(
            dict.fromkeys((*EVENT_SCHEMA, *self.window.columns(), *self.peers.reads(), *families))
        )

    @property
    def shares_first_times(self) -> bool:
        """Whether a window depends on when other users first met a name."""
        return any(family.shares_first_times for family in self.families)

    # ---- steps -------------------------------------------------------------------------------

    def _prepare(
        self, events: pl.DataFrame, extra: tuple[str, ...] = ()
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Events as the columns that windows and families need, and the names of their users.

        Events come in order of user and time.
        """
        reads = {*HASHED, *(column for family in self.families for column in family.reads())}
        readers = dict.fromkeys(sorted(reads), "a feature family reads it")
        readers.update(dict.fromkeys(self.window.columns(), "features.window.column"))
        numeric = [name for name, kind in events.schema.items() if kind.is_numeric()]
        numbers = [name for family in self.families for name in family.numbers(numeric)]
        readers.update(dict.fromkeys(numbers, "features.families.numbers"))
        for column, reader in readers.items():
            if column not in events.columns:
                raise DataError(
                    f"the log has no column '{column}' ({reader}): "
                    f"{did_you_mean(column, events.columns)}"
                )
        if not events["timestamp"].is_sorted():
            events = events.sort("timestamp", maintain_order=True)
        if self.peers.column is not None:
            # before the hashes: the role may be a column whose novelty counts too
            events = self.peers.assign(events)
        kept = dict.fromkeys((*extra, *self.window.columns(), PEER, TIME_ZONE))
        passed = [name for name in kept if name in events.columns and name not in reads]
        coded = events.select(
            hashed("user_id").alias(USER),
            "timestamp",
            "success",
            self.vocabulary.encode(),
            *map(hashed, sorted(reads)),
            *(as_number(events, name) for name in dict.fromkeys(numbers)),
            *passed,
        )
        coded, row = by_user(coded, USER)
        user = coded[USER].to_numpy()
        first = np.flatnonzero(begins(user))
        ids = events["user_id"][index(row[first])]
        names = pl.DataFrame([pl.Series(USER, user[first]), ids.alias("user_id")])
        if PEER not in coded.columns:
            coded = self.peers.assign(coded)
        return with_local_time(coded, self.time_zone), names

    def arrive(self, events: pl.DataFrame, profile: Profile) -> tuple[pl.DataFrame, Profile]:
        """New events with what the families say of them, among those of open windows.

        The first half of `transform`.
        """
        met, profile = self.meet(events, profile)
        return join(met, profile, self.lateness)

    def meet(
        self, events: pl.DataFrame, profile: Profile, with_ids: bool = False
    ) -> tuple[pl.DataFrame, Profile]:
        """New events alone with what the families say of them: the first half of `closing`."""
        if with_ids:
            events = events.with_columns(pl.col("event_id").alias(EVENT_ID))
        prepared, names = self._prepare(events, (EVENT_ID,))
        profile = profile.ordered()
        new = find(profile.names[USER].to_numpy(), names[USER].to_numpy()) < 0
        names = upsert(profile.names, names.filter(new))
        profile = replace(profile, names=names)
        met, profile = without_late(prepared, profile)
        met = self.window.arrive(met, profile.users)
        for family in self.families:
            met, profile = family.arrive(met, profile)
        return met, profile

    def settle(self, met: pl.DataFrame, profile: Profile) -> pl.DataFrame:
        """What `meet` gave, once the profile knows what others met who arrived beside them."""
        for family in self.families:
            met = family.settle(met, profile)
        return met

    # ---- files -------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write `features.json` and `features.safetensors`; no pickle."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            "window": {"kind": self.window.kind, "settings": self.window.settings()},
            "families": {family.name: family.settings() for family in self.families},
            "peers": self.peers.state(),
            "max_tokens": self.max_tokens,
            "event_times": self.event_times,
            "time_zone": self.time_zone,
            "lateness_minutes": self.lateness.total_seconds() / 60,
            "min_action_count": self.vocabulary.min_count,
            "actions": self.vocabulary.actions,
            "action_counts": self.vocabulary.counts,
            "embedding_sha256": [
                family.sha256
                for family in self.families
                if isinstance(family, ActionEmbeddingFeatures)
            ],
        }
        (folder / "features.json").write_text(json.dumps(state, indent=1, ensure_ascii=False))
        learnt = {"peers": self.peers.arrays()}
        learnt.update({family.name: family.arrays() for family in self.families})
        arrays = {
            f"{room}.{name}": np.ascontiguousarray(array)
            for room, found in learnt.items()
            for name, array in found.items()
        }
        save_file(arrays, folder / "features.safetensors")

    @classmethod
    def load(cls, folder: Path) -> FeatureExtractor:
        """Read what `save` wrote.

        Raises:
            BundleError: a file is missing or not one of ours.
        """
        with reading(folder / "features.json"):
            state = json.loads((folder / "features.json").read_text())
            arrays: dict[str, FloatArray] = load_file(folder / "features.safetensors")

            def of(room: str) -> dict[str, Any]:
                prefix = f"{room}."
                return {
                    k.removeprefix(prefix): a for k, a in arrays.items() if k.startswith(prefix)
                }

            extractor = cls(
                WINDOWINGS[state["window"]["kind"]](**state["window"]["settings"]),
                {
                    name: FAMILIES[name].of_settings(settings)
                    for name, settings in state["families"].items()
                },
                PeerGroups.from_state(state["peers"], of("peers")),
                state["max_tokens"],
                state["min_action_count"],
                state["time_zone"],
                state["lateness_minutes"],
                event_times=state["event_times"],
            )
            extractor.vocabulary.actions = tuple(state["actions"])
            extractor.vocabulary.counts = tuple(state["action_counts"])
            for family in extractor.families:
                family.restore(of(family.name))
                if isinstance(family, ActionEmbeddingFeatures):
                    family.check(*state["embedding_sha256"])
        return extractor


def _by_start(keys: pl.DataFrame) -> npt.NDArray[np.int64]:
    """The order of windows by their start, then id."""
    start = micros(keys["start"])
    order = np.argsort(start)
    if not begins(start[order]).all():
        order = keys.select(pl.arg_sort_by("start", WINDOW_ID)).to_series().to_numpy()
    return order.astype(np.int64)
