"""`riskml quality`: whether what was loaded of a span of time is fit to be scored."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

import click

from riskml.cli_types import MOMENT, PAIR, as_options, named_columns, options_for_settings
from riskml.core import logs
from riskml.core.errors import ConfigError
from riskml.core.redaction import printable

if TYPE_CHECKING:
    from riskml.data.load_quality import SpanQuality

UNFIT = 3
SETTINGS = {
    "max_rejected_share=": "--max-rejected-share=",
    "max_late_share=": "--max-late-share=",
    "least_events=": "--least-events=",
    "volume_weeks=": "--volume-weeks=",
    "volume=": "--volume=",
}
"""How limits begin, as regular expressions → options."""


@click.command(
    epilog="""\b
    Examples:
      export RISKML_TO_URL=postgresql+psycopg://riskml:...@host/risk
      riskml quality --pipeline logins --since 2024-03-01 --until 2024-03-02
      riskml quality --pipeline logins --since 2024-03-01 --until 2024-03-08 --each-day

    \b
    Exit codes: 0 fit to be scored, 3 not fit, 2 wrong input or setting,
    1 unexpected.
    """
)
@click.option(
    "--to",
    "store_url",
    metavar="URL",
    required=True,
    envvar="RISKML_TO_URL",
    show_envvar=True,
    help="Database with the event store that `riskml load` fills.",
)
@click.option("--pipeline", required=True, metavar="NAME", help="That loaded it.")
@click.option("--into", default="events", show_default=True, help="Table of the event store.")
@click.option("--since", type=MOMENT, required=True, help="First moment to judge.")
@click.option("--until", type=MOMENT, required=True, help="Moment before which to stop.")
@click.option(
    "--column",
    "columns",
    type=PAIR,
    multiple=True,
    help="As for the load; only timestamp counts: the time of rows in quarantine.",
)
@click.option("--time-zone", help="IANA name, as for the load: of times without a zone.")
@click.option(
    "--max-rejected-share",
    type=float,
    default=0.05,
    show_default=True,
    help="Of the rows that may lie in quarantine.",
)
@click.option(
    "--max-late-share",
    type=float,
    default=0.05,
    show_default=True,
    help="Of the rows that may have come too late to be loaded.",
)
@click.option("--least-events", type=int, default=1, show_default=True, help="There must be.")
@click.option(
    "--volume",
    type=click.Choice(["ignore", "warn", "refuse"]),
    default="warn",
    show_default=True,
    help="What a day with far more or far fewer events than usual on that weekday does.",
)
@click.option(
    "--volume-weeks", type=int, default=8, show_default=True, help="What is usual: of so many."
)
@click.option(
    "--each-day", is_flag=True, help="Hold each day (UTC) to the limits, not the span as a whole."
)
@click.option(
    "--accept",
    "accepted",
    type=click.DateTime(["%Y-%m-%d"]),
    multiple=True,
    metavar="DAY",
    help="A day that may be scored as it is; with --each-day.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/quality.md).")
@click.pass_context
@options_for_settings(SETTINGS)
def quality(
    ctx: click.Context,
    store_url: str,
    pipeline: str,
    into: str,
    since: datetime,
    until: datetime,
    columns: tuple[tuple[str, str], ...],
    time_zone: str | None,
    max_rejected_share: float,
    max_late_share: float,
    least_events: int,
    volume: str,
    volume_weeks: int,
    each_day: bool,
    accepted: tuple[datetime, ...],
    as_json: bool,
) -> None:
    """Tell whether what was loaded of a span of time is fit to be scored (docs/quality.md).

    A gate between load and score: enough events, few rows in quarantine, few that came too late,
    and days as full as usual. It asks the store, so that the answer does not depend on when or
    how often the span was loaded.
    """
    from riskml.data.event_mapping import EventMapping
    from riskml.data.event_store import EventStore
    from riskml.data.load_quality import SpanGate, SpanLimits

    if accepted and not each_day:
        raise ConfigError("--accept names days: give --each-day, too")
    limits = SpanLimits(max_rejected_share, max_late_share, least_events, volume, volume_weeks)
    named = named_columns("://", columns)
    EventMapping(columns=named, time_zone=time_zone)  # says what is wrong with them
    gate = SpanGate(
        EventStore(store_url, into), pipeline, limits, str(named["timestamp"]), time_zone
    )
    if each_day:
        found = gate.judge_days(since, until, [day.date() for day in accepted])
    else:
        found = gate.judge(since, until)
    _say(found, as_json)
    if not found.passed:
        ctx.exit(UNFIT)


def _say(found: SpanQuality, as_json: bool) -> None:
    for line in found.warnings:
        logs.tell(f"look at {printable(as_options(line, SETTINGS))}", logging.WARNING)
    for line in found.faults:
        told = printable(as_options(line, SETTINGS))
        logs.tell(
            f"not fit: {told}. Mend the source and load again, or change the limit", logging.ERROR
        )
    if as_json:
        click.echo(json.dumps(asdict(found) | {"passed": found.passed}, default=_text))
    else:
        click.echo(found.summary())


def _text(value: datetime) -> str:
    return value.isoformat()
