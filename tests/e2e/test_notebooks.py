"""Each notebook runs from top to bottom, says nothing on standard error, and shows something."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from command_line import ROOT
from nbclient import NotebookClient

pytestmark = pytest.mark.slow

NOTEBOOKS = sorted((ROOT / "notebooks").glob("0*.ipynb"))
PICTURES = {"01": 7, "02": 5, "03": 5, "04": 1, "05": 0}
"""How many there are at least."""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place).execute()
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", ())]
    complaints = [out.text for out in outputs if out.get("name") == "stderr"]
    assert complaints == []
    data = [out.data for out in outputs if "data" in out]
    pictures = [d for d in data if "image/png" in d or "<svg" in d.get("text/html", "")]
    assert len(pictures) >= PICTURES[path.stem[:2]]
    assert any("text/html" in d for d in data)
