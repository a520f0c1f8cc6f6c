"""Fitting and scoring: settings, seeds, and clear errors."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from made_windows import DEEP, make_windows, quick

from riskml.core.errors import ConfigError, DataError
from riskml.core.types import Feature, FeatureKind, FeatureSpec, Windows
from riskml.models.deep import DeepDetector, TrainingError, TrainingSettings

NOTHING = np.zeros(0, np.int64)


def with_other_columns(windows: Windows) -> Windows:
    features = (*windows.spec.features[:-1], Feature("new", "peer", FeatureKind.BINARY, "new"))
    spec = dataclasses.replace(windows.spec, features=features)
    return dataclasses.replace(windows, spec=spec)


def state(detector: DeepDetector) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in detector.network.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# ---- scores


def test_score_is_finite_float32(fitted: DeepDetector, windows: Windows) -> None:
    scores = fitted.score(windows)
    assert (scores.dtype, scores.shape) == (np.float32, (len(windows),))
    assert np.isfinite(scores).all()
    assert scores.std() > 0


def test_same_input_gives_the_same_bits(fitted: DeepDetector, windows: Windows) -> None:
    assert fitted.score(windows).tobytes() == fitted.score(windows).tobytes()


def test_batch_mates_do_not_change_a_score(fitted: DeepDetector, windows: Windows) -> None:
    together = fitted.score(windows)
    alone = [fitted.score(windows.take(np.array([i])))[0] for i in range(len(windows))]
    np.testing.assert_allclose(alone, together, rtol=1e-5, atol=1e-5)
    backwards = np.arange(len(windows))[::-1].copy()
    np.testing.assert_allclose(
        fitted.score(windows.take(backwards)), together[backwards], rtol=1e-5, atol=1e-5
    )


def test_score_batches_do_not_change_a_score(windows: Windows) -> None:
    for make in DEEP.values():
        detector = make(training=quick(score_batch_size=7)).fit(windows)
        small = detector.score(windows)
        detector.training_settings = quick(score_batch_size=4096)
        large = detector.score(windows)
        np.testing.assert_allclose(small, large, rtol=1e-5, atol=1e-5)


def test_scoring_leaves_the_weights_alone(fitted: DeepDetector, windows: Windows) -> None:
    before = state(fitted)
    fitted.train()
    fitted.score(windows)
    assert same(before, state(fitted))


def test_no_windows_no_scores(fitted: DeepDetector, windows: Windows) -> None:
    nothing = windows.take(NOTHING)
    assert fitted.score(nothing).shape == (0,)
    assert fitted.score(nothing).dtype == np.float32


def test_no_windows_no_contributions(fitted: DeepDetector, windows: Windows) -> None:
    parts = fitted.contributions(windows.take(NOTHING))
    assert parts.ndim == 2
    assert len(parts) == 0
    topics = fitted.topics()
    assert topics is None or parts.shape[1] == len(topics)


@pytest.mark.parametrize("absurd", [0.0, 1e6, 1e9])
def test_absurd_values_give_finite_scores(
    fitted: DeepDetector, windows: Windows, absurd: float
) -> None:
    x = np.full_like(windows.x, absurd)
    odd = dataclasses.replace(windows, x=x)
    assert np.isfinite(fitted.score(odd)).all()


def test_other_columns_are_refused(fitted: DeepDetector, windows: Windows) -> None:
    for use in (fitted.score, fitted.contributions):
        with pytest.raises(DataError, match=r"not in both: \['admin', 'new'\]"):
            use(with_other_columns(windows))


@pytest.mark.parametrize("name", DEEP)
def test_unfitted_detector_says_so(name: str, windows: Windows) -> None:
    detector = DEEP[name]()
    for use in (detector.score, detector.contributions):
        with pytest.raises(DataError, match=r"not fitted: call fit\(windows\) first"):
            use(windows)


# ---- training


@pytest.mark.parametrize("name", DEEP)
def test_same_seed_same_weights(name: str, windows: Windows) -> None:
    later = make_windows(seed=1, each=5)
    torch.manual_seed(1)
    first = DEEP[name]().fit(windows, later)
    torch.manual_seed(2)
    second = DEEP[name]().fit(windows, later)
    other = DEEP[name](training=quick(seed=1)).fit(windows, later)
    assert same(state(first), state(second))
    assert not same(state(first), state(other))


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n == "lstm_ae" else ()) for n in DEEP]
)
def test_training_lowers_the_loss(name: str, windows: Windows) -> None:
    def loss(epochs: int) -> float:
        training = quick(max_epochs=epochs, learning_rate=1e-2)
        detector = DEEP[name](population_weight=0.0, training=training).fit(windows)
        return float(detector.score(windows).mean())

    assert loss(20) < loss(1)


@pytest.mark.parametrize("name", DEEP)
def test_diverging_training_ends_with_clear_words(name: str, windows: Windows) -> None:
    detector = DEEP[name](training=quick(learning_rate=1e30))
    with pytest.raises(TrainingError, match=r"loss became \S+ in epoch \d+.*learning_rate"):
        detector.fit(windows)


@pytest.mark.parametrize("name", DEEP)
def test_divergence_in_the_only_step_is_noticed(name: str, windows: Windows) -> None:
    """One step an epoch and one epoch: the loss before the step is fine, all after it is not."""
    training = quick(learning_rate=1e30, max_epochs=1, batch_size=1000)
    with pytest.raises(TrainingError, match="learning_rate"):
        DEEP[name](training=training).fit(windows)


def test_early_stopping_without_validation_uses_the_train_windows(windows: Windows) -> None:
    detector = DEEP["autoencoder"](training=quick(max_epochs=2)).fit(windows)
    assert np.isfinite(detector.score(windows)).all()


def test_all_features_equal_is_refused(windows: Windows) -> None:
    flat = dataclasses.replace(windows, x=np.ones_like(windows.x))
    for make in DEEP.values():
        with pytest.raises(DataError, match="nothing to learn"):
            make().fit(flat)


def test_actions_without_vectors(windows: Windows) -> None:
    spec = FeatureSpec(
        windows.spec.features, windows.spec.actions, np.zeros((len(windows.spec.actions), 0), "f4")
    )
    scores = [
        DEEP["lstm_ae"]().fit(dataclasses.replace(windows, spec=spec)).score(windows)
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*scores)


# ---- settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 0),
        ("score_batch_size", -1),
        ("max_epochs", -1),
        ("patience", 0),
        ("learning_rate", 0.0),
        ("learning_rate", -1e-3),
        ("learning_rate", float("nan")),
        ("weight_decay", -1.0),
    ],
)
def test_impossible_settings_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"training\.{name}={value}"):
        TrainingSettings(**{name: value})  # type: ignore[arg-type]


def test_settings_are_valid_by_default() -> None:
    assert TrainingSettings(batch_size=1, max_epochs=1, patience=1).learning_rate > 0


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("vae", "hidden", []),
        ("vae", "hidden", [0]),
        ("vae", "latent_dim", 0),
        ("vae", "user_dim", -1),
        ("autoencoder", "hidden", []),
        ("autoencoder", "latent_dim", 0),
        ("autoencoder", "input_dropout", 1.5),
        ("autoencoder", "population_weight", -1.0),
        ("lstm_ae", "hidden_size", 0),
        ("lstm_ae", "latent_dim", 0),
        ("lstm_ae", "action_dropout", 2.0),
        ("transformer", "top_k", -1),
        ("transformer", "heads", 0),
        ("transformer", "width", 7),
    ],
)
def test_impossible_architectures_are_refused(name: str, setting: str, value: object) -> None:
    with pytest.raises(ConfigError, match=setting):
        DEEP[name](**{setting: value})
