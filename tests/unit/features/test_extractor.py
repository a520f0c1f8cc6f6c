"""From events to windows: what is fitted, what is stored, what may not leak."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from event_tables import (
    ZERO,
    all_families,
    column,
    extractor,
    in_order_of_names,
    random_log,
    same_windows,
    table,
    token_lists,
    worldly_log,
)
from safetensors.numpy import load_file, save_file

from riskml.core.errors import BundleError, ConfigError, DataError
from riskml.core.types import Windows
from riskml.data.splits import CALIBRATION, PERIOD, TRAIN, TimeSplit
from riskml.features.action_embedding import ActionEmbeddingFeatures
from riskml.features.extractor import FAMILIES, NEED_COUNTS, FeatureExtractor
from riskml.features.novelty import NoveltyFeatures
from riskml.features.peer_groups import PeerGroups
from riskml.features.profile import Profile
from riskml.features.scaling import FeatureScaler
from riskml.features.volume import VolumeFeatures
from riskml.features.windows import BlockWindows, SessionWindows, UserDayWindows, Windowing

WINDOWS = [SessionWindows(45), UserDayWindows(), BlockWindows(10)]


def test_keys() -> None:
    events = table(
        ["bob", "ann", "ann"],
        ["2024-03-04T08:00", "2024-03-04T08:00", "2024-03-04T07:55"],
    )
    windows = extractor(SessionWindows()).fit(events).windows(events)
    assert windows.keys.columns == ["window_id", "user_id", "start", "end", "n_events", "peer"]
    starts = [ZERO + timedelta(hours=7, minutes=55), ZERO + timedelta(hours=8)]
    ends = [ZERO + timedelta(hours=8)] * 2
    assert windows.keys["start"].to_list() == starts
    assert windows.keys["end"].to_list() == ends
    assert windows.keys["user_id"].to_list() == ["ann", "bob"]
    assert windows.keys["n_events"].to_list() == [2, 1]


def test_windows_that_start_together_are_in_order_of_their_ids() -> None:
    events = table(list("dbca"), [ZERO] * 4)
    keys = extractor(UserDayWindows()).fit(events).windows(events).keys
    assert keys["user_id"].to_list() == list("abcd")


@pytest.mark.parametrize("window", WINDOWS, ids=lambda w: w.kind)
def test_mean_embedding_against_brute_force(window: Windowing) -> None:
    events = random_log(days=4)
    made = extractor(window).fit(events[:100])
    windows = made.windows(events)
    vectors = dict(zip(made.vocabulary.actions, windows.spec.action_vectors, strict=True))
    assigned = made.assign(events)
    names = [f"action_embedding_{i:02d}" for i in range(4)]
    found = windows.x[:, [windows.spec.names.index(name) for name in names]]
    for row, window_id in zip(found, windows.keys["window_id"], strict=True):
        actions = assigned.filter(pl.col("window_id") == window_id)["action"]
        mean = np.mean([vectors.get(a, vectors["<unknown>"]) for a in actions], axis=0)
        np.testing.assert_allclose(row, mean, rtol=1e-5, atol=1e-7)


def test_tokens_keep_the_end_of_long_windows() -> None:
    actions = ["a", "b", "a", "b", "c", "c", "new"]
    events = table(
        ["ann"] * 7 + ["bob"], [ZERO + timedelta(minutes=i) for i in range(8)], [*actions, "a"]
    )
    made = extractor(UserDayWindows(), max_tokens=3).fit(events)
    windows = made.windows(events)
    assert made.vocabulary.actions == ("<pad>", "<unknown>", "a", "b", "c")
    assert windows.tokens.tolist() == [[4, 4, 1], [2, 0, 0]]
    assert windows.lengths.tolist() == [3, 1]
    assert windows.keys["n_events"].to_list() == [7, 1]
    assert column(windows, "events") == [7, 1]
    assert windows.tokens.dtype == windows.lengths.dtype == np.int32


def test_times_keep_the_end_of_long_windows() -> None:
    """The gap before the first event that is kept is the one to the event that is cut off."""
    times = ["2024-03-04T22:00", "2024-03-04T22:01", "2024-03-04T22:01", "2024-03-04T23:31"]
    events = table(["ann"] * 4 + ["bob"], [*times, "2024-03-04T23:45"])
    made = extractor(
        SessionWindows(120), max_tokens=3, time_zone="Europe/Berlin", event_times=True
    ).fit(events)
    windows = made.windows(events)
    gaps = [[math.log1p(60), 0, math.log1p(5400)], [0, 0, 0]]
    hours = [[23 + 1 / 60, 23 + 1 / 60, 31 / 60], [0.75, 0, 0]]
    np.testing.assert_allclose(windows.times[:, :, 0], gaps, rtol=1e-6)
    np.testing.assert_allclose(windows.times[:, :, 1], hours, rtol=1e-6)
    assert windows.times.dtype == np.float32
    assert windows.spec.event_times


def test_no_times_unless_asked_for() -> None:
    events = random_log(days=2)
    windows = extractor(UserDayWindows()).fit(events).windows(events)
    assert windows.times.shape == (len(windows), 0, 2)
    assert not windows.spec.event_times


def test_token_matrix_is_no_wider_than_needed() -> None:
    events = table(["ann"] * 2 + ["bob"], [ZERO] * 3, ["a", "a", "a"])
    windows = extractor(UserDayWindows(), max_tokens=50).fit(events).windows(events)
    assert windows.tokens.tolist() == [[2, 2], [2, 0]]


EVERY = {name for name in FAMILIES if name != "numbers"}
"""Families that have features whatever the log is like; for the others see test_numbers.py."""


@pytest.mark.parametrize("off", sorted(EVERY))
def test_a_family_switched_off(off: str) -> None:
    events = random_log(days=2)
    every = extractor(UserDayWindows()).fit(events).windows(events)
    # history and peer compare the counts of volume
    gone = {off, *NEED_COUNTS} if off == "volume" else {off}
    fewer = extractor(UserDayWindows(), families=all_families() | dict.fromkeys(gone))
    windows = fewer.fit(events).windows(events)
    assert {f.family for f in windows.spec.features} == EVERY - gone
    assert windows.spec.action_vectors.shape[1] == (0 if off == "action_embedding" else 4)
    for i, feature in enumerate(windows.spec.features):
        assert feature == every.spec.features[every.spec.names.index(feature.name)]
        if feature.name != "peer_distance":  # over all counts that there are
            assert windows.x[:, i].tolist() == column(every, feature.name), feature.name


@pytest.mark.parametrize("family", NEED_COUNTS)
def test_comparisons_need_counts(family: str) -> None:
    families = {family: all_families()[family]}
    with pytest.raises(ConfigError, match=rf"families\.{family} compares counts.*volume"):
        extractor(UserDayWindows(), families=families)


def test_columns_stand_in_the_order_of_families() -> None:
    events = random_log(days=2)
    families = dict(reversed(all_families().items()))
    spec = extractor(UserDayWindows(), families=families).fit(events).spec
    order = [name for name in FAMILIES if name in EVERY]
    assert list(dict.fromkeys(f.family for f in spec.features)) == order
    assert len(set(spec.names)) == len(spec.names)


def test_impossible_settings() -> None:
    with pytest.raises(ConfigError, match=r"use.*volume, time_of_day.*action_embedding"):
        extractor(UserDayWindows(), families={"volume": None})
    with pytest.raises(ConfigError, match=r"features.use: novel: did you mean 'novelty'"):
        extractor(UserDayWindows(), use=["volume", "novel"])
    with pytest.raises(ConfigError, match="max_tokens=0 must be at least 1"):
        extractor(UserDayWindows(), max_tokens=0)
    with pytest.raises(ConfigError, match="min_action_count=-1 must be at least 1"):
        extractor(UserDayWindows(), min_action_count=-1)
    with pytest.raises(ConfigError, match=r"features.use=volume must be .*use=\[volume\]"):
        extractor(UserDayWindows(), use="volume")
    with pytest.raises(ConfigError, match="max_actions=-1 must be 0 or more"):
        VolumeFeatures(max_actions=-1)


@pytest.mark.parametrize("name", ["dimensions", "context", "epochs"])
def test_an_embedding_needs_some_of_each(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"action_embedding\.{name}=0 must be at least 1"):
        ActionEmbeddingFeatures(**{name: 0})


def test_peers_by_a_column_that_is_not_there() -> None:
    made = extractor(UserDayWindows(), peers=PeerGroups("nope"))
    with pytest.raises(DataError, match=r"no column 'nope' \(features\.peers\.column\)"):
        made.fit(random_log(days=1))


def test_only_the_named_families_are_used() -> None:
    made = extractor(UserDayWindows(), use=["novelty", "volume"])
    assert [family.name for family in made.families] == ["volume", "novelty"]


def test_no_events() -> None:
    events = random_log(days=1)
    with pytest.raises(DataError, match="train period holds no events"):
        extractor(UserDayWindows()).fit(events.clear())
    with pytest.raises(DataError, match="no events to make windows of"):
        extractor(UserDayWindows()).fit(events).windows(events.clear())


@pytest.mark.parametrize("window", WINDOWS, ids=lambda w: w.kind)
def test_saved_and_loaded(window: Windowing, tmp_path: Path) -> None:
    events = random_log(days=4).with_columns(action="größe " + pl.col("action"))
    made = extractor(
        window, max_tokens=5, min_action_count=3, time_zone="Europe/Berlin", event_times=True
    ).fit(events[:80])
    made.save(tmp_path / "new")
    loaded = FeatureExtractor.load(tmp_path / "new")
    assert same_windows(loaded.windows(events), made.windows(events))
    assert loaded.vocabulary.counts == made.vocabulary.counts
    loaded.save(tmp_path / "again")
    for file in ("features.json", "features.safetensors"):
        assert (tmp_path / "new" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()


def test_no_pickle_in_the_files(tmp_path: Path) -> None:
    extractor(UserDayWindows()).fit(random_log(days=2)).save(tmp_path)
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["features.json", "features.safetensors"]
    assert json.loads((tmp_path / "features.json").read_text())["window"]["kind"] == "user_day"
    tensors = (tmp_path / "features.safetensors").read_bytes()
    header = json.loads(tensors[8 : 8 + int.from_bytes(tensors[:8], "little")])
    assert header.pop("__metadata__", {}) == {}
    assert {key.partition(".")[0] for key in header} == {
        "peers",
        "time_of_day",
        "peer",
        "graph",
        "action_embedding",
    }


def test_saved_without_learnt_arrays(tmp_path: Path) -> None:
    events = random_log(days=2)
    made = extractor(UserDayWindows(), families={"volume": VolumeFeatures()}).fit(events)
    made.save(tmp_path)
    loaded = FeatureExtractor.load(tmp_path)
    assert same_windows(loaded.windows(events), made.windows(events))


def break_json(folder: Path) -> None:
    (folder / "features.json").write_text("{")


def rename_window(folder: Path) -> None:
    path = folder / "features.json"
    path.write_text(path.read_text().replace("user_day", "fortnight"))


def cut_arrays(folder: Path) -> None:
    path = folder / "features.safetensors"
    path.write_bytes(path.read_bytes()[:20])


def other_arrays(folder: Path) -> None:
    path = folder / "features.safetensors"
    path.write_bytes(path.read_bytes().replace(b".vectors", b".vektors"))


def test_changed_vectors_are_refused(tmp_path: Path) -> None:
    extractor(UserDayWindows()).fit(random_log(days=2)).save(tmp_path)
    path = tmp_path / "features.safetensors"
    arrays = load_file(path)
    arrays["action_embedding.vectors"][2, 0] += 1e-3
    save_file(arrays, path)
    with pytest.raises(BundleError, match=r"action vectors were changed: their SHA-256"):
        FeatureExtractor.load(tmp_path)


def test_missing_columns() -> None:
    made = extractor(UserDayWindows(), families={"novelty": NoveltyFeatures(("host",))})
    with pytest.raises(DataError, match=r"no column 'host' \(a feature family reads it\)"):
        made.fit(random_log(days=2))


@pytest.mark.parametrize("window", [*WINDOWS, SessionWindows(column="logon")])
def test_a_call_without_events(window: Windowing) -> None:
    events = worldly_log(seed=1, n=200)
    made = extractor(window).fit(events)
    windows, profile = made.transform(events.clear(), Profile(), open_windows=True)
    assert windows.x.shape == (0, len(made.spec))
    assert profile.users.is_empty()


def test_both_poolings_of_the_embedding() -> None:
    """Smooth inverse frequency: weights a / (a + p), that of the commonest action being 1."""
    events = random_log(days=4)
    family = ActionEmbeddingFeatures(4, epochs=2, poolings=("mean", "sif"), smoothing=0.1)
    made = extractor(UserDayWindows(), families={"action_embedding": family}).fit(events)
    windows = made.windows(events)
    share = np.array(made.vocabulary.counts) / sum(made.vocabulary.counts)
    weight = 0.1 / (0.1 + share)
    weight /= weight[2]
    for row, tokens in zip(windows.x, token_lists(windows), strict=True):
        vectors = family.vectors[tokens].astype(np.float64)
        expected = [*vectors.mean(axis=0), *(vectors * weight[tokens, None]).mean(axis=0)]
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-6)
    assert [name[:4] for name in windows.spec.names] == ["acti"] * 4 + ["sif_"] * 4


@pytest.mark.parametrize(
    "damage",
    [
        break_json,
        rename_window,
        cut_arrays,
        other_arrays,
        lambda folder: (folder / "features.json").unlink(),
        lambda folder: (folder / "features.safetensors").unlink(),
    ],
    ids=["no-json", "unknown-window", "cut-arrays", "other-arrays", "json-gone", "arrays-gone"],
)
def test_damaged_files(damage: Callable[[Path], None], tmp_path: Path) -> None:
    extractor(UserDayWindows()).fit(random_log(days=2)).save(tmp_path)
    damage(tmp_path)
    with pytest.raises(BundleError, match="features"):
        FeatureExtractor.load(tmp_path)


def poisoned(events: pl.DataFrame) -> pl.DataFrame:
    """Everything after the train period made different; a burst of new events besides."""
    later = pl.col(PERIOD) != TRAIN
    changed = events.with_columns(
        action=pl.when(later).then(pl.lit("poison")).otherwise("action"),
        resource=pl.when(later).then(pl.col("event_id")).otherwise("resource"),
        source=pl.when(later).then(pl.lit("moon")).otherwise("source"),
        success=pl.when(later).then(pl.lit(False)).otherwise("success"),
    )
    burst = changed.filter(pl.col(PERIOD) == CALIBRATION).with_columns(
        event_id="again-" + pl.col("event_id"), user_id=pl.lit("mallory")
    )
    return pl.concat([changed, *([burst] * 3)])


def train_part(events: pl.DataFrame, made: FeatureExtractor) -> Windows:
    windows = made.windows(events)
    cut = events.filter(pl.col(PERIOD) != TRAIN)["timestamp"].min()
    return windows.take((windows.keys["end"] < cut).to_numpy())


@pytest.mark.parametrize("window", WINDOWS, ids=lambda w: w.kind)
def test_no_window_knows_what_comes_after_it(window: Windowing) -> None:
    """Everybody's later events are poisoned, also with events of users there were none of."""
    clean = worldly_log(seed=2)
    made = extractor(window).fit(worldly_log(seed=1))
    moment = clean["timestamp"][len(clean) // 2]
    after = pl.col("timestamp") > moment
    poison = clean.with_columns(
        [
            pl.when(after).then(pl.lit("poison") + pl.col("event_id")).otherwise(name).alias(name)
            for name in ("action", "resource", "source")
        ]
    ).with_columns(success=pl.when(after).then(False).otherwise("success"))
    crowd = poison.filter(after).with_columns(user_id=pl.lit("mallory"))
    first, other = (
        in_order_of_names(windows.take((windows.keys["end"] <= moment).to_numpy()))
        for windows in (made.windows(clean), made.windows(pl.concat([poison, *[crowd] * 3])))
    )
    assert len(first) > 20
    assert first.keys.equals(other.keys)
    assert first.x.tobytes() == other.x.tobytes()
    assert token_lists(first) == token_lists(other)


@pytest.mark.parametrize("window", WINDOWS, ids=lambda w: w.kind)
def test_what_comes_later_changes_nothing_fitted(window: Windowing, tmp_path: Path) -> None:
    clean = TimeSplit(test=3, calibration=3).assign(random_log(days=14))
    results = []
    for name, events in (("clean", clean), ("poisoned", poisoned(clean))):
        made = extractor(window).fit(events.filter(pl.col(PERIOD) == TRAIN))
        made.save(tmp_path / name)
        windows = train_part(events, made)
        results.append((windows, FeatureScaler.fit(windows)))
    for file in ("features.json", "features.safetensors"):
        a, b = ((tmp_path / name / file).read_bytes() for name in ("clean", "poisoned"))
        assert a == b
    (before, scaler_before), (after, scaler_after) = results
    assert len(before) > 20
    assert before.keys.equals(after.keys)
    assert before.x.tobytes() == after.x.tobytes()
    assert before.lengths.tobytes() == after.lengths.tobytes()
    width = before.lengths.max()
    assert np.array_equal(before.tokens[:, :width], after.tokens[:, :width])
    assert scaler_before.mean.tobytes() == scaler_after.mean.tobytes()
    assert scaler_before.scale.tobytes() == scaler_after.scale.tobytes()


def test_the_poison_would_be_seen() -> None:
    clean = TimeSplit(test=3, calibration=3).assign(random_log(days=14))
    a = extractor(UserDayWindows()).fit(clean)
    b = extractor(UserDayWindows()).fit(poisoned(clean))
    assert a.vocabulary.actions != b.vocabulary.actions
    assert not np.array_equal(a.windows(clean).x, b.windows(clean).x)
