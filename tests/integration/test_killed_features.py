"""`riskml features` is killed (-9) at any point; run again, it gives what it would have given."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from many_events import long_log

from riskml.core.types import Windows
from riskml.features.extractor import FeatureExtractor
from riskml.features.history import HistoryFeatures
from riskml.features.novelty import NoveltyFeatures
from riskml.features.scale import extract, read_windows
from riskml.features.volume import VolumeFeatures
from riskml.features.windows import UserDayWindows

BUCKETS = 6
# what can be seen of a run that has come so far, by a glob below the folder that it fills
MOMENTS = {
    "splitting": ".work/*/buckets",
    "first times": ".work/*/buckets/first_times.*.parquet",
    "first windows": ".work/*/windows/bucket=*.parquet",
    "most windows": f".work/*/windows/bucket={BUCKETS - 2}.parquet",
    "counted": "windows/run=00002",
}


def command(folder: Path, out: str, day: int, workers: int) -> list[str]:
    words = {
        "--extractor": folder / "features",
        "--events": folder / f"day{day}.parquet",
        "--out": folder / out,
        "--buckets": BUCKETS,
        "--workers": workers,
    }
    given = [str(word) for pair in words.items() for word in pair]
    return [sys.executable, "-m", "riskml.cli", "features", *given]


def run(folder: Path, out: str, day: int) -> None:
    extract(folder / "features", str(folder / f"day{day}.parquet"), folder / out, BUCKETS)


def killed_at(folder: Path, out: str, day: int, workers: int, moment: str) -> bool:
    """Start a run, and kill its first process once it has come so far; it may be over by then."""
    process = subprocess.Popen(
        command(folder, out, day, workers),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 120
    while process.poll() is None and not any((folder / out).glob(MOMENTS[moment])):
        assert time.monotonic() < end, f"never came to: {moment}"
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An extractor, a log of two parts, and what two runs that nobody kills give."""
    folder = tmp_path_factory.mktemp("killed")
    events = long_log(days=6)
    half = len(events) // 2
    families = {
        "volume": VolumeFeatures(3),
        "novelty": NoveltyFeatures(),
        "history": HistoryFeatures(),
    }
    FeatureExtractor(UserDayWindows(), families).fit(events[:half]).save(folder / "features")
    for day, part in enumerate((events[:half], events[half:]), start=1):
        part.write_parquet(folder / f"day{day}.parquet")
    run(folder, "first", day=1)
    shutil.copytree(folder / "first", folder / "whole")
    run(folder, "whole", day=2)
    return folder


def content(out: Path) -> tuple[Windows, ...]:
    runs = [read_windows(out, run=number) for number in (1, 2)]
    return (*runs, read_windows(out, open_windows=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "workers"), [(moment, 1 + i % 2) for i, moment in enumerate(MOMENTS)]
)
def test_a_killed_run_is_run_again(prepared: Path, moment: str, workers: int) -> None:
    for attempt in range(5):
        out = f"{moment}{attempt}"
        shutil.copytree(prepared / "first", prepared / out)
        # what is seen last is the last there is to do
        if killed_at(prepared, out, 2, workers, moment) or moment == "counted":
            break
    else:
        raise AssertionError("it was over before each kill")
    # workers of the killed run may still be at work
    run(prepared, out, day=2)
    # and once more, for those who do not know how far it had come
    run(prepared, out, day=2)
    for found, wanted in zip(content(prepared / out), content(prepared / "whole"), strict=True):
        assert len(found) and found.keys.equals(wanted.keys)
        assert found.x.tobytes() == wanted.x.tobytes()
        assert found.tokens.tobytes() == wanted.tokens.tobytes()
    assert not (prepared / out / ".work").exists()
