"""The command `riskml score`."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from riskml.cli import main
from riskml.serving.folder_store import FolderStore
from riskml.serving.score_tables import METADATA
from riskml.serving.summary import Summary

ROOT = Path(__file__).parents[2]
OLD = ROOT / "tests" / "data" / "bundles" / "format_3"
DOCS = (ROOT / "docs" / "scoring-job.md").read_text()


def score(*words: object, bundle: Path = OLD / "bundle") -> Result:
    return CliRunner().invoke(main, ["score", "--bundle", str(bundle), *map(str, words)])


def test_summary_as_json_and_in_words(tmp_path: Path) -> None:
    source = ("--source", OLD / "events.parquet", "--out", tmp_path / "scores")
    result = score(*source, "--until", "2024-02-02", "--json")
    assert result.exit_code == 0, result.stderr
    champion = json.loads(result.stdout)["champion"]
    assert list(champion) == [field.name for field in fields(Summary)]
    assert champion["windows_closed"] == 90 and champion["alerts"] == 33
    again = score(*source, "--dry-run")
    assert "0 new events, 9 duplicates" in again.stdout and "nothing written" in again.stdout


def test_docs_name_every_field_table_and_column() -> None:
    said = set(re.findall(r"`(\w+)`", DOCS))
    assert {field.name for field in fields(Summary)} <= said
    names = {table.name for table in METADATA.sorted_tables}
    assert names <= said
    columns = {c.name for table in METADATA.sorted_tables for c in table.columns}
    assert columns - {"batch", "updated", "name", "content"} <= said


def test_docs_name_every_option() -> None:
    shown = set(re.findall(r"--[a-z-]+", CliRunner().invoke(main, ["score", "--help"]).output))
    told_by_help_alone = {"--help", "--bundle", "--table", "--batch", "--time-zone"}
    assert shown - told_by_help_alone - {"--default-action"} <= set(re.findall(r"--[a-z-]+", DOCS))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "x"], "give --source, or set RISKML_SCORE_SOURCE"),
        (["--source", "x.parquet"], "give --out, or set RISKML_SCORE_OUT"),
        (["--source", "no.parquet", "--out", "o"], "no.parquet does not exist"),
        (["--source", "no.txt", "--out", "o"], "its name tells no kind"),
        (["--source", "sqlite:///no.db", "--out", "o"], "no.db does not exist"),
        (["--source", "no.csv", "--out", "mysql://u@h/d"], "driver|PostgreSQL or SQLite"),
        (["--source", "e.parquet", "--out", "o", "--batch", "0"], "--batch=0 must be at least 1"),
        (["--source", "e.parquet", "--out", "o", "--overlap", "2x"], "no duration"),
        (["--source", "e.parquet", "--out", "o", "--since", "soon"], "'soon' is no time"),
    ],
)
def test_wrong_input_is_one_line_and_code_2(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = score(*words)
    assert result.exit_code == 2 and re.search(message, result.stderr), result.stderr
    if "Usage" not in result.stderr:
        assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("user,timestamp,action\nann,2024-05-01T10:00:00Z,login\n", "--column user_id=user"),
        ("user_id;timestamp;action\nann;2024-05-01;login\n", "give --separator=';'"),
        (
            "user_id,timestamp,action\nann,2024-05-01 10:00,login\n",
            "--max-rejected-share=0.2 allows.*; set --time-zone=UTC or your own",
        ),
    ],
)
def test_what_is_wrong_with_a_log_is_said_in_options(
    rows: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "log.csv").write_text(rows)
    result = score("--source", tmp_path / "log.csv", "--out", tmp_path / "o", "--dry-run")
    assert result.exit_code == 2 and re.search(message, result.stderr), result.stderr
    assert "columns." not in result.stderr and "_share" not in result.stderr


def test_separator_and_format_can_be_told(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user_id;timestamp;action\nann;02/01/2024 10.00;login\n")
    words = ["--separator", ";", "--timestamp-format", "%d/%m/%Y %H.%M", "--time-zone", "UTC"]
    result = score(*words, "--source", tmp_path / "log.csv", "--out", tmp_path / "o", "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert "up to 2024-01-02 10:00:00 UTC" in result.stdout


def test_the_same_model_cannot_challenge_itself(tmp_path: Path) -> None:
    words = ["--source", OLD / "events.parquet", "--out", tmp_path / "o"]
    result = score(*words, "--challenger", OLD / "bundle")
    assert result.exit_code == 2 and "the same model" in result.stderr


def test_a_missing_column_names_it(tmp_path: Path) -> None:
    words = ["--source", OLD / "events.parquet", "--out", tmp_path / "o"]
    result = score(*words, "--column", "user_id=employee")
    assert result.exit_code == 2 and "no column 'employee'" in result.stderr


def test_another_job_at_work_is_code_3(tmp_path: Path) -> None:
    words = ["--source", OLD / "events.parquet", "--out", tmp_path / "o", "--wait", "0s"]
    with FolderStore(tmp_path / "o").alone("x", timedelta(0)):
        result = score(*words)
    assert result.exit_code == 3 and len(result.stderr.splitlines()) == 1
    assert score(*words).exit_code == 0
