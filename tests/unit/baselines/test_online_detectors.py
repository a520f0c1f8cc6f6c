"""Forests that learn while they score: from whom, when, and not from what scores high."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from riskml.baselines.online import HalfSpaceTreesDetector, RRCFDetector
from riskml.baselines.online_detector import OnlineDetector
from riskml.core.errors import ConfigError
from riskml.core.types import Feature, FeatureKind, FeatureSpec, Windows
from riskml.models.base import load_detector
from riskml.wrappers.ensemble import EnsembleDetector
from riskml.wrappers.quarantine import QuarantineDetector

WIDTH, USERS = 4, 20
SPEC = FeatureSpec(
    tuple(Feature(f"f{i}", "volume", FeatureKind.CONTINUOUS, f"f{i}") for i in range(WIDTH))
)
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
ATTACKERS = ["user_0", "user_1", "user_2"]


def days(first: int, last: int, seed: int = 0, shift: float = 0.0) -> Windows:
    """A window of each user on each day, at any hour; `shift`: everybody's work is another."""
    rng = np.random.default_rng([seed, first])
    n = (last - first) * USERS
    day = np.repeat(np.arange(first, last), USERS)
    hours = 24 * (day + rng.random(n))
    ends = [FIRST + timedelta(hours=float(hour)) for hour in hours]
    time = pl.Series(ends, dtype=pl.Datetime("us", "UTC"))
    keys = pl.DataFrame(
        {
            "window_id": [f"{d}-{i % USERS}" for i, d in enumerate(day)],
            "user_id": [f"user_{i % USERS}" for i in range(n)],
        }
    ).with_columns(start=time, end=time, n_events=pl.lit(1, pl.Int64))
    x = (rng.standard_normal((n, WIDTH)) + shift).astype(np.float32)
    return Windows(keys, x, SPEC, np.zeros((n, 1), np.int32), np.zeros(n, np.int32))


def rrcf(**settings: Any) -> RRCFDetector:
    return RRCFDetector(**{"trees": 10, "sample": 64, "memory": 200, **settings})


def half_spaces(**settings: Any) -> HalfSpaceTreesDetector:
    return HalfSpaceTreesDetector(**{"trees": 30, "height": 8, "memory": 200, **settings})


KINDS = pytest.mark.parametrize("make", [rrcf, half_spaces], ids=["rrcf", "half_space_trees"])


@KINDS
def test_a_stream_in_order_of_closing_has_the_scores_of_the_whole(make: Any) -> None:
    """Windows close up to a day after their end: midnight comes to every user at another time."""
    detector: OnlineDetector = make().fit(days(0, 20))
    later = days(20, 30)
    whole = detector.score(later)
    rng = np.random.default_rng(1)
    late = rng.integers(0, 25, USERS)[np.arange(len(later)) % USERS]
    closed = later.keys["end"].dt.epoch("us").to_numpy() + late * 3_600_000_000
    order, stream = np.argsort(closed), detector
    for rows in np.split(order, np.sort(rng.choice(len(order), 40, replace=False))):
        batch = later.take(rows)
        np.testing.assert_array_equal(stream.score(batch), whole[rows])
        stream = stream.after(batch)
    assert not np.array_equal(detector.after(days(30, 32)).score(later), whole)


@KINDS
def test_it_goes_on_from_what_was_saved(make: Any, tmp_path: Path) -> None:
    stream = make().fit(days(0, 20)).after(days(20, 25))
    stream.save(tmp_path)
    again, later = load_detector(tmp_path), days(25, 30)
    np.testing.assert_array_equal(again.score(later), stream.score(later))
    np.testing.assert_array_equal(
        again.after(later).score(days(30, 33)), stream.after(later).score(days(30, 33))
    )


@KINDS
def test_it_follows_a_change_of_everybodys_work(make: Any) -> None:
    frozen = make(learning=False).fit(days(0, 20))
    detector = make().fit(days(0, 20))
    changed = days(20, 45, shift=3.0)
    at_once, later = days(45, 46, shift=3.0), np.median(frozen.score(days(19, 20)))
    assert np.median(frozen.score_after(changed, at_once)) > 1.5 * later
    assert np.median(detector.score_after(changed, at_once)) < 1.25 * later
    assert not frozen.remembers
    assert detector.learns_from_everybody


def creeping(first: int, last: int) -> tuple[Windows, np.ndarray]:
    """Everybody as ever, but three who go a little further every day; which windows are theirs."""
    windows = days(first, last)
    who = windows.keys["user_id"].is_in(ATTACKERS).to_numpy()
    windows.x[who] = 5 + np.linspace(0, 3, int(who.sum()))[:, None]
    return windows, who


@KINDS
def test_an_attack_that_lasts_does_not_become_usual(make: Any) -> None:
    """Poisoning: what is alerted teaches nothing, so it does not lower the scores of what comes."""
    (attack, alerted), (then, who) = creeping(20, 50), creeping(50, 51)

    def lowered(quarantine: float) -> float:
        detector: OnlineDetector = make(quarantine=quarantine).fit(days(0, 20))
        first, later = detector.score(then), detector.score_after(attack, then)
        return float(np.median(later[who] / first[who]))

    detector = make(quarantine=0.2).fit(days(0, 20))
    assert detector.score(attack)[alerted].min() > detector.score(days(50, 60)).max()
    assert lowered(quarantine=0.2) > 0.9
    assert lowered(quarantine=0.0) < 0.7


@KINDS
def test_what_was_odd_in_training_does_not_teach_either(make: Any) -> None:
    (train, _), (asked, who) = creeping(0, 20), creeping(20, 21)
    # all are measured from one middle, not from their own
    kept, all_teach = (make(quarantine=q, prior_windows=1e6).fit(train) for q in (0.2, 0.0))
    assert np.median(kept.score(asked)[who]) > 1.3 * np.median(all_teach.score(asked)[who])


def test_rows_of_a_table_do_not_teach_each_other() -> None:
    x = np.random.default_rng(0).normal(size=(300, 3))
    detector = rrcf().fit(x)
    odd = np.array([[0.0, 9.0, 0.0]])
    assert detector.predict(odd).tolist() == [1]
    assert len(set(detector.decision_function(np.repeat(odd, 500, 0)).tolist())) == 1
    assert abs(detector.labels_.mean() - 0.1) < 0.01


def test_shares_are_of_the_score_at_its_time() -> None:
    detector, past, asked = rrcf().fit(days(0, 20)), days(20, 30, shift=1.0), days(30, 34)
    asked.x[7, 2] = 12
    rows = np.array([70, 7, 33])
    shares = detector.contributions_after(past, asked, rows)
    np.testing.assert_allclose(shares.sum(1), detector.score_after(past, asked)[rows], rtol=1e-4)
    assert detector.topics()[int(shares[1].argmax())] == "f2"


def test_wrappers_say_whose_windows_count() -> None:
    for around in (QuarantineDetector(rrcf()), EnsembleDetector([rrcf(), half_spaces()])):
        assert around.learns_from_everybody
    assert not QuarantineDetector(rrcf(learning=False)).learns_from_everybody


@pytest.mark.parametrize(
    ("make", "setting", "value"),
    [
        (rrcf, "trees", 0),
        (rrcf, "sample", 1),
        (rrcf, "memory", 1),
        (rrcf, "quarantine", 1.0),
        (half_spaces, "height", 16),
        (half_spaces, "prior_windows", -1),
        (half_spaces, "seed", -1),
    ],
)
def test_settings_out_of_range_are_refused(make: Any, setting: str, value: float) -> None:
    with pytest.raises(ConfigError, match=setting):
        make(**{setting: value})
