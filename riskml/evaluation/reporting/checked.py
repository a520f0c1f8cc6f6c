"""What the checks against fooling oneself have found."""

from __future__ import annotations

from collections.abc import Sequence

from riskml.evaluation.comparison import Finding
from riskml.evaluation.reporting.blocks import (
    OK,
    REFUSED,
    WARNING,
    Block,
    Cell,
    Column,
    Line,
    Section,
    Table,
    Text,
)
from riskml.evaluation.reporting.numbers import some
from riskml.evaluation.reporting.view import View

VERDICTS = {OK: "passed", WARNING: "look at this", REFUSED: "refused"}


def checks(view: View) -> Section:
    """Findings of the checks, the worst first."""
    order = (REFUSED, WARNING, OK)
    findings = sorted(view.comparison.findings, key=lambda finding: order.index(finding.verdict))
    if not findings:
        return Section("checks", "Checks against fooling oneself", ())
    intro = Text(
        "Figures of a detector can look good for wrong reasons: labels that leak into its input, "
        "knowledge of the future, test data like the training data. These checks look for such "
        "reasons. Figures that a check refuses must not be used."
    )
    odd = [finding for finding in findings if finding.verdict != OK]
    passed = [finding for finding in findings if finding.verdict == OK]
    blocks: list[Block] = [intro]
    if odd:
        blocks.append(_findings(f"{len(odd)} of {some(len(findings), 'check')} saw something", odd))
    if passed:
        title = f"{some(len(passed), 'check')} passed"
        blocks.append(_findings(title, passed, folded=len(passed) > 8))
    return Section("checks", "Checks against fooling oneself", blocks)


def _findings(caption: str, findings: Sequence[Finding], folded: bool = False) -> Table:
    lines = [
        Line(
            (
                Cell(finding.trap.replace("_", " ")),
                Cell(VERDICTS[finding.verdict], tone=finding.verdict),
                Cell(finding.detector or "the data"),
                Cell(finding.text),
            )
        )
        for finding in findings
    ]
    columns = [Column(title, number=False) for title in ("check", "verdict", "of", "what it saw")]
    return Table(caption, columns, lines, folded=folded)
