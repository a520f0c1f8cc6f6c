"""`riskml score`: new events into scores and alerts, again and again."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from riskml.cli_types import DURATION, MOMENT, PAIR, SOURCE_OPTIONS, options_for_settings
from riskml.core.errors import ConfigError

if TYPE_CHECKING:
    from riskml.serving.job import Progress, Summary

BUSY = 3
LAST = "last"


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
@click.option("--table", default="events", show_default=True, help="Of the source's database.")
@click.option(
    "--column",
    "columns",
    type=PAIR,
    multiple=True,
    help="Event column and that of the source, such as user_id=employee.",
)
@click.option("--time-zone", help="IANA name, for times without a zone; SQLite has no zones.")
@click.option("--timestamp-format", help="Such as '%d/%m/%Y %H:%M', where it is not recognised.")
@click.option("--separator", help="Of a CSV file; a comma, or a tab in .tsv, unless given.")
@click.option("--default-action", help="Action of rows that name none.")
@click.option(
    "--max-rejected-share",
    type=float,
    default=0.2,
    show_default=True,
    help="Of unusable rows; with more nothing is scored.",
)
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
@click.option("--batch", default=50_000, show_default=True, help="Events in a transaction.")
@click.option(
    "--wait", type=DURATION, default="10s", show_default=True, help="For another job to end."
)
@click.option("--dry-run", is_flag=True, help="Read and score, and write nothing.")
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
    table: str,
    columns: tuple[tuple[str, str], ...],
    time_zone: str | None,
    timestamp_format: str | None,
    separator: str | None,
    default_action: str | None,
    max_rejected_share: float,
    open_windows: bool,
    challenger: Path | None,
    runtime: str | None,
    batch: int,
    wait: timedelta,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Score what is new in a log with an exported bundle (docs/scoring-job.md).

    Each window gets its score once it is closed, as in one pass over the whole log; run it as
    often as you like, and again after it was cut off: nothing is lost or written twice.
    """
    from riskml.data.event_mapping import EventMapping
    from riskml.data.table_source import DEFAULT_TIME
    from riskml.export.bundle import load_bundle
    from riskml.serving.events import open_source
    from riskml.serving.job import JobSettings, ScoreJob, open_store
    from riskml.serving.side_by_side import different_windows
    from riskml.serving.stores import CHALLENGER, CHAMPION, JobBusyError

    for option, value in (("--source", source), ("--out", out)):
        if value is None:
            name = f"RISKML_SCORE_{option[2:].upper()}"
            raise ConfigError(f"give {option}, or set {name}")
    assert source is not None and out is not None
    settings = JobSettings(since, until, overlap, batch, open_windows, dry_run, wait)
    named: dict[str, str | None] = dict(columns)
    if "://" in source:
        named = {"timestamp": DEFAULT_TIME, **named}
    mapping = EventMapping(
        columns=named,
        time_zone=time_zone,
        timestamp_format=timestamp_format,
        default_action=default_action,
        max_rejected_share=max_rejected_share,
    )
    events = open_source(source, table, mapping, batch, separator)
    store = open_store(out)
    bundles = {CHAMPION: load_bundle(folder, runtime)}
    if challenger is not None:
        bundles[CHALLENGER] = load_bundle(challenger, runtime)
        if different := different_windows(*bundles.values()):
            click.echo(f"warning: --challenger cuts a log into {different}", err=True)
    jobs = [ScoreJob(bundle, events, store, settings, role) for role, bundle in bundles.items()]
    if len({job.version for job in jobs}) < len(jobs):
        raise ConfigError(f"--challenger {challenger} is the same model as --bundle")
    try:
        done = {job.role: job.run(_progress()) for job in jobs}
    except JobBusyError as error:
        click.echo(f"error: {error}", err=True)
        ctx.exit(BUSY)
    if sys.stderr.isatty():
        click.echo(err=True)  # below the progress
    _say(done, as_json)


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
