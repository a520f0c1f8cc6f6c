"""What the models of sequences promise with the times of events."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_windows import DEEP, SEQUENCES, make_windows, quick, with_times

from riskml.core.errors import DataError
from riskml.core.types import Windows
from riskml.models.base import load_detector
from riskml.models.batches import Batch, to_tensors
from riskml.models.deep import DeepDetector
from riskml.models.transformer import TransformerDetector, TransformerNetwork


@pytest.fixture(scope="module")
def timed() -> Windows:
    return with_times(make_windows())


@pytest.fixture(scope="module")
def timed_all(timed: Windows) -> dict[str, DeepDetector]:
    return {name: DEEP[name]().fit(timed) for name in SEQUENCES}


@pytest.fixture(params=SEQUENCES)
def detector(request: pytest.FixtureRequest, timed_all: dict[str, DeepDetector]) -> DeepDetector:
    return timed_all[request.param]


@pytest.fixture
def transformer(timed_all: dict[str, DeepDetector]) -> TransformerDetector:
    found = timed_all["transformer"]
    assert isinstance(found, TransformerDetector)
    return found


def padded(batch: Batch, by: int) -> Batch:
    x, tokens, times, lengths, user = batch
    pad = torch.nn.functional.pad
    return x, pad(tokens, (0, by)), pad(times, (0, 0, 0, by)), lengths, user


def test_graph_equals_module(detector: DeepDetector, timed: Windows) -> None:
    tensors, graph = to_tensors(timed, detector.users_), detector.graph()
    with torch.inference_mode():
        for ours, theirs in (
            (graph(*tensors), detector.network(*tensors)),
            (graph.contributions(*tensors), detector.network.contributions(*tensors)),
        ):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_padding_does_not_change_scores(detector: DeepDetector, timed: Windows) -> None:
    tensors = to_tensors(timed, detector.users_)
    with torch.inference_mode():
        torch.testing.assert_close(
            detector.network(*padded(tensors, 13)),
            detector.network(*tensors),
            rtol=1e-5,
            atol=1e-5,
        )
        wider = detector.network.contributions(*padded(tensors, 13))
    valid = torch.arange(wider.shape[1]) < tensors[3][:, None]
    assert (wider[~valid] == 0).all()


def test_contributions_sum_to_the_score(detector: DeepDetector, timed: Windows) -> None:
    parts = detector.contributions(timed)
    assert parts.shape == timed.tokens.shape
    np.testing.assert_allclose(parts.sum(1), detector.score(timed), rtol=1e-5, atol=1e-5)


def test_times_are_seen(detector: DeepDetector, timed: Windows) -> None:
    later = replace(timed, times=timed.times * np.float32(1.3))
    assert np.abs(detector.score(later) - detector.score(timed)).max() > 1e-3


def test_windows_without_times_are_refused(detector: DeepDetector) -> None:
    with pytest.raises(DataError, match=r"features\.event_times=true"):
        detector.score(make_windows())


def test_saved_and_loaded_with_times(
    detector: DeepDetector, timed: Windows, tmp_path: Path
) -> None:
    detector.save(tmp_path)
    loaded = load_detector(tmp_path)
    assert loaded.spec_.event_times
    np.testing.assert_array_equal(loaded.score(timed), detector.score(timed))


def test_an_odd_gap_is_the_share_of_its_event(timed: Windows) -> None:
    detector = DEEP["lstm_ae"](population_weight=0.0).fit(timed)
    row, event = int(timed.lengths.argmax()), 2
    times = timed.times.copy()
    times[row, event, 0] = 14.0
    odd, usual = (detector.contributions(w)[row] for w in (replace(timed, times=times), timed))
    assert (odd - usual).argmax() == event


def test_the_gap_before_the_first_event_is_not_scored(timed: Windows) -> None:
    detector = DEEP["lstm_ae"](population_weight=0.0).fit(timed)
    single = timed.take(np.flatnonzero(timed.lengths == 1))
    assert len(single)
    assert (detector.score(single) > 0).all(), "a probability of one action, and no density"


def test_later_events_change_nothing_before(
    transformer: TransformerDetector, timed: Windows
) -> None:
    row = int(timed.lengths.argmax())
    x, tokens, times, lengths, user = to_tensors(timed.take(np.array([row])), transformer.users_)
    network = transformer.network_ready(timed)
    other, place = tokens.clone(), 4
    other[:, place] = tokens[:, place] % 6 + 2
    moved = times.clone()
    moved[:, place] += 1.0
    with torch.inference_mode():
        whole = network.parts(x, tokens, times, lengths, user)
        for changed in (
            network.parts(x, other, times, lengths, user),
            network.parts(x, tokens, moved, lengths, user),
        ):
            torch.testing.assert_close(changed[:, :place], whole[:, :place])
            assert (changed[:, place:] - whole[:, place:]).abs().min() > 0
        short = network.parts(x, tokens[:, :place], times[:, :place], lengths * 0 + place, user)
    torch.testing.assert_close(short, whole[:, :place])


@pytest.mark.parametrize("weight", [0.0, 0.5])
@pytest.mark.parametrize("top_k", [0, 1, 3, 100])
def test_pooling_against_a_loop(
    transformer: TransformerDetector, timed: Windows, top_k: int, weight: float
) -> None:
    x, tokens, times, lengths, user = to_tensors(timed, transformer.users_)
    network = deepcopy(transformer.network_ready(timed))
    assert isinstance(network, TransformerNetwork)
    network.top_k, network.population_weight = top_k, weight
    with torch.inference_mode():
        own = network.parts(x, tokens, times, lengths, user)
        anyone = network.parts(x, tokens, times, lengths, user * 0)
        found = network.contributions(x, tokens, times, lengths, user).numpy()
        scores = network(x, tokens, times, lengths, user).numpy()
    expected = np.zeros(timed.tokens.shape)
    for row, length in enumerate(timed.lengths.tolist()):
        surprise = (own[row] - weight * anyone[row]).tolist()
        k = min(top_k, length) if top_k else length
        for place in sorted(range(length), key=lambda i: -surprise[i])[:k]:
            expected[row, place] = surprise[place] / k
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scores, expected.sum(1), rtol=1e-4, atol=1e-5)


def test_positions_of_any_length(transformer: TransformerDetector) -> None:
    network = transformer.network
    assert isinstance(network, TransformerNetwork)
    short, long = (network.positions(torch.zeros(1, n, dtype=torch.int64)) for n in (7, 3000))
    torch.testing.assert_close(long[:7], short)
    assert len(torch.unique(long, dim=0)) == 3000


def test_an_order_is_learnt() -> None:
    """Every second action follows from the one before; a window that breaks the order is odd."""
    windows = make_windows(users=1, each=60, longest=8)
    lengths = np.full(len(windows), 8, np.int32)
    tokens = np.tile(np.array([2, 3], np.int32), (len(windows), 4))
    usual = replace(windows, tokens=tokens, lengths=lengths)
    detector = DEEP["transformer"](training=quick(max_epochs=15, learning_rate=2e-2)).fit(usual)
    broken = tokens.copy()
    broken[:, 5] = 2
    gap = detector.score(replace(usual, tokens=broken)) - detector.score(usual)
    assert gap.min() > 0.3
