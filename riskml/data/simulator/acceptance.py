"""The conditions on which a world is accepted, as numbers.

Needs scikit-learn. Units are user-days throughout; AP is average precision, AUC the area under
the ROC curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict

from riskml.data.simulator.acceptance_features import UserDays
from riskml.data.simulator.randomness import Flags, Floats

_WARM_UP_DAYS = 40
_BEFORE_DAYS = 30


def average_precision(truth: Flags, score: NDArray[np.floating]) -> float:
    """Return AP."""
    return float(average_precision_score(truth, score))


def area_under_curve(truth: Flags, score: NDArray[np.floating]) -> float:
    """Return the AUC, whichever way round the score is."""
    area = float(roc_auc_score(truth, score))
    return max(area, 1.0 - area)


def single_features(days: UserDays) -> pl.DataFrame:
    """Return AUC and AP of each feature alone in the test period, the best sign of each.

    Returns:
        Columns feature, auc, ap; the highest AUC first.
    """
    truth, table = days.positive[days.test], days.both[days.test]
    rows = [
        {
            "feature": name,
            "auc": area_under_curve(truth, column),
            "ap": max(average_precision(truth, column), average_precision(truth, -column)),
        }
        for name, column in zip(days.names, table.T, strict=True)
    ]
    return pl.DataFrame(rows).sort("auc", descending=True)


def isolation_forest_scores(train: Floats, test: Floats, seed: int = 0) -> Floats:
    """Fit an isolation forest on unlabelled user-days and score others; higher is odder."""
    forest = IsolationForest(n_estimators=200, random_state=seed).fit(train)
    return np.asarray(-forest.score_samples(test))


def isolation_forest_ap(
    days: UserDays, novelty: bool, logarithm: bool = False, seed: int = 0
) -> float:
    """Return the AP of an isolation forest fitted on the days before the test period.

    Args:
        days: the world.
        novelty: with first times (after a warm-up, in which all is new), else raw counts alone.
        logarithm: take log(1 + x) of every feature first, as is usual with counts.
        seed: of the forest.
    """
    table = days.both if novelty else days.raw
    table = np.log1p(table) if logarithm else table
    scores = isolation_forest_scores(table[_warm(days)], table[days.test], seed)
    return average_precision(days.positive[days.test], scores)


def shuffled_ap(days: UserDays, repeats: int = 20, seed: int = 0) -> float:
    """Return the mean AP of the novelty forest's scores against shuffled labels."""
    scores = isolation_forest_scores(days.both[_warm(days)], days.both[days.test], seed)
    draw = np.random.default_rng(seed)
    truth = days.positive[days.test]
    return float(
        np.mean([average_precision(draw.permutation(truth), scores) for _ in range(repeats)])
    )


def supervised_scores(
    others: Sequence[UserDays], days: UserDays, trees: int = 300, seed: int = 0
) -> Floats:
    """Return a random forest's scores of the test period, given other worlds' labels."""
    table = np.vstack([other.both[other.test] for other in others])
    truth = np.concatenate([other.positive[other.test] for other in others])
    forest = RandomForestClassifier(
        trees,
        min_samples_leaf=2,
        class_weight="balanced_subsample",
        max_features=0.25,
        random_state=seed,
    )
    forest.fit(table, truth)
    return np.asarray(forest.predict_proba(days.both[days.test])[:, 1])


def supervised_ap(
    others: Sequence[UserDays], days: UserDays, trees: int = 300, seed: int = 0
) -> float:
    """Return the AP of a random forest that was given other worlds' labels."""
    scores = supervised_scores(others, days, trees, seed)
    return average_precision(days.positive[days.test], scores)


def before_attack_auc(worlds: Sequence[UserDays], folders: Sequence[Path]) -> float:
    """Return how well attackers' days before the attack are told from their controls'.

    Worlds are pooled, and a forest is tested on users that it was not trained on. Each incident
    gives the 30 days before its start, of the attacker (1) and of the matched users (0).

    Args:
        worlds: the worlds' user-days.
        folders: the folders of the same worlds.
    """
    tables, truths, groups = [], [], []
    for number, (days, folder) in enumerate(zip(worlds, folders, strict=True)):
        incidents = pl.read_parquet(folder / "incidents.parquet")
        keys = days.keys.with_row_index("row")
        for place, incident in enumerate(incidents.iter_rows(named=True)):
            first = incident["start"].date()
            window = keys.filter(
                (pl.col("local_day") < pl.lit(first))
                & (pl.col("local_day") >= pl.lit(first) - pl.duration(days=_BEFORE_DAYS))
                & ~pl.col("positive")
            )
            for user, label in [(incident["user_id"], 1)] + [(u, 0) for u in incident["controls"]]:
                rows = window.filter(pl.col("user_id") == user)["row"].to_numpy()
                tables.append(days.both[rows])
                truths.append(np.full(len(rows), label))
                # The attacker and the controls stay together, so a fold holds whole matches.
                groups.append(np.full(len(rows), number * 100_000 + place))
    table, truth, group = np.vstack(tables), np.concatenate(truths), np.concatenate(groups)
    forest = RandomForestClassifier(
        200, min_samples_leaf=20, class_weight="balanced_subsample", random_state=0
    )
    folds = GroupKFold(5, shuffle=True, random_state=0)
    scores = cross_val_predict(
        forest, table, truth, groups=group, cv=folds, method="predict_proba"
    )[:, 1]
    return float(roc_auc_score(truth, scores))


def drift_auc(days: UserDays, novelty: bool = True) -> float:
    """Return how well normal days of the test period are told from those before it.

    The warm-up of the first 40 days, in which everything is new, is left out. A forest is tested
    on users that it was not trained on.

    Args:
        days: the world.
        novelty: with first times, else raw counts alone.
    """
    rows = (_warm(days) | days.test) & ~days.positive
    table = (days.both if novelty else days.raw)[rows]
    forest = RandomForestClassifier(
        100, min_samples_leaf=20, class_weight="balanced_subsample", random_state=0
    )
    scores = cross_val_predict(
        forest,
        table,
        days.test[rows],
        groups=days.keys["user_id"].to_numpy()[rows],
        cv=GroupKFold(5),
        method="predict_proba",
    )[:, 1]
    return float(roc_auc_score(days.test[rows], scores))


def _warm(days: UserDays) -> Flags:
    """Return the rows before the test period but after the warm-up, in which all is new."""
    day = (days.keys["local_day"] - days.keys["local_day"].min()).dt.total_days().to_numpy()
    test_begins = day[days.test].min()
    # A short world warms up for half of the days before its test period.
    return np.asarray((day >= min(_WARM_UP_DAYS, test_begins // 2)) & ~days.test)
