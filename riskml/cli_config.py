"""`riskml config`: what is missing or wrong for a role before anything starts."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from riskml.cli_alerts import take
from riskml.cli_alerts_delivery import deliver
from riskml.cli_alerts_page import ui
from riskml.cli_drift import drift
from riskml.cli_report import report
from riskml.cli_retrain import step
from riskml.cli_score import score
from riskml.cli_serve import serve
from riskml.cli_stream import stream
from riskml.cli_types import SOURCE_OPTIONS, Reading, options_for_settings
from riskml.core.environment import environment
from riskml.core.secret_files import secrets_from_files

if TYPE_CHECKING:
    from riskml.config_check.findings import Checks

WRONG, ROWS = 1, 1_000
CALLED = {
    "train": "python train.py",
    "alerts": "riskml alerts take, deliver and ui",
    "retrain": "riskml retrain step",
}
"""Roles whose commands have other names."""

OWN = {"as_json"}
"""Options of commands that `check` has itself."""

COMMANDS: Mapping[str, Sequence[click.Command]] = {
    "train": (),
    "score": (score,),
    "serve": (serve,),
    "stream": (stream,),
    "alerts": (take, deliver, ui),
    "report": (report,),
    "drift": (drift,),
    "retrain": (step,),
}
"""By role: the commands whose options it has."""


@click.group(
    epilog="""\b
    Examples:
      riskml config check score --bundle bundle --source 'log/**/*.parquet' --out scores
      riskml config check --offline --json alerts --channels channels.yaml
      riskml config check train data=csv path=access.csv
      riskml config variables
    """
)
def config() -> None:
    """Check settings before anything starts (docs/configuration.md)."""


@config.command()
def variables() -> None:
    """List every environment variable that is read, as Markdown."""
    from riskml.config_check.variables import as_table

    click.echo(as_table(), nl=False)


@config.group(
    epilog="""\b
    Exit codes: 0 it would start (there may be warnings), 1 it would not,
    2 the command line itself is wrong.
    """
)
@click.option("--offline", is_flag=True, help="Ask nothing over the network.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def check(ctx: click.Context, offline: bool, as_json: bool) -> None:
    """Say what is missing or wrong for a role: its options, variables, files and places.

    A role takes the options of its commands, and their variables; nothing is started or written.
    """
    from riskml.config_check.findings import Checks
    from riskml.config_check.surroundings import secret_files

    begun = Checks(offline=offline)
    # before the options are read, whose variables they may set
    ctx.with_resource(secrets_from_files(secret_files(begun)))
    ctx.obj = begun.found


def _role(name: str, commands: Sequence[click.Command]) -> click.Command:
    """A command that takes the options of others, and asks of them."""
    parameters: dict[str, click.Parameter] = {}
    for command in commands:
        for each in command.params:
            if each.name not in OWN:
                parameters.setdefault(str(each.name), _optional(each))

    @click.pass_context
    def run(ctx: click.Context, /, overrides: tuple[str, ...] = (), **values: Any) -> None:
        above = ctx.parent.params if ctx.parent is not None else {}
        names = {each.name: _told(each) for each in parameters.values()}
        found = _checked(name, values, {str(k): v for k, v in names.items()}, overrides, above)
        found.found[:0] = ctx.obj
        _say(name, found, bool(above.get("as_json")))
        if any(each.level == "error" for each in found.found):
            ctx.exit(WRONG)

    called = CALLED.get(name, f"riskml {name}")
    made = click.Command(
        name,
        callback=run,
        params=[*parameters.values()],
        short_help=f"For {called}.",
        help=f"Whether {called} would start with these options.",
        epilog=f"Example: riskml config check {name}",
    )
    if not commands:
        made.params.append(click.Argument(["overrides"], nargs=-1, type=click.UNPROCESSED))
        made.context_settings = {"ignore_unknown_options": True}
    return made


def _optional(parameter: click.Parameter) -> click.Parameter:
    """The same, which may be left out: that is for us to tell."""
    made = copy.copy(parameter)
    made.required = False
    return made


def _told(option: click.Parameter) -> str:
    """An option as people know it, with its variable; an argument by what stands in its place."""
    if isinstance(option, click.Argument):
        return option.make_metavar(click.get_current_context()).strip("[]")
    variable = option.envvar[0] if isinstance(option.envvar, list | tuple) else option.envvar
    return f"{option.opts[0]} ({variable})" if variable else option.opts[0]


def _checked(
    role: str,
    values: dict[str, Any],
    names: dict[str, str],
    overrides: tuple[str, ...],
    above: Mapping[str, Any],
) -> Checks:
    from riskml.config_check.findings import Checks
    from riskml.config_check.places import ASK_S
    from riskml.config_check.roles import ROLES
    from riskml.config_check.surroundings import packages, unknown_variables

    found = ROLES[role]
    checks = Checks(values, names, bool(above.get("offline")), overrides)
    if "table" in values:
        reading = Reading(**{each.name: values[each.name] for each in fields(Reading)})
        values["look_at_events"] = options_for_settings(SOURCE_OPTIONS)(_looking(reading))
    packages(checks, found.extras)
    unknown_variables(checks)
    with environment({"PGCONNECT_TIMEOUT": str(int(ASK_S))}, weak=True):
        found.check(checks)
    return checks


def _looking(reading: Reading) -> Callable[[str, bool], str]:
    def look(where: str, offline: bool) -> str:
        source = reading.source(where, ROWS)
        if offline and "://" in where:
            return "a database URL, not asked (--offline)"
        return f"{source.check()} has what is needed"

    return look


def _say(role: str, checks: Checks, as_json: bool) -> None:
    from riskml.config_check.findings import Level

    errors, warnings = checks.count(Level.ERROR), checks.count(Level.WARNING)
    if as_json:
        told = {
            "role": role,
            "errors": errors,
            "warnings": warnings,
            "findings": [each.plain() for each in checks.found],
        }
        click.echo(json.dumps(told, indent=1, ensure_ascii=False))
        return
    for each in checks.found:
        click.echo(each.line)
    counts = (
        f"{n} {what}{'s' * (n != 1)}" for n, what in ((errors, "error"), (warnings, "warning"))
    )
    click.echo(f"{role}: {', '.join(counts)}", err=True)


for _name, _commands in COMMANDS.items():
    check.add_command(_role(_name, _commands))
