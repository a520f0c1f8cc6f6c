"""Means over seeds of a sweep's metrics.json files, as a Markdown table.

python experiments/table.py outputs/multirun/<date_time> roc_auc average_precision
"""

from __future__ import annotations

import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path


def table(folder: Path, names: list[str]) -> str:
    """One row a detector: mean ± standard deviation of each metric over the runs in `folder`."""
    runs: dict[str, list[dict[str, float]]] = defaultdict(list)
    for path in sorted(folder.glob("*/metrics.json")):
        document = json.loads(path.read_text())
        runs[document["detector"]].append(document["metrics"])
    if not runs:
        raise SystemExit(f"{folder} holds no runs with a metrics.json")
    lines = [f"| detector | seeds | {' | '.join(names)} |", "|---|---|" + "---|" * len(names)]
    for detector, metrics in runs.items():
        cells = [_cell([run[name] for run in metrics]) for name in names]
        lines.append(f"| {detector} | {len(metrics)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(values: list[float]) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.3f} ± {spread:.3f}"


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    print(table(Path(sys.argv[1]), sys.argv[2:]))
