"""What increments have left in a folder; one file, replaced at the end, says what counts.

    state.json                          the last run, and where each bucket's profile is
    extractor/                          a copy of the one that makes the windows
    windows/run=00001/bucket=0.parquet  closed windows, of every run
    open/run=00001/bucket=0.parquet     windows that may still grow, of the last run
    profiles/run=00001/bucket=0/        what is known of the users
    first_times/run=00001.parquet       what is known of peer groups and everybody
    .work/                              a run that is under way, or was killed

A run writes into a folder of its own below `.work`, moves the results to their places under its
number, and then replaces `state.json`. Whatever `state.json` does not name is removed by the next
run, so a kill at any moment leaves a run that is done or one that never was.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from riskml.core.errors import ConfigError, DataError, reading
from riskml.core.replacing import replace_text

FORMAT = 1
STATE, EXTRACTOR, LOCK, WORK = "state.json", "extractor", ".lock", ".work"
WINDOWS, OPEN, PROFILES, FIRST_TIMES = "windows", "open", "profiles", "first_times"
EXTRACTOR_FILES = ("features.json", "features.safetensors")


@dataclass(frozen=True)
class State:
    """What `state.json` says.

    Attributes:
        buckets: into how many the users are split.
        run: number of the last run that was done; 0: none.
        watermark: up to which time all events are taken to have arrived.
        profiles: the run that wrote the profile of each bucket that has one.
        open: buckets with open windows.
        first_times: the run that wrote the first times of groups; 0: none.
        files: fingerprints of all files that were taken in.
        runs: what each run gave, for people.
    """

    buckets: int
    run: int = 0
    watermark: datetime | None = None
    profiles: dict[int, int] = field(default_factory=dict)
    open: tuple[int, ...] = ()
    first_times: int = 0
    files: tuple[str, ...] = ()
    runs: tuple[dict[str, Any], ...] = ()


class Increments:
    """The folder.

    Args:
        out: the folder.

    Raises:
        BundleError: `state.json` is damaged.
    """

    def __init__(self, out: Path) -> None:
        self.out = out.resolve()
        self.extractor = self.out / EXTRACTOR
        self.state: State | None = _read(self.out / STATE) if self._begun else None

    @property
    def _begun(self) -> bool:
        return (self.out / STATE).is_file()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other runs out; the lock goes with its process.

        Raises:
            DataError: another run is under way, or the folder cannot be made.
        """
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise DataError(f"{self.out} is a file; give a folder") from error
        except OSError as error:
            raise DataError(f"{self.out} cannot be made: {error.strerror}") from error
        with (self.out / LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise DataError(f"another run is at work in {self.out}; wait for it") from error
            # another run may have ended since
            self.state = _read(self.out / STATE) if self._begun else None
            yield

    def begin(self, extractor: Path, buckets: int) -> State:
        """Take in the extractor, or see that it is the same, and remove what killed runs left.

        Raises:
            ConfigError: the folder was made with another extractor or number of buckets.
            DataError: there is no extractor.
        """
        absent = [name for name in EXTRACTOR_FILES if not (extractor / name).is_file()]
        if absent:
            raise DataError(
                f"{extractor} holds no fitted extractor ({absent[0]} is missing): give a folder "
                "that FeatureExtractor.save wrote"
            )
        if self.state is None:
            self.extractor.mkdir(exist_ok=True)
            for name in EXTRACTOR_FILES:
                shutil.copyfile(extractor / name, self.extractor / name)
            self.state = State(buckets)
        elif self.state.buckets != buckets:
            # users must fall into the buckets that hold their profiles
            raise ConfigError(
                f"{self.out} was made with buckets={self.state.buckets}, not {buckets}: give that "
                "number, or another folder"
            )
        elif _digest(extractor) != _digest(self.extractor):
            raise ConfigError(
                f"{self.out} was made with another extractor than {extractor}: give another folder"
            )
        self._tidy(self.state)
        return self.state

    @contextmanager
    def work(self) -> Iterator[Path]:
        """A fresh folder for a run; workers that outlive a killed run have another one."""
        folder = self.out / WORK / uuid.uuid4().hex
        for room in (WINDOWS, OPEN, PROFILES):
            (folder / room).mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder.parent, ignore_errors=True)

    def commit(self, work: Path, state: State) -> None:
        """Move what the run made to its place, and make it count."""
        for room in (WINDOWS, OPEN, PROFILES):
            (self.out / room).mkdir(exist_ok=True)
            (work / room).rename(self.folder(room, state.run))
        if state.first_times == state.run:
            (self.out / FIRST_TIMES).mkdir(exist_ok=True)
            (work / f"{FIRST_TIMES}.parquet").rename(self.first_times(state.run))
        kept = {"format": FORMAT, **asdict(state)}
        replace_text(self.out / STATE, json.dumps(kept, indent=1, default=str))
        self.state = state
        self._tidy(state)

    def folder(self, room: str, run: int) -> Path:
        """Where a run's windows, open windows or profiles are."""
        return self.out / room / f"run={run:05d}"

    def first_times(self, run: int) -> Path:
        """The file with the first times of groups."""
        return self.out / FIRST_TIMES / f"run={run:05d}.parquet"

    def profiles(self) -> dict[int, Path]:
        """The profile's folder of each bucket that has one."""
        state = self.state or State(0)
        return {
            bucket: self.folder(PROFILES, run) / f"bucket={bucket}"
            for bucket, run in state.profiles.items()
        }

    def _tidy(self, state: State) -> None:
        """Remove what does not count, or no longer."""
        shutil.rmtree(self.out / WORK, ignore_errors=True)
        for folder in (self.out / WINDOWS).glob("run=*"):
            if int(folder.name.removeprefix("run=")) > state.run:
                shutil.rmtree(folder)
        for folder in (self.out / OPEN).glob("run=*"):
            if folder != self.folder(OPEN, state.run):
                shutil.rmtree(folder)
        kept = set(self.profiles().values())
        for folder in (self.out / PROFILES).glob("run=*/bucket=*"):
            if folder not in kept:
                shutil.rmtree(folder)
        for folder in (self.out / PROFILES).glob("run=*"):
            if not any(folder.iterdir()):
                folder.rmdir()
        for file in (self.out / FIRST_TIMES).glob("run=*.parquet"):
            if file != self.first_times(state.first_times):
                file.unlink()


def _read(file: Path) -> State:
    with reading(file):
        found = json.loads(file.read_text())
        if found.pop("format") != FORMAT:
            raise ValueError(f"this riskml reads format {FORMAT}")
        state = State(**found)
        mark = found["watermark"]
        return replace(
            state,
            watermark=None if mark is None else datetime.fromisoformat(mark),
            profiles={int(bucket): int(run) for bucket, run in found["profiles"].items()},
            open=tuple(found["open"]),
            files=tuple(found["files"]),
            runs=tuple(found["runs"]),
        )


def _digest(extractor: Path) -> str:
    digest = hashlib.sha256()
    for name in EXTRACTOR_FILES:
        digest.update((extractor / name).read_bytes())
    return digest.hexdigest()
