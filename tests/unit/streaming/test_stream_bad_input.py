"""What newcomers type and logs hold: one line with the remedy, or a dead letter, never an end."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from riskml.cli import main

BUNDLE = Path(__file__).parents[2] / "data" / "bundles" / "format_3" / "bundle"


def event(number: int, **more: object) -> dict[str, object]:
    time = f"2024-03-{1 + number // 24:02d}T{number % 24:02d}:00:00Z"
    return {"event_id": f"e{number}", "user_id": "ann", "timestamp": time, "action": "a", **more}


def log(path: Path, *events: dict[str, object]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(each) + "\n" for each in events))
    return path


def stream(folder: Path, source: Path, *words: str) -> Result:
    options = ["--bundle", str(BUNDLE), "--state", str(folder / "state"), "--source", str(source)]
    return CliRunner().invoke(main, ["stream", *options, *words])


def test_values_that_nothing_can_work_with_are_dead_letters(tmp_path: Path) -> None:
    wrong = [event(1, time_zone="Mars"), event(2, user_id="a\0b"), event(3, user_id="u" * 501)]
    source = log(tmp_path / "log.jsonl", event(0, time_zone="Asia/Seoul"), *wrong, event(4))
    letters = tmp_path / "dead.jsonl"
    done = stream(tmp_path, source, "--dead-letters", str(letters), "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stderr.splitlines()[-1])["events"] == 2
    rules = [json.loads(line)["rule"] for line in letters.read_text().splitlines()]
    assert rules == ["unknown_time_zone", "unusable_user", "unusable_user"]


def test_another_file_of_the_same_name_is_not_gone_on_with(tmp_path: Path) -> None:
    assert stream(tmp_path, log(tmp_path / "a" / "log.jsonl", event(0))).exit_code == 0
    other = log(tmp_path / "b" / "log.jsonl", *[event(n, user_id="bob") for n in range(9)])
    done = stream(tmp_path, other)
    assert done.exit_code == 2 and "begins with other lines" in done.stderr
    grown = log(tmp_path / "a" / "log.jsonl", event(0), event(1))
    done = stream(tmp_path, grown, "--json")
    assert json.loads(done.stderr.splitlines()[-1])["events"] == 1


@pytest.mark.parametrize("option", ["--sink", "--dead-letters"])
def test_the_file_that_is_read_is_not_written_to(option: str, tmp_path: Path) -> None:
    source = log(tmp_path / "log.jsonl", event(0))
    before = source.read_bytes()
    done = stream(tmp_path, source, option, f"file://{source}")
    assert done.exit_code == 2 and "is given twice" in done.stderr
    assert source.read_bytes() == before


def test_a_table_of_another_program_is_refused(tmp_path: Path) -> None:
    database = tmp_path / "other.db"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE riskml_scores (a)")
    source = log(tmp_path / "log.jsonl", event(0))
    done = stream(tmp_path, source, "--sink", f"sqlite:///{database}")
    assert done.exit_code == 2
    assert "the table riskml_scores has no column" in done.stderr


@pytest.mark.parametrize("batch", ["0", "9" * 30])
def test_impossible_batches_are_refused(batch: str, tmp_path: Path) -> None:
    done = stream(tmp_path, log(tmp_path / "log.jsonl", event(0)), "--batch", batch)
    assert done.exit_code == 2 and "--batch" in done.stderr
