"""Networks by `torch.export`, upstream's successor of TorchScript: plain tensor operations."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from riskml.models.base import Detector

MOST_ROWS, MOST_EVENTS = 1 << 20, 1 << 16
SHIFT = 8


def export_program(detector: Detector) -> torch.export.ExportedProgram:
    """The network as (x, tokens, times, lengths, user) -> score, for any number of windows.

    Args:
        detector: fitted, with a graph.

    Raises:
        BundleError: the detector has no network.
    """
    network, spec = detector.eager(), detector.spec_
    n, length = torch.export.Dim("n", max=MOST_ROWS), torch.export.Dim("L", max=MOST_EVENTS)
    timed = {0: n, 1: length} if spec.event_times else {0: n}
    shapes = ({0: n}, {0: n, 1: length}, timed, {0: n}, {0: n})
    program = torch.export.export(network, example_of(detector), dynamic_shapes=shapes)
    # what not every runtime has: the likelihood of counts and the levels of features need them
    lowered: torch.export.ExportedProgram = program.run_decompositions(
        {
            torch.ops.aten.lgamma.default: log_gamma,
            torch.ops.aten.searchsorted.Tensor: place_among,
        }
    )
    return lowered


def example_of(detector: Detector) -> tuple[Tensor, ...]:
    """Inputs of the network for three windows."""
    spec = detector.spec_
    return (
        torch.zeros(3, len(spec)),
        torch.ones(3, 5, dtype=torch.int64),
        torch.zeros(3, 5 if spec.event_times else 0, 2),
        torch.tensor([5, 2, 1]),
        torch.zeros(3, dtype=torch.int64),
    )


def place_among(edges: Tensor, values: Tensor) -> Tensor:
    """How many of the edges [..., k] lie below each of the values [..., n], int64 [..., n].

    >>> place_among(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, 2.0, 9.0]])).tolist()
    [[0, 1, 2]]
    """
    return (edges.unsqueeze(-2) < values.unsqueeze(-1)).sum(-1)


def log_gamma(x: Tensor) -> Tensor:
    """Logarithm of the gamma function for x > 0 by Stirling's series, in double precision.

    >>> values = torch.tensor([0.01, 1.0, 3.5, 200.0], dtype=torch.float64)
    >>> bool((log_gamma(values) - torch.lgamma(values)).abs().max() < 1e-10)
    True
    """
    y = x.double()
    rising = torch.ones_like(y)
    for step in range(SHIFT):
        rising = rising * (y + step)
    z = y + SHIFT
    square = 1 / (z * z)
    tail = (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680))) / z
    series = (z - 0.5) * torch.log(z) - z + math.log(2 * math.pi) / 2 + tail
    return (series - torch.log(rising)).to(x.dtype)
