"""Whether reasons name what was done: one feature raised at a time, and the simulator's scenarios.

    python experiments/explanations/injected.py [--seeds 201,202,203] [--windows 50]

Writes results.md beside this file. Takes some minutes a seed on two free cores.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from omegaconf import OmegaConf
from rich.progress import track

from riskml.core.types import RARITY, SHARE, FeatureKind, FloatArray, Windows
from riskml.data.datasets import load_dataset
from riskml.data.simulated import SimulatedSource
from riskml.data.simulator.scenarios import scenario_named
from riskml.data.splits import TimeSplit
from riskml.features.extractor import FAMILIES, FeatureExtractor
from riskml.features.novelty import NoveltyFeatures
from riskml.features.peer_groups import PeerGroups
from riskml.features.preparation import PreparedWindows, labels_of, prepare
from riskml.features.windows import UserDayWindows
from riskml.models.attribution import split_rest
from riskml.models.base import Detector
from riskml.runs.assembly import build_detector, model_config
from riskml.scoring.explain import Explainer
from riskml.scoring.thresholds import DailyBudget

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]
HERE, CONF = Path(__file__).parent, Path(__file__).parents[2] / "conf"
MODELS = ("vae", "autoencoder", "neighbours", "pyod_iforest")
TOP = 3
EXACT, CHANCE = "vae, exact shares only", "vae, shares by chance"
STRENGTH = 10.0
"""How many usual ranges of everybody a raised count lies above the usual of its user."""

OFF_HOURS = (
    "hour",
    "night_events",
    "night_share",
    "rarest_hour",
    "hour_rarity",
    "weekend",
    "weekday",
)
SEEN_IN = {
    "new_device": ("new_source", "absence_source", "sources"),
    "new_address": ("new_place", "absence_place"),
    "new_hosts": ("new_host", "absence_host"),
    "new_resources": ("new_resource", "absence_resource", "resources"),
    "sensitive_resources": ("new_resource", "absence_resource", "resources"),
    "failed_logon": ("failures", "count:logon"),
    "failures": ("failures",),
    "off_hours": OFF_HOURS,
    "days_since_last_event": ("absence_",),
}
"""Feature topics, by their beginnings, that show what a scenario touches; else the action's count.

An action that is touched may also be a first time of its user: `new_action`, `absence_action`.
"""


@dataclass(frozen=True)
class World:
    """A simulated organisation with the features that training uses.

    Attributes:
        windows: by period.
        without: test windows of the same log without the incidents' events.
        explainer: fitted on train windows.
        scenarios: of each incident.
    """

    windows: PreparedWindows
    without: Windows
    explainer: Explainer
    scenarios: dict[str, str]


def world(seed: int, cache: str) -> World:
    """Simulate and prepare."""
    source = SimulatedSource(300, 120, "medium", seed, cache, test_days=40)
    dataset = load_dataset(source, TimeSplit(40, 14))
    families = {family: FAMILIES[family]() for family in ("volume", "time_of_day")}
    families["novelty"] = NoveltyFeatures(("action", "resource", "source", "place", "host"))
    extractor = FeatureExtractor(UserDayWindows(), families, PeerGroups("role"), event_times=True)
    extractor.fit(dataset.train_events)
    truth = dataset.truth
    assert truth is not None
    innocent = dataset.events.join(truth.filter(pl.col("label") == 1), on="event_id", how="anti")
    windows = prepare(dataset, extractor)
    return World(
        windows,
        prepare(replace(dataset, events=innocent, truth=None), extractor).test,
        Explainer.fit(windows.train, extractor.vocabulary.counts),
        dict(truth.select("incident_id", "scenario").unique().drop_nulls().iter_rows()),
    )


def raised(windows: Windows, topic: str, explainer: Explainer) -> Windows:
    """The same windows with one topic far outside the usual of their users.

    Windows in which it is so already, or cannot be, are left out.
    """
    spec, x = windows.spec, windows.x.copy()
    columns = [i for i, feature in enumerate(spec.features) if feature.topic == topic]
    feature, first = spec.features[columns[0]], columns[0]
    rows = [explainer.users.get(user, 0) for user in windows.keys["user_id"]]
    high = explainer.high[rows, first]
    usual = x[:, first] <= high
    if feature.kind == FeatureKind.CYCLIC and feature.unit == "h":
        x[:, columns] = -explainer.usual(windows)[:, columns]
        x[:, columns] /= np.maximum(np.hypot(*x[:, columns].T), 1e-6)[:, None]
        usual[:] = True
    elif feature.kind == FeatureKind.CYCLIC:
        sunday = 2 * np.pi * 6 / 7
        x[:, columns] = np.sin(sunday), np.cos(sunday)
        usual &= windows.keys["start"].dt.weekday().to_numpy() < 6
    elif feature.kind == FeatureKind.BINARY or feature.unit == SHARE:
        x[:, first] = 1.0
        usual &= high < 0.5
    elif feature.unit == RARITY:
        x[:, first] = high + 2
    elif feature.unit == "d":
        x[:, first] = high + 60
    else:
        width = explainer.high[0, first] - explainer.low[0, first]
        x[:, first] = high + np.ceil(STRENGTH * max(width, 1.0))
    return replace(windows, x=x).take(usual)


def told(
    detector: Detector, explainer: Explainer, windows: Windows, variant: str
) -> list[list[str]]:
    """Topics of the first reasons of each window, by shares as alerts have them or otherwise."""
    topics: list[list[str]] = []
    for start in range(0, len(windows), 500):
        some = windows.take(np.arange(start, min(start + 500, len(windows))))
        shares, about = detector.contributions(some), detector.topics()
        if variant == CHANCE:
            about = [feature.topic for feature in some.spec.features]
            shares = np.random.default_rng(start).random(some.x.shape, np.float32)
        elif variant != EXACT:
            shares, about = split_rest(detector, some, shares, explainer.usual(some))
        topics += [
            [r.topic for r in found] for found in explainer.explain(some, shares, about, TOP)
        ]
    return topics


def injections(
    windows: PreparedWindows, explainer: Explainer, each: int, seed: int
) -> Iterator[tuple[str, Windows]]:
    """Normal test windows, one topic of each raised."""
    assert windows.test_truth is not None
    normal = np.flatnonzero(labels_of(windows.test_truth) == 0)
    rng = np.random.default_rng(seed)
    for topic in dict.fromkeys(feature.topic for feature in windows.test.spec.features):
        drawn = np.sort(rng.choice(normal, 4 * each, replace=False))
        made = raised(windows.test.take(drawn), topic, explainer)
        yield topic, made.take(np.arange(min(each, len(made))))


def listed(scenario: str, topic: str) -> bool:
    """Whether a topic shows something that the scenario says it touches."""
    for touched in scenario_named(scenario).touches:
        action = (f"count:{touched}", "new_action", "absence_action")
        if topic.startswith(SEEN_IN.get(touched, action)):
            return True
    return False


def outside(explainer: Explainer, windows: Windows) -> FloatArray:
    """How far each feature lies outside the usual range of its user, [n, d]."""
    rows = [explainer.users.get(user, 0) for user in windows.keys["user_id"]]
    low, high = explainer.low[rows], explainer.high[rows]
    distance: FloatArray = np.maximum(np.maximum(windows.x - high, low - windows.x), 0)
    return distance


def moved(explainer: Explainer, here: Windows, there: Windows) -> list[set[str]]:
    """Topics that the incident put outside the usual, by the same windows without its events.

    Without them they would lie inside the usual range or not half as far outside.
    """
    features = here.spec.features
    far = outside(explainer, here) > 2 * outside(explainer, there)
    return [{features[i].topic for i in np.flatnonzero(row)} for row in far]


def group(topic: str) -> str:
    """Sort of a topic, for the table."""
    for name, beginnings in {
        "first times": ("new_",),
        "absences": ("absence_",),
        "off hours": OFF_HOURS,
        "counts of single actions": ("count:",),
    }.items():
        if topic.startswith(beginnings):
            return name
    return "totals"


class Tally:
    """Caught and named, by row and column of a table."""

    def __init__(self) -> None:
        self.cells: dict[str, dict[str, list[int]]] = defaultdict(
            lambda: defaultdict(lambda: [0] * 3)
        )

    def add(self, row: str, column: str, asked: int, caught: int, named: int) -> None:
        """Count."""
        for i, n in enumerate((asked, caught, named)):
            self.cells[row][column][i] += n

    def table(self, corner: str, cell: Callable[[int, int, int], str]) -> str:
        """Markdown."""
        columns = list(dict.fromkeys(c for row in self.cells.values() for c in row))
        lines = [f"| {corner} | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
        for row, cells in sorted(self.cells.items(), key=lambda item: item[0] == "all"):
            shown = [cell(*cells[column]) if column in cells else "" for column in columns]
            lines.append(f"| {row} | {' | '.join(shown)} |")
        return "\n".join(lines)


def percent(asked: int, caught: int, named: int) -> str:
    """Named of caught."""
    return f"{named / caught:.0%} of {caught:,}" if caught else "none caught"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="201,202,203")
    parser.add_argument("--windows", type=int, default=50, help="a topic and seed")
    parser.add_argument("--cache", default=tempfile.gettempdir())
    parser.add_argument("--models", default=",".join(MODELS))
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name in ("pytorch_lightning", "pytorch_lightning.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    tallies = Tallies()
    for seed in map(int, arguments.seeds.split(",")):
        measure(seed, world(seed, arguments.cache), arguments, tallies)
    report(arguments, tallies)


@dataclass(frozen=True)
class Tallies:
    """The tables: raised topics by sort and one by one, scenarios by what they moved and list."""

    sorts: Tally = field(default_factory=Tally)
    single: Tally = field(default_factory=Tally)
    moved: Tally = field(default_factory=Tally)
    precise: Tally = field(default_factory=Tally)
    listed: Tally = field(default_factory=Tally)


def measure(seed: int, here: World, arguments: argparse.Namespace, tallies: Tallies) -> None:
    """One world, all detectors."""
    windows, explainer = here.windows, here.explainer
    made = list(injections(windows, explainer, arguments.windows, seed))
    for name in track(arguments.models.split(","), f"seed {seed}"):
        cfg = OmegaConf.create(
            {"seed": seed, "data": {"population_weight": 0.5}, "paths": {"conf": str(CONF)}}
        )
        detector = build_detector(model_config(cfg, name), cfg)
        detector.fit(windows.train, windows.calibration)
        before = detector.score(windows.calibration)
        start = DailyBudget(5, 0.05).start(before, windows.calibration.keys)
        scores = detector.score(windows.test)
        alerts, _ = start.decide(scores, windows.test.keys)
        usual = set(windows.test.keys["window_id"].filter(pl.Series(alerts).not_()))
        incidents, rows = caught_incidents(windows, scores, alerts)
        for variant in (name, EXACT, CHANCE) if name == "vae" else (name,):
            for topic, some in made:
                # what was an alert before would say nothing about the raised feature
                fresh = some.take(some.keys["window_id"].is_in(usual).to_numpy())
                caught = fresh.take(detector.score(fresh) >= start.threshold)
                reasons = told(detector, explainer, caught, variant)
                named = sum(topic in reason for reason in reasons)
                counts = len(fresh), len(caught), named
                tallies.sorts.add(group(topic), variant, *counts)
                tallies.sorts.add("all", variant, *counts)
                tallies.single.add(topic, variant, *counts)
            reasons = told(detector, explainer, windows.test.take(rows), variant)
            count_scenarios(tallies, variant, here, incidents, rows, reasons)


def caught_incidents(
    windows: PreparedWindows, scores: FloatArray, alerts: Mask
) -> tuple[list[str], Rows]:
    """Each incident with an alert among its windows, and the row of its highest."""
    assert windows.test_truth is not None
    found = (
        windows.test_truth.with_columns(pl.Series("score", scores), pl.Series("alert", alerts))
        .with_row_index("row")
        .filter("alert")
        .explode("incidents")
        .drop_nulls("incidents")
        .sort("score", descending=True)
        .unique("incidents", keep="first", maintain_order=True)
    )
    return found["incidents"].to_list(), found["row"].to_numpy().astype(np.int64)


def count_scenarios(
    tallies: Tallies,
    variant: str,
    here: World,
    incidents: list[str],
    rows: Rows,
    reasons: list[list[str]],
) -> None:
    """Do the reasons of these windows tell what the incidents did?"""
    place = {name: i for i, name in enumerate(here.without.keys["window_id"])}
    for incident, row, reason in zip(incidents, rows, reasons, strict=True):
        scenario, window = here.scenarios[incident], here.windows.test.take(np.array([row]))
        told_listed = any(listed(scenario, topic) for topic in reason)
        at = place.get(window.keys["window_id"][0])
        for line in (scenario, "all"):
            tallies.listed.add(line, variant, 1, 1, int(told_listed))
            if at is not None:  # else there would be no window to compare with
                (truth,) = moved(here.explainer, window, here.without.take(np.array([at])))
                right = sum(topic in truth for topic in reason)
                tallies.moved.add(line, variant, 1, 1, int(right > 0))
                tallies.precise.add(line, variant, len(reason), len(reason), right)


def report(arguments: argparse.Namespace, tallies: Tallies) -> None:
    """Write results.md."""
    hard = Tally()
    for topic, cells in tallies.single.cells.items():
        told = [cell for variant, cell in cells.items() if variant not in (EXACT, CHANCE)]
        if any(caught >= 10 and named < 0.9 * caught for _, caught, named in told):
            for column, cell in cells.items():
                hard.add(topic, column, *cell)
    given = f"--seeds {arguments.seeds} --windows {arguments.windows}"
    single = hard.table("topic", percent) if hard.cells else "none"
    text = f"""# Do reasons name what was done?

Simulated organisation, tier medium, user-days, seeds {arguments.seeds}. Made by

    python experiments/explanations/injected.py {given}

## One topic raised

{arguments.windows} normal test windows a topic and seed. In each, one topic is put far outside the
usual of its user: counts {STRENGTH:.0f} usual ranges of everybody above it, hours to the other
side of the day, shares to 100 %, absences to 60 days more. Of those that were no alerts before and
are now: the share with the raised topic among the first {TOP} reasons.

Shares by chance are random numbers in the place of shares: what the choice of telling sentences
does alone.

{tallies.sorts.table("topics", percent)}

Topics below 90 % for a detector that catches at least ten:

{single}

How many were caught:

{tallies.sorts.table("topics", share_caught)}

## Scenarios

The highest alert of each caught incident. The same log without the events of the incidents says
what they moved: topics that lie outside the usual of the user and would lie inside, or not half as
far outside, without those events. The share of incidents with such a topic among the first {TOP}
reasons (windows that would not be there at all are left out):

{tallies.moved.table("scenario", percent)}

An attack moves many topics at once, so shares by chance nearly always name one of them, too: that
only values outside the usual are told does most of it. What shares add shows in the next table and
in the single topics above.

How many of those reasons are such topics:

{tallies.precise.table("scenario", percent)}

The share of incidents with a topic among the first {TOP} reasons that shows something on the
scenario's own list (`touches`, which is not complete: a stranger at night moves the hours, too;
`SEEN_IN` in the script says which features show what):

{tallies.listed.table("scenario", percent)}
"""
    print(text)
    (HERE / "results.md").write_text(text)


def share_caught(asked: int, caught: int, named: int) -> str:
    """Caught of all."""
    return f"{caught / max(asked, 1):.0%} of {asked:,}"


if __name__ == "__main__":
    main()
