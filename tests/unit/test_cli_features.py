"""`riskml features` as a person types it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from riskml.cli import main
from riskml.core.schema import EVENT_SCHEMA
from riskml.features.extractor import FeatureExtractor
from riskml.features.scale import read_windows
from riskml.features.volume import VolumeFeatures
from riskml.features.windows import UserDayWindows


def riskml(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    events = pl.DataFrame(
        {
            "event_id": [f"e{i}" for i in range(60)],
            "user_id": [f"user{i % 4}" for i in range(60)],
            "timestamp": [datetime(2024, 3, 4, tzinfo=UTC) + timedelta(hours=i) for i in range(60)],
            "action": [f"action{i % 3}" for i in range(60)],
        },
        schema_overrides=EVENT_SCHEMA,
    ).with_columns(pl.lit(None, EVENT_SCHEMA[name]).alias(name) for name in list(EVENT_SCHEMA)[4:])
    FeatureExtractor(UserDayWindows(), {"volume": VolumeFeatures(3)}).fit(events).save(
        tmp_path / "features"
    )
    for day in range(2):
        file = tmp_path / "log" / f"day={day}" / "events.parquet"
        file.parent.mkdir(parents=True)
        events[day * 30 : day * 30 + 30].write_parquet(file)
    return tmp_path


def words(folder: Path, **changed: object) -> list[object]:
    given = {"extractor": folder / "features", "events": folder / "log", "out": folder / "out"}
    return [
        "features",
        *(w for name, value in (given | changed).items() for w in (f"--{name}", value)),
    ]


def test_a_summary_and_nothing_new_the_second_time(folder: Path) -> None:
    first = riskml(*words(folder, events=f"{folder}/log/day=0/*.parquet", buckets=2))
    assert first.exit_code == 0, first.output
    lines = [" ".join(line.split()) for line in first.stdout.splitlines()]
    assert lines[:-2] == [
        "1 files",
        "30 events",
        "0 left out, the id was there twice",
        "0 left out, came after their window was closed",
        "4 windows, closed",
        "4 windows that may still grow",
    ]
    assert lines[-1] == f"windows: {folder}/out/windows/run=00001"
    second = riskml(*words(folder, buckets=2))
    assert "1 files left out, taken in by an earlier run" in " ".join(second.stdout.split())
    third = riskml(*words(folder, buckets=2))
    assert third.exit_code == 0 and third.stdout == ""
    assert third.stderr == f"nothing new: all 2 files are in {folder}/out already\n"
    assert len(read_windows(folder / "out", open_windows=True)) == 12


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"events": "nowhere/*.parquet"}, "no file matches 'nowhere/*.parquet'"),
        ({"extractor": "nowhere"}, "nowhere holds no fitted extractor"),
        ({"memory": "much"}, "memory='much' is no size; write for example 2GB"),
        ({"memory": "-1GB"}, "memory='-1GB' is no size; write for example 2GB"),
        ({"out": "/dev/null"}, "/dev/null is a file; give a folder"),
        ({"out": "/dev/null/windows"}, "/dev/null/windows cannot be made: Not a directory"),
        ({"workers": 0}, "workers=0 must be at least 1"),
        ({"buckets": 0}, "buckets=0 must be at least 1"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    folder: Path, changed: dict[str, object], message: str
) -> None:
    result = riskml(*words(folder, **changed))
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ") and message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_buckets_stay(folder: Path) -> None:
    riskml(*words(folder, buckets=2))
    result = riskml(*words(folder, buckets=3))
    assert result.exit_code == 2 and "made with buckets=2, not 3: give that" in result.stderr


def test_without_ray(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    for address in ([], ["127.0.0.1:9"]):
        result = riskml(*words(folder), "--ray", *address)
        assert result.exit_code == 2 and "pip install 'riskml[ray]'" in result.stderr


def test_a_cluster_that_is_not_there(folder: Path) -> None:
    pytest.importorskip("ray")
    result = riskml(*words(folder), "--ray", "127.0.0.1:9")
    assert result.exit_code == 2
    assert "no Ray cluster at 127.0.0.1:9" in result.stderr.splitlines()[-1]


def test_help_helps() -> None:
    shown = riskml("features", "--help").stdout
    for word in ("--ray [ADDRESS]", "'log/**/*.parquet'", "read_windows", "[default: 16]"):
        assert word in shown
