"""From events to windows: the one place where features are computed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from safetensors.numpy import load_file, save_file

from riskml.core.errors import ConfigError, DataError, reading
from riskml.core.types import FeatureSpec, FloatArray, IntArray, Windows
from riskml.features.action_embedding import ActionEmbeddingFeatures
from riskml.features.actions import TOKEN, ActionVocabulary
from riskml.features.family import FeatureFamily
from riskml.features.local_time import with_local_time
from riskml.features.time_of_day import TimeOfDayFeatures
from riskml.features.volume import VolumeFeatures
from riskml.features.windows import WINDOW_ID, WINDOWINGS, Windowing

FAMILIES: dict[str, type[FeatureFamily]] = {
    family.name: family for family in (VolumeFeatures, TimeOfDayFeatures, ActionEmbeddingFeatures)
}
"""Families by name, in the order of their columns."""


class FeatureExtractor:
    """Cuts events into windows and computes their features.

    Vocabulary and embedding are learnt by `fit` from the train period and frozen.

    Args:
        window: the rule that cuts.
        families: by name; a family set to None is switched off.
        max_tokens: longest action sequence kept of a window; longer ones keep their end.
        min_action_count: actions rarer than this in training count as unknown.
        time_zone: the clock of users whose own zone is not in the data; None is UTC.

    Raises:
        ConfigError: no family is left on.
    """

    def __init__(
        self,
        window: Windowing,
        families: Mapping[str, FeatureFamily | None],
        max_tokens: int = 256,
        min_action_count: int = 2,
        time_zone: str | None = None,
    ) -> None:
        self.window = window
        self.families = [family for name in FAMILIES if (family := families.get(name)) is not None]
        if not self.families:
            raise ConfigError(f"features.families: switch on at least one of {', '.join(FAMILIES)}")
        if max_tokens < 1:
            raise ConfigError(f"features.max_tokens={max_tokens} must be at least 1")
        self.max_tokens = max_tokens
        self.time_zone = time_zone or "UTC"
        self.vocabulary = ActionVocabulary(min_action_count)

    def assign(self, events: pl.DataFrame) -> pl.DataFrame:
        """Events in order of window and time, with `local_time` and `window_id`."""
        ordered = events.sort("user_id", "timestamp", maintain_order=True)
        return self.window.assign(with_local_time(ordered, self.time_zone))

    def fit(self, events: pl.DataFrame) -> FeatureExtractor:
        """Learn vocabulary and embedding from the events of the train period.

        Raises:
            DataError: there are no events.
        """
        self.vocabulary.fit(events["action"])
        assigned, keys = self._window(events)
        tokens, lengths = self._tokens(assigned, len(keys))
        for family in self.families:
            family.fit(tokens, lengths, self.vocabulary)
        return self

    def transform(self, events: pl.DataFrame) -> Windows:
        """Windows of all events, in order of start.

        Raises:
            DataError: there are no events, or a time zone is not known.
        """
        if events.is_empty():
            raise DataError("there are no events to make windows of")
        assigned, keys = self._window(events)
        columns = [family.transform(assigned, keys, self.vocabulary) for family in self.families]
        tokens, lengths = self._tokens(assigned, len(keys))
        return Windows(keys, np.hstack(columns), self.spec, tokens, lengths)

    @property
    def spec(self) -> FeatureSpec:
        """Meaning of the columns and token ids."""
        features = [f for family in self.families for f in family.features(self.vocabulary)]
        vectors = np.zeros((len(self.vocabulary), 0), np.float32)
        for family in self.families:
            vectors = family.arrays().get("vectors", vectors)
        return FeatureSpec(tuple(features), self.vocabulary.actions, vectors)

    def _window(self, events: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Events sorted by window with the window's `row`, and the frame of keys."""
        assigned = self.vocabulary.encode(self.assign(events))
        keys = (
            assigned.group_by(WINDOW_ID)
            .agg(
                pl.col("user_id").first(),
                pl.col("timestamp").min().alias("start"),
                pl.col("timestamp").max().alias("end"),
                pl.len().alias("n_events"),
            )
            .sort("start", WINDOW_ID)
        )
        rows = keys.select(WINDOW_ID, pl.int_range(pl.len(), dtype=pl.Int64).alias("row"))
        in_order = assigned.join(rows, on=WINDOW_ID, maintain_order="left")
        return in_order.sort("row", maintain_order=True), keys

    def _tokens(self, events: pl.DataFrame, n_windows: int) -> tuple[IntArray, IntArray]:
        """Token ids as one padded matrix; of long windows the last `max_tokens` stay."""
        rows = events["row"].to_numpy()
        ids = events[TOKEN].to_numpy()
        total = np.bincount(rows, minlength=n_windows)
        lengths = np.minimum(total, self.max_tokens)
        first = np.concatenate([[0], np.cumsum(total)[:-1]])
        place = np.arange(len(rows)) - first[rows] - (total - lengths)[rows]
        kept = place >= 0
        tokens = np.zeros((n_windows, int(lengths.max(initial=1))), np.int32)
        tokens[rows[kept], place[kept]] = ids[kept]
        return tokens, lengths.astype(np.int32)

    def save(self, folder: Path) -> None:
        """Write `features.json` and `features.safetensors`; no pickle."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            "window": {"kind": self.window.kind, "settings": self.window.settings()},
            "families": {family.name: family.settings() for family in self.families},
            "max_tokens": self.max_tokens,
            "time_zone": self.time_zone,
            "min_action_count": self.vocabulary.min_count,
            "actions": self.vocabulary.actions,
            "action_counts": self.vocabulary.counts,
        }
        (folder / "features.json").write_text(json.dumps(state, indent=1, ensure_ascii=False))
        arrays = {
            f"{family.name}.{name}": array
            for family in self.families
            for name, array in family.arrays().items()
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
            window = WINDOWINGS[state["window"]["kind"]](**state["window"]["settings"])
            families = {
                name: FAMILIES[name](**settings) for name, settings in state["families"].items()
            }
            extractor = cls(
                window,
                families,
                state["max_tokens"],
                state["min_action_count"],
                state["time_zone"],
            )
            extractor.vocabulary.actions = tuple(state["actions"])
            extractor.vocabulary.counts = tuple(state["action_counts"])
            for name, family in families.items():
                prefix = f"{name}."
                family.restore(
                    {k.removeprefix(prefix): a for k, a in arrays.items() if k.startswith(prefix)}
                )
        return extractor
