"""Users against what is done: levels of features, masked counter-examples, Bayes' rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_windows import as_user, make_windows, quick

from riskml.core.errors import ConfigError, DataError
from riskml.core.types import Windows
from riskml.models.batches import to_tensors
from riskml.models.contrastive import LEVELS, ContrastiveDetector, ContrastiveNetwork, Things


@pytest.fixture(scope="module")
def train() -> Windows:
    return make_windows(each=40, seed=0)


@pytest.fixture(scope="module")
def detector(train: Windows) -> ContrastiveDetector:
    training = quick(max_epochs=20, learning_rate=1e-2)
    return ContrastiveDetector(user_dim=8, training=training).fit(train)


def network_of(detector: ContrastiveDetector) -> ContrastiveNetwork:
    assert isinstance(detector.network, ContrastiveNetwork)
    return detector.network


def test_things_are_distinct_actions_and_one_level_a_feature() -> None:
    windows = make_windows(users=2, each=4)
    things = Things(windows.spec)
    things.edges.copy_(torch.linspace(-1, 5, len(LEVELS)).expand(len(windows.spec), -1))
    x, tokens, _, lengths, _ = to_tensors(windows, {})
    held = things(x, tokens, lengths)
    actions, levels = len(windows.spec.actions), len(LEVELS) + 1
    assert held.shape == (8, actions + len(windows.spec) * levels)
    for row in range(8):
        times = np.bincount(windows.tokens[row, : windows.lengths[row]], minlength=actions)
        np.testing.assert_allclose(held[row, :actions], np.log2(1 + times), rtol=1e-6)
        below = (things.edges[0].numpy() < windows.x[row, 0]).sum()
        assert held[row, actions : actions + levels].nonzero().item() == below
    assert (held[:, actions:].sum(1) == len(windows.spec)).all()


def test_loss_tells_the_user_from_other_users_of_the_batch_only(train: Windows) -> None:
    network = network_of(ContrastiveDetector(user_dim=4, training=quick(max_epochs=1)).fit(train))
    network.eval()
    x, tokens, times, lengths, user = to_tensors(train.take(np.arange(7)), {"user_1": 1})
    held = network.things(x, tokens, lengths)
    like = network.likeness(network.view.table(user)).detach().double()
    expected = []
    for i in range(7):
        rivals = [j for j in range(7) if user[j] != user[i]]
        surprise = torch.logsumexp(like[[i, *rivals]], 0) - like[i]
        expected.append(float((held[i] * surprise).sum() / held[i].sum()))
    found = network.loss(x, tokens, times, lengths, user).detach()
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_window_fits_its_own_user_best(detector: ContrastiveDetector) -> None:
    test = make_windows(each=15, seed=5)
    own = detector.score(test)
    taken = {"user_0": "user_1", "user_1": "user_2", "user_2": "user_0"}
    names = test.keys["user_id"].replace_strict(taken)
    stolen = replace(test, keys=test.keys.with_columns(names.alias("user_id")))
    assert (detector.score(stolen) > own).mean() > 0.9


def test_population_weight_takes_off_what_is_rare_for_anyone(
    detector: ContrastiveDetector,
) -> None:
    network = network_of(detector)
    user = torch.tensor([0, 1])
    with torch.inference_mode():
        found = {}
        for weight in (1.0, 0.25, 0.0):
            network.population_weight = weight
            found[weight] = network.surprise(user)
    network.population_weight = detector.architecture["population_weight"]
    np.testing.assert_allclose(
        found[0.25], found[1.0] - 0.75 * network.log_share, rtol=1e-4, atol=1e-5
    )
    actions = len(detector.spec_.actions)
    assert network.log_share[:actions].exp().sum() == pytest.approx(1, abs=1e-5)
    never, usual = 6, 5  # "delete" and "write"
    assert found[0.0][0, never] > found[0.0][0, usual] + 2


def test_a_user_not_known_is_the_population(detector: ContrastiveDetector) -> None:
    test = make_windows(each=3, seed=6)
    network = network_of(detector)
    x, tokens, times, lengths, user = to_tensors(test, {})
    assert not user.any()
    with torch.inference_mode():
        expected = network(x, tokens, times, lengths, user)
    np.testing.assert_allclose(detector.score(as_user(test, "new")), expected, rtol=1e-5)


def test_only_the_worst_fitting_things_count(train: Windows) -> None:
    detector = ContrastiveDetector(user_dim=4, top_k=1, training=quick()).fit(train)
    parts = detector.contributions(make_windows(each=5, seed=7))
    assert ((parts != 0).sum(1) == 1).all()
    assert len(detector.topics()) == parts.shape[1]


def test_derived_features_are_not_looked_at(train: Windows) -> None:
    features = train.spec.features
    history = replace(features[0], family="history")
    spec = replace(train.spec, features=(history, *features[1:]))
    detector = ContrastiveDetector(user_dim=4, training=quick(max_epochs=1))
    parts = detector.fit(replace(train, spec=spec)).contributions(replace(train, spec=spec))
    assert not parts[:, 0].any()
    assert parts[:, 1].any()


def test_a_single_user_is_refused() -> None:
    with pytest.raises(DataError, match="several users"):
        ContrastiveDetector(training=quick()).fit(make_windows(users=1))


@pytest.mark.parametrize(("setting", "value"), [("temperature", 0), ("user_dim", 0), ("top_k", -1)])
def test_settings_out_of_range_are_refused(setting: str, value: int) -> None:
    with pytest.raises(ConfigError, match=setting):
        ContrastiveDetector(**{setting: value})
