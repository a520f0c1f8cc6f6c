"""Counts of a window against counting by hand."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta

import numpy as np
import polars as pl
from event_tables import ZERO, column, extractor, table
from hypothesis import given, settings
from hypothesis import strategies as st

from riskml.core.types import FeatureKind, Windows
from riskml.features.volume import VolumeFeatures
from riskml.features.windows import UserDayWindows


def volume(
    events: pl.DataFrame, max_actions: int = 2, train: pl.DataFrame | None = None
) -> Windows:
    made = extractor(UserDayWindows(), families={"volume": VolumeFeatures(max_actions)})
    return made.fit(events if train is None else train).windows(events)


def test_columns() -> None:
    windows = volume(table(["ann"] * 5, [ZERO] * 5, ["b", "b", "a", "a", "c"]), max_actions=1)
    assert windows.spec.names == [
        "events",
        "resources",
        "sources",
        "failures",
        "minutes",
        "count:a",
        "count:other",
    ]
    assert {f.kind for f in windows.spec.features} == {FeatureKind.COUNT}
    assert windows.x.dtype == np.float32
    assert windows.x.tolist() == [[5, 0, 0, 0, 0, 2, 3]]


def test_unknown_outcome_is_no_failure() -> None:
    events = table(["ann"] * 4, [ZERO] * 4, success=[None, False, True, None])
    assert column(volume(events), "failures") == [1]
    assert column(volume(events.with_columns(success=pl.lit(None, pl.Boolean))), "failures") == [0]


def test_null_is_no_resource() -> None:
    events = table(
        ["ann"] * 4, [ZERO] * 4, resource=[None, "f", "f", "g"], source=[None, None, None, "h"]
    )
    windows = volume(events)
    assert column(windows, "resources") == [2]
    assert column(windows, "sources") == [1]


def test_minutes_are_whole_and_rounded_down() -> None:
    times = ["2024-03-04T09:00:00", "2024-03-04T10:01:59.999999"]
    assert column(volume(table(["ann"] * 2, times)), "minutes") == [61]


def test_action_not_seen_in_training_counts_as_other() -> None:
    train = table(["ann"] * 4, [ZERO] * 4, ["a", "a", "b", "b"])
    events = table(["ann"] * 3, [ZERO] * 3, ["a", "new", "newer"])
    windows = volume(events, train=train)
    assert column(windows, "count:a") == [1]
    assert column(windows, "count:b") == [0]
    assert column(windows, "count:other") == [2]


def test_no_action_with_a_count_of_its_own() -> None:
    windows = volume(table(["ann"] * 3, [ZERO] * 3, ["a", "a", "b"]), max_actions=0)
    assert windows.spec.names[5:] == ["count:other"]
    assert column(windows, "count:other") == [3]


ROWS = st.tuples(
    st.sampled_from(["ann", "bob", "eve"]),
    st.integers(0, 4 * 86_400),
    st.sampled_from("pqrs"),
    st.sampled_from([None, "f", "g", "h"]),
    st.sampled_from([None, "here", "there"]),
    st.sampled_from([None, True, False]),
)
Row = tuple[str, int, str, str | None, str | None, bool | None]


def by_hand(rows: list[Row], own: list[str]) -> dict[tuple[str, int], list[float]]:
    groups: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[0], row[1] // 86_400].append(row)
    expected = {}
    for key, group in groups.items():
        seconds = [row[1] for row in group]
        expected[key] = [
            len(group),
            len({row[3] for row in group} - {None}),
            len({row[4] for row in group} - {None}),
            sum(row[5] is False for row in group),
            (max(seconds) - min(seconds)) // 60,
            *(sum(row[2] == action for row in group) for action in own),
            sum(row[2] not in own for row in group),
        ]
    return expected


@settings(max_examples=60, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=40))
def test_counts_against_brute_force(rows: list[Row]) -> None:
    users, seconds, actions, resources, sources, success = zip(*rows, strict=True)
    times = [ZERO + timedelta(seconds=s) for s in seconds]
    windows = volume(
        table(users, times, actions, resource=resources, source=sources, success=success)
    )
    common = sorted(Counter(actions).items(), key=lambda item: (-item[1], item[0]))
    own = [action for action, count in common if count >= 2][:2]
    assert windows.spec.names[5:-1] == [f"count:{action}" for action in own]
    keys = windows.keys.select("user_id", "start").rows()
    found = {
        (user, (start - ZERO).days): values
        for (user, start), values in zip(keys, windows.x.tolist(), strict=True)
    }
    assert found == by_hand(rows, own)
