"""A bundle is whole and unchanged, or refused; in a signed world also if somebody else made it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forging import FILES, forge

from riskml.core.errors import BundleError, ConfigError
from riskml.export.bundle import change_threshold, load_bundle
from riskml.export.manifest import FORMAT, MANIFEST
from riskml.export.seal import KEY_VARIABLE

FLIPS = 2_000
KEY, OTHER_KEY = "k" * 32, "o" * 32


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0, -1])
def test_a_changed_byte_is_refused(name: str, place: int, bundle_folder: Path) -> None:
    content = bytearray((bundle_folder / name).read_bytes())
    content[place] ^= 1
    (bundle_folder / name).write_bytes(content)
    with pytest.raises(BundleError, match=rf"{name} was changed after export"):
        load_bundle(bundle_folder)


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_length_is_refused(name: str, bundle_folder: Path) -> None:
    with (bundle_folder / name).open("ab") as file:
        file.write(b"more")
    with pytest.raises(BundleError, match=rf"{name} was changed after export: it has .* bytes"):
        load_bundle(bundle_folder)


def test_bits_of_the_manifest_are_refused(bundle_folder: Path) -> None:
    """Of blanks, names, hashes, the seal, and the number of the format alike."""
    whole = (bundle_folder / MANIFEST).read_bytes()
    for bit in np.random.default_rng(0).choice(len(whole) * 8, 100, replace=False):
        flip(bundle_folder / MANIFEST, int(bit))
        with pytest.raises(BundleError):
            load_bundle(bundle_folder)
        (bundle_folder / MANIFEST).write_bytes(whole)
    load_bundle(bundle_folder)


@pytest.mark.slow
@pytest.mark.parametrize("signed", [False, True])
def test_any_bit_of_any_file_is_refused(
    signed: bool, exported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2,000 bits of all files, the manifest among them, nothing else changes."""
    if signed:
        monkeypatch.setenv(KEY_VARIABLE, KEY)
    folder = exported.export(tmp_path / "bundle")
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    names, rng = [MANIFEST, *FILES], np.random.default_rng(1)
    for number in range(FLIPS):
        name = names[number % len(names)]
        flip(folder / name, int(rng.integers(len(whole[name]) * 8)))
        with pytest.raises(BundleError):
            load_bundle(folder)
        (folder / name).write_bytes(whole[name])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    load_bundle(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(name: str, bundle_folder: Path) -> None:
    (bundle_folder / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        load_bundle(bundle_folder)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_the_manifest_does_not_vouch_for_is_refused(
    name: str, bundle_folder: Path
) -> None:
    forge(bundle_folder, lambda m: m["files"].pop(name))
    with pytest.raises(BundleError, match=name):
        load_bundle(bundle_folder)


@pytest.mark.parametrize("name", ["left_over.txt", ".hidden", "sub/model.ts"])
def test_a_file_too_many_is_refused(name: str, bundle_folder: Path) -> None:
    (bundle_folder / name).parent.mkdir(exist_ok=True)
    (bundle_folder / name).write_text("from before")
    with pytest.raises(BundleError, match=f"holds '{name}', which its manifest does not list"):
        load_bundle(bundle_folder)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", "{}", '{"files": 3}', "\xff", "[" * 9999]
)
def test_an_unreadable_manifest_is_refused(content: str, bundle_folder: Path) -> None:
    (bundle_folder / MANIFEST).write_text(content, encoding="latin-1")
    with pytest.raises(BundleError, match=r"manifest\.json is missing, damaged"):
        load_bundle(bundle_folder)


def test_a_huge_manifest_is_not_read(bundle_folder: Path) -> None:
    with (bundle_folder / MANIFEST).open("r+b") as file:
        file.truncate(1 << 40)  # a hole, no bytes on the disk
    with pytest.raises(BundleError, match="larger than"):
        load_bundle(bundle_folder)


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"is no bundle: it has no manifest\.json"):
        load_bundle(tmp_path)


@pytest.mark.parametrize("number", [0, 1, FORMAT + 1, str(FORMAT), True, None])
def test_another_format_is_refused(number: object, bundle_folder: Path) -> None:
    forge(bundle_folder, lambda m: m.update(format=number))
    with pytest.raises(BundleError, match=f"bundle format {number}; this riskml reads 2 and 3"):
        load_bundle(bundle_folder)


def test_a_seal_does_not_go_away_with_the_format(bundle_folder: Path) -> None:
    text = (bundle_folder / MANIFEST).read_text().replace(f'"format": {FORMAT}', '"format": 2')
    (bundle_folder / MANIFEST).write_text(text)
    with pytest.raises(BundleError, match="of format 2, which cannot be signed"):
        load_bundle(bundle_folder)


# ---- signatures


def test_with_a_key_bundles_are_signed_and_have_to_be(
    exported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    folder = exported.export(tmp_path / "bundle")
    load_bundle(folder)
    with pytest.raises(BundleError, match="is not signed"):
        load_bundle(exported.folder)
    monkeypatch.setenv(KEY_VARIABLE, OTHER_KEY)
    with pytest.raises(BundleError, match="signed with another key"):
        load_bundle(folder)
    monkeypatch.delenv(KEY_VARIABLE)
    load_bundle(folder)  # who has no key cannot check, and sees that it is signed
    with pytest.raises(BundleError, match=f"is signed: set {KEY_VARIABLE}"):
        change_threshold(folder, 1.0)


def test_what_was_forged_is_not_looked_at_with_a_key(
    exported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    folder = exported.export(tmp_path / "bundle")
    change_threshold(folder, 3.25)
    assert load_bundle(folder).threshold == 3.25
    signature = json.loads((folder / MANIFEST).read_text())["signature"]
    shutil.copy(exported.folder / "model.ts", folder / "model.ts")
    (folder / "threshold.json").write_text("[" * 100_000)
    forge(folder, lambda m: m.update(detector="mine"), signature)
    with pytest.raises(BundleError, match="signed with another key"):
        load_bundle(folder)
    forge(folder)
    with pytest.raises(BundleError, match="is not signed"):
        load_bundle(folder)


def test_a_short_key_is_refused(exported: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "secret")
    with pytest.raises(ConfigError, match="has 6 bytes, at least 32") as refused:
        load_bundle(exported.folder)
    assert "secret" not in str(refused.value).replace("secrets", "")
