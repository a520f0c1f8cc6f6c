"""The scoring job by buckets of users: what it writes is what one process alone writes."""

from __future__ import annotations

import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from many_events import FIRST_DAY, long_log
from polars.testing import assert_frame_equal

from riskml.cli import main
from riskml.core.errors import ConfigError, DataError
from riskml.data.event_mapping import EventMapping
from riskml.export.bundle import Bundle, change_threshold, export_bundle, load_bundle
from riskml.features.engines import Processes
from riskml.features.extractor import FeatureExtractor
from riskml.features.history import HistoryFeatures
from riskml.features.novelty import NoveltyFeatures
from riskml.features.peer import PeerFeatures
from riskml.features.profile import Profile
from riskml.features.time_of_day import TimeOfDayFeatures
from riskml.features.volume import VolumeFeatures
from riskml.features.windows import UserDayWindows
from riskml.models.counts import CountsDetector
from riskml.scoring.calibration import Calibration
from riskml.scoring.explain import Explainer
from riskml.scoring.rolling_budget import RollingBudget
from riskml.serving.buckets import Buckets
from riskml.serving.events import open_source
from riskml.serving.job import JobSettings, ScoreJob, open_store
from riskml.serving.scoring import Closer, close_here
from riskml.serving.standing import Standing
from riskml.serving.summary import Summary

TRAINED, DAYS, STRANGERS = 4, 10, ("user1", "user2", "user3")
LOG, TIME = long_log(DAYS), pl.col("timestamp")


def day(number: float) -> datetime:
    return FIRST_DAY + timedelta(days=number)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that shares first times, learns from windows, and has a budget for all users."""
    known = ~pl.col("user_id").is_in(STRANGERS)
    past = LOG.filter(known, day(TRAINED) > TIME)
    families = {
        "volume": VolumeFeatures(3),
        "time_of_day": TimeOfDayFeatures(),
        "novelty": NoveltyFeatures(),
        "history": HistoryFeatures(),
        "peer": PeerFeatures(5),
    }
    extractor = FeatureExtractor(UserDayWindows(), families, lateness_minutes=30).fit(past)
    windows, profile = extractor.transform(past, Profile())
    detector = CountsDetector().fit(windows)
    scores = detector.score(windows)
    threshold = float(np.quantile(scores, 0.95))
    return export_bundle(
        tmp_path_factory.mktemp("counts") / "bundle",
        detector,
        extractor,
        Calibration.fit(scores),
        threshold,
        Explainer.fit(windows, extractor.vocabulary.counts),
        profile,
        {"detector": "counts"},
        RollingBudget(3, 0.5, 7, threshold),
    )


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    return load_bundle(folder)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file a day; with the seventh come events of the day before, old ones and too late ones."""
    log = tmp_path_factory.mktemp("log")
    for number in range(TRAINED, DAYS):
        events = LOG.filter(TIME.is_between(day(number), day(number + 1), "left"))
        events.write_parquet(log / f"{number}.parquet")
        if number == 6:
            again = events[-20:]
            late = again[:7].with_columns(pl.format("late-{}", "event_id").alias("event_id"))
            pl.concat([again, late]).write_parquet(log / "7-more.parquet")
    return log


def score(
    bundle: Bundle, files: Sequence[Path], out: Path, close: Closer = close_here, **settings: Any
) -> Summary:
    """One run over some files, one after the other as a source of its own."""
    found = JobSettings(**settings)
    source = out.parent / "source"
    source.mkdir(exist_ok=True)
    for old in source.iterdir():
        old.unlink()
    for file in files:
        (source / file.name).symlink_to(file)
    events = open_source(str(source), "events", EventMapping(), found.batch_events)
    return ScoreJob(bundle, events, open_store(str(out)), found, close=close).run()


def written(out: Path, room: str) -> pl.DataFrame:
    found = sorted((out / room).glob("version=*/batch=*.parquet"))
    rows = [pl.read_parquet(file, hive_partitioning=False) for file in found]
    times = ("scored_at", "raised_at", "noticed")
    return pl.concat(
        [pl.DataFrame(), *(row.drop(times, strict=False) for row in rows)], how="diagonal"
    )


def same(bundle: Bundle, one: Path, other: Path) -> None:
    """Scores in their order, alerts with reasons, what was set apart, and the state."""
    for room in ("scores", "alerts", "quarantine"):
        mine, theirs = written(one, room), written(other, room)
        assert len(mine) or room == "quarantine"
        assert_frame_equal(mine, theirs, check_exact=False, rel_tol=1e-6, abs_tol=1e-9)
    first, second = (_standing(bundle, out) for out in (one, other))
    assert_frame_equal(first.recent, second.recent)
    assert (first.last, first.batches) == (second.last, second.batches)
    mine, theirs = first.bundle.profile, second.bundle.profile
    assert (mine.watermark, mine.late) == (theirs.watermark, theirs.late)
    assert mine.frames().keys() == theirs.frames().keys()
    for name, table in mine.frames().items():
        row_order = "user" in table.columns
        assert_frame_equal(table, theirs.frames()[name], check_row_order=row_order)


def _standing(bundle: Bundle, out: Path) -> Standing:
    store = open_store(str(out))
    (version,) = [room.name.partition("=")[2] for room in (out / "scores").iterdir()]
    found = store.standing(version)
    assert found is not None
    return Standing.read(bundle, found, str(out))


@pytest.mark.parametrize(("buckets", "batch"), [(3, 1_500), (200, 5_000)])
def test_a_log_in_batches(
    buckets: int, batch: int, folder: Path, bundle: Bundle, files: Path, tmp_path: Path
) -> None:
    close = Buckets(bundle, folder, Processes(1), tmp_path / "work", buckets)
    early, every = (sorted(files.glob(name)) for name in ("[456].parquet", "*.parquet"))
    done = []
    for out, how in (("here", close_here), ("there", close)):
        for several, until in ((early, day(7)), (every, day(DAYS))):
            place = tmp_path / out
            done.append(score(bundle, several, place, how, batch_events=batch, until=until))
    same(bundle, tmp_path / "there", tmp_path / "here")
    for here, there in zip(done[:2], done[2:], strict=True):
        timeless = {"seconds": 0.0, "events_per_second": 0.0}
        assert replace(there, **timeless) == replace(here, **timeless)
    assert done[3].events_late == 7 and done[3].events_duplicate > 20
    (left,) = (tmp_path / "work").iterdir()
    assert [path.name for path in left.iterdir()] == ["bundle"]


def test_day_by_day_engines_may_change(
    folder: Path, bundle: Bundle, files: Path, tmp_path: Path
) -> None:
    few = Buckets(bundle, folder, Processes(1), tmp_path / "work", 3)
    many = Buckets(bundle, folder, Processes(1), tmp_path / "work", 50)
    for number, close in zip(range(TRAINED, DAYS), (few, close_here, many) * 2, strict=True):
        todays = sorted(files.glob(f"{number}*.parquet"))
        # the last day stays open
        until = day(number + (0.7 if number == DAYS - 1 else 1))
        for out, how in (("here", close_here), ("there", close)):
            score(bundle, todays, tmp_path / out, how, until=until, open_windows=True)
    same(bundle, tmp_path / "there", tmp_path / "here")
    mine, theirs = (written(tmp_path / out, "open") for out in ("there", "here"))
    assert len(mine) > 20 and mine["open"].all()
    assert_frame_equal(mine, theirs, check_exact=False, rel_tol=1e-6, abs_tol=1e-9)


def test_what_cannot_be_shared_out_is_refused(
    folder: Path, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, work = Processes(1), tmp_path / "work"
    with pytest.raises(ConfigError, match="--buckets=0 must be at least 1"):
        Buckets(bundle, folder, engine, work, 0)
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    change_threshold(other, 3.0)
    with pytest.raises(DataError, match="other was replaced while it was read"):
        Buckets(bundle, other, engine, work)
    monkeypatch.setattr(type(bundle.graph), "remembers", True)
    with pytest.raises(ConfigError, match=r"this detector remembers .* --engine here"):
        Buckets(bundle, folder, engine, work)


# ---- the command, with workers that are killed --------------------------------------------------


def words(folder: Path, source: Path, out: Path, *more: object) -> list[str]:
    until = day(DAYS).date().isoformat()
    given = ["--bundle", folder, "--source", source, "--out", out, "--until", until]
    return ["score", *map(str, [*given, "--batch", 1_200, "--json", *more])]


def below(root: int) -> list[int]:
    """Processes that a process has started, and those that they have."""
    parents = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            state = (place / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        parents[int(place.name)] = int(state[1])
    found = [root]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found[1:]


def kill_a_worker(run: subprocess.Popen[str], work: Path, title: str) -> bool:
    """Kill one that is at work, once some of the second batch is done; false: the run is over."""
    rooms: set[str] = set()
    while run.poll() is None:
        time.sleep(0.02)
        # rooms come and go: pathlib would stumble
        done = glob.glob("*/*/*/*/windows.arrow", root_dir=work)
        rooms |= {Path(file).parts[2] for file in done}
        for process in below(run.pid) if len(rooms) > 1 else ():
            try:
                os.kill(process, signal.SIGSTOP)
                # what it does now it will not end
                called = Path(f"/proc/{process}/cmdline").read_bytes().decode()
                os.kill(process, signal.SIGKILL if title in called else signal.SIGCONT)
            except OSError:
                continue
            if title in called:
                return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "title"), [("ray", "ray::_call"), ("processes", "spawn_main")])
def test_a_worker_is_killed_amid_its_bucket(
    engine: str, title: str, folder: Path, bundle: Bundle, files: Path, tmp_path: Path
) -> None:
    if engine == "ray":
        pytest.importorskip("ray")
    work = tmp_path / "work"
    work.mkdir()
    there = words(folder, files, tmp_path / "there", "--work", work, "--buckets", 8)
    run = subprocess.Popen(
        [sys.executable, "-m", "riskml.cli", *there, "--engine", engine, "--workers", "2"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert kill_a_worker(run, work, title), run.communicate()
    told, errors = run.communicate(timeout=300)
    if engine == "processes":
        assert run.returncode == 2 and "a worker was killed before its bucket was done" in errors
        assert len(errors.splitlines()) == 1 and len(written(tmp_path / "there", "scores"))
        # what is left may be done without workers
        rest = words(folder, files, tmp_path / "there")
        assert CliRunner().invoke(main, rest).exit_code == 0
    else:
        assert run.returncode == 0, errors
    here = CliRunner().invoke(main, words(folder, files, tmp_path / "here"))
    assert here.exit_code == 0
    if engine == "ray":
        new = [json.loads(text)["champion"]["events_new"] for text in (told, here.stdout)]
        assert new[0] == new[1] > 0
    same(bundle, tmp_path / "there", tmp_path / "here")
    assert not list(work.iterdir())
