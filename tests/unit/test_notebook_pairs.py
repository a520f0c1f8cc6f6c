"""Each notebook is made of the .py beside it, holds no outputs, and is linked to the next."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
SOURCES = sorted(FOLDER.glob("0*.py"))
MAKE = "make notebooks makes it anew"


def cells(notebook: Any) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def test_every_notebook_has_its_pair() -> None:
    assert [path.stem[:2] for path in SOURCES] == ["01", "02", "03", "04", "05"]
    pairs = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    assert pairs == [path.stem for path in SOURCES], MAKE


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_notebook_says_what_its_source_says(source: Path) -> None:
    notebook = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    nbformat.validate(notebook)
    assert cells(notebook) == cells(jupytext.read(source)), MAKE
    assert notebook.metadata.kernelspec.name == "python3"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_outputs_are_not_committed(source: Path) -> None:
    for cell in json.loads(source.with_suffix(".ipynb").read_text())["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None
        assert cell["metadata"].keys() <= {"lines_to_next_cell"}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_words_link_to_what_there_is_and_state_no_result(source: Path) -> None:
    """A number in words could be another one than that of the cell."""
    notebook = jupytext.read(source)
    words = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for target in re.findall(r"\]\(([^)#]+)\)", words):
        assert (FOLDER / target).is_file(), target
    for page in re.findall(r"`(docs/[^`]+)`", words):
        assert (FOLDER.parent / page).is_file(), page
    plain = re.sub(r"\[[^\]]*\]\([^)]*\)|`[^`]*`|^# \d ·|Word2Vec", "", words, flags=re.MULTILINE)
    assert set(re.findall(r"\d+(?:[.,]\d+)*(?: ?%)?", plain)) <= {"100 %", "95 %", "0"}, plain
