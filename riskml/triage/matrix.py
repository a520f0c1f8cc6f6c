"""What the triage sees of a window: its features, how odd each detector finds it, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from riskml.core.types import FeatureSpec, FloatArray, Windows

Float64 = npt.NDArray[np.float64]

ACTIONS = "actions"
"""Family of the shares that single actions have in a score."""


def triage_matrix(
    windows: Windows,
    evidence: Mapping[str, Float64],
    shares: FloatArray | None = None,
    topics: Sequence[str] | None = None,
) -> tuple[FloatArray, list[str]]:
    """One row a window for a classifier of trees, which needs no scaling.

    Args:
        windows: [n].
        evidence: by detector, −log10 of the p-value of each window [n].
        shares: exact shares of the score of the detector in focus [n, parts]; may be left out.
        topics: what each part is about; None where the parts are the window's actions.

    Returns:
        float32 [n, columns] and the names of the columns.
    """
    columns: list[npt.NDArray[Any]] = [windows.x]
    columns += [np.asarray(values)[:, None] for values in evidence.values()]
    names = [*windows.spec.names, *(f"evidence of {name}" for name in evidence)]
    if shares is not None and shares.shape[1]:
        by_family, families = family_shares(shares, topics, windows.spec)
        columns.append(by_family)
        names += [f"share of {family}" for family in families]
    return np.hstack(columns).astype(np.float32), names


def family_shares(
    shares: FloatArray, topics: Sequence[str] | None, spec: FeatureSpec
) -> tuple[FloatArray, list[str]]:
    """Shares of a score summed by feature family, float32 [n, families], families by name.

    A topic that is no feature's stands for itself, and actions are one family.
    """
    if topics is None:
        return shares.sum(1, keepdims=True), [ACTIONS]
    family_of = {feature.topic: feature.family for feature in spec.features}
    families = [family_of.get(topic, topic) for topic in topics]
    names = sorted(set(families))
    belongs = np.array([[family == name for name in names] for family in families], np.float32)
    summed: FloatArray = shares @ belongs
    return summed, names
