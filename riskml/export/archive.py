"""Looks into a TorchScript file before torch does: a zip of tensors, code and two pickles.

torch's own reader of these pickles makes nothing but its types, yet its code can read and write
files, and loading may already run it.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import torch

from riskml.export.pickles import storages

ROOM, FOLD = 1 << 20, 64
"""Bytes that may come out for nothing, and for each byte of the file."""

_RECORDS = re.compile(
    r"(data|constants)\.pkl|(data|constants)/\d+|(\.data/)?version|byteorder|\.format_version"
    r"|\.storage_alignment|\.data/serialization_id|code/__torch__/(\w+/)*\w+\.py(\.debug_pkl)?"
)
_ITEM_BYTES = {"Byte": 1, "Char": 1, "Bool": 1, "Short": 2, "Half": 2, "BFloat16": 2} | {
    "Int": 4,
    "Float": 4,
    "Long": 8,
    "Double": 8,
}
_CODE = re.compile(
    r"\b(save|from_file|rpc_\w+|load_tensor)\s*\(|\bops\.(?!aten\b|prim\b)\w+|__setstate__"
    r"|torch\.classes"
)
"""Operators that reach outside of the graph, and what would run while it is loaded."""


def check_archive(path: Path) -> None:
    """Refuse a zip that is no plain TorchScript file.

    Raises:
        ValueError: odd names, sizes that do not fit the file, foreign pickles, or code that
            reaches outside of the graph.
    """
    sizes = _directory(path)
    reader = torch._C.PyTorchFileReader(str(path))
    records = reader.get_all_records()
    if sorted(records) != sorted(sizes):
        raise ValueError("two readers find different records in it")
    for name in records:
        if not _RECORDS.fullmatch(name):
            raise ValueError(f"a record is named {name!r}")
        if name.endswith("pkl"):
            _check_pickle(name, reader.get_record(name), sizes)
        elif name.endswith(".py"):
            found = _CODE.search(reader.get_record(name).decode("utf-8"))
            if found:
                raise ValueError(f"{name} reaches outside of the graph: {found.group()!r}")


def _directory(path: Path) -> dict[str, int]:
    """Size of each record by its name, without the folder that all are in."""
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
        if archive.comment or not entries or entries[0].header_offset != 0:
            raise ValueError("it does not begin and end as a zip of its own")
    names = [entry.filename for entry in entries]
    top = names[0].partition("/")[0]
    if len(set(names)) != len(names) or not re.fullmatch(r"[\w-]+", top):
        raise ValueError("a record stands there twice, or outside of a folder")
    for entry, after in zip(entries, [*(e.header_offset for e in entries[1:]), size], strict=True):
        if not entry.filename.startswith(f"{top}/") or ".." in entry.filename.split("/"):
            raise ValueError(f"a record is named {entry.filename!r}")
        if entry.flag_bits & 1 or entry.compress_type not in (
            zipfile.ZIP_STORED,
            zipfile.ZIP_DEFLATED,
        ):
            raise ValueError(f"{entry.filename} is encrypted, or packed in an unusual way")
        if entry.header_offset + entry.compress_size > after:
            raise ValueError(f"{entry.filename} overlaps what comes after it")
    whole = sum(entry.file_size for entry in entries)
    if whole > ROOM + FOLD * size:
        raise ValueError(f"{whole:,} bytes would come out of {size:,}")
    return {entry.filename.removeprefix(f"{top}/"): entry.file_size for entry in entries}


def _check_pickle(name: str, content: bytes, sizes: dict[str, int]) -> None:
    """Follow a pickle; torch would believe it about lengths, and read beyond the record."""
    folder = name.removesuffix(".pkl")
    for kind, record, length in storages(name, content):
        item = _ITEM_BYTES[str(kind).removeprefix("torch ").removesuffix("Storage")]
        if length * item > sizes[f"{folder}/{record}"]:
            raise ValueError(f"{name} promises {length:,} numbers in record {record}")
