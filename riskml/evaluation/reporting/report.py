"""The report of an evaluation: one HTML file that needs no other, and the same as Markdown."""

from __future__ import annotations

from pathlib import Path

from riskml.evaluation.comparison import Comparison
from riskml.evaluation.reporting.blocks import Document, Picture, Pictures, Section
from riskml.evaluation.reporting.cases import cases
from riskml.evaluation.reporting.checked import checks
from riskml.evaluation.reporting.compared import compared
from riskml.evaluation.reporting.glossary import glossary
from riskml.evaluation.reporting.groups import groups
from riskml.evaluation.reporting.html import render_html
from riskml.evaluation.reporting.limits import limits
from riskml.evaluation.reporting.markdown import render_markdown
from riskml.evaluation.reporting.numbers import moment
from riskml.evaluation.reporting.origin import origin
from riskml.evaluation.reporting.plots import Drawing, draw, save_plots
from riskml.evaluation.reporting.summary import summary
from riskml.evaluation.reporting.view import View
from riskml.evaluation.reporting.workload import incidents, workload

HTML, MARKDOWN = "report.html", "report.md"

CURVES = ("precision_recall", "recall_by_budget")
WORK = ("alerts_by_day", "score_distribution")
TIME = ("risk_over_time",)


def write_report(folder: Path, comparison: Comparison, plots: str = "plots") -> list[Path]:
    """Write report.html, report.md and the pictures that the latter links to.

    Args:
        folder: of the run.
        comparison: what was evaluated.
        plots: name of the folder of pictures in it.

    Returns:
        The two files of the report.
    """
    drawings = draw(comparison, View(comparison).by_day)
    save_plots(drawings, folder / plots)
    document = report_document(comparison, drawings)
    html, markdown = folder / HTML, folder / MARKDOWN
    html.write_text(render_html(document), encoding="utf-8")
    markdown.write_text(render_markdown(document, plots), encoding="utf-8")
    return [html, markdown]


def report_document(comparison: Comparison, drawings: dict[str, Drawing]) -> Document:
    """All that the report says; sections that have nothing to say are left out.

    Args:
        comparison: what was evaluated.
        drawings: of `riskml.evaluation.reporting.plots.draw`.
    """
    view = View(comparison)
    sections = [
        summary(view),
        limits(view),
        checks(view),
        compared(view),
        Section("curves", "Curves", _pictures(drawings, CURVES)),
        workload(view, _pictures(drawings, WORK)),
        incidents(view),
        groups(view),
        cases(view),
        Section("risk", "Risk over time", _pictures(drawings, TIME)),
        origin(view),
        glossary(),
    ]
    about = comparison.about
    return Document(
        f"Evaluation of {comparison.focus.name} on {about.data}",
        f"Made {moment(about.created)} UTC, budget of alerts: {about.budget}",
        [section for section in sections if section.blocks],
    )


def _pictures(drawings: dict[str, Drawing], names: tuple[str, ...]) -> list[Pictures]:
    found = [
        Picture(name, d.caption, d.alt, d.svg(), d.wide)
        for name in names
        if (d := drawings.get(name)) is not None
    ]
    return [Pictures(found)] if found else []
