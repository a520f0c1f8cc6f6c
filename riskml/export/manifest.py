"""The list of what a bundle holds: written last, checked first."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from hashlib import file_digest
from pathlib import Path
from typing import Any

from riskml.core.errors import BundleError, reading
from riskml.core.versions import versions
from riskml.export.checks import strict_json
from riskml.export.seal import SEAL, SIGNATURE, check_seal, rendered, sealed

MANIFEST = "manifest.json"
FORMAT = 3
READABLE = (2, FORMAT)
"""2 has neither sizes nor a seal, so it cannot be signed: `riskml bundle sign` makes it a 3."""

MANIFEST_BYTES = 4 << 20
BUNDLE_BYTES = 16 << 30
MOST_FILES, DEEPEST = 1_000, 16
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")

Files = dict[str, dict[str, Any]]
"""By name: `sha256`, and `size` in bytes where the format has it."""


def check_place(folder: Path) -> None:
    """Refuse to put a bundle in place of anything but an older bundle or nothing.

    Raises:
        BundleError: a file or another folder is there.
    """
    nothing = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if not folder.name or not (nothing or (folder / MANIFEST).is_file()):
        raise BundleError(
            f"{folder} holds something else than a bundle, which the export would replace: give a "
            "new folder"
        )


def write_manifest(folder: Path, content: dict[str, Any], key: bytes | None = None) -> None:
    """Describe every file that is in the folder, and seal it.

    Args:
        folder: of the bundle, with all other files in it.
        content: plain values.
        key: to sign with.

    Raises:
        BundleError: a file is there that no bundle may hold.
    """
    names = sorted(name for name in _walk(folder) if name != MANIFEST)
    _check_names(folder, names)
    files = {name: describe(folder / name) for name in names}
    kept = {name: value for name, value in content.items() if name not in ("format", "files")}
    made = sealed({"format": FORMAT, **kept, "files": files}, key)
    (folder / MANIFEST).write_text(rendered(made), encoding="utf-8")


def about_now() -> dict[str, Any]:
    """When and with what a bundle is made."""
    return {"created": datetime.now(UTC).isoformat(timespec="seconds"), "versions": versions()}


def describe(path: Path) -> dict[str, Any]:
    """SHA-256 and size of a file."""
    with path.open("rb") as file:
        return {"sha256": file_digest(file, "sha256").hexdigest(), "size": path.stat().st_size}


def read_manifest(
    folder: Path, required: Iterable[str] = (), key: bytes | None = None
) -> dict[str, Any]:
    """Check seal, signature, names, sizes and hashes, in this order, before anything is parsed.

    Args:
        folder: of the bundle.
        required: names that must be listed.
        key: of the signature, which is then asked for.

    Returns:
        What the manifest says, `files` as of the present format.

    Raises:
        BundleError: a file is missing, changed, not listed or not plain, or of an unknown format.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise BundleError(f"{folder} {_no_bundle(folder)}")
    with reading(path):
        text = _read_small(path)
        manifest = strict_json(text)
        number, files = manifest.get("format"), dict(manifest["files"])
    if number not in READABLE or isinstance(number, bool):
        readable = " and ".join(map(str, READABLE))
        raise BundleError(f"{folder} has bundle format {number}; this riskml reads {readable}")
    if number == FORMAT:
        check_seal(text, manifest, key, path)
    elif key is not None or SEAL in manifest or SIGNATURE in manifest:
        raise BundleError(f"{path} is of format {number}, which cannot be signed")
    with reading(path):
        manifest["files"] = _described(files, number)
    _check_files(folder, manifest["files"], required)
    return manifest


def _no_bundle(folder: Path) -> str:
    if not folder.is_dir():
        return "does not exist: give the folder of a bundle, as train.py exports it"
    inside = next(folder.glob(f"*/{MANIFEST}"), None)
    hint = f"; did you mean {inside.parent}?" if inside is not None else ""
    return f"is no bundle: it has no {MANIFEST}{hint}"


def _described(files: dict[str, Any], number: int) -> Files:
    found: Files = {}
    for name, entry in files.items():
        known = {"sha256": entry} if number < FORMAT else dict(entry)
        if not re.fullmatch(r"[0-9a-f]{64}", known["sha256"]):
            raise ValueError(f"{name} has no SHA-256")
        if number == FORMAT and (type(known["size"]) is not int or known["size"] < 0):
            raise ValueError(f"{name} has no size")
        found[name] = known
    return found


def _read_small(path: Path) -> str:
    """Of a plain file that is no larger than a manifest may be."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("not a plain file")
        content = file.read(MANIFEST_BYTES + 1)
    if len(content) > MANIFEST_BYTES:
        raise ValueError(f"larger than {MANIFEST_BYTES:,} bytes")
    return content.decode("utf-8")


def _check_names(folder: Path, names: list[str]) -> None:
    if len(names) > MOST_FILES:
        raise BundleError(f"{folder} lists {len(names):,} files, at most {MOST_FILES:,} are read")
    for name in names:
        parts = name.split("/")
        if len(parts) > DEEPEST or not all(map(_PLAIN.fullmatch, parts)):
            raise BundleError(f"{folder} lists {name!r}, which is not a plain name")


def _check_files(folder: Path, files: Files, required: Iterable[str]) -> None:
    unlisted = sorted(set(required) - set(files))
    if unlisted:
        raise BundleError(f"{folder / MANIFEST} lists no hash for {unlisted[0]}")
    _check_names(folder, list(files))
    there = set(_walk(folder))
    for name in files:
        if name not in there:
            raise BundleError(f"{folder} is incomplete: {name} is missing or not a plain file")
    extra = sorted(there - set(files) - {MANIFEST})
    if extra:
        raise BundleError(f"{folder} holds {extra[0]!r}, which its manifest does not list")
    sizes = {name: (folder / name).stat().st_size for name in files}
    for name, entry in files.items():
        if sizes[name] != entry.get("size", sizes[name]):
            raise BundleError(
                f"{folder / name} was changed after export: it has {sizes[name]:,} bytes, "
                f"the manifest says {entry['size']:,}"
            )
    if sum(sizes.values()) > BUNDLE_BYTES:
        raise BundleError(f"{folder} is larger than {BUNDLE_BYTES:,} bytes")
    for name, entry in files.items():
        if describe(folder / name)["sha256"] != entry["sha256"]:
            raise BundleError(
                f"{folder / name} was changed after export: its SHA-256 is not the manifest's"
            )


def _walk(folder: Path, inside: str = "", depth: int = 0) -> Iterator[str]:
    """Names of the plain files; anything else is refused, links are never followed."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = inside + entry.name
            if entry.is_file(follow_symlinks=False):
                yield name
            elif entry.is_dir(follow_symlinks=False) and depth < DEEPEST:
                yield from _walk(Path(entry.path), f"{name}/", depth + 1)
            else:
                raise BundleError(f"{folder}: {name!r} is missing or not a plain file")
