"""docs/simulator.md names everything that there is, and the version that was measured."""

import re
from dataclasses import fields
from pathlib import Path

from riskml.data.simulator import (
    RESERVED_SCENARIOS,
    SIMULATOR_VERSION,
    STANDARD_SCENARIOS,
    SimulationSettings,
)
from riskml.data.simulator.confounders import CONFOUNDERS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "simulator.md").read_text()
TABLES = [ROOT / "experiments" / "simulator" / name for name in ("acceptance.md", "unseen.md")]


def row(name: str) -> list[str]:
    """The cells of a table's row by its first cell."""
    (found,) = re.findall(rf"^\| `{name}`[^|]*\|(.*)\|$", PAGE, re.MULTILINE)
    return [cell.strip() for cell in found.split("|")]


def test_every_setting_stands_there_with_its_default() -> None:
    written = {"True": "true", "None": "none", "1.0": "1"}
    for field in fields(SimulationSettings):
        default, _ = row(field.name)
        if isinstance(field.default, tuple):
            continue
        text = str(field.default)
        assert default.strip("`") == written.get(text, text), field.name


def test_every_scenario_and_oddity_stands_there() -> None:
    for name in (*STANDARD_SCENARIOS, *RESERVED_SCENARIOS):
        assert len(row(name)) == 2
    for confounder in CONFOUNDERS:
        rate, _ = row(confounder.name)
        if confounder.rate and confounder.name != "maintenance":
            assert f"{100 * confounder.rate:g} %" in rate


def test_tables_and_citation_are_of_this_version() -> None:
    assert f"(simulator {SIMULATOR_VERSION})" in PAGE
    for table in TABLES:
        assert f"Simulator {SIMULATOR_VERSION}," in table.read_text()
