"""docs/operations.md says of each alert what to do, and rules lead there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from command_lines import parsed

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "operations.md").read_text()
RULES = [
    rule
    for group in yaml.safe_load((ROOT / "deploy/prometheus/riskml.rules.yml").read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
]
SECTIONS = dict(re.findall(r"^### (Riskml\w+)\n\n(.*?)(?=\n### |\Z)", PAGE, re.S | re.M))


def test_alerts_of_the_page_are_those_of_the_rules() -> None:
    assert list(SECTIONS) == [rule["alert"] for rule in RULES]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_a_rule_leads_to_its_section(rule: dict[str, object]) -> None:
    name, labels, annotations = str(rule["alert"]), rule["labels"], rule["annotations"]
    assert isinstance(labels, dict) and isinstance(annotations, dict)
    assert annotations["runbook_url"].endswith(f"/operations.md#{name.lower()}")
    severity, meaning, *remedy = re.split(r"\. |\n\n", SECTIONS[name].strip())
    assert severity == f"`{labels['severity']}`"
    assert meaning and "".join(remedy).strip(), "what it means, and what to do"


def test_places_in_the_page_are_there() -> None:
    for page, anchor in re.findall(r"\]\(([\w./-]*\.md)?#([\w-]+)\)", PAGE):
        text = (ROOT / "docs" / page).read_text() if page else PAGE
        titles = [re.sub(r"[^\w -]", "", t).lower() for t in re.findall(r"^#+ (.*)$", text, re.M)]
        assert anchor in [title.replace(" ", "-") for title in titles], (page, anchor)


def test_commands_that_are_run_by_hand_are_those_of_riskml(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RISKML_ALERTS_URL", "sqlite://")
    for script in re.findall(r"```bash\n(.*?)```", PAGE, re.S):
        for line in re.findall(r"^riskml [^>\n]*", script, re.M):
            parsed(line.replace('"', "").split())
