"""`riskml compare`, of bundles over a log and of what a job has written."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result

from riskml.cli import main
from riskml.export.bundle import change_threshold, load_bundle
from riskml.export.manifest import read_manifest, write_manifest
from riskml.scoring.alerting import FixedThreshold
from riskml.serving.standing import version_of

OLD = Path(__file__).parents[1] / "data" / "bundles"
A, B = str(OLD / "format_3" / "bundle"), str(OLD / "format_3_native" / "bundle")
EVENTS = str(OLD / "format_3" / "events.parquet")


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["compare", *words], catch_exceptions=False)


def read(*words: str) -> Any:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_two_bundles_over_a_log(tmp_path: Path) -> None:
    found = read(A, B, "--source", EVENTS, "--plots", str(tmp_path / "plots"), "--users", "2")
    assert set(found) == {
        *("format", "models", "windows", "users", "days", "spearman", "kendall", "overlap"),
        *("alerts_a_day", "distribution", "quantiles", "moved_most"),
    }
    events = pl.read_parquet(EVENTS)
    bundle = load_bundle(B)
    scored = bundle.score(events)
    assert found["windows"] == len(scored)
    model = found["models"]["b"]
    assert model["version"] == version_of(bundle.manifest)
    assert model["delivered_alerts_a_day"] * found["days"] == pytest.approx(scored["alert"].sum())
    assert isinstance(bundle.alerting, FixedThreshold)
    share = float(bundle.calibration.p_value([bundle.threshold])[0])
    assert model["promised_alerts_a_day"] == pytest.approx(share * len(scored) / found["days"])
    first = found["moved_most"][0]
    assert first["reasons_a"]
    assert first["reasons_b"]
    assert len(found["moved_most"]) == 2
    for name in ("risk.png", "alerts.png"):
        assert (tmp_path / "plots" / name).read_bytes().startswith(b"\x89PNG")


def test_for_people() -> None:
    output = run(A, B, "--source", EVENTS).output
    for words in ("rank correlation    Spearman", "A promised", "users whose risk moved most"):
        assert words in output


def test_what_a_job_has_written(tmp_path: Path) -> None:
    for place in (str(tmp_path / "scores"), f"sqlite:///{tmp_path}/scores.db"):
        words = ["score", "--bundle", A, "--challenger", B, "--source", EVENTS, "--out", place]
        done = CliRunner().invoke(main, [*words, "--until", "2024-02-02"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        versions = [version_of(load_bundle(folder).manifest) for folder in (A, B)]
        found = read(versions[0][:6], versions[1], "--scores", place)
        over_log = read(A, B, "--source", EVENTS)
        for name in ("windows", "users", "days", "spearman", "kendall", "overlap"):
            assert found[name] == over_log[name]
        assert found["models"]["a"]["promised_alerts_a_day"] is None
        result = run("none", versions[1], "--scores", place)
        assert result.exit_code == 2
        assert "none is not one model version of this place, which has:" in result.output


def test_other_windows_are_refused(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(B, tmp_path / "bundle"))
    manifest = read_manifest(folder)
    path = folder / "features.json"
    content = json.loads(path.read_text())
    text = json.dumps(content).replace('"gap_minutes": 30', '"gap_minutes": 45')
    assert text != json.dumps(content)
    path.write_text(text)
    write_manifest(folder, manifest)
    result = run(A, str(folder), "--source", EVENTS)
    assert result.exit_code == 2
    assert "other windows (gap_minutes: 30" in result.output
    words = ["score", "--bundle", A, "--challenger", str(folder), "--source", EVENTS]
    done = CliRunner().invoke(main, [*words, "--out", str(tmp_path / "o"), "--dry-run"])
    assert done.exit_code == 0, done.output
    assert "warning: --challenger cuts a log into other windows (gap_min" in done.stderr


def test_wrong_words_are_one_line(tmp_path: Path) -> None:
    for words, text in (
        ((A, B), "give either --source EVENTS"),
        ((A, A, "--source", EVENTS), "are the same model"),
        ((A, B, "--scores", str(tmp_path)), "is not one model version"),
    ):
        result = run(*words)
        assert result.exit_code == 2
        assert text in result.output
        assert result.output.count("\n") == 1


def test_a_file_where_a_folder_should_be_is_one_line(tmp_path: Path) -> None:
    plots = tmp_path / "plots"
    plots.touch()
    result = run(A, B, "--source", EVENTS, "--plots", str(plots))
    assert result.exit_code == 2
    assert result.stderr == f"error: {plots}: File exists\n"


def test_damaged_scores_are_named(tmp_path: Path) -> None:
    damaged = tmp_path / "scores" / "version=a" / "batch=000001.parquet"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("x")
    shutil.copytree(damaged.parent, tmp_path / "scores" / "version=b")
    result = run("--scores", str(tmp_path), "a", "b")
    assert result.exit_code == 2
    assert str(damaged) in result.stderr


def test_another_threshold_is_another_model(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(A, tmp_path / "bundle"))
    change_threshold(folder, 1e6)
    found = read(A, str(folder), "--source", EVENTS)
    assert found["spearman"] == pytest.approx(1)
    assert found["alerts_a_day"]["both"] == found["alerts_a_day"]["only_b"] == 0
    assert found["moved_most"] == []
    assert timedelta(days=found["days"]) > timedelta(days=20)
