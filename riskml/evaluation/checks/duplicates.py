"""Windows that are there more than once: on both sides of the split, or in the test period."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt

from riskml.core.types import Windows
from riskml.evaluation.checks.findings import OK, REFUSED, WARNING, Finding
from riskml.evaluation.checks.probes import Mask
from riskml.evaluation.metrics import Labels, Metrics, Scores, ranking_metrics
from riskml.features.preparation import PreparedWindows

DUPLICATES = "duplicates"
MANY = 0.01
"""Share of the test windows, or of the risky ones, that may be in the train period as they are."""
REPEATED = 0.5
"""Share of risky windows that may hold what another one holds."""


def duplicate_finding(windows: PreparedWindows, labels: Labels | None, known: Mask) -> Finding:
    """Ids and contents that come twice.

    Args:
        windows: by period.
        labels: of the test windows; None where there is no truth.
        known: see `seen_before`.
    """
    parts = (windows.train, windows.calibration, windows.test)
    ids = [name for part in parts for name in part.keys["window_id"].unique()]
    twice = [name for name, count in Counter(ids).items() if count > 1]
    test_ids = windows.test.keys["window_id"]
    repeated = len(test_ids) - test_ids.n_unique()
    if twice or repeated:
        name = twice[0] if twice else test_ids.filter(test_ids.is_duplicated())[0]
        text = (
            f"{len(twice) + repeated:,} windows are in the train, calibration or test period "
            f"more than once, first '{name}': they are learnt and tested, or counted twice"
        )
        return Finding(DUPLICATES, REFUSED, text)
    risky = np.zeros(len(known), bool) if labels is None else labels == 1
    told = [f"{int(known.sum()):,} of {len(known):,} test windows"]
    if risky.any():
        told.append(f"{int(known[risky].sum()):,} of {int(risky.sum()):,} risky ones")
    text = f"{' and '.join(told)} hold exactly what a train or calibration window holds"
    many = known.mean() >= MANY or (risky.any() and known[risky].mean() >= MANY)
    if many:
        text += "; see the metrics …_without_duplicates"
    oversampled = risky.any() and _repeated(windows.test, risky)
    if oversampled:
        text += (
            f"; {oversampled:.0%} of the risky windows hold what another one of them holds, far "
            "more than among normal ones: they seem to have been copied"
        )
    return Finding(DUPLICATES, WARNING if many or oversampled else OK, text)


def seen_before(windows: PreparedWindows) -> Mask:
    """Whether each test window holds exactly what a train or calibration window holds [n]."""
    known = {key for part in (windows.train, windows.calibration) for key in _contents(part)}
    return np.array([key in known for key in _contents(windows.test)], bool)


def without_duplicates(
    labels: Labels, scores: Scores, known: Mask, normal_weight: float
) -> Metrics:
    """Average precision and ROC-AUC of the windows that are not known; none where all are new.

    Args:
        labels: 0 or 1 [n].
        scores: [n].
        known: see `seen_before` [n].
        normal_weight: how many normal windows each normal one stands for.
    """
    if not known.any():
        return {}
    found = ranking_metrics(labels[~known], scores[~known], normal_weight)
    return {f"{name}_without_duplicates": found[name] for name in ("average_precision", "roc_auc")}


def _repeated(test: Windows, risky: npt.NDArray[np.bool_]) -> float:
    """Share of risky windows that hold what another risky one holds; 0 where that is usual."""
    contents = _contents(test)
    shares = []
    for rows in (np.flatnonzero(risky), np.flatnonzero(~risky)):
        counts = Counter(contents[row] for row in rows)
        shares.append(sum(n for n in counts.values() if n > 1) / max(len(rows), 1))
    return shares[0] if shares[0] >= REPEATED and shares[0] > 2 * shares[1] else 0.0


def _contents(windows: Windows) -> list[int]:
    """What each window holds, as a number: features and actions."""
    x, tokens = np.ascontiguousarray(windows.x), windows.tokens
    return [
        hash((row.tobytes(), actions[:length].tobytes()))
        for row, actions, length in zip(x, tokens, windows.lengths, strict=True)
    ]
