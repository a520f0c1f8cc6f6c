"""Tables that processes hand each other: Arrow files, written in one step and read into memory."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path

import polars as pl

SUFFIX = ".arrow"


def write_frame(frame: pl.DataFrame, file: Path) -> None:
    """Write a table; who is killed amid it, or does the same beside another, does no harm."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{uuid.uuid4().hex}")
    frame.write_ipc(draft)
    draft.replace(file)


def read_frame(file: Path) -> pl.DataFrame:
    """Read what `write_frame` wrote; the file may go away then."""
    return pl.read_ipc(file.read_bytes())


def write_frames(frames: Mapping[str, pl.DataFrame], folder: Path) -> None:
    """Write tables by name."""
    for name, frame in frames.items():
        write_frame(frame, folder / f"{name}{SUFFIX}")


def read_frames(folder: Path) -> dict[str, pl.DataFrame]:
    """Read what `write_frames` wrote."""
    files = sorted(folder.glob(f"*{SUFFIX}"))
    return {file.name.removesuffix(SUFFIX): read_frame(file) for file in files}
