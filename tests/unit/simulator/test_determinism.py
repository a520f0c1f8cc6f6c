"""The same seed gives the same bytes: twice, on more processes, and day by day in any order."""

import hashlib
from pathlib import Path

import numpy as np

from riskml.data.simulator import SimulationSettings, simulate
from riskml.data.simulator.day import DayMaker
from riskml.data.simulator.incidents import plan_attacks
from riskml.data.simulator.plan import make_plan
from riskml.data.simulator.randomness import generator, hashed, hashed_uniform

TINY = SimulationSettings(users=30, days=24, test_days=10, positive_rate=0.05, seed=11)


def digest(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_same_seed_same_bytes_on_any_number_of_workers(tmp_path: Path) -> None:
    alone = digest(simulate(TINY, tmp_path / "alone"))
    assert len(alone) == 24 + 5
    assert digest(simulate(TINY, tmp_path / "again")) == alone
    assert digest(simulate(TINY, tmp_path / "two", workers=2)) == alone


def test_another_seed_gives_another_world(tmp_path: Path) -> None:
    other = SimulationSettings(users=30, days=24, test_days=10, positive_rate=0.05, seed=12)
    one, two = digest(simulate(TINY, tmp_path / "a")), digest(simulate(other, tmp_path / "b"))
    assert not any(one[name] == two[name] for name in one)


def test_days_come_out_of_order_as_they_do_in_order() -> None:
    attacks = plan_attacks(make_plan(TINY))
    in_order = DayMaker(attacks)
    expected = {day: in_order.events_of(day) for day in range(24)}
    assert sum(len(labels) for _, labels in expected.values()) > 0
    backwards = DayMaker(plan_attacks(make_plan(TINY)))
    for day in (23, 4, 17, 5, 0):
        events, labels = backwards.events_of(day)
        assert events.equals(expected[day][0])
        assert labels.equals(expected[day][1])


def test_memory_holds_few_days_however_long_the_world_is() -> None:
    maker = DayMaker(plan_attacks(make_plan(TINY)))
    held = []
    for day in range(24):
        maker.events_of(day)
        held.append(len(maker._days))
    assert max(held) <= 2


def test_generators_depend_on_purpose_and_counters_alone() -> None:
    first = generator(1, "a", 2).random(4)
    generator(1, "b", 2).random(100)
    assert np.array_equal(first, generator(1, "a", 2).random(4))
    for other in (generator(2, "a", 2), generator(1, "b", 2), generator(1, "a", 3)):
        assert not np.array_equal(first, other.random(4))


def test_hashes_are_uniform_and_keep_keys_apart() -> None:
    keys = np.arange(20_000)
    values = hashed_uniform(5, "u", keys)
    assert values.min() >= 0 and values.max() < 1
    assert np.abs(np.histogram(values, 10, (0, 1))[0] / 2_000 - 1).max() < 0.1
    assert len(np.unique(hashed(5, "u", keys, 1))) == len(keys)
    assert abs(np.corrcoef(values, hashed_uniform(5, "u", keys + 1))[0, 1]) < 0.03
    assert abs(np.corrcoef(values, hashed_uniform(5, "v", keys))[0, 1]) < 0.03
