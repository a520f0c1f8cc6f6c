"""Variational autoencoder whose prior knows the user (Kingma & Welling 2014; Sohn et al. 2015).

No postponed annotations in this file: TorchScript reads those of the buffers.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from riskml.core.types import FloatArray, Windows
from riskml.models.attribution import COMBINATION
from riskml.models.deep import DeepDetector, NetworkInputs, TrainingSettings
from riskml.models.likelihoods import FeatureLikelihood, gaussian_nll
from riskml.models.networks import (
    DetectorNetwork,
    Scale,
    UserView,
    check_architecture,
    encoder,
    multilayer,
)
from riskml.models.tables import Kinds

HELD_OUT_POINTS = 16
"""Points of the posterior by which the likelihood of held-out windows is judged."""


class VAENetwork(DetectorNetwork):
    """q(z | x), p(z | user), p(x | z, user). Scoring is without chance.

    It takes z at the posterior mean, or, with `importance_samples` of 2 or more, the importance
    weighted bound (Burda et al. 2016) over fixed points of the posterior.
    """

    points: Tensor
    has_likelihood = True

    def __init__(
        self,
        inputs: NetworkInputs,
        hidden: Sequence[int],
        latent_dim: int,
        user_dim: int,
        population_weight: float,
        degrees_of_freedom: float,
        window_spread: bool,
        beta: float,
        free_bits: float,
        importance_samples: int,
    ) -> None:
        super().__init__(UserView(inputs.n_users, user_dim), population_weight)
        self.beta = beta
        self.free_bits = free_bits
        self.scale = Scale(inputs.spec, inputs.scaler)
        self.encoder = encoder([len(inputs.spec), *hidden])
        self.posterior = nn.Linear(hidden[-1], 2 * latent_dim)
        self.prior = nn.Linear(self.view.size, 2 * latent_dim)
        self.decoder = multilayer([latent_dim + self.view.size, *reversed(hidden)])
        self.likelihood = FeatureLikelihood(
            inputs.spec, hidden[0], inputs.mean_counts, degrees_of_freedom, window_spread
        )
        # follows from the settings, so it is not saved with the weights
        self.register_buffer("points", spread(importance_samples, latent_dim), persistent=False)

    def beliefs(self, scaled: Tensor, about: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Mean and log scale of the posterior, then of the prior, each [n, latent]."""
        mean, log_scale = self.posterior(self.encoder(scaled)).float().chunk(2, 1)
        prior_mean, prior_log_scale = self.prior(about).float().chunk(2, 1)
        return mean, log_scale.clamp(-6.0, 3.0), prior_mean, prior_log_scale.clamp(-3.0, 3.0)

    def one_pass(self, x: Tensor, user: Tensor) -> tuple[Tensor, Tensor]:
        """Surprise of each feature [n, d] at one z, and the divergence of each dimension."""
        scaled, about = self.scale(x), self.view(user)
        mean, log_scale, prior_mean, prior_log_scale = self.beliefs(scaled, about)
        z = mean
        if self.training:
            z = mean + torch.randn_like(mean) * torch.exp(log_scale)
        divergence = (
            prior_log_scale
            - log_scale
            + 0.5
            * (torch.exp(2 * log_scale) + (mean - prior_mean).square())
            * torch.exp(-2 * prior_log_scale)
            - 0.5
        )
        hidden = self.decoder(torch.cat([z, about], 1))
        return self.likelihood(hidden, x, scaled), divergence

    def bound(self, x: Tensor, user: Tensor, points: Tensor, beta: float) -> Tensor:
        """[n, d + 1]: shares of the importance weighted bound over `points` [k, latent].

        With t the surprise at each point and w = softmax(-t), the bound -log mean exp(-t) equals
        sum(w t) + sum(w log w) + log(points): a mean over points that splits by feature. What no
        feature has goes to the divergence.
        """
        scaled, about = self.scale(x), self.view(user)
        mean, log_scale, prior_mean, prior_log_scale = self.beliefs(scaled, about)
        surprises: list[Tensor] = []
        divergences: list[Tensor] = []
        for k in range(points.size(0)):
            z = mean + points[k] * torch.exp(log_scale)
            hidden = self.decoder(torch.cat([z, about], 1))
            surprises.append(self.likelihood(hidden, x, scaled))
            prior = gaussian_nll(z, prior_mean, prior_log_scale)
            posterior = gaussian_nll(z, mean, log_scale)
            divergences.append(beta * (prior - posterior).sum(1))
        surprise, divergence = torch.stack(surprises), torch.stack(divergences)
        log_weight = torch.log_softmax(-(surprise.sum(2) + divergence), 0)
        weight = torch.exp(log_weight)
        rest = (weight * (divergence + log_weight)).sum(0) + math.log(points.size(0))
        return torch.cat([(weight.unsqueeze(2) * surprise).sum(0), rest.unsqueeze(1)], 1)

    def parts(
        self, x: Tensor, tokens: Tensor, times: Tensor, lengths: Tensor, user: Tensor
    ) -> Tensor:
        """[n, d + 1]: negative log-likelihood of each feature, then divergence from the prior."""
        if self.points.size(0) > 1:
            return self.bound(x, user, self.points, self.beta)
        surprise, divergence = self.one_pass(x, user)
        return torch.cat([surprise, self.beta * divergence.sum(1, keepdim=True)], 1)

    def loss(
        self, x: Tensor, tokens: Tensor, times: Tensor, lengths: Tensor, user: Tensor
    ) -> Tensor:
        """[n]: the evidence bound at one z, whatever scoring does.

        In training each latent dimension has `free_bits` nats a batch (Kingma et al. 2016).
        """
        surprise, divergence = self.one_pass(x, user)
        if self.training and self.free_bits > 0:
            divergence = divergence.mean(0, keepdim=True).clamp(min=self.free_bits)
        return surprise.sum(1) + self.beta * divergence.sum(1)

    def negative_log_likelihood(
        self, x: Tensor, tokens: Tensor, times: Tensor, lengths: Tensor, user: Tensor
    ) -> Tensor:
        """[n]: the importance weighted bound, whose divergence weighs 1 whatever `beta` is."""
        latent = self.prior.out_features // 2
        points = spread(HELD_OUT_POINTS, latent).to(x.device)
        return self.bound(x, user, points, 1.0).sum(1)


def spread(count: int, dimensions: int) -> Tensor:
    """Points of a standard Gaussian that are the same each time, [count, dimensions].

    Quasi-random (scrambled Sobol) in pairs z, -z, so that their mean is 0; an odd one is 0 itself.
    """
    if count < 2:
        return torch.zeros(0, dimensions)
    sobol = torch.quasirandom.SobolEngine(dimensions, scramble=True, seed=0)  # type: ignore[no-untyped-call]
    half = torch.special.ndtri(sobol.draw(count // 2).double().clamp(1e-6, 1 - 1e-6)).float()
    return torch.cat([half, -half, torch.zeros(count % 2, dimensions)])


class VAEDetector(DeepDetector):
    """Scores a window by its negative evidence bound, less what is unusual for anyone.

    Args:
        hidden: widths of the encoder's layers; the decoder mirrors them.
        latent_dim: dimensions of the latent space.
        beta: weight of the divergence from the prior.
        free_bits: nats of divergence that each latent dimension may have in training for nothing;
            0 for none. Above 0 the latent space is not given up early in training.
        importance_samples: points of the posterior that scoring weighs; 0 or 1 takes its mean, in
            one pass. The cost of a score grows with it.
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
        beta: float = 2.0,
        user_dim: int = 32,
        population_weight: float = 0.5,
        degrees_of_freedom: float = 3.0,
        window_spread: bool = True,
        free_bits: float = 0.0,
        importance_samples: int = 0,
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
            "window_spread": window_spread,
            "free_bits": free_bits,
            "importance_samples": importance_samples,
        }
        check_architecture(self.architecture)

    def build_network(self, inputs: NetworkInputs) -> DetectorNetwork:
        """The untrained network."""
        return VAENetwork(inputs, **self.architecture)

    @torch.inference_mode()
    def latent(self, windows: Windows) -> FloatArray:
        """Where windows lie in the latent space: means of the posterior, float32 [n, latent]."""
        network = self.network_ready(windows)
        assert isinstance(network, VAENetwork)
        hidden = network.encoder(network.scale(torch.from_numpy(windows.x).to(self.device)))
        mean: FloatArray = network.posterior(hidden).float().chunk(2, 1)[0].cpu().numpy()
        return mean

    def topics(self) -> list[str]:
        """Feature topics, then the overall combination (the divergence)."""
        return [*(feature.topic for feature in self.spec_.features), COMBINATION]
