"""The command `riskml`: what people run from a shell besides train.py and evaluate.py."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any, ClassVar

import click

from riskml import __version__
from riskml.cli_alerts import alerts
from riskml.cli_bundle import bundle
from riskml.cli_compare import compare
from riskml.cli_config import config
from riskml.cli_dashboards import dashboards
from riskml.cli_ddl import ddl
from riskml.cli_drift import drift
from riskml.cli_features import features
from riskml.cli_feedback import feedback, triage
from riskml.cli_graph import graph
from riskml.cli_load import load
from riskml.cli_map import MapGroup, hand_down_examples
from riskml.cli_quality import quality
from riskml.cli_registry import registry
from riskml.cli_report import report
from riskml.cli_retrain import retrain
from riskml.cli_score import score
from riskml.cli_serve import serve
from riskml.cli_simulate import simulate
from riskml.cli_stream import stream
from riskml.core import logs
from riskml.core.errors import RiskmlError
from riskml.core.interrupts import INTERRUPTED
from riskml.core.secret_files import secrets_from_files
from riskml.monitoring import tracing
from riskml.runs.pseudonym_commands import pseudonyms

WRONG_INPUT = 2


class _Group(MapGroup):
    """Shows what a user can put right as one line, with exit code 2."""

    headings: ClassVar = {
        "Logs and features": (
            "simulate",
            "load",
            "quality",
            "ddl",
            "features",
            "catalogue",
            "pseudonyms",
        ),
        "Models": ("bundle", "registry", "compare", "drift", "retrain", "schema"),
        "Scoring": ("score", "serve", "stream"),
        "Alerts": ("alerts", "feedback", "triage", "graph", "report"),
        "Watching": ("config", "dashboards"),
    }

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with tracing.recording():
                return super().invoke(ctx)
        except RiskmlError as error:
            if ctx.params.get("debug"):
                raise
            logs.tell(f"error: {error}", logging.ERROR)
            ctx.exit(WRONG_INPUT)
        except KeyboardInterrupt as error:
            logs.tell(str(error) or "interrupted", logging.WARNING)
            ctx.exit(INTERRUPTED)
        except ModuleNotFoundError as error:
            if ctx.params.get("debug") or (error.name or "riskml").startswith("riskml"):
                raise
            remedy = "pip install 'riskml[train]'"
            logs.tell(f"error: {error.name} is not installed: {remedy}", logging.ERROR)
            ctx.exit(WRONG_INPUT)
        except UnicodeEncodeError:
            if ctx.params.get("debug") or all(map(_is_utf8, sys.argv)):
                raise
            logs.tell("error: what was given on the command line is no UTF-8", logging.ERROR)
            ctx.exit(WRONG_INPUT)
        except BrokenPipeError:
            # the reader of a stream has gone: nothing more to do, and nothing to flush
            sys.stdout = open(Path("/dev/null"), "w")  # noqa: SIM115
            ctx.exit(0)
        except OSError as error:
            # no rights, no room, or a file in a folder's place: the machine's fault, not the code's
            if ctx.params.get("debug"):
                raise
            where = f"{error.filename}: " if error.filename is not None else ""
            logs.tell(f"error: {where}{error.strerror or error}", logging.ERROR)
            ctx.exit(WRONG_INPUT)


def _is_utf8(word: str) -> bool:
    """Whether an argument came as text; bytes that are none stand in it as surrogates."""
    return not any("\ud800" <= sign <= "\udfff" for sign in word)


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
    Completion of commands and options in the shell:
      eval "$(_RISKML_COMPLETE=bash_source riskml)"     # bash; also zsh_source, fish_source

    \b
    Exit codes: 0 done, 2 wrong input or setting, 130 interrupted, 1 unexpected; a command's own
    stand in its --help.
    """,
)
@click.version_option(__version__, prog_name="riskml")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.option(
    "--log-format",
    type=click.Choice(logs.FORMATS),
    envvar=logs.FORMAT_VARIABLE,
    show_envvar=True,
    help="Of what goes to standard error: for people, or a JSON object a line.",
)
@click.option(
    "--log-level",
    metavar="LEVELS",
    envvar=logs.LEVEL_VARIABLE,
    show_envvar=True,
    help="Such as info,riskml.streaming=debug (docs/monitoring.md).",
)
@click.pass_context
def main(ctx: click.Context, debug: bool, log_format: str | None, log_level: str | None) -> None:
    """Find risky user behaviour in audit and login logs.

    Train with `python train.py --help`, evaluate with `python evaluate.py --help`; every command
    below has examples in its own --help.
    """
    command = ctx.invoked_subcommand or ""
    if command != "config":  # which says itself what is wrong with them
        ctx.with_resource(secrets_from_files())
    logs.set_up(log_format, log_level, command, "info" if command == "serve" else "warning")


@main.command("catalogue", epilog="Example: riskml catalogue > docs/features.md")
def catalogue_command() -> None:
    """List all features as Markdown: name, kind, unit and meaning, by family."""
    from riskml.features.catalogue import catalogue

    click.echo(catalogue(), nl=False)


@main.command("schema", epilog="Example: riskml schema metrics > metrics.schema.json")
@click.argument("document", type=click.Choice(["metrics"]))
def schema_command(document: str) -> None:
    """Print the JSON schema of a file that runs write: metrics for metrics.json."""
    from riskml.evaluation.outputs import METRICS_SCHEMA

    click.echo(METRICS_SCHEMA.read_text(), nl=False)


for command in (
    alerts,
    bundle,
    compare,
    config,
    dashboards,
    ddl,
    drift,
    features,
    feedback,
    graph,
    load,
    pseudonyms,
    quality,
    registry,
    report,
    retrain,
    score,
    serve,
    simulate,
    stream,
    triage,
):
    main.add_command(command)
hand_down_examples("riskml", main)

if __name__ == "__main__":
    main()
