"""`riskml quality` as a person types it, on a store that `riskml load` has filled."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from riskml.cli import main

LOAD = ["load", "--pipeline", "p", "--table", "logins", "--column", "user_id=who"]
LOAD += ["--time-zone", "UTC", "--default-action", "login"]
DAY = ["--since", "2024-01-31", "--until", "2024-02-01"]


class Log:
    """A source of SQLite and its store."""

    def __init__(self, folder: Path) -> None:
        self.source, self.store = folder / "source.db", folder / "store.db"
        self.run("CREATE TABLE logins (event_id, who TEXT, login_time TIMESTAMP)")

    def run(self, query: str, rows: list[tuple[object, ...]] | None = None) -> None:
        with sqlite3.connect(self.source) as connection:
            connection.executemany(query, [()] if rows is None else rows)

    def arrive(self, day: str, users: list[str | None], name: str = "e") -> None:
        begin = datetime.fromisoformat(day)
        rows = [
            (f"{name}{day}-{i}", user, f"{begin + timedelta(minutes=10 * i)}.000000")
            for i, user in enumerate(users)
        ]
        self.run("INSERT INTO logins VALUES (?, ?, ?)", rows)

    def load(self, *words: str) -> Result:
        places = ["--from", f"sqlite:///{self.source}", "--to", f"sqlite:///{self.store}"]
        done = CliRunner().invoke(main, [*LOAD, *places, *words])
        assert done.exit_code == 0, done.output
        return done

    def judge(self, *words: str) -> Result:
        place = {"RISKML_TO_URL": f"sqlite:///{self.store}"}
        return CliRunner().invoke(main, ["quality", "--pipeline", "p", *words], env=place)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    made = Log(tmp_path)
    made.arrive("2024-01-31", ["a"] * 95 + [None] * 5)
    made.arrive("2024-02-01", ["a"] * 10)
    return made


def test_the_answer_does_not_depend_on_when_it_was_loaded_and_how_often(log: Log) -> None:
    said = []
    for until in ("2024-02-01", "2024-02-01", "2024-02-02"):
        log.load("--until", until)
        said.append(log.judge(*DAY, "--json"))
    assert [each.exit_code for each in said] == [0, 0, 0]
    assert said[0].stdout == said[1].stdout == said[2].stdout
    told = json.loads(said[0].stdout)
    assert (told["events"], told["rejected"], told["late"], told["passed"]) == (95, 5, 0, True)
    assert told["faults"] == told["warnings"] == []
    assert "95 events, 5 rejected, 0 too late from 2024-01-31 00:00" in log.judge(*DAY).stdout


def test_too_many_rows_in_quarantine_are_exit_code_3(log: Log) -> None:
    log.load()
    found = log.judge(*DAY, "--max-rejected-share", "0.04", "--json")
    assert found.exit_code == 3 and not json.loads(found.stdout)["passed"]
    assert "5 of 100 rows (5.0%) lie in quarantine" in found.stderr
    assert "--max-rejected-share=0.04" in found.stderr
    after = log.judge("--since", "2024-02-01", "--until", "2024-02-02", "--max-rejected-share", "0")
    assert after.exit_code == 0, "the day after has none"


def test_an_empty_day_is_exit_code_3(log: Log) -> None:
    log.load()
    empty = ["--since", "2024-02-02", "--until", "2024-02-03"]
    found = log.judge(*empty)
    assert found.exit_code == 3 and "--least-events=1" in found.stderr
    assert log.judge(*empty, "--least-events", "0").exit_code == 0


def test_rows_that_came_too_late_count_until_they_are_loaded(log: Log) -> None:
    log.load()
    log.arrive("2024-01-31", ["b"] * 10, name="late")
    log.load()
    found = log.judge(*DAY)
    assert found.exit_code == 3 and "10 of 110 rows (9.1%) came too late" in found.stderr
    assert log.judge(*DAY, "--max-late-share", "0.1").exit_code == 0
    log.load("--overlap", "3d")
    assert "105 events, 5 rejected, 0 too late" in log.judge(*DAY).stdout


def test_a_row_without_time_counts_where_it_was_noticed(log: Log) -> None:
    log.run("INSERT INTO logins VALUES ('timeless', 'a', NULL)")
    log.load()
    assert json.loads(log.judge(*DAY, "--json").stdout)["rejected"] == 5
    now = datetime.now()
    days = (now - timedelta(days=2), now + timedelta(days=2))
    today = [
        word
        for option, day in zip(("--since", "--until"), days, strict=True)
        for word in (option, f"{day:%F}")
    ]
    assert json.loads(log.judge(*today, "--json").stdout)["rejected"] == 1


def test_a_day_far_emptier_than_usual_warns_or_refuses(tmp_path: Path) -> None:
    log = Log(tmp_path)
    begin = datetime(2024, 1, 1)
    for day in range(36):
        log.arrive(f"{begin + timedelta(days=day):%F}", ["a"] * (9 if day == 35 else 90))
    log.load()
    last = ["--since", "2024-02-05", "--until", "2024-02-06"]
    warned, refused = log.judge(*last), log.judge(*last, "--volume", "refuse")
    assert warned.exit_code == 0 and "look at Monday 2024-02-05 has 9 events" in warned.stderr
    assert refused.exit_code == 3 and "Monday 2024-02-05 has 9 events" in refused.stderr
    assert log.judge(*last, "--volume", "ignore").stderr == ""
    part = ["--since", "2024-02-05T01:00", "--until", "2024-02-06", "--volume", "refuse"]
    assert log.judge(*part).exit_code == 0, "a part of a day is compared with none"


def test_a_bad_day_does_not_hide_among_good_ones_until_it_is_accepted(log: Log) -> None:
    log.arrive("2024-02-02", ["a"] * 140)
    log.load()
    week = ["--since", "2024-01-27", "--until", "2024-02-03", "--max-rejected-share", "0.04"]
    assert log.judge(*week).exit_code == 0, "5 of 250 rows"
    found = log.judge(*week, "--each-day", "--json")
    told = json.loads(found.stdout)
    assert found.exit_code == 3 and (told["events"], told["rejected"]) == (245, 5)
    [fault] = told["faults"]  # the days before the first event are none of it
    assert fault.startswith("2024-01-31: 5 of 100 rows (5.0%) lie in quarantine")
    accepted = log.judge(*week, "--each-day", "--accept", "2024-01-31")
    assert accepted.exit_code == 0 and "look at 2024-01-31: 5 of 100 rows" in accepted.stderr
    beyond = ["--since", "2024-02-01", "--until", "2024-02-05", "--each-day"]
    assert "2024-02-03: 0 events, fewer than --least-events=1" in log.judge(*beyond).stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--since", "2024-02-01", "--until", "2024-02-01"], "--since must be before --until"),
        ([*DAY, "--max-late-share", "5"], "--max-late-share=5"),
        ([*DAY, "--least-events", "-1"], "--least-events=-1"),
        ([*DAY, "--volume-weeks", "0"], "--volume-weeks=0"),
        ([*DAY, "--accept", "2024-01-31"], "--accept names days: give --each-day, too"),
        ([*DAY, "--pipeline", "q"], "no pipeline 'q': "),
        ([*DAY, "--column", "time=x"], "time"),
        ([*DAY, "--time-zone", "Berlin"], "Europe/Berlin"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(log: Log, words: list[str], message: str) -> None:
    log.load()
    found = log.judge(*words)
    assert found.exit_code == 2 and message in found.stderr.splitlines()[-1]


def test_a_store_that_nothing_was_loaded_into_is_told(log: Log) -> None:
    found = log.judge(*DAY)
    assert found.exit_code == 2 and "it has loaded nothing yet" in found.stderr
