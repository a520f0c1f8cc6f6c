"""Variational autoencoder whose prior knows the user (Kingma & Welling 2014; Sohn et al. 2015)."""

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


class VAENetwork(DetectorNetwork):
    """q(z | x), p(z | user), p(x | z, user). Scoring takes z at the posterior mean: no chance."""

    def __init__(
        self,
        inputs: NetworkInputs,
        hidden: Sequence[int],
        latent_dim: int,
        user_dim: int,
        population_weight: float,
        degrees_of_freedom: float,
        beta: float,
    ) -> None:
        super().__init__(UserView(inputs.n_users, user_dim), population_weight)
        self.beta = beta
        self.scale = Scale(inputs.spec, inputs.scaler)
        self.encoder = encoder([len(inputs.spec), *hidden])
        self.posterior = nn.Linear(hidden[-1], 2 * latent_dim)
        self.prior = nn.Linear(self.view.size, 2 * latent_dim)
        self.decoder = multilayer([latent_dim + self.view.size, *reversed(hidden)])
        self.likelihood = FeatureLikelihood(
            inputs.spec, hidden[0], inputs.mean_counts, degrees_of_freedom
        )

    def parts(
        self, x: Tensor, tokens: Tensor, times: Tensor, lengths: Tensor, user: Tensor
    ) -> Tensor:
        """[n, d + 1]: negative log-likelihood of each feature, then divergence from the prior."""
        scaled = self.scale(x)
        mean, log_scale = self.posterior(self.encoder(scaled)).float().chunk(2, 1)
        log_scale = log_scale.clamp(-6.0, 3.0)
        z = mean
        if self.training:
            z = mean + torch.randn_like(mean) * torch.exp(log_scale)
        about = self.view(user)
        prior_mean, prior_log_scale = self.prior(about).float().chunk(2, 1)
        prior_log_scale = prior_log_scale.clamp(-3.0, 3.0)
        divergence = (
            prior_log_scale
            - log_scale
            + 0.5
            * (torch.exp(2 * log_scale) + (mean - prior_mean).square())
            * torch.exp(-2 * prior_log_scale)
            - 0.5
        ).sum(1, keepdim=True)
        hidden = self.decoder(torch.cat([z, about], 1))
        return torch.cat([self.likelihood(hidden, x, scaled), self.beta * divergence], 1)


class VAEDetector(DeepDetector):
    """Scores a window by its negative evidence bound, less what is unusual for anyone.

    Args:
        hidden: widths of the encoder's layers; the decoder mirrors them.
        latent_dim: dimensions of the latent space.
        beta: weight of the divergence from the prior.
        user_dim: length of the per-user vector, 0 for none.
        population_weight: how much of what is unusual for anyone is taken off, 0 to 1.
        degrees_of_freedom: of the Student-t of continuous features, whose heavy tails keep odd
            train rows from bending what is usual; 0 for a Gaussian.
        training: optimiser, batches, epochs, seed.
        contamination: share of odd rows that is expected; sets `threshold_`.
        kinds: kinds of a table's columns by name, where they are not to be inferred.
    """

    def __init__(
        self,
        hidden: Sequence[int] = (64, 32),
        latent_dim: int = 8,
        beta: float = 2.0,
        user_dim: int = 32,
        population_weight: float = 0.5,
        degrees_of_freedom: float = 3.0,
        training: TrainingSettings | None = None,
        contamination: float = 0.1,
        kinds: Kinds | None = None,
    ) -> None:
        super().__init__(training, contamination, kinds)
        self.architecture = {
            "hidden": list(hidden),
            "latent_dim": latent_dim,
            "beta": beta,
            "user_dim": user_dim,
            "population_weight": population_weight,
            "degrees_of_freedom": degrees_of_freedom,
        }
        check_architecture(self.architecture)

    def build_network(self, inputs: NetworkInputs) -> DetectorNetwork:
        """The untrained network."""
        return VAENetwork(inputs, **self.architecture)

    def topics(self) -> list[str]:
        """Feature topics, then the overall combination (the divergence)."""
        return [*(feature.topic for feature in self.spec_.features), COMBINATION]


COMBINATION = "combination"
"""Topic of the share that no single feature has: how unusual the latent position is."""
