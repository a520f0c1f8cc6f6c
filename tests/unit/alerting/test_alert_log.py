"""The alert log: each window once, repeats counted, every change in a chain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, text

from riskml.alerting.alert_log import AlertLog
from riskml.alerting.log_tables import METADATA, OUTBOX
from riskml.alerting.migrating import VERSIONS
from riskml.alerting.outbox import post
from riskml.alerting.sightings import Sighting
from riskml.alerting.states import AlertState, Severity
from riskml.alerting.suppression import Caps, Suppression
from riskml.alerting.taking import alert_name
from riskml.alerting.trail import Trail
from riskml.alerting.verification import verify
from riskml.core.errors import ConfigError, DataError

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def sighting(day: int = 0, user: str = "ann", risk: float = 60.0, topic: str = "hour") -> Sighting:
    start = NOON + timedelta(days=day)
    return Sighting(
        f"{user}/{start:%F}/{topic}",
        "model",
        user,
        start,
        start + timedelta(hours=2),
        3.5,
        0.001,
        risk,
        ({"topic": topic, "share": 2.0, "text": f"unusual {topic}"},),
        event_ids={"count": 2, "ids": [f"{user}-1", f"{user}-2"]},
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> AlertLog:
    url = f"sqlite:///{tmp_path}/alerts.db"
    if request.param == "postgresql":
        new_database: Callable[[], str] = request.getfixturevalue("new_database")
        url = new_database()
    made = AlertLog(url)
    made.migrate()
    return made


def outbox(log: AlertLog) -> list[tuple[str, str]]:
    with log.engine.connect() as connection:
        query = select(OUTBOX.c.kind, OUTBOX.c.key).order_by(OUTBOX.c.number)
        return [tuple(row) for row in connection.execute(query)]


def test_tables_are_those_of_the_code_and_made_once(log: AlertLog) -> None:
    assert log.migrate() == "0001"
    with log.engine.connect() as connection:
        names = {table.name for table in METADATA.sorted_tables}
        options = {
            "version_table": VERSIONS,
            "compare_type": True,
            "include_name": lambda name, kind, _: kind != "table" or name in names,
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, METADATA) == []


def test_tables_of_a_newer_riskml_are_refused_and_left(log: AlertLog) -> None:
    """As after a roll-back without the dump of before (docs/operations.md, Upgrade)."""
    with log.engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSIONS} SET version_num = '9999'"))
    for look in (log.migrate, log.find):
        with pytest.raises(DataError, match=r"version 9999, this riskml knows .* restore a dump"):
            look()
    with log.engine.connect() as connection:
        query = text(f"SELECT version_num FROM {VERSIONS}")
        assert connection.execute(query).scalar_one() == "9999"


def test_repeats_are_counted_and_people_told_once(log: AlertLog) -> None:
    first = log.take([sighting(0)], at=NOON)
    assert (first.new, first.alerts, first.told) == (1, 1, 1)
    again = log.take([sighting(0), sighting(1)], at=NOON)
    assert (again.new, again.known, again.alerts, again.told) == (1, 1, 0, 0)
    assert again.rules == {"repeat": 1}
    [row] = log.find().to_dicts()
    assert (row["count"], row["risk"], row["state"]) == (2, 60.0, "open")
    assert row["first_seen"] == sighting(0).window_start
    assert row["last_seen"] == sighting(1).window_end
    assert outbox(log) == [("trigger", f"{row['alert_id']}/medium")]


def test_another_user_or_reason_or_a_long_time_is_another_alert(log: AlertLog) -> None:
    seen = [sighting(0), sighting(0, user="bob"), sighting(0, topic="resources"), sighting(5)]
    assert log.take(seen).alerts == 4


def test_a_higher_severity_breaks_through(log: AlertLog) -> None:
    log.take([sighting(0)])
    done = log.take([sighting(1, risk=95.0)])
    assert (done.alerts, done.told, done.rules) == (0, 1, {"risen": 1})
    [row] = log.find(least=Severity.CRITICAL).to_dicts()
    assert (row["severity"], row["risk"], row["count"]) == ("critical", 95.0, 2)


def test_what_was_judged_is_quiet_until_it_is_graver(log: AlertLog) -> None:
    log.take([sighting(0)])
    name = alert_name(sighting(0))
    log.change(name, AlertState.FALSE_ALARM, "kim", "on call")
    assert log.take([sighting(1)]).rules == {"judged": 1}
    assert log.history(name).alert["state"] == "false_alarm"
    assert log.take([sighting(2, risk=80.0)]).rules == {"risen": 1}
    assert log.history(name).alert["state"] == "open"


def test_what_was_put_right_and_is_back_is_raised_anew(log: AlertLog) -> None:
    log.take([sighting(0)])
    log.change(alert_name(sighting(0)), AlertState.RESOLVED, "kim")
    assert log.take([sighting(1)]).alerts == 1


def test_states_follow_their_order(log: AlertLog) -> None:
    log.take([sighting(0)])
    name = alert_name(sighting(0))
    log.change(name, AlertState.ACKNOWLEDGED, "kim", "looking")
    with pytest.raises(DataError, match="is acknowledged and cannot become open; it can become"):
        log.change(name, AlertState.OPEN, "kim")
    log.change(name, AlertState.RESOLVED, "kim")
    log.change(name, AlertState.OPEN, "lee", "it goes on")
    found = log.history(name)
    assert [(e.what, e.who) for e in found.trail] == [
        ("raised", "riskml"),
        ("acknowledged", "kim"),
        ("resolved", "kim"),
        ("open", "lee"),
    ]
    assert [kind for kind, _ in outbox(log)] == ["trigger", *["changed"] * 3]
    with pytest.raises(DataError, match="who is empty"):
        log.change(name, AlertState.RESOLVED, " ")
    with pytest.raises(DataError, match="has no alert 'nobody'"):
        log.change("nobody", AlertState.RESOLVED, "kim")


def test_what_fails_midway_leaves_nothing(log: AlertLog) -> None:
    broken = replace(sighting(1), window_end=None)  # type: ignore[arg-type]
    with pytest.raises((DataError, TypeError)):
        log.take([sighting(0), broken])
    assert log.find().is_empty() and outbox(log) == []
    assert log.take([sighting(0)]).alerts == 1


def test_an_untouched_log_has_no_faults_and_a_head_that_stays_in_the_chain(log: AlertLog) -> None:
    assert verify(log).faults == ()
    log.take([sighting(0), sighting(1), sighting(0, user="bob")])
    early = verify(log)
    assert (early.faults, early.entries, early.alerts) == ((), 3, 2)
    log.change(alert_name(sighting(0)), AlertState.ACKNOWLEDGED, "kim")
    assert verify(log, early.head).faults == ()
    assert "does not go through" in verify(log, f"3:{'0' * 64}").faults[0]


@pytest.mark.parametrize("head", ["", "3:0000", "3", f"x3:{'0' * 64}"])
def test_what_is_no_head_is_no_sign_of_tampering(log: AlertLog, head: str) -> None:
    log.take([sighting(0)])
    with pytest.raises(ConfigError, match="is no head"):
        verify(log, head)


def test_the_head_of_a_log_without_entries_stays_in_the_chain(log: AlertLog) -> None:
    head = verify(log).head
    log.take([sighting(0)])
    assert verify(log, head).faults == ()


TAMPERED = {
    "UPDATE riskml_alert_log SET state = 'resolved'": "state of alert",
    "UPDATE riskml_alert_log SET risk = 1": "risk of alert",
    "UPDATE riskml_alert_log SET user_id = 'eve'": "user_id of alert",
    "UPDATE riskml_alert_log SET peer = 'board'": "peer of alert",
    "UPDATE riskml_alert_log SET signature = 'x'": "signature of alert",
    "UPDATE riskml_alert_log SET last_seen = '2020-01-01 00:00:00.000000'": "last_seen of alert",
    "UPDATE riskml_alert_log SET notified_at = NULL": "notified_at of alert",
    "UPDATE riskml_alert_sightings SET reasons = '[]'": "was changed",
    "UPDATE riskml_alert_sightings SET event_ids = NULL": "was changed",
    "UPDATE riskml_alert_sightings SET rule = 'repeat'": "was changed",
    "UPDATE riskml_alert_sightings SET told = false": "was changed",
    "DELETE FROM riskml_alert_outbox": "was taken out",
    "UPDATE riskml_alert_outbox SET key = 'x' WHERE kind = 'changed'": "is not in the trail",
    "UPDATE riskml_alert_outbox SET kind = 'digest' WHERE kind = 'trigger'": "was changed",
    "UPDATE riskml_alert_outbox SET content = '{}' WHERE kind = 'changed'": "was changed",
    "UPDATE riskml_alert_outbox SET alert_id = 'x'": "was changed",
    "DELETE FROM riskml_alert_sightings WHERE rule = 'repeat'": "was taken out",
    "UPDATE riskml_alert_trail SET who = 'lee' WHERE number = 3": "entry 3",
    "UPDATE riskml_alert_trail SET content = '{\"risk\": 1}' WHERE number = 3": "entry 3",
    "UPDATE riskml_alert_trail SET content = 'x' WHERE number = 2": "entry 2 cannot be read",
    "UPDATE riskml_alert_trail SET content = '[]' WHERE number = 2": "entry 2 cannot be read",
    "DELETE FROM riskml_alert_trail WHERE number = 2": "are missing",
    "DELETE FROM riskml_alert_trail WHERE number = 3": "state of alert",
}


@pytest.mark.parametrize("statement", TAMPERED)
def test_tampering_shows(log: AlertLog, statement: str) -> None:
    log.take([sighting(0), sighting(1)])
    log.change(alert_name(sighting(0)), AlertState.ACKNOWLEDGED, "kim")
    assert verify(log).faults == ()
    with log.engine.begin() as connection:
        if "trail" in statement:
            _disarm(log, connection)
        connection.execute(text(statement.replace(":", "\\:")))
    assert any(TAMPERED[statement] in fault for fault in verify(log).faults)


def test_when_people_were_told_is_in_the_trail(log: AlertLog) -> None:
    """Of a first window and of one that is graver; a reminder is no news."""
    rules = Suppression(remind=timedelta(hours=1))
    assert log.take([sighting(0)], rules, NOON).told == 1
    assert log.take([sighting(1)], rules, NOON + timedelta(hours=2)).rules == {"reminder": 1}
    assert verify(log).faults == ()
    assert log.take([sighting(2, risk=99.0)], rules, NOON + timedelta(hours=3)).told == 1
    assert verify(log).faults == ()


def test_a_log_of_an_older_riskml_has_no_seals_of_notices(log: AlertLog) -> None:
    log.take([sighting(0)])
    with log.alone("no") as connection:
        key = "report/week"
        post(connection, "", "letter", key, NOON, to="kim")
        Trail(connection).add("", NOON, "riskml", "letter", "to kim", notice=key)
    assert verify(log).faults == ()


def test_a_time_that_is_none_shows(log: AlertLog) -> None:
    if log.engine.dialect.name == "postgresql":
        pytest.skip("its times are always times")
    log.take([sighting(0)])
    with log.engine.begin() as connection:
        connection.execute(text("UPDATE riskml_alert_log SET last_seen = 'noon'"))
    with pytest.raises(DataError, match=r"tampered with: a value is none: .*'noon'"):
        verify(log)


def _disarm(log: AlertLog, connection) -> None:  # type: ignore[no-untyped-def]
    """As somebody could who owns the tables."""
    if log.engine.dialect.name == "postgresql":
        connection.execute(text("ALTER TABLE riskml_alert_trail DISABLE TRIGGER USER"))
    else:
        for verb in ("update", "delete"):
            connection.execute(text(f"DROP TRIGGER riskml_alert_trail_no_{verb}"))


@pytest.mark.parametrize(
    "verb", ["UPDATE riskml_alert_trail SET who = 'x'", "DELETE FROM riskml_alert_trail"]
)
def test_the_database_keeps_the_trail(log: AlertLog, verb: str) -> None:
    log.take([sighting(0)])
    with pytest.raises(Exception, match="only added to"), log.engine.begin() as connection:
        connection.execute(text(verb))


def test_without_tables_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="riskml alerts init"):
        AlertLog(f"sqlite:///{tmp_path}/empty.db").find()


def test_what_was_capped_is_told_once_there_is_room(log: AlertLog) -> None:
    rules = Suppression(caps=Caps(user=1))
    seen = [sighting(0), sighting(0, topic="resources")]
    assert log.take(seen, rules).rules == {"first": 1, "cap_user": 1}
    done = log.take([sighting(1, topic="resources")], rules)  # more than a day after what was told
    assert (done.alerts, done.told, done.rules) == (0, 1, {"first": 1})
    assert log.take([sighting(2, topic="resources")], rules).rules == {"repeat": 1}
    assert verify(log).faults == ()


def test_whoever_is_shown_a_name_is_in_the_trail(log: AlertLog) -> None:
    log.take([sighting(0)], at=NOON)
    alert_id = alert_name(sighting(0))
    before = verify(log)
    assert log.unveil(alert_id, "ada", "asked by HR", NOON) == "ann"
    entry = log.history(alert_id).trail[-1]
    assert (entry.who, entry.what, entry.why) == ("ada", "unveiled", "asked by HR")
    for who, why in (("", "asked by HR"), ("ada", " ")):
        with pytest.raises(DataError, match="is empty"):
            log.unveil(alert_id, who, why)
    with pytest.raises(DataError, match="has no alert"):
        log.unveil("none", "ada", "asked by HR")
    after = verify(log, before.head)
    assert (after.entries, after.faults) == (before.entries + 1, ())
    assert verify(log, after.head).faults == ()
