"""A year of a simulated organisation, watched and trained again by `riskml retrain`.

    OMP_NUM_THREADS=1 python -m experiments.retraining.measure [--seed 0] [--users 700]

The first 120 days are trained on; the others bring what a policy has to deal with: months in
which nothing was planted, a training that fails, a challenger that is worse, an action that is
renamed for good, and an attack on the day after, which comes again when the new model is at work.
A step is made on every day on which the policy could find a reason: drift is looked for in all days
at once, and on the other days a step has nothing to do. Prints Markdown, and writes it to `--out`
beside this file.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from omegaconf import DictConfig, OmegaConf

from experiments.study import ROOT, Cell
from riskml.alerting.alert_log import AlertLog
from riskml.data.simulated import SimulatedSource
from riskml.evaluation.injection import FAMILIES, inject
from riskml.evaluation.measures.bootstrap import resample
from riskml.export.bundle import Bundle, load_bundle
from riskml.export.registry import CHAMPION, Registry
from riskml.features.windows import WINDOW_ID
from riskml.retraining.challenger import SPLIT, Challenge, challenger_config
from riskml.retraining.decisions import Decision, Decisions, What
from riskml.retraining.policy import RetrainPolicy
from riskml.retraining.retrain_scheduler import RetrainScheduler
from riskml.retraining.shadow import PRECISION, to_resample, windows_since
from riskml.retraining.snapshot import SNAPSHOT, log_behind
from riskml.runs.context import BUNDLE, CONFIG_FILE
from riskml.runs.train import train
from riskml.serving.side_by_side import score_log
from riskml.serving.standing import known_until

HERE = Path(__file__).parent
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
DAYS, TRAINED = 365, 120
FAILS, WORSE, SHIFT, ATTACK, AGAIN = 150, 154, 210, 211, 232
"""Days of the year: those in the middle of the week where people are at work."""
NAME, DETECTOR, RARE, BUDGET = "logins", "counts", "admin_command", 5
ATTACKERS, MEASURED = 3, 14


def day(number: int) -> datetime:
    """Its midnight."""
    return FIRST + timedelta(days=number)


class Year:
    """A log in a file, a registry, an alert log, and a scheduler over them.

    Args:
        seed: of the world.
        users: in it.
        settle: days of the policy.
        place: folder for all of it.
    """

    def __init__(self, seed: int, users: int, settle: int, place: Path) -> None:
        self.place, self.log = place, place / "log.parquet"
        self.attackers = self._write_log(seed, users)
        cfg = self._first_config(seed)
        self.store = str(cfg.logger.tracking_uri)
        train(cfg)
        self.registry = Registry(self.store)
        self.registry.alias(NAME, "1", CHAMPION)
        log = AlertLog(f"sqlite:///{place / 'alerts.db'}")
        log.migrate()
        self.decisions = Decisions(log, NAME)
        self.policy = RetrainPolicy(settle=timedelta(days=settle))

    def _write_log(self, seed: int, users: int) -> list[str]:
        """The year with the shift and the attack; gives who attacks."""
        source = SimulatedSource(users, DAYS, "medium", seed, str(ROOT / "outputs" / "cache"))
        events = source.load().events
        renamed = pl.when(
            (pl.col("timestamp") >= day(SHIFT)) & (pl.col("action") == "file_open")
        ).then(pl.lit("open"))
        events = events.with_columns(renamed.otherwise("action").alias("action"))
        knows = events.filter(pl.col("action") == RARE)["user_id"].unique()
        date = pl.col("timestamp").dt.date()
        both = [day(ATTACK).date(), day(AGAIN).date()]
        there = events.filter(date.is_in(both), ~pl.col("user_id").is_in(knows.to_list()))
        days = there.group_by("user_id").agg(date.n_unique().alias("days"))
        who = days.filter(pl.col("days") == 2)["user_id"].sort()
        chosen = who.gather(np.linspace(0, len(who) - 1, ATTACKERS).astype(int)).to_list()
        own = there.filter(pl.col("user_id").is_in(chosen))
        number = pl.int_range(pl.len()).cast(pl.String)
        burst = pl.concat([own] * 2).with_columns(
            pl.lit(RARE).alias("action"),
            pl.concat_str(pl.lit("vault-"), number).alias("resource"),
            pl.concat_str(pl.lit("attack-"), number).alias("event_id"),
        )
        pl.concat([events, burst]).sort("timestamp", "event_id").write_parquet(self.log)
        return chosen

    def _first_config(self, seed: int) -> DictConfig:
        words = (
            f"data=parquet path={self.log} features.peers.column=role resamples=200 "
            f"register={NAME} paths.outputs={self.place} paths.run={self.place / 'first'}"
        ).split()
        cfg = Cell(DETECTOR, "", "", seed, tuple(words)).config()
        cfg.model = OmegaConf.load(ROOT / "conf" / "model" / f"{DETECTOR}.yaml")
        cfg.logger = OmegaConf.load(ROOT / "conf" / "logger" / "mlflow.yaml")
        cfg.data.source = {
            "_target_": SNAPSHOT,
            "source": cfg.data.source,
            "until": day(TRAINED).isoformat(),
        }
        cfg.data.split = {"_target_": SPLIT, "test": 7, "calibration": 21}
        made = OmegaConf.create(OmegaConf.to_container(cfg, resolve=True))
        assert isinstance(made, DictConfig)
        return made

    def scheduler(self, train: Callable[[DictConfig], Path] = train) -> RetrainScheduler:
        """As a job would have it."""
        place = self.place / "runs"
        return RetrainScheduler(self.decisions, self.registry, self.policy, place, train=train)

    def champion(self) -> str:
        """Its version."""
        return self.registry.version(NAME, CHAMPION).version

    def waking_days(self, after: int, end: int) -> list[int]:
        """Days before `end` on which `riskml drift` of the present champion would wake somebody."""
        champion = self.registry.version(NAME, CHAMPION)
        with tempfile.TemporaryDirectory() as draft:
            drift = self.scheduler().outlook(champion, day(end), Path(draft)).drift
        if drift is None:
            return []
        periods = drift.table.group_by("begin", "end").agg(pl.col("wakes").any()).sort("begin")
        found = []
        for row, later in zip(
            periods.iter_rows(named=True), [*periods["end"][1:], day(end).date()], strict=True
        ):
            if row["wakes"]:  # known when it is over, until the next one is
                begin = (row["end"] - FIRST.date()).days + 1
                found += range(begin, (later - FIRST.date()).days + 1)
        return [each for each in found if after < each < end]

    def step(self, number: int, asked: str = "") -> Decision | None:
        """A job's step on a day; said where it decided something."""
        made = self.scheduler().step(day(number), asked, "somebody" if asked else "")
        if made is not None:
            print(f"day {number}: {made.what}: {made.why}", flush=True)
        return made

    def live(self, begin: int, end: int) -> None:
        """The days from `begin` up to `end`."""
        now = begin
        while now < end:
            waking = self.waking_days(now - 1, end)
            champion = self.champion()
            for each in waking:
                if each < now:
                    continue
                made = self.step(each)
                now = each + 1
                if made is not None and made.what is What.PUT_OFF:
                    now = each + self.policy.cool_down.days
                if made is not None and made.what is What.TRAINED:
                    now = each + self.policy.shadow.days
                    self.step(now)
                if self.champion() != champion:
                    break
            else:
                return

    def bundle(self, version: str) -> Bundle:
        """Of a version."""
        return self.registry.load(f"models:/{NAME}/{version}")

    def precision(self, bundle: Bundle, begin: int) -> float:
        """Average precision on made-up anomalies in the days from `begin`, other ones than those
        that challengers were watched with."""
        extractor = bundle.extractor
        events = pl.read_parquet(self.log).filter(pl.col("timestamp") < day(begin + MEASURED))
        log = extractor.assign(events).sort("timestamp", maintain_order=True)
        fixed = (*extractor.peers.reads(), *extractor.window.columns())
        since = day(begin)
        made = inject(log, since, day(begin + MEASURED), tuple(FAMILIES), 0.05, 99, fixed)
        before = log.filter(pl.col("timestamp") < since).drop(WINDOW_ID)
        whole = pl.concat([before, made.events.select(before.columns)])
        new = whole.filter(pl.col("timestamp") > known_until(bundle))
        side = windows_since(score_log(bundle, new, ""), since)
        anomalies = made.odd_windows(before, extractor)
        table = to_resample(side, anomalies, anomalies.clear())
        return resample([table], resamples=1).values[PRECISION]

    def found(self, bundle: Bundle, number: int) -> int:
        """How many of the attackers are among the highest windows of a day."""
        events = pl.read_parquet(self.log).filter(
            pl.col("timestamp") > known_until(bundle), pl.col("timestamp") < day(number + 2)
        )
        windows, scores = bundle.closed(events)
        today = windows.keys.with_columns(pl.Series("score", scores)).filter(
            pl.col("start").dt.date() == day(number).date()
        )
        highest = today.sort("score", descending=True)["user_id"].head(BUDGET)
        return len(set(highest) & set(self.attackers))

    def without_holding(self, trained: Decision) -> Bundle:
        """The same challenger, had it learnt from everything."""
        text = self.registry.run_file(NAME, trained.content["champion"], CONFIG_FILE)
        cfg, _ = log_behind(OmegaConf.create(text))
        place = self.place / "all"
        place.mkdir()
        none = place / "held.parquet"
        pl.DataFrame(schema={"event_id": pl.String}).write_parquet(none)
        until = datetime.fromisoformat(trained.content["until"])
        challenge = Challenge(NAME, until, none, None, place)
        made = challenger_config(cfg, challenge, replace(self.policy, hold=0))
        made.register = None
        return load_bundle(train(made) / BUNDLE)


def failing(cfg: DictConfig) -> Path:
    """A training whose log is too short for its calibration period."""
    cfg.data.split.calibration = 10_000
    return train(cfg)


def worse(cfg: DictConfig) -> Path:
    """A training of a model that knows nothing."""
    cfg.model = {"name": "random", "_target_": "riskml.baselines.simple.RandomDetector"}
    return train(cfg)


def told(year: Year, begin: int, end: int) -> list[str]:
    """Live through the days of a year; Markdown."""
    before = year.bundle("1")
    if begin < FAILS:
        year.live(begin, FAILS)
        for number, bad in ((FAILS, failing), (WORSE, worse)):
            made = year.scheduler(bad).step(day(number), "planted", "somebody")
            assert made is not None
            print(f"day {number}: {made.what}: {made.why}", flush=True)
        year.step(WORSE + year.policy.shadow.days)
        begin = WORSE + 3
    year.live(begin, SHIFT + 8)
    back = year.bundle(year.champion())
    year.live(SHIFT + 8, end)
    history = year.decisions.history()
    trained = next(
        each
        for each in history
        if each.what is What.TRAINED
        and _number(each) >= SHIFT
        and "drift" in each.content["reasons"]
    )
    everything = year.without_holding(trained)
    quiet = year.precision(before, SHIFT - MEASURED)
    after = [year.precision(each, SHIFT + 7) for each in (before, back, everything)]
    started = [each for each in history if each.what is What.STARTED and _number(each) != FAILS]
    needless = [
        each
        for each in started
        if "drift" in each.content["reasons"] and not SHIFT <= _number(each) < SHIFT + 60
    ]
    lines = ["| day | decision | why |", "|---:|---|---|"]
    lines += [f"| {_number(each)} | {each.what} | {each.why} |" for each in history]
    lines += [
        "",
        f"| average precision on made-up anomalies, {MEASURED} days | days | of before |",
        "|---|---|---:|",
        f"| {quiet:.3f}, first champion | {SHIFT - MEASURED} to {SHIFT - 1} | 100 % |",
    ]
    names = ("first champion, never trained again", "champion at that time", "without holding back")
    last = SHIFT + 7 + MEASURED - 1
    lines += [
        f"| {value:.3f}, {name} | {SHIFT + 7} to {last} | {value / quiet:.0%} |"
        for value, name in zip(after, names, strict=True)
    ]
    lines += [
        "",
        f"| attackers among the {BUDGET} highest of the day | of {ATTACKERS} |",
        "|---|---:|",
        f"| day {ATTACK}, first champion | {year.found(before, ATTACK)} |",
        f"| day {AGAIN}, champion that was trained amid it | {year.found(back, AGAIN)} |",
        f"| day {AGAIN}, the same without holding back | {year.found(everything, AGAIN)} |",
        "",
        f"Trainings for drift though nothing was planted in the 60 days before: {len(needless)}.",
    ]
    return lines


def _number(decision: Decision) -> int:
    return (datetime.fromisoformat(decision.content["until"]) - FIRST).days


def main() -> None:
    """Live, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="of the world")
    parser.add_argument("--users", type=int, default=700)
    settle = RetrainPolicy().settle.days
    parser.add_argument("--settle", type=int, default=settle, help="days of the policy")
    parser.add_argument("--begin", type=int, default=TRAINED + 1, help="day of the first step")
    parser.add_argument("--end", type=int, default=DAYS, help="day after the last step")
    parser.add_argument("--out", default="results.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="riskml-year-") as place:
        year = Year(given.seed, given.users, given.settle, Path(place))
        lines = told(year, given.begin, given.end)
    bad = (
        f" On day {FAILS} a training is asked for that fails, on day {WORSE} one whose challenger "
        "knows nothing."
    )
    head = [
        "# Retraining: a year with a shift, an attack amid it, and bad trainings",
        "",
        f"Written by `python -m experiments.retraining.measure --seed {given.seed} --users "
        f"{given.users} --settle {given.settle} --begin {given.begin} --end {given.end}`: "
        f"{given.users} users, the first {TRAINED} days trained on ({DETECTOR}), otherwise "
        f"conf/retraining/policy.yaml; steps from day {given.begin} to {given.end - 1}."
        f"{bad if given.begin < FAILS else ''} From day {SHIFT} on an action is called something "
        f"else; on days {ATTACK} and {AGAIN} {ATTACKERS} users do what they never did.",
        "",
    ]
    (HERE / given.out).write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
