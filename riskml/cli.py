"""The command `riskml`: what people run from a shell besides train.py and evaluate.py."""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from riskml import __version__
from riskml.cli_alerts import alerts
from riskml.cli_bundle import bundle
from riskml.cli_compare import compare
from riskml.cli_config import config
from riskml.cli_dashboards import dashboards
from riskml.cli_drift import drift
from riskml.cli_features import features
from riskml.cli_feedback import feedback, triage
from riskml.cli_graph import graph
from riskml.cli_load import ddl, load
from riskml.cli_map import MapGroup, hand_down_examples
from riskml.cli_quality import quality
from riskml.cli_registry import registry
from riskml.cli_report import report
from riskml.cli_retrain import retrain
from riskml.cli_score import score
from riskml.cli_serve import serve
from riskml.cli_stream import stream
from riskml.core import logs
from riskml.core.errors import ConfigError, RiskmlError
from riskml.core.secret_files import secrets_from_files
from riskml.monitoring import tracing
from riskml.runs.pseudonym_commands import pseudonyms

if TYPE_CHECKING:
    from riskml.data.simulator import SimulationSettings

WRONG_INPUT, INTERRUPTED = 2, 130


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
        except KeyboardInterrupt:
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


class Speed(click.ParamType[float]):
    """A factor such as 100x."""

    name = "FACTORx"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """`100x` → 100.0."""
        try:
            return float(str(value).removesuffix("x"))
        except ValueError:
            self.fail(f"{value!r} is no factor; write for example 100x", param, ctx)


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


main.add_command(pseudonyms)
main.add_command(alerts)
main.add_command(config)
main.add_command(bundle)
main.add_command(registry)
main.add_command(report)
main.add_command(retrain)
main.add_command(compare)
main.add_command(dashboards)
main.add_command(drift)
main.add_command(serve)
main.add_command(stream)
main.add_command(score)
main.add_command(graph)


@main.command(
    epilog="""\b
    Examples:
      riskml simulate --out world --plots
      riskml simulate --users 50 --days 20 --speed 1000x --late 0.05 | head
    """
)
@click.option("--users", default=300, show_default=True, help="Accounts, machines included.")
@click.option("--days", default=120, show_default=True, help="Length; the last third is the test.")
@click.option("--tier", default="medium", show_default=True, help="easy, medium or hard attacks.")
@click.option("--seed", default=0, show_default=True, help="Another seed, another organisation.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write the world to.")
@click.option("--workers", default=1, show_default=True, help="Processes; changes no byte.")
@click.option("--plots", is_flag=True, help="Draw pictures of the world into OUT/plots.")
@click.option("--database", metavar="URL", help="Also store the events in this database.")
@click.option("--speed", type=Speed(), help="Replay as JSON lines on standard output.")
@click.option("--test-period", is_flag=True, help="Replay the last third only: after training.")
@click.option("--late", default=0.0, help="Share of records that arrive late in the replay.")
@click.option("--duplicates", default=0.0, help="Share of records sent twice in the replay.")
@click.option("--malformed", default=0.0, help="Share of broken lines in the replay.")
@click.option(
    "--truth",
    type=click.Path(path_type=Path),
    help="Parquet file that is told which lines of the replay were spoilt, and how.",
)
def simulate(
    users: int,
    days: int,
    tier: str,
    seed: int,
    out: Path | None,
    workers: int,
    plots: bool,
    database: str | None,
    speed: float | None,
    test_period: bool,
    late: float,
    duplicates: float,
    malformed: float,
    truth: Path | None,
) -> None:
    """Make a simulated organisation whose whole truth is known.

    Writes events by day, incidents, event labels, users and world.json to --out; with --speed it
    replays the events as a stream, with --database it stores them in a table. A world that is
    already there with the same settings is used again.
    """
    from riskml.data.simulator import SimulationSettings
    from riskml.data.simulator.replay import StreamFaults, replay

    test_days = max(1, days // 3)
    settings = SimulationSettings(users=users, days=days, tier=tier, seed=seed, test_days=test_days)
    faults = StreamFaults(late, duplicates, malformed, seed)
    if out is None and speed is None and database is None:
        raise ConfigError(
            "say where to: --out FOLDER, --database URL, or --speed 100x for a stream"
        )
    with tempfile.TemporaryDirectory() as scratch:
        folder = _world(settings, Path(scratch) / "world" if out is None else out, workers)
        if plots:
            _draw(folder, out)
        if database is not None:
            _store(folder, database)
        if speed is not None:
            lines = replay(
                folder, sys.stdout, speed, faults, truth, test_days if test_period else None
            )
            click.echo(f"{lines:,} lines replayed", err=True)


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


def _world(settings: SimulationSettings, folder: Path, workers: int) -> Path:
    """Make the world with a progress bar on standard error, unless it is there already."""
    import json

    from rich.console import Console

    from riskml.data.simulated import simulate_with_progress
    from riskml.data.simulator import WORLD_FILE, settings_digest

    record = folder / WORLD_FILE
    if record.is_file() and json.loads(record.read_text())["digest"] == settings_digest(settings):
        click.echo(f"{folder} holds this world already", err=True)
        return folder
    simulate_with_progress(settings, folder, workers, Console(stderr=True))
    counts = json.loads(record.read_text())["counts"]
    incidents, attacked = counts["incidents"], counts["positive_test_user_days"]
    click.echo(
        f"{counts['events']:,} events, {incidents} incident{'' if incidents == 1 else 's'}, "
        f"{attacked} attacked user-days in the {settings.test_days} test days from "
        f"{settings.test_begins}",
        err=True,
    )
    if not attacked:
        click.echo("no attack left an event in the test days: give more users or days", err=True)
    return folder


def _draw(folder: Path, out: Path | None) -> None:
    from riskml.data.simulator.plots import save_plots

    if out is None:
        raise ConfigError("--plots needs --out FOLDER to put them in")
    for path in save_plots(folder, folder / "plots"):
        click.echo(f"plot {path}", err=True)


def _store(folder: Path, url: str) -> None:
    import polars as pl
    from rich.console import Console
    from rich.progress import track

    from riskml.data.event_store import EventStore

    store = EventStore(url)
    people = pl.read_parquet(folder / "users.parquet").select("user_id", "role")
    files = sorted((folder / "events").glob("day=*/events.parquet"))
    new = 0
    console = Console(stderr=True)
    quiet = not console.is_terminal
    for file in track(files, "storing events", console=console, transient=True, disable=quiet):
        events = pl.read_parquet(file, hive_partitioning=False)
        new += store.append(events.join(people, on="user_id", how="left", maintain_order="left"))
    click.echo(f"{new:,} new events in table '{store.name}'", err=True)


main.add_command(load)
main.add_command(quality)
main.add_command(ddl)
main.add_command(features)
main.add_command(feedback)
main.add_command(triage)
hand_down_examples("riskml", main)

if __name__ == "__main__":
    main()
