"""Bundles by somebody who can write every file and seals the manifest anew, but has no key.

Each is refused with an error that says why, and nothing of it has run or been written.
"""

from __future__ import annotations

import json
import os
import pickletools
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from forging import FILES, forge
from safetensors.numpy import load_file, save_file

from riskml.core.errors import BundleError
from riskml.export.bundle import load_bundle
from riskml.export.manifest import describe

CANARY = "canary"


def refused(folder: Path, match: str, change: Callable[[dict[str, Any]], object] = len) -> None:
    """Seal what was changed; loading it is refused and leaves no trace."""
    forge(folder, change)
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(BundleError, match=match):
        load_bundle(folder)
    assert sorted(folder.parent.rglob("*")) == before
    assert not (folder.parent / CANARY).exists()


def rewrite(
    path: Path,
    replaced: dict[str, bytes] | None = None,
    renamed: dict[str, str] | None = None,
    packed: int = zipfile.ZIP_STORED,
) -> None:
    """Write the zip of a graph again, some records with other content, or under other names."""
    with zipfile.ZipFile(path) as old:
        records = {name: old.read(name) for name in old.namelist()}
    top = next(iter(records)).partition("/")[0]
    records.update({f"{top}/{name}": content for name, content in (replaced or {}).items()})
    with zipfile.ZipFile(path, "w", packed) as new:
        for name, content in records.items():
            new.writestr((renamed or {}).get(name.removeprefix(f"{top}/"), name), content)


def record(path: Path, name: str) -> bytes:
    with zipfile.ZipFile(path) as graph:
        return graph.read(next(n for n in graph.namelist() if n.endswith(f"/{name}")))


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# ---- the graph


def test_a_zip_written_again_is_as_good(bundle_folder: Path) -> None:
    """So what follows is refused for what it is, not because it was written by another program."""
    rewrite(bundle_folder / "model.ts")
    forge(bundle_folder)
    load_bundle(bundle_folder)


@pytest.mark.parametrize("name", ["data.pkl", "constants.pkl"])
@pytest.mark.parametrize("way", ["global", "stack"])
def test_pickle_bombs(name: str, way: str, bundle_folder: Path) -> None:
    command = f"touch {bundle_folder.parent / CANARY}".encode()
    bomb = {
        "global": b"\x80\x02cposix\nsystem\nU" + bytes([len(command)]) + command + b"\x85R.",
        "stack": b"\x80\x04\x8c\x05posix\x8c\x06system\x93U"
        + bytes([len(command)])
        + command
        + b"\x85R.",
    }[way]
    rewrite(bundle_folder / "model.ts", {name: bomb})
    refused(bundle_folder, r"asks for posix\.system|uses (STACK_GLOBAL|SHORT_BINUNICODE)")


def test_a_plain_pickle_in_place_of_the_graph(bundle_folder: Path) -> None:
    (bundle_folder / "model.ts").write_bytes(b"\x80\x02cposix\nsystem\nU\x02ls\x85R.")
    refused(bundle_folder, "not a zip file")


def test_a_pickle_that_promises_more_numbers_than_there_are(bundle_folder: Path) -> None:
    """torch would read them from whatever lies behind in memory."""
    content = record(bundle_folder / "model.ts", "data.pkl")
    operations = [(opcode.name, place) for opcode, _, place in pickletools.genops(content)]
    names = [name for name, _ in operations]
    length = max(i for i in range(names.index("BINPERSID")) if names[i].startswith("BININT"))
    start, end = operations[length][1], operations[length + 1][1]
    lied = content[:start] + b"J" + (1 << 30).to_bytes(4, "little") + content[end:]
    rewrite(bundle_folder / "model.ts", {"data.pkl": lied})
    refused(bundle_folder, "promises .* numbers in record")


@pytest.mark.parametrize("name", ["data/../../../evil", "/evil", "code/evil.sh", "data/x"])
def test_records_with_odd_names(name: str, bundle_folder: Path) -> None:
    rewrite(bundle_folder / "model.ts", renamed={"byteorder": name})
    refused(bundle_folder, "a record is named|outside of a folder")


def test_zip_bombs(bundle_folder: Path) -> None:
    rewrite(bundle_folder / "model.ts", {"data/99": bytes(1 << 26)}, packed=zipfile.ZIP_DEFLATED)
    assert (bundle_folder / "model.ts").stat().st_size < 1 << 20
    refused(bundle_folder, "would come out of")


@pytest.mark.parametrize("where", ["before", "behind"])
def test_two_files_in_one(where: str, bundle_folder: Path) -> None:
    """Programs that begin at different ends would see different graphs."""
    path = bundle_folder / "model.ts"
    whole = path.read_bytes()
    path.write_bytes(whole + whole if where == "behind" else b"MZ" + whole)
    refused(bundle_folder, "zip|overlaps|records|archive")


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("def f(self) -> Tensor:\n    return torch.from_file('/etc/hosts', False, 8)", "from_file"),
        ("def f(self, x: Tensor) -> NoneType:\n    torch.save(x, '{canary}')", "save"),
        ("def f(self, x: Tensor) -> NoneType:\n    ops.aten.save (x, '{canary}')", "save"),
        ("def f(self) -> Tensor:\n    return ops.mine.f()", "ops.mine"),
        ("def __setstate__(self, state: int) -> NoneType:\n    pass", "__setstate__"),
    ],
)
def test_code_that_reaches_out_of_the_graph(line: str, match: str, bundle_folder: Path) -> None:
    with zipfile.ZipFile(bundle_folder / "model.ts") as graph:
        name = next(n for n in graph.namelist() if n.endswith(".py")).partition("/")[2]
    code = record(bundle_folder / "model.ts", name).decode()
    code += f"  {line.format(canary=bundle_folder.parent / CANARY)}\n"
    rewrite(bundle_folder / "model.ts", {name: code.encode()})
    refused(bundle_folder, f"reaches outside of the graph: '{match}")


class Wide(torch.nn.Module):
    def forward(self, x, tokens, times, lengths, user):  # type: ignore[no-untyped-def]
        return x


class Infinite(torch.nn.Module):
    def forward(self, x, tokens, times, lengths, user):  # type: ignore[no-untyped-def]
        return 1 / x.sum(1)


class Giant(torch.nn.Module):
    def forward(self, x, tokens, times, lengths, user):  # type: ignore[no-untyped-def]
        return torch.zeros([1 << 50])


class Signs(torch.nn.Module):
    def forward(self, x, tokens, times, lengths, user):  # type: ignore[no-untyped-def]
        return x.sum(1) > 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", [Wide, Infinite, Giant, Signs])
def test_graphs_that_give_no_scores(kind: type[torch.nn.Module], bundle_folder: Path) -> None:
    torch.jit.script(kind()).save(str(bundle_folder / "model.ts"))
    refused(bundle_folder, r"is no score|RuntimeError")


# ---- names and kinds of files


@pytest.mark.parametrize(
    "form", ["../outside.json", "sub/../../outside.json", "absolute", "..", "a\nb", "", "ä.json"]
)
def test_paths_out_of_the_folder(form: str, bundle_folder: Path) -> None:
    outside = bundle_folder.parent / "outside.json"
    outside.write_text("{}")
    name = str(outside) if form == "absolute" else form
    entry = {"sha256": "0" * 64, "size": 2}
    refused(bundle_folder, "not a plain name", lambda m: m["files"].update({name: entry}))


@pytest.mark.parametrize("name", FILES)
def test_symbolic_links(name: str, bundle_folder: Path) -> None:
    elsewhere = bundle_folder.parent / name
    shutil.move(bundle_folder / name, elsewhere)
    (bundle_folder / name).symlink_to(elsewhere)
    refused(bundle_folder, f"{name}' is missing or not a plain file")


@pytest.mark.parametrize("kind", ["folder", "pipe", "link to a folder"])
def test_what_is_no_file(kind: str, bundle_folder: Path) -> None:
    path = bundle_folder / "users.json"
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)  # whoever opened it would wait for ever
    else:
        path.symlink_to(bundle_folder.parent)
    refused(bundle_folder, r"users\.json'? is missing or not a plain file")


@pytest.mark.parametrize("name", ["sitecustomize.py", "graph.pkl", "lib.so", "no_suffix"])
def test_files_of_a_kind_that_no_bundle_holds(name: str, bundle_folder: Path) -> None:
    (bundle_folder / name).write_text("import os")
    entry = describe(bundle_folder / name)
    refused(bundle_folder, "of this kind", lambda m: m["files"].update({name: entry}))


def test_more_than_any_bundle_holds(bundle_folder: Path) -> None:
    entry = {"sha256": "0" * 64, "size": 1 << 42}
    forge(bundle_folder, lambda m: m["files"].update({"users.json": entry}))
    with (bundle_folder / "users.json").open("r+b") as file:
        file.truncate(1 << 42)  # a hole, no bytes on the disk
    with pytest.raises(BundleError, match="larger than"):
        load_bundle(bundle_folder)


# ---- what files say


@pytest.mark.parametrize("name", FILES)
def test_nonsense(name: str, bundle_folder: Path) -> None:
    (bundle_folder / name).write_bytes(b"nonsense")
    refused(bundle_folder, name)


@pytest.mark.parametrize("content", ["[" * 200_000, '{"a":' * 200_000])
def test_deep_json(content: str, bundle_folder: Path) -> None:
    (bundle_folder / "users.json").write_text(content)
    refused(bundle_folder, "nested too deeply")


def test_a_name_that_stands_there_twice(bundle_folder: Path) -> None:
    """Programs differ in which of them counts."""
    (bundle_folder / "threshold.json").write_text('{"score": 1.0, "score": 1e30}')
    refused(bundle_folder, "'score' stands there twice")


@pytest.mark.parametrize("score", ["NaN", "Infinity", '"nan"', "null", "[]", "1e999"])
def test_a_threshold_that_is_no_number(score: str, bundle_folder: Path) -> None:
    (bundle_folder / "threshold.json").write_text(f'{{"score": {score}}}')
    refused(bundle_folder, "no number|a threshold of|missing, damaged")


@pytest.mark.parametrize(
    "changes",
    [
        {"knots": []},
        {"exceedance": [2.0]},
        {"tail_scale": -1},
        {"tail_scale": "nan"},
        {"knots": "abc"},
    ],
)
def test_curves_that_are_none(changes: dict[str, Any], bundle_folder: Path) -> None:
    edit_json(bundle_folder / "calibration.json", **changes)
    refused(bundle_folder, "knots|could not convert|damaged")


@pytest.mark.parametrize("index", [-1, 10**12, 1.5, "1", None])
def test_users_without_a_place(index: object, bundle_folder: Path) -> None:
    edit_json(bundle_folder / "users.json", user_0=index)
    refused(bundle_folder, "out of range")


@pytest.mark.parametrize("kind", ["hour", "__class__", 3])
def test_windows_of_an_unknown_kind(kind: object, bundle_folder: Path) -> None:
    edit_json(bundle_folder / "features.json", window={"kind": kind, "settings": {}})
    refused(bundle_folder, r"features\.json")


@pytest.mark.parametrize("name", ["../outside", "a/../../outside", "*", "", "users*"])
def test_tables_out_of_the_folder(name: str, bundle_folder: Path) -> None:
    edit_json(bundle_folder / "profile.json", tables=["users", "names", name])
    refused(bundle_folder, "a table is named")


def test_tables_that_promise_more_than_they_hold(bundle_folder: Path) -> None:
    pl.select(row=pl.repeat(1, 20_000_000, dtype=pl.Int32)).write_parquet(
        bundle_folder / "usual.parquet", row_group_size=20_000_000
    )
    assert (bundle_folder / "usual.parquet").stat().st_size < 200_000
    refused(bundle_folder, "it promises 20,000,000 rows")


@pytest.mark.parametrize(
    ("shape", "offsets", "match"),
    [
        ([1 << 40, 1 << 40], None, "does not lie where"),
        ([-1], None, "has the shape"),
        ([1] * 9999, None, "has the shape"),
        ([2.5], None, "has the shape"),
        (None, [0, 1 << 60], "does not lie where"),
        (None, [-8, 0], "does not lie where"),
    ],
)
def test_giant_shapes(shape: object, offsets: object, match: str, bundle_folder: Path) -> None:
    path = bundle_folder / "usual.safetensors"
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["low"] |= {"shape": shape} if shape is not None else {"data_offsets": offsets}
    made = json.dumps(header).encode()
    path.write_bytes(len(made).to_bytes(8, "little") + made + content[8 + length :])
    refused(bundle_folder, match)


def test_a_giant_header(bundle_folder: Path) -> None:
    path = bundle_folder / "usual.safetensors"
    path.write_bytes((1 << 62).to_bytes(8, "little") + path.read_bytes()[8:])
    refused(bundle_folder, "a header of")


@pytest.mark.parametrize("name", ["low", "high", "counts"])
def test_arrays_of_another_kind(name: str, bundle_folder: Path) -> None:
    path = bundle_folder / "usual.safetensors"
    arrays = load_file(path)
    changed = arrays[name].astype(np.float64)
    arrays[name] = changed[:-1] if name == "counts" else changed
    save_file(arrays, path)
    refused(bundle_folder, "float64|counts are not")
