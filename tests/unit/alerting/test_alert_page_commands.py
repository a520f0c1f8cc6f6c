"""`riskml alerts token` and `riskml alerts ui`: who may sign in, and what is wrong in one line."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from riskml.alerting.alert_log import AlertLog
from riskml.alerting.page.people import People, Role
from riskml.cli import main
from riskml.cli_alerts_page import _events
from riskml.cli_types import Reading
from riskml.core.errors import DataError
from tests.unit.alerting.page_client import NOON


def riskml(*words: object, **variables: str) -> Result:
    return CliRunner().invoke(main, ["alerts", *map(str, words)], env=variables)


def test_a_token_is_shown_once_and_kept_as_its_hash(tmp_path: Path) -> None:
    file = tmp_path / "people.txt"
    drawn = riskml("token", "Kim Lee", "--role", "analyst", "--tokens", file).stdout.strip()
    other = riskml("token", "ada", "--role", "admin", "--tokens", file).stdout.strip()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert drawn not in file.read_text() and len(drawn) >= 43
    people = People(file)
    kim, ada = people.with_token(drawn), people.with_token(f" {other}\n")
    assert kim is not None and (kim.name, kim.role) == ("Kim Lee", Role.ANALYST)
    assert ada is not None and ada.role is Role.ADMIN
    assert people.with_token("") is None
    again = riskml("token", "ada", "--role", "viewer", "--tokens", file)
    assert again.exit_code == 2 and "ada is there" in again.stderr


def test_a_line_can_go_into_a_variable() -> None:
    done = riskml("token", "kim", "--role", "viewer")
    line = done.stderr.removeprefix("line: ").strip()
    person = People(None, {"RISKML_PAGE_PEOPLE": line}).with_token(done.stdout)
    assert person is not None and person.name == "kim"


WRONG = {
    "no tables": ((), {}, "riskml alerts init makes it"),
    "nobody": ((), {}, "the variable RISKML_PAGE_PEOPLE names nobody"),
    "no file": (("--tokens", "none.txt"), {}, "--tokens none.txt cannot be read"),
    "half of TLS": (("--certfile", "x.pem"), {}, "TLS needs both"),
    "no scores": (("--scores", "nowhere"), {}, "nowhere: no scores there"),
    "no events": (("--events", "nowhere.csv"), {}, "--events nowhere.csv does not exist"),
    "no triage": (("--triage", "nowhere"), {}, "riskml triage --run FOLDER makes it"),
    "a short key": ((), {"RISKML_LINK_KEY": "short"}, "key of links has 5 characters"),
    "a short secret": ((), {"RISKML_PSEUDONYM_KEY": "short"}, "has 5 bytes"),
    "a bad name": (("--host", "no.such.name.invalid"), {}, "cannot listen at no.such.name"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_line(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    url, (words, variables, told) = f"sqlite:///{tmp_path}/alerts.db", WRONG[case]
    if case != "no tables":
        AlertLog(url).migrate()
    if case not in ("nobody", "no file"):
        riskml("token", "kim", "--role", "viewer", "--tokens", "people.txt")
        words = ("--tokens", "people.txt", *words)
    done = riskml("ui", "--log", url, *words, **variables)
    assert done.exit_code == 2 and told in done.stderr, done.output
    assert "Traceback" not in done.output


def test_what_is_wrong_with_a_log_is_said_in_options(tmp_path: Path) -> None:
    """The log is read when somebody looks, long after the command has begun."""
    file = tmp_path / "log.csv"
    file.write_text("who,timestamp,action\nann,2024-05-01T12:00Z,read\n")
    reading = Reading("events", (("user_id", "whom"),), None, None, None, None, 0.2)
    events = _events(str(file), reading)
    for _ in range(2):
        with pytest.raises(DataError, match="--column user_id=whom"):
            events("ann", NOON, NOON)
