"""Windows as Parquet: one row a window, one column a feature, tokens and times as lists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from riskml.core.errors import DataError, reading
from riskml.core.types import FeatureSpec, FloatArray, IntArray, Windows

KEYS = ("window_id", "user_id", "start", "end", "n_events", "peer")
TOKENS = "tokens"
TIMES = ("gaps", "hours")
"""Lists that are there with `event_times`: the two columns of `Windows.times`."""

ROWS_A_BLOCK = 8192
"""What can be read at a time, see `window_blocks`."""


def lists(spec: FeatureSpec) -> tuple[str, ...]:
    """The columns that hold one value an event."""
    return (TOKENS, *TIMES) if spec.event_times else (TOKENS,)


def to_frame(windows: Windows) -> pl.DataFrame:
    """Keys, features, tokens and times side by side."""
    features = pl.DataFrame(windows.x, schema=windows.spec.names, orient="row")
    kept = np.arange(windows.tokens.shape[1]) < windows.lengths[:, None]
    row = np.repeat(np.arange(len(windows)), windows.lengths)
    events = pl.DataFrame({"row": row, TOKENS: windows.tokens[kept]})
    if windows.spec.event_times:
        events = events.hstack(pl.DataFrame(windows.times[kept], schema=TIMES, orient="row"))
    by_window = events.group_by("row", maintain_order=True).all().drop("row")
    return pl.concat([windows.keys.select(KEYS), features, by_window], how="horizontal")


def from_frame(frame: pl.DataFrame, spec: FeatureSpec) -> Windows:
    """What `to_frame` was given.

    Args:
        frame: of `to_frame`.
        spec: of the extractor that made the windows.

    Raises:
        DataError: the frame has other features.
    """
    _check(frame, spec)
    lengths = frame[TOKENS].list.len().to_numpy().astype(np.int32)
    tokens: IntArray = np.zeros((len(frame), int(lengths.max(initial=1))), np.int32)
    kept = np.arange(tokens.shape[1]) < lengths[:, None]
    tokens[kept] = frame[TOKENS].explode().to_numpy()
    times: FloatArray = np.zeros((*tokens.shape, 2) if spec.event_times else (0, 0, 2), np.float32)
    if spec.event_times:
        times[kept] = frame.select(pl.col(*TIMES).explode()).to_numpy()
    x = frame.select(spec.names).to_numpy().astype(np.float32)
    return Windows(frame.select(KEYS), x, spec, tokens, lengths, times)


def write_windows(windows: Windows, file: Path) -> None:
    """Write them; the file appears whole or not at all."""
    draft = file.with_name(file.name + ".part")
    to_frame(windows).write_parquet(draft, row_group_size=ROWS_A_BLOCK)
    draft.replace(file)


def read_files(files: Sequence[Path], spec: FeatureSpec) -> Windows:
    """Read what `write_windows` wrote, in order of start.

    Raises:
        DataError: there are none, or they were made by another extractor.
        BundleError: a file is missing or damaged.
    """
    if not files:
        raise DataError("there are no files of windows to read")
    frames = []
    for file in files:
        with reading(file):
            frames.append(pl.read_parquet(file, glob=False))
            _check(frames[-1], spec)
    return from_frame(pl.concat(frames).sort("start", "window_id"), spec)


def _check(frame: pl.DataFrame, spec: FeatureSpec) -> None:
    wanted = [*KEYS, *spec.names, *lists(spec)]
    if frame.columns != wanted:
        odd = sorted(set(frame.columns) ^ set(wanted))[:5]
        raise DataError(f"these windows were made by another extractor; not in both: {odd}")
