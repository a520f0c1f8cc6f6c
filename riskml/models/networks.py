"""Building blocks that the detectors' networks share; all of it can be scripted.

No postponed annotations in this file: TorchScript reads those of the buffers.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from riskml.core.errors import DataError, require
from riskml.core.types import PAD, UNKNOWN_ACTION, FeatureKind, FeatureSpec
from riskml.features.scaling import LIMIT, FeatureScaler

INPUT_LIMIT = 8.0
"""Scaled inputs beyond this say nothing more to an encoder; the likelihood still sees them."""


def check_architecture(settings: Mapping[str, Any]) -> None:
    """Refuse sizes and shares that no network can have.

    Raises:
        ConfigError: names the setting.
    """
    for name, value in settings.items():
        if name == "window_spread":
            require(name, value, isinstance(value, bool), "must be true or false")
        elif isinstance(value, str):
            require(name, value, False, "must be a number")
        elif name == "hidden":
            fits = len(value) > 0 and min(value) >= 1
            require(name, value, fits, "must list one width or more, each at least 1")
        elif name == "user_dim":
            require(name, value, value >= 0, "must be 0 (no view of the user) or more")
        elif name == "top_k":
            require(name, value, value >= 0, "must be 0 (the mean of all) or more")
        elif name.endswith("dropout"):
            require(name, value, 0 <= value < 1, "must be a share from 0 to below 1")
        elif name == "population_weight":
            require(name, value, 0 <= value <= 1, "must lie between 0 and 1")
        elif name in ("beta", "degrees_of_freedom", "free_bits", "importance_samples"):
            require(name, value, value >= 0, "must be 0 or more")
        else:
            require(name, value, value >= 1, "must be at least 1")


def multilayer(sizes: Sequence[int]) -> nn.Sequential:
    """Linear layers with SiLU between and after them."""
    layers: list[nn.Module] = []
    for size_in, size_out in pairwise(sizes):
        layers += [nn.Linear(size_in, size_out), nn.SiLU()]
    return nn.Sequential(*layers)


def encoder(sizes: Sequence[int]) -> nn.Sequential:
    """`multilayer` behind a limit on its scaled inputs."""
    return nn.Sequential(nn.Hardtanh(-INPUT_LIMIT, INPUT_LIMIT), *multilayer(sizes))


def action_embedding(spec: FeatureSpec, width: int) -> nn.Embedding:
    """Learns on from the spec's action vectors; vectors of `width` by chance if it has none.

    Raises:
        DataError: the spec knows no actions, as that of a table.
    """
    if len(spec.actions) <= UNKNOWN_ACTION + 1:
        raise DataError("this detector judges actions, and these windows hold none")
    vectors = torch.from_numpy(spec.action_vectors)
    if vectors.shape[1] == 0:
        vectors = torch.randn(len(vectors), width) * 0.1
    embedding = nn.Embedding(len(vectors), vectors.shape[1], padding_idx=PAD)
    with torch.no_grad():
        embedding.weight.copy_(vectors)
    return embedding


TIME_WIDTH = 3
"""Numbers of `time_inputs` an event."""


def time_inputs(times: Tensor) -> Tensor:
    """[n, L, 2] log gaps and hours → [n, L, 3]: gap as a share of log(one day), the hour's circle.

    Without times: [n, 0, 3].
    """
    log_day, hour = 11.367, 0.2617993877991494
    angle = times[:, :, 1] * hour
    return torch.stack([times[:, :, 0] / log_day, torch.sin(angle), torch.cos(angle)], 2)


class CausalBlock(nn.Module):
    """Attention to events up to one's own, then a feed-forward layer; norms come first."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.mix = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.forward_norm = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(float(dropout))

    def forward(self, events: Tensor) -> Tensor:
        """[n, L, width] → [n, L, width]; padding at the end is never looked at."""
        n, length, width = events.shape
        mixed = self.mix(self.attention_norm(events)).view(n, length, 3, self.heads, -1)
        query, key, value = mixed.permute(2, 0, 3, 1, 4).unbind(0)
        seen = scaled_dot_product_attention(query, key, value, is_causal=True)
        seen = self.out(seen.transpose(1, 2).reshape(n, length, width))
        events = events + self.dropout(seen)
        result: Tensor = events + self.dropout(self.feed_forward(self.forward_norm(events)))
        return result


class Scale(nn.Module):
    """`FeatureScaler.transform` inside the graph, so that the graph takes raw features."""

    is_count: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, spec: FeatureSpec, scaler: FeatureScaler) -> None:
        super().__init__()
        is_count = torch.zeros(len(spec), dtype=torch.bool)
        is_count[torch.from_numpy(spec.columns(FeatureKind.COUNT))] = True
        self.register_buffer("is_count", is_count)
        self.register_buffer("mean", torch.from_numpy(scaler.mean))
        self.register_buffer("scale", torch.from_numpy(scaler.scale))
        self.any_count = bool(is_count.any())
        self.limit = LIMIT

    def forward(self, x: Tensor) -> Tensor:
        """[n, d] raw → [n, d] scaled."""
        if self.any_count:
            x = torch.where(self.is_count, torch.log1p(x.clamp(min=0.0)), x)
        return ((x - self.mean) / self.scale).clamp(-self.limit, self.limit)


class UserView(nn.Module):
    """A learnt vector for every user; index 0 is the population, learnt by dropping users out.

    Args:
        n_users: users known from training.
        size: length of the vector; 0, or a single user, switches the view off.
        dropout: share of training rows that are shown as the population.
    """

    def __init__(self, n_users: int, size: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.size = size if n_users > 1 else 0
        self.dropout = dropout
        self.table = nn.Embedding(n_users + 1, self.size)
        nn.init.normal_(self.table.weight, std=0.1)
        self.table.weight.requires_grad_(self.size > 0)

    def forward(self, user: Tensor) -> Tensor:
        """[n] indices → [n, size]; in training some rows become the population."""
        if self.size == 0:
            return torch.zeros(user.size(0), 0, device=user.device)
        if self.training:
            keep = torch.rand(user.shape, device=user.device) >= self.dropout
            user = user * keep
        vectors: Tensor = self.table(user)
        return vectors


class DetectorNetwork(nn.Module):
    """A graph whose score is the exact sum of its contributions.

    With a user view the score is a likelihood ratio: what is unusual for this user, less
    `population_weight` times what is unusual for anyone.

    Attributes:
        has_likelihood: whether `negative_log_likelihood` is that of a density; what an autoencoder
            makes of a window that it has seen is none.
    """

    has_likelihood = False

    def __init__(self, view: UserView, population_weight: float) -> None:
        super().__init__()
        self.view = view
        self.population_weight = population_weight if view.size > 0 else 0.0

    def parts(
        self, x: Tensor, tokens: Tensor, times: Tensor, lengths: Tensor, user: Tensor
    ) -> Tensor:
        """Negative log-likelihood of each part of a window, [n, parts]."""
        raise NotImplementedError("a detector's network defines parts()")

    @torch.jit.export
    def contributions(
        self, x: Tensor, tokens: Tensor, times: Tensor, lengths: Tensor, user: Tensor
    ) -> Tensor:
        """Share of each part in the score, [n, parts]."""
        parts = self.parts(x, tokens, times, lengths, user)
        if self.population_weight > 0.0:
            anyone = self.parts(x, tokens, times, lengths, torch.zeros_like(user))
            parts = parts - self.population_weight * anyone
        return self.pool(parts, lengths)

    def pool(self, parts: Tensor, lengths: Tensor) -> Tensor:
        """What the parts add to the score, [n, parts] → [n, parts]; all of each unless overridden.

        Args:
            parts: negative log-likelihoods, what is unusual for anyone already taken off.
            lengths: [n].
        """
        return parts

    def forward(
        self, x: Tensor, tokens: Tensor, times: Tensor, lengths: Tensor, user: Tensor
    ) -> Tensor:
        """Scores.

        Args:
            x: float32 [n, d] raw features.
            tokens: int64 [n, L] action ids.
            times: float32 [n, L, 2] log gaps and hours, or [n, 0, 2] (see `Windows`).
            lengths: int64 [n].
            user: int64 [n] user indices, 0 for a user not known.

        Returns:
            float32 [n].
        """
        return self.contributions(x, tokens, times, lengths, user).sum(1)

    def loss(
        self, x: Tensor, tokens: Tensor, times: Tensor, lengths: Tensor, user: Tensor
    ) -> Tensor:
        """What training minimises for each window, [n]."""
        return self.parts(x, tokens, times, lengths, user).sum(1)

    def negative_log_likelihood(
        self, x: Tensor, tokens: Tensor, times: Tensor, lengths: Tensor, user: Tensor
    ) -> Tensor:
        """Of each window under its user's view, [n]."""
        return self.loss(x, tokens, times, lengths, user)
