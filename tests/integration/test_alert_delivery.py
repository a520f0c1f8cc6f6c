"""From the outbox over real sockets: webhooks, Slack, PagerDuty, mails, and what goes wrong."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from alertmanagers import PROGRAM, active_alerts, running_alertmanager
from killable import forking
from sqlalchemy import insert, select

from riskml.alerting.alert_log import AlertLog
from riskml.alerting.alertmanager import Alertmanager
from riskml.alerting.calendars import Times
from riskml.alerting.channels import Channel
from riskml.alerting.delivery import Delivered, DeliverySettings, Worker
from riskml.alerting.links import Links
from riskml.alerting.log_tables import REFUSED
from riskml.alerting.mails import Email
from riskml.alerting.routing import Escalation, Route, Routing
from riskml.alerting.sightings import Sighting, sightings_of
from riskml.alerting.silences import Silences
from riskml.alerting.states import AlertState, Severity
from riskml.alerting.suppression import Suppression
from riskml.alerting.taking import alert_name
from riskml.alerting.verification import verify
from riskml.alerting.webhooks import PagerDuty, Slack, Webhook
from riskml.core.errors import ConfigError, DataError
from riskml.data.database import open_engine
from riskml.serving.alerts import raised_alerts
from riskml.serving.score_tables import ALERTS, METADATA

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


HALF_AN_HOUR = Escalation(after=timedelta(minutes=30), to=("boss",))


def sighting(number: int, risk: float = 60.0) -> Sighting:
    start = NOON + timedelta(minutes=number)
    reason = {"topic": "hour", "share": 1.0, "text": "at 03:00, <b>usually</b> 09:00"}
    name = f"user{number}"
    end = start + timedelta(minutes=1)
    return Sighting(f"{name}/day", "m", name, start, end, 2.0, 0.01, risk, (reason,))


@dataclass
class Receiver:
    """An HTTP end that keeps what it is sent, and answers as it is told."""

    status: int = 200
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if receiver.status == 200:
                    receiver.got.append((dict(self.headers), body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/in"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def users(self) -> list[str]:
        return [alert["user_id"] for _, body in self.got for alert in json.loads(body)["alerts"]]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


@dataclass
class Clock:
    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def log(tmp_path: Path) -> AlertLog:
    made = AlertLog(f"sqlite:///{tmp_path}/alerts.db")
    made.migrate()
    return made


def worker(log: AlertLog, clock: Clock | None = None, **channels: Channel) -> Worker:
    return Worker(log, channels, DeliverySettings(), None, clock or Clock(), lambda: 0.0)


def test_a_webhook_is_signed_and_told_once(
    log: AlertLog, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_KEY", "a secret")
    log.take([sighting(0)])
    hook = worker(log, hook=Webhook(url=receiver.url, secret="HOOK_KEY"))
    assert hook.round() == Delivered(sent=1)
    assert hook.round() == Delivered()
    [(headers, body)] = receiver.got
    expected = hmac.new(b"a secret", body, hashlib.sha256).hexdigest()
    assert headers["X-Riskml-Signature"] == f"sha256={expected}"
    assert headers["Idempotency-Key"] == f"{alert_name(sighting(0))}/medium"


def test_an_answer_that_does_not_end_is_not_waited_for(
    log: AlertLog, caplog: pytest.LogCaptureFixture
) -> None:
    log.take([sighting(0)])
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}/in"

        def answer() -> None:
            connection, _ = server.accept()
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nand")
            connection.recv(1_000_000)
            connection.recv(1)  # until the other end hangs up
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        hook = Webhook(url=f"http://risk:password@{place}")
        assert worker(log, hook=hook).round() == Delivered(sent=1)
        thread.join()
    log.take([sighting(1)])
    assert worker(log, hook=hook).round() == Delivered(away=1)
    assert place in caplog.text and "password" not in caplog.text


def test_what_was_away_gets_all_in_order_once_it_is_back(
    log: AlertLog, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    receiver.status = 503
    hook = worker(log, clock, hook=Webhook(url=receiver.url))
    for minute in range(60):
        log.take([sighting(minute)])
        clock.now += timedelta(minutes=1)
        assert hook.round() == Delivered(away=1)
    tried = sum("again from" in record.message for record in caplog.records)
    assert 5 < tried < 20, "it is left alone for longer and longer"
    receiver.status = 200
    clock.now += timedelta(minutes=10)
    while hook.round().sent:
        clock.now += timedelta(minutes=1)  # thirty a minute
    assert receiver.users() == [f"user{number}" for number in range(60)]


def test_a_channel_gets_few_messages_in_any_minute(log: AlertLog, receiver: Receiver) -> None:
    clock = Clock()
    two = {"few": Webhook(url=receiver.url, a_minute=2), "many": Webhook(url=receiver.url)}
    told = worker(log, clock, **two)
    log.take([sighting(0)])
    assert told.round() == Delivered(sent=2)
    clock.now += timedelta(seconds=30)
    log.take([sighting(1), sighting(2), sighting(3)])
    assert told.round() == Delivered(sent=4, held=1)
    assert told.round() == Delivered()
    for _ in range(2):
        clock.now += timedelta(seconds=30)
        assert told.round().sent == 1
    assert sorted(receiver.users()) == sorted(2 * ["user0", "user1", "user2", "user3"])


def test_what_is_refused_is_kept_apart_and_the_rest_goes_on(
    log: AlertLog, receiver: Receiver
) -> None:
    log.take([sighting(0)])
    receiver.status = 400
    hook = worker(log, hook=Webhook(url=receiver.url))
    assert hook.round() == Delivered(refused=1)
    receiver.status = 200
    log.take([sighting(1)])
    assert hook.round() == Delivered(sent=1)
    assert receiver.users() == ["user1"]
    with log.engine.connect() as connection:
        [row] = connection.execute(select(REFUSED.c.channel, REFUSED.c.reason)).all()
    assert row.channel == "hook" and "HTTP 400" in row.reason


def test_severities_changes_and_digests(log: AlertLog, receiver: Receiver) -> None:
    clock, rules = Clock(), Suppression(digest=Severity.MEDIUM)
    high = Webhook(url=receiver.url, least=Severity.HIGH, changes=False)
    log.take([sighting(0, 60), sighting(1, 80)], rules)
    log.change(alert_name(sighting(1, 80)), AlertState.RESOLVED, "kim")
    assert worker(log, clock, high=high).round() == Delivered(sent=1)
    assert receiver.users() == ["user1"]
    receiver.got.clear()
    log.take([sighting(2, 60)], rules)
    everything = worker(log, clock, all=Webhook(url=receiver.url))
    assert everything.round() == Delivered(sent=3)  # an alert, its change, and one digest
    assert [len(json.loads(body)["alerts"]) for _, body in receiver.got] == [1, 1, 2]
    log.take([sighting(3, 60)], rules)
    assert everything.round() == Delivered()
    clock.now += timedelta(days=1)
    assert everything.round() == Delivered(sent=1)


def test_routes_choose_and_nobody_acknowledging_escalates(
    log: AlertLog, receiver: Receiver
) -> None:
    clock = Clock()
    channels = {name: Webhook(url=receiver.url, changes=False) for name in ("desk", "boss")}
    routes = [Route(severities=(Severity.HIGH,), to=("desk",), escalate=HALF_AN_HOUR), Route(to=())]
    routing = Routing(("desk", "boss"), routes)
    told = Worker(log, channels, DeliverySettings(), routing, clock)
    log.take([sighting(0, 60), sighting(1, 80), sighting(2, 80)], at=clock.now)
    assert told.round() == Delivered(sent=2)
    assert receiver.users() == ["user1", "user2"]
    log.change(alert_name(sighting(1, 80)), AlertState.ACKNOWLEDGED, "kim")
    clock.now += timedelta(minutes=29)
    assert told.round() == Delivered()
    clock.now += timedelta(minutes=1)
    assert told.round() == Delivered(sent=1)
    assert receiver.users()[2:] == ["user2"]
    clock.now += timedelta(hours=1)
    assert told.round() == Delivered(), "once"
    assert verify(log).faults == ()


def test_what_came_in_a_mute_time_is_told_at_its_end(log: AlertLog, receiver: Receiver) -> None:
    clock, midnight = Clock(), NOON + timedelta(hours=12)
    routes = [
        Route(severities=(Severity.CRITICAL,), to=("desk",)),
        Route(to=("desk",), mute=("holiday",), escalate=HALF_AN_HOUR),
    ]
    times = {"holiday": [Times(dates=("05-01",))]}
    routing = Routing(("desk", "boss"), routes, times=times)
    channels = {name: Webhook(url=receiver.url) for name in ("desk", "boss")}
    told = Worker(log, channels, DeliverySettings(), routing, clock)
    log.take([sighting(0), sighting(1), sighting(2, 95)], at=clock.now)
    assert told.round() == Delivered(sent=1)
    assert receiver.users() == ["user2"]
    log.change(alert_name(sighting(1)), AlertState.RESOLVED, "kim", at=clock.now)
    clock.now = midnight - timedelta(minutes=1)
    assert told.round() == Delivered()
    clock.now = midnight
    log.change(alert_name(sighting(0)), AlertState.ACKNOWLEDGED, "kim", at=clock.now)
    assert told.round() == Delivered(sent=2), "what waited as one message, and the change"
    waited = json.loads(receiver.got[1][1])["alerts"]
    assert [each["user_id"] for each in waited] == ["user0", "user1"]
    assert [each["state"] for each in waited] == ["acknowledged", "resolved"]
    assert told.round() == Delivered()


def test_a_mute_time_that_is_new_tells_nothing_again(log: AlertLog, receiver: Receiver) -> None:
    hook, clock = Webhook(url=receiver.url), Clock()
    log.take([sighting(0)], at=NOON)
    assert worker(log, clock, hook=hook).round() == Delivered(sent=1)
    clock.now += timedelta(days=1)
    times = {"holiday": [Times(dates=("05-01",))]}
    routing = Routing(("hook",), [Route(to=("hook",), mute=("holiday",))], times=times)
    mute = Worker(log, {"hook": hook}, DeliverySettings(), routing, clock)
    assert mute.round() == Delivered()


@pytest.mark.slow
def test_ten_thousand_repeats_are_told_once_an_interval(log: AlertLog, receiver: Receiver) -> None:
    """A window each six minutes, over 1,000 hours: a first notice, and a reminder a day."""
    clock, hook = Clock(), Webhook(url=receiver.url)
    told = worker(log, clock, hook=hook)
    rules = Suppression(remind=timedelta(days=1))
    for day in range(42):
        for part in range(0, 240, 48):
            first = 240 * day + part
            seen = [again(number) for number in range(first, min(first + 48, 10_000))]
            log.take(seen, rules, at=clock.now)
            told.round()
            clock.now += timedelta(hours=4.8)
    [alert] = log.find().to_dicts()
    assert (alert["count"], alert["state"]) == (10_000, "open")
    keys = [headers["Idempotency-Key"] for headers, _ in receiver.got]
    assert len(keys) == len(set(keys)) == 42
    assert verify(log).faults == ()
    log.change(alert["alert_id"], AlertState.ACKNOWLEDGED, "kim", at=clock.now)
    clock.now += timedelta(days=2)
    assert log.take([again(10_000)], rules, at=clock.now).rules == {"repeat": 1}


def again(number: int) -> Sighting:
    """A window that says the same of the same user as all others."""
    start = NOON + timedelta(minutes=6 * number)
    return replace(
        sighting(0),
        window_id=f"user0/{number}",
        window_start=start,
        window_end=start + timedelta(minutes=1),
    )


def test_slack_shows_names_as_text(
    log: AlertLog, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RISKML_SLACK_URL", receiver.url)
    log.take([sighting(0, 95)])
    link = "https://risk.example/alerts/{alert_id}"
    assert worker(log, slack=Slack(link=link)).round().sent == 1
    blocks = json.loads(receiver.got[0][1])["blocks"]
    assert blocks[0]["text"]["text"] == "CRITICAL risk 95: user0"
    assert "&lt;b&gt;usually&lt;/b&gt;" in blocks[1]["text"]["text"]
    assert blocks[2]["elements"][0]["url"].endswith(alert_name(sighting(0)))


def test_pagerduty_triggers_and_resolves_one_incident(
    log: AlertLog, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("routing\n")
    monkeypatch.setenv("RISKML_PAGERDUTY_KEY_FILE", str(tmp_path / "key"))
    log.take([sighting(0)])
    duty = worker(log, duty=PagerDuty(url=receiver.url))
    assert duty.round().sent == 1
    for state in (AlertState.ACKNOWLEDGED, AlertState.FALSE_ALARM):
        log.change(alert_name(sighting(0)), state, "kim")
        assert duty.round().sent == 1
    events = [json.loads(body) for _, body in receiver.got]
    assert [each["event_action"] for each in events] == ["trigger", "acknowledge", "resolve"]
    assert len({each["dedup_key"] for each in events}) == 1
    assert {each["routing_key"] for each in events} == {"routing"}


class Mailbox:
    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.greylists = True

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address.startswith("nobody@"):
            return "550 no such mailbox"
        if address.startswith("later@") and self.greylists:
            return "450 come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if b"risk 60: spam" in envelope.content:
            return "554 spam"
        self.mails.append(envelope)
        return "250 OK"


@contextmanager
def post_office() -> Iterator[tuple[Mailbox, int]]:
    """An SMTP server, and its port."""
    box = Mailbox()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Controller(box, hostname="127.0.0.1", port=port)
    server.start()
    try:
        yield box, port
    finally:
        server.stop()


def test_a_mail_in_text_and_html(log: AlertLog) -> None:
    with post_office() as (box, port):
        log.take([sighting(0)])
        mail = Email(
            host="127.0.0.1", port=port, sender="risk@a.example", to=("k@a.example",), tls="none"
        )
        assert worker(log, mail=mail).round().sent == 1
    log.take([sighting(1)])
    assert worker(log, mail=mail).round().away == 1  # nobody there any more
    [envelope] = box.mails
    content = envelope.content.decode()
    assert envelope.rcpt_tos == ["k@a.example"]
    assert "Subject: riskml: MEDIUM risk 60: user0" in content
    assert "at 03:00, <b>usually</b> 09:00" in content and "&lt;b&gt;usually" in content


def test_who_has_a_mail_does_not_get_it_again_while_others_wait(log: AlertLog) -> None:
    clock, about = Clock(), {"sender": "risk@a.example", "tls": "none"}
    log.take([replace(sighting(0), user_id="two\nBcc: lines")])
    with post_office() as (box, port):
        mail = Email(host="127.0.0.1", port=port, to=("k@a.example", "later@a.example"), **about)
        delivering = worker(log, clock, mail=mail)
        assert delivering.round() == Delivered(away=1)  # greylisted: later is not never
        box.greylists = False
        clock.now += timedelta(minutes=1)
        assert delivering.round() == Delivered(sent=1)
        assert [each.rcpt_tos for each in box.mails] == [["k@a.example"], ["later@a.example"]]
        log.take([replace(sighting(1), user_id="spam")])
        clock.now += timedelta(minutes=1)
        assert delivering.round() == Delivered(refused=1), "what is refused holds up nothing"
        log.take([sighting(2)])
        assert delivering.round() == Delivered(sent=1)


def test_each_gets_a_mail_of_their_own_with_links(
    log: AlertLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "a key for tests and for nothing else"
    to = ("nobody@a.example", "k@a.example", "l@a.example")
    about = {"sender": "risk@a.example", "to": to, "tls": "none", "page": "https://risk.example/"}
    with post_office() as (box, port):
        mail = Email(host="127.0.0.1", port=port, **about)
        log.take([sighting(0)])
        with pytest.raises(ConfigError, match="set RISKML_LINK_KEY"):
            worker(log, mail=mail).round()
        monkeypatch.setenv("RISKML_LINK_KEY", key)
        assert worker(log, mail=mail).round() == Delivered(refused=1)  # the others have theirs
        log.change(alert_name(sighting(0)), AlertState.RESOLVED, "kim")
        worker(log, mail=mail).round()
    first, second, ended, _ = (message_from_bytes(e.content, policy=default) for e in box.mails)
    assert (first["To"], second["To"]) == ("k@a.example", "l@a.example")
    assert first["Message-ID"] != second["Message-ID"]
    part = first.get_body(("html",))
    assert part is not None
    urls = re.findall(r'href="([^"]+)">([^<]+)<', part.get_content())
    look, *verdicts = urls
    assert look == (f"https://risk.example/alerts/{alert_name(sighting(0))}", "Look")
    offers = {name: Links(key).open(url.rpartition("/")[2]) for url, name in verdicts}
    assert {offer.who for offer in offers.values()} == {"k@a.example"}
    assert [(name, offer.state.value) for name, offer in offers.items()] == [
        ("Acknowledge", "acknowledged"),
        ("True incident", "resolved"),
        ("False alarm", "false_alarm"),
    ]
    assert "/verdict/" not in str(ended), "nothing is left to decide"


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[str]:
    """A real one, which tells nobody."""
    if PROGRAM is None:
        pytest.skip("no Alertmanager is installed (apt-get install prometheus-alertmanager)")
    with running_alertmanager(tmp_path) as url:
        yield url


def active(url: str) -> dict[str, dict[str, Any]]:
    """Alerts that stand there, by our name of them."""
    return {each["labels"]["alert_id"]: each for each in active_alerts(url)}


@pytest.mark.slow
def test_alertmanager_has_what_stands_and_no_more(log: AlertLog, alertmanager: str) -> None:
    clock = Clock(datetime.now(UTC))
    log.take([sighting(0), sighting(1, 95)])
    second = timedelta(seconds=1)
    manager = Alertmanager(
        url=alertmanager, every=second, lasts=8 * second, labels={"team": "risk"}
    )
    told = worker(log, clock, manager=manager)
    told.round()
    names = [alert_name(sighting(0)), alert_name(sighting(1, 95))]
    found = active(alertmanager)
    assert set(found) == set(names)
    labels = found[names[1]]["labels"]
    assert (labels["severity"], labels["team"], labels["user"]) == ("critical", "risk", "user1")
    time.sleep(4)
    clock.now += 4 * second
    told.round()  # says again what stands
    time.sleep(5)
    assert set(active(alertmanager)) == set(names)
    log.change(names[0], AlertState.RESOLVED, "kim")
    told.round()
    assert set(active(alertmanager)) == {names[1]}
    wait_until(lambda: active(alertmanager) == {})  # no worker any more


@pytest.mark.slow
def test_silences_are_made_listed_and_end(log: AlertLog, alertmanager: str) -> None:
    log.take([sighting(0), sighting(1)])
    worker(log, Clock(datetime.now(UTC)), manager=Alertmanager(url=alertmanager)).round()
    silences = Silences(alertmanager)
    with pytest.raises(ConfigError, match="at least one label"):
        silences.add({}, timedelta(hours=1), "kim", "all")
    name = silences.add({"user": "user0"}, timedelta(seconds=9), "kim", "moves desk")
    [found] = silences.all()
    assert (found.name, found.state, found.who, found.why) == (
        name,
        "active",
        "kim",
        "moves desk",
    )
    wait_until(lambda: silenced(alertmanager) == {"user0"})
    wait_until(lambda: silences.all() == [] and silenced(alertmanager) == set())
    other = silences.add({"user": "user1"}, timedelta(hours=1), "kim", "on call")
    wait_until(lambda: silenced(alertmanager) == {"user1"})
    silences.end(other)
    wait_until(lambda: silenced(alertmanager) == set())
    with pytest.raises(DataError, match="HTTP"):
        silences.end("nothing")


def wait_until(happened: Callable[[], bool]) -> None:
    """Wait for what Alertmanager does a moment later."""
    given_up = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < given_up
        time.sleep(0.1)


def silenced(url: str) -> set[str]:
    """Users whose alerts nobody is told of."""
    stand = active(url).values()
    return {each["labels"]["user"] for each in stand if each["status"]["state"] == "suppressed"}


def test_a_missing_secret_is_told_before_anything_is_sent(log: AlertLog) -> None:
    log.take([sighting(0)])
    with pytest.raises(ConfigError, match="slack: set RISKML_SLACK_URL, or RISKML_SLACK_URL_FILE"):
        worker(log, slack=Slack()).round()


COMMAND = [sys.executable, "-c", "from riskml.cli import main; main()", "alerts"]


@pytest.mark.slow
def test_killed_between_log_and_delivery_every_alert_comes(
    new_database: Any, receiver: Receiver, tmp_path: Path
) -> None:
    url = new_database()
    log = AlertLog(url)
    log.migrate()
    file = tmp_path / "channels.yaml"
    hook = f"channels:\n  hook: {{kind: webhook, url: '{receiver.url}'}}\n"
    file.write_text(hook + "delivery: {lease: 1s, a_minute: 100000}\n")
    words = ["deliver", "--channels", str(file), "--follow", "1s", "--log", url]
    kills = int(os.environ.get("RISKML_DELIVERY_KILLS", 5))
    for kill in range(kills):
        process = subprocess.Popen([*COMMAND, *words], stderr=subprocess.DEVNULL)
        before = len(receiver.got)
        log.take([sighting(100 * kill + n) for n in range(100)])
        until = time.monotonic() + 60
        while len(receiver.got) <= before + 20 * (kill % 4) and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    time.sleep(1.1)  # the lease of the one that was killed
    done = subprocess.run(
        [*COMMAND, *words[:3], "--log", url], capture_output=True, text=True, check=True
    )
    assert "0 refused" in done.stderr
    keys = [headers["Idempotency-Key"] for headers, _ in receiver.got]
    assert len(set(keys)) == 100 * kills
    assert len(keys) <= 100 * kills + kills, "a kill repeats at most one message"


def take_and_tell(scores: str, log: str, hook: str, ready: Any) -> None:
    """All the way from what a job has raised to people, in a process that has imported all."""
    ready.set()
    alerts = AlertLog(log)
    alerts.take(sightings_of(raised_alerts(scores)))
    short = timedelta(milliseconds=20)
    settings = DeliverySettings(lease=short, first_wait=short, a_minute=10_000)
    Worker(alerts, {"hook": Webhook(url=hook)}, settings).round()


@pytest.mark.slow
def test_killed_anywhere_between_score_and_delivery_every_alert_comes(
    new_database: Any, receiver: Receiver
) -> None:
    scores, log = new_database(), AlertLog(url := new_database())
    log.migrate()
    engine = open_engine(scores)
    METADATA.create_all(engine)
    rng = random.Random(0)
    kills, each = int(os.environ.get("RISKML_DELIVERY_KILLS", 5)), 20

    def process() -> Any:
        ready = forking().Event()
        words = (scores, url, receiver.url, ready)
        made = forking().Process(target=take_and_tell, args=words)
        made.start()
        assert ready.wait(90)
        return made

    def score(begin: int) -> None:
        rows = [
            {**window, "model_version": "m", "reasons": None, "raised_at": NOON}
            for number in range(begin, begin + each)
            for window in [sighting(number).plain()]
        ]
        names = set(ALERTS.c.keys())
        with engine.begin() as connection:
            connection.execute(insert(ALERTS), [{n: r[n] for n in names} for r in rows])

    score(0)
    first = process()
    began = time.monotonic()
    first.join()
    whole = time.monotonic() - began
    assert len(receiver.got) == each
    for kill in range(1, kills + 1):
        score(each * kill)
        running = process()
        running.join(rng.uniform(0, 1.2 * whole))
        running.kill()
        running.join()
    time.sleep(0.1)  # the lease of the last
    process().join()
    keys = [headers["Idempotency-Key"] for headers, _ in receiver.got]
    assert len(set(keys)) == each * (kills + 1)
    assert len(keys) <= len(set(keys)) + kills, "a kill repeats at most one message"
    assert verify(log).faults == ()
