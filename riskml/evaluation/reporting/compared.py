"""All detectors in one table."""

from __future__ import annotations

from riskml.evaluation.comparison import Row
from riskml.evaluation.measures.folds import mean_of_defined
from riskml.evaluation.reporting.blocks import (
    OK,
    REFUSED,
    Block,
    Cell,
    Column,
    Line,
    Section,
    Table,
    Text,
)
from riskml.evaluation.reporting.metric_names import MEANINGS, shown
from riskml.evaluation.reporting.numbers import (
    NONE,
    between,
    count,
    day,
    duration,
    in_days,
    number,
    share,
    signed,
)
from riskml.evaluation.reporting.spending import chosen_within_budget, wait_of
from riskml.evaluation.reporting.view import AHEAD, BEHIND, MAIN, OPEN, View, rank

MARKS = {AHEAD: ("▲", OK), BEHIND: ("▼", REFUSED), OPEN: ("≈", "")}

SHOWN = (
    MAIN,
    "roc_auc",
    "precision_at_budget",
    "recall_at_budget",
    "incident_recall_at_budget",
)
"""Figures of the table that may have intervals."""


def compared(view: View) -> Section:
    """The table of detectors, those refused, and every metric of the focus."""
    blocks: list[Block] = []
    if any(row.metrics.get(MAIN) is not None for row in view.comparison.rows):
        blocks.append(_detectors(view))
        if len(view.comparison.folds) > 1:
            blocks.append(_by_fold(view))
    else:
        blocks.append(Text("There are no figures by which detectors could be compared."))
        blocks.append(_times(view))
    if view.comparison.refused:
        blocks.append(_refused(view))
    blocks.append(_all_metrics(view))
    return Section("detectors", "Detectors compared", blocks)


def _detectors(view: View) -> Table:
    notes: dict[str, int] = {}
    paired = any(view.lead(row) is not None for row in view.others)
    incidents = view.has_incidents
    columns = [
        Column("detector", number=False),
        Column("average precision", hint=MEANINGS[MAIN]),
        *([Column(f"{view.focus.name} ahead by")] if paired else []),
        Column("ROC-AUC", hint=MEANINGS["roc_auc"]),
        Column("precision", hint=MEANINGS["precision_at_budget"]),
        Column("recall", hint=MEANINGS["recall_at_budget"]),
        *([Column("incidents"), Column("time to detect")] if incidents else []),
        Column("to fit"),
        Column("to score"),
    ]
    lines = []
    for row in sorted(view.comparison.rows, key=rank):
        marks = [f"[{notes.setdefault(note, len(notes) + 1)}]" for note in _footnotes(row)]
        cells = [Cell(row.name, detail=" ".join(marks)), _metric(row, MAIN)]
        if paired:
            cells.append(_lead(view, row))
        cells += [_metric(row, "roc_auc")]
        cells += [_percent(row, name) for name in ("precision_at_budget", "recall_at_budget")]
        if incidents:
            days = row.metrics.get("days_to_detect_median_at_budget")
            cells += [_percent(row, "incident_recall_at_budget"), Cell(in_days(days), days)]
        cells += _seconds(row)
        lines.append(Line(cells, strong=row is view.focus))
    return Table(
        "Detectors on the same windows, the highest average precision first",
        columns,
        lines,
        _notes(view, paired, incidents, notes),
    )


def _notes(view: View, paired: bool, incidents: bool, notes: dict[str, int]) -> list[str]:
    found = [
        "Precision, recall"
        + (", incidents found and the median time to detect those" if incidents else "")
        + f" are of as many windows as the budget ({view.about.budget}) has room for, "
        f"{chosen_within_budget(view)}. So every detector is given the same number of alerts. What "
        "a running system would raise are the alerts at the threshold, see “Alerts promised and "
        "delivered”.",
    ]
    if incidents:
        found.append(
            "Time to detect runs to the last event of the first such window; " + wait_of(view) + "."
        )
    if len(view.comparison.folds) > 1 or any(len(row.seeds) > 1 for row in view.comparison.rows):
        found.append(
            "A row is over all folds and seeds: ranking figures are their mean, precision, recall "
            "and incidents are counted over all folds together, then the mean over seeds."
        )
    if any(row.intervals for row in view.comparison.rows):
        found.append(
            "Small figures are 95 % intervals: where the figure would lie with other users or "
            "incidents of the same kind."
        )
        if any(found.exact for row in view.comparison.rows for found in row.intervals.values()):
            found_in_all = "found in every resample or in none"
            found.append(
                f"Where incidents were {found_in_all}, resampling gives no width: the interval is "
                "the exact one of so many out of so many incidents (Clopper and Pearson)."
            )
        if any(_same_in_all(row, name) for row in view.comparison.rows for name in SHOWN):
            found.append("No interval: all resamples give the same figure.")
    if paired:
        found.append(
            f"{view.focus.name} ahead by: how far its average precision is above this "
            "detector's, on the same resamples. ▲ above beyond chance, ▼ below beyond chance, "
            "≈ cannot be told."
        )
        if len(view.others) >= 10:
            found.append(
                f"With {len(view.others)} comparisons at 95 %, now and then one is clear by chance "
                "alone."
            )
    found += [f"[{mark}] {note}" for note, mark in notes.items()]
    return found


def _same_in_all(row: Row, name: str) -> bool:
    known = row.metrics.get(name) is not None
    return known and bool(row.intervals) and name not in row.intervals


def _by_fold(view: View) -> Table:
    """The focus in each fold, the mean of its seeds."""
    incidents = view.has_incidents
    lines = []
    for fold in view.comparison.folds:
        own = [each.metrics for each in view.focus.evaluations if each.fold == fold.number]
        metrics = mean_of_defined(own)
        known, part = (metrics.get(name) for name in ("incidents", "incident_recall_at_threshold"))
        found = None if known is None or part is None else known * part
        promised, raised = (
            metrics.get(name) for name in ("alerts_promised", "alerts_at_threshold")
        )
        cells = [
            Cell(str(fold.number + 1), fold.number),
            Cell(f"{day(fold.train[0])} to {day(fold.train[1])}"),
            Cell(f"{day(fold.test[0])} to {day(fold.test[1])}"),
            Cell(count(metrics.get("positive_windows")), metrics.get("positive_windows")),
            Cell(number(metrics.get(MAIN)), metrics.get(MAIN)),
            Cell(number(metrics.get("roc_auc")), metrics.get("roc_auc")),
        ]
        if incidents:
            cells.append(Cell(NONE if found is None else f"{count(found)} of {count(known)}", part))
        cells.append(Cell(f"{count(raised)} of {count(promised)}", raised))
        lines.append(Line(cells))
    columns = [
        Column("fold"),
        Column("train", number=False),
        Column("test", number=False),
        Column("risky windows"),
        Column("average precision", hint=MEANINGS[MAIN]),
        Column("ROC-AUC", hint=MEANINGS["roc_auc"]),
        *([Column("incidents found")] if incidents else []),
        Column("alerts of promised"),
    ]
    seeds = len(view.focus.seeds)
    notes = [
        f"Its row in the table of detectors is over these folds{' and all seeds' * (seeds > 1)}: "
        "ranking figures are their mean. An incident in several folds counts there once."
        + f" Each line here is the mean of {seeds} seeds."
        * (seeds > 1),
        "Incidents found and alerts are those at the threshold. Intervals are of all folds "
        "together; a single fold has none.",
    ]
    return Table(f"{view.focus.name} in each fold", columns, lines, notes)


def _footnotes(row: Row) -> list[str]:
    withheld = dict.fromkeys(why for each in row.evaluations if (why := each.refused))
    return [*filter(None, [row.note]), *(f"figures are withheld: {why}" for why in withheld)]


def _metric(row: Row, name: str) -> Cell:
    value = row.metrics.get(name)
    return Cell(number(value), value, between(row.intervals.get(name)))


def _percent(row: Row, name: str) -> Cell:
    value, interval = row.metrics.get(name), row.intervals.get(name)
    return Cell(share(value), value, between(interval, share))


def _lead(view: View, row: Row) -> Cell:
    lead, standing = view.lead(row), view.standing(row)
    if lead is None or standing is None:
        return Cell("" if row is view.focus else NONE)
    mark, tone = MARKS[standing]
    return Cell(f"{signed(lead.value)} {mark}", lead.value, between(lead, signed), tone)


def _seconds(row: Row) -> list[Cell]:
    values = [row.metrics.get(name) for name in ("fit_seconds", "score_seconds")]
    return [Cell(duration(value), value) for value in values]


def _times(view: View) -> Table:
    columns = [
        Column("detector", number=False),
        Column("alerts"),
        Column("to fit"),
        Column("to score"),
    ]
    lines = []
    for row in view.comparison.rows:
        alerts = row.metrics.get("alerts_at_threshold")
        cells = [Cell(row.name), Cell(number(alerts, 0), alerts), *_seconds(row)]
        lines.append(Line(cells, strong=row is view.focus))
    notes = [f"{row.name}: {row.note}" for row in view.comparison.rows if row.note]
    return Table("Detectors on the same windows", columns, lines, notes)


def _refused(view: View) -> Table:
    return Table(
        "Detectors that these windows do not suit",
        [Column("detector", number=False), Column("why", number=False)],
        [Line((Cell(name), Cell(why))) for name, why in view.comparison.refused.items()],
    )


def _all_metrics(view: View) -> Table:
    lines = []
    for name, value in view.metrics.items():
        interval = view.focus.intervals.get(name)
        cells = (
            Cell(name),
            Cell(shown(name, value), value),
            Cell(between(interval)),
            Cell(MEANINGS.get(name, "")),
        )
        lines.append(Line(cells))
    return Table(
        f"Every figure of {view.focus.name}",
        [
            Column("name in metrics.json", number=False),
            Column("value"),
            Column("95 % interval"),
            Column("meaning", number=False),
        ],
        lines,
        folded=True,
    )
