"""`riskml graph`: who touched what, from where, and what stands around an alert."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from riskml.cli_graph_answers import ask, explain, open_store, store_options
from riskml.cli_types import (
    MOMENT,
    SOURCE_OPTIONS,
    Reading,
    options_for_settings,
    source_options,
)
from riskml.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    import polars as pl

    from riskml.graph.loading import Loaded

BATCH = 250_000


@click.group(
    epilog="""\b
    Examples:
      riskml graph init --store graph.lbug
      riskml graph load --store graph.lbug --source 'log/**/*.parquet' --peers role
      riskml graph explain WINDOW --store graph.lbug --alerts scores --page why.html
      riskml graph ask users-of --store graph.lbug --param resource=payroll
    """
)
def graph() -> None:
    """Keep who touched what as a graph, and look around alerts (docs/graph.md).

    In a file (Ladybug, no server), or in Neo4j through Bolt.
    """


@graph.command()
@store_options
def init(store: str | None, user: str, database: str | None) -> None:
    """Make tables, constraints and indexes; those that are there stay as they are."""
    with open_store(store, user, database, writes=True, ready=False) as opened:
        opened.prepare()
    click.echo(f"{store} is ready: riskml graph load --store {store} --source ...", err=True)


@graph.command()
@store_options
@click.option(
    "--source",
    "sources",
    metavar="URL_OR_PATH",
    multiple=True,
    required=True,
    envvar="RISKML_GRAPH_SOURCE",
    show_envvar=True,
    help="Parquet, CSV or JSON-lines file, folder or glob, or a database; may be given again.",
)
@click.option("--peers", metavar="COLUMN", help="The user's peer group or role, in the log.")
@click.option(
    "--members",
    metavar="FILES",
    help="CSV or Parquet, may be a glob: a table with user_id and the column --peers, where the "
    "log has none.",
)
@click.option("--since", type=MOMENT, help="Only events after this time.")
@click.option("--until", type=MOMENT, help="Only events before this time.")
@source_options
@click.option(
    "--batch",
    type=click.IntRange(1, 100_000_000),
    default=BATCH,
    show_default=True,
    help="Events in a transaction, about.",
)
@click.option("--json", "as_json", is_flag=True, help="Summary as one JSON object.")
@options_for_settings(SOURCE_OPTIONS)
def load(
    store: str | None,
    user: str,
    database: str | None,
    sources: tuple[str, ...],
    peers: str | None,
    members: str | None,
    since: datetime | None,
    until: datetime | None,
    reading: Reading,
    batch: int,
    as_json: bool,
) -> None:
    """Keep a log's events as accesses; the same events again change nothing."""
    from riskml.graph.loading import load_graph

    if members is not None and peers is None:
        raise ConfigError("--members needs --peers, the column that names the group")
    groups = peers if members is None else _members(members, str(peers))
    rejected = 0

    def events() -> Iterator[pl.DataFrame]:
        nonlocal rejected
        for source in sources:
            log = reading.source(source, batch)
            extra = (groups,) if isinstance(groups, str) else ()
            for part in log.batches(since, until or datetime.now(UTC), extra):
                rejected += len(part.rejected)
                yield from part.events.iter_slices(batch)

    with open_store(store, user, database, writes=True) as opened, _bar() as told:
        done = load_graph(opened, events(), groups, told)
    if as_json:
        click.echo(json.dumps({**vars(done), "rejected": rejected}))
        return
    click.echo(
        f"{done.events:,} events, {done.new:,} new accesses, {rejected:,} rows rejected, "
        f"in {done.seconds:.1f} s"
    )


graph.add_command(explain)
graph.add_command(ask)


def _members(where: str, column: str) -> pl.DataFrame:
    import polars as pl

    from riskml.graph.model import members_of

    try:
        if where.lower().endswith(".csv"):
            rows = pl.read_csv(where, infer_schema=False)
        elif where.lower().endswith(".parquet"):
            rows = pl.read_parquet(where, columns=["user_id", column], hive_partitioning=False)
        else:
            raise ConfigError(f"--members {where}: give files that end in .csv or .parquet")
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"--members {where}: {str(error).splitlines()[0]}") from error
    return members_of(rows, column)


@contextmanager
def _bar() -> Iterator[Any]:
    """One line on standard error that is written over and over, for people only."""
    people = sys.stderr.isatty()

    def show(done: Loaded) -> None:
        speed = done.events / max(done.seconds, 1e-9)
        if people:
            line = f"{done.events:,} events, {done.new:,} new, {speed:,.0f} events/s "
            click.echo(f"\r{line}", err=True, nl=False)

    yield show
    if people:
        click.echo(err=True)
