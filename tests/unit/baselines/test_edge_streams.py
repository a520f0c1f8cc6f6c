"""Scores of edge streams against the papers' algorithms, edge by edge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sklearn.metrics import roc_auc_score

from riskml.baselines.edge_sketches import Sketch, joined, mixed
from riskml.baselines.edge_streams import AT_A_TIME, CORES, META, STATE, EdgeStream
from riskml.core.errors import BundleError, ConfigError, DataError

Edges = tuple[np.ndarray, np.ndarray, np.ndarray]
CORE = pytest.mark.parametrize("core", CORES)


def edges(n: int, ticks: int, seed: int = 0) -> Edges:
    """Of a few busy nodes and many quiet ones, with ticks in which nothing happens."""
    rng = np.random.default_rng(seed)
    tick = np.sort(rng.choice(np.arange(3, 3 + 2 * ticks), n))
    return rng.geometric(0.05, n), rng.geometric(0.02, n), tick


def edge_by_edge(core: str, given: Edges, slots: int, decay: float, threshold: float) -> list[Any]:
    """Algorithms 1 to 3 of the papers over the same places."""
    source, destination = mixed(given[0]), mixed(given[1])
    keys = [joined(source, destination)] + [source, destination] * (core != "plain")
    sketch = Sketch(2, slots, 0)
    place = sketch.places(*keys)
    size = len(keys) * 2 * slots
    now, total, last = np.zeros(size), np.zeros(size), np.zeros(size)
    current, scores = 1, []
    for i, tick in enumerate((given[2] - given[2][0] + 1).tolist()):
        if tick > current:
            if core == "filtering":
                for at in range(size):
                    if last[at] < threshold:
                        total[at] += now[at]
                    elif current > 1:
                        total[at] += total[at] / (current - 1)
            now = now * (0 if core == "plain" else decay)
            current = tick
        of_kinds = []
        for kind in range(len(keys)):
            at = place[2 * kind : 2 * kind + 2, i]
            now[at] += 1
            if core != "filtering":
                total[at] += 1
            a, s = now[at].min(), total[at].min()
            if tick == 1 or s == 0:
                score = 0.0
            elif core == "filtering":
                score = (a + s - a * tick) ** 2 / (s * (tick - 1))
            else:
                score = (a - s / tick) ** 2 * tick**2 / (s * (tick - 1))
            last[at] = score
            of_kinds.append(score)
        scores.append(max(of_kinds))
    return scores


@CORE
@pytest.mark.parametrize("slots", [16, 1024])
def test_a_tick_at_once_is_one_edge_after_the_other(core: str, slots: int) -> None:
    given = edges(2000, 12)
    # so low a threshold that many counts are left out, and so few slots that they are shared
    expected = edge_by_edge(core, given, slots, decay=0.7, threshold=5.0)
    stream = EdgeStream(core, slots=slots, decay=0.7, threshold=5.0)
    found = stream.score(*given)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    assert max(expected) > 5


@CORE
def test_batches_make_no_difference_and_a_saved_stream_goes_on(core: str, tmp_path: Path) -> None:
    given = edges(3000, 20, seed=1)
    whole = EdgeStream(core, seed=3).score(*given)
    stream, found = EdgeStream(core, seed=3), []
    for number, rows in enumerate(np.array_split(np.arange(3000), 17)):
        found.append(stream.score(*(column[rows] for column in given)))
        if number == 8:
            stream.save(tmp_path)
            stream = EdgeStream.load(tmp_path)
    np.testing.assert_array_equal(np.concatenate(found), whole)
    assert stream.settings() == EdgeStream(core, seed=3).settings()


def test_more_than_is_worked_on_at_once() -> None:
    given = edges(AT_A_TIME + 5000, 3, seed=2)
    stream = EdgeStream()
    parts = [stream.score(*(c[rows] for c in given)) for rows in (slice(999), slice(999, None))]
    np.testing.assert_array_equal(np.concatenate(parts), EdgeStream().score(*given))


def burst(stream: EdgeStream, ticks: range) -> np.ndarray:
    """Of the usual edges and, in each tick, a hundred others that are all alike; these last."""
    scores = []
    for tick in ticks:
        source, destination, _ = edges(300, 1, seed=tick)
        all_alike = np.full(100, 7)
        both = np.append(source, all_alike), np.append(destination, all_alike)
        scores.append(stream.score(*both, np.full(400, tick))[-1])
    return np.array(scores)


def test_bursts_score_high_and_with_the_filter_go_on_to() -> None:
    usual = edges(3000, 10)
    scores = {}
    for core in CORES:
        stream = EdgeStream(core, threshold=100.0)
        before = stream.score(*usual)
        assert np.median(before) < 10
        scores[core] = burst(stream, range(100, 130))
        assert scores[core][0] > 10 * before.max()
    # poisoning: without the filter an attack that lasts becomes usual
    assert scores["filtering"][-1] > scores["relational"][-1] * 3


def test_sudden_groups_of_edges_stand_out_among_many() -> None:
    source, destination, tick = edges(20_000, 50, seed=5)
    odd = np.random.default_rng(0).random(20_000) < 0.02
    odd &= np.isin(tick, np.unique(tick)[30:33])
    odd[np.flatnonzero(np.isin(tick, np.unique(tick)[30:33]))[::2]] = True
    source[odd], destination[odd] = 5000, 6000
    scores = EdgeStream("relational").score(source, destination, tick)
    assert roc_auc_score(odd, scores) > 0.95


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("core", "midas"),
        ("rows", 0),
        ("slots", 1000),
        ("slots", 2**25),
        ("decay", 1.5),
        ("threshold", 0.0),
        ("seed", -1),
    ],
)
def test_settings_out_of_range_are_refused(setting: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=setting):
        EdgeStream(**{setting: value})


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (([1], [2, 3], [1]), "differ in length"),
        (([1.5], [2], [1]), "source: expected whole numbers"),
        ((["ann"], [2], [1]), "source: expected whole numbers"),
        (([1, 1], [2, 2], [[1], [1]]), "tick: expected whole numbers"),
        (([1, 1], [2, 2], [2, 1]), "ticks fall"),
        (([1], [2], [4]), "ticks fall"),
    ],
)
def test_impossible_edges_are_refused(given: Any, text: str) -> None:
    stream = EdgeStream()
    stream.score([1, 1], [2, 2], [3, 5])
    with pytest.raises(DataError, match=text):
        stream.score(*given)
    # and change nothing
    assert stream.score([1], [2], [5]) == EdgeStream().score([1, 1, 1], [2, 2, 2], [3, 5, 5])[-1]
    assert len(stream.score([], [], [])) == 0


def test_damage_is_told(tmp_path: Path) -> None:
    stream = EdgeStream()
    stream.save(tmp_path)
    tables = load_file(tmp_path / STATE)
    save_file({**tables, "now": tables["now"][:5].copy()}, tmp_path / STATE)
    with pytest.raises(BundleError, match="another size"):
        EdgeStream.load(tmp_path)
    (tmp_path / META).write_text("{}")
    with pytest.raises(BundleError, match=META):
        EdgeStream.load(tmp_path)
