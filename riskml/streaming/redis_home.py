"""The state of a partition in Redis, so that any machine may take it over.

Segments are mapped from a temporary folder of this machine; Redis holds a copy of those that count.
Nobody is locked out: a checkpoint that does not follow the last one is refused.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from riskml.core.errors import ConfigError, DataError, reading
from riskml.streaming.partition_state import FORMAT, Noted, PartitionTakenError, parsed

MOST = 64 << 20
"""Bytes of a value; larger files lie there in pieces."""


class RedisHome:
    """Keys `riskml:stream:<name>:...`.

    Args:
        url: redis://..., a password in it is shown nowhere.
        name: of stream, model and partition.

    Raises:
        ConfigError: the client is not installed, or the URL is not understood.
    """

    def __init__(self, url: str, name: str) -> None:
        try:
            import redis
        except ImportError as error:
            raise ConfigError("redis is not installed: pip install 'riskml[stream]'") from error
        try:
            self._redis: Any = redis.Redis.from_url(url, socket_timeout=30)
        except ValueError as error:
            raise ConfigError(f"--state: no such Redis URL: {error}") from error
        self._errors: tuple[type[Exception], ...] = (redis.RedisError,)
        self._watch_error = redis.WatchError
        self._key = f"riskml:stream:{name}"
        self.folder = Path(tempfile.mkdtemp(prefix="riskml-stream-"))
        self._number = 0

    def ping(self) -> None:
        """Ask whether it is there.

        Raises:
            DataError: it is not.
        """
        with self._asking():
            self._redis.ping()

    def open(self, wait: timedelta) -> Noted | None:
        """Copy the segments that count to this machine."""
        with self._asking():
            content = self._redis.get(self._key)
            if content is None:
                return None
            with reading(Path(self._key)):
                noted = parsed(content)
                self._number = int(noted["number"])
                for name, files in noted["files"].items():
                    (self.folder / name).mkdir()
                    for file, pieces in files.items():
                        self._fetch(name, file, pieces)
            return noted

    def commit(self, noted: Noted, written: Sequence[str], counted: Sequence[str]) -> None:
        """Segments first, then in one transaction what counts."""
        with self._asking():
            for name in written:
                for path in (self.folder / name).iterdir():
                    self._send(name, path)
            files = {name: self._files(name) for name in counted}
            whole = json.dumps(
                {"format": FORMAT, **noted, "counted": list(counted), "files": files}
            )
            gone = self._replace(whole, set(counted), int(noted["number"]))
        for name in gone:
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def close(self) -> None:
        """Remove the copy here."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._redis.close()

    def _replace(self, whole: str, counted: set[str], number: int) -> list[str]:
        with self._redis.pipeline() as pipe:
            try:
                pipe.watch(self._key)
                content = pipe.get(self._key)
                there: Noted = json.loads(content) if content else {"number": 0, "files": {}}
                if there["number"] != self._number:
                    raise PartitionTakenError(
                        f"{self._key}: another process keeps this partition's state in Redis now"
                    )
                gone = [name for name in there["files"] if name not in counted]
                pipe.multi()
                pipe.set(self._key, whole)
                for name in gone:
                    for file, pieces in there["files"][name].items():
                        pipe.delete(*(self._piece(name, file, i) for i in range(pieces)))
                pipe.execute()
            except self._watch_error as error:
                raise PartitionTakenError(
                    f"{self._key}: another process keeps this partition's state in Redis now"
                ) from error
        self._number = number
        return gone

    def _piece(self, name: str, file: str, number: int) -> str:
        return f"{self._key}:{name}/{file}:{number}"

    def _files(self, name: str) -> dict[str, int]:
        """The files of a folder, and in how many pieces each lies in Redis."""
        found = sorted(path for path in (self.folder / name).iterdir())
        return {path.name: max(1, -(-path.stat().st_size // MOST)) for path in found}

    def _send(self, name: str, path: Path) -> None:
        with path.open("rb") as stream:
            number = 0
            while (piece := stream.read(MOST)) or number == 0:
                self._redis.set(self._piece(name, path.name, number), piece)
                number += 1

    def _fetch(self, name: str, file: str, pieces: int) -> None:
        with (self.folder / name / Path(file).name).open("wb") as stream:
            for number in range(pieces):
                piece = self._redis.get(self._piece(name, file, number))
                if piece is None:
                    raise ValueError(f"{name}/{file} is not there")
                stream.write(piece)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            raise DataError(f"--state: Redis refused: {error}") from error
