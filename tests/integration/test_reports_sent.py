"""Reports on paper and by mail: real WeasyPrint and fonts, a real SMTP server."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from hashlib import sha256
from pathlib import Path
from typing import Any

import matplotlib
import pypdfium2
import pytest
from aiosmtpd.controller import Controller
from click.testing import CliRunner, Result

from riskml.alerting.alert_log import AlertLog
from riskml.alerting.sightings import Sighting
from riskml.alerting.states import AlertState
from riskml.alerting.trail import entries
from riskml.alerting.verification import verify
from riskml.cli import main
from riskml.core.pseudonyms import Pseudonyms
from riskml.reporting.generator import ReportGenerator
from riskml.reporting.periods import Length, Period
from riskml.reporting.words import Words

pytestmark = pytest.mark.slow

MONDAY = datetime(2024, 5, 6, 9, tzinfo=UTC)
CANARY = "canary.person@corp.example"
KEY = "a key for tests, and for nothing else"
MARGIN_POINTS = 20
TOPICS = ("hour", "failures", "count:usb_copy", "new_resource_to_everyone", "idle_hours")


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AlertLog:
    """Two weeks with enough alerts for tables that do not fit on one page."""
    url = f"sqlite:///{tmp_path}/alerts.db"
    monkeypatch.setenv("RISKML_ALERTS_URL", url)
    monkeypatch.setenv("RISKML_PSEUDONYM_KEY", KEY)
    return filled(url)


def filled(url: str) -> AlertLog:
    made = AlertLog(url)
    made.migrate()
    windows = []
    for n in range(60):
        user = f"user{n % 25}" if n else CANARY
        start = MONDAY + timedelta(days=n % 14 - 7, minutes=n)
        reason = {"topic": TOPICS[n % len(TOPICS)], "share": 1.0, "text": f"odd for {user}"}
        scores = (3.0, 0.001, 40.0 + n)
        span = (start, start + timedelta(hours=3))
        peer = "a peer group with a name that is rather long"
        windows.append(Sighting(f"{user}/{n}", "model", user, *span, *scores, (reason,), peer))
    made.take(windows, at=MONDAY)
    for number, alert_id in enumerate(made.find()["alert_id"].to_list()):
        if number % 3:
            state = AlertState.RESOLVED if number % 2 else AlertState.FALSE_ALARM
            made.change(alert_id, state, "kim", "", MONDAY + timedelta(hours=number))
    return made


def riskml(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def report(out: Path, *words: str, language: str = "en") -> Result:
    week = ("--period", "week", "--ending", "2024-05-12", "--lang", language, "--out", str(out))
    done = riskml("report", *week, *words)
    for missing in ("WeasyPrint lacks libraries", "no installed font has Korean letters"):
        if missing in done.output:
            pytest.skip(done.output)
    return done


def texts(pdf: Path) -> list[str]:
    document = pypdfium2.PdfDocument(pdf)
    return [page.get_textpage().get_text_range().replace("\r\n", "\n") for page in document]


def unpacked(pdf: Path) -> bytes:
    """The objects of a PDF as they stand within its streams."""
    packed = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf.read_bytes(), re.DOTALL)
    parts = []
    for each in packed:
        with suppress(zlib.error):
            parts.append(zlib.decompress(each))
    return b"\n".join([pdf.read_bytes(), *parts])


@pytest.mark.parametrize("language", ["en", "ko"])
def test_pages_are_whole(log: AlertLog, tmp_path: Path, language: str) -> None:
    done = report(tmp_path, language=language)
    assert done.exit_code == 0, done.output
    pdf = tmp_path / f"risk-week-2024-05-12.{language}.pdf"
    words, pages = Words(language), texts(pdf)
    whole = "\n".join(pages)
    names = ("summary", "alerts", "precision", "scenarios", "top_users", "suppressed", "model")
    titles = [words(name) for name in (*names, "coverage", "reading")]
    for title in titles:
        assert title in whole
    document = pypdfium2.PdfDocument(pdf)
    for number, (page, text) in enumerate(zip(document, pages, strict=True), 1):
        assert words("page", page=number, pages=len(pages)) in text
        width, _ = page.get_size()
        found = page.get_textpage()
        boxes = [found.get_rect(n) for n in range(found.count_rects())]
        assert min(left for left, *_ in boxes) > MARGIN_POINTS
        assert max(right for _, _, right, _ in boxes) < width - MARGIN_POINTS
        picture = page.render(scale=1, grayscale=True).to_numpy()
        edges = [picture[:, :MARGIN_POINTS], picture[:, -MARGIN_POINTS:]]
        assert all((edge == 255).all() for edge in edges), "something is cut"
        assert (picture < 128).any()
        body = [line for line in text.splitlines() if line.strip()]
        assert body[-1] not in titles and body[-3] not in titles, "a heading stands alone"


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_pdf_for_all_readers_that_names_nobody(
    log: AlertLog, tmp_path: Path, language: str
) -> None:
    assert report(tmp_path, language=language).exit_code == 0
    pdf = tmp_path / f"risk-week-2024-05-12.{language}.pdf"
    content, whole = unpacked(pdf), "\n".join(texts(pdf))
    for sign in (b"/StructTreeRoot", b"/MarkInfo", b"/Lang (" + language.encode(), b"/Alt"):
        assert sign in content, sign
    title = pypdfium2.PdfDocument(pdf).get_metadata_dict()["Title"]
    assert title == Words(language)("title_week")
    flat = re.sub(r"\s", "", whole)
    assert CANARY not in flat and not re.search(r"user\d", flat)
    assert "p_" in flat


def test_the_same_from_postgresql(log: AlertLog, new_database: Callable[[], str]) -> None:
    period, clock = Period(Length.WEEK, date(2024, 5, 12)), MONDAY + timedelta(days=9)
    found = [
        ReportGenerator(each, Pseudonyms(KEY.encode()), clock=lambda: clock).make(
            period, "en", pdf=False
        )
        for each in (log, filled(new_database()))
    ]
    assert found[0] == found[1]


def test_names_for_who_says_why(log: AlertLog, tmp_path: Path) -> None:
    assert "needs --who and --why" in report(tmp_path, "--names").output
    done = report(tmp_path, "--names", "--who", "eve", "--why", "board", "--html-only")
    assert done.exit_code == 0, done.output
    assert "user" in (tmp_path / "risk-week-2024-05-12.en.html").read_text()
    assert not (tmp_path / "risk-week-2024-05-12.en.pdf").exists()
    with log.reading() as connection:
        assert any(entry.what == "unveiled" for entry in entries(connection))


def test_a_machine_without_korean_letters_says_what_to_install(
    log: AlertLog, tmp_path: Path
) -> None:
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    config = tmp_path / "fonts.conf"
    cache = f"<cachedir>{tmp_path}/cache</cachedir>"
    config.write_text(f"<?xml version='1.0'?><fontconfig><dir>{fonts}</dir>{cache}</fontconfig>")
    week = ["--period", "week", "--ending", "2024-05-12", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "riskml.cli", "report", *week]
    environment = {**os.environ, "FONTCONFIG_FILE": str(config)}
    done = subprocess.run(
        [*command, "--lang", "ko"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "no installed font has Korean letters: apt-get install fonts-nanum" in done.stderr
    assert "Traceback" not in done.stderr
    english = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert english.returncode == 0, english.stderr


# ---- by mail -------------------------------------------------------------------------------


@dataclass
class Box:
    """What a mail server was sent; it refuses whom it does not know."""

    mails: list[EmailMessage] = field(default_factory=list)

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address.startswith("nobody"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append(message_from_bytes(envelope.content, policy=default))  # type: ignore[arg-type]
        return "250 OK"


@contextmanager
def post_office(port: int = 0) -> Iterator[tuple[Box, int]]:
    box = Box()
    if not port:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
    server = Controller(box, hostname="127.0.0.1", port=port)
    server.start()
    try:
        yield box, port
    finally:
        server.stop()


def channels(folder: Path, port: int) -> str:
    mail = {"kind": "email", "host": "127.0.0.1", "port": port, "tls": "none"}
    mail |= {"sender": "risk@a.example", "to": ["desk@a.example"]}
    wait = {"first_wait": "1s", "longest_wait": "1s", "a_minute": 1000}
    file = folder / "channels.yaml"
    file.write_text(json.dumps({"channels": {"post": mail}, "delivery": wait}))
    return str(file)


def test_each_address_gets_it_once(log: AlertLog, tmp_path: Path) -> None:
    to = ("--email", "audit@a.example", "--email", "cio@a.example")
    with post_office() as (box, port):
        sending = ("--channels", channels(tmp_path, port), *to)
        done = report(tmp_path / "r", *sending)
        assert done.exit_code == 0, done.output
        again = report(tmp_path / "r", *sending)
        assert again.exit_code == 0 and "not sent again" in again.output
        korean = report(tmp_path / "r", *sending[:2], *to[:2], "--html-only", language="ko")
        assert korean.exit_code == 0, korean.output
    assert [mail["To"] for mail in box.mails] == [
        "audit@a.example",
        "cio@a.example",
        "audit@a.example",
    ]
    [first, _, third] = box.mails
    assert first["Subject"] == "riskml: Weekly risk report: 6–12 May 2024"
    text = first.get_body(("plain",))
    assert text is not None and "new alerts: " in text.get_content()
    assert CANARY not in first.as_string() and "user0" not in text.get_content()
    [pdf] = first.iter_attachments()
    assert (pdf.get_content_type(), pdf.get_filename()) == (
        "application/pdf",
        "risk-week-2024-05-12.en.pdf",
    )
    sent = pdf.get_content()
    assert sent.startswith(b"%PDF")
    [html] = third.iter_attachments()
    assert html.get_content_type() == "text/html"
    with log.reading() as connection:
        letters = [json.loads(e.content) for e in entries(connection) if e.what == "letter"]
    assert letters[0]["files"] == {pdf.get_filename(): sha256(sent).hexdigest()}
    assert len(letters) == 3
    assert verify(log).count == 0


def test_a_server_that_is_away_gets_it_later_and_no_alert_with_it(
    log: AlertLog, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    sending = ("--channels", channels(tmp_path, port), "--email", "audit@a.example")
    done = report(tmp_path / "r", *sending, "--html-only")
    assert done.exit_code == 4 and "stays in the outbox" in done.output
    with post_office(port) as (box, _):
        # the worker of alerts sends it as well, and alerts to the channel's own address
        for _ in range(200):
            assert riskml("alerts", "deliver", *sending[:2]).exit_code in (0, 4)
            if any("Weekly" in mail["Subject"] for mail in box.mails):
                break
        again = report(tmp_path / "r", *sending, "--html-only")
        assert again.exit_code == 0 and "0 sent" in again.output
    mine = [mail for mail in box.mails if mail["To"] == "audit@a.example"]
    assert [mail["Subject"] for mail in mine] == ["riskml: Weekly risk report: 6–12 May 2024"]
    assert all("Weekly" not in m["Subject"] for m in box.mails if m["To"] == "desk@a.example")


def test_an_address_that_is_refused_holds_up_nobody(log: AlertLog, tmp_path: Path) -> None:
    to = ("--email", "nobody@a.example", "--email", "audit@a.example")
    with post_office() as (box, port):
        done = report(tmp_path / "r", "--html-only", "--channels", channels(tmp_path, port), *to)
    assert done.exit_code == 4 and "1 sent, 1 refused" in done.output
    assert [mail["To"] for mail in box.mails] == ["audit@a.example"]


def test_what_a_mail_needs(log: AlertLog, tmp_path: Path) -> None:
    assert "--email needs --channels" in report(tmp_path, "--email", "a@a.example").output
    file = tmp_path / "channels.yaml"
    file.write_text("channels: {siem: {kind: webhook, url: 'https://a.example/in'}}")
    told = report(tmp_path, "--email", "a@a.example", "--channels", str(file)).output
    assert "has no channel of kind email" in told
