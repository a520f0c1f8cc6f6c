"""A real Alertmanager that tells nobody."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")


@contextmanager
def running_alertmanager(folder: Path) -> Iterator[str]:
    """Gives its address; what it keeps is in the folder."""
    assert PROGRAM is not None
    config = folder / "alertmanager.yml"
    config.write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}"
    words = [f"--config.file={config}", f"--storage.path={folder}", "--cluster.listen-address="]
    process = subprocess.Popen(
        [PROGRAM, *words, f"--web.listen-address={place}"], stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 90
        while True:
            try:
                requests.get(f"http://{place}/-/ready", timeout=1).raise_for_status()
                break
            except requests.RequestException:
                assert time.monotonic() < until
                time.sleep(0.1)
        yield f"http://{place}"
    finally:
        process.kill()
        process.wait()


def active_alerts(url: str) -> list[dict[str, Any]]:
    """Alerts that stand there."""
    found: list[dict[str, Any]] = requests.get(f"{url}/api/v2/alerts", timeout=10).json()
    return found
