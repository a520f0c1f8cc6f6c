"""Where a scoring job stands: all that the next run needs to go on, as files in memory."""

from __future__ import annotations

import io
import json
import tempfile
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from riskml.core.errors import reading
from riskml.core.schema import TIMESTAMP
from riskml.export.bundle import Bundle
from riskml.features.profile import Profile
from riskml.models.base import Detector, load_detector
from riskml.scoring.alert_state import alerting_state, read_alerting

FORMAT = 1
META, ALERTING, RECENT = "standing.json", "alerting.json", "recent.parquet"
MEMORY = "memory"

RECENT_SCHEMA = {"event_id": pl.String(), "timestamp": TIMESTAMP}

Files = dict[str, bytes]
"""Content by name; names may have a folder in front."""


@dataclass(frozen=True)
class Standing:
    """A bundle once it has scored the events up to a moment.

    Attributes:
        bundle: with the profile, the alerting and the memory of that moment.
        start: only later events are read; None: all.
        last: time of the newest event that was scored.
        recent: event_id and timestamp of those that a late one could repeat.
        batches: how many were written.
    """

    bundle: Bundle
    start: datetime | None = None
    last: datetime | None = None
    recent: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=RECENT_SCHEMA))
    batches: int = 0

    @classmethod
    def of(cls, bundle: Bundle, since: datetime | None = None) -> Standing:
        """Before the first event: after those that the bundle knows from training, or from `since`.

        Args:
            bundle: as it was loaded.
            since: the first moment that counts.
        """
        return cls(bundle, known_until(bundle) if since is None else since)

    def files(self) -> Files:
        """Plain files: JSON, Parquet, arrays."""
        meta = {
            "format": FORMAT,
            "start": _written(self.start),
            "last": _written(self.last),
            "batches": self.batches,
        }
        found = {
            META: json.dumps(meta).encode(),
            ALERTING: json.dumps(alerting_state(self.bundle.alerting)).encode(),
            RECENT: _parquet(self.recent),
        }
        with tempfile.TemporaryDirectory() as folder:
            self.bundle.profile.save(Path(folder))
            graph = self.bundle.graph
            if graph.remembers and isinstance(graph, Detector):
                graph.save(Path(folder) / MEMORY)
            for path in sorted(Path(folder).rglob("*")):
                if path.is_file():
                    found[path.relative_to(folder).as_posix()] = path.read_bytes()
        return found

    @classmethod
    def read(cls, bundle: Bundle, files: Files, where: str) -> Standing:
        """Go on from what `files` gave.

        Args:
            bundle: the one that it was made with.
            files: by name.
            where: they come from, for messages.

        Raises:
            BundleError: something is missing or damaged.
        """
        with reading(Path(where)), tempfile.TemporaryDirectory() as folder:
            meta = json.loads(files[META])
            if meta["format"] != FORMAT:
                raise ValueError(f"format {meta['format']}, this riskml reads {FORMAT}")
            for name, content in files.items():
                path = Path(folder) / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
            memory = Path(folder) / MEMORY
            alive = replace(
                bundle,
                profile=Profile.load(Path(folder)),
                alerting=read_alerting(json.loads(files[ALERTING])),
                graph=load_detector(memory) if memory.exists() else bundle.graph,
            )
            recent = pl.read_parquet(io.BytesIO(files[RECENT]))
            start, last = _read(meta["start"]), _read(meta["last"])
            return cls(alive, start, last, recent, int(meta["batches"]))


def known_until(bundle: Bundle) -> datetime | None:
    """Up to when the bundle's profile knows events; None: it knows none."""
    mark = bundle.profile.watermark
    return None if mark is None else mark + bundle.extractor.lateness


def version_of(manifest: dict[str, Any]) -> str:
    """The model version: the seal of the manifest, which no two different bundles share."""
    return str(manifest.get("seal") or _digest(manifest))[:16]


def _digest(manifest: dict[str, Any]) -> str:
    from hashlib import sha256

    return sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _read(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)
