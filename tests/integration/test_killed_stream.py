"""A stream over a real broker, its processes killed at any point: every window has one effect."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from broker import Broker, Tansu, running_broker
from killable import forking
from stream_log import POISON, logins, rows_of, send
from streaming import consume

from riskml.data.database import open_engine
from riskml.export.bundle import load_bundle
from riskml.serving.scoring import score_events
from riskml.serving.standing import Standing

pytestmark = pytest.mark.slow

BUNDLE = Path(__file__).parents[1] / "data" / "bundles" / "format_3" / "bundle"
EVENTS = int(os.environ.get("RISKML_STREAM_EVENTS", 8_000))
KILLS = int(os.environ.get("RISKML_STREAM_KILLS", 12))
PARTITIONS = 4


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with running_broker(tmp_path / "broker") as running:
        yield running


def progress(folder: Path) -> int:
    """Messages that were kept, in all partitions."""
    total = 0
    for path in folder.glob("*/state.json"):
        total += int(json.loads(path.read_text())["position"])
    return total


def test_killed_at_many_points_each_window_has_one_effect(
    broker: Broker, new_database: Callable[[], str], tmp_path: Path
) -> None:
    events = logins(EVENTS)
    broker.topic("logins", PARTITIONS)
    broker.topic("dead", 1)
    total = send(broker, events)
    url, state = new_database(), tmp_path / "state"
    chance, processes = random.Random(0), forking()
    words = (BUNDLE, broker.url("logins"), url, broker.url("dead"), str(state))
    running: dict[str, Any] = {}

    def start(name: str) -> None:
        running[name] = processes.Process(target=consume, args=(*words, name))
        running[name].start()

    def wait_for(more: int) -> None:
        until, given_up = progress(state) + more, time.monotonic() + 60
        while progress(state) < until and time.monotonic() < given_up:
            time.sleep(0.01)

    killed = moved = 0
    for name in ("a", "b"):
        start(name)
    for _ in range(KILLS):
        before = progress(state)
        wait_for(chance.choice([1, 1, 1, 400]))
        time.sleep(chance.uniform(0, 0.3))
        moved += progress(state) > before
        name = chance.choice(sorted(running))
        leaves = chance.random() < 0.1
        process = running.pop(name)
        if leaves:
            process.terminate()  # in good order
        else:
            process.kill()
        process.join(60)
        killed += process.exitcode == -9
        start(name)
    assert killed > KILLS // 2 and moved > KILLS // 2
    for process in running.values():
        process.kill()
        process.join()
    consume(*words, "a", 8.0)
    consume(*words, "b", 1.0)
    assert progress(state) == total

    check(url, state, events)
    assert {value for _, _, value, _ in broker.all_of("dead")} == set(POISON)


def check(url: str, state: Path, events: pl.DataFrame) -> None:
    """Every event counts once, and every closed window is the batch path's."""
    found = rows_of(open_engine(url))
    bundle = load_bundle(BUNDLE)
    expected = score_events(Standing.of(bundle), events, timedelta(hours=2)).rows
    closed = found.filter(~pl.col("open")).join(
        expected, on="window_id", how="left", suffix="_batch"
    )
    assert closed["n_events"].equals(closed["n_events_batch"].rename("n_events"))
    np.testing.assert_allclose(closed["score"], closed["score_batch"], rtol=1e-5)
    counts = [json.loads(path.read_text())["counts"] for path in state.glob("*/state.json")]
    assert sum(count["events"] for count in counts) == len(events)
    assert sum(count["poison"] for count in counts) == len(POISON)
    assert len(closed) == sum(count["closed"] for count in counts) > 0.9 * len(expected)


def test_members_without_names_die_join_and_leave(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    events, url, state = logins(4_000), new_database(), tmp_path / "state"
    with running_broker(tmp_path, Tansu) as broker:
        broker.topic("logins", PARTITIONS)
        broker.topic("dead", 1)
        total = send(broker, events)
        words = (BUNDLE, broker.url("logins"), url, broker.url("dead"), str(state), None)
        processes = forking()

        def start() -> Any:
            ready = processes.Event()
            how = {"most": 20, "ready": ready}
            process = processes.Process(target=consume, args=words, kwargs=how)
            process.start()
            assert ready.wait(90)
            return process

        def wait_for(count: int) -> None:
            given_up = time.monotonic() + 90
            while progress(state) < count and time.monotonic() < given_up:
                time.sleep(0.02)
            assert progress(state) >= count

        first, second = start(), start()
        wait_for(total // 6)
        first.kill()  # the other one gets its partitions once its session is over
        first.join()
        third = start()
        wait_for(total // 2)
        second.terminate()  # leaves in good order
        second.join(60)
        assert second.exitcode == 0
        wait_for(total)
        third.terminate()
        third.join(60)
    check(url, state, events)
