"""`riskml alerts`: what was raised, what became of it, and a trail that shows who changed what."""

from __future__ import annotations

import json
import logging
import signal
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import click

from riskml.cli_alerts_page import token, ui
from riskml.cli_types import DURATION, MOMENT, PAIR, exporting, metrics_option
from riskml.core import logs
from riskml.core.errors import ConfigError, DataError, did_you_mean
from riskml.core.redaction import printable
from riskml.monitoring.tracing import span

if TYPE_CHECKING:
    from riskml.alerting.alert_log import AlertLog

NOT_ALL, MINUTE_S = 4, 60.0
SHOWN_IDS = 3
STATES = ("open", "acknowledged", "resolved", "false_alarm", "accepted_risk")
SEVERITIES = ("low", "medium", "high", "critical")

_log = click.option(
    "--log",
    "url",
    metavar="URL",
    required=True,
    envvar="RISKML_ALERTS_URL",
    show_envvar=True,
    help="Database of the alert log, SQLite or PostgreSQL.",
)
_channels = click.option(
    "--channels",
    "file",
    metavar="FILE",
    required=True,
    type=click.Path(path_type=Path),
    help="YAML with channels and routes (docs/alerts.md).",
)
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
@_log
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
@_log
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
            from riskml.monitoring.metrics_exporter import alert_log_registry

            put(alert_log_registry(count_log(log)))
    if as_json:
        click.echo(json.dumps(asdict(done)))
    else:
        decided = ", ".join(f"{n:,} {rule}" for rule, n in sorted(done.rules.items()))
        logs.tell(
            f"{done.new:,} new windows ({decided or 'none'}), {done.known:,} known; "
            f"{done.alerts:,} new alerts, {done.told:,} to be told"
        )


@alerts.command()
@_channels
@click.option(
    "--follow",
    type=DURATION,
    help="Go on, and look for more this often, until SIGTERM or Ctrl-C; else until all is sent.",
)
@metrics_option
@_json
@_log
@click.pass_context
def deliver(
    ctx: click.Context,
    file: Path,
    follow: timedelta | None,
    metrics: str | None,
    as_json: bool,
    url: str,
) -> None:
    """Tell people what lies in the outbox: in order, at least once.

    Without --follow it goes on until all is sent; exit code 4 where something could not be.
    """
    from riskml.alerting.delivery import Delivered, Worker
    from riskml.alerting.settings_files import read_channels

    said, stopping, done = read_channels(file), Event(), Delivered()
    log = _open(url)
    worker = Worker(log, said.channels, said.settings, said.routing)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    with exporting(metrics, "alerts_deliver") as put:
        while True:
            found = worker.round()
            done += found
            if put is not None:
                from riskml.alerting.log_counts import count_outbox
                from riskml.monitoring.metrics_exporter import outbox_registry

                put(outbox_registry(count_outbox(log, said.channels)))
            if follow is None and not found.held:
                break
            if stopping.wait(MINUTE_S if follow is None else follow.total_seconds()):
                break
    if as_json:
        click.echo(json.dumps(asdict(done)))
    else:
        logs.tell(
            f"{done.sent:,} messages sent, {done.refused:,} refused; channels that did not answer: "
            f"{done.away:,}"
        )
    if follow is None and (done.away or done.refused):
        ctx.exit(NOT_ALL)


@alerts.command(
    epilog="Example: riskml alerts route 1f0c9a3b5d7e --channels conf/alerting/channels.yaml"
)
@click.argument("alert_id", metavar="ALERT", required=False)
@_channels
@click.option("--at", type=MOMENT, help="When; when people were told, or now, unless given.")
@click.option("--log", "url", metavar="URL", envvar="RISKML_ALERTS_URL", help="Where ALERT is.")
@_json
def route(
    alert_id: str | None, file: Path, at: datetime | None, url: str | None, as_json: bool
) -> None:
    """Say where an ALERT goes and why; without one, only check the file and its examples."""
    from riskml.alerting.messages import message_of_alert
    from riskml.alerting.settings_files import read_channels

    found = read_channels(file)
    if alert_id is None:
        routes = len(found.routing.routes)
        if as_json:
            told = {"channels": len(found.channels), "routes": routes}
            click.echo(json.dumps({**told, "unnamed": [*found.routing.unnamed]}))
            return
        click.echo(f"{len(found.channels)} channels, {routes} routes: all is well")
        for name in found.routing.unnamed:
            click.echo(f"no route names {printable(name)}: it tells only of what no route matches")
        return
    if url is None:
        raise ConfigError("give --log, or set RISKML_ALERTS_URL")
    log = _open(url)
    log.history(alert_id)  # says so if there is no such alert
    with log.reading() as connection:
        message = message_of_alert(connection, alert_id)
    way = found.routing.way(message, at or message.notified_at or datetime.now(UTC))
    told_to = {
        verb: [name for name in names if found.channels[name].takes(message)]
        for verb, names in (("to", way.channels), ("later to", way.muted))
    }
    if as_json:
        answer = {"to": told_to["to"], "later": told_to["later to"], "why": [*way.told]}
        click.echo(json.dumps(answer, ensure_ascii=False))
        return
    for line in way.told:
        click.echo(printable(line))
    for verb, takes in told_to.items():
        if takes or verb == "to":
            click.echo(f"{verb} {', '.join(takes) or 'nobody'}")


@alerts.command(
    "alertmanager",
    epilog="Example: riskml alerts alertmanager --channels channels.yaml > alertmanager.yml",
)
@_channels
@click.option(
    "--secrets",
    default="/etc/alertmanager/secrets",
    show_default=True,
    help="Folder in which Alertmanager finds each secret in a file named as its variable.",
)
def alertmanager(file: Path, secrets: str) -> None:
    """Write a configuration for Prometheus Alertmanager that says the same as FILE."""
    import yaml

    from riskml.alerting.alertmanager_config import render
    from riskml.alerting.settings_files import read_channels

    found = read_channels(file)
    config = render(found.channels, found.routing, secrets)
    click.echo(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), nl=False)


@alerts.group(
    epilog="""\b
    Examples:
      export RISKML_ALERTMANAGER_URL=http://alertmanager:9093
      riskml alerts silence list
      riskml alerts silence add user=u17 --lasts 2h --who kim --why "moves desk"
      riskml alerts silence end 2f6ad5c1-3b0e-4c55-9d0c-0d3b1f3a7e11
    """
)
def silence() -> None:
    """List, make and end silences of an Alertmanager."""


_manager = click.option(
    "--alertmanager",
    "place",
    metavar="URL",
    required=True,
    envvar="RISKML_ALERTMANAGER_URL",
    show_envvar=True,
    help="Such as http://alertmanager:9093.",
)


@silence.command("list")
@click.option("--ended", is_flag=True, help="Also those that have ended.")
@_json
@_manager
def list_silences(ended: bool, as_json: bool, place: str) -> None:
    """Show silences on our alerts, the soonest to end first."""
    from riskml.alerting.silences import Silences

    for each in Silences(place).all(ended):
        if as_json:
            click.echo(json.dumps(asdict(each), default=_text))
            continue
        labels = " ".join(f"{n}={v}" for n, v in each.matches.items() if n != "alertname")
        line = f"{each.name}  {each.state}  until {each.until:%F %H:%M} UTC  {labels}"
        click.echo(printable(f"{line}  by {each.who}: {each.why}"))


@silence.command("add")
@click.argument("labels", metavar="LABEL=VALUE...", nargs=-1, required=True, type=PAIR)
@click.option("--lasts", type=DURATION, required=True, help="From now on, such as 2h.")
@click.option("--who", required=True, help="Who makes it.")
@click.option("--why", required=True, help="Why, in a sentence.")
@_manager
def add_silence(
    labels: tuple[tuple[str, str], ...], lasts: timedelta, who: str, why: str, place: str
) -> None:
    """Tell nobody of alerts with these labels: user, peer, signature, severity, alert_id."""
    from riskml.alerting.alertmanager import Alertmanager
    from riskml.alerting.silences import Silences

    given = {*Alertmanager.OWN, "account", "team"}
    for name in sorted({name for name, _ in labels} - given):
        near = did_you_mean(name, given)
        told = f"only alerts of a channel with labels.{printable(name)} have this label; {near}"
        logs.tell(f"warning: {told}", logging.WARNING)
    click.echo(Silences(place).add(dict(labels), lasts, who, why))


@silence.command("end")
@click.argument("name")
@_manager
def end_silence(name: str, place: str) -> None:
    """End the silence NAME now."""
    from riskml.alerting.silences import Silences

    Silences(place).end(name)


@alerts.command("list")
@click.option("--state", "states", type=click.Choice(STATES), multiple=True, help="Only these.")
@click.option("--user", help="Only alerts on this user.")
@click.option("--least", type=click.Choice(SEVERITIES), default="low", help="Severity at least.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most.")
@_json
@_log
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
@_log
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
@_log
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
@_log
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


alerts.add_command(ui)
alerts.add_command(token)


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
