"""`riskml load`: from a source table into the event store, again and again."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from riskml.cli_types import (
    COLUMN_OPTIONS,
    DURATION,
    MOMENT,
    PAIR,
    as_options,
    options_for_settings,
)
from riskml.core import logs
from riskml.core.errors import ConfigError
from riskml.core.interrupts import ending
from riskml.core.redaction import printable

if TYPE_CHECKING:
    from riskml.data.batch_checks import BatchChecks
    from riskml.data.incremental import LoadReport

BUSY = 3
SETTINGS = {
    **COLUMN_OPTIONS,
    r"data\.quality\.max_rejected_share": "--max-rejected-share",
    r"data\.quality\.": "--check ",
    r"data\.pseudonyms\.key_variable": "--key-variable",
    r"data\.pseudonyms\.store": "--pseudonym-store",
    r"data\.pseudonyms\.": "--",
}
"""Settings as a config names them → options."""


@click.command(
    epilog="""\b
    Example:
      export RISKML_FROM_URL=postgresql+psycopg://reader:...@host/audit
      export RISKML_TO_URL=postgresql+psycopg://riskml:...@host/risk
      riskml load --pipeline logins --table logins --column user_id=employee

    \b
    Exit codes: 0 done, 2 wrong input or refused, 3 another run of the
    pipeline is under way, 130 interrupted.
    """
)
@click.option(
    "--from",
    "source_url",
    metavar="URL",
    envvar="RISKML_FROM_URL",
    show_envvar=True,
    help="Database to read; set the variable instead where the URL has a password.",
)
@click.option(
    "--to",
    "store_url",
    metavar="URL",
    envvar="RISKML_TO_URL",
    show_envvar=True,
    help="Database with the event store, PostgreSQL or SQLite.",
)
@click.option("--pipeline", required=True, metavar="NAME", help="Keeps the watermark.")
@click.option("--table", default="events", show_default=True, help="Table to read.")
@click.option("--into", default="events", show_default=True, help="Table of the event store.")
@click.option(
    "--overlap", type=DURATION, default="2h", show_default=True, help="How late a row may come."
)
@click.option(
    "--look-back",
    type=DURATION,
    default="7d",
    show_default=True,
    help="How far beyond the overlap to look for what came too late; 0s: nowhere.",
)
@click.option("--until", type=MOMENT, help="Leave rows from this time on to a later run.")
@click.option(
    "--column",
    "columns",
    type=PAIR,
    multiple=True,
    help="Event column and that of the table; timestamp=login_time where nothing else is said.",
)
@click.option("--ingested-column", help="Column with the arrival of a row: finds late ones fast.")
@click.option("--time-zone", help="IANA name, for times without a zone; SQLite has no zones.")
@click.option("--default-action", help="Action of rows that name none.")
@click.option(
    "--checks/--no-checks",
    default=True,
    show_default=True,
    help="Hold each batch to the rules of docs/quality.md.",
)
@click.option(
    "--quality",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.yaml",
    help="Limits of the checks, with the fields of conf/quality/default.yaml.",
)
@click.option(
    "--check",
    "changes",
    multiple=True,
    metavar="SETTING=VALUE",
    help="One limit, such as actions.volume=refuse or rule_limits.missing_user=0.01.",
)
@click.option(
    "--max-rejected-share",
    type=float,
    help="Of a batch, else it is refused.  [default: as --quality says, or 0.2]",
)
@click.option("--pseudonyms", is_flag=True, help="Store no names (docs/privacy.md).")
@click.option(
    "--key-variable",
    default="RISKML_PSEUDONYM_KEY",
    show_default=True,
    metavar="NAME",
    help="Environment variable that holds the key of the pseudonyms.",
)
@click.option(
    "--pseudonym-store",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="RISKML_PSEUDONYM_STORE",
    show_envvar=True,
    metavar="FILE",
    help="SQLite file of salts, so that users can be forgotten.",
)
@click.option(
    "--keep", multiple=True, metavar="COLUMN", help="A further column that pseudonyms leave."
)
@click.option(
    "--hashed", multiple=True, metavar="COLUMN", help="A column of which keyed hashes are stored."
)
@click.option("--batch", default=10_000, show_default=True, help="Rows in a transaction.")
@click.option(
    "--wait", type=DURATION, default="10s", show_default=True, help="For another run to end."
)
@click.option("--json", "as_json", is_flag=True, help="Report as one JSON object.")
@click.pass_context
def load(
    ctx: click.Context,
    source_url: str | None,
    store_url: str | None,
    pipeline: str,
    table: str,
    into: str,
    overlap: timedelta,
    look_back: timedelta,
    until: datetime | None,
    columns: tuple[tuple[str, str], ...],
    ingested_column: str | None,
    time_zone: str | None,
    default_action: str | None,
    checks: bool,
    quality: Path | None,
    changes: tuple[str, ...],
    max_rejected_share: float | None,
    pseudonyms: bool,
    key_variable: str,
    pseudonym_store: Path | None,
    keep: tuple[str, ...],
    hashed: tuple[str, ...],
    batch: int,
    wait: timedelta,
    as_json: bool,
) -> None:
    """Load what is new in a table into the event store.

    Reads rows with login_time > last run - overlap and stores each event once; run it as often
    as you like, and again after it was cut off. Unusable rows go to the store's quarantine; a
    batch that the checks refuse leaves nothing behind.
    """
    ctx.with_resource(ending())
    from riskml.data.event_mapping import EventMapping
    from riskml.data.event_store import EventStore
    from riskml.data.incremental import IncrementalLoader, PipelineBusyError
    from riskml.data.pseudonymous import PseudonymousLog
    from riskml.data.table_source import DEFAULT_TIME, TableSource

    if source_url is None or store_url is None:
        option, name = ("--from", "FROM") if source_url is None else ("--to", "TO")
        raise ConfigError(f"which database? Set RISKML_{name}_URL, or give {option} URL")
    _only_with("--pseudonyms", pseudonyms, "--keep", keep, "--hashed", hashed)
    _only_with("--checks", checks, "--quality", quality, "--check", changes)
    with options_for_settings(SETTINGS):
        limits = _limits(quality, changes, max_rejected_share) if checks else None
        share = 0.2 if max_rejected_share is None else max_rejected_share
        mapping = EventMapping(
            columns={"timestamp": DEFAULT_TIME, **dict(columns)},
            time_zone=time_zone,
            default_action=default_action,
            max_rejected_share=share if limits is None else limits.max_rejected_share,
        )
        names = PseudonymousLog(key_variable, pseudonym_store, keep=keep, hashed=hashed)
        source = TableSource.of(source_url, table, mapping, ingested_column)
        loader = IncrementalLoader(
            source,
            EventStore(store_url, into),
            pipeline,
            mapping,
            overlap=overlap,
            look_back=look_back,
            batch_rows=batch,
            checks=limits,
            pseudonyms=names if pseudonyms else None,
            wait=wait,
            until=until,
        )
        try:
            report = _with_progress(loader.run)
        except PipelineBusyError as error:
            logs.tell(f"error: {error}", logging.ERROR)
            ctx.exit(BUSY)
    for warning in report.warnings:
        logs.tell(f"look at {printable(as_options(warning, SETTINGS))}", logging.WARNING)
    if as_json:
        click.echo(json.dumps(asdict(report), default=str))
    else:
        click.echo(report.summary())


def _only_with(switch: str, on: bool, *options: Any) -> None:
    for name, value in zip(options[::2], options[1::2], strict=True):
        if value and not on:
            raise ConfigError(f"{name} is for a load with {switch}; give both or neither")


def _limits(
    file: Path | None, changes: tuple[str, ...], max_rejected_share: float | None
) -> BatchChecks:
    from riskml.runs.check_settings import read_checks

    if max_rejected_share is not None:
        changes = (*changes, f"max_rejected_share={max_rejected_share}")
    return read_checks(file, changes)


def _with_progress(run: Any) -> LoadReport:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    quiet = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=quiet) as bar:
        task = bar.add_task("asking the source", total=1.0)

        def show(report: LoadReport, share: float) -> None:
            line = f"{report.read:,} read, {report.loaded:,} new"
            bar.update(task, completed=share, description=line)

        report: LoadReport = run(show)
    return report
