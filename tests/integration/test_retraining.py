"""A season of a simulated organisation: drift, an attack amid it, bad trainings, and the way back.

The log is a file, the registry and the alert log are real; only time is given.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mlflow
import polars as pl
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

import riskml
from riskml.alerting.alert_log import AlertLog
from riskml.alerting.verification import verify
from riskml.core.errors import ConfigError, DataError
from riskml.data.simulated import SimulatedSource
from riskml.export.registry import CHALLENGER, CHAMPION, Registry
from riskml.retraining.challenger import SPLIT
from riskml.retraining.decisions import Decisions, RetrainLockedError, What
from riskml.retraining.policy import RetrainPolicy
from riskml.retraining.retrain_scheduler import HELD, RetrainScheduler
from riskml.retraining.snapshot import SNAPSHOT
from riskml.runs.train import train

pytestmark = pytest.mark.slow

ROOT = Path(riskml.__file__).parents[1]
FIRST, DAYS = datetime(2024, 1, 1, tzinfo=UTC), 104
TRAINED, SHIFT, ATTACK, AGAIN = 54, 61, 74, 98
"""Days: up to which the first champion knows; on which an action is renamed; of the attack."""
RARE = "admin_command"
NAME = "logins"


def day(number: int) -> datetime:
    return FIRST + timedelta(days=number)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("season")


@pytest.fixture(scope="module")
def attacker(place: Path) -> str:
    """Writes the log; whoever it is does the same on two days, which nobody else is told."""
    world = SimulatedSource(users=80, days=DAYS, tier="medium", seed=207, cache=str(place))
    log = world.load()
    assert log.truth is not None
    events = log.events.join(log.truth, on="event_id", how="anti")
    later = pl.col("timestamp") >= day(SHIFT)
    renamed = pl.when(later & (pl.col("action") == "file_open")).then(pl.lit("open"))
    events = events.with_columns(renamed.otherwise("action").alias("action"))
    days = [day(ATTACK).date(), day(AGAIN).date()]
    often = events.filter(pl.col("timestamp").dt.date().is_in(days))
    never = events.filter(pl.col("action") == RARE)["user_id"].unique()
    quiet = often.filter(~pl.col("user_id").is_in(never.to_list()))
    busy = quiet.group_by("user_id").agg(pl.col("timestamp").dt.date().n_unique().alias("days"))
    who = busy.filter(pl.col("days") == 2)["user_id"].sort()[0]
    own = quiet.filter(pl.col("user_id") == who)
    burst = pl.concat([own] * 3).with_columns(
        pl.lit(RARE).alias("action"),
        pl.concat_str(pl.lit("vault-"), pl.int_range(pl.len()).cast(pl.String)).alias("resource"),
        pl.concat_str(pl.lit("attack-"), pl.int_range(pl.len()).cast(pl.String)).alias("event_id"),
    )
    whole = pl.concat([events, burst]).sort("timestamp", "event_id")
    whole.write_parquet(place / "log.parquet")
    return str(who)


@pytest.fixture(scope="module")
def scheduler(place: Path, attacker: str) -> RetrainScheduler:
    """With a champion that knows the log up to `TRAINED`."""
    words = [
        "data=parquet",
        "model=counts",
        f"path={place / 'log.parquet'}",
        "callbacks=quiet",
        "resamples=100",
        "features.peers.column=role",
        f"register={NAME}",
        f"paths.root={ROOT}",
        f"paths.outputs={place}",
        f"paths.run={place / 'first'}",
    ]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", overrides=words)
    source = {"_target_": SNAPSHOT, "source": cfg.data.source, "until": day(TRAINED).isoformat()}
    cfg.data = {
        **cfg.data,
        "source": source,
        "split": {"_target_": SPLIT, "test": 2, "calibration": 12},
    }
    resolved = OmegaConf.create(OmegaConf.to_container(cfg, resolve=True))
    assert isinstance(resolved, DictConfig)
    train(resolved)
    registry = Registry(resolved.logger.tracking_uri)
    registry.alias(NAME, "1", CHAMPION)
    log = AlertLog(f"sqlite:///{place / 'alerts.db'}")
    log.migrate()
    policy = RetrainPolicy(settle=timedelta(days=10), hold=0.02, calibration=3)
    return RetrainScheduler(Decisions(log, NAME), registry, policy, place / "runs")


def champion(scheduler: RetrainScheduler) -> str:
    return scheduler.registry.version(NAME, CHAMPION).version


def by(scheduler: RetrainScheduler, train: Callable[[DictConfig], Path]) -> RetrainScheduler:
    return RetrainScheduler(
        scheduler.decisions, scheduler.registry, scheduler.policy, scheduler.outputs, train=train
    )


def test_a_season(scheduler: RetrainScheduler, place: Path, attacker: str) -> None:
    drift_is_learnt(scheduler, place, attacker)
    bad_trainings_change_nothing(scheduler)
    a_log_that_has_stopped_is_not_learnt_again(scheduler)
    another_waits_for_the_cool_down(scheduler)
    a_promotion_is_rolled_back(scheduler)
    every_decision_is_kept(scheduler)
    a_killed_training_is_found(scheduler)


def drift_is_learnt(scheduler: RetrainScheduler, place: Path, attacker: str) -> None:
    # nothing has happened yet
    assert scheduler.step(day(60)) is None
    # drift is seen, a challenger trained, and the attack amid it is not learnt from
    trained = scheduler.step(day(92))
    assert trained is not None and trained.what is What.TRAINED
    assert trained.content["reasons"] == ["drift"] and champion(scheduler) == "1"
    held = pl.read_parquet(Path(trained.content["run"]) / HELD)
    attack = held.filter(pl.col("event_id").str.starts_with("attack-"))
    assert len(attack) > 0 and attack["why"].unique().to_list() == ["among the highest of its day"]
    [window] = attack["window_id"].unique().to_list()
    assert attacker in window and f"{day(ATTACK):%Y-%m-%d}" in window
    assert len(held) < trained.content["events"] / 20
    # it is watched, and takes over
    assert scheduler.step(day(93)) is None
    with pytest.raises(ConfigError, match="version 2 is watched until"):
        scheduler.step(day(93), "another", "kim")
    promoted = scheduler.step(day(94))
    assert promoted is not None and promoted.what is What.PROMOTED, promoted.why
    assert champion(scheduler) == "2"
    better = promoted.content
    assert better["challenger_average_precision"] > better["champion_average_precision"] + 0.05
    # the attack comes again, and is not usual
    bundle = scheduler.registry.load(f"models:/{NAME}@{CHAMPION}")
    events = pl.read_parquet(place / "log.parquet").filter(pl.col("timestamp") >= day(92))
    windows, scores = bundle.closed(events)
    told = windows.keys.with_columns(pl.Series("score", scores)).filter(
        pl.col("start").dt.date() == day(AGAIN).date()
    )
    assert told.sort("score")["user_id"][-1] == attacker


def bad_trainings_change_nothing(scheduler: RetrainScheduler) -> None:
    before = champion(scheduler)

    def short(cfg: DictConfig) -> Path:
        cfg.data.split.calibration = 1_000
        return train(cfg)

    failed = by(scheduler, short).step(day(95), "try", "kim")
    assert failed is not None and failed.what is What.FAILED and "the train period" in failed.why
    assert champion(scheduler) == before

    def worse(cfg: DictConfig) -> Path:
        cfg.model = {"name": "random", "_target_": "riskml.baselines.simple.RandomDetector"}
        return train(cfg)

    trained = by(scheduler, worse).step(day(99), "try", "kim")
    assert trained is not None and trained.what is What.TRAINED and trained.who == "riskml"
    rejected = scheduler.step(day(102))
    assert rejected is not None and rejected.what is What.REJECTED
    assert "it may be worse" in rejected.why and champion(scheduler) == before
    with pytest.raises(ConfigError, match=CHALLENGER):
        scheduler.registry.version(NAME, CHALLENGER)


def a_log_that_has_stopped_is_not_learnt_again(scheduler: RetrainScheduler) -> None:
    policy = RetrainPolicy(age=timedelta(days=1), drift=False, cool_down=timedelta(0))
    eager = RetrainScheduler(scheduler.decisions, scheduler.registry, policy, scheduler.outputs)
    scheduler.registry.alias(NAME, "3", CHAMPION)  # it knows the log up to day 99
    with pytest.raises(DataError, match=r"nothing .* that the champion does not know"):
        eager.step(day(99))
    scheduler.registry.alias(NAME, "2", CHAMPION)


def another_waits_for_the_cool_down(scheduler: RetrainScheduler) -> None:
    policy = RetrainPolicy(age=timedelta(days=1), drift=False)
    eager = RetrainScheduler(scheduler.decisions, scheduler.registry, policy, scheduler.outputs)
    put_off = eager.step(day(103))
    assert put_off is not None and put_off.what is What.PUT_OFF
    assert eager.step(day(103)) is None, "it is said once"


def a_promotion_is_rolled_back(scheduler: RetrainScheduler) -> None:
    with pytest.raises(ConfigError, match="--why is empty"):
        scheduler.roll_back("kim", " ")
    back = scheduler.roll_back("kim", "too many alerts")
    assert (back.what, back.who, back.content["version"]) == (What.ROLLED_BACK, "kim", "1")
    assert champion(scheduler) == "1"
    assert datetime.fromisoformat(back.content["until"]) > day(DAYS), "the cool-down runs from now"
    with pytest.raises(ConfigError, match="no promotion to roll back"):
        scheduler.roll_back("kim", "again")


def every_decision_is_kept(scheduler: RetrainScheduler) -> None:
    history = scheduler.decisions.history()
    assert [each.what for each in history] == [
        What.STARTED,
        What.TRAINED,
        What.PROMOTED,
        What.STARTED,
        What.FAILED,
        What.STARTED,
        What.TRAINED,
        What.REJECTED,
        What.PUT_OFF,
        What.ROLLED_BACK,
    ]
    assert verify(scheduler.decisions.log).count == 0
    client = mlflow.MlflowClient(scheduler.registry.store)
    experiment = client.get_experiment_by_name("riskml retraining")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    titles = [f"{each.what} ({NAME})" for each in history]
    assert sorted(str(run.info.run_name) for run in runs) == sorted(titles)


def a_killed_training_is_found(scheduler: RetrainScheduler) -> None:
    scheduler.decisions.add(What.STARTED, day(103), "age", until=day(103).isoformat())
    found = scheduler.step(day(103))
    assert found is not None and found.what is What.INTERRUPTED


HOLD = """
import sys, time
from riskml.alerting.alert_log import AlertLog
from riskml.retraining.decisions import Decisions
with Decisions(AlertLog(sys.argv[1]), "logins").alone():
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_who_is_killed_lets_go(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = f"sqlite:///{tmp_path / 'alerts.db'}"
    if kind == "postgresql":
        url = request.getfixturevalue("new_database")()
    log = AlertLog(url)
    log.migrate()
    decisions = Decisions(log, NAME)
    command = [sys.executable, "-c", HOLD, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(RetrainLockedError, match="at work"), decisions.alone():
            pass
        with Decisions(log, "payments").alone():  # another model
            pass
        holder.kill()
    given_up = time.monotonic() + 60
    while True:  # the server takes a moment to notice
        try:
            with decisions.alone():
                break
        except RetrainLockedError:
            assert time.monotonic() < given_up
            time.sleep(0.1)
