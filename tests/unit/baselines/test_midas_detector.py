"""Users and actions as edges: what is sudden, from whose days it is learnt, and what is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from riskml.baselines.midas import MidasDetector
from riskml.core.errors import ConfigError, DataError
from riskml.core.types import Feature, FeatureKind, FeatureSpec, Windows
from riskml.models.base import load_detector

USERS, ACTIONS, LENGTH = 15, 12, 40
SPEC = FeatureSpec(
    (Feature("f", "volume", FeatureKind.COUNT, "f"),),
    ("<pad>", "<unknown>", *(f"action {i}" for i in range(ACTIONS))),
)
FIRST = datetime(2024, 1, 1, tzinfo=UTC)


def windows_of(rows: list[tuple[str, float, list[int]]]) -> Windows:
    """Of user, day and actions."""
    users, days, actions = zip(*rows, strict=True)
    ends = pl.Series([FIRST + timedelta(days=d) for d in days], dtype=pl.Datetime("us", "UTC"))
    keys = pl.DataFrame(
        {"window_id": [f"{i}-{day}" for i, day in enumerate(days)], "user_id": users}
    ).with_columns(start=ends, end=ends, n_events=pl.lit(1, pl.Int64))
    tokens = np.zeros((len(rows), LENGTH), np.int32)
    for row, each in enumerate(actions):
        tokens[row, : len(each)] = each
    lengths = np.array([len(each) for each in actions], np.int32)
    return Windows(keys, np.zeros((len(rows), 1), np.float32), SPEC, tokens, lengths)


def days(first: int, last: int) -> Windows:
    """Each user does a few actions several times, at any hour, on some days in two windows."""
    rng, rows = np.random.default_rng(first), []
    for day in range(first, last):
        for user in range(USERS):
            for _ in range(1 + (rng.random() < 0.2)):
                usual = 2 + (user + rng.integers(0, 4, rng.integers(5, 15))) % ACTIONS
                rows.append((f"user {user}", day + rng.random(), usual.tolist()))
    return windows_of(rows)


def test_scores_by_hand() -> None:
    """Ten days of one user who does action 2 twice a day, and of another who does 3 once."""
    past = [row for d in range(10) for row in (("ann", d, [2, 2]), ("bob", d, [3]))]
    detector = MidasDetector(top_k=1).fit(windows_of(past))
    asked = windows_of([("ann", 10, [2]), ("ann", 10, [2] * 9), ("ann", 10, [5]), ("bob", 10, [])])

    def chi_squared(now: float, past: float) -> float:
        return (now - (past + now) / 11) ** 2 * 11**2 / ((past + now) * 10)

    expected = [0, chi_squared(9, 20), chi_squared(1, 0), 0]
    # less than usual is not odd, an action never done is
    assert chi_squared(1, 0) == pytest.approx(10)
    np.testing.assert_allclose(detector.score(asked), np.log1p(expected), rtol=1e-6, atol=1e-9)


def test_the_highest_actions_share_the_score() -> None:
    past = windows_of([("ann", d, [2, 3]) for d in range(10)])
    asked = windows_of([("ann", 10, [2, 5, 3, 5, 5, 6])])
    shares = MidasDetector(top_k=2).fit(past).contributions(asked)[0]
    assert np.flatnonzero(shares).tolist() == [1, 3, 4, 5]
    assert shares[1] == shares[3] == shares[4]
    assert shares.sum() == pytest.approx(MidasDetector(top_k=2).fit(past).score(asked)[0])


def test_a_stream_in_order_of_closing_has_the_scores_of_the_whole() -> None:
    """Windows close up to a day after their end: midnight comes to every user at another time."""
    detector = MidasDetector(decay=0.5).fit(days(0, 20))
    later = days(20, 30)
    whole = detector.score(later)
    rng = np.random.default_rng(1)
    user = later.keys["user_id"].str.split(" ").list.last().cast(pl.Int64).to_numpy()
    closed = later.keys["end"].dt.epoch("us").to_numpy()
    closed = closed + rng.integers(0, 25, USERS)[user] * 3_600_000_000
    order, stream = np.argsort(closed), detector
    for rows in np.split(order, np.sort(rng.choice(len(order), 40, replace=False))):
        batch = later.take(rows)
        np.testing.assert_array_equal(stream.score(batch), whole[rows])
        stream = stream.after(batch)
    then = days(30, 32)
    assert not np.array_equal(stream.score(then), detector.score(then))


def test_it_goes_on_from_what_was_saved(tmp_path: Path) -> None:
    stream = MidasDetector().fit(days(0, 20)).after(days(20, 25))
    stream.save(tmp_path)
    again, later = load_detector(tmp_path), days(25, 30)
    np.testing.assert_array_equal(again.score(later), stream.score(later))
    np.testing.assert_array_equal(
        again.after(later).score(days(30, 33)), stream.after(later).score(days(30, 33))
    )


def test_new_work_becomes_usual_unless_nothing_is_learnt() -> None:
    changed, then = [
        windows_of([("user 0", d, [13, 13, 13]) for d in range(*span)])
        for span in ((20, 40), (41, 42))
    ]
    detector, frozen = (MidasDetector(learning=on).fit(days(0, 20)) for on in (True, False))
    assert detector.score_after(changed, then) < 0.5 * detector.score(then)
    assert frozen.score_after(changed, then) == frozen.score(then)
    assert not frozen.remembers
    assert detector.learns_from_everybody


def test_an_attack_that_lasts_does_not_become_usual() -> None:
    """Poisoning: what is far too much teaches nothing."""
    attack, then = [
        windows_of([("user 0", d, [13] * LENGTH) for d in range(*span)])
        for span in ((20, 40), (41, 42))
    ]

    def lowered(threshold: float) -> float:
        detector = MidasDetector(threshold=threshold).fit(days(0, 20))
        return float((detector.score_after(attack, then) / detector.score(then))[0])

    assert lowered(threshold=100) > 0.95
    assert lowered(threshold=1e9) < 0.8


def test_windows_without_actions_are_refused() -> None:
    with pytest.raises(DataError, match="MidasDetector counts actions"):
        MidasDetector().fit(windows_of([("ann", 0, [])]))
    with pytest.raises(DataError, match="MidasDetector counts actions"):
        MidasDetector().fit(np.zeros((10, 2)))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("top_k", 0),
        ("decay", 1.0),
        ("threshold", 0.0),
        ("rows", 0),
        ("slots", 1000),
        ("seed", -1),
    ],
)
def test_settings_out_of_range_are_refused(setting: str, value: float) -> None:
    settings: dict[str, Any] = {setting: value}
    with pytest.raises(ConfigError, match=setting):
        MidasDetector(**settings)
