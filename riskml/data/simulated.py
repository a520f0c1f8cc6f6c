"""The simulated organisation as a source: made once for the same settings, then read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
from filelock import FileLock
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from riskml.core.schema import EVENT_SCHEMA
from riskml.data.quarantine import REJECTED_SCHEMA
from riskml.data.simulator import WORLD_FILE, SimulationSettings, settings_digest, simulate
from riskml.data.sources import EventLog


class SimulatedSource:
    """A world of `riskml.data.simulator`, cached by a hash of its settings and the code version.

    Args:
        users, days, tier, seed: see `SimulationSettings`.
        cache: folder that keeps worlds.
        settings: further fields of `SimulationSettings`.
    """

    def __init__(
        self, users: int, days: int, tier: str, seed: int, cache: str, **settings: Any
    ) -> None:
        self.settings = SimulationSettings(users=users, days=days, tier=tier, seed=seed, **settings)
        self.folder = Path(cache) / f"simulated-{settings_digest(self.settings)[:16]}"

    def load(self) -> EventLog:
        """Events with the user's role, and their truth."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self.folder}.lock"):  # whoever comes while it is being made waits
            if not (self.folder / WORLD_FILE).is_file():
                simulate_with_progress(self.settings, self.folder)
        events = (
            pl.scan_parquet(self.folder / "events", hive_partitioning=False)
            .sort("timestamp", "event_id")
            .collect()
        )
        people = pl.read_parquet(self.folder / "users.parquet").select("user_id", "role")
        events = events.join(people, on="user_id", how="left", maintain_order="left")
        truth = pl.read_parquet(self.folder / "event_labels.parquet").with_columns(
            pl.lit(1, pl.Int8).alias("label")
        )
        rejected = pl.DataFrame(schema=REJECTED_SCHEMA)
        return EventLog(events.select(*EVENT_SCHEMA, pl.exclude(*EVENT_SCHEMA)), truth, rejected)


def simulate_with_progress(
    settings: SimulationSettings,
    folder: Path,
    workers: int = 1,
    console: Console | None = None,
) -> None:
    """Make a world with a progress bar on the console, if it is one and not a file."""
    console = console or Console()
    columns = (
        TextColumn("simulating an organisation"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("days"),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, transient=True, console=console, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("", total=settings.days)

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        simulate(settings, folder, workers, show)
