"""The scripts of the documentation run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from command_line import ROOT, write_log

from riskml.data.simulated import SimulatedSource

pytestmark = pytest.mark.slow


def script(page: str, holding: str = "") -> str:
    """The Python of a page of docs/, of several blocks the one that holds some words."""
    text = (ROOT / "docs" / page).read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (block,) = [block for block in blocks if holding in block]
    return str(block)


def done(script: str, folder: Path) -> str:
    """What a script prints that is run in a folder."""
    (folder / "example.py").write_text(script)
    command = [sys.executable, "example.py"]
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_arrays_and_frames(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    logins = {"logins": draw.poisson(3, 400), "hours": draw.normal(8, 1, 400)}
    pl.DataFrame(logins).write_parquet(tmp_path / "days.parquet")
    done(script("python.md", "days.parquet") + "print(detector.threshold_)", tmp_path)
    assert list((tmp_path / "detector").glob("*.safetensors"))


def test_from_a_log_to_a_bundle(tmp_path: Path) -> None:
    write_log(tmp_path / "access.csv")
    text = script("python.md", "access.csv") + "print(repr(report), bundle)"
    told = done(text, tmp_path)
    assert "forest" in told and "usually" in told
    assert "Report(neighbours beside 1 more; average precision" in told
    assert "Bundle(detector neighbours; data access.csv" in told
    assert (tmp_path / "report" / "report.html").is_file()


def test_a_backtest(tmp_path: Path) -> None:
    source = SimulatedSource(20, 105, "medium", 201, str(tmp_path / "cache"))
    log = source.load()
    attacks = log.truth
    assert attacks is not None
    events = log.events.join(attacks.select("event_id", "label"), on="event_id", how="left")
    events.with_columns(pl.col("label").fill_null(0)).write_parquet(tmp_path / "log.parquet")
    text = script("backtest.md")
    assert "range(5)" in text, "as many as a claim needs; fewer do here"
    told = done(text.replace("range(5)", "range(1)"), tmp_path)
    names = [line.split()[0] for line in told.splitlines()]
    assert names == ["vae", "forest"]
    assert len(list((tmp_path / "backtest").glob("fold-*/*/part.json"))) == 4
