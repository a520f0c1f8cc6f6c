"""Planted anomalies, made once."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from planted import Planted, plant


@pytest.fixture(scope="session")
def planted() -> Planted:
    return plant()


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """Of a Redis that keeps nothing."""
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("no Redis is installed (apt-get install redis-server)")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([server, "--port", str(port), "--save", "", "--dir", str(tmp_path)])
    try:
        given_up = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < given_up, "no Redis"
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()
