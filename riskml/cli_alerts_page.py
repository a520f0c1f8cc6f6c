"""`riskml alerts ui` and `riskml alerts token`: the alert log as a page, and who may see it."""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING

import click

from riskml.cli_types import (
    DURATION,
    SOURCE_OPTIONS,
    Reading,
    alert_log_option,
    needing,
    options_for_settings,
    pseudonyms_or_others,
    source_options,
)
from riskml.core import logs
from riskml.core.errors import DataError

if TYPE_CHECKING:
    from riskml.alerting.page.looking import Events, Risks

ROLES = ("viewer", "analyst", "admin")
BATCH = 50_000
EVENT_OPTIONS = {**SOURCE_OPTIONS, "--source": "--events"}
_path = click.Path(path_type=Path)


@click.command(
    epilog="""\b
    Examples:
      riskml alerts token kim --role analyst --tokens people.txt
      riskml alerts ui --tokens people.txt --log sqlite:///alerts.db
      riskml alerts ui --tokens people.txt --scores scores --events 'log/**/*.parquet'

    \b
    RISKML_PSEUDONYM_KEY is the key of the pseudonyms, RISKML_LINK_KEY that of links in mails.
    Signals: TERM and INT end it once what was asked is answered (exit code 0).
    """
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", default=8090, show_default=True, help="0 takes any that is free.")
@click.option("--certfile", type=_path, help="TLS certificate chain, PEM.")
@click.option("--keyfile", type=_path, help="Its private key, PEM.")
@click.option(
    "--tokens",
    type=_path,
    help="File of those who may sign in, made by `riskml alerts token`; else the variable "
    "RISKML_PAGE_PEOPLE has its lines.",
)
@click.option(
    "--session", type=DURATION, default="8h", show_default=True, help="How long one is signed in."
)
@click.option(
    "--scores",
    metavar="FOLDER_OR_URL",
    help="What `riskml score --out` wrote to, for the risk over time; else only raised windows.",
)
@click.option(
    "--events",
    "source",
    metavar="URL_OR_PATH",
    envvar="RISKML_SCORE_SOURCE",
    show_envvar=True,
    help="Raw events, as for `riskml score --source`.",
)
@source_options
@click.option(
    "--triage",
    metavar="RUN",
    type=_path,
    help="Folder in which `riskml triage` ranked; its chances count for the order of the queue.",
)
@click.option(
    "--feedback",
    metavar="URL",
    envvar="RISKML_FEEDBACK_URL",
    show_envvar=True,
    help="Also store a verdict on each window; resolved is a true incident.",
)
@alert_log_option
@options_for_settings(EVENT_OPTIONS)
def ui(
    host: str,
    port: int,
    certfile: Path | None,
    keyfile: Path | None,
    tokens: Path | None,
    session: timedelta,
    scores: str | None,
    source: str | None,
    reading: Reading,
    triage: Path | None,
    feedback: str | None,
    url: str,
) -> None:
    """Serve pages on which people look at alerts and give verdicts (docs/alerts.md).

    Users are shown by pseudonym, until an admin asks for a name and says why.
    """
    with needing("alerts"):
        from riskml.alerting.alert_log import AlertLog
        from riskml.alerting.channels import secret_of
        from riskml.alerting.feedback import FeedbackStore
        from riskml.alerting.links import KEY_VARIABLE, Links
        from riskml.alerting.page.app import PageSettings
        from riskml.alerting.page.people import People
        from riskml.alerting.page.queue import Chances
        from riskml.alerting.page.server import serve
        from riskml.core.listening import Address

    address = Address(host, port, certfile, keyfile)
    log = AlertLog(url)
    with log.reading():
        pass  # tables that are not there should say so now
    verdicts = None if feedback is None else FeedbackStore(feedback)
    if verdicts is not None:
        verdicts.add([])  # makes the store, for those that read it before the first verdict
    has_links = any(name in os.environ for name in (KEY_VARIABLE, f"{KEY_VARIABLE}_FILE"))
    settings = PageSettings(
        log,
        People(tokens),
        pseudonyms_or_others(),
        verdicts,
        Links(secret_of(KEY_VARIABLE, "links in mails")) if has_links else None,
        None if triage is None else Chances(triage),
        None if scores is None else _risks(scores),
        None if source is None else _events(source, reading),
        session,
    )
    if not address.is_local and certfile is None:
        told = "tokens travel in clear: give --certfile and --keyfile, or put TLS in front of it"
        logs.tell(f"warning: --host {host} without TLS: {told}", logging.WARNING)
    serve(settings, address, lambda where: logs.tell(f"the alerts are at {where}"))


@click.command(epilog="Example: riskml alerts token kim --role analyst --tokens people.txt")
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What NAME may do.")
@click.option(
    "--tokens", "file", type=_path, help="Also put the line at the end of this file of people."
)
def token(name: str, role: str, file: Path | None) -> None:
    """Draw a token for NAME, who may then sign in to `riskml alerts ui`.

    viewer looks, analyst also gives verdicts, admin also asks for names. The token is shown once;
    the line for the file has only its hash.
    """
    from riskml.alerting.page.people import Role, add_person, new_person

    person, drawn = new_person(name, Role(role))
    if file is None:
        click.echo(f"line: {person.line}", err=True)
    else:
        add_person(file, person)
    click.echo(drawn)


def _risks(where: str) -> Risks:
    from riskml.serving.risk_history import RiskHistory  # with torch, which takes seconds

    return RiskHistory(where).of


def _events(source: str, reading: Reading) -> Events:
    from riskml.data.sources.files import not_found
    from riskml.serving.user_events import UserEvents

    path = Path(source).expanduser()
    if "://" not in source and not has_magic(source) and not path.exists():
        raise DataError(f"--events {not_found(path)}")
    events = UserEvents(reading.source(source, BATCH))
    return options_for_settings(EVENT_OPTIONS)(events.of)
