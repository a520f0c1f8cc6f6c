"""The conditions on which a world is accepted: on small worlds taken together, slow; on one, quick.

The full ones, on the public worlds of each tier, are measured by experiments/simulator.
"""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from riskml.data.simulator import acceptance
from riskml.data.simulator.acceptance_features import UserDays, user_days


@pytest.fixture(scope="module")
def together(judged: list[UserDays]) -> UserDays:
    """The user-days of all the small worlds as if they were one organisation."""
    keys = [
        days.keys.with_columns(user_id=pl.format("{}-{}", pl.lit(number), "user_id"))
        for number, days in enumerate(judged)
    ]
    return UserDays(
        keys=pl.concat(keys),
        raw=np.vstack([days.raw for days in judged]),
        novelty=np.vstack([days.novelty for days in judged]),
        raw_names=judged[0].raw_names,
        novelty_names=judged[0].novelty_names,
    )


@pytest.fixture(scope="module")
def small_days(small_world: Path) -> UserDays:
    return user_days(small_world)


def test_a_small_world_is_none_too_easy(small_days: UserDays) -> None:
    assert 0.6 < acceptance.single_features(small_days)["auc"].max() < 0.9
    assert acceptance.isolation_forest_ap(small_days, novelty=True) < 0.6


@pytest.mark.slow
def test_prevalence_is_within_its_band(judged: list[UserDays]) -> None:
    for days in judged:
        assert 0.010 <= days.positive[days.test].mean() <= 0.017
        assert days.positive[~days.test].mean() < 0.005


@pytest.mark.slow
def test_no_single_feature_separates(together: UserDays) -> None:
    table = acceptance.single_features(together)
    assert len(table) == len(together.names) > 40
    assert table["auc"].max() < 0.75
    assert table["ap"].max() < 0.25
    # Nor is the attack invisible.
    assert table["auc"].max() > 0.6


@pytest.mark.slow
def test_shuffled_labels_give_the_prevalence(together: UserDays) -> None:
    prevalence = together.positive[together.test].mean()
    assert acceptance.shuffled_ap(together) == pytest.approx(prevalence, rel=0.25)


@pytest.mark.slow
def test_supervised_oracle_is_well_above_the_isolation_forest(judged: list[UserDays]) -> None:
    gains = []
    for place, days in enumerate(judged):
        others = [other for number, other in enumerate(judged) if number != place]
        oracle = acceptance.supervised_ap(others, days, trees=80)
        gains.append(oracle - acceptance.isolation_forest_ap(days, novelty=True))
    assert np.mean(gains) >= 0.2


@pytest.mark.slow
def test_first_times_help_the_isolation_forest(together: UserDays) -> None:
    raw = acceptance.isolation_forest_ap(together, novelty=False)
    novelty = acceptance.isolation_forest_ap(together, novelty=True)
    prevalence = together.positive[together.test].mean()
    assert 3 * prevalence < raw < novelty < 0.6


@pytest.mark.slow
def test_attackers_cannot_be_told_before_they_attack(
    judged: list[UserDays], judged_folders: list[Path]
) -> None:
    auc = acceptance.before_attack_auc(judged, judged_folders)
    # Some 70 attackers: chance alone moves it by about 0.02.
    assert 0.45 < auc < 0.55


@pytest.mark.slow
def test_drift_is_there_and_mild(judged: list[UserDays]) -> None:
    auc = np.mean([acceptance.drift_auc(days) for days in judged[:2]])
    assert 0.5 <= auc <= 0.65


def test_a_planted_separating_feature_is_found(small_days: UserDays) -> None:
    raw = np.column_stack([small_days.raw, small_days.positive * 1.0])
    planted = UserDays(
        small_days.keys,
        raw,
        small_days.novelty,
        (*small_days.raw_names, "leak"),
        small_days.novelty_names,
    )
    best = acceptance.single_features(planted).row(0, named=True)
    assert best == {"feature": "leak", "auc": 1.0, "ap": 1.0}
