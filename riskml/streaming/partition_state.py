"""Where a partition stands: segments, and one file, replaced last, that says what counts.

    state.json       format, number, position in the stream, watermark, alerting, counts, segments
    000000000012/    a segment of user profiles, one Arrow file a table
    000000000012.everybody/, 000000000012.memory/   what belongs to no user; what the model learnt

Whatever `state.json` does not name is removed at the next opening, so a kill at any moment leaves
a checkpoint that is done or one that never was.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, Protocol

from riskml.core.errors import DataError, reading
from riskml.core.replacing import replace_text

FORMAT, POLL_S, SYNCS = 1, 0.05, 16
STATE, LOCK = "state.json", ".lock"

Noted = dict[str, Any]
"""What `state.json` holds."""

_logger = logging.getLogger(__name__)


class PartitionTakenError(DataError):
    """Another process works on the partition."""


class StateHome(Protocol):
    """The place of one partition's state, for one process at a time."""

    folder: Path
    """Where segments are written and mapped from."""

    def open(self, wait: timedelta) -> Noted | None:
        """Take the partition, and tell where it stands; None: at its beginning.

        Raises:
            PartitionTakenError: another process has it still after `wait`.
            BundleError: the state is damaged, or of a later version.
        """
        ...

    def commit(self, noted: Noted, written: Sequence[str], counted: Sequence[str]) -> None:
        """Note a checkpoint in one step.

        Args:
            noted: what counts now.
            written: names in the folder that are new.
            counted: all names that count.

        Raises:
            PartitionTakenError: another process has noted one meanwhile.
        """
        ...

    def close(self) -> None:
        """Leave the partition to others."""
        ...


@dataclass
class FolderHome:
    """A folder of this machine, or one that all machines see and that keeps locks.

    Args:
        folder: made where it is not there.
    """

    folder: Path

    def __post_init__(self) -> None:
        self._lock: IO[str] | None = None

    def open(self, wait: timedelta) -> Noted | None:
        """By a lock that goes with the process."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"--state {self.folder}: {error.strerror}") from error
        self._lock = (self.folder / LOCK).open("w")
        given_up, told = time.monotonic() + wait.total_seconds(), False
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= given_up:
                    raise PartitionTakenError(
                        f"another process works on {self.folder}; give each stream its own --state"
                    ) from error
                if not told:
                    _logger.warning(
                        "another process works on %s: waiting for up to %.0f s",
                        self.folder,
                        wait.total_seconds(),
                    )
                told = True
                time.sleep(POLL_S)
        noted = read_noted(self.folder)
        self._tidy(() if noted is None else noted["counted"])
        return noted

    def commit(self, noted: Noted, written: Sequence[str], counted: Sequence[str]) -> None:
        """Files first, then `state.json`."""
        new = [self.folder / name for name in written]
        with ThreadPoolExecutor(SYNCS) as pool:  # a disk takes many at once as fast as one
            list(pool.map(_to_disk, [p for folder in new for p in (*folder.iterdir(), folder)]))
        kept = {"format": FORMAT, **noted, "counted": list(counted)}
        replace_text(self.folder / STATE, json.dumps(kept))
        _to_disk(self.folder)
        self._tidy(counted)

    def close(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _tidy(self, counted: Sequence[str]) -> None:
        for path in self.folder.iterdir():
            if path.is_dir() and path.name not in counted:
                shutil.rmtree(path)  # what is mapped from it stays readable


def read_noted(folder: Path) -> Noted | None:
    """What `state.json` says; None: there is none.

    Raises:
        BundleError: it is damaged, or of a later version.
    """
    path = folder / STATE
    if not path.exists():
        return None
    with reading(path):
        return parsed(path.read_bytes())


def parsed(content: bytes) -> Noted:
    """What `state.json` says.

    Raises:
        ValueError: it is damaged, or of a later version.
    """
    noted: Noted = json.loads(content)
    if noted["format"] != FORMAT:
        raise ValueError(f"format {noted['format']}, this riskml reads {FORMAT}")
    return noted


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
