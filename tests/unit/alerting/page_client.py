"""The page of alerts in a thread, on a real socket and a real log, and somebody who looks at it."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
import uvicorn

from riskml.alerting.alert_log import AlertLog
from riskml.alerting.page.app import PageSettings, make_app
from riskml.alerting.page.people import People, Role, add_person, new_person
from riskml.alerting.sightings import Sighting
from riskml.alerting.taking import alert_name
from riskml.core.pseudonyms import Pseudonyms

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
KEY = b"a key for tests, not for any use"
HIDDEN = Pseudonyms(KEY)


def sighting(
    user: str = "ann", day: int = 0, risk: float = 80.0, text: str = "at 03:00, usually 09:00"
) -> Sighting:
    start = NOON + timedelta(days=day)
    reasons = ({"topic": "hour", "share": 2.0, "text": text},)
    window = f"{user}/{start:%F}"
    end = start + timedelta(hours=2)
    ids = {"count": 3, "ids": ["e1", "e2", "e3"]}
    scores = (3.5, 0.001, risk)
    return Sighting(window, "m1", user, start, end, *scores, reasons, peer="sales", event_ids=ids)


def name_of(*about: Any, **more: Any) -> str:
    return alert_name(sighting(*about, **more))


@dataclass
class Browser:
    """A person's own cookies."""

    url: str
    session: requests.Session = field(default_factory=requests.Session)

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        return self.session.get(self.url + path, timeout=30, **kwargs)

    def post(self, path: str, form: dict[str, str], **kwargs: Any) -> requests.Response:
        return self.session.post(self.url + path, form, timeout=30, **kwargs)

    def csrf(self, path: str) -> str:
        found = re.search(r'name="csrf" value="([^"]+)"', self.get(path).text)
        assert found is not None, path
        return found[1]

    def sign_in(self, token: str) -> requests.Response:
        return self.post("/login", {"csrf": self.csrf("/login"), "token": token, "next": ""})

    def give(self, alert_id: str, state: str, why: str = "") -> requests.Response:
        form = {"csrf": self.csrf("/alerts"), "state": state, "why": why}
        return self.post(f"/alerts/{alert_id}/verdict", form)

    def unveil(self, alert_id: str, why: str) -> requests.Response:
        return self.post(f"/alerts/{alert_id}/unveil", {"csrf": self.csrf("/alerts"), "why": why})


@dataclass
class Served:
    """A page that is there, and its people's tokens."""

    url: str
    log: AlertLog
    file: Path
    tokens: dict[str, str]

    def browser(self, name: str | None = None) -> Browser:
        """Signed in, where a person is named."""
        made = Browser(self.url)
        if name is not None:
            assert made.sign_in(self.tokens[name]).status_code == 200
        return made


@contextmanager
def serving(folder: Path, url: str | None = None, **settings: Any) -> Iterator[Served]:
    """A page over a log, in the folder unless told, until the block ends."""
    log = AlertLog(url or f"sqlite:///{folder}/alerts.db")
    log.migrate()
    file, tokens = folder / "people.txt", {}
    for name, role in (("vera", Role.VIEWER), ("kim", Role.ANALYST), ("ada", Role.ADMIN)):
        person, tokens[name] = new_person(name, role)
        add_person(file, person)
    app = make_app(PageSettings(log, People(file), HIDDEN, **settings))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        while thread.is_alive() and not server.started:
            time.sleep(0.01)
        try:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            yield Served(url, log, file, tokens)
        finally:
            server.should_exit = True
            thread.join()
