"""Made-up anomalies: what each rule does to a window, and that nothing else changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from riskml.core.errors import ConfigError, DataError
from riskml.evaluation.injection import FAMILIES, inject

START = datetime(2024, 3, 4, tzinfo=UTC)
SINCE, UNTIL = START + timedelta(days=20), START + timedelta(days=30)
HERE = pl.col("timestamp").is_between(SINCE, UNTIL, closed="left")


@pytest.fixture(scope="module")
def log() -> pl.DataFrame:
    """Six users of two roles on thirty days, a window a day; each has three actions of its own."""
    rng = np.random.default_rng(0)
    rows = []
    for day in range(30):
        for user in range(6):
            hours = np.sort(rng.uniform(9, 17, 12))
            for i, hour in enumerate(hours):
                action = "rare" if user == 0 and day == 3 and i == 0 else f"a{user}{i % 3}"
                time = START + timedelta(days=day, hours=float(hour))
                window = f"u{user}/{day}"
                rows.append((f"u{user}", time, action, f"r{user}", f"role{user % 2}", window))
    names = ["user_id", "timestamp", "action", "resource", "role", "window_id"]
    frame = pl.DataFrame(rows, schema=names, orient="row").sort("timestamp")
    return frame.with_columns(
        pl.col("timestamp").cast(pl.Datetime("us", "UTC")),
        pl.int_range(pl.len()).cast(pl.String).alias("event_id"),
    )


def made(log: pl.DataFrame, *families: str, seed: int = 0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Events of the block, and those of them that are odd."""
    found = inject(log, SINCE, UNTIL, families, 0.2, seed, ("role",))
    return found.events, found.events.filter(pl.col("event_id").is_in(found.odd.to_list()))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_gives_the_same_events_in_order(log: pl.DataFrame, family: str) -> None:
    events, odd = made(log, family)
    assert_frame_equal(events, made(log, family)[0])
    assert not events.equals(made(log, family, seed=1)[0])
    assert events["timestamp"].is_sorted()
    assert events["event_id"].is_unique().all()
    assert events.select(HERE).to_series().all()
    assert len(odd) >= 8


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_not_odd_is_as_it_was(log: pl.DataFrame, family: str) -> None:
    events, _ = made(log, family)
    whole = log.drop("window_id").filter(HERE)
    usual = events.filter(pl.col("event_id").str.starts_with("injected").not_())
    assert_frame_equal(usual, whole.join(usual, on="event_id", how="semi", maintain_order="left"))
    touched = set(events["user_id"]) & set(log["user_id"])
    assert touched == set(log["user_id"])


def test_swapped_users_do_at_their_own_times_what_others_do(log: pl.DataFrame) -> None:
    events, odd = made(log, "swapped_users")
    assert len(events) == len(log.filter(HERE))
    assert set(odd["timestamp"]) <= set(log["timestamp"])
    own = pl.concat_str(pl.lit("a"), pl.col("user_id").str.slice(1))
    assert odd.select(pl.col("action").str.starts_with(own).any()).item() is False
    assert odd.select((pl.col("resource").str.slice(1) != pl.col("user_id").str.slice(1)).all())[
        0, 0
    ]
    role = pl.concat_str(pl.lit("role"), (pl.col("user_id").str.slice(1).cast(pl.Int64) % 2))
    assert odd.select((pl.col("role") == role).all()).item()


def test_rare_actions_are_new_to_the_user(log: pl.DataFrame) -> None:
    events, odd = made(log, "rare_actions")
    before = log.filter(pl.col("timestamp") < SINCE).select("user_id", "action").unique()
    assert odd.join(before, on=["user_id", "action"], how="semi").is_empty()
    assert len(events) == len(log.filter(HERE)) + len(odd)
    assert "rare" in odd["action"], "the rarest of all is among them"


def test_shifted_hours_move_all_of_a_window(log: pl.DataFrame) -> None:
    events, odd = made(log, "shifted_hours")
    assert len(events) == len(log.filter(HERE))
    hours = odd["timestamp"].dt.hour().to_numpy()
    assert ((hours < 9) | (hours >= 17)).mean() > 0.5
    for _, day in odd.group_by("user_id", odd["timestamp"].dt.date()):
        own = log.filter(pl.col("user_id") == day["user_id"][0])["action"].unique()
        assert set(day["action"]) <= set(own)


def test_inflated_volume_repeats_the_users_own_events(log: pl.DataFrame) -> None:
    events, odd = made(log, "inflated_volume")
    assert len(events) == len(log.filter(HERE)) + len(odd)
    own = log.select("user_id", "action", "resource").unique()
    assert odd.join(own, on=["user_id", "action", "resource"], how="anti").is_empty()
    a_day = odd.group_by("user_id", odd["timestamp"].dt.date()).len()["len"]
    assert a_day.max() > 3 * a_day.min(), "some are beyond doubt, some hardly odd"


def test_families_take_turns(log: pl.DataFrame) -> None:
    _, odd = made(log, "rare_actions", "inflated_volume")
    known = log.filter(pl.col("timestamp") < SINCE).select("user_id", "action").unique()
    new = odd.join(known, on=["user_id", "action"], how="anti")
    assert 0 < new["user_id"].len() < len(odd)


def test_mistakes_are_named(log: pl.DataFrame) -> None:
    with pytest.raises(ConfigError, match="swapped_user: did you mean 'swapped_users'"):
        inject(log, SINCE, UNTIL, ["swapped_user"], 0.1, 0)
    with pytest.raises(ConfigError, match=r"share=0 must lie above 0"):
        inject(log, SINCE, UNTIL, ["rare_actions"], 0, 0)
    with pytest.raises(DataError, match="too few to put anomalies among them"):
        inject(log, SINCE, SINCE + timedelta(days=2), ["rare_actions"], 0.1, 0)
    alone = log.filter(pl.col("user_id") == "u1")
    with pytest.raises(DataError, match="too few"):
        inject(alone, SINCE, UNTIL, ["swapped_users"], 0.1, 0)
    with pytest.raises(DataError, match="swapped_users needs several users"):
        inject(alone, START + timedelta(days=3), UNTIL, ["swapped_users"], 0.1, 0)
