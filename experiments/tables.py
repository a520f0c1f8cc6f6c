"""From kept cells to results.json and results.md: means, scatter and intervals of each row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from experiments.cells import Maker, Result
from experiments.study import Cell, Study
from riskml.evaluation.evaluator import measure
from riskml.evaluation.measures.bootstrap import Resamples, mean_over_seeds, resample
from riskml.evaluation.measures.incidents import detections
from riskml.evaluation.measures.resampling import USER, WINDOW
from riskml.evaluation.metrics import Metrics

RESAMPLES = 2_000
DIGITS = 6
JSON, MARKDOWN = "results.json", "results.md"
SECONDS = ("fit_seconds", "score_seconds")


def measured(result: Result, study: Study) -> Metrics:
    """All metrics of a kept cell, those of groups of scenarios as `name[group]`."""
    assert result.scores is not None, "a refused cell has no metrics"
    facts = result.facts
    weight, promised = facts["normal_weight"], facts["promised"]
    metrics = measure(result.scores, weight, promised, result.incidents)
    if result.incidents is not None:
        found = detections([result.scores], result.incidents, "budget")
        for group, scenarios in study.scenarios.items():
            own = found.filter(found["scenario"].is_in(scenarios))
            recall, days = own["found"].mean(), own["days_to_detect"].median()
            metrics[f"incident_recall[{group}]"] = _number(recall)
            metrics[f"days_to_detect_median[{group}]"] = _number(days)
    return metrics | {name: facts.get(name) for name in SECONDS}


def document(study: Study, maker: Maker) -> dict[str, Any]:
    """The content of results.json; cells that were not made are left out."""
    cases: dict[str, Any] = {}
    seconds = 0.0
    cells = study.cells()
    for case in study.cases:
        rows: dict[str, Any] = {}
        resamples: dict[str, Resamples] = {}
        for name in study.rows:
            own = [cell for cell in cells if (cell.case, cell.row) == (case, name)]
            made = [(cell, kept) for cell in own if (kept := maker.read(cell)) is not None]
            if made:
                rows[name] = _row(study, made)
                seconds += sum(kept.facts["seconds"] for _, kept in made)
                if len(made) == len(own) and "refused" not in rows[name]:
                    resamples[name] = _resampled(study, made)
                    rows[name]["interval"] = _rounded(_intervals(resamples[name], study))
        _add_lead(rows, resamples, study)
        cases[case] = rows
    return {"study": study.name, "title": study.title, "seconds": round(seconds), "cases": cases}


def _row(study: Study, made: Sequence[tuple[Cell, Result]]) -> dict[str, Any]:
    facts = [kept.facts for _, kept in made]
    row: dict[str, Any] = {
        "seeds": [cell.seed for cell, _ in made],
        "versions": sorted({f"{one['version']} ({one['commit']})" for one in facts}),
    }
    if refused := next((one["refused"] for one in facts if "refused" in one), None):
        return row | {"refused": refused}
    names = [*study.columns, *SECONDS]
    metrics = [measured(kept, study) for _, kept in made]
    values = {name: [one.get(name) for one in metrics] for name in names}
    known = {name: [v for v in found if v is not None] for name, found in values.items()}
    row |= {
        "note": facts[0].get("note", ""),
        "values": _rounded(values),
        "mean": _rounded({name: float(np.mean(v)) if v else None for name, v in known.items()}),
        "deviation": _rounded(
            {name: float(np.std(v, ddof=1)) if len(v) > 1 else None for name, v in known.items()}
        ),
    }
    return row


def _resampled(study: Study, made: Sequence[tuple[Cell, Result]]) -> Resamples:
    """Of the mean over seeds; worlds are drawn apart from each other."""
    several = []
    for cell, kept in made:
        assert kept.scores is not None
        draw = cell.seed if study.worlds else 0
        alone = kept.scores["user_id"].n_unique() == 1
        by, draws = (WINDOW, RESAMPLES // 4) if alone else (USER, RESAMPLES)
        several.append(resample([kept.scores], kept.facts["normal_weight"], by, draws, draw))
    if not study.worlds:
        return mean_over_seeds(several)
    names = several[0].values
    return Resamples(
        {name: float(np.mean([one.values[name] for one in several])) for name in names},
        {name: np.mean([one.resampled[name] for one in several], axis=0) for name in names},
        tuple(one.drawn_from for one in several),
        sum(one.attacked for one in several),
    )


def _intervals(resamples: Resamples, study: Study) -> dict[str, list[float]]:
    found = resamples.intervals()
    return {name: [found[name].low, found[name].high] for name in study.columns if name in found}


def _add_lead(rows: dict[str, Any], resamples: dict[str, Resamples], study: Study) -> None:
    """How far the study's first detector is above each, in the first metric."""
    main = next(iter(study.columns))
    focus = study.focus
    if focus not in resamples:
        return
    for name, others in resamples.items():
        if name != focus and main in resamples[focus].resampled:
            ahead = resamples[focus].above(others)[main]
            rows[name]["behind"] = _rounded([ahead.value, ahead.low, ahead.high])


def markdown(study: Study, results: dict[str, Any]) -> str:
    """The content of results.md."""
    seconds = results["seconds"]
    lines = [
        f"# {study.title}",
        "",
        f"    python -m experiments {study.name}",
        "",
        f"A window is a {study.unit}. What is here took {seconds:,} seconds in all, on a machine "
        "busy with other work, so times are orders of magnitude at best.",
    ]
    several = sum(bool(rows) for rows in results["cases"].values()) > 1
    if several:
        lines += ["", *_overview(study, results["cases"])]
    for case, rows in results["cases"].items():
        if rows:
            lines += ["", *([f"## {case}", ""] if several else [])]
            lines += _table(study, rows)
            lines += _remarks(study, case, rows)
    lines += ["", "## Commands", "", *_commands(study)]
    return "\n".join(lines) + "\n"


def _overview(study: Study, cases: dict[str, Any]) -> Iterator[str]:
    """The first metric of every row, a column a case; a mean where all cases are there."""
    main = next(iter(study.columns))
    made = [case for case, rows in cases.items() if rows]
    yield f"{study.columns[main]} (mean ± deviation over {_seeds_word(study)}):"
    yield ""
    yield f"| detector | {' | '.join(made)} | mean |"
    yield "|---|" + "---|" * (len(made) + 1)
    for name in study.rows:
        found = [cases[case].get(name, {}) for case in made]
        means = [row["mean"][main] if "mean" in row else None for row in found]
        known = [mean for mean in means if mean is not None]
        if known:
            cells = [_cell(row, main) if "mean" in row else "–" for row in found]
            mean = f"{np.mean(known):.3f}" if len(known) == len(made) else "–"
            yield f"| {name} | {' | '.join(cells)} | {mean} |"


def _table(study: Study, rows: dict[str, Any]) -> Iterator[str]:
    main, *others = study.columns
    heads = [
        study.columns[main],
        "95 %",
        *(study.columns[name] for name in others),
        f"{study.focus} is ahead by",
        "fit s",
        "score s",
    ]
    yield f"| detector | {_seeds_word(study)} | {' | '.join(heads)} |"
    yield "|---|---|" + "---|" * len(heads)
    known = {name: row for name, row in rows.items() if "refused" not in row}
    for name, row in sorted(known.items(), key=lambda item: -(item[1]["mean"][main] or 0)):
        cells = [
            _cell(row, main),
            _span(row.get("interval", {}).get(main)),
            *(_cell(row, other) for other in others),
            _lead(row.get("behind")),
            *(_seconds(row["mean"][name]) for name in SECONDS),
        ]
        number = "no chance" if _is_fixed(study, name) else str(len(row["seeds"]))
        yield f"| {name} | {number} | {' | '.join(cells)} |"


def _remarks(study: Study, case: str, rows: dict[str, Any]) -> Iterator[str]:
    """What else has to be known of a table: footnotes, what was refused, what was not run."""
    for name, row in rows.items():
        if row.get("note") or "refused" in row:
            yield ""
            yield f"{name}: {row.get('note') or 'not measured: ' + row['refused']}"
    lacking: dict[str, int] = {}
    for cell in study.cells():
        if cell.case == case and cell.seed not in rows.get(cell.row, {"seeds": []})["seeds"]:
            lacking[cell.row] = lacking.get(cell.row, 0) + 1
    if lacking:
        yield ""
        told = (f"{name} ({missing} missing)" for name, missing in lacking.items())
        yield f"Not run yet, or not all: {', '.join(told)}."
    versions = sorted({version for row in rows.values() for version in row["versions"]})
    yield ""
    yield f"Measured with riskml {', '.join(versions)}."


def _commands(study: Study) -> Iterator[str]:
    """What train.py is given: the words of the case, then those of the row."""
    yield "`python train.py` with the words of the case, those of the row, and `seed=`:"
    yield ""
    yield "| case | words |"
    yield "|---|---|"
    for case, overrides in study.cases.items():
        yield f"| {case} | `{' '.join(overrides)}` |"
    yield ""
    yield "| row | words | seeds |"
    yield "|---|---|---|"
    for name, row in study.rows.items():
        words = f"`{' '.join(row.set)}`" if row.set else "none"
        seeds = ", ".join(map(str, row.seeds or study.seeds))
        yield f"| {name} | {f'`{row.scores}`, no command' if row.scores else words} | {seeds} |"


def _seeds_word(study: Study) -> str:
    return "worlds" if study.worlds else "seeds"


def _is_fixed(study: Study, name: str) -> bool:
    return not study.worlds and len(study.rows[name].seeds or study.seeds) == 1


def _cell(row: dict[str, Any], name: str) -> str:
    mean, deviation = row["mean"].get(name), row["deviation"].get(name)
    if mean is None:
        return "–"
    return f"{mean:.3f}" if deviation is None else f"{mean:.3f} ± {deviation:.3f}"


def _span(ends: Sequence[float] | None) -> str:
    return "–" if ends is None else f"{ends[0]:.3f} to {ends[1]:.3f}"


def _lead(behind: Sequence[float] | None) -> str:
    """With a star where the interval leaves 0 out."""
    if behind is None:
        return "–"
    value, low, high = behind
    sure = " *" if low > 0 or high < 0 else ""
    return f"{value:.3f} ({low:.3f} to {high:.3f}){sure}"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _rounded(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _rounded(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_rounded(value) for value in node]
    return round(node, DIGITS) if isinstance(node, float) else node


def _with_others(study: Study, results: dict[str, Any]) -> dict[str, Any]:
    """The content of results.json with the rows that it lacks and the table has, or has more of."""
    table = json.loads((study.folder / JSON).read_text())
    for case in study.cases:
        both = [found["cases"].get(case, {}) for found in (table, results)]
        longest = {
            name: max((rows[name] for rows in both if name in rows), key=_number_of_seeds)
            for name in study.rows
            if any(name in rows for rows in both)
        }
        results["cases"][case] = longest
    return results | {"seconds": table["seconds"] + results["seconds"]}


def _number_of_seeds(row: dict[str, Any]) -> int:
    return len(row["seeds"])


def write(study: Study, maker: Maker, add: bool = False) -> dict[str, Any]:
    """Write both files and give the document.

    Args:
        study: whose.
        maker: of the cells that are kept.
        add: rows that stand in the table already stay, unless more of their cells are kept.
    """
    results = document(study, maker)
    if add:
        results = _with_others(study, results)
    text = json.dumps(results, indent=1, allow_nan=False)
    (study.folder / JSON).write_text(text + "\n")
    (study.folder / MARKDOWN).write_text(markdown(study, results))
    return results
