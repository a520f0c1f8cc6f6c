"""Dashboards and rules: in step with the code, and about metrics that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from exported import names

from riskml.cli import main
from riskml.monitoring.dashboards import dashboards
from riskml.monitoring.pages import PAGES

ROOT = Path(__file__).parents[3]
GRAFANA, PROMETHEUS = ROOT / "deploy" / "grafana", ROOT / "deploy" / "prometheus"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "riskml.rules.yml").read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = [rule["alert"] for rule in RULES if "alert" in rule]
RECORDS = {rule["record"] for rule in RULES if "record" in rule}
PANELS = [panel for page in PAGES for row in page.rows for panel in row.panels]


def test_the_files_are_what_the_code_makes(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["dashboards", "write", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    committed = {path.name: path.read_text() for path in GRAFANA.glob("*.json")}
    remedy = "run riskml dashboards write --out deploy/grafana"
    assert committed == made, remedy


def test_panels_fill_rows_and_do_not_overlap() -> None:
    for content in dashboards().values():
        taken: set[tuple[int, int]] = set()
        for panel in content["panels"]:
            at = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(at["x"], at["x"] + at["w"])
                for y in range(at["y"], at["y"] + at["h"])
            }
            assert not cells & taken and max(x for x, _ in cells) < 24
            taken |= cells
        shown = [p for p in content["panels"] if p["type"] != "row"]
        assert len({p["id"] for p in shown}) == len(shown)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_every_panel_says_what_it_shows(panel: Any) -> None:
    assert panel.about.endswith(".")
    assert len(panel.queries) == 1 or all(query.legend for query in panel.queries)


def asked(expr: str) -> set[str]:
    """Metrics and records of ours that a query names; of histograms without their endings."""
    plain = re.sub(r'"[^"]*"', "", expr)
    found = set(re.findall(r"\briskml(?:_\w+|:[\w:]+)", plain))
    return {
        re.sub(r"(_duration_seconds|_latency_seconds)_(bucket|count|sum)$", r"\1", n) for n in found
    }


def test_queries_and_rules_ask_for_what_there_is() -> None:
    exprs = [query.expr for panel in PANELS for query in panel.queries]
    exprs += [rule["expr"] for rule in RULES]
    assert set().union(*map(asked, exprs)) <= names() | RECORDS


def test_every_metric_is_shown_or_watched() -> None:
    exprs = [query.expr for panel in PANELS for query in panel.queries]
    exprs += [rule["expr"] for rule in RULES]
    told_by_hand = {"riskml_batch_windows", "riskml_queue_requests"}  # of one service, when tuned
    assert names() - set().union(*map(asked, exprs)) <= told_by_hand


def test_every_alert_is_tested_and_explained() -> None:
    document = (ROOT / "docs" / "operations.md").read_text()
    assert re.findall(r"^### (Riskml\w+)$", document, re.MULTILINE) == ALERTS
    fired, slept = set(), set()
    for file in PROMETHEUS.glob("*.test.yml"):
        for test in yaml.safe_load(file.read_text())["tests"]:
            for case in test.get("alert_rule_test", []):
                (fired if case["exp_alerts"] else slept).add(case["alertname"])
    assert fired == slept == set(ALERTS)


def test_every_rule_says_how_urgent_it_is() -> None:
    for rule in RULES:
        if "alert" in rule:
            assert rule["labels"]["severity"] in ("page", "ticket")
            assert json.dumps(rule["annotations"]["summary"]).endswith('."')
