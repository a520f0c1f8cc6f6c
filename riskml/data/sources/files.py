"""Which files a path means: one file, a folder, or a pattern."""

from __future__ import annotations

import difflib
import glob
from itertools import takewhile
from pathlib import Path

from riskml.core.errors import DataError


def find_files(path: Path, suffixes: tuple[str, ...], kind: str) -> tuple[Path, list[Path]]:
    """The files of a log. Of a folder those count whose names end in one of the suffixes.

    Files and folders below it whose names begin with `_` or `.` are left out: engines hide
    theirs so.

    Args:
        path: of a file or folder, or a pattern with `*`, `**` or `?`.
        suffixes: such as `.json.gz`.
        kind: of file, for messages.

    Returns:
        The folder that file names are relative to, and the files in order.

    Raises:
        DataError: nothing is there.
    """
    if path.is_file():
        return path.parent, [path]
    if path.is_dir():
        root, matches = path, [path]
    elif glob.has_magic(str(path)):
        root = Path(*takewhile(lambda part: not glob.has_magic(part), path.parts))
        matches = [Path(match) for match in glob.glob(str(path), recursive=True)]
    else:
        raise DataError(not_found(path))
    files = {match for match in matches if match.is_file()}
    for folder in matches:
        files.update(
            file for file in folder.rglob("*") if _is_part(file.relative_to(folder), suffixes)
        )
    if not files:
        endings = " or ".join(f"*{suffix}" for suffix in suffixes)
        raise DataError(f"{path} holds no {kind} file ({endings})")
    return root, sorted(files)


def _is_part(file: Path, suffixes: tuple[str, ...]) -> bool:
    hidden = any(part.startswith(("_", ".")) for part in file.parts)
    return file.name.endswith(suffixes) and not hidden


def one_file(path: str | Path, kind: str) -> Path:
    """The path, where it is that of one file.

    Raises:
        DataError: it is none.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise DataError(f"{path} is a folder; give one {kind} file")
    if not path.exists():
        raise DataError(not_found(path))
    return path


def not_found(path: Path) -> str:
    """The message, with the nearest names in the folder."""
    if not path.parent.is_dir():
        return f"{path} does not exist, nor does its folder"
    names = sorted(entry.name for entry in path.parent.iterdir())
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"{path} does not exist{hint}"
