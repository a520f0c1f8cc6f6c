"""What every deep detector's network promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from made_windows import DEEP, LIKELIHOODS, SEQUENCES, as_user, make_windows, quick, with_times

from riskml.core.errors import DataError
from riskml.core.types import Windows
from riskml.features.scaling import FeatureScaler
from riskml.models.batches import to_tensors, user_index
from riskml.models.deep import DeepDetector
from riskml.models.networks import Scale, UserView


def test_scripted_network_equals_eager(fitted: DeepDetector, windows: Windows) -> None:
    tensors = to_tensors(windows, fitted.users_)
    graph = fitted.graph()
    with torch.inference_mode():
        torch.testing.assert_close(graph(*tensors), fitted.network(*tensors), rtol=0, atol=1e-5)
        torch.testing.assert_close(
            graph.contributions(*tensors), fitted.network.contributions(*tensors), rtol=0, atol=1e-5
        )


def test_graph_is_scripted_and_takes_other_shapes(fitted: DeepDetector) -> None:
    graph = fitted.graph()
    assert not isinstance(graph, torch.jit.TopLevelTracedModule)
    other = make_windows(each=2, longest=4, seed=5)
    with torch.inference_mode():
        scores = graph(*to_tensors(other, fitted.users_)).numpy()
    np.testing.assert_allclose(scores, fitted.score(other), rtol=1e-5, atol=1e-5)


def test_contributions_sum_to_the_score(fitted: DeepDetector, windows: Windows) -> None:
    parts = fitted.contributions(windows)
    np.testing.assert_allclose(parts.sum(1), fitted.score(windows), atol=1e-4)
    assert parts.dtype == np.float32
    topics = fitted.topics()
    assert parts.shape[1] == (windows.tokens.shape[1] if topics is None else len(topics))


def test_contributions_are_not_all_of_one_part(fitted: DeepDetector, windows: Windows) -> None:
    assert (np.abs(fitted.contributions(windows)).max(0) > 0).sum() > 1


def test_unknown_user_has_index_zero(fitted: DeepDetector, windows: Windows) -> None:
    assert sorted(fitted.users().values()) == [1, 2, 3]
    stranger = as_user(windows, "nobody")
    assert (user_index(stranger, fitted.users()) == 0).all()
    assert np.isfinite(fitted.score(stranger)).all()


def test_known_user_is_seen(fitted: DeepDetector, windows: Windows) -> None:
    known, stranger = as_user(windows, "user_1"), as_user(windows, "nobody")
    assert not np.allclose(fitted.score(known), fitted.score(stranger))


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_population_weight(name: str, windows: Windows) -> None:
    """0: how unusual for the user; 1: less how unusual it is for anyone."""
    # of a few events each weight would choose others
    every = {"top_k": 0} if name == "transformer" else {}
    plain = DEEP[name](population_weight=0.0, **every).fit(windows)
    ratio = DEEP[name](population_weight=1.0, **every).fit(windows)
    stranger = as_user(windows, "nobody")
    np.testing.assert_allclose(
        ratio.score(windows), plain.score(windows) - plain.score(stranger), rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(ratio.score(stranger), 0.0, atol=1e-4)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_single_user_switches_the_view_off(name: str, windows: Windows) -> None:
    alone = as_user(windows, "only")
    detector = DEEP[name](population_weight=1.0).fit(alone)
    assert detector.network.view.size == 0
    scores = detector.score(alone)
    assert scores.std() > 0, "a likelihood ratio of one user against itself would be 0"
    np.testing.assert_array_equal(scores, detector.score(windows))


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_user_dim_zero_switches_the_view_off(name: str, windows: Windows) -> None:
    detector = DEEP[name](user_dim=0, population_weight=1.0).fit(windows)
    scores = detector.score(windows)
    np.testing.assert_array_equal(scores, detector.score(as_user(windows, "nobody")))
    assert scores.std() > 0


def test_user_view_shows_the_population_in_training_only() -> None:
    torch.manual_seed(0)
    view, user = UserView(3, 2, dropout=0.5), torch.full((200,), 2)
    view.eval()
    assert (view(user) == view.table.weight[2]).all()
    view.train()
    dropped = (view(user) == view.table.weight[0]).all(1).float().mean()
    assert 0.3 < dropped < 0.7


def test_scale_is_the_scaler(windows: Windows) -> None:
    scaler = FeatureScaler.fit(windows)
    x = np.vstack([windows.x, np.full_like(windows.x[:1], 1e6), np.full_like(windows.x[:1], -1e6)])
    ours = Scale(windows.spec, scaler)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ours, scaler.transform(x), rtol=1e-5, atol=1e-6)


def test_padding_does_not_change_a_score(fitted: DeepDetector, windows: Windows) -> None:
    x, tokens, times, lengths, user = to_tensors(windows, fitted.users_)
    wider = torch.nn.functional.pad(tokens, (0, 13))
    with torch.inference_mode():
        torch.testing.assert_close(
            fitted.network(x, wider, times, lengths, user),
            fitted.network(x, tokens, times, lengths, user),
            rtol=1e-5,
            atol=1e-6,
        )


def test_padding_has_no_share(fitted_all: dict[str, DeepDetector], windows: Windows) -> None:
    parts = fitted_all["lstm_ae"].contributions(windows)
    places = np.arange(parts.shape[1])[None, :]
    assert (parts[places >= windows.lengths[:, None]] == 0).all()
    assert (parts[places < windows.lengths[:, None]] != 0).mean() > 0.9


@pytest.mark.parametrize("name", ["autoencoder", "vae"])
def test_models_of_features_have_no_eyes_for_times(
    name: str, fitted_all: dict[str, DeepDetector], windows: Windows
) -> None:
    timed = fitted_all[name].score(with_times(windows))
    np.testing.assert_array_equal(timed, fitted_all[name].score(windows))


def test_lstm_scores_are_means_an_action(windows: Windows) -> None:
    detector = DEEP["lstm_ae"](population_weight=0.0, training=quick(max_epochs=1)).fit(windows)
    chance = np.log(len(windows.spec.actions))
    assert np.abs(detector.score(windows) - chance).max() < chance


def test_vae_scores_without_chance(fitted_all: dict[str, DeepDetector], windows: Windows) -> None:
    detector = fitted_all["vae"]
    torch.manual_seed(1)
    first = detector.score(windows)
    torch.manual_seed(2)
    np.testing.assert_array_equal(first, detector.score(windows))


@pytest.mark.parametrize(
    ("name", "setting"), [("autoencoder", "input_dropout"), ("transformer", "dropout")]
)
def test_dropout_without_a_point_can_be_exported(name: str, setting: str, windows: Windows) -> None:
    """A config may say 0 for 0.0, which TorchScript tells apart."""
    DEEP[name](**{setting: 0}, training=quick(max_epochs=1)).fit(windows).graph()


@pytest.mark.parametrize("name", ["autoencoder", "vae"])
def test_one_spread_a_feature(name: str, windows: Windows, tmp_path: Path) -> None:
    detector = DEEP[name](window_spread=False).fit(windows)
    spread = detector.network.likelihood.spread
    assert spread.weight.numel() == 0
    assert (spread.bias != 0).all(), "it is learnt"
    detector.save(tmp_path)
    loaded = type(detector).load(tmp_path)
    np.testing.assert_array_equal(loaded.score(windows), detector.score(windows))
    graph = detector.graph()
    tensors = to_tensors(windows, detector.users())
    np.testing.assert_allclose(graph(*tensors).detach(), detector.score(windows), atol=1e-4)


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_table_without_actions_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="judges actions"):
        DEEP[name]().fit(np.random.default_rng(0).poisson(2, (60, 3)))
