"""Autoencoder: squeezes a window's features through a few numbers and back."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from riskml.models.deep import DeepDetector, NetworkInputs, TrainingSettings
from riskml.models.likelihoods import FeatureLikelihood
from riskml.models.networks import (
    DetectorNetwork,
    Scale,
    UserView,
    check_architecture,
    encoder,
    multilayer,
)
from riskml.models.tables import Kinds


class AutoencoderNetwork(DetectorNetwork):
    """Encoder → latent → decoder with a likelihood head per feature; the decoder knows the user."""

    def __init__(
        self,
        inputs: NetworkInputs,
        hidden: Sequence[int],
        latent_dim: int,
        user_dim: int,
        population_weight: float,
        degrees_of_freedom: float,
        window_spread: bool,
        input_dropout: float,
    ) -> None:
        super().__init__(UserView(inputs.n_users, user_dim), population_weight)
        self.scale = Scale(inputs.spec, inputs.scaler)
        self.corrupt = nn.Dropout(float(input_dropout))
        self.encoder = encoder([len(inputs.spec), *hidden])
        self.latent = nn.Linear(hidden[-1], latent_dim)
        self.decoder = multilayer([latent_dim + self.view.size, *reversed(hidden)])
        self.likelihood = FeatureLikelihood(
            inputs.spec, hidden[0], inputs.mean_counts, degrees_of_freedom, window_spread
        )

    def parts(
        self, x: Tensor, tokens: Tensor, times: Tensor, lengths: Tensor, user: Tensor
    ) -> Tensor:
        """[n, d] negative log-likelihood of each feature given its reconstruction."""
        scaled = self.scale(x)
        latent = self.latent(self.encoder(self.corrupt(scaled)))
        hidden = self.decoder(torch.cat([latent, self.view(user)], 1))
        surprise: Tensor = self.likelihood(hidden, x, scaled)
        return surprise


class AutoencoderDetector(DeepDetector):
    """Scores a window by the negative log-likelihood of its reconstruction.

    Args:
        hidden: widths of the encoder's layers; the decoder mirrors them.
        latent_dim: numbers that a window is squeezed into.
        input_dropout: share of inputs hidden in training, so that copying does not pay.
        user_dim: length of the per-user vector, 0 for none.
        population_weight: how much of what is unusual for anyone is taken off, 0 to 1.
        degrees_of_freedom: of the Student-t of continuous features, whose heavy tails keep odd
            train rows from bending what is usual; 0 for a Gaussian.
        window_spread: whether a feature's spread is told for each window; otherwise there is one
            for all, as squared error has, which is faster.
        training: optimiser, batches, epochs, seed.
        contamination: share of odd rows that is expected; sets `threshold_`.
        kinds: kinds of a table's columns by name, where they are not to be inferred.
    """

    def __init__(
        self,
        hidden: Sequence[int] = (64, 32),
        latent_dim: int = 8,
        input_dropout: float = 0.1,
        user_dim: int = 32,
        population_weight: float = 0.5,
        degrees_of_freedom: float = 3.0,
        window_spread: bool = True,
        training: TrainingSettings | None = None,
        contamination: float = 0.1,
        kinds: Kinds | None = None,
    ) -> None:
        super().__init__(training, contamination, kinds)
        self.architecture = {
            "hidden": list(hidden),
            "latent_dim": latent_dim,
            "input_dropout": input_dropout,
            "user_dim": user_dim,
            "population_weight": population_weight,
            "degrees_of_freedom": degrees_of_freedom,
            "window_spread": window_spread,
        }
        check_architecture(self.architecture)

    def build_network(self, inputs: NetworkInputs) -> DetectorNetwork:
        """The untrained network."""
        return AutoencoderNetwork(inputs, **self.architecture)

    def topics(self) -> list[str]:
        """Feature topics, one a contribution."""
        return [feature.topic for feature in self.spec_.features]
