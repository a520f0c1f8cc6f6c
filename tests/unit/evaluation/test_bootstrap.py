"""Intervals and paired differences against resamples put together window by window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from scipy import stats
from score_tables import random_table, score_table

from riskml.core.errors import ConfigError, DataError
from riskml.evaluation.measures.bootstrap import (
    Difference,
    Interval,
    Resamples,
    mean_over_seeds,
    resample,
)
from riskml.evaluation.measures.folds import over_folds
from riskml.evaluation.metrics import alert_metrics, ranking_metrics

B = 15


def user_parts(tables: Sequence[pl.DataFrame]) -> list[list[str]]:
    """Users who share incidents in one part; in order of the first name of each."""
    whole = pl.concat([table.select("user_id", "incidents") for table in tables])
    parts: list[tuple[set[str], set[str]]] = []
    for user, incidents in whole.iter_rows():
        users, own = {user}, set(incidents)
        for other in [part for part in parts if part[0] & users or part[1] & own]:
            parts.remove(other)
            users, own = users | other[0], own | other[1]
        parts.append((users, own))
    return sorted(sorted(users) for users, _ in parts)


def by_hand(
    tables: Sequence[pl.DataFrame], weight: float, seed: int
) -> dict[str, list[float | None]]:
    """Metrics of resamples whose windows are copied; incidents get a new name in each copy."""
    rng = np.random.default_rng(seed)
    parts = user_parts(tables)
    found: dict[str, list[float | None]] = {}
    for _ in range(B):
        draw = rng.integers(0, len(parts), len(parts))
        folds = []
        for table in tables:
            copies = [
                table.filter(pl.col("user_id").is_in(parts[part])).with_columns(
                    pl.col("incidents").list.eval(pl.element() + f"#{copy}"),
                    window_id=pl.col("window_id") + f"#{copy}",
                )
                for copy, part in enumerate(draw)
            ]
            folds.append(pl.concat(copies))
        for name, value in over_folds(folds, weight).items():
            found.setdefault(name, []).append(value)
    return found


def same(resampled: np.ndarray, expected: list[float | None]) -> None:
    assert resampled == pytest.approx(
        [np.nan if value is None else value for value in expected], nan_ok=True
    )


NAMES = [
    "average_precision",
    "roc_auc",
    *(f"recall_at_fpr_{rate}" for rate in (0.001, 0.01, 0.013, 0.046, 0.05)),
    "partial_roc_auc_0.01",
    *(
        f"{name}_at_{where}"
        for where in ("budget", "threshold")
        for name in ("precision", "recall", "f1", "incident_recall")
    ),
]


@pytest.mark.parametrize(("folds", "weight"), [(1, 1.0), (2, 7.5)])
def test_users_against_copied_windows(folds: int, weight: float) -> None:
    tables = [random_table(seed, n=50, users=12) for seed in range(folds)]
    found = resample(tables, weight, resamples=B, seed=3)
    assert list(found.values) == list(found.resampled) == NAMES
    expected = by_hand(tables, weight, seed=3)
    whole = over_folds(tables, weight)
    for name in NAMES:
        assert found.values[name] == pytest.approx(whole[name])
        same(found.resampled[name], expected[name])


def test_resamples_without_risky_windows_are_left_out() -> None:
    table = score_table(
        [1] * 6,
        user_id=["ann", "bob", "cid", "dan", "eve", "fay"],
        score=[1, 2, 3, 2, 3, 2.5],
        label=[0, 0, 1, 0, 1, 0],
        alert=[0, 0, 1, 0, 1, 1],
        incidents=[[], [], ["x"], [], ["y"], []],
    )
    found = resample([table], resamples=500)
    expected = by_hand([table], 1.0, seed=0)
    same(found.resampled["roc_auc"][:B], expected["roc_auc"])
    missing = int(np.isnan(found.resampled["average_precision"]).sum())
    assert 20 < missing < 80  # (4/6)^6 + (2/6)^6 of 500 are 45
    intervals = found.intervals()
    assert "average_precision" not in intervals  # 1 in all of them
    exact = intervals["incident_recall_at_threshold"]
    assert exact == Interval(pytest.approx(0.025**0.5), 1, missing, exact=True)
    assert intervals["precision_at_threshold"].left_out < missing
    assert "precision_at_budget" not in intervals, "there is no alert in any resample"


def incidents_by_hand(table: pl.DataFrame, seed: int) -> dict[str, list[float | None]]:
    """Risky windows copied by incident, normal ones by user; every window has one incident."""
    rng = np.random.default_rng(seed)
    risky, normal = table.filter(pl.col("label") == 1), table.filter(pl.col("label") == 0)
    users = normal["user_id"].unique().sort().to_list()
    incidents = risky["incidents"].list.first().unique().sort().to_list()
    found: dict[str, list[float | None]] = {}
    for _ in range(B):
        normals = [
            normal.filter(pl.col("user_id") == users[i])
            for i in rng.integers(0, len(users), len(users))
        ]
        attacks = [
            risky.filter(pl.col("incidents").list.first() == incidents[i])
            for i in rng.integers(0, len(incidents), len(incidents))
        ]
        both = pl.concat([*normals, *attacks])
        labels = both["label"].to_numpy()
        metrics = ranking_metrics(labels, both["score"].to_numpy())
        for where, column in (("budget", "within_budget"), ("threshold", "alert")):
            alerts = alert_metrics(labels, both[column].to_numpy())
            metrics |= {f"{name}_at_{where}": value for name, value in alerts.items()}
            caught = [bool(attack[column].any()) for attack in attacks]
            metrics[f"incident_recall_at_{where}"] = float(np.mean(caught))
        for name in NAMES:
            found.setdefault(name, []).append(metrics[name])
    return found


def test_incidents_against_copied_windows() -> None:
    table = random_table(4, n=80, users=10)
    one = pl.col("incidents").list.head(1)
    named = pl.when(one.list.len() == 0, pl.col("label") == 1).then(pl.concat_list("user_id"))
    table = table.with_columns(incidents=named.otherwise(one))
    found = resample([table], by="incident", resamples=B, seed=5)
    expected = incidents_by_hand(table, seed=5)
    for name in NAMES:
        same(found.resampled[name], expected[name])
    assert all(interval.left_out == 0 for interval in found.intervals().values())


def test_incidents_that_share_a_window_are_drawn_together() -> None:
    table = score_table(
        list(range(1, 9)),
        user_id=["ann"] * 4 + ["bob", "bob", "cid", "dan"],
        label=[1, 1, 1, 1, 1, 1, 0, 0],
        incidents=[["x"], ["x", "y"], ["y"], ["z"], [], [], [], []],
        alert=[0, 0, 1, 0, 0, 0, 0, 0],
    )
    drawn = resample([table], by="incident", resamples=400).resampled
    # clusters: x with y, z, and what bob did; with n, m and k draws of three
    shares = {(2 * n, m) for n in range(4) for m in range(4 - n)}
    expected = {n / 2 / (n + m) for n, m in shares if n + m}
    recalls = drawn["incident_recall_at_threshold"]
    assert {round(value, 9) for value in recalls[~np.isnan(recalls)]} <= {
        round(value, 9) for value in expected
    }
    windows = {round(n / (3 * n + m + 2 * k), 9) for n, m, k in thirds()}
    assert {round(value, 9) for value in drawn["recall_at_threshold"]} == windows


@pytest.mark.parametrize("incidents", [True, False])
def test_windows_are_drawn_alone_but_those_of_an_incident_together(incidents: bool) -> None:
    table = random_table(5, n=60, users=1)
    own = pl.when(pl.col("incidents").list.len() > 0).then(["x"]).otherwise([])
    table = table.with_columns(incidents=own if incidents else [])
    found = resample([table], by="window", resamples=B, seed=2)
    attacked = table["incidents"].list.len().to_numpy() > 0
    place = table["window_id"].rank("dense").to_numpy() - 1
    where = np.flatnonzero(attacked)
    first = np.arange(60)
    first[place[where]] = place[where].min() if incidents else place[where]
    cluster = np.unique(first, return_inverse=True)[1][place]
    rng = np.random.default_rng(2)
    labels, scores = table["label"].to_numpy(), table["score"].to_numpy()
    for value in found.resampled["average_precision"]:
        n = cluster.max() + 1
        times = np.bincount(rng.integers(0, n, n), minlength=n)[cluster]
        copied = ranking_metrics(np.repeat(labels, times), np.repeat(scores, times))
        assert value == pytest.approx(copied["average_precision"])
    assert found.intervals()["roc_auc"].left_out == 0


def thirds() -> list[tuple[int, int, int]]:
    return [(n, m, 3 - n - m) for n in range(4) for m in range(4 - n)]


@pytest.mark.parametrize("by", ["user", "incident"])
def test_same_seed_same_draws_in_any_order_of_rows(by: str) -> None:
    table = random_table(1, n=120, users=30)
    found = [
        resample([rows], by=by, resamples=150, seed=seed).resampled["average_precision"]
        for rows, seed in ((table, 0), (table, 0), (table.reverse(), 0), (table, 1))
    ]
    assert found[0] == pytest.approx(found[1], abs=0, rel=0, nan_ok=True)
    assert found[0] == pytest.approx(found[2], nan_ok=True)
    assert found[0] != pytest.approx(found[3], nan_ok=True)
    longer = resample([table], by=by, resamples=200, seed=0).resampled["average_precision"]
    assert longer[:150] == pytest.approx(found[0], abs=0, rel=0, nan_ok=True)


def rescored(table: pl.DataFrame, gain: float, seed: int = 0) -> pl.DataFrame:
    noise = np.random.default_rng(seed).normal(size=len(table))
    return table.with_columns(score=gain * pl.col("label") + pl.Series(noise))


def test_paired_differences() -> None:
    table = random_table(2, n=600, users=60)
    good, bad = (resample([rescored(table, gain)], resamples=300) for gain in (2.0, 0.2))
    found = good.above(bad)
    gains = good.resampled["average_precision"] - bad.resampled["average_precision"]
    lead = found["average_precision"]
    assert lead.value == good.values["average_precision"] - bad.values["average_precision"]
    n = good.attacked
    assert n == sum(
        (table["label"] == 1).filter(table["user_id"].is_in(p)).any() for p in user_parts([table])
    )
    far = stats.t.ppf(0.975, n - 1) * np.sqrt(n / (n - 1))
    ends = np.quantile(gains, stats.norm.cdf([-far, far]))
    assert (lead.low, lead.high) == pytest.approx(tuple(ends))
    assert lead.low > 0
    assert 2 / 301 < lead.p_value < 4 / 301
    behind = bad.above(good)["average_precision"]
    assert (behind.low, behind.high) == pytest.approx((-lead.high, -lead.low))
    assert behind.p_value == lead.p_value
    # alerts are the same, so there is no difference at all
    assert found["recall_at_threshold"] == Difference(0, 0, 0, 1)


def test_pairing_narrows_the_difference() -> None:
    table = rescored(random_table(3, n=600, users=60), 1.0)
    tilted = table.with_columns(pl.col("score") + 0.1 * pl.col("label"))
    one, other = (resample([each], resamples=400) for each in (table, tilted))
    lead, alone = other.above(one)["roc_auc"], one.intervals()["roc_auc"]
    assert lead.high - lead.low < (alone.high - alone.low) / 3
    assert lead.low > 0


def test_p_value_and_interval_say_the_same() -> None:
    rng = np.random.default_rng(0)
    verdicts = set()
    for n in (8, 20, 60, np.inf):
        for lead in np.linspace(0, 4, 25):
            zero = Resamples({"m": 0.0}, {"m": np.zeros(999)}, ("x",), n)
            one = Resamples({"m": lead}, {"m": rng.normal(lead, 1, 999)}, ("x",), n)
            found = one.above(zero)["m"]
            verdicts.add((n, found.low > 0))
            if abs(found.p_value - 0.05) > 0.01:
                assert (found.low > 0) == (found.p_value < 0.05)
    assert len(verdicts) == 8, "each n has leads that tell something and leads that do not"
    plain = Resamples({"m": 0.0}, {"m": np.arange(1001.0)}, ("x",)).intervals()["m"]
    assert (plain.low, plain.high) == pytest.approx((25, 975))


def test_fewer_attacked_give_wider_intervals() -> None:
    values = np.random.default_rng(0).normal(size=5000)
    widths = []
    for n in (2, 5, 20, 1000):
        found = Resamples({"m": 0.0}, {"m": values}, ("x",), n).intervals()["m"]
        widths.append(found.high - found.low)
    assert widths == sorted(widths, reverse=True)
    assert widths[0] == pytest.approx(values.max() - values.min(), rel=0.01)
    assert widths[-1] == pytest.approx(2 * 1.96, rel=0.05)


def test_mean_over_seeds() -> None:
    table = random_table(2, n=200, users=30)
    several = [resample([rescored(table, 1.0, seed)], resamples=50) for seed in range(3)]
    found = mean_over_seeds(several)
    for name in ("average_precision", "recall_at_fpr_0.05"):
        assert found.values[name] == pytest.approx(np.mean([s.values[name] for s in several]))
        expected = np.mean([s.resampled[name] for s in several], axis=0)
        assert found.resampled[name] == pytest.approx(expected, nan_ok=True)
    assert found.attacked == several[0].attacked
    assert set(found.above(several[0])) == set(found.intervals())
    with pytest.raises(DataError, match="same windows and draws"):
        mean_over_seeds([several[0], resample([table], resamples=51)])


def test_p_value_is_even_where_nothing_differs() -> None:
    gains = np.array([-0.2, -0.1, 0.0, 0.3])
    zero = np.zeros(4)
    one, other = (Resamples({"m": v[0]}, {"m": v}, ("x",)) for v in (gains, zero))
    assert one.above(other)["m"].p_value == 1.0
    far = Resamples({"m": 1.0}, {"m": np.array([1.0, 2.0, np.nan, 3.0])}, ("x",))
    lead = far.above(other)["m"]
    assert lead.p_value == 2 * 1 / 4
    assert lead.left_out == 1


def test_only_the_same_windows_and_draws_are_compared() -> None:
    table = random_table(0)
    one = resample([table], resamples=5)
    for other in (
        resample([table], resamples=6),
        resample([table], resamples=5, seed=1),
        resample([table], resamples=5, by="incident"),
        resample([table], 2.0, resamples=5),
        resample([table.head(50)], resamples=5),
        resample([table.with_columns(label=1 - pl.col("label"))], resamples=5),
    ):
        with pytest.raises(DataError, match="same windows and draws"):
            one.above(other)


@pytest.mark.parametrize("by", ["user", "incident"])
def test_one_user_tells_nothing_about_others(by: str) -> None:
    table = random_table(0, users=1)
    found = resample([table], by=by, resamples=20)
    assert found.intervals() == {}
    assert found.values["roc_auc"] == pytest.approx(over_folds([table])["roc_auc"])


@pytest.mark.parametrize("by", ["user", "incident"])
@pytest.mark.parametrize("rows", ["none", "normal", "risky"])
def test_nothing_to_resample(by: str, rows: str) -> None:
    table = random_table(0)
    kept = {"none": [], "normal": [0], "risky": [1]}[rows]
    found = resample([table.filter(pl.col("label").is_in(kept))], by=by, resamples=20)
    assert "average_precision" not in found.intervals()
    assert np.isnan(found.values["average_precision"])


def test_what_cannot_be_drawn() -> None:
    table = random_table(0)
    with pytest.raises(ConfigError, match="by=day must be one of user, incident, window"):
        resample([table], by="day")
    with pytest.raises(ConfigError, match="resamples=0 must be a whole number"):
        resample([table], resamples=0)
    with pytest.raises(DataError, match="score of row 0"):
        resample([table.with_columns(score=pl.lit(np.inf))], resamples=3)


def test_incidents_found_in_every_draw_have_an_exact_interval() -> None:
    table = score_table(
        [1] * 16,
        user_id=[f"user{i}" for i in range(16)],
        score=[*range(16)],
        label=[0] * 8 + [1] * 8,
        alert=[0] * 8 + [1] * 8,
        incidents=[[]] * 8 + [[f"incident{i}"] for i in range(8)],
    )
    found = resample([table], resamples=100).intervals()
    all_of_them = found["incident_recall_at_threshold"]
    assert all_of_them.exact
    assert (all_of_them.low, all_of_them.high) == pytest.approx((0.025 ** (1 / 8), 1))
    assert "precision_at_threshold" not in found
