"""`riskml alerts`: what was raised, what became of it, and a trail that shows who changed what."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from riskml.cli_alerts_delivery import alertmanager, deliver, route, silence
from riskml.cli_alerts_page import token, ui
from riskml.cli_types import alert_log_option, exporting, metrics_option
from riskml.core import logs
from riskml.core.errors import ConfigError, DataError
from riskml.core.redaction import printable
from riskml.monitoring.tracing import span

if TYPE_CHECKING:
    from riskml.alerting.alert_log import AlertLog

SHOWN_IDS = 3
STATES = ("open", "acknowledged", "resolved", "false_alarm", "accepted_risk")
SEVERITIES = ("low", "medium", "high", "critical")

_json = click.option("--json", "as_json", is_flag=True, help="As JSON.")


@click.group(
    epilog="""\b
    Examples:
      export RISKML_ALERTS_URL=sqlite:///alerts.db
      riskml alerts init
      riskml alerts take --from scores
      riskml alerts list --state open --least high
      riskml alerts show 1f0c9a3b5d7e
      riskml alerts set 1f0c9a3b5d7e false_alarm --who kim --why "on call that night"
      riskml alerts deliver --channels conf/alerting/channels.yaml --follow 10s
      riskml alerts ui --tokens people.txt
      riskml alerts verify
    """
)
def alerts() -> None:
    """Keep alerts, and what becomes of them (docs/alerts.md).

    Windows that say the same again are counted, not raised anew; every change is in a trail that
    shows if anybody changed it.
    """


@alerts.command()
@alert_log_option
def init(url: str) -> None:
    """Make the tables, or bring those of an older riskml up to date."""
    version = _open(url).migrate()
    logs.tell(f"the alert log's tables have version {version}")


@alerts.command()
@click.option(
    "--from",
    "where",
    metavar="FOLDER_OR_URL",
    required=True,
    envvar="RISKML_ALERTS_FROM",
    show_envvar=True,
    help="What `riskml score --out` (folder or database) or `riskml stream --sink` wrote to.",
)
@click.option(
    "--rules",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="YAML: severities, quiet time, caps, watchlists, acceptances (docs/alerts.md).",
)
@metrics_option
@_json
@alert_log_option
def take(where: str, rules: Path | None, metrics: str | None, as_json: bool, url: str) -> None:
    """Log what a job or a stream has raised; the same again changes nothing."""
    from riskml.alerting.settings_files import read_rules
    from riskml.alerting.sightings import sightings_of
    from riskml.serving.alerts import raised_alerts

    suppression = None if rules is None else read_rules(rules)
    log = _open(url)
    with exporting(metrics, "alerts_take") as put:
        with span("riskml alerts take"):
            done = log.take(sightings_of(raised_alerts(where)), suppression)
        if put is not None:
            from riskml.alerting.log_counts import count_log
            from riskml.monitoring.command_metrics import alert_log_registry

            put(alert_log_registry(count_log(log)))
    if as_json:
        click.echo(json.dumps(asdict(done)))
    else:
        decided = ", ".join(f"{n:,} {rule}" for rule, n in sorted(done.rules.items()))
        logs.tell(
            f"{done.new:,} new windows ({decided or 'none'}), {done.known:,} known; "
            f"{done.alerts:,} new alerts, {done.told:,} to be told"
        )


@alerts.command("list")
@click.option("--state", "states", type=click.Choice(STATES), multiple=True, help="Only these.")
@click.option("--user", help="Only alerts on this user.")
@click.option("--least", type=click.Choice(SEVERITIES), default="low", help="Severity at least.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most.")
@_json
@alert_log_option
def list_(
    states: tuple[str, ...], user: str | None, least: str, limit: int, as_json: bool, url: str
) -> None:
    """Show alerts, the riskiest first."""
    from riskml.alerting.states import AlertState, Severity

    found = _open(url).find(map(AlertState, states), user, Severity(least), limit)
    for row in found.iter_rows(named=True):
        if as_json:
            click.echo(json.dumps(row, default=_text))
            continue
        times = f"{row['count']} window{'' if row['count'] == 1 else 's'}"
        told = f"{row['alert_id']}  {row['severity']:<8}  {row['risk']:5.1f}  {row['state']:<13}  "
        told += f"{row['user_id']}  {row['signature']}  {times}, "
        told += f"last {row['last_seen']:%F %H:%M} UTC"
        click.echo(printable(told))
    click.echo(f"{len(found):,} alert{'' if len(found) == 1 else 's'}", err=True)


@alerts.command()
@click.argument("alert_id", metavar="ALERT")
@_json
@alert_log_option
def show(alert_id: str, as_json: bool, url: str) -> None:
    """Show an ALERT: its windows with their reasons, and who changed it when and why."""
    found = _open(url).history(alert_id)
    if as_json:
        click.echo(json.dumps(asdict(found), default=_text, ensure_ascii=False))
        return
    row = found.alert
    click.echo(
        printable(
            f"alert {row['alert_id']} on {row['user_id']}: {row['state']}, {row['severity']}, "
            f"risk {row['risk']:.1f}, about {row['signature']}"
        )
    )
    for window in found.sightings:
        told = "told" if window["told"] else "not told"
        span = f"{window['window_start']:%F %H:%M} to {window['window_end']:%F %H:%M} UTC"
        line = f"  {window['window_id']}  {span}  risk {window['risk']:.1f}  "
        click.echo(printable(f"{line}p {window['p_value']:.2g}  {window['rule']}, {told}"))
        for reason in window["reasons"]:
            click.echo(printable(f"      {reason['text']}"))
        if window["event_ids"] is not None:
            click.echo(printable(f"      {_events(window['event_ids'])}"))
    for entry in found.trail:
        why = f": {entry.why}" if entry.why else ""
        click.echo(printable(f"  {entry.at:%F %H:%M:%S} UTC  {entry.what} by {entry.who}{why}"))


@alerts.command("set")
@click.argument("alert_id", metavar="ALERT")
@click.argument("state", type=click.Choice(STATES))
@click.option("--who", required=True, help="Who says so.")
@click.option("--why", default="", help="Why, in a sentence.")
@click.option(
    "--feedback",
    "store",
    metavar="URL",
    help="Also store a verdict on each of its windows; resolved is a true incident.",
)
@alert_log_option
def set_(alert_id: str, state: str, who: str, why: str, store: str | None, url: str) -> None:
    """Give an ALERT another state; an ended one is opened again with `open`."""
    from riskml.alerting.feedback import FeedbackStore
    from riskml.alerting.states import AlertState
    from riskml.alerting.verdicts import VERDICTS, give_verdict

    given = AlertState(state)
    if store is not None and given not in VERDICTS:
        raise ConfigError(f"--feedback: {state} is no verdict, {' and '.join(VERDICTS)} are")
    kept = None if store is None else FeedbackStore(store)
    stored = give_verdict(_open(url), alert_id, given, who, why, kept)
    if store is not None:
        click.echo(f"{stored:,} new verdicts of {VERDICTS[given]}", err=True)
    click.echo(f"alert {printable(alert_id)} is {state}", err=True)


@alerts.command()
@click.option("--head", help="What an earlier call printed: the trail must still go through it.")
@_json
@alert_log_option
def verify(head: str | None, as_json: bool, url: str) -> None:
    """Show whether anybody changed the log past its trail; exit code 2 where somebody did."""
    from riskml.alerting.verification import verify as verify_log

    found = verify_log(_open(url), head)
    if as_json:
        click.echo(json.dumps(asdict(found)))
    else:
        click.echo(f"{found.entries:,} entries, {found.alerts:,} alerts; head {found.head}")
        for fault in found.faults:
            click.echo(printable(fault))
    if found.count:
        faults = "fault" if found.count == 1 else "faults"
        raise DataError(f"the alert log was tampered with: {found.count:,} {faults}")


for command in (deliver, route, alertmanager, silence, ui, token):
    alerts.add_command(command)


def _open(url: str) -> AlertLog:
    from riskml.alerting.alert_log import AlertLog

    return AlertLog(url)


def _events(found: dict[str, Any]) -> str:
    """Some ids of a window's events in a line; --json gives all that are kept."""
    ids, count = found["ids"], found["count"]
    some = ids if len(ids) <= 2 * SHOWN_IDS else [*ids[:SHOWN_IDS], "…", *ids[-SHOWN_IDS:]]
    return f"{count:,} event{'' if count == 1 else 's'}: {', '.join(some) or 'ids not known'}"


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
