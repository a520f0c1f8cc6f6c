"""Scores in a folder: Parquet by batch, and one file, replaced at the end, that says what counts.

    state.json                                   the last batch of each model version
    scores/version=<v>/batch=000001.parquet      closed windows
    alerts/version=<v>/batch=000001.parquet      alerts of the champion
    quarantine/version=<v>/batch=000001.parquet  what was set apart
    open/version=<v>/batch=000001.parquet        windows that may still grow, of the last run
    standing/version=<v>/batch=000001/           where the job stands

Files that `state.json` does not count are removed by the next run, so a kill at any moment, or a
full disk, leaves a batch that is done or one that never was.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl

from riskml.core.errors import DataError, reading
from riskml.core.replacing import replace_bytes, replace_text
from riskml.core.schema import TIMESTAMP
from riskml.serving.standing import Files
from riskml.serving.stores import ALERT_COLUMNS, CHAMPION, JobBusyError, Output

FORMAT, POLL_S = 1, 0.1
STATE, LOCK = "state.json", ".lock"
SCORES, ALERTS, QUARANTINE, OPEN, STANDING = "scores", "alerts", "quarantine", "open", "standing"


class FolderStore:
    """A folder, made where it is not there.

    Args:
        folder: where.

    Raises:
        DataError: a file stands in its place, or the folder was made by a later version.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.expanduser().resolve()
        if self._folder.exists() and not self._folder.is_dir():
            raise DataError(f"--out {folder} is a file; give a folder, or a database URL")
        self._state = self._read()
        self._known: set[str] | None = None

    @contextmanager
    def alone(self, version: str, wait: timedelta) -> Iterator[None]:
        """One job in the folder at a time."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"--out {self._folder} cannot be made: {error.strerror}") from error
        given_up = time.monotonic() + wait.total_seconds()
        with (self._folder / LOCK).open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() >= given_up:
                        raise JobBusyError(
                            f"another job is at work in {self._folder}; wait for it, or give this "
                            "one more patience with --wait"
                        ) from error
                    time.sleep(POLL_S)
            self._state, self._known = self._read(), None
            self._remove_uncounted(version)
            self._remove_old(version)
            yield

    def standing(self, version: str) -> Files | None:
        """The files of the last batch."""
        if version not in self._state:
            return None
        folder = self._standing(version, self._state[version]["batch"])
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }

    def write(self, version: str, role: str, output: Output) -> int:
        """Files first, then `state.json`."""
        before = self._state.get(version, {"batch": 0, "open": 0})
        if output.batch != before["batch"] + 1:
            raise JobBusyError(f"another job has written batch {output.batch} meanwhile")
        now = datetime.now(UTC)
        about = {"model_version": pl.lit(version), "role": pl.lit(role)}
        stamp = pl.lit(now, TIMESTAMP)
        rows = output.rows.with_columns(**about, scored_at=stamp)
        self._put(SCORES, version, output.batch, rows)
        if role == CHAMPION:
            alerts = rows.filter("alert").select(*ALERT_COLUMNS, "model_version", raised_at=stamp)
            self._put(ALERTS, version, output.batch, alerts)
        known = self._digests(version)
        new = output.quarantine.filter(~pl.col("digest").is_in(list(known)))
        new = new.with_columns(model_version=pl.lit(version), noticed=stamp)
        self._put(QUARANTINE, version, output.batch, new)
        open_batch = before["open"]
        if output.open_rows is not None:
            self._put(
                OPEN, version, output.batch, output.open_rows.with_columns(**about, scored_at=stamp)
            )
            open_batch = output.batch if len(output.open_rows) else 0
        folder = self._standing(version, output.batch)
        for name, content in output.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_bytes(path, content)
        self._count(version, {"batch": output.batch, "open": open_batch, "role": role})
        known.update(new["digest"])
        return len(new)

    def _count(self, version: str, entry: dict[str, Any]) -> None:
        state = {**self._state, version: entry}
        kept = {"format": FORMAT, "versions": state}
        replace_text(self._folder / STATE, json.dumps(kept, indent=1))
        self._state = state
        self._remove_old(version)

    def _read(self) -> dict[str, Any]:
        path = self._folder / STATE
        if not path.is_file():
            return {}
        with reading(path):
            found = json.loads(path.read_text())
            if found["format"] != FORMAT:
                raise ValueError(f"this riskml reads format {FORMAT}")
            return dict(found["versions"])

    def _remove_uncounted(self, version: str) -> None:
        """What a killed run left."""
        entry = self._state.get(version, {"batch": 0, "open": 0})
        for room in (SCORES, ALERTS, QUARANTINE):
            for file in self._room(room, version).glob("batch=*.parquet"):
                if _number(file) > entry["batch"]:
                    file.unlink()

    def _remove_old(self, version: str) -> None:
        """What a later batch has replaced."""
        entry = self._state.get(version, {"batch": 0, "open": 0})
        for file in self._room(OPEN, version).glob("batch=*.parquet"):
            if _number(file) != entry["open"]:
                file.unlink()
        for folder in self._room(STANDING, version).glob("batch=*"):
            if _number(folder) != entry["batch"]:
                shutil.rmtree(folder)

    def _digests(self, version: str) -> set[str]:
        if self._known is None:
            files = sorted(self._room(QUARANTINE, version).glob("batch=*.parquet"))
            parts = [pl.read_parquet(file, columns=["digest"], glob=False) for file in files]
            self._known = {digest for part in parts for digest in part["digest"]}
        return self._known

    def _put(self, room: str, version: str, batch: int, rows: pl.DataFrame) -> None:
        if rows.is_empty():
            return
        path = self._room(room, version) / f"batch={batch:06d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = BytesIO()  # of a full disk Polars tells riddles
        rows.write_parquet(content)
        replace_bytes(path, content.getvalue())

    def _standing(self, version: str, batch: int) -> Path:
        return self._room(STANDING, version) / f"batch={batch:06d}"

    def _room(self, room: str, version: str) -> Path:
        return self._folder / room / f"version={version}"


def alert_files(folder: Path) -> list[Path]:
    """Files of alerts that count, in the order in which they were raised by each model.

    Raises:
        BundleError: the folder's state cannot be read.
    """
    store = FolderStore(folder)
    return [
        file
        for version, entry in store._state.items()
        for file in sorted(store._room(ALERTS, version).glob("batch=*.parquet"))
        if _number(file) <= entry["batch"]
    ]


def score_files(folder: Path, version: str) -> list[Path]:
    """Files of a model's scores that count.

    Raises:
        BundleError: the folder's state cannot be read.
    """
    return _counted(folder, SCORES, version)


def quarantine_files(folder: Path, version: str) -> list[Path]:
    """Files of what was set apart that count.

    Raises:
        BundleError: the folder's state cannot be read.
    """
    return _counted(folder, QUARANTINE, version)


def versions(folder: Path) -> list[str]:
    """Models that have scored, in the order in which they began.

    Raises:
        BundleError: the folder's state cannot be read.
    """
    return list(FolderStore(folder)._state)


def _counted(folder: Path, room: str, version: str) -> list[Path]:
    store = FolderStore(folder)
    last = store._state.get(version, {"batch": 0})["batch"]
    files = sorted(store._room(room, version).glob("batch=*.parquet"))
    return [file for file in files if _number(file) <= last]


def _number(path: Path) -> int:
    return int(path.name.removeprefix("batch=").removesuffix(".parquet"))


def scores_beside(file: Path) -> Path:
    """The file with the scores of the batch whose alerts a file holds."""
    return file.parents[2] / SCORES / file.parent.name / file.name
