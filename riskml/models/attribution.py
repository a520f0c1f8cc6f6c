"""What of a score no single feature has, split onto features by integrated gradients.

Sundararajan et al. 2017, on the straight path from the user's usual window to the one that is
explained. Exact shares stay as they are: only what is left of the score goes onto features.
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from riskml.core.types import FeatureKind, FloatArray, Windows
from riskml.models.base import Detector
from riskml.models.batches import to_tensors
from riskml.models.deep import DeepDetector

COMBINATION = "combination"
"""Topic of the share that no single feature has."""

STEPS = (32, 128, 512)
"""Points on the path: more where the shares do not add up with fewer."""

TOLERANCE = 0.01
"""How far the shares may be off in sum, as a part of what they are to sum to (or of 1, if less)."""


def split_rest(
    detector: Detector, windows: Windows, shares: FloatArray, usual: FloatArray
) -> tuple[FloatArray, list[str] | None]:
    """Shares in which as little as can be is left without a feature.

    Only deep detectors have gradients, and only what they call `COMBINATION` is split: the VAE's
    divergence; or the whole score of a detector without parts. What cannot be split so that the
    shares add up, and what the usual window has of it already, stays with `COMBINATION`, so the
    sum is the score as before.

    Args:
        detector: fitted.
        windows: to be explained; few.
        shares: float32 [n, parts], from `Detector.contributions_after`.
        usual: float32 [n, d], the raw features of a usual window of each user.

    Returns:
        Shares, float32 [n, parts], and their topics as from `Detector.topics`.
    """
    topics = detector.topics()
    if topics is None or not isinstance(detector, DeepDetector) or not len(windows):
        return shares, topics
    features = [feature.topic for feature in windows.spec.features]
    # a share of other things than features, such as actions, has no gradient in them
    rest = np.array([topic == COMBINATION for topic in topics], bool)
    if topics and not rest.any():
        return shares, topics
    whole = shares[:, rest].sum(1) if topics else detector.score(windows)
    split = _integrated(detector, windows, usual, rest)
    kept = np.column_stack([shares[:, ~rest], split, whole - split.sum(1)])
    told = [topic for topic, odd in zip(topics, rest, strict=True) if not odd]
    return kept.astype(np.float32), [*told, *features, COMBINATION]


def _integrated(
    detector: DeepDetector, windows: Windows, usual: FloatArray, rest: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Gradients of those parts along the path, [n, d]; 0 for windows where they do not add up."""
    with warnings.catch_warnings(action="ignore"):  # in a notebook it asks for bars of progress
        from captum.attr import IntegratedGradients  # slow to import, and only reasons need it

    network, device = detector.network_ready(windows), detector.device
    x, *others = (tensor.to(device) for tensor in to_tensors(windows, detector.users_))
    counts = torch.from_numpy(windows.spec.columns(FeatureKind.COUNT)).to(device)
    parts = torch.from_numpy(rest).to(device)

    def value(at: Tensor, *others: Tensor) -> Tensor:
        raw = at.index_copy(1, counts, torch.expm1(at[:, counts]))
        if not len(parts):
            score: Tensor = network(raw, *others)
            return score
        return network.contributions(raw, *others)[:, parts].sum(1)

    def straight(raw: Tensor) -> Tensor:
        # as the network sees counts: else the path runs past all small ones in its first step
        return raw.index_copy(1, counts, torch.log1p(raw[:, counts].clamp(min=0.0)))

    ends = straight(x), straight(torch.from_numpy(np.ascontiguousarray(usual)).to(device))
    split = np.zeros(x.shape)
    left = torch.arange(len(x), device=device)
    for steps in STEPS:
        here, there = (end[left] for end in ends)
        more = tuple(other[left] for other in others)
        found, off = IntegratedGradients(value).attribute(
            here, there, additional_forward_args=more, n_steps=steps, return_convergence_delta=True
        )
        due = found.sum(1) - off
        good = off.abs() <= TOLERANCE * due.abs().clamp(min=1.0)
        split[left[good].cpu().numpy()] = found[good].detach().cpu().numpy()
        left = left[~good]
        if not len(left):
            break
    return split
