"""`riskml features`: the windows of a log of any size."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from riskml.features.engines import Processes, RayTasks
    from riskml.features.scale import Increment, Progress

HERE = "here"
"""What `--ray` without an address stands for."""


@click.command(
    epilog="""\b
    Example:
      riskml features --extractor outputs/run/features \\
          --events 'log/**/*.parquet' --out windows

    \b
    In Python:
      from riskml.features.scale import read_windows
      windows = read_windows(Path("windows"))

    docs/scaling.md says more: memory, Ray, Spark, what is kept.
    """
)
@click.option(
    "--extractor",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of a fitted one: features.json and features.safetensors.",
)
@click.option(
    "--events",
    required=True,
    metavar="FILES",
    help="Parquet files in the event schema: a path, a folder, or a glob in quotes.",
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder for windows and state."
)
@click.option(
    "--buckets",
    default=16,
    show_default=True,
    help="Parts that users are split into; a worker holds one in memory. Stays for a folder.",
)
@click.option(
    "--memory", default="1GB", show_default=True, help="For the splitting; it spills beyond."
)
@click.option("--workers", default=1, show_default=True, help="Processes; changes no number.")
@click.option(
    "--ray",
    is_flag=False,
    flag_value=HERE,
    metavar="[ADDRESS]",
    help="Run on this Ray cluster, which must see the same folders; alone: on one started here.",
)
def features(
    extractor: Path,
    events: str,
    out: Path,
    buckets: int,
    memory: str,
    workers: int,
    ray: str | None,
) -> None:
    """Make the windows of a log that need not fit in memory.

    Run it again on the log of another day, or on the same glob once it has more files, and it
    goes on from there: files that were taken in are left out. A run that was killed leaves
    nothing behind; run it again.
    """
    from riskml.features.scale import extract

    begin = time.perf_counter()
    with _engine(workers, ray) as engine, _Bars() as tell:
        result = extract(extractor, events, out, buckets, memory, engine, tell)
    _show(result, out, time.perf_counter() - begin)


def _engine(workers: int, ray: str | None) -> Processes | RayTasks:
    from riskml.features.engines import Processes, RayTasks

    if ray is None:
        return Processes(workers)
    return RayTasks(None if ray == HERE else ray, workers)


class _Bars(AbstractContextManager["Progress"]):
    """One progress bar a step on standard error, where that is a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description:>14}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, int] = {}

    def __enter__(self) -> Progress:
        self._bars.start()
        return self._tell

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def _tell(self, step: str, done: int, of: int) -> None:
        from rich.progress import TaskID

        if step not in self._tasks:
            self._tasks[step] = self._bars.add_task(step)
        # how far the splitting is nobody tells: its bar runs to and fro
        unknown = of == 1 and done == 0
        self._bars.update(TaskID(self._tasks[step]), completed=done, total=None if unknown else of)


def _show(result: Increment, out: Path, seconds: float) -> None:
    from rich.console import Console
    from rich.table import Table

    if not result.files:
        click.echo(f"nothing new: all {result.known} files are in {out} already", err=True)
        return
    table = Table(show_header=False, box=None)
    lines = {
        "events": "events",
        "duplicates": "left out, the id was there twice",
        "late": "left out, came after their window was closed",
        "windows": "windows, closed",
        "open": "windows that may still grow",
    }
    rows = [(f"{result.files:,}", "files")]
    if result.known:
        rows.append((f"{result.known:,}", "files left out, taken in by an earlier run"))
    rows += [(f"{result.total(count):,}", meaning) for count, meaning in lines.items()]
    rows.append((f"{seconds:.1f}", "seconds"))
    for number, meaning in rows:
        table.add_row(f"[bold]{number}[/bold]", meaning)
    table.columns[0].justify = "right"
    Console().print(table)
    click.echo(f"windows: {out}/windows/run={result.run:05d}")
