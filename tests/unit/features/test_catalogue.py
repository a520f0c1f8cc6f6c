"""The list of features for people."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

import riskml
from riskml.cli import main
from riskml.features.catalogue import catalogue
from riskml.features.extractor import FAMILIES

DOCS = Path(riskml.__file__).parents[1] / "docs"


def test_the_page_is_what_the_command_writes() -> None:
    result = CliRunner().invoke(main, ["catalogue"])
    assert result.exit_code == 0
    written = (DOCS / "features.md").read_text()
    assert result.output == written, "run: riskml catalogue > docs/features.md"


def test_every_family_has_a_section_with_full_rows() -> None:
    page = catalogue()
    assert [line[3:] for line in page.splitlines() if line.startswith("## ")] == list(FAMILIES)
    rows = [line.split("|")[1:-1] for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) > 60
    assert {len(cells) for cells in rows} == {4}
    assert all(cells[0].strip() and cells[1].strip() and cells[3].strip() for cells in rows)
    assert len({cells[0] for cells in rows}) == len(rows)
