"""Where the figures come from: periods, data, settings, versions, time."""

from __future__ import annotations

from riskml.core.versions import versions
from riskml.evaluation.reporting.blocks import (
    Block,
    Cell,
    Code,
    Column,
    Facts,
    Line,
    Section,
    Table,
    Text,
)
from riskml.evaluation.reporting.numbers import moment, number, share
from riskml.evaluation.reporting.view import WINDOWS, View


def origin(view: View) -> Section:
    """Enough to check the figures and to make them again."""
    about, whole = view.about, view.whole
    facts = [
        ("data", about.data),
        ("data fingerprint (SHA-256 of events and truth)", about.data_fingerprint),
        ("config fingerprint (SHA-256 of all settings but paths)", about.config_fingerprint),
        ("made", f"{moment(about.created)} UTC"),
        ("seeds", ", ".join(map(str, view.focus.seeds))),
        ("budget of alerts", about.budget),
        ("window", WINDOWS.get(about.window, about.window or "not recorded")),
        ("features of a window", f"{about.features:,}"),
        ("test events", f"{int(whole['n_events'].sum()):,}"),
        ("test events whose action was never seen in training", share(about.unknown_action_rate)),
    ]
    weight = view.focus.evaluations[0].normal_weight
    if weight != 1:
        facts.append(("normal windows that each one in the test stands for", number(weight, 1)))
    blocks: list[Block] = [Facts(facts), _periods(view)]
    if about.settings:
        blocks.append(_settings(view))
    if about.command:
        blocks += [Text("The command that makes it again:"), Code(about.command, "bash")]
    blocks += [Text("Versions of what figures depend on:"), Facts([*versions().items()])]
    return Section("origin", "Data, settings and versions", blocks)


def _settings(view: View) -> Table:
    return Table(
        f"Settings of {view.focus.name}, its features and alerts",
        [Column("setting", number=False), Column("value", number=False)],
        [Line((Cell(name), Cell(value))) for name, value in view.about.settings.items()],
        ["Families of features that are not used, and places of files, are left out."],
        folded=True,
    )


def _periods(view: View) -> Table:
    lines = []
    for fold in view.comparison.folds:
        for name in ("train", "calibration", "test"):
            start, end, windows = getattr(fold, name)
            lines.append(
                Line(
                    (
                        Cell(str(fold.number + 1)),
                        Cell(name),
                        Cell(moment(start)),
                        Cell(moment(end)),
                        Cell(f"{windows:,}", windows),
                    )
                )
            )
    columns = [
        Column("fold", number=False),
        Column("period", number=False),
        Column("first window begins (UTC)", number=False),
        Column("last window ends (UTC)", number=False),
        Column("windows"),
    ]
    note = (
        "Everything that is learnt is learnt from the train period; threshold and p-values are set "
        "on the calibration period; the test period comes after both and is only scored. A window "
        "that reaches from one period into the next belongs to the later one."
    )
    folded = len(view.comparison.folds) > 4
    return Table("Periods", columns, lines, [note], folded, sortable=False)
