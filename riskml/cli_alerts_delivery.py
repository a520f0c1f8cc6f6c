"""`riskml alerts deliver`, `route`, `alertmanager` and `silence`: who is told, and where."""

from __future__ import annotations

import json
import logging
import signal
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import click

from riskml.cli_types import DURATION, MOMENT, PAIR, alert_log_option, exporting, metrics_option
from riskml.core import logs
from riskml.core.errors import ConfigError, did_you_mean
from riskml.core.redaction import printable

NOT_ALL, MINUTE_S = 4, 60.0

_channels = click.option(
    "--channels",
    "file",
    metavar="FILE",
    required=True,
    type=click.Path(path_type=Path),
    help="YAML with channels and routes (docs/alerts.md).",
)
_json = click.option("--json", "as_json", is_flag=True, help="As JSON.")


@click.command()
@_channels
@click.option(
    "--follow",
    type=DURATION,
    help="Go on, and look for more this often, until SIGTERM or Ctrl-C; else until all is sent.",
)
@metrics_option
@_json
@alert_log_option
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
    from riskml.alerting.alert_log import AlertLog
    from riskml.alerting.delivery import Delivered, Worker
    from riskml.alerting.settings_files import read_channels

    said, stopping, done = read_channels(file), Event(), Delivered()
    log = AlertLog(url)
    worker = Worker(log, said.channels, said.settings, said.routing)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    with exporting(metrics, "alerts_deliver") as put:
        while True:
            found = worker.round()
            done += found
            if put is not None:
                from riskml.alerting.log_counts import count_outbox
                from riskml.monitoring.command_metrics import outbox_registry

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


@click.command(
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
    from riskml.alerting.alert_log import AlertLog
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
    log = AlertLog(url)
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


@click.command(
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


@click.group(
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
            click.echo(json.dumps(asdict(each), default=datetime.isoformat))
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
