"""The picture of a study: the first metric of every detector with its interval."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from experiments.study import Study

matplotlib.use("agg")
OURS, OTHERS, TRUTH = "#4c78a8", "#888888", "#e69f00"


def draw(study: Study, results: dict[str, Any]) -> list[Path]:
    """One PNG a case, `<metric>-<case>.png` in the study's folder."""
    main = next(iter(study.columns))
    paths = []
    for case, rows in results["cases"].items():
        known = {n: row for n, row in rows.items() if row.get("mean", {}).get(main) is not None}
        if known:
            paths.append(study.folder / f"{main}-{case}.png")
            figure = _dots(study, case, main, known)
            # no version or date, so that the same numbers give the same bytes
            figure.savefig(paths[-1], dpi=90, metadata={"Software": None})
    return paths


def _dots(study: Study, case: str, main: str, rows: dict[str, Any]) -> Figure:
    names = sorted(rows, key=lambda name: rows[name]["mean"][main])
    figure = Figure(figsize=(7, 0.6 + 0.22 * len(names)), layout="constrained")
    axes = figure.subplots()
    for place, name in enumerate(names):
        row = rows[name]
        color = TRUTH if study.rows[name].scores else OTHERS if "pyod" in name else OURS
        for value in row["values"][main]:
            axes.plot(value, place, "|", color=color, alpha=0.5)
        if ends := row.get("interval", {}).get(main):
            axes.plot(ends, [place, place], color=color, linewidth=1)
        axes.plot(row["mean"][main], place, "o", color=color, markersize=4)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlabel(f"{study.columns[main]}: mean, 95 % interval (line), single seeds (strokes)")
    axes.set_title(study.title if len(study.cases) == 1 else f"{study.title.split(',')[0]}: {case}")
    axes.title.set_fontsize(9)
    axes.grid(axis="x", alpha=0.3)
    return figure
