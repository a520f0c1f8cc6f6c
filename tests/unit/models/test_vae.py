"""The VAE's bounds: fixed points, exact shares, free bits."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from made_windows import DEEP, make_windows

from riskml.core.errors import ConfigError
from riskml.core.types import Windows
from riskml.models.batches import to_tensors
from riskml.models.deep import DeepDetector
from riskml.models.vae import VAEDetector, VAENetwork, spread


def with_points(fitted: DeepDetector, windows: Windows, points: int) -> DeepDetector:
    """The same weights, scored over so many points."""
    other = DEEP["vae"](**{**fitted.architecture, "importance_samples": points})
    other._build(windows)
    other.network.load_state_dict(fitted.network.state_dict())
    other.network.eval()
    return other


@pytest.mark.parametrize("count", [2, 5, 64])
def test_points_are_fixed_and_centred(count: int) -> None:
    points = spread(count, 3)
    assert points.shape == (count, 3)
    assert torch.equal(points, spread(count, 3))
    torch.testing.assert_close(points.mean(0), torch.zeros(3), rtol=0, atol=1e-6)


def test_many_points_are_spread_as_a_gaussian() -> None:
    points = spread(512, 2)
    torch.testing.assert_close(points.T.cov(), torch.eye(2), rtol=0, atol=0.05)


@pytest.mark.parametrize("count", [0, 1])
def test_one_point_is_the_posterior_mean(
    count: int, fitted_all: dict[str, DeepDetector], windows: Windows
) -> None:
    vae = fitted_all["vae"]
    assert np.array_equal(with_points(vae, windows, count).score(windows), vae.score(windows))


@pytest.mark.parametrize("population_weight", [0.0, 0.5])
def test_shares_of_the_bound_sum_to_it(
    population_weight: float, fitted_all: dict[str, DeepDetector], windows: Windows
) -> None:
    detector = with_points(fitted_all["vae"], windows, 9)
    detector.network.population_weight = population_weight
    parts, scores = detector.contributions(windows), detector.score(windows)
    np.testing.assert_allclose(parts.sum(1), scores, rtol=1e-5, atol=1e-4)
    assert np.array_equal(scores, detector.score(windows)), "no chance"
    tensors = to_tensors(windows, detector.users_)
    with torch.inference_mode():
        saved = io.BytesIO()
        torch.jit.save(detector.graph(), saved)
        saved.seek(0)
        scripted = torch.jit.load(saved)(*tensors)
    np.testing.assert_allclose(scripted, scores, rtol=1e-5, atol=1e-5)


def test_bound_is_the_mean_of_its_weights(
    fitted_all: dict[str, DeepDetector], windows: Windows
) -> None:
    """Against -log mean exp(-surprise), point by point with torch's own distributions."""
    network = with_points(fitted_all["vae"], windows, 6).network
    assert isinstance(network, VAENetwork)
    x, *_, user = to_tensors(windows, fitted_all["vae"].users_)
    with torch.inference_mode():
        scaled, about = network.scale(x), network.view(user)
        mean, log_scale, prior_mean, prior_log_scale = network.beliefs(scaled, about)
        posterior = torch.distributions.Normal(mean, log_scale.exp())
        prior = torch.distributions.Normal(prior_mean, prior_log_scale.exp())
        weights = []
        for point in network.points:
            z = mean + log_scale.exp() * point
            nll = network.likelihood(network.decoder(torch.cat([z, about], 1)), x, scaled).sum(1)
            ratio = (prior.log_prob(z) - posterior.log_prob(z)).sum(1)
            weights.append(network.beta * ratio - nll)
        expected = -(torch.logsumexp(torch.stack(weights), 0) - np.log(6))
        torch.testing.assert_close(
            network.bound(x, user, network.points, network.beta).sum(1),
            expected,
            rtol=1e-4,
            atol=1e-3,
        )


def test_free_bits_keep_the_latent_space_in_use(windows: Windows) -> None:
    def divergence(free_bits: float) -> float:
        detector = DEEP["vae"](beta=50.0, free_bits=free_bits).fit(windows)
        network = detector.network
        assert isinstance(network, VAENetwork)
        x, *_, user = to_tensors(make_windows(seed=3), detector.users_)
        with torch.inference_mode():
            return float(network.one_pass(x, user)[1].mean())

    assert divergence(2.0) > divergence(0.0)


@pytest.mark.parametrize("setting", ["free_bits", "importance_samples", "beta"])
def test_negative_settings_are_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match=rf"{setting}=-1 must be 0 or more"):
        DEEP["vae"](**{setting: -1})


def test_latent_places_are_the_means_that_scoring_takes(windows: Windows) -> None:
    detector = DEEP["vae"]().fit(windows)
    assert isinstance(detector, VAEDetector)
    network = detector.network
    assert isinstance(network, VAENetwork)
    places = detector.latent(windows)
    assert places.shape == (len(windows), network.prior.out_features // 2)
    x, *_, user = to_tensors(windows, detector.users_)
    with torch.inference_mode():
        mean = network.beliefs(network.scale(x), network.view(user))[0]
    np.testing.assert_allclose(places, mean.numpy(), rtol=1e-5, atol=1e-6)
