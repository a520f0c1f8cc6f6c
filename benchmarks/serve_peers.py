"""What others make of the service's inputs: `mlflow models serve`, and PyOD in the process itself.

Used by serve_speed.py. MLflow serves the same bundle from a registry of its own and takes events,
so events are what both are asked: each of another user, hence a window each. PyOD's AutoEncoder
takes rows of features, without HTTP, and gives scores alone.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from riskml.export.registry import CHAMPION, Registry

NAME, START_S = "benchmark", 300.0


@contextmanager
def mlflow_server(bundle: Path) -> Iterator[tuple[int, int, float]]:
    """`mlflow models serve`: its process, its port, and seconds until it answered."""
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry(f"sqlite:///{folder}/mlflow.db", makes=True)
        registry.register(bundle, NAME, CHAMPION)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        words = ["models", "serve", "-m", f"models:/{NAME}@{CHAMPION}", "--env-manager", "local"]
        environment = {
            **os.environ,
            "MLFLOW_TRACKING_URI": registry.store,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # it looks for uvicorn
        }
        begin = time.perf_counter()
        with (Path(folder) / "server.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", *words, "--port", str(port)],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            _wait(process, f"http://127.0.0.1:{port}/ping", begin + START_S)
            yield process.pid, port, time.perf_counter() - begin
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def _wait(process: subprocess.Popen[bytes], address: str, until: float) -> None:
    while time.perf_counter() < until:
        if process.poll() is not None:
            raise SystemExit("mlflow models serve has ended: is riskml[train] installed?")
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.25)
        else:
            return
    raise SystemExit(f"mlflow models serve does not answer within {START_S:.0f} s")


def events(example: dict[str, Any], n: int) -> list[dict[str, Any]]:
    """Events of as many users."""
    return [{**example, "event_id": f"peer-{i}", "user_id": f"user_{i}"} for i in range(n)]


def mlflow_body(rows: list[dict[str, Any]]) -> bytes:
    """As its server takes them."""
    return json.dumps({"dataframe_records": rows}).encode()


def pyod_speed(x: NDArray[np.float32], sizes: tuple[int, ...], seconds: float) -> dict[str, Any]:
    """Rows a second of PyOD's AutoEncoder in this process, by rows a call; one core."""
    import torch
    from pyod.models.auto_encoder import AutoEncoder

    torch.set_num_threads(1)
    model = AutoEncoder(epoch_num=1, verbose=0).fit(x)
    found = {}
    for size in sizes:
        done, begin, spent = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() - begin < seconds:
            model.decision_function(x[:size])
            done += 1
        found[f"calls_of_{size}"] = {
            "rows_per_s": round(done * size / (time.perf_counter() - begin)),
            "cpu_ms_each": round((time.process_time() - spent) / done * 1000, 2),
        }
    return found
