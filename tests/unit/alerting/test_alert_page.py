"""The page of alerts over HTTP: who sees what, who may do what, and what stands in the trail."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import requests

from riskml.alerting.feedback import FeedbackStore
from riskml.alerting.page.answers import HEADERS
from riskml.alerting.page.people import People, Role, new_person
from riskml.alerting.page.queue import ON_PAGE, Chances
from riskml.alerting.verification import verify
from riskml.core.errors import ConfigError
from riskml.core.schema import EVENT_SCHEMA
from tests.unit.alerting.page_client import (
    HIDDEN,
    NOON,
    Browser,
    Served,
    name_of,
    serving,
    sighting,
)

ANN = name_of("ann")


@pytest.fixture
def store(tmp_path: Path) -> FeedbackStore:
    return FeedbackStore(f"sqlite:///{tmp_path}/feedback.db")


@pytest.fixture
def served(tmp_path: Path, store: FeedbackStore) -> Iterator[Served]:
    with serving(tmp_path, store=store) as found:
        yield found


@pytest.fixture
def page(served: Served) -> Served:
    """With two alerts."""
    text = "first access of /home/Ann/plans by ANN"
    served.log.take([sighting("ann", text=text), sighting("bob", risk=55.0)])
    return served


def state(served: Served, alert_id: str = ANN) -> str:
    return str(served.log.history(alert_id).alert["state"])


# ---- signing in


def test_only_those_with_a_token_come_in(page: Served) -> None:
    browser = page.browser()
    answer = browser.get("/alerts", allow_redirects=False)
    assert answer.status_code == 303 and answer.headers["location"] == "/login?next=/alerts"
    assert browser.sign_in("something else").status_code == 403
    assert browser.get(f"/alerts/{ANN}", allow_redirects=False).status_code == 303
    assert browser.sign_in(page.tokens["vera"]).url == f"{page.url}/alerts"


def test_the_cookie_is_for_the_browser_alone(page: Served) -> None:
    for headers, name, secure in (
        ({}, "riskml_session", False),
        ({"X-Forwarded-Proto": "https"}, "__Host-riskml_session", True),
    ):
        browser = page.browser()
        given = browser.get("/login", headers=headers)
        csrf = re.search(r'name="csrf" value="([^"]+)"', given.text)
        assert csrf is not None
        answer = requests.post(
            f"{page.url}/login",
            {"csrf": csrf[1], "token": page.tokens["vera"]},
            headers={**headers, "Cookie": f"riskml_sign_in={csrf[1]}"},
            allow_redirects=False,
            timeout=30,
        )
        cookie = answer.headers["set-cookie"].split("riskml_sign_in")[0]
        assert cookie.startswith(f"{name}=")
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Max-Age=28800" in cookie
        assert ("Secure" in cookie) == secure
        assert ("strict-transport-security" in answer.headers) == secure


def test_a_forged_cookie_is_nobody(page: Served) -> None:
    kim = page.browser("kim")
    [cookie] = [each for each in kim.session.cookies if each.name == "riskml_session"]
    for forged in ("x", f"{cookie.value[:-4]}AAAA"):
        answer = requests.get(
            f"{page.url}/alerts",
            headers={"Cookie": f"riskml_session={forged}"},
            allow_redirects=False,
            timeout=30,
        )
        assert answer.status_code == 303


def test_attempts_are_limited(page: Served) -> None:
    browser = page.browser()
    assert [browser.sign_in("wrong").status_code for _ in range(6)] == [403] * 5 + [429]
    late = browser.sign_in(page.tokens["vera"])
    assert late.status_code == 429 and 0 < int(late.headers["retry-after"]) <= 300


def test_signing_in_leads_only_to_our_pages(page: Served) -> None:
    browser = page.browser()
    for wanted, got in ((f"/alerts/{ANN}", f"/alerts/{ANN}"), ("//evil.example", "/alerts")):
        form = {"csrf": browser.csrf("/login"), "token": page.tokens["kim"], "next": wanted}
        answer = browser.post("/login", form, allow_redirects=False)
        assert answer.headers["location"] == got
    form = {"csrf": browser.csrf("/login"), "token": "wrong", "next": f"/alerts/{ANN}"}
    assert f'name="next" value="/alerts/{ANN}"' in browser.post("/login", form).text


def test_who_signs_out_or_loses_the_token_is_out(page: Served) -> None:
    kim, again = page.browser("kim"), page.browser("kim")
    cookies = dict(kim.session.cookies)
    kim.post("/logout", {"csrf": kim.csrf("/alerts")})
    kim.session.cookies.update(cookies)  # a copy of it is of no use
    assert kim.get("/alerts", allow_redirects=False).status_code == 303
    assert again.get("/alerts", allow_redirects=False).status_code == 200
    lines = page.file.read_text().splitlines()
    page.file.write_text("\n".join(line for line in lines if not line.startswith("kim")))
    assert again.get("/alerts", allow_redirects=False).status_code == 303


def test_a_link_of_another_site_does_not_sign_anybody_out(page: Served) -> None:
    kim = page.browser("kim")
    cross = {"Sec-Fetch-Site": "cross-site"}
    answer = requests.get(f"{page.url}/alerts/{ANN}", headers=cross, timeout=30)
    assert 'http-equiv="refresh"' in answer.text and "set-cookie" not in answer.headers
    assert kim.get(f"/alerts/{ANN}", headers=cross).status_code == 200  # where the cookie came


# ---- who may do what


def test_viewers_look_analysts_decide_admins_ask_for_names(page: Served) -> None:
    allowed = {"vera": (403, 403), "kim": (200, 403), "ada": (200, 200)}
    for name, (decide, unveil) in allowed.items():
        browser = page.browser(name)
        text = browser.get(f"/alerts/{ANN}").text
        assert ("data-verdict" in text) == (decide == 200)
        assert ("/unveil" in text) == (unveil == 200)
        before = state(page)
        given = browser.give(ANN, "open" if before != "open" else "resolved")
        assert given.status_code == decide
        assert (state(page) == before) == (decide == 403)
        assert browser.unveil(ANN, "asked by HR").status_code == unveil
    trail = [(entry.who, entry.what) for entry in page.log.history(ANN).trail[1:]]
    assert trail == [("kim", "resolved"), ("ada", "open"), ("ada", "unveiled")]


def test_every_form_needs_the_sign_of_its_session(page: Served) -> None:
    ada, kim = page.browser("ada"), page.browser("kim")
    forms = {
        "/logout": {},
        f"/alerts/{ANN}/verdict": {"state": "resolved"},
        f"/alerts/{ANN}/unveil": {"why": "x"},
    }
    for path, form in forms.items():
        for csrf in ("", "wrong", kim.csrf("/alerts")):
            assert ada.post(path, {**form, "csrf": csrf}).status_code == 403
        cross = {"Sec-Fetch-Site": "cross-site"}
        mine = {**form, "csrf": ada.csrf("/alerts")}
        assert ada.post(path, mine, headers=cross).status_code == 403
    assert state(page) == "open" and len(page.log.history(ANN).trail) == 1
    assert ada.get("/alerts", allow_redirects=False).status_code == 200
    stranger = Browser(page.url)
    form = {"csrf": "x", "token": page.tokens["ada"]}
    assert "please try again" in stranger.post("/login", form).text.lower()
    assert not any(cookie.name == "riskml_session" for cookie in stranger.session.cookies)


def test_a_verdict_is_in_the_trail_and_teaches(page: Served, store: FeedbackStore) -> None:
    kim = page.browser("kim")
    assert kim.give(ANN, "false_alarm", "  on call\nthat night ").url.endswith(f"/alerts/{ANN}")
    entry = page.log.history(ANN).trail[-1]
    assert (entry.who, entry.what, entry.why) == ("kim", "false_alarm", "on call that night")
    [row] = store.latest().to_dicts()
    assert (row["window_id"], row["verdict"], row["who"]) == (
        "ann/2024-05-01",
        "false_alarm",
        "kim",
    )
    wrong = kim.give(ANN, "resolved")
    assert wrong.status_code == 409 and "cannot become resolved" in unescape(wrong.text)
    assert kim.give(ANN, "nonsense").status_code == 409
    assert kim.give("abcdef", "resolved").status_code == 404
    assert verify(page.log).faults == ()


def test_a_verdict_that_was_not_stored_can_be_given_again(
    page: Served, store: FeedbackStore
) -> None:
    kim = page.browser("kim")
    kim.give(name_of("bob"), "resolved")
    with store.engine.begin() as connection:
        stop = "SELECT RAISE(ABORT, 'the disk is full')"
        connection.exec_driver_sql(
            f"CREATE TRIGGER full BEFORE INSERT ON verdicts BEGIN {stop}; END"
        )
    refused = kim.give(ANN, "false_alarm", "on call")
    assert refused.status_code == 503 and "the disk is full" in refused.text
    assert page.log.history(ANN).alert["state"] == "open"
    with store.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER full")
    assert kim.give(ANN, "false_alarm", "on call").status_code == 200
    assert page.log.history(ANN).alert["state"] == "false_alarm"
    assert "ann/2024-05-01" in store.latest()["window_id"].to_list()


# ---- names


def everything(browser: Browser) -> str:
    paths = ("/alerts", "/alerts?state=all", f"/alerts/{ANN}", f"/alerts/{name_of('bob')}")
    return "".join(browser.get(path).text for path in paths)


def test_names_are_hidden_until_an_admin_asks(page: Served) -> None:
    hidden = HIDDEN.of(["ann", "bob"])
    for name in page.tokens:
        told = everything(page.browser(name))
        assert re.search(r"\b(ann|bob)\b", told, re.IGNORECASE) is None
        assert hidden["ann"] in told and f"/home/{hidden['ann']}/plans" in told
    ada = page.browser("ada")
    assert ada.unveil(ANN, " ").status_code == 409
    assert ada.unveil(ANN, "asked by HR").status_code == 200
    told = everything(ada)
    assert "/home/Ann/plans" in told and re.search(r"\bbob\b", told) is None
    entry = page.log.history(ANN).trail[-1]
    assert (entry.who, entry.what, entry.why) == ("ada", "unveiled", "asked by HR")
    for other in ("vera", "ada"):
        assert re.search(r"\bann\b", everything(page.browser(other)), re.IGNORECASE) is None
    assert verify(page.log).faults == ()


def test_who_is_no_admin_any_more_sees_no_names(page: Served) -> None:
    ada = page.browser("ada")
    ada.unveil(ANN, "asked by HR")
    page.file.write_text(page.file.read_text().replace("ada admin", "ada  viewer"))
    assert re.search(r"\bann\b", everything(ada), re.IGNORECASE) is None


def test_pseudonyms_of_a_log_stay_as_they_are(served: Served) -> None:
    (name,) = HIDDEN.of(["ann"]).values()
    served.log.take([sighting(name)])
    text = served.browser("ada").get(f"/alerts/{name_of(name)}").text
    assert name in text and "Show the name" not in text


def test_no_address_says_anything_of_people(page: Served) -> None:
    ada = page.browser("ada")
    ada.unveil(ANN, "asked by HR")
    found = set(re.findall(r'(?:href|action|src|data-load)="([^"]*)"', everything(ada)))
    ours = re.compile(
        r"/static/[a-z.]+|#main|/logout|/alerts(\?state=\w+&(amp;)?least=\w+&(amp;)?page=\d+)?"
        r"|/alerts/[0-9a-f]{12}(/(events|verdict|unveil))?"
    )
    assert [address for address in found if not ours.fullmatch(address)] == []


# ---- what pages say


def test_every_answer_has_the_headers(page: Served) -> None:
    kim = page.browser("kim")
    paths = (
        "/",
        "/login",
        "/alerts",
        f"/alerts/{ANN}",
        "/alerts/none",
        "/static/page.js",
        "/health",
    )
    for path in (*paths, "/static/secret", "/verdict/x", "/elsewhere"):
        answer = kim.get(path)
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
        assert "inline" not in answer.headers["content-security-policy"]
        if answer.headers["content-type"].startswith("text/html"):
            assert re.search(r"<script(?! src)|<style| style=| on\w+=", answer.text) is None


def test_texts_of_a_log_are_no_html(served: Served) -> None:
    text = "<script>alert(1)</script> \x1b[31m"
    served.log.take([sighting("<b>ann</b>", text=text)])
    kim = served.browser("kim")
    kim.give(name_of("<b>ann</b>"), "acknowledged", '"><img src=x>')
    told = kim.get("/alerts").text + kim.get(f"/alerts/{name_of('<b>ann</b>')}").text
    assert "<script>alert" not in told and "<img src=x" not in told and "\x1b" not in told
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in told


def in_order(text: str) -> list[str]:
    return re.findall(r'class="row [a-z]+" href="/alerts/([0-9a-f]+)"', text)


def test_the_queue_goes_by_risk_and_by_what_the_triage_says(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "triage"
    folder.mkdir(parents=True)
    chances = pl.DataFrame({"window_id": ["ann/2024-05-01"], "confirm_probability": [0.1]})
    chances.write_parquet(folder / "ranking.parquet")
    with serving(tmp_path, chances=Chances(tmp_path / "run")) as page:
        page.log.take(
            [sighting("ann", risk=90.0), sighting("bob", risk=55.0), sighting("cy", risk=20)]
        )
        kim = page.browser("kim")
        ann, bob, cy = (name_of(user) for user in ("ann", "bob", "cy"))
        assert in_order(kim.get("/alerts").text) == [bob, ann, cy]
        assert "risk 90, chance 10 %" in kim.get("/alerts").text
        assert in_order(kim.get("/alerts?least=medium").text) == [bob, ann]
        kim.give(bob, "resolved")
        assert in_order(kim.get("/alerts").text) == [ann, cy]
        assert in_order(kim.get("/alerts?state=resolved").text) == [bob]
        assert in_order(kim.get("/alerts?state=odd&least=odd&page=-7").text) == [ann, cy]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_long_queue_has_pages(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("new_database")() if kind == "postgresql" else None
    with serving(tmp_path, url) as page:
        page.log.take(sighting(f"user{n:02d}", risk=90 - n) for n in range(ON_PAGE + 3))
        kim = page.browser("kim")
        first, second = (in_order(kim.get(f"/alerts?page={n}").text) for n in (1, 2))
        assert (len(first), len(second)) == (ON_PAGE, 3) and not set(first) & set(second)
        assert in_order(kim.get("/alerts?page=99").text) == second
        assert in_order(kim.get(f"/alerts?page={'9' * 5_000}").text) == first
        assert 'rel="next"' in kim.get("/alerts").text
        assert kim.give(first[0], "resolved").status_code == 200
        assert "<circle" in kim.get(f"/alerts/{first[0]}").text
        assert in_order(kim.get("/alerts?state=resolved").text) == first[:1]


def test_an_alert_shows_risk_over_time_and_earlier_ones(served: Served) -> None:
    served.log.take(
        [sighting("ann", 0), sighting("bob", 0, 30), sighting("ann", 5, 90), sighting("bob", 5, 35)]
    )
    text = served.browser("vera").get(f"/alerts/{name_of('ann', 5)}").text
    assert text.count("<circle") == 2 * 2 and text.count('class="dot alert"') == 2
    assert "Highest risk 90 on 06 May, in 2 windows" in text and "<polygon" in text
    assert f'href="/alerts/{ANN}"' in text  # of before
    assert "3 ids of its events" in text and "e1 e2 e3" in text
    assert "Only windows that were raised" in text and "--events SOURCE" in text


def test_events_are_those_of_the_user(tmp_path: Path) -> None:
    asked: list[Any] = []

    def events(*about: Any) -> pl.DataFrame:
        asked.append(about)
        row = {"event_id": "e1", "user_id": "ann", "timestamp": NOON, "action": "read"}
        return pl.DataFrame([{**row, "resource": "/home/ann"}], schema=EVENT_SCHEMA)

    with serving(tmp_path, events=events) as page:
        page.log.take([sighting("ann")])
        vera = page.browser("vera")
        assert f'data-load="/alerts/{ANN}/events"' in vera.get(f"/alerts/{ANN}").text
        text = vera.get(f"/alerts/{ANN}/events?window=7").text
        assert 'class="inside"' in text and f"/home/{HIDDEN.of(['ann'])['ann']}" in text
        assert "/home/ann" not in text
    [(user, since, until)] = asked
    assert (user, (until - since).total_seconds()) == ("ann", 4 * 3600)


def test_a_database_that_is_away_is_said(page: Served) -> None:
    kim = page.browser("kim")
    with page.log.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE riskml_alert_log RENAME TO gone")
    answer = kim.get("/alerts")
    assert answer.status_code == 503 and "cannot be read" in answer.text


# ---- people


def test_a_file_of_people_that_is_spoilt_lets_nobody_in(page: Served) -> None:
    kim = page.browser("kim")
    page.file.write_text("kim analyst\n")
    for answer in (kim.get("/alerts"), Browser(page.url).sign_in(page.tokens["kim"])):
        assert answer.status_code == 503 and "log of the server" in answer.text
        assert "people.txt" not in answer.text


WRONG = {
    "nobody": ("# nobody\n", "names nobody who may sign in"),
    "no hash": ("kim analyst\n", "line 1 is not NAME ROLE HASH"),
    "no role": (f"kim boss {'0' * 64}\n", "role 'boss'"),
    "a token": (f"kim admin {new_person('x', Role.VIEWER)[1]}\n", "no SHA-256 of a token"),
    "twice": (f"kim admin {'0' * 64}\nkim viewer {'1' * 64}\n", "kim stands there twice"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_of_people_is_one_line(case: str, tmp_path: Path) -> None:
    text, told = WRONG[case]
    file = tmp_path / "people.txt"
    file.write_text(text)
    with pytest.raises(ConfigError, match=told):
        People(file)
    with pytest.raises(ConfigError, match=told):
        People(None, {"RISKML_PAGE_PEOPLE": text})
