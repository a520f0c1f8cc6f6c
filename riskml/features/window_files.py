"""Windows as Parquet: one row a window, one column a feature, the tokens as a list."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from riskml.core.errors import DataError, reading
from riskml.core.types import FeatureSpec, IntArray, Windows

KEYS = ("window_id", "user_id", "start", "end", "n_events", "peer")
TOKENS = "tokens"


def to_frame(windows: Windows) -> pl.DataFrame:
    """Keys, features and tokens side by side."""
    features = pl.DataFrame(windows.x, schema=windows.spec.names, orient="row")
    kept = np.arange(windows.tokens.shape[1]) < windows.lengths[:, None]
    row = np.repeat(np.arange(len(windows)), windows.lengths)
    tokens = pl.DataFrame({"row": row, TOKENS: windows.tokens[kept]})
    lists = tokens.group_by("row", maintain_order=True).agg(TOKENS).select(TOKENS)
    return pl.concat([windows.keys.select(KEYS), features, lists], how="horizontal")


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
    tokens[np.arange(tokens.shape[1]) < lengths[:, None]] = frame[TOKENS].explode().to_numpy()
    x = frame.select(spec.names).to_numpy().astype(np.float32)
    return Windows(frame.select(KEYS), x, spec, tokens, lengths)


def write_windows(windows: Windows, file: Path) -> None:
    """Write them; the file appears whole or not at all."""
    draft = file.with_name(file.name + ".part")
    to_frame(windows).write_parquet(draft)
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
    wanted = [*KEYS, *spec.names, TOKENS]
    if frame.columns != wanted:
        odd = sorted(set(frame.columns) ^ set(wanted))[:5]
        raise DataError(f"these windows were made by another extractor; not in both: {odd}")
