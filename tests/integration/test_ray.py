"""Buckets on Ray: the same windows, and nothing is left, neither processes nor files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from many_events import long_log

pytest.importorskip("ray")

SCRIPT = """
import sys
from functools import partial
from pathlib import Path

import polars as pl

from riskml.core.errors import ConfigError, DataError
from riskml.features.engines import RayTasks
from riskml.features.extractor import FeatureExtractor
from riskml.features.novelty import NoveltyFeatures
from riskml.features.scale import extract, read_windows
from riskml.features.volume import VolumeFeatures
from riskml.features.windows import SessionWindows


def fails(bucket):
    raise DataError(f"bucket {bucket} is damaged")


folder = Path(sys.argv[1])
events = pl.read_parquet(folder / "log.parquet")
made = FeatureExtractor(
    SessionWindows(), {"volume": VolumeFeatures(3), "novelty": NoveltyFeatures()}
).fit(events)
made.save(folder / "features")
arguments = (folder / "features", str(folder / "log.parquet"))
extract(*arguments, folder / "here", 3)
with RayTasks(workers=1) as engine:
    extract(*arguments, folder / "ray", 3, engine=engine)
    try:
        list(engine.map(fails, [7]))
    except DataError as error:
        print(error)
    ray = engine.ray
assert not ray.is_initialized()
try:
    RayTasks("127.0.0.1:9")
except ConfigError as error:
    print(error)
for open_windows in (False, True):
    here = read_windows(folder / "here", open_windows=open_windows)
    there = read_windows(folder / "ray", open_windows=open_windows)
    assert len(here) and here.keys.equals(there.keys)
    assert here.x.tobytes() == there.x.tobytes()
    assert here.tokens.tobytes() == there.tokens.tobytes()
"""


@pytest.mark.slow
def test_ray_gives_the_same_windows_and_leaves_nothing(tmp_path: Path) -> None:
    home, script = tmp_path / "home", tmp_path / "script.py"
    home.mkdir()
    script.write_text(SCRIPT)
    long_log(days=3).write_parquet(tmp_path / "log.parquet")
    unset = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        env=environment | {"HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    damaged, unreachable = done.stdout.splitlines()
    assert damaged == "bucket 7 is damaged"
    assert unreachable.startswith("no Ray cluster at 127.0.0.1:9")
    assert done.stderr == ""
    assert not list(home.iterdir())
