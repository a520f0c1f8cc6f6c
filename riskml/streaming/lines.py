"""Lines of a file or of standard input as a stream of one partition."""

from __future__ import annotations

import os
import select
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from riskml.core.errors import DataError
from riskml.streaming.job import Partitions
from riskml.streaming.messages import Messages

PARTITION = "0"
BLOCK = 1 << 20
HEAD = 4096
"""Bytes by which a file is known again."""
LOOK_S = 0.05
"""Between looks at a file that is followed."""


class LineSource:
    """JSON lines, as they are written.

    Args:
        path: of the file; None reads standard input, which always begins anew.
        follow: wait for more at the end of the file.

    Raises:
        DataError: the file cannot be read.
    """

    def __init__(self, path: Path | None, follow: bool = False) -> None:
        self._path, self._follow = path, follow and path is not None
        self.name = "stdin" if path is None else path.name
        if path is not None and path.is_dir():
            raise DataError(f"--source {path} is a folder: give one file of JSON lines, or -")
        try:
            self._file = 0 if path is None else os.open(path, os.O_RDONLY)
        except OSError as error:
            raise DataError(f"--source {path}: {error.strerror}") from error
        self._rest = b""
        self._line, self._byte = 0, 0
        self._over = False

    def begin(self, partitions: Partitions) -> None:
        """Go on after the last line that was kept."""
        position = partitions.opened(PARTITION, alone=True)
        if position is None or self._path is None:
            return
        self._line, self._byte = int(position["line"]), int(position["byte"])
        if os.fstat(self._file).st_size < self._byte:
            raise DataError(
                f"--source {self._path} is shorter than what was read of it: give another --state "
                "for another file"
            )
        if position.get("head", self._head()) != self._head():
            raise DataError(
                f"--source {self._path} begins with other lines than the file that was read: give "
                "another --state for another file"
            )
        os.lseek(self._file, self._byte, os.SEEK_SET)

    @property
    def ended(self) -> bool:
        """Whether all is read and nothing will be added."""
        return self._over and not self._rest

    def poll(self, most: int, wait: float) -> list[tuple[Messages, Any]]:
        """The lines that are there."""
        lines = self._lines(most, wait)
        if not lines:
            return []
        offsets = np.arange(self._line, self._line + len(lines))
        self._line += len(lines)
        self._byte += sum(map(len, lines))
        values = [line.rstrip(b"\r\n") for line in lines]
        full = [i for i, value in enumerate(values) if value]
        unknown = np.full(len(full), -1, np.int64)
        messages = Messages(PARTITION, [values[i] for i in full], offsets[full], unknown)
        position: dict[str, Any] = {"line": self._line, "byte": self._byte}
        if self._path is not None:
            position["head"] = self._head()
        return [(messages, position)] if full else []

    def _head(self) -> str:
        """By which the file is known again, as far as it was read."""
        return sha256(os.pread(self._file, min(self._byte, HEAD), 0)).hexdigest()

    def _lines(self, most: int, wait: float) -> list[bytes]:
        end = time.monotonic() + wait
        while self._rest.count(b"\n") < most and not self._over:
            left = max(0.0, end - time.monotonic())
            if self._path is None and not select.select([self._file], [], [], left)[0]:
                break
            block = os.read(self._file, BLOCK)
            self._rest += block
            if not block:
                if not self._follow:
                    self._over = True
                elif left:
                    time.sleep(min(LOOK_S, left))
                    continue
                break
            if time.monotonic() >= end:
                break
        *whole, rest = self._rest.split(b"\n", most)
        lines = [line + b"\n" for line in whole]
        self._rest = rest
        if self._over and rest and b"\n" not in rest and len(lines) < most:
            lines.append(rest)  # the last one has no end
            self._rest = b""
        return lines

    def kept(self, positions: dict[str, Any]) -> None:
        """Nobody else watches."""

    def close(self) -> None:
        """Close the file."""
        if self._path is not None:
            os.close(self._file)
