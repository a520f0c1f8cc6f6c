"""Links of mails: what is sealed in them, and that only a person's click does anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from riskml.alerting.feedback import FeedbackStore
from riskml.alerting.links import PATH, LinkError, Links, Offer
from riskml.alerting.states import AlertState
from riskml.alerting.verification import verify
from riskml.core.errors import ConfigError
from tests.unit.alerting.page_client import Browser, Served, name_of, serving, sighting

LINKS = Links("a key for tests and for nothing else")
ANN, WHO = name_of("ann"), "audit@a.example"


def offer(
    state: AlertState = AlertState.FALSE_ALARM, alert_id: str = ANN, hours: float = 1
) -> Offer:
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=hours)
    return Offer(alert_id, state, WHO, until)


def path(about: Offer, links: Links = LINKS) -> str:
    return links.url("https://risk.example/", about).removeprefix("https://risk.example")


@pytest.fixture
def store(tmp_path: Path) -> FeedbackStore:
    return FeedbackStore(f"sqlite:///{tmp_path}/feedback.db")


@pytest.fixture
def page(tmp_path: Path, store: FeedbackStore) -> Iterator[Served]:
    with serving(tmp_path, store=store, links=LINKS) as found:
        found.log.take([sighting("ann", text="from the desk of ann")])
        yield found


def test_a_link_says_what_was_put_into_it_and_shows_nothing() -> None:
    about = offer()
    url = path(about)
    assert re.fullmatch(rf"{PATH}[\w=-]+", url) and "audit" not in url and ANN not in url
    sealed = url.removeprefix(PATH)
    assert LINKS.open(sealed) == about
    with pytest.raises(LinkError, match="could be used until"):
        LINKS.open(sealed, about.until)
    middle = len(sealed) // 2
    changed = sealed[:middle] + ("A" if sealed[middle] != "A" else "B") + sealed[middle + 1 :]
    for wrong in (changed, sealed[:-9], "x", "ä", path(about, Links("b" * 32))[len(PATH) :]):
        with pytest.raises(LinkError, match="not valid"):
            LINKS.open(wrong)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="has 5 characters"):
        Links("short")


def test_a_new_key_takes_the_place_of_an_old_one_while_links_of_both_work() -> None:
    about, old, new = offer(), "o" * 32, "n" * 32
    before = path(about, Links(old)).removeprefix(PATH)
    both = Links(f"{new}, {old}")
    assert both.open(before) == about
    after = path(about, both).removeprefix(PATH)
    assert Links(new).open(after) == about
    for links, sealed in ((Links(new), before), (Links(old), after)):
        with pytest.raises(LinkError, match="not valid"):
            links.open(sealed)
    with pytest.raises(ConfigError, match="has 0 characters"):
        Links(f"{new},")


def test_only_a_click_gives_the_verdict(page: Served, store: FeedbackStore) -> None:
    browser, url = Browser(page.url), path(offer())
    for _ in range(2):  # as scanners of mails do
        asked = browser.get(url)
        assert asked.status_code == 200 and "<h1>False alarm?</h1>" in asked.text
        assert re.search(r"\bann\b", asked.text) is None
    assert page.log.history(ANN).alert["state"] == "open"
    done = browser.post(url, {"why": "was on call"})
    assert done.status_code == 200 and "Done: False alarm" in done.text
    entry = page.log.history(ANN).trail[-1]
    assert (entry.who, entry.what) == (WHO, "false_alarm")
    assert entry.why == "was on call (by a link in a mail)"
    assert store.latest().select("verdict", "who").rows() == [("false_alarm", WHO)]
    again = browser.get(url)
    assert "is false alarm now: this link can do nothing more" in again.text
    assert browser.post(url, {}).status_code == 409
    assert verify(page.log).faults == ()


def test_wrong_links_do_nothing_and_say_why(page: Served) -> None:
    browser = Browser(page.url)
    cases = {
        path(offer(hours=-1)): (403, "could be used until"),
        path(offer(), Links("b" * 32)): (403, "not valid"),
        path(offer(alert_id="abcdef012345")): (404, "no such alert"),
    }
    for url, (status, told) in cases.items():
        for answer in (browser.get(url), browser.post(url, {"why": "x"})):
            assert answer.status_code == status and told in answer.text
    good = path(offer())
    cross = browser.post(good, {}, headers={"Sec-Fetch-Site": "cross-site"})
    assert cross.status_code == 403
    assert page.log.history(ANN).alert["state"] == "open"


def test_without_a_key_there_are_no_links(tmp_path: Path) -> None:
    with serving(tmp_path) as page:
        page.log.take([sighting("ann")])
        answer = Browser(page.url).get(path(offer()))
        assert answer.status_code == 404 and "RISKML_LINK_KEY" in answer.text
