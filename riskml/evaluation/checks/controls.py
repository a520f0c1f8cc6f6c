"""Data sets made worse on purpose, to see what the evaluator and the detectors make of them.

Permuted labels must not be found; attacks among what is learnt cost what they cost. See
docs/traps.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl

from riskml.core.errors import DataError, require
from riskml.core.schema import time_span
from riskml.core.types import Windows
from riskml.data.splits import TRAIN
from riskml.evaluation.checks.findings import OK, WARNING, Finding
from riskml.evaluation.checks.probes import Rows
from riskml.evaluation.evaluator import Evaluation
from riskml.features.preparation import PreparedWindows
from riskml.models.base import Detector

PERMUTED, PERMUTED_WITHIN_USERS = "permuted_labels", "permuted_within_users"
CONTROLS = (PERMUTED, PERMUTED_WITHIN_USERS)

NEAR_CHANCE, ERRORS = 0.05, 4.0
"""How far from 0.5 a ROC-AUC may be, or so many standard errors where there are few attacks."""

ENOUGH = 0.75
"""Of the attacks wanted, what has to be there."""


def permuted(windows: PreparedWindows, control: str = PERMUTED, seed: int = 0) -> PreparedWindows:
    """The same windows with labels that say nothing: exchanged at random in the test period.

    Args:
        windows: with truth.
        control: `permuted_labels` among all test windows; `permuted_within_users` among those of
            each user, so that users keep as many risky windows as they have.
        seed: of the draw.

    Raises:
        ConfigError: no such control.
        DataError: there is no truth.
    """
    require("control", control, control in CONTROLS, f"must be one of {', '.join(CONTROLS)}")
    truth = windows.test_truth
    if truth is None:
        raise DataError(f"control={control}: this log has no labels that could be permuted")
    rows = np.random.default_rng(seed).permutation(len(truth))
    if control == PERMUTED_WITHIN_USERS:
        users = windows.test.keys["user_id"].rank("dense").to_numpy()
        drawn = np.empty_like(rows)
        # both in order of users: which place gets which label
        drawn[np.argsort(users, kind="stable")] = rows[np.argsort(users[rows], kind="stable")]
        rows = drawn
    labels = truth[rows].with_columns(windows.test.keys["window_id"])
    return replace(windows, test_truth=labels.select(truth.columns), incidents=None)


class PermutationCheck:
    """Says of each detector whether it found labels that say nothing.

    Args:
        control: how they were permuted, see `permuted`.
    """

    def __init__(self, control: str = PERMUTED) -> None:
        self.control = control

    def __call__(
        self, evaluation: Evaluation, detector: Detector, windows: PreparedWindows
    ) -> Sequence[Finding]:
        """One finding, none where nothing is measured."""
        auc = evaluation.metrics.get("roc_auc")
        if auc is None or windows.test_truth is None:
            return ()
        labels = windows.test_truth["label"]
        risky = float(labels.sum())
        normal = len(labels) - risky
        error = float(np.sqrt((risky + normal + 1) / (12 * risky * normal)))
        allowed = max(NEAR_CHANCE, ERRORS * error)
        text = f"ROC-AUC {auc:.3f} with permuted labels (0.5 ± {allowed:.2f} is chance)"
        if abs(auc - 0.5) <= allowed:
            return (Finding(self.control, OK, text, evaluation.name),)
        within = self.control == PERMUTED_WITHIN_USERS
        why = (
            "it tells the accounts of attackers from others, not their attacks"
            if within
            else "it has seen the labels, or the measures are wrong"
        )
        return (Finding(self.control, WARNING, f"{text}: {why}", evaluation.name),)


def contaminated(windows: PreparedWindows, share: float, seed: int = 0) -> PreparedWindows:
    """The same windows with attacks among those that are learnt from.

    Half of the incidents of the test period, drawn by the seed, are taken out of it, the same for
    every share; as many of them, whole, go into the train period as make up the share, moved back
    by whole weeks.

    Args:
        windows: with truth.
        share: of the train windows that are attacks then; 0 takes out only.
        seed: of the draw.

    Raises:
        ConfigError: the share is impossible.
        DataError: there is no truth, or there are too few attacks.
    """
    fits = 0 <= share < 0.5
    require("contamination", share, fits, "must lie from 0 up to 0.5")
    if windows.test_truth is None:
        raise DataError(f"contamination={share:g}: this log has no labels, so no known attacks")
    drawn = _half_of_the_attacks(windows.test_truth, seed)
    wanted = round(share / (1 - share) * len(windows.train))
    chosen: list[int] = []
    for rows in drawn:
        if len(chosen) + len(rows) <= wanted:
            chosen += rows
    out = np.array(sorted(row for rows in drawn for row in rows), np.int64)
    if len(chosen) < ENOUGH * wanted:
        least = min(map(len, drawn), default=0)
        raise DataError(
            f"contamination={share:g} asks for {wanted:,} attack windows, and half of the "
            f"incidents of the test period, which are moved whole, have {len(out):,}, the "
            f"shortest of them {least:,}: {_possible(len(out), least, len(windows.train))}"
        )
    stay = np.setdiff1d(np.arange(len(windows.test)), out)
    incidents = windows.incidents
    truth = windows.test_truth[stay]
    if incidents is not None:
        left = truth["incidents"].explode().drop_nulls().unique().to_list()
        incidents = incidents.filter(pl.col("incident_id").is_in(left))
    background = None
    if windows.background is not None or chosen:
        background = dict(windows.background or {})
        background[TRAIN] = background.get(TRAIN, 0) + len(chosen)
    moved = _moved_back(windows.test.take(np.array(sorted(chosen), np.int64)), windows.train)
    return replace(
        windows,
        train=_in_order_of_time(windows.train, moved),
        test=windows.test.take(stay),
        test_truth=truth,
        incidents=incidents,
        background=background,
    )


def _possible(most: int, least: int, train: int) -> str:
    low, high = (attacks / (attacks + train) for attacks in (least, most))
    return f"from {low:.4f} to {high:.4f} is possible" if most else "none is possible"


def _half_of_the_attacks(truth: pl.DataFrame, seed: int) -> list[list[int]]:
    """Rows of each of half of the incidents, in the order drawn; what shares a window is one."""
    of_incident: dict[str, list[int]] = {}
    for row, (label, names) in enumerate(truth.select("label", "incidents").iter_rows()):
        if label:
            for name in names or [f"row {row}"]:
                of_incident.setdefault(name, []).append(row)
    whole: list[set[int]] = []
    for rows in map(set, of_incident.values()):
        touching = [other for other in whole if other & rows]
        whole = [other for other in whole if not other & rows]
        whole.append(rows.union(*touching))
    order = np.random.default_rng(seed).permutation(len(whole))
    return [sorted(whole[place]) for place in order[: (len(whole) + 1) // 2]]


def _moved_back(windows: Windows, train: Windows) -> Windows:
    """The windows by as many whole weeks earlier as brings each into the train period."""
    if not len(windows):
        return windows
    _, end = time_span(train.keys["start"], train.keys["end"])
    week = timedelta(weeks=1)
    weeks = ((pl.col("end") - end) / week).ceil().clip(0).cast(pl.Int64)
    keys = windows.keys.with_columns(pl.col("start", "end") - weeks * pl.lit(week))
    return replace(windows, keys=keys)


def _in_order_of_time(first: Windows, second: Windows) -> Windows:
    arrays = (
        np.concatenate([getattr(first, name), getattr(second, name)])
        for name in ("x", "tokens", "lengths", "times")
    )
    x, tokens, lengths, times = arrays
    keys = pl.concat([first.keys, second.keys])
    whole = Windows(keys, x, first.spec, tokens, lengths, times)
    order: Rows = np.argsort(keys["start"].to_numpy(), kind="stable")
    return whole.take(order)
