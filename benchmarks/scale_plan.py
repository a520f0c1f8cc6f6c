"""How large riskml becomes with the number of users, and what that costs, from measured figures.

    python -m benchmarks.scale_plan            # writes benchmarks/results/scale_plan.md
    python -m benchmarks.scale_plan --events 200 --core-hour 0.06 --print

Speeds and sizes are read out of the tables in benchmarks/results; all else is an assumption, and an
argument. Nothing is measured here.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
TABLE = RESULTS / "scale_plan.md"
DAY_S, MONTH_H, GIB, MIB = 86_400, 730, 1 << 30, 1 << 20
USERS = (10_000, 1_000_000, 100_000_000)


@dataclass(frozen=True)
class Measured:
    """Figures of a core, or of a row.

    Args:
        job: events a second of CPU of the scoring job.
        features: events a second of a core, feature windows out of core.
        stream: events a second of CPU of a stream that knows a million users.
        stream_disk: bytes of state for each user.
        stream_memory: MiB that such a process has at most, mapped files included.
        event, identity, score: bytes of a row in PostgreSQL with its indexes.
    """

    job: float
    features: float
    stream: float
    stream_disk: float
    stream_memory: float
    event: float
    identity: float
    score: float

    @classmethod
    def read(cls) -> Measured:
        """Out of the committed tables."""
        million = row("streaming.md", "events/s of CPU", below=2)
        return cls(
            job=row("score_job.md", "the job, into a folder")[4],
            features=row("features.md", "100,000,000")[5] / 2,  # two workers of one thread
            stream=million[0],
            stream_disk=million[1] * MIB / 1e6,
            stream_memory=million[3],
            event=row("storage.md", "an event")[2],
            identity=row("storage.md", "its id, kept for ever")[2],
            score=row("storage.md", "a window's score")[2],
        )


@dataclass(frozen=True)
class Assumed:
    """What is not measured; each is an argument.

    Args:
        events: of a user on a day.
        windows: of a user on a day that get a score.
        peak: events of the busiest hour over those of a mean hour.
        use: share of a core that work may take at the peak.
        night: hours for the nightly job.
        keep_events, keep_scores: days.
        core_hour, gib_month, memory_hour: prices of a core for an hour, of a GiB of disk for a
            month, of a GiB of memory for an hour.
        users_a_process: of a stream at most; a million is what was run.
        node_cores, node_memory: of a machine; GiB.
    """

    events: float = 50
    windows: float = 0.7
    peak: float = 3
    use: float = 0.5
    night: float = 4
    keep_events: float = 90
    keep_scores: float = 365
    core_hour: float = 0.04
    gib_month: float = 0.1
    memory_hour: float = 0.005
    users_a_process: float = 1_000_000
    node_cores: float = 16
    node_memory: float = 64


@dataclass(frozen=True)
class Plan:
    """What one number of users needs."""

    users: int
    measured: Measured
    assumed: Assumed

    @property
    def events_a_day(self) -> float:
        return self.users * self.assumed.events

    @property
    def mean_rate(self) -> float:
        return self.events_a_day / DAY_S

    @property
    def peak_rate(self) -> float:
        return self.mean_rate * self.assumed.peak

    @property
    def streams(self) -> int:
        """Processes of one core, and partitions at least: for the rate, and for the users."""
        by_rate = self.peak_rate / (self.measured.stream * self.assumed.use)
        return math.ceil(max(by_rate, self.users / self.assumed.users_a_process))

    @property
    def stream_memory(self) -> float:
        """GiB, in proportion to the users of a process, but 0.5 for each at least."""
        each = self.users / self.streams / 1e6 * self.measured.stream_memory / 1024
        return self.streams * max(0.5, each)

    @property
    def job_minutes(self) -> float:
        """Of a core, for a day's events."""
        return self.events_a_day / self.measured.job / 60

    @property
    def jobs(self) -> int:
        """At once, each for a part of the users, so that the night is enough."""
        return math.ceil(self.job_minutes / (self.assumed.night * 60 * self.assumed.use))

    @property
    def nodes(self) -> int:
        """Of the stream: by cores, of which two are the system's, or by memory, used to 80 %."""
        by_cores = self.streams / (self.assumed.node_cores - 2)
        return math.ceil(max(by_cores, self.stream_memory / (0.8 * self.assumed.node_memory)))

    @property
    def feature_core_hours(self) -> float:
        """To make the windows of all kept events anew, as before a training."""
        return self.events_a_day * self.assumed.keep_events / self.measured.features / 3600

    @property
    def event_gib(self) -> float:
        """Events for as long as they are kept; ids for a year."""
        days = self.assumed.keep_events
        bytes_ = self.events_a_day * (days * self.measured.event + 365 * self.measured.identity)
        return bytes_ / GIB

    @property
    def score_gib(self) -> float:
        rows = self.users * self.assumed.windows * self.assumed.keep_scores
        return rows * self.measured.score / GIB

    @property
    def state_gib(self) -> float:
        return self.users * self.measured.stream_disk / GIB

    def month(self, batch: bool) -> float:
        """Price of a month of the nightly job alone, or of the stream alone."""
        disk = (self.event_gib + self.score_gib) * self.assumed.gib_month
        if batch:
            hours = self.job_minutes / 60 * MONTH_H / 24
            return disk + hours * self.assumed.core_hour
        cores = self.streams * MONTH_H * self.assumed.core_hour
        memory = (self.stream_memory + self.state_gib) * MONTH_H * self.assumed.memory_hour
        return disk + cores + memory


def row(file: str, name: str, below: int = 0) -> list[float]:
    """Numbers of the row that begins with a name, or of one below it; what is none is nan."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (RESULTS / file).read_text().splitlines()
        if line.startswith("|")
    ]
    for number, found in enumerate(rows):
        if found[0] == name:
            return [_number(cell) for cell in rows[number + below]]
    raise SystemExit(f"benchmarks/results/{file} has no row '{name}'")


def _number(cell: str) -> float:
    plain = cell.replace(",", "")
    return float(plain) if re.fullmatch(r"\d+(\.\d+)?", plain) else math.nan


def lines(plans: list[Plan]) -> Iterator[str]:
    """The table: a row a quantity, a column a number of users."""
    rows = {
        "events a day": lambda p: f"{p.events_a_day:,.0f}",
        "events a second, mean": lambda p: f"{p.mean_rate:,.0f}",
        "events a second, busiest hour": lambda p: f"{p.peak_rate:,.0f}",
        "stream: processes, and partitions at least": lambda p: f"{p.streams:,}",
        "stream: memory of all, GiB": lambda p: f"{p.stream_memory:,.1f}",
        "stream: nodes": lambda p: f"{p.nodes:,}",
        "stream: state in Redis, GiB": lambda p: f"{p.state_gib:,.2f}",
        "nightly job: minutes of a core": lambda p: f"{p.job_minutes:,.2f}",
        "nightly job: jobs at once": lambda p: f"{p.jobs:,}",
        "windows of all kept events anew: core-hours": lambda p: f"{p.feature_core_hours:,.1f}",
        "PostgreSQL: events and ids, GiB": lambda p: f"{p.event_gib:,.0f}",
        "PostgreSQL: scores, GiB": lambda p: f"{p.score_gib:,.1f}",
        "price of a month, nightly job": lambda p: f"{p.month(batch=True):,.0f}",
        "price of a month, stream": lambda p: f"{p.month(batch=False):,.0f}",
    }
    yield "| users | " + " | ".join(f"{plan.users:,}" for plan in plans) + " |"
    yield "|---|" + "---:|" * len(plans)
    for name, value in rows.items():
        yield f"| {name} | " + " | ".join(value(plan) for plan in plans) + " |"


def page(measured: Measured, assumed: Assumed) -> str:
    """The whole file."""
    told = ", ".join(
        f"`--{f.name.replace('_', '-')} {getattr(assumed, f.name):.10g}`" for f in fields(assumed)
    )
    plans = [Plan(users, measured, assumed) for users in USERS]
    return (
        "# Scale plan\n\n"
        "    python -m benchmarks.scale_plan\n\n"
        "Computed, not measured, from figures of one core in [score_job.md](score_job.md),\n"
        "[features.md](features.md) and [streaming.md](streaming.md), and sizes in\n"
        "[storage.md](storage.md).\n"
        f"Assumed: {told}.\n\n" + "\n".join(lines(plans)) + "\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for each in fields(Assumed):
        name = f"--{each.name.replace('_', '-')}"
        parser.add_argument(name, type=float, default=each.default, dest=each.name)
    parser.add_argument("--print", action="store_true", help="write no file")
    told = vars(parser.parse_args())
    only_printed = told.pop("print")
    text = page(Measured.read(), Assumed(**told))
    if only_printed:
        print(text)
    else:
        TABLE.write_text(text)


if __name__ == "__main__":
    main()
