"""A stream whose broker, database or neighbours fail it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from broker import Broker, running_broker
from click.testing import CliRunner
from killable import forking
from sqlalchemy import text
from stream_log import POISON, logins, rows_of, send
from streaming import consume

from riskml.cli import main
from riskml.data.database import open_engine
from riskml.streaming.partition_state import PartitionTakenError
from riskml.streaming.redis_home import RedisHome

pytestmark = pytest.mark.slow

BUNDLE = Path(__file__).parents[1] / "data" / "bundles" / "format_3" / "bundle"
COUNT = 2_000


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with running_broker(tmp_path / "broker") as running:
        running.topic("logins")
        running.topic("dead")
        yield running


def events_of(url: str) -> int:
    """Events in all windows that were told."""
    engine = open_engine(url)
    with engine.connect() as connection:
        if connection.execute(text("SELECT to_regclass('riskml_scores')")).scalar() is None:
            return 0
        return int(
            connection.execute(
                text("SELECT coalesce(sum(n_events), 0) FROM riskml_scores")
            ).scalar_one()
        )


def wait_until(done: Callable[[], bool], seconds: float = 90) -> None:
    given_up = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < given_up
        time.sleep(0.05)


def test_a_broker_that_dies_and_a_database_that_hangs_up_are_waited_for(
    broker: Broker, new_database: Callable[[], str], tmp_path: Path
) -> None:
    events, url = logins(COUNT), new_database()
    send(broker, events[: COUNT // 2])
    words = (BUNDLE, broker.url("logins"), url, broker.url("dead"), str(tmp_path / "state"), "a")
    process = forking().Process(target=consume, args=words, kwargs={"most": 100})
    process.start()
    engine = open_engine(url)
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    mine = f"{others} AND datname = current_database()"
    wait_until(lambda: events_of(url) > 0)
    while events_of(url) < COUNT // 2:
        with engine.begin() as connection:
            connection.execute(text(mine))
        time.sleep(0.2)
    broker.kill()
    time.sleep(2)
    assert process.is_alive()
    broker.start()
    send(broker, events[COUNT // 2 :])
    wait_until(lambda: events_of(url) >= COUNT)
    process.terminate()
    process.join(120)
    assert process.exitcode == 0
    assert rows_of(engine)["n_events"].sum() == COUNT


def test_what_was_set_apart_is_sent_again_byte_for_byte(broker: Broker, tmp_path: Path) -> None:
    send(broker, logins(200))
    words = ["--bundle", str(BUNDLE), "--state", str(tmp_path / "state"), "--instance", "a"]
    words += ["--source", broker.url("logins"), "--dead-letters", broker.url("dead")]
    words += ["--sink", str(tmp_path / "rows.jsonl"), "--stop-when-idle", "3s", "--json"]
    done = CliRunner().invoke(main, ["stream", *words])
    assert done.exit_code == 0, done.output
    broker.topic("again")
    again = [
        "stream",
        "replay-dlq",
        "--dead-letters",
        broker.url("dead"),
        "--to",
        broker.url("again"),
    ]
    first = CliRunner().invoke(main, [*again, "--rule", "unreadable_message"])
    assert "2 sent again, 1 left out" in first.output
    found = broker.all_of("again")
    assert [value for _, _, value, _ in found] == [POISON[0], POISON[2]]
    assert {key for _, key, _, _ in found} == {b"user_0"}
    assert "0 sent again" in CliRunner().invoke(main, again).output


def test_state_in_redis_goes_on_on_another_machine(
    broker: Broker, redis_url: str, new_database: Callable[[], str]
) -> None:
    events, url = logins(COUNT), new_database()
    send(broker, events)
    words = (BUNDLE, broker.url("logins"), url, broker.url("dead"), redis_url)
    for instance in ("a", "a"):  # killed twice; each process has a folder of its own
        process = forking().Process(target=consume, args=(*words, instance), kwargs={"most": 100})
        before = events_of(url)
        process.start()
        wait_until(lambda before=before: events_of(url) > before + 300)  # type: ignore[misc]
        process.kill()
        process.join()
    consume(*words, "a", 8.0)
    assert rows_of(open_engine(url))["n_events"].sum() == COUNT


def test_of_two_who_keep_one_partition_in_redis_the_second_is_refused(redis_url: str) -> None:
    first, second = RedisHome(redis_url, "s:0"), RedisHome(redis_url, "s:0")
    for home in (first, second):
        assert home.open(timedelta(0)) is None
        (home.folder / "1").mkdir()
        pl.DataFrame({"a": [1]}).write_ipc(home.folder / "1" / "users.arrow")
    first.commit({"number": 1}, ["1"], ["1"])
    with pytest.raises(PartitionTakenError, match="another process keeps"):
        second.commit({"number": 1}, ["1"], ["1"])
    (first.folder / "2").mkdir()
    (first.folder / "2" / "users.arrow").write_bytes(b"x" * 100)
    first.commit({"number": 2}, ["2"], ["2"])
    third = RedisHome(redis_url, "s:0")
    noted = third.open(timedelta(0))
    assert noted is not None and noted["number"] == 2
    assert [path.name for path in third.folder.iterdir()] == ["2"]
    assert not list(first._redis.scan_iter("riskml:stream:s:0:1/*"))
    for home in (first, second, third):
        home.close()


def test_a_slow_sink_slows_the_reading(broker: Broker, tmp_path: Path) -> None:
    """What was read and not yet told is bounded by a step."""
    from riskml.data.event_mapping import EventMapping
    from riskml.export.bundle import load_bundle
    from riskml.streaming.job import Pace, StreamJob
    from riskml.streaming.kafka import KafkaTopic
    from riskml.streaming.kafka_source import KafkaSource
    from riskml.streaming.messages import EventReader, decoder
    from riskml.streaming.partition_state import FolderHome

    send(broker, logins(COUNT))
    bundle = load_bundle(BUNDLE)
    open_door = threading.Event()

    class Slow:
        def __init__(self) -> None:
            self.calls = 0

        def write(self, rows: pl.DataFrame) -> None:
            self.calls += 1
            assert open_door.wait(60)

        def settle(self) -> None: ...
        def close(self) -> None: ...

    sink = Slow()
    job = StreamJob(
        bundle,
        KafkaSource(KafkaTopic.parse(broker.url("logins"), "--source"), "g", "a"),
        EventReader(
            EventMapping({}, max_rejected_share=1.0), bundle.extractor.reads(), decoder("json")
        ),
        lambda name: FolderHome(tmp_path / name),
        [sink],
        pace=Pace(most=100, idle=timedelta(seconds=2)),
    )
    thread = threading.Thread(target=job.run)
    thread.start()
    wait_until(lambda: sink.calls == 1)
    time.sleep(1)
    assert sink.calls == 1 and job.done.messages <= 100
    open_door.set()
    thread.join(120)
    assert job.done.events == COUNT
