"""How often `riskml drift` wakes somebody for nothing, and how soon it finds a shift.

    OMP_NUM_THREADS=1 python -m experiments.drift.measure [--seeds 0,1] [--users 700]

Simulated organisations of a year (medium tier), of which the first 120 days are trained on. The
other 245 days are as the simulator makes them: tastes and volumes wander, the score of a model that
is not trained again ages, and there are holidays, attacks and outages. Then shifts are planted into
copies of the log, and the days are counted until somebody is woken. Prints
Markdown, and writes it to `--out` beside this file.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from experiments.study import Cell
from riskml.core.types import FloatArray, Windows
from riskml.features.extractor import FeatureExtractor
from riskml.features.preparation import prepare
from riskml.features.profile import Profile
from riskml.models.base import Detector
from riskml.monitoring.drift import Drift, find_drift
from riskml.monitoring.drift_reference import DriftReference
from riskml.monitoring.score_drift import believed, changes
from riskml.runs.assembly import build_dataset, build_detector, build_extractor
from riskml.scoring.calibration import Calibration

HERE = Path(__file__).parent
DAYS, TRAINED = 365, 120
DETECTOR = "counts"
AFTER = (51, 124, 176)
"""Days of the live period on which a shift begins: a Thursday, a Sunday and a Wednesday in 2024."""
BEFORE, LOOKED_AT = 40, 30
"""Days around the shift that are judged."""

Shift = Callable[[pl.DataFrame, pl.Expr], pl.DataFrame]


def later(events: pl.DataFrame, shifted: pl.Expr) -> pl.DataFrame:
    """A clock that is three hours ahead, such as of a system in another zone."""
    moved = pl.when(shifted).then(pl.col("timestamp") + timedelta(hours=3))
    return events.with_columns(moved.otherwise("timestamp").alias("timestamp"))


def renamed(events: pl.DataFrame, shifted: pl.Expr) -> pl.DataFrame:
    """An action that is called something else after an upgrade."""
    other = pl.when(shifted & (pl.col("action") == "file_open")).then(pl.lit("open"))
    return events.with_columns(other.otherwise("action").alias("action"))


def lost(events: pl.DataFrame, shifted: pl.Expr) -> pl.DataFrame:
    """Half of the events of the commonest action are lost on their way."""
    half = pl.col("event_id").hash(1) % 2 == 0
    return events.filter(~(shifted & (pl.col("action") == "web_visit") & half))


def doubled(events: pl.DataFrame, shifted: pl.Expr) -> pl.DataFrame:
    """An action that is written down twice."""
    return twice(events, shifted & (pl.col("action") == "email_read"))


def busier(events: pl.DataFrame, shifted: pl.Expr) -> pl.DataFrame:
    """Everybody does 30 % more of everything."""
    return twice(events, shifted & (pl.col("event_id").hash(2) % 10 < 3))


def new_hosts(events: pl.DataFrame, shifted: pl.Expr) -> pl.DataFrame:
    """All hosts get other names."""
    other = pl.when(shifted).then(pl.concat_str(pl.lit("n-"), "host"))
    return events.with_columns(other.otherwise("host").alias("host"))


def twice(events: pl.DataFrame, chosen: pl.Expr) -> pl.DataFrame:
    """With copies of some."""
    copies = events.filter(chosen).with_columns(pl.col("event_id") + "-again")
    return pl.concat([events, copies])


SHIFTS: dict[str, Shift] = {
    "clock three hours ahead": later,
    "an action renamed": renamed,
    "half of an action lost": lost,
    "an action written twice": doubled,
    "30 % more of everything": busier,
    "hosts renamed": new_hosts,
}


class World:
    """A year of an organisation, a detector that has learnt its beginning, and the reference."""

    def __init__(self, seed: int, users: int) -> None:
        words = (
            "experiment=simulated_medium",
            f"data.source.users={users}",
            f"data.source.days={DAYS}",
            f"data.split.test={DAYS - TRAINED}",
        )
        cfg = Cell(DETECTOR, "", "", seed, words).config()
        dataset = build_dataset(cfg.data, cfg.features)
        self.events = dataset.events.drop("period")
        self.extractor: FeatureExtractor = build_extractor(cfg.features).fit(dataset.train_events)
        parts = prepare(dataset, self.extractor)
        self.detector: Detector = build_detector(cfg.model, cfg)
        self.detector.fit(parts.train, parts.calibration)
        scores = self.detector.score(parts.calibration)
        self.calibration = Calibration.fit(scores)
        self.reference = DriftReference.of(
            [parts.train, parts.calibration], parts.calibration, scores
        )
        first = self.events["timestamp"].min()
        assert isinstance(first, datetime)
        self.live = first.date() + timedelta(days=TRAINED)

    def found(self, windows: Windows, begin: date, end: date) -> Drift:
        """Drift among the windows of some days."""
        part, scores = self.scored(windows, begin, end)
        return find_drift(self.reference, part, scores)

    def scored(self, windows: Windows, begin: date, end: date) -> tuple[Windows, FloatArray]:
        """Those that begin within some days."""
        day = windows.keys["start"].dt.date()
        part = windows.take(((day >= begin) & (day < end)).to_numpy())
        return part, self.detector.score(part)

    def between(self, begin: date, end: date) -> pl.DataFrame:
        """Events of some days."""
        return self.events.filter(pl.col("timestamp").is_between(at(begin), at(end), "left"))

    def quiet(self) -> tuple[Drift, list[datetime]]:
        """What is found where nothing was planted."""
        end = self.live + timedelta(days=DAYS - TRAINED - 1)
        windows, _ = self.extractor.transform(self.events, Profile())
        part, scores = self.scored(windows, self.live, end)
        seen = changes(self.calibration.p_value(scores), part.keys["end"])
        return find_drift(self.reference, part, scores), believed(seen)

    def days_until_found(self, begin: date) -> dict[str, tuple[int | None, str]]:
        """By shift: days from its first until somebody is woken, and what woke them."""
        first, last = begin - timedelta(days=BEFORE), begin + timedelta(days=LOOKED_AT)
        _, known = self.extractor.transform(self.between(date.min, first), Profile())
        part, told = self.between(first, last), {}
        for name, shift in SHIFTS.items():
            shifted = shift(part, pl.col("timestamp") >= at(begin)).sort("timestamp", "event_id")
            windows, _ = self.extractor.transform(shifted, known)
            table = self.found(windows, first, last).table
            woken = table.filter("wakes", pl.col("end") >= begin)
            soonest = woken.filter(pl.col("end") == woken["end"].min())
            named = soonest.sort("psi", descending=True)["quantity"].head(3)
            days = None if woken.is_empty() else (soonest["end"][0] - begin).days + 1
            told[name] = (days, ", ".join(named))
        return told


def at(day: date) -> datetime:
    """Its midnight."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def told(seeds: list[int], users: int) -> list[str]:
    """Markdown."""
    quiet = [
        "| world | windows a day | periods | woken for inputs | for the score alone | "
        "detectors agree on the p-values |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    times: dict[str, list[str]] = {name: [] for name in SHIFTS}
    why = dict.fromkeys(SHIFTS, "")
    for seed in seeds:
        world = World(seed, users)
        drift, agreed = world.quiet()
        episodes = drift.episodes()
        score_only = episodes.filter(pl.col("quantities") == ["score"])
        periods = drift.table.filter(pl.col("quantity") == "score")
        quiet.append(
            f"| {seed} | {periods['windows'].sum() / (DAYS - TRAINED):.0f} | {len(periods)} | "
            f"{len(episodes) - len(score_only)} | {len(score_only)} | {len(agreed)} |"
        )
        print(quiet[-1], episodes, flush=True)
        for offset in AFTER:
            found = world.days_until_found(world.live + timedelta(days=offset))
            print(seed, offset, found, flush=True)
            for name, (days, named) in found.items():
                times[name].append("not found" if days is None else str(days))
                why[name] = why[name] or named
    planted = [f"| {name} | {', '.join(times[name])} | {why[name]} |" for name in SHIFTS]
    head = ["", "| planted | found after days, by world and first day | by |", "|---|---|---|"]
    return [*quiet, *head, *planted]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="0,1", help="of worlds")
    parser.add_argument("--users", type=int, default=700)
    parser.add_argument("--out", default="results.md")
    given = parser.parse_args()
    seeds = [int(seed) for seed in given.seeds.split(",")]
    begins = [date(2024, 4, 30) + timedelta(days=offset) for offset in AFTER]
    head = [
        "# Drift: false alarms and time to find",
        "",
        f"Written by `python -m experiments.drift.measure --seeds {given.seeds} "
        f"--users {given.users}`: worlds of {given.users} users and {DAYS} days, of which the "
        f"first {TRAINED} are trained on ({DETECTOR}); shifts begin on a "
        f"{', a '.join(f'{day:%A}' for day in begins)}. A day with less than 500 windows, as at "
        "weekends, is one period with the next; two periods then take more than two days.",
        "",
    ]
    lines = [*head, *told(seeds, given.users)]
    (HERE / given.out).write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"wrote {HERE / given.out}")


if __name__ == "__main__":
    main()
