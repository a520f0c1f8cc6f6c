"""Single columns that tell risky windows from normal ones by themselves; see docs/traps.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import rankdata

from riskml.core.redaction import shown
from riskml.core.types import PEER, Windows
from riskml.evaluation.checks.findings import OK, REFUSED, WARNING, Finding
from riskml.evaluation.checks.probes import Float64
from riskml.evaluation.metrics import Labels, ranking_metrics
from riskml.features.preparation import PreparedWindows

LABELS, ARTEFACTS = "label_in_features", "shared_artefacts"
AUC, PRECISION = 0.97, 0.8
"""ROC-AUC and average precision from which on a single column is too good."""
CERTAIN = 5
"""Risky windows from which on a perfect column is no accident."""
LOOKED_AT = 20_000
"""Normal windows that are looked at first."""
FEW_VALUES = 10
"""A column with no more values than these may be the label in code."""
NEAR = 3
"""Windows on each side of one, in the order of a column, whose labels are looked at."""
EVENTS, DURATION = "the number of events", "how long windows last"
IN_RANGES = (EVENTS, DURATION)
"""What may also tell in some of its ranges; attacks come in runs, so times and rows may do so."""
ONLY_RISKY = 0.9
"""Share of risky windows with an action, and of risky ones among those with it."""


def label_findings(windows: PreparedWindows, labels: Labels) -> Iterator[Finding]:
    """A feature, or an action, that is the label or nearly so.

    Args:
        windows: by period.
        labels: of the test windows, some of them 1.
    """
    x, names = windows.test.x, windows.test.spec.names
    warned: list[str] = []
    refused: list[str] = []
    many = labels.sum() >= CERTAIN
    for column in _separating(x, labels):
        values = x[:, column]
        found = _telling(values, labels, windows.normal_weight)
        if found is None:
            continue
        told = f"'{names[column]}' ({found})"
        (refused if many and _is_label(values, labels, found) else warned).append(told)
    warned += _telling_actions(windows.test, labels)
    if refused:
        text = (
            f"the label in disguise: {'; '.join(refused)} says of every window whether it is "
            "risky; leave the feature out"
        )
        yield Finding(LABELS, REFUSED, text)
    elif warned:
        text = (
            f"a single column tells risky windows from normal ones: {'; '.join(warned[:5])}; see "
            "that it is known before anybody has judged the window, and no trace of how the "
            "attacks were made"
        )
        yield Finding(LABELS, WARNING, text)
    else:
        text = (
            "no single feature, by its height or by values next to each other, and no action "
            "tells risky windows from others"
        )
        yield Finding(LABELS, OK, text)


def artefact_findings(windows: PreparedWindows, labels: Labels) -> Iterator[Finding]:
    """Ids, clocks, lengths or places in the file that tell risky windows from normal ones.

    Args:
        windows: by period.
        labels: of the test windows, some of them 1.
    """
    numbers, groups = _of_keys(windows)
    told = []
    for name, values in numbers.items():
        if found := _telling(values, labels, windows.normal_weight, name in IN_RANGES):
            told.append(f"{name} ({found})")
    for name, group in groups.items():
        rate = _rate_of_others(group, labels)
        if strength := _strength(rate, labels, windows.normal_weight, upwards=True):
            told.append(f"{name} (average precision {strength[1]:.2f})")
    if told:
        text = (
            f"risky windows are told from normal ones by {'; '.join(told)}: a detector may find "
            "out how the data were put together, not the attacks"
        )
        yield Finding(ARTEFACTS, WARNING, text)
    else:
        text = "ids, clocks, lengths and order of the windows tell nothing about which are risky"
        yield Finding(ARTEFACTS, OK, text)


def _of_keys(windows: PreparedWindows) -> tuple[dict[str, Float64], dict[str, pl.Series]]:
    """Numbers [n] that may tell, and groups [n] some of which may."""
    keys = windows.test.keys
    known = windows.train.keys["user_id"].unique().to_list()
    frame = keys.select(
        pl.col("user_id").str.len_chars().alias("the length of user ids"),
        (pl.col("end") - pl.col("start")).dt.total_microseconds().alias(DURATION),
        pl.col("n_events").alias(EVENTS),
        pl.col("start").to_physical().alias("when in the test period they begin"),
        pl.int_range(pl.len()).alias("the order of the rows"),
        (~pl.col("user_id").is_in(known)).alias("being of users who were not seen in training"),
        (pl.col("start").dt.microsecond() != 0).alias("fractions of a second"),
    )
    groups = keys.select(
        pl.col("user_id").str.replace_all(r"\d+", "0").alias("the form of user ids"),
        pl.col("window_id").str.replace_all(r"\d+", "0").alias("the form of window ids"),
        pl.col(PEER).alias("the peer group"),
        pl.col("start").dt.hour().alias("the hour they begin in"),
        pl.col("start").dt.minute().alias("the minute they begin in"),
        pl.col("start").dt.second().alias("the second they begin in"),
        pl.col("user_id").alias("the user, whose other windows are risky too"),
    )
    numbers = {name: frame[name].cast(pl.Float64).to_numpy() for name in frame.columns}
    return numbers, {name: groups[name].cast(pl.String) for name in groups.columns}


def _separating(x: np.ndarray, labels: Labels) -> list[int]:
    """Columns of x [n, d] that may separate, by a look at some of the normal windows."""
    normal = np.flatnonzero(labels == 0)
    if not len(normal) or not x.shape[1]:
        return []
    rows = np.concatenate([np.flatnonzero(labels == 1), normal[:: len(normal) // LOOKED_AT + 1]])
    x, labels = x[rows], labels[rows]
    high = _auc(x, labels)
    best = np.maximum(high, 1 - high)
    if labels.sum() >= CERTAIN:
        beside = [_rate_of_neighbours(column, labels) for column in x.T]
        odd = _auc(x % 2, labels)
        best = np.max([best, _auc(np.stack(beside, 1), labels), odd, 1 - odd], axis=0)
    return [int(i) for i in np.flatnonzero(best >= AUC - 0.01)]


def _auc(x: np.ndarray, labels: Labels) -> Float64:
    """ROC-AUC of each column [d]."""
    risky = labels == 1
    p, n = int(risky.sum()), int((~risky).sum())
    ranks: Float64 = rankdata(x, axis=0)[risky].sum(0)
    return (ranks - p * (p + 1) / 2) / (p * n)


@dataclass(frozen=True)
class Telling:
    """How well a column tells risky windows from others.

    Args:
        auc, precision: of what is made of it, as a score.
        how: in words; empty where it is its height.
    """

    auc: float
    precision: float
    how: str = ""

    def __str__(self) -> str:
        return f"{self.how}ROC-AUC {self.auc:.3f}, average precision {self.precision:.2f}"


def _telling(
    values: np.ndarray, labels: Labels, normal_weight: float, in_ranges: bool = True
) -> Telling | None:
    """A column that is too good, by its height, its ranges or as it is odd or even."""
    if found := _strength(values, labels, normal_weight):
        return Telling(*found)
    if not in_ranges or labels.sum() < CERTAIN:
        return None
    if found := _strength(_rate_of_neighbours(values, labels), labels, normal_weight, upwards=True):
        return Telling(*found, "in some of its ranges or values: ")
    whole = np.asarray(values, np.float64)
    if (whole == np.floor(whole)).all() and (found := _strength(whole % 2, labels, normal_weight)):
        return Telling(*found, "as it is odd or even: ")
    return None


def _is_label(values: np.ndarray, labels: Labels, found: Telling) -> bool:
    """Whether a column is the label, as it is or in code: few values, each of one kind alone."""
    distinct, group = np.unique(values, return_inverse=True)
    if len(distinct) > (FEW_VALUES if found.how else 2):
        return False
    shares = np.bincount(group, labels) / np.bincount(group)
    return bool(np.isin(shares, (0.0, 1.0)).all())


def _rate_of_neighbours(values: np.ndarray, labels: Labels) -> Float64:
    """Share of risky windows among those beside each in the order of a column [n].

    Of windows with the same value, if there are others, else of the nearest on either side.
    """
    order = np.argsort(values, kind="stable")
    ranked, risky = values[order], labels[order].astype(np.float64)
    n, total = len(order), np.concatenate([[0.0], np.cumsum(labels[order], dtype=np.float64)])
    place = np.arange(n)
    low = np.searchsorted(ranked, ranked, side="left")
    high = np.searchsorted(ranked, ranked, side="right")
    alone = high - low == 1
    low = np.where(alone, np.maximum(place - NEAR, 0), low)
    high = np.where(alone, np.minimum(place + NEAR + 1, n), high)
    rate = np.empty(n)
    rate[order] = (total[high] - total[low] - risky) / np.maximum(high - low - 1, 1)
    return rate


def _strength(
    values: np.ndarray, labels: Labels, normal_weight: float, upwards: bool = False
) -> tuple[float, float] | None:
    """ROC-AUC and average precision of a column as a score, if it is too good.

    Args:
        values: [n].
        labels: 0 or 1 [n].
        normal_weight: how many normal windows each normal one stands for.
        upwards: only high values count.
    """
    weight = normal_weight if np.isfinite(normal_weight) and normal_weight >= 1 else 1.0
    for score in (values,) if upwards else (values, -values.astype(np.float64)):
        found = ranking_metrics(labels, score.astype(np.float64), weight)
        auc, precision = found["roc_auc"], found["average_precision"]
        if auc is not None and precision is not None and auc >= AUC and precision >= PRECISION:
            return auc, precision
    return None


def _rate_of_others(group: pl.Series, labels: Labels) -> Float64:
    """Share of risky windows among the others of each window's group [n]."""
    whole = pl.DataFrame({"group": group, "label": labels.astype(np.float64)})
    others = (pl.col("label").sum() - pl.col("label")) / (pl.len() - 1)
    rate = whole.select(
        pl.when(pl.len().over("group") > 1).then(others.over("group")).otherwise(0.0)
    )
    return rate.to_series().to_numpy()


def _telling_actions(test: Windows, labels: Labels) -> list[str]:
    """Actions that nearly all risky windows have, and nearly no others."""
    actions, risky = len(test.spec.actions), labels == 1
    if risky.sum() < CERTAIN:
        return []
    valid = np.arange(test.tokens.shape[1]) < test.lengths[:, None]
    row = np.repeat(np.arange(len(test)), valid.sum(1))
    cells = np.unique(row * actions + test.tokens[valid])
    row, action = np.divmod(cells, actions)
    hits = np.bincount(action[risky[row]], minlength=actions)
    all_with = np.bincount(action, minlength=actions)
    telling = np.flatnonzero(
        (hits >= ONLY_RISKY * risky.sum()) & (hits >= ONLY_RISKY * np.maximum(all_with, 1))
    )
    return [
        f"the action '{shown(test.spec.actions[a])}' ({hits[a]:,} of its {all_with[a]:,} windows)"
        for a in telling
    ]
