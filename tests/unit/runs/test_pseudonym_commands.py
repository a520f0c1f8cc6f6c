"""`riskml pseudonyms` as a person types it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from riskml.cli import main
from riskml.core.pseudonyms import Pseudonyms, SaltStore

KEY = "k" * 32


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISKML_PSEUDONYM_KEY", KEY)


def riskml(*words: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(main, ["pseudonyms", *words], input=typed)


def test_help_names_the_commands() -> None:
    text = riskml("--help").stdout
    for word in ("show", "forget", "docs/privacy.md", "standard input"):
        assert word in text


def test_show_without_a_store() -> None:
    assert riskml("show", "alice").stdout.strip() == Pseudonyms(KEY.encode()).find("alice")


def test_show_and_forget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "salts.sqlite"
    name = Pseudonyms(KEY.encode(), SaltStore(path)).of(["alice"])["alice"]
    monkeypatch.setenv("RISKML_PSEUDONYM_STORE", str(path))
    assert riskml("show", "-", typed="alice\n").stdout.strip() == name
    assert "forgotten" in riskml("forget", "alice").stderr
    for command in ("show", "forget"):
        done = riskml(command, "alice")
        assert done.exit_code == 2
        assert "error: this user has no pseudonym" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["forget", "alice"], "data.pseudonyms.store=FILE"),
        (["forget", "alice", "--store", "nowhere"], "nowhere (the store of pseudonyms)"),
        (["show", "alice", "--key-variable", "NO_SUCH_KEY"], "NO_SUCH_KEY"),
    ],
)
def test_wrong_input(words: list[str], message: str) -> None:
    done = riskml(*words)
    assert done.exit_code == 2
    assert message in done.stderr
