"""The documentation: its navigation, its picture, and the settings that its reference lists."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module that reads conf/ for the site."""
    monkeypatch.syspath_prepend(str(DOCS / "site"))
    import reference_settings

    return reference_settings


def leaves(tree: dict[str, Any], prefix: str = "") -> set[str]:
    """Names of all settings, as Hydra would call them."""
    found: set[str] = set()
    for key, value in tree.items():
        if key in {"_target_", "defaults", "hydra"}:
            continue
        name = f"{prefix}{key}"
        found |= leaves(value, f"{name}.") if isinstance(value, dict) and value else {name}
    return found


def test_every_page_stands_in_the_navigation_once() -> None:
    blocks = re.findall(r"```\{toctree\}\n(.*?)```", (DOCS / "index.md").read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line and line[0] != ":"]
    listed = [re.sub(r".*<(.*)>", r"\1", line) for line in lines]
    pages = {path.stem for path in DOCS.glob("*.md")} - {"index"}
    named = [name for name in listed if "/" not in name]
    assert sorted(named) == sorted(pages), "a page of docs/ needs its line in docs/index.md"


def test_the_picture_is_what_its_script_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS / "images"))
    import architecture

    assert (DOCS / "images" / "architecture.svg").read_text(encoding="utf-8") == architecture.svg()
    for _, _, names in architecture.ROOMS.values():
        for name in names:
            assert (ROOT / "riskml" / name / "__init__.py").is_file(), name
    sys.modules.pop("architecture")


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "conf").rglob("*.yaml")),
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_every_setting_is_read_with_its_default(path: Path, site: Any) -> None:
    if path.parent.name in site.FILES:
        pytest.skip("no settings of the two commands")
    shown = {one.name: one.default for one in site.read(path).settings}
    content = yaml.safe_load(path.read_text())
    values = {name: value for name, value in shown.items() if value}
    # a mapping on one line is one value
    flow = {name for name, value in values.items() if value.startswith("{") and value != "{}"}
    expected = {n for n in leaves(content) if not any(n.startswith(f"{f}.") for f in flow)}
    assert set(values) - flow == expected - flow
    for name, written in values.items():
        found: Any = content
        for part in name.split("."):
            found = found[part]
        assert yaml.safe_load(written) == found, name


def test_every_folder_has_its_page(site: Any) -> None:
    folders = {path.name for path in (ROOT / "conf").iterdir() if path.is_dir()}
    assert folders == {*site.FOLDERS, *site.FILES}
    pages = site.pages(ROOT / "conf")
    assert {f"{folder}.md" for folder in folders} < set(pages)
    assert "most_alerts: 3" in pages["retraining.md"]


def test_comments_and_arguments_become_meanings(site: Any) -> None:
    file = site.read(ROOT / "conf" / "model" / "vae.yaml", "model.")
    meaning = {one.name: one.meaning for one in file.settings}
    assert meaning["model.beta"] == "weight of the divergence from the prior"
    assert meaning["model.hidden"] == "widths of the encoder's layers; the decoder mirrors them."
    assert meaning["model.training.patience"] == "epochs without a better held-out loss"


def test_packages_say_where_settings_stand(site: Any) -> None:
    csv = site.read(ROOT / "conf" / "data" / "csv.yaml", "data.")
    names = [one.name for one in csv.settings]
    assert "path" in names and "data.split.test" in names and "data.path" not in names
    assert csv.takes[-2:] == ("features=user_day", "threshold=daily_budget")


def test_a_setting_is_explained_where_it_hands_its_value_on_and_in_every_file(site: Any) -> None:
    found = site.files(ROOT / "conf")
    meaning = {one.name: one.meaning for one in found["data"]["auth_log"].settings}
    assert meaning["path"] == meaning["data.source.path"] != ""
    told = {one.name: one.meaning for one in found["data"]["csv"].settings}
    assert meaning["data.normal_weight"] == told["data.normal_weight"] != ""
