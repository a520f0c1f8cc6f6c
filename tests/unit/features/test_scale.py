"""However a log is split, by bucket, worker or increment, its windows are those of one call."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

import polars as pl
import pytest
from event_tables import ZERO, same_windows, table
from long_logs import by_day, fitted, log, write_days

from riskml.core.errors import ConfigError, DataError
from riskml.features import scale
from riskml.features.engines import Processes
from riskml.features.extractor import FeatureExtractor
from riskml.features.novelty import NoveltyFeatures
from riskml.features.profile import Profile
from riskml.features.scale import extract, read_windows, window_files
from riskml.features.volume import VolumeFeatures
from riskml.features.windows import BlockWindows, SessionWindows, UserDayWindows, Windowing

T = TypeVar("T")

EVENTS = log()
RULES = [UserDayWindows(), SessionWindows(45), BlockWindows(7), SessionWindows(column="session")]

_fitted = cache(partial(fitted, events=EVENTS[: len(EVENTS) // 2]))


def saved(folder: Path, window: Windowing = RULES[0], **settings: object) -> FeatureExtractor:
    made = fitted(window, EVENTS, **settings) if settings else _fitted(window)
    made.save(folder / "features")
    return made


@pytest.mark.parametrize("window", RULES, ids=lambda w: f"{w.kind}{w.columns()}")
def test_split_and_whole_give_the_same(tmp_path: Path, window: Windowing) -> None:
    made = saved(tmp_path, window)
    write_days(EVENTS, tmp_path / "log")
    result = extract(tmp_path / "features", f"{tmp_path}/log/**/*.parquet", tmp_path / "out", 5)
    closed, _ = made.transform(EVENTS, Profile())
    assert same_windows(read_windows(tmp_path / "out"), closed)
    assert same_windows(read_windows(tmp_path / "out", open_windows=True), made.windows(EVENTS))
    assert result.total("events") == len(EVENTS)
    assert result.total("windows") == len(closed)
    assert len(closed) + result.total("open") == len(made.windows(EVENTS))


def test_block_by_block_gives_the_same(tmp_path: Path) -> None:
    made = saved(tmp_path)
    write_days(EVENTS, tmp_path / "log")
    extract(tmp_path / "features", f"{tmp_path}/log/**/*.parquet", tmp_path / "out", 3)
    closed, _ = made.transform(EVENTS, Profile())
    blocks = list(window_files(tmp_path / "out"))
    assert len(blocks) == 3
    order = pl.concat([block.keys for block in blocks]).sort("start", "window_id")
    assert order.equals(closed.keys.select(order.columns))


@pytest.mark.slow
@pytest.mark.parametrize("window", RULES, ids=lambda w: f"{w.kind}{w.columns()}")
def test_day_by_day_gives_the_windows_of_the_log_at_once(tmp_path: Path, window: Windowing) -> None:
    made = saved(tmp_path, window, lateness_minutes=30)
    profile = Profile()
    for day, (part, file) in enumerate(
        zip(by_day(EVENTS), write_days(EVENTS, tmp_path / "log"), strict=True), start=1
    ):
        result = extract(tmp_path / "features", str(file), tmp_path / "out", 2)
        windows, profile = made.transform(part, profile)
        assert result.run == day
        assert same_windows(read_windows(tmp_path / "out", run=day), windows)
    assert same_windows(read_windows(tmp_path / "out", open_windows=True), made.windows(EVENTS))


def test_a_bucket_without_new_events_closes_its_windows(tmp_path: Path) -> None:
    made = saved(tmp_path)
    days = [
        table(["ann", "bob"], [ZERO, ZERO], resource=["a", "b"], time_zone=["UTC"] * 2),
        table(["bob"], [ZERO + timedelta(days=2)], event_id=["late"], time_zone=["UTC"]),
        table(["cid"], [ZERO + timedelta(days=9)], event_id=["last"], time_zone=["UTC"]),
    ]
    closed = []
    for number, part in enumerate(days):
        part.write_parquet(tmp_path / f"{number}.parquet")
        result = extract(
            tmp_path / "features", str(tmp_path / f"{number}.parquet"), tmp_path / "out", 64
        )
        closed.append((result.total("windows"), result.total("open")))
    assert closed == [(0, 2), (2, 1), (1, 1)]
    windows = read_windows(tmp_path / "out", open_windows=True)
    assert same_windows(windows, made.windows(pl.concat(days)))


def test_an_earlier_log_does_not_open_what_was_closed(tmp_path: Path) -> None:
    saved(tmp_path)
    for name, day in (("a", 5), ("b", 3)):
        part = table([name], [ZERO + timedelta(days=day)], event_id=[name])
        part.write_parquet(tmp_path / f"{name}.parquet")
        extract(tmp_path / "features", str(tmp_path / f"{name}.parquet"), tmp_path / "out", 2)
    assert read_windows(tmp_path / "out").keys["user_id"].to_list() == ["b"]


def test_late_events_are_left_out_and_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saved(tmp_path)
    moments = [ZERO, ZERO + timedelta(days=3)]
    table(["ann", "ann"], moments).write_parquet(tmp_path / "1.parquet")
    table(["ann"], [ZERO], event_id=["x"]).write_parquet(tmp_path / "2.parquet")
    with caplog.at_level(logging.WARNING):
        for name in "12":
            result = extract(
                tmp_path / "features", str(tmp_path / f"{name}.parquet"), tmp_path / "out", 2
            )
    assert result.total("late") == 1 and result.total("events") == 1
    assert [r.message for r in caplog.records if "after their window" in r.message] == [
        "1 of 1 events came after their window was closed and are left out; "
        "features.lateness_minutes keeps windows open for longer"
    ]


def test_files_are_taken_in_once(tmp_path: Path) -> None:
    made = saved(tmp_path)
    files = write_days(EVENTS, tmp_path / "log")
    arguments = (tmp_path / "features", str(tmp_path / "log"), tmp_path / "out", 3)
    last = files[-1].rename(tmp_path / "later.parquet")
    extract(*arguments)
    last.rename(files[-1])
    # a file is known by what it holds
    files[0].rename(tmp_path / "log" / "renamed.parquet")
    second = extract(*arguments)
    assert (second.run, second.files, second.known) == (2, 1, len(files) - 1)
    third = extract(*arguments)
    assert (third.run, third.files, third.known, third.buckets) == (2, 0, len(files), [])
    assert same_windows(read_windows(tmp_path / "out", open_windows=True), made.windows(EVENTS))


def test_an_event_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    made = saved(tmp_path, RULES[1])
    twice = pl.concat([EVENTS, EVENTS[100:140]]).sample(fraction=1, shuffle=True, seed=1)
    twice.write_parquet(tmp_path / "log.parquet")
    result = extract(tmp_path / "features", str(tmp_path / "log.parquet"), tmp_path / "out", 3)
    assert (result.total("events"), result.total("duplicates")) == (len(twice), 40)
    assert same_windows(read_windows(tmp_path / "out", open_windows=True), made.windows(EVENTS))


def test_events_without_an_id_all_count(tmp_path: Path) -> None:
    made = saved(tmp_path, RULES[1])
    nameless = EVENTS.with_columns(event_id=pl.lit(None, pl.String))
    nameless.write_parquet(tmp_path / "log.parquet")
    extract(tmp_path / "features", str(tmp_path / "log.parquet"), tmp_path / "out", 3)
    assert same_windows(read_windows(tmp_path / "out", open_windows=True), made.windows(EVENTS))


def test_without_shared_first_times_nothing_is_gathered(tmp_path: Path) -> None:
    families = {"volume": VolumeFeatures(3), "novelty": NoveltyFeatures(scopes=("user",))}
    made = saved(tmp_path, UserDayWindows(), families=families)
    EVENTS.write_parquet(tmp_path / "log.parquet")
    steps = set()
    extract(
        tmp_path / "features",
        str(tmp_path / "log.parquet"),
        tmp_path / "out",
        3,
        progress=lambda step, done, of: steps.add((step, of)),
    )
    assert steps == {("split by user", 1), ("windows", 3)}
    assert same_windows(read_windows(tmp_path / "out", open_windows=True), made.windows(EVENTS))


def test_another_number_of_buckets_or_extractor_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    files = write_days(EVENTS, tmp_path / "log")
    extract(tmp_path / "features", str(files[0]), tmp_path / "out", 3)
    with pytest.raises(ConfigError, match=r"made with buckets=3, not 4"):
        extract(tmp_path / "features", str(files[1]), tmp_path / "out", 4)
    fitted(UserDayWindows(), EVENTS[:90]).save(tmp_path / "other")
    with pytest.raises(ConfigError, match="made with another extractor"):
        extract(tmp_path / "other", str(files[1]), tmp_path / "out", 3)
    with pytest.raises(DataError, match="holds no fitted extractor"):
        extract(tmp_path / "log", str(files[1]), tmp_path / "out", 3)


def test_runs_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none yet"):
        read_windows(tmp_path / "out")
    saved(tmp_path)
    EVENTS.write_parquet(tmp_path / "log.parquet")
    extract(tmp_path / "features", str(tmp_path / "log.parquet"), tmp_path / "out", 3)
    with pytest.raises(DataError, match="runs 1 to 1"):
        read_windows(tmp_path / "out", run=2)


class Failing:
    """An engine that breaks down after so many buckets of the second step."""

    def __init__(self, after: int) -> None:
        self.after, self.steps = after, 0

    def map(self, work: Callable[[int], T], buckets: Sequence[int]) -> Iterator[T]:
        self.steps += 1
        for done, bucket in enumerate(buckets):
            if self.steps == 2 and done == self.after:
                raise KeyboardInterrupt
            yield work(bucket)


@pytest.mark.parametrize("after", [0, 1])
def test_a_run_that_breaks_down_never_was(tmp_path: Path, after: int) -> None:
    saved(tmp_path)
    files = write_days(EVENTS, tmp_path / "log")
    out = tmp_path / "out"
    extract(tmp_path / "features", str(files[0]), out, 2)
    before = snapshot(out)
    with pytest.raises(KeyboardInterrupt):
        extract(tmp_path / "features", str(files[1]), out, 2, engine=Failing(after))
    assert snapshot(out) == before


@pytest.mark.slow
@pytest.mark.parametrize("moved", range(4))
def test_a_kill_between_moving_and_counting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: int
) -> None:
    saved(tmp_path)
    files = write_days(EVENTS, tmp_path / "log")
    for name in ("out", "whole"):
        extract(tmp_path / "features", str(files[0]), tmp_path / name, 2)
    extract(tmp_path / "features", str(files[1]), tmp_path / "whole", 2)
    renames, rename = [], Path.rename

    def dying(self: Path, target: Path) -> Path:
        if len(renames) == moved:
            raise KeyboardInterrupt
        renames.append(target)
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", dying)
        with pytest.raises(KeyboardInterrupt):
            extract(tmp_path / "features", str(files[1]), tmp_path / "out", 2)
    before = read_windows(tmp_path / "out")
    assert same_windows(before, read_windows(tmp_path / "whole", run=1))
    extract(tmp_path / "features", str(files[1]), tmp_path / "out", 2)
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "whole")


def test_two_runs_at_once_are_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    EVENTS.write_parquet(tmp_path / "log.parquet")
    arguments = (tmp_path / "features", str(tmp_path / "log.parquet"), tmp_path / "out", 2)

    def second(step: str, done: int, of: int) -> None:
        with pytest.raises(DataError, match="another run is at work"):
            extract(*arguments)

    assert extract(*arguments, progress=second).run == 1


def test_a_folder_may_move_and_have_an_odd_name(tmp_path: Path) -> None:
    made = saved(tmp_path)
    files = write_days(EVENTS, tmp_path / "it's a [log]*")
    out = tmp_path / "out [1]"
    for number, file in enumerate(files):
        extract(tmp_path / "features", str(file), out, 2)
        out = shutil.move(out, tmp_path / f"out ? {number}")
    assert same_windows(read_windows(out, open_windows=True), made.windows(EVENTS))


def test_nothing_of_old_state_stays(tmp_path: Path) -> None:
    saved(tmp_path)
    for file in write_days(EVENTS, tmp_path / "log"):
        extract(tmp_path / "features", str(file), tmp_path / "out", 2)
    runs = {p.parent.name: p.name for p in (tmp_path / "out").glob("*/run=*")}
    assert runs["open"] == runs["profiles"] == "run=00005"
    assert len(list((tmp_path / "out" / "windows").iterdir())) == 5
    assert len(list((tmp_path / "out" / "first_times").iterdir())) == 1
    assert not (tmp_path / "out" / ".work").exists()
    state = json.loads((tmp_path / "out" / "state.json").read_text())
    assert sum(run["events"] for run in state["runs"]) == len(EVENTS)


@pytest.mark.slow
def test_any_number_of_processes_gives_the_same(tmp_path: Path) -> None:
    saved(tmp_path)
    files = write_days(EVENTS, tmp_path / "log")
    for workers in (1, 3):
        with Processes(workers) as engine:
            for part in (f"{tmp_path}/log/day=[0-3]/*.parquet", str(files[4])):
                extract(tmp_path / "features", part, tmp_path / f"out{workers}", 3, engine=engine)
    assert snapshot(tmp_path / "out1") == snapshot(tmp_path / "out3")


def test_first_times_are_merged_to_the_earliest(tmp_path: Path) -> None:
    rows = {"group": [1, 1], "column": [0, 0], "slot": [5, 6], "first": [30, 20]}
    types = {"group": pl.Int32, "column": pl.UInt8, "slot": pl.UInt32, "first": pl.Int64}
    parts = [tmp_path / "a [1].parquet", tmp_path / "b.parquet"]
    pl.DataFrame(rows, schema=types).write_parquet(parts[0])
    pl.DataFrame(rows | {"first": [10, 40]}, schema=types).write_parquet(parts[1])
    merged = scale.merge_first_times(parts[:1], parts[1], tmp_path / "merged.parquet")
    assert pl.read_parquet(merged).sort("slot")["first"].to_list() == [10, 20]


def snapshot(out: Path) -> dict[str, object]:
    """All that counts in a folder: tables by their rows, other files by their bytes."""
    found: dict[str, object] = {}
    for file in sorted(path for path in out.rglob("*") if path.is_file()):
        name = str(file.relative_to(out))
        if file.suffix == ".parquet":
            rows = pl.read_parquet(file, glob=False)
            # the order of rows of one user is fixed, that of merged first times is not
            by_key = "first_times" in name
            found[name] = (rows.sort(rows.columns) if by_key else rows).to_dict(as_series=False)
        else:
            found[name] = file.read_bytes()
    return found
