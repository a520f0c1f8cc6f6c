"""A log in memory: read from where it is kept, or simulated."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from riskml.core.arguments import check_arguments
from riskml.core.cards import card, table
from riskml.core.errors import ConfigError, DataError, require
from riskml.core.schema import time_span
from riskml.data.batch_checks import BatchChecks
from riskml.data.datasets import Dataset, load_dataset
from riskml.data.frames import NAME as FRAME
from riskml.data.sources import CsvSource, FrameSource, JsonLinesSource, LogSource, ParquetSource
from riskml.data.sources.json_lines import SUFFIXES as JSON
from riskml.data.sources.parquet import SUFFIXES as PARQUET
from riskml.data.splits import PERIOD, PERIODS, TimeSplit

if TYPE_CHECKING:
    from riskml.evaluation.reporting.plots import Drawing

CSV = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt")
SHOWN_EVENTS = 5


@dataclass(frozen=True, repr=False)
class Log:
    """Events cut into periods: train, then calibration, then test.

    Args:
        dataset: events with their `period`, rejected rows, and the truth apart.
        name: for people.
        suits: arguments of `riskml.extract` that suit this log, where none are given.
    """

    dataset: Dataset
    name: str
    suits: Mapping[str, Any] = field(default_factory=dict)

    @property
    def events(self) -> pl.DataFrame:
        """Who did what, to which resource, from where, when, with what outcome; and `period`."""
        return self.dataset.events

    @property
    def truth(self) -> pl.DataFrame | None:
        """What is known to be risky; never an input."""
        return self.dataset.truth

    @property
    def rejected(self) -> pl.DataFrame:
        """Rows that could not be read, with the reason."""
        return self.dataset.rejected

    @property
    def time_zone(self) -> str:
        """The clock of users whose own zone is not in the log."""
        return str(self.suits.get("time_zone", "UTC"))

    @property
    def users(self) -> list[str]:
        """Ids, in order."""
        return sorted(self.events["user_id"].unique().to_list())

    def __len__(self) -> int:
        return len(self.events)

    def __repr__(self) -> str:
        return f"Log({'; '.join(f'{name} {value}' for name, value in self._facts().items())})"

    def _repr_html_(self) -> str:
        columns = ["user_id", "timestamp", "action", "resource", "source"]
        rows = self.events.head(SHOWN_EVENTS).select(columns).rows()
        return card(f"Log: {self.name}", self._facts(), table(columns, rows, "the first events:"))

    def _facts(self) -> dict[str, str]:
        first, last = time_span(self.events["timestamp"], self.events["timestamp"])
        counts = dict(self.events.group_by(PERIOD).len().iter_rows())
        facts = {
            "events": f"{len(self):,}",
            "users": f"{self.events['user_id'].n_unique():,}",
            "from": f"{first:%Y-%m-%d} to {last:%Y-%m-%d}",
            "periods": ", ".join(
                f"{name} {counts[name]:,}" for name in PERIODS.categories if name in counts
            ),
        }
        if len(self.rejected):
            rows = "row" if len(self.rejected) == 1 else "rows"
            facts["rejected"] = f"{len(self.rejected):,} {rows}, see .rejected"
        return facts

    def plot_hours(self, by: str = "weekday", rows: int = 12) -> Drawing:
        """Heat map of the hours of the day, by the users' own clocks.

        Args:
            by: `weekday`, or a column of the log such as `action`.
            rows: how many values of the column, the commonest.

        Raises:
            DataError: there is no such column.
        """
        from riskml.interactive.pictures import hours

        return hours(self.events, self.time_zone, by, rows)


def read_log(
    source: Any,
    columns: Mapping[str, str | None] | None = None,
    time_zone: str | None = None,
    test: float = 0.3,
    calibration: float = 0.15,
    **settings: Any,
) -> Log:
    """Read a log: a file, a frame, or any source of `riskml.data.sources`.

    Args:
        source: path of a CSV, Parquet or JSON file (or folder), a Polars or pandas frame, or a
            `LogSource` such as `DatabaseSource`.
        columns: event column -> column of the log, where the names differ:
            `{"user_id": "employee"}`.
        time_zone: IANA name, for timestamps without a zone and for the clock of users.
        test: the end of the log that is judged; below 1 a share of its time span, else days.
        calibration: what lies before it, likewise; it sets risk scale and threshold.
        settings: further ones of the source, such as `default_action="login"`.

    Raises:
        DataError: no such log, or one that cannot be used; the message says why.
        ConfigError: a setting is wrong.
    """
    check_arguments(TimeSplit, {"test": test, "calibration": calibration})
    example = 'must be names by event column, such as {"user_id": "who"}'
    require("columns", columns, columns is None or isinstance(columns, Mapping), example)
    if hasattr(source, "load"):
        name = type(source).__name__
        if columns or settings:
            given = ", ".join([*(["columns"] if columns else []), *settings])
            raise ConfigError(f"{given}: give what a source needs to {name} itself")
    else:
        kind: type[LogSource] = FrameSource
        name = FRAME
        if isinstance(source, str) and "://" in source:
            raise DataError(
                "a log is a path or a frame, not a URL: a database is read by "
                "riskml.data.sources.DatabaseSource, anything else has to be downloaded first"
            )
        if isinstance(source, str | Path):
            kind, name = _kind(Path(source)), Path(source).name
        settings = {"columns": columns or {}, "time_zone": time_zone, **settings}
        check_arguments(kind, settings, also=("test", "calibration"))
        source = kind(source, **settings)  # type: ignore[call-arg]
    dataset = load_dataset(source, TimeSplit(test, calibration), checks=BatchChecks())
    return Log(dataset, name, {} if time_zone is None else {"time_zone": time_zone})


def _kind(path: Path) -> type[LogSource]:
    name = path.name.lower()
    if name.endswith(CSV):
        return CsvSource
    if path.is_dir():
        inside = [file.name.lower() for file in path.rglob("*")]
        is_json = any(each.endswith(JSON) for each in inside)
        return JsonLinesSource if is_json and not any(map(_is_parquet, inside)) else ParquetSource
    if name.endswith(JSON):
        return JsonLinesSource
    if path.is_file() and not _is_parquet(name) and path.open("rb").read(4) != b"PAR1":
        raise DataError(
            f"{path}: its name does not tell what it is; let it end in .csv, .jsonl or .parquet, "
            f"or give a source, such as riskml.data.sources.CsvSource({path.name!r})"
        )
    return ParquetSource


def _is_parquet(name: str) -> bool:
    return name.endswith(PARQUET)


def simulate(
    users: int = 60,
    days: int = 60,
    tier: str = "medium",
    seed: int = 0,
    test: int | None = None,
    calibration: int | None = None,
    **settings: Any,
) -> Log:
    """An organisation whose whole truth is known; the same arguments give the same log.

    Args:
        users: accounts, service accounts included; at least 20.
        days: of the log.
        tier: how strong the attacks are: `easy`, `medium` or `hard`.
        seed: another seed, another organisation.
        test: the last days, in which attacks are measured; a third unless given.
        calibration: days before those; a sixth unless given.
        settings: further ones of `riskml.data.simulator.SimulationSettings`.

    Raises:
        ConfigError: a setting is out of range.
    """
    from riskml.data.simulated import SimulatedSource
    from riskml.data.simulator import SimulationSettings

    given = {"users": users, "days": days, "tier": tier, "seed": seed, **settings}
    check_arguments(SimulationSettings, given, also=("test", "calibration"))
    test = days // 3 if test is None else test
    calibration = days // 6 if calibration is None else calibration
    check_arguments(TimeSplit, {"test": test, "calibration": calibration})
    with tempfile.TemporaryDirectory() as cache:
        source = SimulatedSource(users, days, tier, seed, cache, test_days=test, **settings)
        dataset = load_dataset(source, TimeSplit(test, calibration), checks=BatchChecks())
    suits = {
        "peers": "role",
        "novelty": ("action", "resource", "source", "place", "host"),
        "event_times": True,
    }
    return Log(dataset, f"simulated organisation, seed {seed}", suits)
