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
from broker import Broker, running_broker
from killable import forking
from sqlalchemy import Engine, text
from streaming import consume

from riskml.core.schema import TIMESTAMP
from riskml.data.database import open_engine
from riskml.export.bundle import load_bundle
from riskml.serving.scoring import score_events
from riskml.serving.standing import Standing

pytestmark = pytest.mark.slow

BUNDLE = Path(__file__).parents[1] / "data" / "bundles" / "format_3" / "bundle"
EVENTS = int(os.environ.get("RISKML_STREAM_EVENTS", 20_000))
KILLS = int(os.environ.get("RISKML_STREAM_KILLS", 20))
PARTITIONS, USERS = 4, 60
POISON = [b"no json", b'{"user_id": "u1"}', b"\xff\xfe"]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with running_broker(tmp_path / "broker") as running:
        yield running


def logins(count: int) -> pl.DataFrame:
    """Sessions of users over weeks, in order of time and id."""
    rng = np.random.default_rng(0)
    seconds = np.sort(rng.integers(0, 30 * 86_400, count))
    user = rng.integers(0, USERS, count)
    start = pl.lit(1_706_745_600_000_000, pl.Int64)  # 2024-02-01
    return (
        pl.DataFrame({"user": user, "seconds": seconds})
        .select(
            event_id=pl.format("e{}", pl.int_range(pl.len())),
            user_id=pl.format("user_{}", "user"),
            timestamp=(start + pl.col("seconds") * 1_000_000).cast(TIMESTAMP),
            action=pl.format("action_{}", (pl.col("user") + pl.col("seconds") // 7) % 6),
            resource=pl.lit("r"),
            source=pl.lit("pc"),
            success=pl.lit(True),
        )
        .sort("timestamp", "event_id")
    )


def send(broker: Broker, events: pl.DataFrame) -> None:
    """By user; a tenth come twice, and some messages are none."""
    times = pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    rng = random.Random(0)

    def messages() -> Iterator[tuple[str, bytes]]:
        for row in events.with_columns(times).iter_rows(named=True):
            value = json.dumps(row).encode()
            yield row["user_id"], value
            if rng.random() < 0.1:
                yield row["user_id"], value
        for poison in POISON:
            yield "user_0", poison

    broker.send("logins", messages())


def rows_of(engine: Engine) -> pl.DataFrame:
    query = "SELECT window_id, n_events, score, alert, open FROM riskml_scores ORDER BY 1"
    with engine.connect() as connection:
        return pl.DataFrame([dict(row) for row in connection.execute(text(query)).mappings()])


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
    send(broker, events)
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
        wait_for(chance.choice([1, 1, 1, 600]))
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
    assert progress(state) == sum(1 for _ in broker.all_of("logins"))

    found = rows_of(open_engine(url))
    bundle = load_bundle(BUNDLE)
    expected = score_events(Standing.of(bundle), events, timedelta(hours=2)).rows
    closed = found.filter(~pl.col("open")).join(
        expected, on="window_id", how="left", suffix="_batch"
    )
    assert closed["n_events"].equals(closed["n_events_batch"].rename("n_events"))
    np.testing.assert_allclose(closed["score"], closed["score_batch"], rtol=1e-5)
    counts = [json.loads(path.read_text())["counts"] for path in state.glob("*/state.json")]
    assert sum(count["events"] for count in counts) == EVENTS
    assert sum(count["poison"] for count in counts) == len(POISON)
    assert len(closed) == sum(count["closed"] for count in counts) > 0.9 * len(expected)
    assert {value for _, _, value, _ in broker.all_of("dead")} == set(POISON)
