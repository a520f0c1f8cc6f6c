"""Causal transformer that predicts each action (Vaswani et al. 2017), masked and scriptable."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from riskml.core.errors import require
from riskml.models.deep import DeepDetector, NetworkInputs, TrainingSettings
from riskml.models.likelihoods import action_nll
from riskml.models.networks import (
    TIME_WIDTH,
    CausalBlock,
    DetectorNetwork,
    UserView,
    action_embedding,
    check_architecture,
    time_inputs,
)
from riskml.models.tables import Kinds


class TransformerNetwork(DetectorNetwork):
    """Predicts each action from those before it, from when it happens, and from the user."""

    has_likelihood = True

    def __init__(
        self,
        inputs: NetworkInputs,
        width: int,
        layers: int,
        heads: int,
        top_k: int,
        user_dim: int,
        population_weight: float,
        dropout: float,
    ) -> None:
        super().__init__(UserView(inputs.n_users, user_dim), population_weight)
        self.top_k, self.width = top_k, width
        self.embedding = action_embedding(inputs.spec, width)
        actions, embedded = self.embedding.weight.shape
        self.inputs = nn.Linear(embedded + self.view.size, width)
        self.moment = nn.Linear(TIME_WIDTH, width) if inputs.spec.event_times else None
        self.dropout = nn.Dropout(float(dropout))
        blocks = [CausalBlock(width, heads, dropout) for _ in range(layers)]
        self.blocks = nn.Sequential(*blocks, nn.LayerNorm(width))
        self.action = nn.Linear(width + self.view.size, actions)

    def parts(
        self, x: Tensor, tokens: Tensor, times: Tensor, lengths: Tensor, user: Tensor
    ) -> Tensor:
        """[n, L]: surprise of each action given its own time and all before it; 0 on padding."""
        embedded = self.embedding(tokens)
        before = torch.cat([torch.zeros_like(embedded[:, :1]), embedded[:, :-1]], 1)
        about = self.view(user).unsqueeze(1).expand(-1, tokens.size(1), -1)
        events = self.inputs(torch.cat([before, about], 2)) + self.positions(tokens)
        if self.moment is not None:
            events = events + self.moment(time_inputs(times))
        hidden = self.blocks(self.dropout(events))
        return action_nll(self.action(torch.cat([hidden, about], 2)), tokens)

    def positions(self, tokens: Tensor) -> Tensor:
        """[L, width]: sines and cosines, so that a window may be of any length."""
        place = torch.arange(tokens.size(1), device=tokens.device).unsqueeze(1)
        step = torch.arange(0, self.width, 2, device=tokens.device)
        angle = place * torch.exp(step * (-math.log(10_000.0) / self.width))
        return torch.cat([torch.sin(angle), torch.cos(angle)], 1)[:, : self.width]

    def pool(self, parts: Tensor, lengths: Tensor) -> Tensor:
        """[n, L]: the k largest parts over k, 0 elsewhere; a shorter window has its own k."""
        valid = torch.arange(parts.size(1), device=parts.device) < lengths.unsqueeze(1)
        chosen = valid
        if self.top_k > 0:
            ranked = parts.masked_fill(~valid, -float("inf"))
            places = ranked.topk(min(self.top_k, parts.size(1)), 1).indices
            chosen = torch.zeros_like(valid).scatter(1, places, torch.ones_like(places) > 0)
            chosen = chosen & valid
        return parts * chosen / chosen.sum(1, keepdim=True).clamp(min=1)

    def loss(
        self, x: Tensor, tokens: Tensor, times: Tensor, lengths: Tensor, user: Tensor
    ) -> Tensor:
        """[n]: mean surprise of all actions."""
        return self.parts(x, tokens, times, lengths, user).sum(1) / lengths.clamp(min=1)


class TransformerDetector(DeepDetector):
    """Scores a window by its most surprising actions, however many others are usual.

    The score is the mean of the `top_k` largest surprises. With a population weight the surprise
    of an action is that for this user less the weight times that for anyone; the k largest of
    these differences are chosen, so the same k actions give both terms, and each has 1/k of its
    difference as its contribution.

    Args:
        width: of the hidden vectors; a multiple of `heads`.
        layers: attention blocks.
        heads: of each block.
        top_k: actions that make the score; 0 takes the mean of all.
        dropout: share of hidden numbers dropped in training.
        user_dim: length of the per-user vector, 0 for none.
        population_weight: how much of what is unusual for anyone is taken off, 0 to 1.
        training: optimiser, batches, epochs, seed.
        contamination: share of odd rows that is expected; sets `threshold_`.
        kinds: kinds of a table's columns by name, where they are not to be inferred.
    """

    def __init__(
        self,
        width: int = 64,
        layers: int = 2,
        heads: int = 4,
        top_k: int = 5,
        dropout: float = 0.1,
        user_dim: int = 32,
        population_weight: float = 0.5,
        training: TrainingSettings | None = None,
        contamination: float = 0.1,
        kinds: Kinds | None = None,
    ) -> None:
        super().__init__(training, contamination, kinds)
        self.architecture = {
            "width": width,
            "layers": layers,
            "heads": heads,
            "top_k": top_k,
            "dropout": dropout,
            "user_dim": user_dim,
            "population_weight": population_weight,
        }
        check_architecture(self.architecture)
        require("width", width, width % heads == 0, f"must be a multiple of heads={heads}")

    def build_network(self, inputs: NetworkInputs) -> DetectorNetwork:
        """The untrained network."""
        return TransformerNetwork(inputs, **self.architecture)

    def topics(self) -> None:
        """The parts are the window's actions, in order."""
