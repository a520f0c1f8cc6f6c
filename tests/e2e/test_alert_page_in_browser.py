"""`riskml alerts ui` as people meet it: a real process, a real browser, keys, a phone.

Skipped where there is no Chromium: `apt-get install chromium`, or name one in RISKML_CHROMIUM.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from riskml.alerting.alert_log import AlertLog
from riskml.alerting.feedback import FeedbackStore
from riskml.alerting.links import Links, Offer
from riskml.alerting.page.people import Role, add_person, new_person
from riskml.alerting.states import AlertState
from riskml.alerting.verification import verify
from tests.unit.alerting.page_client import NOON, name_of, sighting

pytestmark = pytest.mark.slow

KEY = "a key for tests and for nothing else"
RISKS = {"ann": 96.0, "bob": 80.0, "cy": 55.0, "dee": 30.0}
SPREAD = 1
"""A scroll bar, or half a pixel."""

CONTRAST = """() => {
  const rgb = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = (c) => {
    const [r, g, b] = c.map((v) => v / 255)
      .map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = rgb(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !e.checkVisibility() || e.closest("svg") || e.closest(".skip")) continue;
    const [a, b] = [light(rgb(getComputedStyle(e).color).slice(0, 3)), light(behind(e))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) poor.push([e.tagName, e.className, e.textContent.trim(), ratio.toFixed(2)]);
  }
  return poor;
}"""


@dataclass
class Served:
    url: str
    log: AlertLog
    store: FeedbackStore
    tokens: dict[str, str]

    def link(self, alert_id: str) -> str:
        offer = Offer(alert_id, AlertState.ACKNOWLEDGED, "kim@a.example", NOON.replace(year=2999))
        return Links(KEY).url(self.url, offer)


@contextmanager
def running(*words: object, **variables: str) -> Iterator[str]:
    """The command, until the block ends; it has to end well."""
    command = [sys.executable, "-m", "riskml.cli", "alerts", "ui", *map(str, words)]
    known = {"RISKML_PSEUDONYM_KEY": "k" * 32, **variables}
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, env={**os.environ, **known}, text=True, stdout=pipe, stderr=pipe
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "the alerts are at" in line, line + process.stderr.read()
        yield line.split()[-1]
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=30)
        assert (process.returncode, rest) == (0, ("", ""))
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("alerts")
    url, verdicts = f"sqlite:///{folder}/alerts.db", f"sqlite:///{folder}/feedback.db"
    log = AlertLog(url)
    log.migrate()
    long = "a resource with a very_long_name_" + "that_goes_on_" * 6 + ": 3, usually 0"
    log.take(sighting(user, text=f"{text}") for user, text in zip(RISKS, [long] * 4, strict=True))
    log.take(sighting(user, day, risk) for user, risk in RISKS.items() for day in (2, 4, 6))
    people = folder / "people.txt"
    tokens = {}
    for name, role in (("kim", Role.ANALYST), ("ada", Role.ADMIN)):
        person, tokens[name] = new_person(name, role)
        add_person(people, person)
    times = [NOON + timedelta(days=6, minutes=20 * n) for n in range(12)]
    events = {
        "user_id": "ann",
        "timestamp": times,
        "action": "read",
        "resource": "/home/ann",
    }
    pl.DataFrame(events).write_parquet(folder / "log.parquet")
    words = ("--port", 0, "--tokens", people, "--log", url, "--feedback", verdicts)
    more = ("--events", folder / "log.parquet")
    with running(*words, *more, RISKML_LINK_KEY=KEY) as where:
        yield Served(where, log, FeedbackStore(verdicts, writes=False), tokens)


def arrived(page: Any) -> None:
    """The list of alerts stands, and its script listens to keys."""
    page.wait_for_selector("[data-queue]")
    page.wait_for_load_state()


def opened(browser: Any, served: Served, width: int = 1280, name: str = "kim", **more: Any) -> Any:
    """A page of somebody who has signed in."""
    size = {"width": width, "height": 800}
    page = browser.new_context(viewport=size, **more).new_page()
    page.goto(f"{served.url}/alerts")
    page.fill("#token", served.tokens[name])
    page.keyboard.press("Enter")
    arrived(page)
    return page


def test_from_the_queue_to_a_verdict_by_keys(browser: Any, served: Served) -> None:
    page = opened(browser, served)
    noise: list[str] = []
    page.on("console", lambda message: noise.append(message.text))
    page.on("pageerror", lambda error: noise.append(str(error)))
    page.on("request", lambda request: noise.append(request.url))
    press = page.keyboard.press
    for key in ("j", "j", "j", "k"):
        press(key)
    assert page.evaluate("document.activeElement.getAttribute('href')").endswith(
        page.locator(".row").nth(1).get_attribute("href")
    )
    press("k")
    press("Enter")
    page.wait_for_selector("#events tr.inside")
    alert_id = page.url.rpartition("/")[2]
    user = served.log.history(alert_id).alert["user_id"]
    assert page.locator("#events tr.inside").count() == 7
    assert "/home/ann" not in page.content(), "a name"

    press("?")
    assert page.locator("dialog").is_visible()
    press("Escape")
    for key in ("Enter", "x", "f"):  # nothing is given before the reason
        press(key)
    press("Escape")
    press("f")
    assert page.locator("button.chosen").inner_text().startswith("False alarm")
    page.keyboard.type("a job of ours, jk")
    with page.expect_navigation():
        press("Enter")
    assert page.locator(".head").inner_text().count("false alarm") == 1
    press("u")
    arrived(page)
    assert alert_id not in page.content()
    entry = served.log.history(alert_id).trail[-1]
    assert (entry.who, entry.what, entry.why) == ("kim", "false_alarm", "a job of ours, jk")
    held = served.store.latest().filter(pl.col("user_id") == user)
    assert set(held["verdict"]) == {"false_alarm"} and len(held) >= 1
    assert verify(served.log).faults == ()
    assert [each for each in noise if not each.startswith(served.url)] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_sticks_out_and_all_can_be_read(
    width: int, scheme: str, browser: Any, served: Served
) -> None:
    page = opened(browser, served, width, "ada", color_scheme=scheme, reduced_motion="reduce")
    mine = f"{served.url}/alerts/{name_of('ann', 6)}"
    pages = (f"{served.url}/alerts?state=all", mine, f"{mine}/events", f"{served.url}/login")
    for url in (*pages, f"{served.url}/alerts/none", served.link(name_of("bob", 0))):
        page.goto(url)
        page.wait_for_load_state("networkidle")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width + SPREAD, url
        assert page.evaluate(CONTRAST) == [], url


def test_it_works_without_a_script(browser: Any, served: Served) -> None:
    page = opened(browser, served, name="ada", java_script_enabled=False)
    page.goto(f"{served.url}/alerts/{name_of('cy', 0)}")
    page.click("summary")
    page.fill("#unveil-why", "asked by HR")
    with page.expect_navigation():
        page.click("details button")
    assert page.locator("h1").inner_text() == "cy"
    page.fill("#why", "a talk with cy")
    with page.expect_navigation():
        page.click("button[value=accepted_risk]")
    trail = [(entry.who, entry.what) for entry in served.log.history(name_of("cy", 0)).trail]
    assert trail[-2:] == [("ada", "unveiled"), ("ada", "accepted_risk")]


def test_a_link_elsewhere_leads_to_the_alert_of_who_is_signed_in(
    browser: Any, served: Served
) -> None:
    """A strict cookie is not sent from another site; the page fetches itself again."""
    target = f"{served.url}/alerts/{name_of('dee', 0)}"

    class Mail(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(f'<a href="{target}">Look</a>'.encode())

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    mails = ThreadingHTTPServer(("127.0.0.1", 0), Mail)
    threading.Thread(target=mails.serve_forever, daemon=True).start()
    try:
        page = opened(browser, served)
        page.goto(f"http://localhost:{mails.server_address[1]}/")
        page.click("a")
        page.wait_for_selector(".head")
        assert page.url == target
    finally:
        mails.shutdown()
        mails.server_close()


def test_a_link_of_a_mail_asks_first(browser: Any, served: Served) -> None:
    page = browser.new_context(viewport={"width": 360, "height": 740}).new_page()
    alert_id = name_of("dee", 0)
    page.goto(served.link(alert_id))
    assert page.locator("h1").inner_text() == "Acknowledge?"
    assert served.log.history(alert_id).alert["state"] == "open"
    page.fill("#why", "on it")
    with page.expect_navigation():
        page.click("button.main")
    assert page.locator("h1").inner_text() == "Done: Acknowledge"
    entry = served.log.history(alert_id).trail[-1]
    assert (entry.who, entry.what) == ("kim@a.example", "acknowledged")
    assert re.search(r"\bdee\b", page.content()) is None


def certificate(folder: Path) -> tuple[Path, Path]:
    """Of this machine, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    begin = datetime.now(UTC) - timedelta(days=1)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(begin).not_valid_after(begin + timedelta(days=2))
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    plain = PrivateFormat.PKCS8, NoEncryption()
    files[1].write_bytes(key.private_bytes(Encoding.PEM, *plain))
    return files


def test_over_tls_the_cookie_stays_there(browser: Any, served: Served, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    people = tmp_path / "people.txt"
    person, token = new_person("kim", Role.VIEWER)
    add_person(people, person)
    words = ("--port", 0, "--tokens", people, "--log", served.log.engine.url)
    with running(*words, "--certfile", cert, "--keyfile", key) as url:
        assert url.startswith("https://127.0.0.1:")
        page = browser.new_context(ignore_https_errors=True).new_page()
        page.goto(url)
        page.fill("#token", token)
        page.keyboard.press("Enter")
        arrived(page)
        [cookie] = [c for c in page.context.cookies() if c["name"] == "__Host-riskml_session"]
        assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")
