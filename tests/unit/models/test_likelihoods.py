"""Likelihoods against SciPy, column by column."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_windows import SPEC
from scipy import stats

from riskml.core.types import Feature, FeatureKind, FeatureSpec
from riskml.models.likelihoods import (
    FeatureLikelihood,
    gaussian_nll,
    negative_binomial_nll,
    student_t_nll,
)

COUNTS = np.array([0.0, 1.0, 2.0, 7.0, 40.0, 300.0, 2000.0])


@pytest.mark.parametrize("mean", [-3.0, 0.0, 12.5])
@pytest.mark.parametrize("log_scale", [-2.0, 0.0, 1.5])
def test_gaussian(mean: float, log_scale: float) -> None:
    x = np.linspace(-50, 50, 41)
    ours = gaussian_nll(torch.tensor(x), torch.tensor(mean), torch.tensor(log_scale))
    np.testing.assert_allclose(ours, -stats.norm.logpdf(x, mean, np.exp(log_scale)), rtol=1e-6)


@pytest.mark.parametrize("mean", [0.01, 1.0, 30.0, 5000.0])
@pytest.mark.parametrize("shape", [0.05, 1.0, 20.0, 400.0])
def test_negative_binomial(mean: float, shape: float) -> None:
    truth = -stats.nbinom.logpmf(COUNTS, shape, shape / (shape + mean))
    log_mean, log_shape = torch.tensor(np.log(mean)), torch.tensor(np.log(shape))
    double = negative_binomial_nll(torch.tensor(COUNTS), log_mean, log_shape)
    np.testing.assert_allclose(double, truth, rtol=1e-7, atol=1e-9)
    single = negative_binomial_nll(
        torch.tensor(COUNTS, dtype=torch.float32), log_mean.float(), log_shape.float()
    )
    np.testing.assert_allclose(single, truth, rtol=1e-3, atol=1e-2)


def test_negative_binomial_mass_sums_to_one() -> None:
    mass = torch.exp(-negative_binomial_nll(torch.arange(2000.0).double(), *torch.tensor([1.5, 0])))
    assert float(mass.sum()) == pytest.approx(1.0, abs=1e-6)


def constant_heads(
    spec: FeatureSpec, location: list[float], spread: list[float]
) -> torch.nn.Module:
    """Heads that ignore their input."""
    module = FeatureLikelihood(spec, 4, torch.ones(len(spec)))
    with torch.no_grad():
        for head, values in ((module.location, location), (module.spread, spread)):
            head.weight.zero_()
            head.bias.copy_(torch.tensor(values))
    return module


def test_mixed_kinds_come_back_in_the_order_of_the_spec() -> None:
    # heads are grouped: three Gaussian, two counts, two Bernoulli
    module = constant_heads(SPEC, [0.1, 0.2, 0.3, 1.0, 2.0, -1.0, 1.5], [0.0, 0.5, -0.5, 0.3, 1.2])
    x = torch.tensor([[5.0, 9.0, 1.0, 9.0, 2.0, 9.0, 0.0]])
    scaled = torch.tensor([[9.0, -1.0, 9.0, 0.5, 9.0, 2.0, 9.0]])
    ours = module(torch.zeros(1, 4), x, scaled)[0].detach()

    def count(value: float, log_mean: float, log_shape: float) -> float:
        shape, mean = np.exp(log_shape), np.exp(log_mean)
        return -float(stats.nbinom.logpmf(value, shape, shape / (shape + mean)))

    def binary(value: int, logit: float) -> float:
        return -float(stats.bernoulli.logpmf(value, 1 / (1 + np.exp(-logit))))

    expected = [
        count(5, 1.0, 0.3),
        -stats.norm.logpdf(-1.0, 0.1, 1.0),
        binary(1, -1.0),
        -stats.norm.logpdf(0.5, 0.2, np.exp(0.5)),
        count(2, 2.0, 1.2),
        -stats.norm.logpdf(2.0, 0.3, np.exp(-0.5)),
        binary(0, 1.5),
    ]
    np.testing.assert_allclose(ours, expected, rtol=1e-4)


@pytest.mark.parametrize("kind", list(FeatureKind))
def test_one_kind_alone(kind: FeatureKind) -> None:
    spec = FeatureSpec(tuple(Feature(f"f{i}", "volume", kind, "f") for i in range(3)))
    module = FeatureLikelihood(spec, 4, torch.full((3,), 0.5))
    out = module(torch.randn(5, 4), torch.ones(5, 3), torch.ones(5, 3))
    assert out.shape == (5, 3)
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("hidden", [-1e6, 0.0, 1e6])
@pytest.mark.parametrize("value", [0.0, 1.0, 1e6, 1e9])
def test_extreme_values_stay_finite(hidden: float, value: float) -> None:
    torch.manual_seed(0)
    module = FeatureLikelihood(SPEC, 4, torch.tensor([1e9, 0, 0, 0, 0, 0, 1.0]))
    x = torch.full((2, len(SPEC)), value)
    x[:, [2, 6]] = min(value, 1.0)
    for scaled in (-50.0, 50.0):
        out = module(torch.full((2, 4), hidden), x, torch.full_like(x, scaled))
        assert torch.isfinite(out).all()


def test_heads_start_at_the_means_of_training() -> None:
    means = torch.tensor([20.0, 0.0, 0.3, 0.0, 0.5, 0.0, 0.9])
    module = FeatureLikelihood(SPEC, 4, means)
    start = module.location.bias.detach()
    np.testing.assert_allclose(torch.exp(start[3:5]), [20.01, 0.51], rtol=1e-5)
    np.testing.assert_allclose(torch.sigmoid(start[5:]), [0.3, 0.9], rtol=1e-5)


@pytest.mark.parametrize("degrees", [0.5, 3.0, 40.0])
def test_student_t_learns_by_its_derivatives(degrees: float) -> None:
    """The closed form used in training against the plain one, and against finite differences."""
    generator = torch.Generator().manual_seed(0)
    target, location, log_scale = (
        torch.randn(5, 4, generator=generator, dtype=torch.float64) for _ in range(3)
    )
    target[0, 0] = 1e6
    plain = student_t_nll(target, location, log_scale, degrees)
    learnt = (location.requires_grad_(), log_scale.requires_grad_())
    torch.testing.assert_close(student_t_nll(target, *learnt, degrees), plain)

    def surprise(location: torch.Tensor, log_scale: torch.Tensor) -> torch.Tensor:
        return student_t_nll(target[1:], location, log_scale, degrees)

    assert torch.autograd.gradcheck(
        surprise, tuple(each.detach()[1:].requires_grad_() for each in learnt)
    )


def test_one_spread_for_all_windows_is_learnt_by_closed_derivatives() -> None:
    rng = torch.Generator().manual_seed(0)
    target, location = (
        torch.randn(7, 3, generator=rng, dtype=torch.float64, requires_grad=needs)
        for needs in (False, True)
    )
    log_scale = torch.randn(1, 3, generator=rng, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda at, spread: student_t_nll(target, at, spread, 3.0), (location, log_scale)
    )
