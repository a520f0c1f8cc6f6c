"""Whether scores come from what windows hold, and are in order; see docs/traps.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from riskml.core.types import FloatArray, Windows
from riskml.evaluation.checks.audit import Audit
from riskml.evaluation.checks.findings import OK, REFUSED, WARNING, Finding
from riskml.evaluation.checks.probes import Float64, Rows, nudged, with_contents_of
from riskml.evaluation.metrics import Labels, ranking_metrics
from riskml.models.base import Detector

CONTENT, EXACT, CONSTANT, INVERTED, FITTED = (
    "content_blind",
    "exact_values",
    "constant",
    "inverted",
    "fitted_on_test",
)
"""Names of the traps."""

MOST, FEWEST = 0.15, 500
"""Windows whose contents are exchanged: this share of the test windows, or so many if more."""
ROUNDS = 4
"""How often contents are exchanged at most, where there are few windows."""
HIGH, VERY_HIGH, SURE = 0.75, 0.9, 4.0
"""AUC within users, and of all, that exchanged contents must not leave; in standard errors."""
SHATTERED = 0.25
"""What a millionth of its features must not take off an AUC."""
FLIPPED = 0.35
"""An AUC below which the sign of the scores is in doubt."""


def content_findings(audit: Audit, scores: FloatArray, labels: Labels) -> Iterator[Finding]:
    """Whether scores follow what windows hold, and not whose they are, when, or its last digits.

    Args:
        audit: of the detector.
        scores: of all test windows.
        labels: of all test windows, 0 or 1.
    """
    rows = _chosen(audit, labels)
    truth = labels[rows]
    if not 0 < truth.sum() < len(rows):
        return
    rng = np.random.default_rng(audit.seed)
    users = audit.test.keys["user_id"][rows].rank("dense").to_numpy()
    before, exchanged = Order.of(scores[rows], truth, users), []
    for _ in range(int(np.clip(FEWEST // len(rows), 1, ROUNDS))):
        other = audit.test.take(rows[_exchange(truth, rng)])
        found = audit.with_part(rows, with_contents_of(audit.test.take(rows), other))
        if isinstance(found, str):
            return  # what cannot be scored so tells nothing
        exchanged.append(Order.of(found, truth, users))
    after = Order.mean(exchanged)
    within = min(before.within, after.within) >= HIGH and after.sure >= SURE
    several = len(np.unique(users[truth == 1])) >= 3
    overall = several and min(before.auc, after.auc) >= VERY_HIGH
    if within or overall:
        value, which = (after.within, "within users") if within else (after.auc, "of all")
        yield Finding(
            CONTENT,
            WARNING,
            f"with contents of risky and normal windows exchanged, the ROC-AUC {which} is still "
            f"{value:.2f}: the score comes from whose windows these are and when, not from what "
            "they hold; it may have been looked up",
            audit.name,
        )
    else:
        text = f"scores go with the contents of windows (ROC-AUC {before.auc:.2f}, with contents "
        yield Finding(CONTENT, OK, f"{text}exchanged {after.auc:.2f})", audit.name)
    found = audit.with_part(rows, nudged(audit.test.take(rows)))
    if isinstance(found, str):
        return
    fell = before.auc - Order.of(found, truth, users).auc
    if fell >= SHATTERED and truth.sum() >= 5:
        yield Finding(
            EXACT,
            WARNING,
            f"with every count and measure a millionth larger the ROC-AUC falls by {fell:.2f}: "
            "windows may be recognised by their very digits, not judged",
            audit.name,
        )


@dataclass(frozen=True)
class Order:
    """How well scores put risky windows before normal ones.

    Args:
        auc: ROC-AUC.
        within: the same among windows of one user; NaN where no user has both.
        sure: how many standard errors `within` is above one half; 0 where it is not known.
    """

    auc: float
    within: float
    sure: float

    @classmethod
    def of(cls, scores: FloatArray, labels: Labels, users: Rows | Float64) -> Order:
        """Of scores [n] with labels and users."""
        pairs = better = variance = 0.0
        for user in np.unique(users[labels == 1]):
            own = users == user
            risky, ranks = labels[own] == 1, rankdata(scores[own])
            p, n = int(risky.sum()), int((labels[own] == 0).sum())
            pairs += p * n
            better += float(ranks[risky].sum()) - p * (p + 1) / 2
            variance += p * n * (p + n + 1) / 12
        whole = ranking_metrics(labels, scores)["roc_auc"]
        auc = float("nan") if whole is None else whole
        if not pairs:
            return cls(auc, float("nan"), 0.0)
        return cls(auc, better / pairs, (better - pairs / 2) / float(np.sqrt(variance)))

    @classmethod
    def mean(cls, several: list[Order]) -> Order:
        """Of independent draws."""
        sure = sum(order.sure for order in several) / float(np.sqrt(len(several)))
        auc, within = ([getattr(o, name) for o in several] for name in ("auc", "within"))
        return cls(float(np.mean(auc)), float(np.mean(within)), sure)


def _chosen(audit: Audit, labels: Labels) -> Rows:
    """Rows of risky windows and others, of whole users where their past counts."""
    n, rng = len(labels), np.random.default_rng(audit.seed + 2)
    most = max(round(MOST * n), min(FEWEST, n))
    if not audit.remembers:
        risky, normal = (rng.permutation(np.flatnonzero(labels == value)) for value in (1, 0))
        risky = risky[: most // 2]
        return np.sort(np.concatenate([risky, normal[: most - len(risky)]]))
    users = audit.whose.rank("dense").to_numpy() - 1
    size, hits = np.bincount(users), np.bincount(users, labels)
    order = rng.permutation(len(size))
    order = order[np.argsort(hits[order] == 0, kind="stable")]  # those with risky windows first
    chosen = order[np.cumsum(size[order]) - size[order] < most]
    return np.flatnonzero(np.isin(users, chosen))


def _exchange(labels: Labels, rng: np.random.Generator) -> Rows:
    """For each window the one whose contents it gets: normal ones for risky ones and back."""
    risky, normal = np.flatnonzero(labels == 1), rng.permutation(np.flatnonzero(labels == 0))
    many = min(len(risky), len(normal))
    risky = rng.permutation(risky)[:many]
    given = np.arange(len(labels))
    given[risky], given[normal[:many]] = normal[:many], risky
    given[normal[many:]] = rng.permutation(normal[many:])
    return given


def score_findings(name: str, scores: FloatArray, labels: Labels | None) -> Iterator[Finding]:
    """Scores that are all the same, or upside down.

    Args:
        name: of the detector.
        scores: of all test windows.
        labels: of all test windows; None where there is no truth.
    """
    if len(scores) > 1 and scores.min() == scores.max():
        yield Finding(CONSTANT, WARNING, "all test windows have the same score", name)
    elif labels is not None and 0 < labels.sum() < len(labels):
        auc = ranking_metrics(labels, scores)["roc_auc"]
        p = float(labels.sum())
        n = len(labels) - p
        error = float(np.sqrt((p + n + 1) / (12 * p * n)))
        if auc is not None and auc < FLIPPED and auc < 0.5 - SURE * error:
            yield Finding(
                INVERTED,
                WARNING,
                f"a ROC-AUC of {auc:.2f} is far below chance: higher scores must be riskier, so "
                "the sign may be wrong; nothing is turned round here",
                name,
            )


def fitting_findings(
    name: str, detector: Detector, train: Windows, scores: FloatArray
) -> Iterator[Finding]:
    """Whether the detector remembers having been fitted on other windows than it should.

    Args:
        name: of the detector.
        detector: fitted; what it keeps of fitting (`decision_scores_`) is looked at.
        train: windows it should have been fitted on.
        scores: of all test windows.
    """
    kept = getattr(detector, "decision_scores_", None)
    if kept is None:
        return
    fitted = np.asarray(kept, np.float32).ravel()
    if len(np.unique(scores)) >= max(20, len(scores) / 2) and _holds(fitted, scores):
        yield Finding(
            FITTED,
            REFUSED,
            "the windows it was fitted on have the very scores of the test windows: it was fitted "
            "on the test period",
            name,
        )
    elif len(fitted) != len(train):
        yield Finding(
            FITTED,
            WARNING,
            f"it was fitted on {len(fitted):,} windows; the train period has {len(train):,}",
            name,
        )
    else:
        yield Finding(FITTED, OK, "fitted on as many windows as the train period has", name)


def _holds(fitted: FloatArray, scores: FloatArray) -> bool:
    """Whether the scores begin or end those of the windows fitted on, or are the same, sorted."""
    n = len(scores)
    if len(fitted) < n:
        return False
    ends = (fitted[:n], fitted[-n:])
    same = any(float((each == scores).mean()) > 0.99 for each in ends)
    return same or (len(fitted) == n and np.array_equal(np.sort(fitted), np.sort(scores)))
