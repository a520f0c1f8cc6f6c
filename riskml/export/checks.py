"""Looks at a file of a bundle before the library that reads it does: forms, sizes, depths.

Hashes only say that a file is the one that the manifest lists. Who can write files can write a
manifest, so without a signature these checks are all that stands before the parsers.
"""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

import polars as pl

from riskml.core.errors import BundleError, reading
from riskml.export.archive import check_archive
from riskml.export.onnx import check_onnx

JSON_BYTES = 512 << 20
HEADER_BYTES = 16 << 20
MOST_AXES = 8
ROWS_A_BYTE, ROWS_FREE = 64, 1 << 20
"""A Parquet file may promise so many rows for each of its bytes, and so many for nothing."""

ITEM_BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2} | {
    f"{kind}{bits}": bits // 8 for kind in "IUF" for bits in (32, 64)
}
"""Of the types of safetensors that our arrays have."""


def check_content(path: Path) -> None:
    """Refuse a file that is not of the form that its name says, or promises more than it holds.

    Raises:
        BundleError: what is wrong with it.
    """
    with reading(path):
        if path.suffix == ".json":
            _check_json(path)
        elif path.suffix == ".safetensors":
            _check_safetensors(path)
        elif path.suffix == ".parquet":
            _check_parquet(path)
        elif path.suffix == ".ts":
            check_archive(path)
        elif path.suffix == ".onnx":
            check_onnx(path)
        elif path.suffix != ".md":
            raise BundleError(f"{path}: no bundle holds a file of this kind")


def strict_json(text: str) -> dict[str, Any]:
    """An object; no name twice, no NaN, and no deeper than the interpreter can go.

    Raises:
        ValueError: it is something else.
    """
    try:
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(n for n in names if names.count(n) > 1)!r} stands there twice")
    return found


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _check_json(path: Path) -> None:
    size = path.stat().st_size
    if size > JSON_BYTES:
        raise ValueError(f"{size:,} bytes of JSON, at most {JSON_BYTES:,} are read")
    strict_json(path.read_text(encoding="utf-8"))


def _check_safetensors(path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(HEADER_BYTES, size - 8):
            raise ValueError(f"a header of {length:,} bytes in a file of {size:,}")
        header = strict_json(file.read(length).decode("utf-8"))
    header.pop("__metadata__", None)
    at = 0
    for name, array in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        shape, (start, end) = array["shape"], array["data_offsets"]
        if len(shape) > MOST_AXES or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError(f"{name} has the shape {str(shape)[:80]}")
        if start != at or end - start != prod(shape) * ITEM_BYTES[array["dtype"]]:
            raise ValueError(f"{name} of shape {shape} does not lie where the header says")
        at = end
    if at != size - 8 - length:
        raise ValueError(f"{size - 8 - length:,} bytes of arrays, the header says {at:,}")


def _check_parquet(path: Path) -> None:
    rows = int(pl.scan_parquet(path).select(pl.len()).collect().item())
    most = ROWS_FREE + ROWS_A_BYTE * path.stat().st_size
    if rows > most:
        raise ValueError(f"it promises {rows:,} rows, at most {most:,} are read from its size")
