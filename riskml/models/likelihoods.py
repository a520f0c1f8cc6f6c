"""A distribution for every feature, picked by its kind; all of it can be scripted.

No postponed annotations in this file: TorchScript reads those of the buffers.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, hardtanh

from riskml.core.types import FeatureKind, FeatureSpec


def gaussian_nll(target: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Negative log density of a Gaussian, elementwise, in nats."""
    half_log_two_pi = 0.9189385332046727
    z = (target - mean) * torch.exp(-log_scale)
    return torch.addcmul(log_scale + half_log_two_pi, z, z, value=0.5)


def _student_t_normaliser(degrees: float) -> float:
    return (
        math.lgamma(degrees / 2)
        - math.lgamma((degrees + 1) / 2)
        + 0.5 * math.log(degrees * math.pi)
    )


def student_t_nll(target: Tensor, location: Tensor, log_scale: Tensor, degrees: float) -> Tensor:
    """Negative log density of a Student-t, elementwise, in nats.

    Its tails are so heavy that far values hardly pull at the location (Lange et al. 1989).

    Args:
        target: observed.
        location: centre.
        log_scale: log of the scale.
        degrees: of freedom, above 0; the fewer, the heavier the tails.
    """
    if not torch.jit.is_scripting() and log_scale.requires_grad:  # type: ignore[attr-defined]
        learnt: Tensor = _StudentT.apply(target, location, log_scale, degrees)  # type: ignore[no-untyped-call]
        return learnt
    normaliser = _student_t_normaliser(degrees)
    distance = ((target - location) * torch.exp(-log_scale)).square()
    return (degrees + 1) / 2 * torch.log1p(distance / degrees) + log_scale + normaliser


class _StudentT(torch.autograd.Function):
    """`student_t_nll` with its derivatives in closed form: half the passes over memory."""

    @staticmethod
    def forward(
        ctx: Any, target: Tensor, location: Tensor, log_scale: Tensor, degrees: float
    ) -> Tensor:
        ctx.spread = log_scale.shape  # [n, d], or [1, d] for all windows
        half = (degrees + 1) / 2
        # the normaliser goes into the logarithm, log(a + a z²/degrees)
        a = math.exp(_student_t_normaliser(degrees) / half)
        inverse = torch.exp(-log_scale)
        z = (location - target).mul_(inverse)
        inner = torch.addcmul(z.new_full((), a), z, z, value=a / degrees)
        surprise = torch.add(log_scale, torch.log(inner), alpha=half)
        # with r = (degrees + 1) / (1 + z²/degrees) the derivatives are
        # r z / (degrees scale) by the location, and r - degrees by the log scale
        r = inner.reciprocal_().mul_(a * (degrees + 1))
        by_location = z.mul_(inverse).mul_(r).mul_(1 / degrees)
        ctx.save_for_backward(by_location, r.sub_(degrees))
        return surprise

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *above: Tensor) -> tuple[None, Tensor, Tensor, None]:
        by_location, by_log_scale = ctx.saved_tensors
        spread = (above[0] * by_log_scale).sum_to_size(ctx.spread)
        return None, above[0] * by_location, spread, None


def negative_binomial_nll(count: Tensor, log_mean: Tensor, log_shape: Tensor) -> Tensor:
    """Negative log mass of a negative binomial, elementwise, in nats.

    Args:
        count: observed, 0 or more.
        log_mean: log of the mean.
        log_shape: log of the shape; the variance is mean + mean² / shape.
    """
    shape = torch.exp(log_shape)
    log_total = torch.logaddexp(log_mean, log_shape)
    return (
        torch.lgamma(shape)
        + torch.lgamma(count + 1)
        - torch.lgamma(count + shape)
        + shape * (log_total - log_shape)
        + count * (log_total - log_mean)
    )


def action_nll(logits: Tensor, tokens: Tensor) -> Tensor:
    """Negative log probability of each action, in nats; 0 on padding.

    Args:
        logits: [n, L, actions].
        tokens: int64 [n, L].

    Returns:
        [n, L].
    """
    flat = cross_entropy(
        logits.float().flatten(0, 1), tokens.flatten(), reduction="none", ignore_index=0
    )
    return flat.view_as(tokens)


class FeatureLikelihood(nn.Module):
    """Turns a hidden vector into the negative log-likelihood of each feature.

    Gaussian or Student-t for continuous and cyclic features (on the scaled value), negative
    binomial for counts, Bernoulli for binary ones (on the raw value).

    Args:
        spec: names the kind of each column.
        hidden: length of the hidden vector.
        mean_counts: float32 [d] mean of each raw feature in training; the heads start there.
        degrees: of freedom of the Student-t; 0 for a Gaussian.
        window_spread: whether the hidden vector tells the spread of each window; otherwise each
            feature has one for all, as squared error has, which is faster.
    """

    gaussian: Tensor
    count: Tensor
    binary: Tensor
    order: Tensor

    def __init__(
        self,
        spec: FeatureSpec,
        hidden: int,
        mean_counts: Tensor,
        degrees: float = 0.0,
        window_spread: bool = True,
    ) -> None:
        super().__init__()
        self.degrees = float(degrees)
        gaussian = torch.from_numpy(spec.columns(FeatureKind.CONTINUOUS, FeatureKind.CYCLIC))
        count = torch.from_numpy(spec.columns(FeatureKind.COUNT))
        binary = torch.from_numpy(spec.columns(FeatureKind.BINARY))
        self.register_buffer("gaussian", gaussian)
        self.register_buffer("count", count)
        self.register_buffer("binary", binary)
        # columns are computed kind by kind and put back in the spec's order
        order = torch.argsort(torch.cat([gaussian, count, binary]))
        self.register_buffer("order", order)
        self.in_order = bool((order == torch.arange(len(order))).all())
        self.sizes = [len(gaussian), len(count), len(binary)]
        self.location = nn.Linear(hidden, len(spec))
        self.window_spread = window_spread
        # a layer without inputs gives its bias alone
        self.spread = nn.Linear(hidden if window_spread else 0, len(gaussian) + len(count))
        # weights that nothing uses would keep the processes of a distributed run waiting
        self.spread.weight.requires_grad_(window_spread and self.spread.out_features > 0)
        self.spread.bias.requires_grad_(self.spread.out_features > 0)
        start = torch.zeros(len(spec))
        start[len(gaussian) : len(gaussian) + len(count)] = torch.log(mean_counts[count] + 0.01)
        share = mean_counts[binary].clamp(0.01, 0.99)
        start[len(gaussian) + len(count) :] = torch.log(share / (1 - share))
        with torch.no_grad():
            self.location.bias.copy_(start)
            self.location.weight.mul_(0.1)
            self.spread.weight.mul_(0.1)
            if not window_spread:
                self.spread.bias.zero_()

    def forward(self, hidden: Tensor, x: Tensor, scaled: Tensor) -> Tensor:
        """Per-feature negative log-likelihood.

        Args:
            hidden: [n, hidden].
            x: [n, d] raw features.
            scaled: [n, d] the same, scaled.

        Returns:
            [n, d] in nats, columns in the order of the spec.
        """
        # under mixed precision the layers give half floats, too coarse for a density
        location = self.location(hidden).float().split(self.sizes, 1)
        told = self.spread(hidden).float() if self.window_spread else self.spread.bias.unsqueeze(0)
        spread = told.split(self.sizes[:2], 1)
        # hardtanh is clamp with a cheaper derivative, and kinds that the spec lacks would cost as
        # many calls as those it has
        parts: list[Tensor] = []
        if self.sizes[0] > 0:
            target = scaled if self.sizes[0] == x.size(1) else scaled.index_select(1, self.gaussian)
            log_scale = hardtanh(spread[0], -3.0, 3.0)
            if self.degrees > 0.0:
                parts.append(student_t_nll(target, location[0], log_scale, self.degrees))
            else:
                parts.append(gaussian_nll(target, location[0], log_scale))
        if self.sizes[1] > 0:
            parts.append(
                negative_binomial_nll(
                    x.index_select(1, self.count).clamp(min=0.0),
                    hardtanh(location[1], -12.0, 16.0),
                    hardtanh(spread[1], -4.0, 6.0),
                )
            )
        if self.sizes[2] > 0:
            parts.append(
                binary_cross_entropy_with_logits(
                    hardtanh(location[2], -12.0, 12.0),
                    x.index_select(1, self.binary),
                    reduction="none",
                )
            )
        surprise = torch.cat(parts, 1)
        return surprise if self.in_order else surprise.index_select(1, self.order)
