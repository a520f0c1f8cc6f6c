"""`riskml load` and `riskml ddl` as a person types them."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from riskml.cli import main

SECRET = "hunter2"


def riskml(*words: str, **environment: str) -> Result:
    return CliRunner().invoke(main, list(words), env=environment)


@pytest.fixture
def databases(tmp_path: Path) -> dict[str, str]:
    source = sqlite3.connect(tmp_path / "source.db")
    source.execute("CREATE TABLE logins (event_id, who TEXT, login_time TIMESTAMP)")
    source.executemany(
        "INSERT INTO logins VALUES (?, ?, ?)",
        [(f"e{i}", f"u{i % 3}", f"2024-01-31 {i % 24:02}:00:00.000000") for i in range(50)],
    )
    source.commit()
    source.close()
    return {
        "RISKML_FROM_URL": f"sqlite:///{tmp_path / 'source.db'}",
        "RISKML_TO_URL": f"sqlite:///{tmp_path / 'store.db'}",
    }


LOAD = ["load", "--pipeline", "p", "--table", "logins", "--column", "user_id=who"]
OURS = [*LOAD, "--time-zone", "UTC", "--default-action", "login"]


def test_a_load_reports_and_a_second_changes_nothing(databases: dict[str, str]) -> None:
    first = riskml(*OURS, **databases)
    assert first.exit_code == 0, first.output
    assert "50 loaded, 0 duplicates, 0 rejected, 0 too late; up to 2024-01-31 23:00" in first.stdout
    second = riskml(*OURS, "--overlap", "1d", "--json", **databases)
    report = json.loads(second.stdout)
    assert (report["loaded"], report["duplicates"], report["missing"]) == (0, 50, 0)


def test_the_url_on_the_command_line_wins(databases: dict[str, str], tmp_path: Path) -> None:
    other = f"sqlite:///{tmp_path / 'other.db'}"
    assert "50 loaded" in riskml(*OURS, "--to", other, "--into", "log", **databases).stdout
    tables = sqlite3.connect(tmp_path / "other.db").execute("SELECT name FROM sqlite_master")
    assert {"log", "log_ids", "log_late", "log_quarantine"} <= {name for (name,) in tables}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--overlap", "2"], "write for example 30s, 90m, 2h"),
        (["--overlap", "0s"], "overlap="),
        (["--column", "user_id"], "write for example user_id=employee"),
        (["--column", "user=who"], "did you mean 'user_id'"),
        (["--batch", "0"], "batch_rows=0"),
        (["--table", "login"], "did you mean 'logins'"),
        (["--column", "event_id=evnt"], "--column event_id="),
        (["--time-zone", "Berlin"], "Europe/Berlin"),
        (["--ingested-column", "arrived"], "no column 'arrived'"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    databases: dict[str, str], words: list[str], message: str
) -> None:
    result = riskml(*OURS, *words, **databases)
    assert result.exit_code == 2
    assert message in result.stderr.splitlines()[-1]


def test_without_a_database_it_says_how_to_name_one(databases: dict[str, str]) -> None:
    assert "Set RISKML_FROM_URL, or give --from URL" in riskml(*OURS).stderr
    only = {"RISKML_FROM_URL": databases["RISKML_FROM_URL"]}
    assert "Set RISKML_TO_URL, or give --to URL" in riskml(*OURS, **only).stderr


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql+psycopg://u:{SECRET}@127.0.0.1:9/d",
        f"postgresql+psycopg://u:x@{SECRET}@127.0.0.1/d",
        f"postgresql+psycopg://u:x/{SECRET}@127.0.0.1/d",
        f"nosuchdatabase://u:{SECRET}@host/d",
        f"mysql+pymysql://u:{SECRET}@host/d",
        SECRET,
    ],
)
@pytest.mark.parametrize("variable", ["RISKML_FROM_URL", "RISKML_TO_URL"])
def test_a_password_is_never_shown(databases: dict[str, str], url: str, variable: str) -> None:
    result = riskml(*OURS, **{**databases, variable: url})
    assert result.exit_code == 2 and result.stderr.startswith("error: ")
    assert SECRET not in result.output and len(result.stderr.splitlines()) == 1


def test_a_source_file_that_is_not_there_is_not_made(
    databases: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "nowhere.sqlite"
    result = riskml(*OURS, **{**databases, "RISKML_FROM_URL": f"sqlite:///{file}"})
    assert result.exit_code == 2 and f"{file} does not exist" in result.stderr
    assert not file.exists()


def test_the_tables_are_printed() -> None:
    printed = riskml("ddl", "--first", "2023-12", "--last", "2024-02", "--table", "log").stdout
    assert "PARTITION BY RANGE (login_time)" in printed
    assert "CREATE INDEX log_user_time ON log (user_id, login_time)" in printed
    assert "CREATE INDEX log_time ON log (login_time)" in printed
    assert "FROM ('2023-12-01 00:00:00+00') TO ('2024-01-01 00:00:00+00')" in printed
    assert printed.count("PARTITION OF log ") == 3


def test_the_printed_tables_are_those_that_a_load_uses(
    databases: dict[str, str], tmp_path: Path
) -> None:
    with sqlite3.connect(tmp_path / "store.db") as store:
        store.executescript(riskml("ddl", "--dialect", "sqlite").stdout)
    assert "50 loaded" in riskml(*OURS, **databases).stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--last", "2024-01"], "--last needs --first"),
        (["--first", "2024-02", "--last", "2024-01"], "is before"),
        (["--first", "January"], "write for example 2024-01"),
        (["--dialect", "postgres"], "did you mean 'postgresql'"),
    ],
)
def test_impossible_tables_are_refused(words: list[str], message: str) -> None:
    result = riskml("ddl", *words)
    assert result.exit_code == 2 and message in result.stderr


def test_help_helps() -> None:
    shown = riskml("load", "--help").stdout
    assert "RISKML_FROM_URL" in shown and "Exit codes" in shown and "--overlap" in shown
    assert {"load", "ddl"} <= set(riskml("--help").stdout.split())


KEY = {"RISKML_PSEUDONYM_KEY": "0123456789abcdef" * 2}


def limits(folder: Path, text: str) -> list[str]:
    (folder / "limits.yaml").write_text(text)
    return ["--quality", str(folder / "limits.yaml")]


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("rule_limits: {missing_user: 2}", [], "--check rule_limits.missing_user=2"),
        ("actions: {volumes: warn}", [], "did you mean 'volume'"),
        ("max_text: 3", [], "max_text_length"),
        ("[1, 2]", [], "must hold settings"),
        ("{", [], "cannot be read"),
        ("_target_: riskml.data.sources.CsvSource", [], "_target_ must be"),
        ("", ["--check", "volume_weeks"], "write for example actions.volume=refuse"),
        ("", ["--check", "volume_weeks=-1"], "--check volume_weeks=-1"),
        ("", ["--check", "volume_weeks=many"], "volume_weeks=many must be a number"),
        ("", ["--max-rejected-share", "2"], "max-rejected-share=2"),
        ("", ["--no-checks"], "--quality is for a load with --checks"),
        ("", ["--keep", "x"], "--keep is for a load with --pseudonyms"),
        ("", ["--pseudonyms"], "RISKML_PSEUDONYM_KEY (--key-variable) is not set"),
        ("", ["--pseudonyms", "--hashed", "user_id"], "--replace_in and .hashed"),
    ],
)
def test_impossible_limits_are_one_line(
    databases: dict[str, str], tmp_path: Path, text: str, words: list[str], message: str
) -> None:
    result = riskml(*OURS, *limits(tmp_path, text), *words, **databases)
    assert result.exit_code == 2, result.output
    assert message in result.stderr and len(result.stderr.splitlines()) == 1


def test_a_limit_refuses_and_the_message_says_what_to_type(
    databases: dict[str, str], tmp_path: Path
) -> None:
    refused = riskml(*OURS, *limits(tmp_path, "max_text_length: 1"), **databases)
    assert refused.exit_code == 2 and "allows" in refused.stderr
    assert "go on without these rows with --max-rejected-share=1" in refused.stderr
    words = ["--check", "max_text_length=9", "--max-rejected-share", "1"]
    again = riskml(*OURS, *limits(tmp_path, "max_text_length: 1"), *words, **databases)
    assert "50 loaded" in again.stdout


def test_pseudonyms_are_those_that_the_command_shows(
    databases: dict[str, str], tmp_path: Path
) -> None:
    salts = str(tmp_path / "salts.sqlite")
    words = ["--pseudonyms", "--pseudonym-store", salts]
    assert "50 loaded" in riskml(*OURS, *words, **databases, **KEY).stdout
    shown = riskml("pseudonyms", "show", "u1", "--store", salts, **KEY).stdout.strip()
    with sqlite3.connect(tmp_path / "store.db") as store:
        users = {user for (user,) in store.execute("SELECT user_id FROM events")}
    assert shown in users and len(users) == 3 and all(user.startswith("p_") for user in users)
