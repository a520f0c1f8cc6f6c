"""Single columns that tell risky windows from normal ones by themselves; see docs/traps.md."""

from __future__ import annotations

from collections.abc import Iterator

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
    for column in _separating(x, labels):
        values = x[:, column]
        found = _strength(values, labels, windows.normal_weight)
        if found is None:
            continue
        is_label = len(np.unique(values)) == 2 and found[0] == 1
        told = f"'{names[column]}' (ROC-AUC {found[0]:.3f}, average precision {found[1]:.2f})"
        (refused if is_label and labels.sum() >= CERTAIN else warned).append(told)
    warned += _telling_actions(windows.test, labels)
    if refused:
        text = (
            f"the label in disguise: {'; '.join(refused)} is 1 or 0 as the window is risky "
            "or not; leave the feature out"
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
        yield Finding(LABELS, OK, "no single feature or action tells risky windows from others")


def artefact_findings(windows: PreparedWindows, labels: Labels) -> Iterator[Finding]:
    """Ids, clocks, lengths or places in the file that tell risky windows from normal ones.

    Args:
        windows: by period.
        labels: of the test windows, some of them 1.
    """
    numbers, groups = _of_keys(windows)
    told = []
    for name, values in numbers.items():
        if found := _strength(values, labels, windows.normal_weight):
            told.append(f"{name} (ROC-AUC {found[0]:.3f}, average precision {found[1]:.2f})")
    for name, group in groups.items():
        rate = _rate_of_others(group, labels)
        if found := _strength(rate, labels, windows.normal_weight, upwards=True):
            told.append(f"{name} (average precision {found[1]:.2f})")
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
        (pl.col("end") - pl.col("start")).dt.total_microseconds().alias("how long windows last"),
        pl.col("n_events").alias("the number of events"),
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
    risky = labels[rows] == 1
    p, n = int(risky.sum()), int((~risky).sum())
    ranks = rankdata(x[rows], axis=0)[risky].sum(0)
    auc = (ranks - p * (p + 1) / 2) / (p * n)
    return [int(i) for i in np.flatnonzero(np.maximum(auc, 1 - auc) >= AUC - 0.01)]


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
