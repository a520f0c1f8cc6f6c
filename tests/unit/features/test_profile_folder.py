"""A profile that is replaced again and again, and killed in between, is never lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from riskml.features.profile import Profile


def test_two_kills_in_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "profile"
    Profile(late=1).replace_folder(folder)
    rename = Path.rename

    def dying(self: Path, target: Path) -> Path:
        if self.name.endswith(".draft"):
            raise KeyboardInterrupt
        return rename(self, target)

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", dying)
            with pytest.raises(KeyboardInterrupt):
                Profile(late=2).replace_folder(folder)
        assert Profile.load(folder).late == 1
    Profile(late=2).replace_folder(folder)
    assert Profile.load(folder).late == 2
    assert [path.name for path in tmp_path.iterdir()] == ["profile"]
