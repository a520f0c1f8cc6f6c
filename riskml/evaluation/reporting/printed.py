"""What a run shows on the screen: the detectors side by side, the riskiest alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from riskml.evaluation.checks.findings import OK, refusal
from riskml.evaluation.comparison import Comparison, Row

MAIN = "average_precision"
INTERVAL, MARK, SEEDS = "95 %", "", "seeds"
COLUMNS = {
    MAIN: "AP",
    INTERVAL: INTERVAL,
    MARK: MARK,
    "roc_auc": "ROC\nAUC",
    "precision_at_budget": "prec.",
    "recall_at_budget": "recall",
    "f1_at_budget": "F1",
    SEEDS: SEEDS,
    "fit_seconds": "fit\ns",
    "score_seconds": "score\ns",
}
"""Header of each column, by the metric in it."""

LESS_NEEDED = ("f1_at_budget", "score_seconds", "fit_seconds", SEEDS, "precision_at_budget")
"""Columns that go where there is no room, the first one first."""

LEVEL, ABOVE = "≈", "▲"


def print_table(console: Console, comparison: Comparison) -> None:
    """The comparison for people, best average precision first, with its footnotes.

    It has as many columns as there is room for.

    Args:
        console: where to.
        comparison: what was measured; detectors that were refused come last, with the reason.
    """
    rows, focus = comparison.rows, comparison.focus
    if refusal(each for each in comparison.findings if each.detector in (None, focus.name)):
        console.print("No measures: they would mislead, see below.")
        return
    if focus.metrics.get(MAIN) is None:
        console.print("Nothing known to be risky in the test period: no measures, alerts below.")
        return
    notes: dict[str, int] = {}

    def marked(name: str, note: str) -> str:
        return f"{name} [{notes.setdefault(note, len(notes) + 1)}]" if note else name

    shown = {
        marked(row.name, row.note): {name: _cell(row, name) for name in COLUMNS}
        for row in sorted(rows, key=_by_average_precision)
    }
    refused = [marked(name, reason) for name, reason in comparison.refused.items()]
    wanted = [name for name in COLUMNS if name not in _not_wanted(rows)]
    table = _table(comparison, wanted, shown, refused)
    for name in LESS_NEEDED:
        if _width(console, table) > console.width and name in wanted:
            wanted.remove(name)
            table = _table(comparison, wanted, shown, refused)
    console.print(table)
    for line in (*_legend(rows), *(f"[{number}] {note}" for note, number in notes.items())):
        console.print(_printable(line), highlight=False, markup=False)


def print_findings(console: Console, comparison: Comparison) -> None:
    """What would mislead, of the data first, and what a control was made to find."""
    found = [
        each
        for each in comparison.findings
        if each.verdict != OK or each.trap.startswith("permuted")
    ]
    for finding in sorted(found, key=lambda each: each.detector is not None):
        whose = f" ({finding.detector})" if finding.detector else ""
        line = f"{finding.verdict} {finding.trap}{whose}: {finding.text}"
        console.print(_printable(line), highlight=False, markup=False)


def _table(
    comparison: Comparison,
    columns: Sequence[str],
    shown: Mapping[str, Mapping[str, str]],
    refused: Sequence[str],
) -> Table:
    table = Table(
        title=_title(comparison),
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
        pad_edge=False,
    )
    table.add_column("detector", no_wrap=True)
    for name in columns:
        side: JustifyMethod = "left" if name == MARK else "right"
        table.add_column(COLUMNS[name], justify=side, no_wrap=True)
    own = [comparison.focus.name, f"{comparison.focus.name} ["]
    for title, cells in shown.items():
        bold = title == own[0] or title.startswith(own[1])
        table.add_row(
            escape(title), *(cells[name] for name in columns), style="bold" if bold else ""
        )
    for title in refused:
        table.add_row(escape(title), *("" if name == MARK else "–" for name in columns))
    return table


def _title(comparison: Comparison) -> str:
    """What was tested, and what precision and recall are of."""
    focus = comparison.focus
    first = [each for each in focus.evaluations if each.seed == focus.seeds[0]]
    risky, total = (
        int(sum(each.metrics[name] or 0 for each in first))
        for name in ("positive_windows", "test_windows")
    )
    where = "Test period" if len(first) == 1 else f"{len(first)} test periods"
    lines = [
        f"{where}: {risky:,} risky of {total:,} windows",
        f"precision, recall, F1 within the budget: {comparison.about.budget}",
    ]
    weight = first[0].normal_weight
    if weight != 1:
        lines += [
            f"spent on a sample: a normal window stands for {weight:g}, in AP, precision, F1 too;",
            f"all windows would give up to {weight:g} times as many alerts",
        ]
    return "\n".join(lines)


def _not_wanted(rows: Sequence[Row]) -> set[str]:
    """Columns that would be empty, or the same in each row."""
    gone = set()
    if not any(MAIN in row.intervals for row in rows):
        gone.add(INTERVAL)
    if not any(_mark(row) for row in rows):
        gone.add(MARK)
    if all(len(row.seeds) == 1 for row in rows):
        gone.add(SEEDS)
    return gone


def _mark(row: Row) -> str:
    """Whether this one keeps up with the detector in focus, by the paired interval."""
    lead = row.lead.get(MAIN)
    if lead is None or lead.low > 0:
        return ""
    return ABOVE if lead.high < 0 else LEVEL


def _legend(rows: Sequence[Row]) -> list[str]:
    focus, marks = rows[0].name, {_mark(row) for row in rows}
    lines = {
        LEVEL: f"{LEVEL} {focus} is not shown to be above: the paired 95 % interval of AP holds 0",
        ABOVE: f"{ABOVE} above {focus} by that interval",
    }
    return [line for mark, line in lines.items() if mark in marks]


def _width(console: Console, table: Table) -> int:
    """That the table would have if there was room."""
    return Measurement.get(console, console.options.update(width=1000), table).maximum


def print_alerts(console: Console, alerts: pl.DataFrame, total: int, top: int = 5) -> None:
    """The riskiest alerts and why.

    Args:
        console: where to.
        alerts: of `alerts_table`.
        total: how many windows passed the threshold.
        top: how many are shown.
    """
    if alerts.is_empty():
        console.print("No alerts.")
        return
    kept = "" if len(alerts) == total else f" ({len(alerts):,} kept in the files)"
    console.print(f"[bold]{total:,} alerts{kept}; the riskiest:[/bold]")
    for alert in alerts.head(top).iter_rows(named=True):
        truth = {1: "  (truly risky)", 0: "  (normal in truth)"}.get(alert.get("label", -1), "")
        console.print(
            f"  risk {alert['risk']:5.1f}  [bold]{escape(_printable(alert['user_id']))}[/bold]  "
            f"{alert['start']:%Y-%m-%d %H:%M} to {alert['end']:%Y-%m-%d %H:%M} UTC, "
            f"{alert['n_events']:,} events{truth}",
            highlight=False,
        )
        for reason in alert["reasons"][:4]:
            console.print(f"        - {_printable(reason)}", highlight=False, markup=False)


def _printable(text: str) -> str:
    """Names come from the log: none may steer the terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _by_average_precision(row: Row) -> float:
    return -(row.metrics.get(MAIN) or 0.0)


def _cell(row: Row, name: str) -> str:
    if name == MARK:
        return _mark(row)
    if name == SEEDS:
        return str(len(row.seeds))
    if name == INTERVAL:
        found = row.intervals.get(MAIN)
        return "–" if found is None else f"{found.low:.2f}–{found.high:.2f}"
    value = row.metrics.get(name)
    if value is None:
        return "–"
    return f"{value:.2f}" if name.endswith("seconds") else f"{value:.3f}"
