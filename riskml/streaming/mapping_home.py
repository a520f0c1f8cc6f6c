"""The state of a partition in a mapping that somebody else keeps, such as Flink's keyed state.

Segments are mapped from a temporary folder of this machine; the mapping holds a copy of those that
count. It is its owner who makes checkpoints, and who sees to it that nobody else has the partition.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from riskml.core.errors import reading
from riskml.streaming.partition_state import FORMAT, STATE, Noted, parsed


class Kept(Protocol):
    """Names to bytes; a dict is one."""

    def get(self, name: str, /) -> bytes | None:
        """What lies under a name; None: nothing."""
        ...

    def __setitem__(self, name: str, content: bytes, /) -> None: ...

    def __delitem__(self, name: str, /) -> None: ...


class MappingHome:
    """`state.json` and the files of segments, `<segment>/<file>`, as values of a mapping.

    Args:
        kept: the mapping.
        under: folder that gets the temporary one; None: where the system has such folders.
    """

    def __init__(self, kept: Kept, under: Path | None = None) -> None:
        self._kept = kept
        self.folder = Path(tempfile.mkdtemp(prefix="riskml-stream-", dir=under))
        self._files: dict[str, list[str]] = {}

    def open(self, wait: timedelta) -> Noted | None:
        """Copy the segments that count to this machine."""
        content = self._kept.get(STATE)
        if content is None:
            return None
        with reading(Path(STATE)):
            noted = parsed(content)
            self._files = noted["files"]
            for segment, files in self._files.items():
                (self.folder / segment).mkdir()
                for file in files:
                    part = self._kept.get(f"{segment}/{file}")
                    if part is None:
                        raise ValueError(f"{segment}/{file} is not there")
                    (self.folder / segment / file).write_bytes(part)
        return noted

    def commit(self, noted: Noted, written: Sequence[str], counted: Sequence[str]) -> None:
        """Put what is new, take out what counts no more."""
        for segment in written:
            found = sorted(path.name for path in (self.folder / segment).iterdir())
            for file in found:
                self._kept[f"{segment}/{file}"] = (self.folder / segment / file).read_bytes()
            self._files[segment] = found
        for segment in [name for name in self._files if name not in counted]:
            for file in self._files.pop(segment):
                del self._kept[f"{segment}/{file}"]
            shutil.rmtree(self.folder / segment)  # what is mapped from it stays readable
        whole = {"format": FORMAT, **noted, "counted": list(counted), "files": self._files}
        self._kept[STATE] = json.dumps(whole).encode()

    def close(self) -> None:
        """Remove the copy here."""
        shutil.rmtree(self.folder, ignore_errors=True)
