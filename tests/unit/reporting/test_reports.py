"""Reports on a small log whose numbers can be counted by hand."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html import unescape
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy import insert

from riskml.alerting.alert_log import UNVEILED, AlertLog
from riskml.alerting.feedback import FeedbackStore, Judgement
from riskml.alerting.sightings import Sighting
from riskml.alerting.states import AlertState
from riskml.alerting.suppression import Acceptance, Suppression
from riskml.alerting.trail import entries
from riskml.alerting.verification import verify
from riskml.core.errors import ConfigError, DataError
from riskml.core.pseudonyms import Pseudonyms
from riskml.data.database import open_engine
from riskml.evaluation.reporting.blocks import Document, KeyNumber, KeyNumbers, Table, Text
from riskml.reporting.drift_file import read_drift
from riskml.reporting.generator import ReportGenerator, document
from riskml.reporting.periods import Length, Period
from riskml.reporting.score_facts import Scores
from riskml.reporting.summary import key_numbers
from riskml.reporting.view import Naming, View
from riskml.serving.score_tables import METADATA, QUARANTINE, SCORES

WEEK = Period(Length.WEEK, date(2024, 5, 12))
MONDAY = datetime(2024, 5, 6, 12, tzinfo=UTC)
CANARY = "canary.person@corp.example"
PSEUDONYMS = Pseudonyms(b"a key for a test, and for nothing")


def sighting(day: float, user: str, risk: float = 60.0, topic: str = "hour") -> Sighting:
    start = MONDAY + timedelta(days=day)
    reason = {"topic": topic, "share": 2.0, "text": f"unusual for {user}"}
    name = f"{user}/{day}/{topic}"
    end = start + timedelta(hours=2)
    return Sighting(name, "model-b", user, start, end, 3.5, 0.001, risk, (reason,), "sales")


@pytest.fixture
def log(tmp_path: Path) -> AlertLog:
    """This week 4 new alerts (1 repeat, 1 window accepted), the week before 2."""
    made = AlertLog(f"sqlite:///{tmp_path}/alerts.db")
    made.migrate()
    accepted = Acceptance(
        users=("lee",), until=MONDAY + timedelta(days=90), owner="ann", why="move"
    )
    rules = Suppression(accepted=(accepted,))
    windows = [
        sighting(-5, "kim", 55.0),
        sighting(-4, "max", 80.0, "failures"),
        sighting(0, "kim", 95.0, "count:usb_copy"),
        sighting(0.25, "kim", 70.0, "count:usb_copy"),
        sighting(1, CANARY, 76.0, "new_host_to_user"),
        sighting(2, "lee", 60.0),
        sighting(3, "max", 40.0, "action: <b>grant</b>"),
    ]
    for window in windows:
        made.take([window], rules, window.window_end + timedelta(hours=1))
    ids = alert_ids(made)
    judged = MONDAY + timedelta(hours=9)
    made.change(ids["kim", 95.0], AlertState.RESOLVED, "eve", "", judged)
    made.change(ids["max", 40.0], AlertState.FALSE_ALARM, "eve", "", judged + timedelta(days=4))
    made.change(ids["max", 80.0], AlertState.FALSE_ALARM, "eve", "", judged)
    return made


def alert_ids(log: AlertLog) -> dict[tuple[str, float], str]:
    rows = log.find().select("user_id", "risk", "alert_id").rows()
    return {(user, risk): alert_id for user, risk, alert_id in rows}


def generator(log: AlertLog, **more: object) -> ReportGenerator:
    clock = datetime(2024, 5, 13, 6, tzinfo=UTC)
    return ReportGenerator(log, PSEUDONYMS, clock=lambda: clock, **more)  # type: ignore[arg-type]


def numbers(view: View) -> dict[str, tuple[str, str]]:
    return {key.label: (key.value, key.detail) for key in key_numbers(view)}


def table(found: Document, caption: str) -> list[list[str]]:
    tables = [b for s in found.sections for b in s.blocks if isinstance(b, Table)]
    [one] = [each for each in tables if each.caption == caption]
    return [[cell.text for cell in line.cells] for line in one.lines]


def test_headline_numbers_are_those_counted_by_hand(log: AlertLog) -> None:
    found = numbers(generator(log).view(WEEK, "en"))
    assert found["new alerts"] == ("4", "before: 2 (+2)")
    assert found["high or critical"] == ("2", "before: 1 (+1)")
    assert found["users with alerts"] == ("4", "before: 2 (+2)")
    assert found["not yet closed"] == ("1", "before: 1 (±0)")
    low_to_high = "95% interval 9.5% to 91%"
    assert found["confirmed of judged"] == ("50%", f"{low_to_high}; before: 0%")
    assert found["median time to first action"] == ("18 h", "before: 4.2 days")


def test_alerts_and_what_became_of_them(log: AlertLog) -> None:
    found = document(generator(log).view(WEEK, "en"))
    assert table(found, "New alerts by severity, and what became of them") == [
        ["critical", "1", "0", "1", "0", "0", "0", "0"],
        ["high", "1", "1", "0", "0", "0", "0", "1"],
        ["medium", "1", "1", "0", "0", "1", "0", "0"],
        ["low", "1", "0", "0", "1", "0", "0", "0"],
        ["Total", "4", "2", "1", "1", "1", "0", "1"],
    ]
    assert table(found, "New alerts by their weightiest reason")[0][:4] == [
        "Number of “usb_copy”",
        "1",
        "0",
        "1",
    ]
    riskiest = table(found, "The riskiest new alerts")
    assert [row[3] for row in riskiest] == [
        "Number of “usb_copy”",
        "Host new to this user",
        "Unusual time of day",
        "Action “<b>grant</b>”",
    ]
    assert riskiest[0][1] == "6 May 14:00"


def test_what_was_suppressed_and_who_answers_for_it(log: AlertLog) -> None:
    found = document(generator(log).view(WEEK, "en"))
    assert table(found, "Raised windows by the rule that decided") == [
        ["Begins an alert", "yes", "3", "2"],
        ["Says the same again", "no", "1", "0"],
        ["Somebody answers for it", "no", "1", "0"],
    ]
    assert table(found, "Who answers for what") == [["ann: move", "1"]]


def test_accepted_windows_of_the_week_before_are_not_counted_again(tmp_path: Path) -> None:
    log = AlertLog(f"sqlite:///{tmp_path}/alerts.db")
    log.migrate()
    until = MONDAY + timedelta(days=90)
    rules = Suppression(accepted=(Acceptance(until=until, owner="ann", why="night (shift)"),))
    log.take([sighting(-0.75, "lee"), sighting(0.2, "lee"), sighting(1, "lee")], rules)
    found = document(generator(log).view(WEEK, "en"))
    assert table(found, "Who answers for what") == [["ann: night (shift)", "2"]]


def test_verdicts_on_windows_count_where_no_state_says_any(log: AlertLog, tmp_path: Path) -> None:
    store = FeedbackStore(f"sqlite:///{tmp_path}/feedback.db")
    window = f"{CANARY}/1/new_host_to_user"
    store.add([Judgement(window, CANARY, "true_incident", "eve", MONDAY, "model-b")])
    # the state of an ended alert says more than what somebody said of its window
    store.add([Judgement("kim/0/count:usb_copy", "kim", "false_alarm", "eve", MONDAY, "model-b")])
    found = numbers(generator(log, feedback=store).view(WEEK, "en"))
    assert found["confirmed of judged"][0] == "67%"


def score(user: str, day: int, **more: object) -> dict[str, object]:
    start = MONDAY + timedelta(days=day)
    return {
        "window_id": f"{user}/{day}",
        "model_version": "model-a" if day < 0 else "model-b",
        "role": "champion",
        "user_id": user,
        "peer": "sales",
        "window_start": start,
        "window_end": start + timedelta(hours=2),
        "n_events": 10,
        "score": 1.0,
        "p_value": 0.5,
        "risk": 20.0 + day,
        "alert": False,
        "learning": user == "new",
        "open": False,
        "scored_at": start,
        **more,
    }


@pytest.fixture
def scores(tmp_path: Path) -> Scores:
    """Two users a day, on Friday and Saturday none; also a challenger, and an open window."""
    place = f"sqlite:///{tmp_path}/risk.db"
    engine = open_engine(place)
    METADATA.create_all(engine)
    days = [day for day in range(-7, 7) if day not in (4, 5)]
    rows = [score(user, day) for day in days for user in ("kim", CANARY)]
    rows.append(score("kim", 1, model_version="next", role="challenger"))
    rows.append(score("kim", 6, window_id="open", open=True))
    apart = [
        {
            "model_version": "model-b",
            "digest": str(n),
            "event_id": None,
            "rule": rule,
            "reason": "",
            "record": "{}",
            "noticed": MONDAY + timedelta(days=day),
        }
        for n, (rule, day) in enumerate([("late_event", 0), ("late_event", 1), ("no_user", -3)])
    ]
    with engine.begin() as connection:
        connection.execute(insert(SCORES), rows)
        connection.execute(insert(QUARANTINE), apart)
    return Scores(place)


def test_coverage_gaps_and_quarantine(log: AlertLog, scores: Scores) -> None:
    view = generator(log, scores=scores).view(WEEK, "en")
    found = numbers(view)
    assert found["windows scored"] == ("10", "before: 14 (−4)")
    assert found["days without data"] == ("2", "before: 0 (+2)")
    made = document(view)
    warnings = [b.text for s in made.sections for b in s.blocks if isinstance(b, Text) and b.tone]
    assert "On 2 days no window was scored: 10 May, 11 May." in warnings
    days = table(made, "Day by day")
    assert days[0] == ["Mon 6 May", "20", "2", "2", "2", ""]
    assert days[4] == ["Fri 10 May", "0", "0", "0", "0", "no data"]
    # Thursday 14:00 to Sunday 12:00
    assert table(made, "Longest times without any window")[0][2] == "2.9 days"
    assert table(made, "Rows of the log that were set apart") == [
        ["Came after its window was closed", "2", "0"],
        ["Not an event (no_user)", "0", "1"],
    ]


def test_models_and_their_changes(log: AlertLog, scores: Scores) -> None:
    found = document(generator(log, scores=scores).view(WEEK, "en"))
    [model] = [section for section in found.sections if section.name == "model"]
    assert model.blocks[0] == Text("Since the period before the model has changed.")
    rows = table(found, "Models and what they scored")
    assert [(row[0], row[1], row[4]) for row in rows] == [
        ("next", "This period", "1"),
        ("model-b", "This period", "10"),
        ("model-a", "Before", "14"),
    ]


def test_a_folder_of_scores_tells_the_same(log: AlertLog, scores: Scores, tmp_path: Path) -> None:
    folder = tmp_path / "scores"
    wanted = scores.of(WEEK)
    for room, rows in (("scores", wanted.windows), ("quarantine", wanted.quarantine)):
        place = folder / room / "version=model-b"
        place.mkdir(parents=True)
        rows.filter(pl.col("model_version") == "model-b").write_parquet(
            place / "batch=000001.parquet"
        )
    versions = {"model-b": {"batch": 1, "open": 0, "role": "champion"}}
    (folder / "state.json").write_text(json.dumps({"format": 1, "versions": versions}))
    found = Scores(str(folder)).of(WEEK)
    assert found.counted.sort("window_end").equals(wanted.counted.sort("window_end"))
    assert found.empty_days == wanted.empty_days
    assert len(found.quarantine) == 2


def test_drift_is_told_and_a_wrong_file_refused(log: AlertLog, tmp_path: Path) -> None:
    file = tmp_path / "drift.json"
    latest = [
        {"quantity": "events", "psi": 0.3, "drifts": True},
        {"quantity": "minutes", "psi": 0.01, "drifts": False},
    ]
    said = {"format": 1, "model_version": "x", "periods": 9, "wakes": ["events"], "latest": latest}
    file.write_text(json.dumps(said))
    found = document(generator(log, drift=read_drift(file)).view(WEEK, "en"))
    assert table(found, "What moved furthest")[0] == ["events", "0.3", "yes"]
    texts = [b.text for s in found.sections for b in s.blocks if isinstance(b, Text)]
    assert any("Somebody should look at: events" in text for text in texts)
    file.write_text("{}")
    with pytest.raises(ConfigError, match="not what `riskml drift --json` writes"):
        read_drift(file)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_an_empty_period_and_nothing_before(log: AlertLog, language: str) -> None:
    period = Period(Length.MONTH, date(2023, 3, 31))
    made = generator(log).make(period, language, pdf=False)
    view = generator(log).view(period, language)
    assert view.words("empty") in made.html
    assert {key.value for key in key_numbers(view)} == {"0", "–"}


def test_nobody_is_named(log: AlertLog, scores: Scores) -> None:
    for language in ("en", "ko"):
        made = generator(log, scores=scores).make(WEEK, language, pdf=False)
        for user in (CANARY, "canary.person", "kim", "max", "lee"):
            assert not re.search(rf"\b{re.escape(user)}\b", seen(made.html)), user
        assert PSEUDONYMS.of([CANARY])[CANARY] in made.html
        assert CANARY not in made.text


def seen(html: str) -> str:
    """All that a reader can get at: pictures as well."""
    import base64

    pictures = re.findall(r"base64,([A-Za-z0-9+/=]+)", html)
    body = html[html.index("<body>") : html.index("<script>")]
    text = re.sub(r"base64,[A-Za-z0-9+/=]+", "", body)
    return unescape(text + "".join(base64.b64decode(each).decode() for each in pictures))


def test_names_are_shown_to_who_says_so_and_the_trail_has_it(log: AlertLog) -> None:
    made = generator(log).make(WEEK, "en", Naming("eve", "board meeting"), pdf=False)
    assert CANARY in made.html and "board meeting" in made.html
    with log.reading() as connection:
        unveiled = [entry for entry in entries(connection) if entry.what == UNVEILED]
    ids = alert_ids(log)
    # the older alerts of users that are shown have no window in this week
    assert {entry.alert_id for entry in unveiled} == {
        ids[each] for each in [("kim", 95.0), (CANARY, 76.0), ("lee", 60.0), ("max", 40.0)]
    }
    assert {(entry.who, entry.why) for entry in unveiled} == {("eve", "board meeting")}
    assert verify(log).count == 0


def test_names_in_texts_are_escaped(log: AlertLog) -> None:
    made = generator(log).make(WEEK, "en", Naming("eve", "<script>1</script>"), pdf=False)
    assert "<b>grant</b>" not in made.html and "&lt;b&gt;grant" in made.html
    assert "<script>1" not in made.html


def test_a_changed_log_is_said_so(log: AlertLog) -> None:
    with log.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE riskml_alert_log SET risk = 1 WHERE user_id = 'max'")
    found = document(generator(log).view(WEEK, "en"))
    texts = [b.text for b in found.sections[0].blocks if isinstance(b, Text)]
    assert any("does not hold" in text for text in texts)


def test_the_language_stands_in_the_page(log: AlertLog) -> None:
    made = generator(log).make(WEEK, "ko", pdf=False)
    assert '<html lang="ko">' in made.html
    assert "<title>주간 위험 보고서</title>" in made.html
    assert made.title == "주간 위험 보고서: 2024년 5월 6일~12일"
    [keys] = [
        b
        for b in document(generator(log).view(WEEK, "ko")).sections[0].blocks
        if isinstance(b, KeyNumbers)
    ]
    assert keys.items[0] == KeyNumber("4", "새 경보", "이전: 2 (+2)")


def test_scores_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no scores there"):
        Scores(str(tmp_path))
    with pytest.raises(DataError, match="there is no file"):
        Scores(f"sqlite:///{tmp_path}/no.db")
    assert replace(WEEK, last=date(2024, 5, 5)) == WEEK.before
