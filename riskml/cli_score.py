"""`riskml score`: new events into scores and alerts, again and again."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from riskml.cli_types import (
    DURATION,
    MOMENT,
    SOURCE_OPTIONS,
    Reading,
    exporting,
    metrics_option,
    options_for_settings,
    source_options,
)
from riskml.core import logs
from riskml.core.errors import ConfigError
from riskml.core.interrupts import ending

if TYPE_CHECKING:
    from riskml.export.bundle import Bundle
    from riskml.serving.job import Progress, ScoreJob
    from riskml.serving.metering import RunMetering
    from riskml.serving.scoring import Closer
    from riskml.serving.summary import Summary

    MakeCloser = Callable[[Bundle, Path], Closer]

BUSY = 3
LAST = "last"
HERE, PROCESSES, RAY = "here", "processes", "ray"

BATCH, LARGE_BATCH = 50_000, 2_000_000
"""Events; with workers a batch is shared out, so that it must be worth it."""

BUCKETS_A_WORKER, BUCKETS_OF_CLUSTER = 4, 64


class Since(click.ParamType[Any]):
    """`last`, or a time."""

    name = "last|TIME"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime | None:
        """`last` → None."""
        if value is None or value == LAST:
            return None
        return MOMENT.convert(value, param, ctx)


_bundle = click.Path(path_type=Path)


@click.command(
    epilog="""\b
    Examples:
      riskml score --bundle bundle --source 'log/**/*.parquet' --out scores
      export RISKML_SCORE_SOURCE=postgresql+psycopg://reader:...@host/risk
      export RISKML_SCORE_OUT=postgresql+psycopg://riskml:...@host/risk
      riskml score --bundle bundle --until $(date -u +%F) --json

    \b
    Exit codes: 0 done, 2 wrong input or setting, 3 another job scores with
    this model in this place, 1 unexpected, 130 interrupted.
    """
)
@click.option("--bundle", "folder", type=_bundle, required=True, help="Exported by train.py.")
@click.option(
    "--source",
    metavar="URL_OR_PATH",
    envvar="RISKML_SCORE_SOURCE",
    show_envvar=True,
    help="Parquet, CSV or JSON-lines file, folder or glob, or a database; set the variable "
    "instead where a URL has a password.",
)
@click.option(
    "--out",
    metavar="URL_OR_FOLDER",
    envvar="RISKML_SCORE_OUT",
    show_envvar=True,
    help="Where scores, alerts and state go: PostgreSQL, SQLite, or a folder.",
)
@click.option(
    "--since",
    type=Since(),
    default=LAST,
    show_default=True,
    help="Where the first run begins: a time, or last for after what the bundle was trained on. "
    "Later runs go on after the one before.",
)
@click.option(
    "--until",
    type=MOMENT,
    help="Events before this time have all arrived: read only these, and close the windows that "
    "can get no more.",
)
@click.option(
    "--overlap", type=DURATION, default="2h", show_default=True, help="How late an event may come."
)
@source_options
@click.option(
    "--open", "open_windows", is_flag=True, help="Score windows that may still grow, too."
)
@click.option(
    "--challenger",
    type=_bundle,
    help="A second bundle that scores beside the first; its alerts are not raised.",
)
@click.option(
    "--runtime", help="Of the graph: torchscript, onnx or native, where there is a choice."
)
@click.option(
    "--engine",
    type=click.Choice([HERE, PROCESSES, RAY]),
    default=HERE,
    show_default=True,
    help="What works windows and scores out: this process, several, or Ray; changes no number.",
)
@click.option(
    "--workers", type=click.IntRange(1), help="Processes, or cores for Ray; all of this machine."
)
@click.option(
    "--ray", "address", metavar="ADDRESS", help="A running Ray cluster, or auto; needs --work."
)
@click.option(
    "--work",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder for what workers are handed; all machines of a cluster must see it.",
)
@click.option(
    "--buckets",
    type=click.IntRange(1),
    help="Parts that users are split into, of which a worker holds one.  "
    f"[default: {BUCKETS_A_WORKER} a worker, {BUCKETS_OF_CLUSTER} with --ray]",
)
@click.option(
    "--batch",
    type=int,
    help=f"Events in a transaction.  [default: {BATCH}; with workers {LARGE_BATCH}]",
)
@click.option(
    "--wait", type=DURATION, default="10s", show_default=True, help="For another job to end."
)
@click.option("--dry-run", is_flag=True, help="Read and score, and write nothing.")
@metrics_option
@click.option("--json", "as_json", is_flag=True, help="Summary as one JSON object.")
@click.pass_context
@options_for_settings(SOURCE_OPTIONS)
def score(
    ctx: click.Context,
    folder: Path,
    source: str | None,
    out: str | None,
    since: datetime | None,
    until: datetime | None,
    overlap: timedelta,
    reading: Reading,
    open_windows: bool,
    challenger: Path | None,
    runtime: str | None,
    engine: str,
    workers: int | None,
    address: str | None,
    work: Path | None,
    buckets: int | None,
    batch: int | None,
    wait: timedelta,
    dry_run: bool,
    metrics: str | None,
    as_json: bool,
) -> None:
    """Score what is new in a log with an exported bundle (docs/scoring-job.md).

    Each window gets its score once it is closed, as in one pass over the whole log; run it as
    often as you like, and again after it was cut off: nothing is lost or written twice.
    """
    ctx.with_resource(ending())
    from riskml.export.bundle import load_bundle
    from riskml.serving.job import JobSettings, ScoreJob, open_store
    from riskml.serving.side_by_side import different_windows
    from riskml.serving.stores import CHALLENGER, CHAMPION, JobBusyError

    for option, value in (("--source", source), ("--out", out)):
        if value is None:
            name = f"RISKML_SCORE_{option[2:].upper()}"
            raise ConfigError(f"give {option}, or set {name}")
    assert source is not None and out is not None
    if batch is None:
        batch = BATCH if engine == HERE else LARGE_BATCH
    settings = JobSettings(since, until, overlap, batch, open_windows, dry_run, wait)
    events = reading.source(source, batch)
    store = open_store(out)
    found = {CHAMPION: folder} | ({} if challenger is None else {CHALLENGER: challenger})
    bundles = {role: load_bundle(path, runtime) for role, path in found.items()}
    if challenger is not None and (different := different_windows(*bundles.values())):
        logs.tell(f"warning: --challenger cuts a log into {different}", logging.WARNING)
    with (
        exporting(metrics, "score") as put,
        _closers(engine, workers, address, work, buckets, runtime) as closer,
    ):
        jobs = [
            ScoreJob(bundle, events, store, settings, role, closer(bundle, found[role]))
            for role, bundle in bundles.items()
        ]
        metering = None if put is None else _metered(jobs[0])
        if len({job.version for job in jobs}) < len(jobs):
            raise ConfigError(f"--challenger {challenger} is the same model as --bundle")
        try:
            done = {job.role: job.run(_progress()) for job in jobs}
        except JobBusyError as error:
            logs.tell(f"error: {error}", logging.ERROR)
            ctx.exit(BUSY)
        if put is not None and metering is not None and not dry_run:
            metering.done(done[CHAMPION])
            put(metering.metrics.registry)
    if sys.stderr.isatty():
        click.echo(err=True)  # below the progress
    _say(done, as_json)


def _metered(job: ScoreJob) -> RunMetering:
    from riskml.serving.metering import RunMetering

    found = RunMetering(job.bundle)
    job.told = found.told
    return found


@contextmanager
def _closers(
    engine: str,
    workers: int | None,
    address: str | None,
    work: Path | None,
    buckets: int | None,
    runtime: str | None,
) -> Iterator[MakeCloser]:
    """What closes windows of a bundle in a folder, while the engine runs."""
    from riskml.features.engines import Processes, RayTasks
    from riskml.serving.buckets import Buckets
    from riskml.serving.scoring import close_here

    for option, value in (("--workers", workers), ("--work", work), ("--buckets", buckets)):
        if value is not None and engine == HERE:
            raise ConfigError(f"{option} goes with --engine {PROCESSES} or {RAY}")
    if address is not None and engine != RAY:
        raise ConfigError(f"--ray goes with --engine {RAY}")
    if address is not None and work is None:
        raise ConfigError("--ray needs --work, a folder that all machines of the cluster see")
    if engine == HERE:
        yield lambda bundle, folder: close_here
        return
    n = workers or os.cpu_count() or 1
    parts = buckets or (BUCKETS_A_WORKER * n if address is None else BUCKETS_OF_CLUSTER)
    with (
        redirect_stdout(sys.stderr),  # Ray tells there of workers that died
        RayTasks(address, n) if engine == RAY else Processes(n) as running,
        tempfile.TemporaryDirectory(prefix="riskml-score-", dir=work) as place,
    ):
        yield lambda bundle, folder: Buckets(bundle, folder, running, Path(place), parts, runtime)


def _say(done: dict[str, Summary], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({role: summary.plain() for role, summary in done.items()}))
        return
    for summary in done.values():
        click.echo(summary.line())


def _progress() -> Progress | None:
    """One line on standard error that is written over and over, for people only."""
    if not sys.stderr.isatty():
        return None

    def show(so_far: Summary) -> None:
        line = f"{so_far.events_new:,} events, {so_far.windows_closed:,} windows"
        click.echo(f"\r{line}, {so_far.events_per_second:,.0f} events/s ", err=True, nl=False)

    return show
