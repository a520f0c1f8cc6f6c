"""`riskml bundle`: what it says of a bundle, and the exit codes that scripts go by."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from riskml.cli import main
from riskml.export.seal import KEY_VARIABLE

OLD = Path(__file__).parents[1] / "data" / "bundles"
KEY = "k" * 32


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["bundle", *words], catch_exceptions=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OLD / "format_3" / "bundle", tmp_path / "bundle"))


def test_inspect_says_what_it_is(folder: Path) -> None:
    lines = dict(line.split(maxsplit=1) for line in run("inspect", str(folder)).output.splitlines())
    assert lines["format"] == "3"
    assert lines["detector"] == "vae"
    assert lines["runtimes"] == "torchscript"
    assert "torch 2." in lines["versions"]
    assert lines["signed"] == "no"
    manifest = json.loads(run("inspect", str(folder), "--json").output)
    assert lines["seal"] == manifest["seal"]


def test_inspect_knows_older_formats() -> None:
    output = run("inspect", str(OLD / "format_2" / "bundle")).output
    assert "format            2" in output


def test_inspect_shows_no_control_characters(folder: Path) -> None:
    from riskml.export.manifest import read_manifest, write_manifest

    write_manifest(folder, read_manifest(folder) | {"detector": "a\x1b[2Jb"})
    assert "\x1b" not in run("inspect", str(folder)).output


def test_verify_loads_it_or_says_why_not(folder: Path) -> None:
    result = run("verify", str(folder))
    assert result.exit_code == 0
    assert "not signed; it scores" in result.output
    (folder / "users.json").write_text("{}")
    result = run("verify", str(folder))
    assert result.exit_code == 2
    assert "users.json was changed after export" in result.output
    assert run("verify", str(folder / "nowhere")).exit_code == 2


def test_sign_then_only_that_key_will_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "set RISKML_BUNDLE_KEY" in run("sign", str(folder)).output
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    assert "is not signed" in run("verify", str(folder)).output
    assert run("sign", str(folder)).exit_code == 0
    assert "signed with your key" in run("verify", str(folder)).output
    monkeypatch.setenv(KEY_VARIABLE, "o" * 32)
    assert "signed with another key" in run("verify", str(folder)).output
    monkeypatch.delenv(KEY_VARIABLE)
    assert "not checked" in run("verify", str(folder)).output


def test_signing_makes_an_old_bundle_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(shutil.copytree(OLD / "format_2" / "bundle", tmp_path / "bundle"))
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    assert run("sign", str(folder)).exit_code == 0
    assert "format            3" in run("inspect", str(folder)).output


def test_a_damaged_bundle_is_not_signed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    (folder / "model.ts").write_bytes(b"other")
    result = run("sign", str(folder))
    assert result.exit_code == 2
    assert "model.ts was changed after export" in result.output
