"""Who has which trial: totals over processes, deaths, and what is tried next."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import Trial, TrialState
from sqlalchemy import text

from riskml.core.errors import ConfigError, DataError
from riskml.evaluation.choice import TERMS as ALL_TERMS
from riskml.runs.processes import this_process
from riskml.runs.sweeps.report import choose
from riskml.runs.sweeps.sampler import RankSampler, qualities, ranked_study
from riskml.runs.sweeps.settings import Labels, SweepSettings
from riskml.runs.sweeps.space import Setting, Space
from riskml.runs.sweeps.study import (
    COUNTS,
    DEFAULT,
    OBJECTIVE,
    PROCESS,
    REASON,
    SCORE_SECONDS,
    TERMS,
    SweepStudy,
    agree,
    counts,
    keep_with,
    open_storage,
    open_study,
)

WEIGHTS = {"injected": 1.0, "agreement": 1.0}
SPACE = Space({"x": Setting("model.x", FloatDistribution(0, 1), 0.25)})


def settings(**changes: Any) -> SweepSettings:
    values: dict[str, Any] = {
        "study": None,
        "storage": None,
        "storage_variable": None,
        "n_trials": 5,
        "workers": 1,
        "seeds": 1,
        "folds": 1,
        "held_out": 0.2,
        "sampler": "tpe",
        "startup_trials": 3,
        "pruner": "none",
        "min_epochs": 1,
        "reduction": 2,
        "objectives": ["quality"],
        "weights": dict.fromkeys(ALL_TERMS, 1.0),
        "labels": Labels(),
        "families": ["rare_actions"],
        "share": 0.02,
        "simple": ["counts"],
        "keep": 0,
        "ensemble": False,
    }
    return SweepSettings(**(values | changes))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for all tests: making its tables takes a while."""
    return f"sqlite:///{tmp_path_factory.mktemp('studies') / 'deep' / 'studies.db'}"


@pytest.fixture
def study(url: str, request: pytest.FixtureRequest) -> SweepStudy:
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    return open_study(open_storage(url), str(request.node.name), settings())


def over(x: float, injected: float, agreement: float, seconds: float = 1.0) -> Callable[..., Any]:
    """A trial that comes to an end with these terms."""

    def objective(trial: Trial) -> float:
        trial.suggest_float("x", 0, 1)
        trial.set_user_attr(PROCESS, this_process())
        trial.set_user_attr(TERMS, {"injected": injected, "agreement": agreement})
        trial.set_user_attr(SCORE_SECONDS, seconds)
        return injected

    return objective


def finish(study: SweepStudy, *found: tuple[float, ...]) -> None:
    for x, *terms in found:
        study.study.enqueue_trial({"x": x})
        study.study.optimize(over(x, *terms), n_trials=1)


def dead_process() -> str:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return f"{this_process().rpartition(':')[0]}:{process.pid}"


def test_what_counts_towards_the_total(study: SweepStudy) -> None:
    finish(study, (0.5, 0.1, 0.2))
    pruned, failed, died, interrupted, running = (study.study.ask() for _ in range(5))
    study.study.tell(pruned, state=TrialState.PRUNED)
    for trial, counted in ((failed, True), (interrupted, False)):
        study.note(trial.number, {REASON: "because", COUNTS: counted})
        study.study.tell(trial, state=TrialState.FAIL)
    study.note(died.number, {PROCESS: dead_process()})
    study.note(running.number, {PROCESS: this_process()})
    assert study.bury() == [died.number]
    assert [trial.number for trial in study.counted()] == [0, pruned.number, failed.number]
    assert study.trials()[died.number].user_attrs[REASON] == "its process is gone"
    assert [trial.number for trial in study.running()] == [running.number]
    assert study.wanted(), "three of five are over and one is running"
    study.note(study.study.ask().number, {PROCESS: this_process()})
    assert not study.wanted()
    assert study.bury() == [], "nobody else has died"


def test_what_is_over_keeps_what_it_was(study: SweepStudy) -> None:
    finish(study, (0.5, 0.1, 0.2))
    study.note(0, {REASON: "too late"})
    assert REASON not in study.trials()[0].user_attrs


def test_of_those_that_take_the_last_trial_the_first_has_it(study: SweepStudy) -> None:
    finish(study, *[(0.1, 0.1, 0.1)] * 4)
    last, beyond = study.study.ask(), study.study.ask()
    assert not study.one_too_many(last.number)
    assert study.one_too_many(beyond.number)
    study.study.tell(last, state=TrialState.FAIL)
    assert not study.one_too_many(beyond.number), "one that died leaves its place"


def test_trials_of_other_machines_are_left_to_the_heartbeat(study: SweepStudy) -> None:
    there, young = study.study.ask(), study.study.ask()
    study.note(there.number, {PROCESS: "another-machine:1"})
    assert study.bury() == []
    assert {t.number for t in study.running()} == {there.number, young.number}


def test_a_silent_heartbeat_is_a_death(study: SweepStudy) -> None:
    there = study.study.ask()
    study.note(there.number, {PROCESS: "another-machine:1"})
    study.storage.record_heartbeat(there._trial_id)
    study.bury()
    assert len(study.running()) == 1, "it was heard of just now"
    with study.storage.engine.begin() as connection:
        long_ago = text("UPDATE trial_heartbeats SET heartbeat = '2020-01-01' WHERE trial_id = :id")
        connection.execute(long_ago, {"id": there._trial_id})
    study.bury()
    assert not study.running()
    assert not study.counted()


def test_a_study_goes_on_only_with_the_same_settings(study: SweepStudy) -> None:
    agree(study, {"seed": 1, "model.hidden": [64, 32], "model.keep": None})
    agree(study, {"seed": 1, "model.hidden": (64, 32), "model.keep": None})
    with pytest.raises(ConfigError, match=r"e\.g\. model\.hidden=\[64, 32\] where it is \[8\] now"):
        agree(study, {"seed": 1, "model.hidden": [8], "model.keep": None})
    with pytest.raises(ConfigError, match="1 differ"):
        agree(study, {"seed": 1, "model.hidden": [64, 32]} | {"model.keep": 2})
    keep_with(study, "log", "ten events", "log")
    keep_with(study, "log", "ten events", "log")
    with pytest.raises(ConfigError, match="begun with another log"):
        keep_with(study, "log", "nine events", "log")


def test_other_objectives_need_another_study(url: str, study: SweepStudy) -> None:
    both = settings(objectives=["quality", "score_time"])
    with pytest.raises(ConfigError, match=r"other sweep\.objectives"):
        open_study(study.storage, study.name, both)


def test_a_database_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no database, but long enough to be one " * 30)
    with pytest.raises(DataError, match=r"sweep\.storage: .* cannot be used"):
        open_storage(f"sqlite:///{tmp_path / 'notes.txt'}")
    with pytest.raises(ConfigError, match=r"cannot use the sweep\.storage URL"):
        open_storage("nothing at all")


def test_ranks_among_all_make_the_quality(study: SweepStudy) -> None:
    finish(study, (0.1, 0.9, 0.1), (0.2, 0.5, 0.9), (0.3, 0.1, 0.5))
    found = qualities(study.trials(), WEIGHTS)
    assert found == pytest.approx({0: 3 / 6, 1: 4 / 6, 2: 2 / 6})
    copy = ranked_study(study, WEIGHTS)
    assert [trial.value for trial in copy.trials] == pytest.approx([3 / 6, 4 / 6, 2 / 6])
    finish(study, (0.4, 0.0, 0.0))
    assert ranked_study(study, WEIGHTS).trials[2].value == pytest.approx(4 / 8), "ranks move"


def test_the_best_come_first_and_of_equals_the_earlier(study: SweepStudy) -> None:
    study.study.set_user_attr(OBJECTIVE, WEIGHTS)
    finish(study, (0.1, 0.5, 0.5), (0.2, 0.9, 0.9), (0.3, 0.5, 0.5))
    assert [trial.number for trial in choose(study, settings()).best] == [1, 0, 2]


def test_with_two_objectives_the_front_comes_first(url: str) -> None:
    both = settings(objectives=["quality", "score_time"])
    study = open_study(open_storage(url), "front", both)
    study.study.set_user_attr(OBJECTIVE, WEIGHTS)
    for x, quality, seconds in ((0.1, 0.9, 3.0), (0.2, 0.8, 4.0), (0.3, 0.2, 1.0)):
        study.study.enqueue_trial({"x": x})
        objective = over(x, quality, quality, seconds)
        study.study.optimize(lambda t, o=objective, s=seconds: (o(t), s), n_trials=1)
    choice = choose(study, both)
    assert ([trial.number for trial in choice.best], choice.front) == ([0, 2, 1], 2)


def test_without_a_complete_trial_the_first_reason_is_told(study: SweepStudy) -> None:
    trial = study.study.ask()
    study.note(trial.number, {REASON: "lower the learning rate", COUNTS: True})
    study.study.tell(trial, state=TrialState.FAIL)
    with pytest.raises(DataError, match=r"none of the 1 trials .*lower the learning"):
        choose(study, settings())


def drawn(study: SweepStudy, seed: int = 0, **changes: Any) -> float:
    """What the next trial draws."""
    study.study.sampler = RankSampler(study, SPACE, WEIGHTS, settings(**changes), seed)
    trial = study.study.ask()
    return SPACE.draw(trial)["x"]


def test_the_config_is_tried_first(study: SweepStudy) -> None:
    assert drawn(study) == 0.25
    assert study.trials()[0].user_attrs[DEFAULT] is True
    assert drawn(study) != 0.25, "another process has it"
    study.study.tell(0, state=TrialState.FAIL)
    assert drawn(study) == 0.25, "it died, so it is tried again"


def test_every_trial_draws_something_else_and_the_same_again(study: SweepStudy) -> None:
    for sampler in ("random", "tpe"):
        first = [drawn(study, sampler=sampler) for _ in range(3)]
        assert len(set(first)) == 3
    other = drawn(study, seed=9)
    assert other not in first


def test_what_is_drawn_follows_from_the_seed_and_the_trials(url: str) -> None:
    """As after a kill: a fresh process with the same study draws what the first would have."""
    found = []
    for name in ("one", "two"):
        study = open_study(open_storage(url), name, settings())
        finish(study, *[(x / 10, x / 10, x / 10) for x in range(6)])
        study.note(0, {DEFAULT: True})
        found.append([drawn(study), drawn(study)])
    assert found[0] == found[1]


def test_tpe_looks_where_the_ranks_are_high(study: SweepStudy) -> None:
    finish(study, *[(x / 20, x / 20, x / 20) for x in range(20)])
    study.storage.set_study_user_attr(
        study.storage.get_study_id_from_name(study.name), OBJECTIVE, WEIGHTS
    )
    found = [drawn(study, startup_trials=5) for _ in range(8)]
    assert sorted(found)[len(found) // 2] > 0.6


def test_failures_count_only_if_they_are_their_own(study: SweepStudy) -> None:
    trial = study.study.ask()
    study.study.tell(trial, state=TrialState.FAIL)
    assert not counts(study.trials()[0])
