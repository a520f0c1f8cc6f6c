"""`riskml retrain`: a model's life by steps, its history, and one step back."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from riskml.cli_types import (
    MOMENT,
    alert_log_option,
    exporting,
    metrics_option,
    mlflow_store_option,
)
from riskml.core import logs
from riskml.core.errors import ConfigError
from riskml.core.redaction import printable

if TYPE_CHECKING:
    from riskml.export.registry import Registry
    from riskml.retraining.decisions import Decision, Decisions
    from riskml.retraining.policy import RetrainPolicy
    from riskml.retraining.retrain_scheduler import RetrainScheduler

FAILED, BUSY = 4, 3

_name = click.argument("name", metavar="MODEL")
_json = click.option("--json", "as_json", is_flag=True, help="As JSON (docs/retraining.md).")


@click.group(
    epilog="""\b
    Examples:
      export RISKML_ALERTS_URL=sqlite:///alerts.db
      riskml retrain step logins
      riskml retrain step logins --policy conf/retraining/policy.yaml --until 2026-11-30
      riskml retrain step logins --asked "new office opened" --who kim
      riskml retrain history logins
      riskml retrain rollback logins --who kim --why "too many alerts"
    """
)
def retrain() -> None:
    """Train a registered model again when there is reason to (docs/retraining.md)."""


@retrain.command(
    epilog="""\b
    Examples:
      15 4 * * *  riskml retrain step logins --policy policy.yaml --until $(date -u +%F)

    \b
    Exit codes: 0 done or nothing to do, 3 another step of this model is at work,
    4 the training failed and the champion stays, 2 wrong input or setting, 1 unexpected.
    """
)
@_name
@click.option(
    "--policy",
    "file",
    type=click.Path(path_type=Path),
    help="YAML: reasons to train, and what a challenger has to show (conf/retraining/policy.yaml).",
)
@click.option("--until", type=MOMENT, help="All events before have arrived; now unless given.")
@click.option("--asked", default="", help="Train now, and why, in a sentence.")
@click.option("--who", default="", help="Who asks.")
@click.option(
    "--feedback",
    metavar="URL",
    envvar="RISKML_FEEDBACK_URL",
    show_envvar=True,
    help="Verdicts: a reason to train, what is held back, and what is to be found.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("outputs/retrain"),
    show_default=True,
    help="Folder for runs.",
)
@metrics_option
@_json
@mlflow_store_option
@alert_log_option
@click.pass_context
def step(
    ctx: click.Context,
    name: str,
    file: Path | None,
    until: datetime | None,
    asked: str,
    who: str,
    feedback: str | None,
    out: Path,
    metrics: str | None,
    as_json: bool,
    store: str | None,
    url: str,
) -> None:
    """Do what is due: look for a reason, train a challenger, watch it, let it take over or not.

    Call it once a day. The champion's settings are those of its run, its log that of its run.
    """
    from riskml.retraining.decisions import RetrainLockedError, What
    from riskml.retraining.policy import RetrainPolicy, read_policy

    if bool(asked.strip()) != bool(who.strip()):
        raise ConfigError("--asked and --who go together: the trail says who asked, and why")
    now = datetime.now(UTC)
    if until is not None and until > now:
        # a challenger would be watched until then, and no other be trained before
        raise ConfigError(f"--until {until.isoformat()} lies in the future")
    policy = RetrainPolicy() if file is None else read_policy(file)
    scheduler = _scheduler(name, url, store, policy, out, feedback)
    # what a training tells people is no answer for programs
    with exporting(metrics, "retrain") as put, redirect_stdout(sys.stderr):
        try:
            decision = scheduler.step(until or now, asked.strip(), who.strip())
        except RetrainLockedError as error:
            logs.tell(f"error: {error}")
            ctx.exit(BUSY)
        if put is not None and (decision is None or decision.what is not What.FAILED):
            from riskml.monitoring.command_metrics import done_registry

            put(done_registry("retrain"))
    _tell([] if decision is None else [decision], as_json, f"nothing to do for {name}")
    if decision is not None and decision.what is What.FAILED:
        ctx.exit(FAILED)


@retrain.command(epilog="Example: riskml retrain history logins --json")
@_name
@_json
@alert_log_option
def history(name: str, as_json: bool, url: str) -> None:
    """Tell what was decided about a model, when, by whom and why."""
    _tell(_decisions(name, url).history(), as_json, f"nothing was decided about {name} yet")


@retrain.command(epilog='Example: riskml retrain rollback logins --who kim --why "too many alerts"')
@_name
@click.option("--who", required=True, help="Who rolls back.")
@click.option("--why", required=True, help="Why, in a sentence.")
@_json
@mlflow_store_option
@alert_log_option
def rollback(name: str, who: str, why: str, as_json: bool, store: str | None, url: str) -> None:
    """Make the version before the last promotion champion again."""
    from riskml.retraining.policy import RetrainPolicy

    scheduler = _scheduler(name, url, store, RetrainPolicy(), Path("outputs/retrain"), None)
    _tell([scheduler.roll_back(who, why)], as_json, "")


def _decisions(name: str, url: str) -> Decisions:
    from riskml.alerting.alert_log import AlertLog
    from riskml.retraining.decisions import Decisions

    return Decisions(AlertLog(url), name)


def _scheduler(
    name: str,
    url: str,
    store: str | None,
    policy: RetrainPolicy,
    out: Path,
    feedback: str | None,
) -> RetrainScheduler:
    from riskml.alerting.feedback import FeedbackStore
    from riskml.export.registry import Registry
    from riskml.retraining.retrain_scheduler import RetrainScheduler

    registry: Registry = Registry(store)
    verdicts = None if feedback is None else FeedbackStore(feedback, writes=False)
    return RetrainScheduler(_decisions(name, url), registry, policy, out, verdicts)


def _tell(found: list[Decision], as_json: bool, nothing: str) -> None:
    if as_json:
        told = [each.plain() for each in found]
        click.echo(json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False))
        return
    for each in found:
        version = each.content.get("version")
        twice = each.why.startswith(f"version {version},")
        named = "" if version is None or twice else f" (version {version})"
        who = f" by {each.who}"
        line = f"{each.at:%Y-%m-%d %H:%M} {each.what}{named}{who}: {each.why}"
        click.echo(printable(line))
    if not found:
        click.echo(nothing)
