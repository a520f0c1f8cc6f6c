"""A service in a thread, on a real socket, and how tests ask it."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import uvicorn

from riskml.serving.http.access import Tokens
from riskml.serving.http.app import Service, Settings, make_app

BUNDLES = Path(__file__).parents[2] / "data" / "bundles"
BUNDLE, EVENTS = BUNDLES / "format_3" / "bundle", BUNDLES / "format_3" / "events.parquet"
TOKEN = "t" * 32


@dataclass(frozen=True)
class Client:
    """Asks one service."""

    url: str
    service: Service

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        return requests.get(self.url + path, **({"headers": self.headers()} | kwargs), timeout=30)

    def post(self, path: str, body: Any = None, **headers: str) -> requests.Response:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return requests.post(self.url + path, data, headers=self.headers() | headers, timeout=30)

    @staticmethod
    def headers() -> dict[str, str]:
        return {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}

    def metric(self, name: str) -> float:
        lines = [line for line in self.get("/metrics").text.splitlines() if line.startswith(name)]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def example(self, route: str, number: int = 0) -> Any:
        operation = self.get("/openapi.json").json()["paths"][route]["post"]
        examples = operation["requestBody"]["content"]["application/json"]["examples"]
        return list(examples.values())[number]["value"]


@contextmanager
def serving(bundle: Path = BUNDLE, **settings: Any) -> Iterator[Client]:
    """A service until the block ends."""
    given = {"tokens": Tokens((TOKEN.encode(),)), "watch_s": 0.0} | settings
    app = make_app(Settings(bundle, **given))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        while thread.is_alive() and not server.started:
            time.sleep(0.01)
        try:
            yield Client(f"http://127.0.0.1:{listening.getsockname()[1]}", app.state.service)
        finally:
            server.should_exit = True
            thread.join()
