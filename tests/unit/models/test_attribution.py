"""What no feature has of a score goes onto features, and the sum stays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_windows import quick
from torch import Tensor

from riskml.core.types import Windows
from riskml.models.attribution import COMBINATION, split_rest
from riskml.models.deep import DeepDetector, NetworkInputs
from riskml.models.networks import DetectorNetwork, UserView
from riskml.models.sequence import SequenceDetector

WEIGHTS = torch.tensor([0.0, 2.0, 0.0, -1.0, 0.0, 0.5, 3.0])


class WholeNetwork(DetectorNetwork):
    """A score that is no sum over features: linear, or with a step that has no gradient."""

    def __init__(self, step: bool) -> None:
        super().__init__(UserView(1, 0), 0.0)
        self.step = step
        self.level = torch.nn.Parameter(torch.zeros(1))

    def parts(
        self, x: Tensor, tokens: Tensor, times: Tensor, lengths: Tensor, user: Tensor
    ) -> Tensor:
        found = (x @ WEIGHTS + self.level)[:, None]
        return torch.where(x[:, :1] > 5, 40.0, 0.0) + 0 * found if self.step else found


class WholeDetector(DeepDetector):
    """Cannot tell exactly."""

    def __init__(self, step: bool = False) -> None:
        super().__init__(quick(max_epochs=1))
        self.architecture = {"step": step}

    def build_network(self, inputs: NetworkInputs) -> DetectorNetwork:
        return WholeNetwork(**self.architecture)

    def topics(self) -> list[str]:
        return []

    def untrained(self, windows: Windows) -> WholeDetector:
        self._build(windows)
        return self


NOTHING = np.zeros((4, 0), np.float32)


def usual_of(windows: Windows) -> np.ndarray:
    return np.repeat(np.quantile(windows.x, 0.5, axis=0)[None], 4, 0).astype(np.float32)


def test_a_score_without_parts_is_split_by_what_moves_it(windows: Windows) -> None:
    some, usual = windows.take(np.array([0, 1, 5, 7])), usual_of(windows)
    detector = WholeDetector().untrained(windows)
    shares, topics = split_rest(detector, some, NOTHING, usual)
    assert topics is not None
    np.testing.assert_allclose(shares.sum(1), detector.score(some), rtol=1e-5, atol=1e-5)
    due = (some.x - usual) * WEIGHTS.numpy()
    np.testing.assert_allclose(shares[:, :7], due, atol=1e-4)
    np.testing.assert_allclose(shares[:, 7], usual @ WEIGHTS.numpy(), rtol=1e-4)


def test_what_gradients_do_not_explain_is_given_to_no_feature(windows: Windows) -> None:
    some = windows.take(np.flatnonzero(windows.x[:, 0] > 5)[:4])
    detector = WholeDetector(step=True).untrained(windows)
    shares, topics = split_rest(detector, some, NOTHING, np.zeros((4, 7), np.float32))
    assert topics is not None and topics[-1] == COMBINATION
    assert (shares[:, :-1] == 0).all()
    assert shares[:, -1].tolist() == [40.0] * 4


def test_the_divergence_goes_onto_features(
    fitted_all: dict[str, DeepDetector], windows: Windows
) -> None:
    detector, some = fitted_all["vae"], windows.take(np.array([0, 1, 5, 7]))
    some.x[0, 1] = 9.0  # far out on the pace alone
    exact, usual = detector.contributions(some), usual_of(windows)
    shares, topics = split_rest(detector, some, exact, usual)
    assert topics is not None
    np.testing.assert_allclose(shares.sum(1), detector.score(some), rtol=1e-4, atol=1e-4)
    split = shares[0, len(some.spec) : -1]
    assert topics[len(some.spec) + int(np.abs(split).argmax())] == "pace"
    # what is left is what the usual window has already
    at_usual = detector.contributions(
        Windows(some.keys, usual, some.spec, some.tokens, some.lengths)
    )
    np.testing.assert_allclose(shares[:, -1], at_usual[:, -1], atol=0.05)


@pytest.mark.parametrize("name", ["autoencoder", "lstm_ae", "contrastive"])
def test_exact_shares_stay_as_they_are(
    name: str, fitted_all: dict[str, DeepDetector], windows: Windows
) -> None:
    detector, some = fitted_all[name], windows.take(np.arange(4))
    exact = detector.contributions(some)
    shares, topics = split_rest(detector, some, exact, usual_of(windows))
    assert topics == detector.topics()
    np.testing.assert_array_equal(shares, exact)


def test_detectors_without_gradients_are_left_alone(windows: Windows) -> None:
    detector = SequenceDetector().fit(windows)
    exact = detector.contributions(windows.take(np.arange(4)))
    shares, topics = split_rest(detector, windows.take(np.arange(4)), exact, usual_of(windows))
    assert topics is None
    assert shares is exact


def test_no_alerts_nothing_to_split(fitted_all: dict[str, DeepDetector], windows: Windows) -> None:
    none = windows.take(np.zeros(0, np.int64))
    exact = fitted_all["vae"].contributions(none)
    assert split_rest(fitted_all["vae"], none, exact, none.x)[0].shape == exact.shape
