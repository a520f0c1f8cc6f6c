"""How fast `riskml serve` answers, asked from another process over loopback.

    python -m benchmarks.serve_speed BUNDLE [--seconds 20] [--rate 500] [--peers]

Starts the service as a process, then measures: seconds from its start to its first score, with the
memory it has then; single windows in an open loop (requests leave by the clock, whether or not
answers have come, and latency counts from when a request was due); posts of 500 windows one after
the other on two connections; posts of events. `cpu_ms_each` is what the service itself spends on a
request, which other work on the machine disturbs least. Needs `riskml[serve]`; with `--peers` the
same inputs go through `mlflow models serve` and PyOD's AutoEncoder as well (serve_peers.py), which
needs `riskml[train]`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serve_peers import events as events_of
from benchmarks.serve_peers import mlflow_body, mlflow_server, pyod_speed

TOKEN, JSON = "benchmark-token-of-enough-characters", "application/json"
POST_WINDOWS, CONNECTIONS = 500, 32


class Connection(asyncio.Protocol):
    """One kept connection that sends a request and waits for its answer."""

    def __init__(self) -> None:
        self.buffer, self.answer = bytearray(), None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        lines = bytes(self.buffer[:head]).lower().split(b"\r\n")
        length = next(int(x[15:]) for x in lines if x.startswith(b"content-length:"))
        if len(self.buffer) >= head + 4 + length:
            status, self.buffer = int(lines[0].split()[1]), bytearray()
            self.answer.set_result(status)

    async def ask(self, request: bytes) -> int:
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.answer


def request(path: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: {JSON}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def connections(port: int, n: int) -> list[Connection]:
    loop = asyncio.get_running_loop()
    made = [loop.create_connection(Connection, "127.0.0.1", port) for _ in range(n)]
    return [protocol for _, protocol in await asyncio.gather(*made)]


async def open_loop(port: int, asked: list[bytes], rate: float, seconds: float) -> dict[str, Any]:
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for connection in await connections(port, CONNECTIONS):
        free.put_nowait(connection)
    took: list[float] = []
    statuses: dict[int, int] = {}

    async def one(number: int, due: float) -> None:
        connection = await free.get()
        status = await connection.ask(asked[number % len(asked)])
        took.append(time.perf_counter() - due)
        statuses[status] = statuses.get(status, 0) + 1
        free.put_nowait(connection)

    begin, tasks = time.perf_counter(), []
    for number in range(int(rate * seconds)):
        due = begin + number / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(one(number, due)))
    await asyncio.gather(*tasks)
    shares = np.quantile(took, [0.5, 0.9, 0.99, 0.999]) * 1000
    names = ("p50_ms", "p90_ms", "p99_ms", "p999_ms")
    return {
        "done": len(took),
        "requests_per_s": round(len(took) / (time.perf_counter() - begin), 1),
        **dict(zip(names, shares.round(2).tolist(), strict=True)),
        "statuses": statuses,
    }


async def closed_loop(port: int, asked: bytes, seconds: float, rows: int) -> dict[str, Any]:
    begin, done, bad = time.perf_counter(), 0, 0

    async def ask_on(connection: Connection) -> None:
        nonlocal done, bad
        while time.perf_counter() - begin < seconds:
            status = await connection.ask(asked)
            done, bad = done + 1, bad + (status != 200)

    await asyncio.gather(*map(ask_on, await connections(port, 2)))
    spent = time.perf_counter() - begin
    return {
        "done": done,
        "posts_per_s": round(done / spent, 1),
        "rows_per_s": round(done * rows / spent),
        "not_200": bad,
    }


def bodies(port: int) -> tuple[list[bytes], dict[str, bytes], bytes]:
    """Single windows, posts of 500 in both forms, and a post of events, from the examples."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/openapi.json") as answer:
        paths = json.load(answer)["paths"]

    def examples(path: str) -> list[Any]:
        found = paths[path]["post"]["requestBody"]["content"][JSON]["examples"]
        return [each["value"] for each in found.values()]

    rng = np.random.default_rng(0)
    usual = examples("/v1/windows")[0][0]
    windows = []
    for i in range(POST_WINDOWS):
        noise = rng.uniform(0.7, 1.3, len(usual["features"])).round(3)
        values = zip(usual["features"].items(), noise, strict=True)
        features = {name: round(value * float(factor), 4) for (name, value), factor in values}
        windows.append({"user_id": f"user_{i}", "features": features})
    table = {
        "names": list(usual["features"]),
        "rows": [list(window["features"].values()) for window in windows],
        "user_ids": [window["user_id"] for window in windows],
    }
    posts = {"list": json.dumps(windows).encode(), "table": json.dumps(table).encode()}
    events = json.dumps(examples("/v1/events")[0]).encode()
    return [json.dumps([window]).encode() for window in windows], posts, events


def started(bundle: Path) -> tuple[subprocess.Popen[str], int, float, float]:
    """The service, its port, seconds to its first score, and MB of memory then."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "riskml.cli", "serve", "--bundle", str(bundle), "--port", "0"]
    environment = os.environ | {"RISKML_SERVE_TOKEN": TOKEN}
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    assert process.stderr is not None
    line = next(line for line in process.stderr if " at http://" in line)
    port = int(line.rsplit(":", 1)[1])
    single = bodies(port)[0][0]
    status = asyncio.run(_first(port, request("/v1/windows", single)))
    took = time.perf_counter() - begin
    if status != 200:
        raise SystemExit(f"the first window was answered with {status}")
    memory = Path(f"/proc/{process.pid}/status").read_text()
    rss = next(int(x.split()[1]) for x in memory.splitlines() if x.startswith("VmRSS"))
    return process, port, took, rss / 1024


def cpu_seconds(group: int) -> float:
    """What a process and those that it has started have spent, all threads."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def _first(port: int, asked: bytes) -> int:
    (connection,) = await connections(port, 1)
    return await connection.ask(asked)


def told(name: str, group: int, work: Any) -> None:
    """Do it and print what it found, with the processor's time of the server."""
    before = cpu_seconds(group)
    found = asyncio.run(work)
    spent = cpu_seconds(group) - before
    found["cpu_ms_each"] = round(spent / max(1, found.pop("done")) * 1000, 2)
    print(json.dumps({name: found}), flush=True)


def peers(given: argparse.Namespace, group: int, port: int) -> None:
    """The same events through the service and MLflow's, then the same windows through PyOD."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/openapi.json") as answer:
        posted = json.load(answer)["paths"]["/v1/events"]["post"]["requestBody"]["content"]
    (example, *_), *_ = (each["value"] for each in posted[JSON]["examples"].values())
    for n in (POST_WINDOWS, 1):
        body = json.dumps(events_of(example, n)).encode()
        work = closed_loop(port, request("/v1/events?reasons=none", body), given.seconds, n)
        told(f"riskml_posts_of_{n}_events", group, work)
    with mlflow_server(given.bundle) as (other, its_port, took):
        print(json.dumps({"mlflow_start_s": round(took, 2)}))
        for n in (POST_WINDOWS, 1):
            asked = request("/invocations", mlflow_body(events_of(example, n)))
            work = closed_loop(its_port, asked, given.seconds, n)
            told(f"mlflow_posts_of_{n}_events", other, work)
    table = json.loads(bodies(port)[1]["table"])
    x = np.array(table["rows"], np.float32)
    print(json.dumps({"pyod_autoencoder": pyod_speed(x, (POST_WINDOWS, 1), given.seconds)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--rate", type=float, default=500.0, help="single windows a second")
    parser.add_argument("--peers", action="store_true", help="also MLflow's server and PyOD")
    given = parser.parse_args()
    process, port, cold, rss = started(given.bundle)
    try:
        print(json.dumps({"cold_start_s": round(cold, 2), "rss_mb": round(rss)}))
        single, posts, events = bodies(port)
        asked = [request("/v1/windows", body) for body in single]
        asyncio.run(open_loop(port, asked, given.rate, 2.0))

        work = open_loop(port, asked, given.rate, given.seconds)
        told("single_windows", process.pid, work)
        for form, body in posts.items():
            work = closed_loop(port, request("/v1/windows", body), given.seconds, POST_WINDOWS)
            told(f"posts_of_{POST_WINDOWS}_{form}", process.pid, work)
        n = len(json.loads(events))
        work = closed_loop(port, request("/v1/events", events), given.seconds, n)
        told(f"posts_of_{n}_events", process.pid, work)
        if given.peers:
            peers(given, process.pid, port)
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
    print(json.dumps({"exit_code": code, "load_average": round(os.getloadavg()[0], 1)}))


if __name__ == "__main__":
    main()
