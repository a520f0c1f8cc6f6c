"""`riskml report`: what a week or a month brought, for auditors and management."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from riskml.cli_types import alert_log_option, needing, pseudonyms_or_others
from riskml.core import logs
from riskml.core.errors import ConfigError, did_you_mean
from riskml.core.redaction import printable

if TYPE_CHECKING:
    from riskml.alerting.alert_log import AlertLog
    from riskml.alerting.mails import Email
    from riskml.reporting.generator import Report

LENGTHS, LANGUAGES = ("week", "month"), ("en", "ko")
NOT_SENT = 4
_path = click.Path(path_type=Path)


@click.command(
    epilog="""\b
    Examples:
      export RISKML_ALERTS_URL=sqlite:///alerts.db
      riskml report --period week --out reports --scores scores
      riskml report --period month --ending 2026-10-31 --lang ko --out reports
      riskml report --period week --out reports --names --who kim --why "board meeting"
      riskml report --period week --out reports --channels channels.yaml --email audit@a.example
    """
)
@click.option("--period", "length", type=click.Choice(LENGTHS), required=True)
@click.option(
    "--ending",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Last day (UTC); the last week from Monday to Sunday, or calendar month, unless given.",
)
@click.option("--lang", "language", type=click.Choice(LANGUAGES), default="en", show_default=True)
@click.option("--out", type=_path, required=True, help="Folder for the HTML file and the PDF.")
@click.option("--html-only", is_flag=True, help="No PDF, and no need of WeasyPrint.")
@click.option(
    "--scores",
    metavar="FOLDER_OR_URL",
    envvar="RISKML_ALERTS_FROM",
    show_envvar=True,
    help="What `riskml score --out` or `riskml stream --sink` wrote to: for coverage, models, and "
    "all of a user's windows.",
)
@click.option(
    "--feedback",
    metavar="URL",
    envvar="RISKML_FEEDBACK_URL",
    show_envvar=True,
    help="Verdicts on windows, for alerts that nobody has ended.",
)
@click.option("--drift", type=_path, help="File with what `riskml drift --json` printed.")
@click.option("--names", is_flag=True, help="Show users by name; needs --who and --why.")
@click.option("--who", help="Who is shown names: the trail of each alert shown says so.")
@click.option("--why", help="Why, in a sentence.")
@click.option("--email", "to", metavar="ADDRESS", multiple=True, help="Send it; may be repeated.")
@click.option(
    "--channels",
    "channels_file",
    metavar="FILE",
    type=_path,
    help="YAML with a channel of kind email, which sends (docs/alerts.md).",
)
@click.option("--via", metavar="CHANNEL", help="Which one, where FILE has several.")
@alert_log_option
@click.pass_context
def report(
    ctx: click.Context,
    length: str,
    ending: datetime | None,
    language: str,
    out: Path,
    html_only: bool,
    scores: str | None,
    feedback: str | None,
    drift: Path | None,
    names: bool,
    who: str | None,
    why: str | None,
    to: tuple[str, ...],
    channels_file: Path | None,
    via: str | None,
    url: str,
) -> None:
    """Report on a week or a month, beside the one before (docs/reports.md).

    Alerts and verdicts, users with the highest risk (by pseudonym), precision, what was
    suppressed, gaps in the data, and the model. Exit code 4 where a mail could not be sent.
    """
    with needing("report"):
        from riskml.alerting.alert_log import AlertLog
        from riskml.alerting.feedback import FeedbackStore
        from riskml.reporting.drift_file import read_drift
        from riskml.reporting.generator import ReportGenerator
        from riskml.reporting.periods import Length, Period, last_whole
        from riskml.reporting.score_facts import Scores
        from riskml.reporting.view import Naming

    naming = None
    if names:
        if not (who or "").strip() or not (why or "").strip():
            raise ConfigError("--names needs --who and --why: the trail says who was shown names")
        naming = Naming(str(who), str(why))
    elif who or why:
        raise ConfigError("--who and --why say who is shown names: give --names, too")
    today = datetime.now(UTC).date()
    if ending is not None and ending.date() > today:
        # mailed once, it would keep the whole one from being sent
        raise ConfigError(f"--ending {ending.date()} is yet to come: give a day that is over")
    if to and channels_file is None:
        raise ConfigError("--email needs --channels FILE with a channel of kind email, which sends")
    channel = None if channels_file is None else _email_channel(channels_file, via)
    log = AlertLog(url)
    with log.reading():
        pass  # tables that are not there should say so now
    period = (
        last_whole(Length(length), today)
        if ending is None
        else Period(Length(length), ending.date())
    )
    generator = ReportGenerator(
        log,
        pseudonyms_or_others(),
        None if scores is None else Scores(scores),
        None if feedback is None else FeedbackStore(feedback, writes=False),
        None if drift is None else read_drift(drift),
    )
    made = generator.make(period, language, naming, pdf=not html_only)
    for warning in made.warnings:
        logs.tell(f"warning: {warning}", logging.WARNING)
    for path in made.write(out):
        click.echo(str(path))
    if to and channel is not None and not _sent(log, made, to, channel, naming is not None):
        ctx.exit(NOT_SENT)


def _email_channel(file: Path, via: str | None) -> tuple[str, Email]:
    """The channel that sends, by its name.

    Raises:
        ConfigError: there is none, or several.
    """
    from riskml.alerting.mails import Email
    from riskml.alerting.settings_files import read_channels

    said = read_channels(file).channels
    found = {name: each for name, each in said.items() if isinstance(each, Email)}
    if via is not None:
        if via not in found:
            told = did_you_mean(via, found) if found else "it has none of kind email"
            raise ConfigError(f"--via {printable(via)}: {printable(told)}")
        return via, found[via]
    if len(found) != 1:
        told = "has no channel of kind email" if not found else "has several: say which with --via"
        raise ConfigError(f"--channels {file} {told}")
    [only] = found.items()
    return only


def _sent(
    log: AlertLog, made: Report, to: Iterable[str], channel: tuple[str, Email], named: bool
) -> bool:
    """Put a letter for each into the outbox, and send what lies there; whether all is sent."""
    from riskml.alerting.delivery import Worker
    from riskml.alerting.letters import Letter, post_letter

    name, email = channel
    files = {file: content for file, content in made.files.items() if file.endswith(".pdf")}
    for address in dict.fromkeys(to):
        key = f"report/{made.name}{'/names' if named else ''}/{address}"
        letter = Letter(key, name, address, f"riskml: {made.title}", made.text, files or made.files)
        if not post_letter(log, letter, datetime.now(UTC)):
            logs.tell(f"{printable(address)} has this report, or will: not sent again")
    done = Worker(log, {name: email}).letters()
    logs.tell(f"{done.sent} sent, {done.refused} refused")
    if done.away or done.held:
        logs.tell("the rest stays in the outbox: riskml alerts deliver sends it")
    return not (done.away or done.held or done.refused)
