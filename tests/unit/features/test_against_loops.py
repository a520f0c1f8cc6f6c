"""Causal families against plain loops over events and windows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from itertools import groupby
from typing import Any

import numpy as np
import polars as pl
import pytest
from event_tables import all_families, extractor, random_log, worldly_log

from riskml.core.types import PEER, FeatureKind, Windows
from riskml.features.extractor import FeatureExtractor
from riskml.features.family import FeatureFamily
from riskml.features.history import HistoryFeatures
from riskml.features.novelty import NoveltyFeatures
from riskml.features.peer import PeerFeatures
from riskml.features.peer_groups import NO_GROUP, PeerGroups
from riskml.features.profile import Profile
from riskml.features.time_of_day import HOURS, TimeOfDayFeatures
from riskml.features.windows import SessionWindows, UserDayWindows, Windowing

WINDOWS: dict[str, Windowing] = {
    "session": SessionWindows(60),
    "named": SessionWindows(300, "logon"),
    "user_day": UserDayWindows(),
}
DAY = timedelta(days=1)
Row = dict[str, Any]


@cache
def case(window: str, roles: bool = False) -> tuple[FeatureExtractor, pl.DataFrame, Windows]:
    """A fitted extractor, a log that it does not know, and the windows of that."""
    families: dict[str, FeatureFamily | None] = all_families() | {
        "novelty": NoveltyFeatures(slots=2**32),
        "history": HistoryFeatures(days=9, short_days=3, max_windows=7, actions=True),
    }
    peers = PeerGroups("role") if roles else PeerGroups()
    made = extractor(
        WINDOWS[window], families=families, peers=peers, event_times=True, max_tokens=2
    )
    made.fit(worldly_log(seed=11, n=500))
    events = worldly_log(seed=12, n=400)
    return made, events, made.windows(events)


def events_in_order(window: str, roles: bool = False) -> list[Row]:
    """Events by time with `window_id` and `peer`, the hash being the extractor's own."""
    made, events, _ = case(window, roles)
    prepared = made._prepare(events, ("event_id",))[0].select(
        "event_id", PEER, "local_time", "token"
    )
    ids = made.assign(events).select("event_id", "window_id")
    joined = events.join(prepared, on="event_id", maintain_order="left").join(
        ids, on="event_id", maintain_order="left"
    )
    return joined.to_dicts()


def by_user(windows: Windows) -> Iterator[list[tuple[int, Row]]]:
    """Rows and keys of each user's windows, by their ends."""
    keys = list(enumerate(windows.keys.to_dicts()))
    keys.sort(key=lambda item: (item[1]["user_id"], item[1]["end"], item[1]["window_id"]))
    for _, group in groupby(keys, key=lambda item: item[1]["user_id"]):
        yield list(group)


def values(windows: Windows, *names: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return windows.x[:, [windows.spec.names.index(name) for name in names]].astype(np.float64)


@pytest.mark.parametrize("roles", [False, True], ids=["learnt", "roles"])
@pytest.mark.parametrize("column", ["action", "resource", "source"])
def test_novelty(column: str, roles: bool) -> None:
    _, _, windows = case("session", roles)
    place = {name: i for i, name in enumerate(windows.keys["window_id"])}
    expected = np.zeros((len(windows), 4))
    met: dict[tuple[str, str], datetime] = {}
    first: dict[tuple[object, str], datetime] = {}
    for event in events_in_order("session", roles):
        value, time, user = event[column], event["timestamp"], event["user_id"]
        if value is None:
            continue
        row = expected[place[event["window_id"]]]
        if (user, value) in met:
            row[3] = max(row[3], (time - met[user, value]) // DAY)
        else:
            group = "all" if event[PEER] == NO_GROUP else event[PEER]
            row[0] += 1
            # who comes at the same moment is first too
            row[1] += first.setdefault((group, value), time) == time
            row[2] += first.setdefault(("all", value), time) == time
        met[user, value] = time
    scopes = [f"new_{column}_to_{scope}" for scope in ("user", "peers", "everyone")]
    assert values(windows, *scopes, f"absence_{column}").tolist() == expected.tolist()
    assert (expected[:, :3].sum(axis=0) > 0).all()
    assert expected[:, 3].max() > 2


@pytest.mark.parametrize("window", list(WINDOWS))
def test_history(window: str) -> None:
    _, _, windows = case(window)
    family = next(f for f in case(window)[0].families if isinstance(f, HistoryFeatures))
    compared = [
        f.name
        for f in windows.spec.features
        if f.kind == FeatureKind.COUNT and f.family in ("volume", "time_of_day", "novelty")
    ]
    totals = [name for name in compared if ":" not in name]
    counts, total = values(windows, *compared), values(windows, *totals)
    percentiles, changes = np.full_like(total, 0.5), np.zeros_like(counts)
    trend, idle = np.zeros(len(windows)), np.zeros(len(windows))
    for group in by_user(windows):
        for i, (here, key) in enumerate(group):
            before = group[max(i - family.max_windows, 0) : i]
            past = [r for r, k in before if k["end"] >= key["end"] - family.days * DAY]
            short = [r for r, k in before if k["end"] >= key["end"] - family.short_days * DAY]
            if i:
                silence = key["start"] - group[i - 1][1]["end"]
                idle[here] = max(silence, timedelta(0)) // timedelta(hours=1)
            if not past:
                continue
            below, upto = total[past] < total[here], total[past] <= total[here]
            percentiles[here] = (below.mean(axis=0) + upto.mean(axis=0)) / 2
            changes[here] = np.log1p(counts[here]) - np.log1p(counts[past].mean(axis=0))
            known = (key["start"] - windows.keys["start"][past[0]]) / DAY
            rates = [
                total[rows, 0].sum() / min(max(known, 1), days)
                for rows, days in ((short, family.short_days), (past, family.days))
            ]
            trend[here] = math.log1p(rates[0]) - math.log1p(rates[1])
    close = {"rtol": 0, "atol": 1e-5}
    np.testing.assert_allclose(
        values(windows, *(f"percentile_{name}" for name in totals)), percentiles, **close
    )
    np.testing.assert_allclose(
        values(windows, *(f"change_{name}" for name in compared)), changes, **close
    )
    np.testing.assert_allclose(values(windows, "trend_events")[:, 0], trend, **close)
    assert values(windows, "idle_hours")[:, 0].tolist() == idle.tolist()
    assert len(set(trend)) > 20


@pytest.mark.parametrize("window", list(WINDOWS))
def test_rarity_of_hours(window: str) -> None:
    made, _, windows = case(window)
    family = next(f for f in made.families if isinstance(f, TimeOfDayFeatures))
    hours: dict[str, list[int]] = {}
    for event in events_in_order(window):
        hours.setdefault(event["window_id"], []).append(event["local_time"].hour)
    expected = np.zeros((len(windows), 2))
    for group in by_user(windows):
        past = np.zeros(HOURS)
        for row, key in group:
            share = past + family.prior_events * family.everyone
            share = share / share.sum()
            tail = [
                sum(other for other in share if other <= share[hour] * (1 + 1e-9))
                for hour in hours[key["window_id"]]
            ]
            rarity = [-math.log10(min(value, 1.0)) for value in tail]
            expected[row] = max(rarity), sum(rarity) / len(rarity)
            for hour in hours[key["window_id"]]:
                past[hour] += 1
    found = values(windows, "rarest_hour", "hour_rarity")
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("window", list(WINDOWS))
def test_times_of_events(window: str) -> None:
    made, _, windows = case(window)
    expected: dict[str, list[list[float]]] = {}
    last: dict[str, datetime] = {}
    for event in events_in_order(window):
        name, clock = event["window_id"], event["local_time"]
        gap = event["timestamp"] - last.get(name, event["timestamp"])
        last[name] = event["timestamp"]
        hour = clock.hour + clock.minute / 60 + clock.second / 3600
        expected.setdefault(name, []).append([math.log1p(gap.total_seconds()), hour])
    assert max(map(len, expected.values())) > made.max_tokens
    for row, name in enumerate(windows.keys["window_id"]):
        kept = expected[name][-made.max_tokens :]
        np.testing.assert_allclose(windows.times[row, : len(kept)], kept, rtol=1e-6, atol=1e-6)
        assert (windows.times[row, len(kept) :] == 0).all()


@pytest.mark.parametrize("roles", [False, True], ids=["learnt", "roles"])
def test_peers(roles: bool) -> None:
    made, _, windows = case("session", roles)
    family = next(f for f in made.families if isinstance(f, PeerFeatures))
    train_events = worldly_log(seed=11, n=500)
    train = made.windows(train_events)
    own = [
        i
        for i, f in enumerate(windows.spec.features)
        if f.kind == FeatureKind.COUNT and f.family != "graph"
    ]
    totals = [i for i in own if ":" not in windows.spec.features[i].name]
    group_of_train, group_of_windows = (
        last_peer(made, events, part)
        for events, part in ((train_events, train), (case("session", roles)[1], windows))
    )
    assert len(set(group_of_windows)) > 1
    everyone = np.log1p(train.x[:, own].astype(np.float64))
    expected = np.zeros((len(windows), len(totals) + 1))
    for i, group in enumerate(group_of_windows):
        rows = group_of_train == group
        if group == NO_GROUP or rows.sum() < family.min_windows:
            rows = np.ones(len(train), bool)
        peers, here = train.x[rows], windows.x[i]
        below, upto = peers[:, totals] < here[totals], peers[:, totals] <= here[totals]
        expected[i, :-1] = (below.mean(axis=0) + upto.mean(axis=0)) / 2
        middle = everyone[rows].mean(axis=0)
        spread = np.maximum(everyone[rows].std(axis=0), 0.25 * everyone.std(axis=0) + 0.1)
        z = (np.log1p(here[own].astype(np.float64)) - middle) / spread
        expected[i, -1] = math.sqrt((z**2).mean())
    names = [f"peer_percentile_{windows.spec.names[i]}" for i in totals]
    found = values(windows, *names, "peer_distance")
    # 200 steps of quantiles, of groups that may be as small as a few windows
    np.testing.assert_allclose(found[:, :-1], expected[:, :-1], rtol=0, atol=0.011)
    np.testing.assert_allclose(found[:, -1], expected[:, -1], rtol=1e-4)


def last_peer(
    made: FeatureExtractor, events: pl.DataFrame, windows: Windows
) -> np.ndarray[Any, np.dtype[np.int32]]:
    """The group of each window's last event."""
    peer = made._prepare(events, ("event_id",))[0].select("event_id", PEER)
    last = (
        made.assign(events)
        .join(peer, on="event_id", maintain_order="left")
        .group_by("window_id")
        .agg(pl.col(PEER).last())
    )
    ids = windows.keys.select("window_id")
    return ids.join(last, on="window_id", how="left", maintain_order="left")[PEER].to_numpy()


@pytest.mark.parametrize("cuts", [1, 7])
def test_first_times_are_the_same_without_absences(cuts: int) -> None:
    events = random_log(days=9)
    found = []
    for absences in (True, False):
        family = NoveltyFeatures(absences=absences)
        made = extractor(SessionWindows(), families={"novelty": family}).fit(events)
        profile, parts = Profile(), []
        for day in np.array_split(np.arange(len(events)), cuts):
            windows, profile = made.transform(events.sort("timestamp")[day], profile)
            names = [name for name in windows.spec.names if name.startswith("new_")]
            parts.append(windows.x[:, [windows.spec.names.index(name) for name in names]])
        found.append(np.vstack(parts))
    np.testing.assert_array_equal(*found)
    assert found[0].any()
