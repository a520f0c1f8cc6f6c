"""`riskml simulate`: an organisation whose whole truth is known."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from riskml.core.errors import ConfigError

if TYPE_CHECKING:
    from riskml.data.simulator import SimulationSettings


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


@click.command(
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


def _world(settings: SimulationSettings, folder: Path, workers: int) -> Path:
    """Make the world with a progress bar on standard error, unless it is there already."""
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
