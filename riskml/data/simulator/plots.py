"""Pictures of a world for people: a role's week, its hours, a user's life, popularity."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from riskml.core.errors import DataError
from riskml.data.simulator.world import WORLD_FILE

_BLUE, _RED, _GREY = "#2f6690", "#c1292e", "#8d99ae"
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_LONGEST_LIFE_DAYS = 60


def save_plots(folder: Path | str, out: Path | str) -> list[Path]:
    """Draw the four pictures of a world.

    Args:
        folder: a world written by ``simulate``.
        out: where the PNG files go; made if missing.

    Returns:
        The files: role_week.png, hours_by_weekday.png, user_life.png, resource_popularity.png;
        the third only if the world has an incident.

    Raises:
        DataError: if the folder holds no complete world.
    """
    root, target = Path(folder), Path(out)
    if not (root / WORLD_FILE).is_file():
        raise DataError(f"{root} holds no {WORLD_FILE}; make the world with riskml simulate")
    target.mkdir(parents=True, exist_ok=True)
    figures = {
        "role_week.png": role_week(root),
        "hours_by_weekday.png": hours_by_weekday(root),
        "user_life.png": user_life(root),
        "resource_popularity.png": resource_popularity(root),
    }
    paths = []
    for name, figure in figures.items():
        if figure is not None:
            figure.savefig(target / name, dpi=120)
            paths.append(target / name)
    return paths


def role_week(folder: Path, role: str = "engineer") -> Figure:
    """Draw every event of up to 25 people of a role over one week, one row per person."""
    users = pl.read_parquet(folder / "users.parquet").filter(pl.col("role") == role)
    monday = _second_monday(folder)
    events = (
        _events(folder)
        .filter(
            pl.col("user_id").is_in(users["user_id"].to_list())
            & pl.col("timestamp").dt.date().is_between(monday, monday + timedelta(days=6))
        )
        .select("user_id", "timestamp", "success")
        .collect()
    )
    # Those on leave all week would be empty rows.
    there = users.filter(pl.col("user_id").is_in(events["user_id"].to_list()))
    chosen = there.sort("time_zone", "user_id").head(25)
    names = [f"{user}  {zone}" for user, zone in chosen.select("user_id", "time_zone").iter_rows()]
    rows = chosen.select("user_id").with_row_index("row")
    events = events.join(rows, on="user_id")
    figure = Figure(figsize=(12, 6), layout="constrained")
    axes = figure.add_subplot()
    failed = events["success"].eq(False).fill_null(False)
    for part, colour, size, label in (
        (events.filter(~failed), _BLUE, 20, "event"),
        (events.filter(failed), _RED, 45, "failed event"),
    ):
        axes.scatter(
            part["timestamp"].to_numpy(),
            part["row"].to_numpy(),
            s=size,
            marker="|",
            linewidths=0.8,
            color=colour,
            label=label,
        )
    axes.set_yticks(range(len(names)), names, fontsize=7)
    midnights = np.arange(8) * np.timedelta64(1, "D") + np.datetime64(monday, "us")
    labels = [f"{monday + timedelta(days=day):%a %d %b}" for day in range(7)]
    axes.set_xticks(midnights, [*labels, ""], ha="left")
    axes.axvspan(midnights[5], midnights[7], color=_GREY, alpha=0.15, linewidth=0)
    axes.grid(axis="x", color=_GREY, alpha=0.4)
    axes.set(
        title=f"A week of the role {_words(role)}: each mark is an event, the weekend is shaded",
        xlabel="UTC, each date at its midnight",
        ylabel="user, by time zone",
        xlim=(midnights[0], midnights[7]),
        ylim=(max(len(names), 1) - 0.5, -0.5),
    )
    figure.legend(loc="outside lower right", ncols=2)
    return figure


def hours_by_weekday(folder: Path) -> Figure:
    """Draw, for every role, the events of each local hour and weekday."""
    users = pl.scan_parquet(folder / "users.parquet").select("user_id", "role")
    zones = pl.read_parquet(folder / "users.parquet")["time_zone"].unique().sort()
    counts = pl.concat(
        [
            _events(folder)
            .filter(pl.col("time_zone") == zone)
            .select("user_id", clock=pl.col("timestamp").dt.convert_time_zone(zone))
            .group_by(
                "user_id",
                weekday=pl.col("clock").dt.weekday(),
                hour=pl.col("clock").dt.hour(),
            )
            .len()
            for zone in zones
        ]
    )
    keys = ("role", "weekday", "hour")
    table = counts.join(users, on="user_id").group_by(*keys).agg(pl.col("len").sum()).collect()
    roles = sorted(table["role"].unique())
    columns = 4
    lines = -(-len(roles) // columns)
    figure = Figure(figsize=(13, 2.2 * lines + 0.8), layout="constrained")
    figure.suptitle("Events by local hour and weekday")
    panels = []
    for place, role in enumerate(roles, 1):
        grid = np.zeros((7, 24))
        part = table.filter(pl.col("role") == role)
        grid[part["weekday"].to_numpy() - 1, part["hour"].to_numpy()] = part["len"].to_numpy()
        axes = figure.add_subplot(lines, columns, place)
        # An hour's cell reaches from the hour to the next one.
        image = axes.imshow(
            grid / grid.max(), aspect="auto", cmap="viridis", vmin=0, vmax=1, extent=(0, 24, 7, 0)
        )
        axes.set_title(f"{_words(role)} (busiest hour: {grid.max():,.0f} events)", fontsize=9)
        axes.set_xticks(range(0, 25, 6))
        axes.set_yticks(np.arange(7) + 0.5, _WEEKDAYS, fontsize=7)
        if place + columns > len(roles):
            axes.set_xlabel("local hour")
        panels.append(axes)
    figure.colorbar(image, ax=panels, label="events, share of the role's busiest hour", shrink=0.8)
    return figure


def user_life(folder: Path) -> Figure | None:
    """Draw the user with the largest incident: each event by day and hour, the attack in red."""
    incidents = pl.read_parquet(folder / "incidents.parquet").sort("events", "incident_id")
    if not len(incidents):
        return None
    incident = incidents.row(-1, named=True)
    zone = (
        pl.read_parquet(folder / "users.parquet")
        .filter(pl.col("user_id") == incident["user_id"])["time_zone"]
        .item()
    )
    labels = pl.scan_parquet(folder / "event_labels.parquet").select("event_id", "incident_id")
    first = incident["start"] - timedelta(days=_LONGEST_LIFE_DAYS)
    last = incident["end"] + timedelta(days=7)
    events = (
        _events(folder)
        .filter(
            (pl.col("user_id") == incident["user_id"]) & pl.col("timestamp").is_between(first, last)
        )
        .select(
            "event_id",
            clock=pl.col("timestamp").dt.convert_time_zone(zone).dt.replace_time_zone(None),
        )
        .join(labels, on="event_id", how="left")
        .with_columns(
            day=pl.col("clock").dt.truncate("1d"),
            hour=(pl.col("clock") - pl.col("clock").dt.truncate("1d")).dt.total_seconds() / 3600,
        )
        .collect()
    )
    attack = pl.col("incident_id").is_not_null()
    figure = Figure(figsize=(12, 5), layout="constrained")
    axes = figure.add_subplot()
    for part, colour, size, label in (
        (events.filter(~attack), _GREY, 4, "ordinary event"),
        (events.filter(attack), _RED, 12, f"event of the attack ({len(events.filter(attack))})"),
    ):
        axes.scatter(
            part["day"].to_numpy(), part["hour"].to_numpy(), s=size, color=colour, label=label
        )
    attacked = events.filter(attack)["day"].to_numpy()
    half = np.timedelta64(12, "h")
    axes.axvspan(
        attacked.min() - half,
        attacked.max() + half,
        color=_RED,
        alpha=0.08,
        linewidth=0,
        label="from its first to its last day",
    )
    axes.set(
        title=f"{_words(incident['scenario'])}: user {incident['user_id']} before and during "
        f"{incident['incident_id']}, one column per day",
        xlabel="local day",
        ylabel=f"local hour ({zone})",
        ylim=(24, 0),
        yticks=range(0, 25, 3),
    )
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def resource_popularity(folder: Path) -> Figure:
    """Draw how often each resource is touched against its rank, both axes logarithmic."""
    counts = (
        _events(folder)
        .filter(pl.col("resource").is_not_null())
        .group_by("resource")
        .len()
        .with_columns(kind=pl.col("resource").str.split("/").list.first())
        .collect()
    )
    figure = Figure(figsize=(7.5, 5.5), layout="constrained")
    axes = figure.add_subplot()
    every = np.sort(counts["len"].to_numpy())[::-1]
    rank = np.arange(1, len(every) + 1)
    axes.loglog(rank, every, color="black", linewidth=2, label="all")
    for kind in sorted(counts["kind"].unique()):
        ordered = np.sort(counts.filter(pl.col("kind") == kind)["len"].to_numpy())[::-1]
        axes.loglog(np.arange(1, len(ordered) + 1), ordered, linewidth=1, label=kind)
    axes.loglog(rank, every[0] / rank, color=_GREY, linestyle="--", label="Zipf's law, exponent 1")
    axes.set(
        title=f"Popularity of resources ({len(every):,} names, a renamed one counts anew)",
        xlabel="rank of the name, 1 is the most used",
        ylabel="events that touch it in the whole world",
        ylim=(0.8, None),
    )
    axes.legend(loc="lower left", fontsize=9)
    return figure


def _events(folder: Path) -> pl.LazyFrame:
    return pl.scan_parquet(folder / "events" / "*" / "events.parquet", hive_partitioning=False)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _second_monday(folder: Path) -> date:
    """Return the second Monday of a world: the first week may be a holiday."""
    start = date.fromisoformat(json.loads((folder / WORLD_FILE).read_text())["settings"]["start"])
    return start + timedelta(days=7 + (7 - start.weekday()) % 7)
