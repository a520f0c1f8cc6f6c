"""Runs studies: `python -m experiments [study ...]`, see experiments/README.md."""

from __future__ import annotations

import argparse
import logging
import sys
import time
import warnings
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from experiments.cells import Maker
from experiments.figures import draw
from experiments.quick import differences, lacks
from experiments.study import NAMES, Cell, Study
from experiments.tables import write
from riskml.core.errors import ConfigError, RiskmlError, did_you_mean

WRONG_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Make what is missing and write the tables; or hold quick runs to them."""
    parser = argparse.ArgumentParser(prog="python -m experiments", description=__doc__)
    parser.add_argument("studies", nargs="*", metavar="study", help=f"{', '.join(NAMES)}; or all")
    parser.add_argument("--quick", action="store_true", help="hold some cells to the tables")
    parser.add_argument("--row", action="append", help="make this row alone; may be repeated")
    parser.add_argument("--case", action="append", help="make this case alone; may be repeated")
    parser.add_argument("--tables", action="store_true", help="make none, write the tables anew")
    parser.add_argument("--add", action="store_true", help="leave rows that a table has already")
    given = parser.parse_args(arguments)
    quiet()
    console, bad = Console(soft_wrap=True), 0
    try:
        for study in [Study.load(name) for name in given.studies or NAMES]:
            if not given.tables and (reason := lacks(study)):
                console.print(f"skipped: {reason}", highlight=False)
            elif given.quick:
                bad += _held(study, console)
            else:
                if not given.tables:
                    _make(study, _chosen(study, given.row, given.case), console)
                draw(study, write(study, Maker(), given.add))
                console.print(f"{study.name}: {study.folder}", highlight=False)
    except RiskmlError as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_INPUT
    return min(bad, 1)


def _chosen(study: Study, rows: list[str] | None, cases: list[str] | None) -> list[Cell]:
    """The cells asked for.

    Raises:
        ConfigError: the study has no such row or case.
    """
    for kind, wanted, known in (("row", rows, study.rows), ("case", cases, study.cases)):
        for name in wanted or []:
            if name not in known:
                raise ConfigError(f"{study.name}: no {kind} '{name}': {did_you_mean(name, known)}")
    return [
        cell
        for cell in study.cells()
        if (rows is None or cell.row in rows) and (cases is None or cell.case in cases)
    ]


def _make(study: Study, cells: Sequence[Cell], console: Console) -> None:
    maker = Maker()
    missing = [cell for cell in cells if not maker.is_made(cell)]
    done = len(cells) - len(missing)
    console.print(f"{study.name}: {done} of {len(cells)} cells are made already", highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task(study.name, total=len(missing))
        for cell in missing:
            progress.update(task, description=f"{cell.case}, {cell.row}, seed {cell.seed}")
            began = time.perf_counter()
            maker.make(cell)
            seconds = time.perf_counter() - began
            progress.console.print(f"  {cell.folder}: {seconds:.1f} s", highlight=False)
            progress.advance(task)


def _held(study: Study, console: Console) -> int:
    """Say what a quick run finds; 1 where it is too far from the table."""
    with console.status(f"{study.name}, quick"):
        found = differences(study)
    for line in found:
        console.print(line, highlight=False, markup=False)
    if not found:
        console.print(f"{study.name}: as the table says")
    return int(bool(found))


def quiet() -> None:
    """Without the notes of libraries on devices and shapes."""
    warnings.filterwarnings("ignore")
    for name in ("pytorch_lightning", "pytorch_lightning.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)


if __name__ == "__main__":
    sys.exit(main())
