"""Files that are replaced in one step."""

from __future__ import annotations

from pathlib import Path

import pytest

from riskml.core.replacing import replace_bytes, replace_text


def test_the_new_one_takes_the_place_of_the_old(tmp_path: Path) -> None:
    replace_text(tmp_path / "a.json", "old")
    replace_text(tmp_path / "a.json", "né")
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == "né"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_full_disk_leaves_the_old_one_and_is_told_with_the_name(tmp_path: Path) -> None:
    file = tmp_path / "a.html"
    file.write_bytes(b"old")
    (tmp_path / "a.html.draft").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as refused:
        replace_bytes(file, b"new")
    assert refused.value.filename == str(file)
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]
    assert file.read_bytes() == b"old"


def test_a_folder_that_is_not_there_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere/a"):
        replace_text(tmp_path / "nowhere" / "a", "new")
