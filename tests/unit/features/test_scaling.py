"""Raw features → a common scale."""

from __future__ import annotations

import copy
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from riskml.core.errors import DataError
from riskml.core.types import Windows
from riskml.features.scaling import LIMIT, PART, FeatureScaler

MakeWindows = Callable[..., Windows]
COUNTS = [0, 1]
CONSTANT = 2


def replace_x(windows: Windows, x: np.ndarray) -> Windows:
    """Other rows, without the keys and tokens that go with them."""
    other = copy.copy(windows)
    object.__setattr__(other, "x", x)
    return other


@pytest.fixture
def windows(make_windows: MakeWindows) -> Windows:
    made = make_windows(60)
    x = made.x.copy()
    x[:, CONSTANT] = 0.1
    return replace(made, x=x)


def test_zero_mean_and_unit_deviation_after_the_logarithm(windows: Windows) -> None:
    scaled = FeatureScaler.fit(windows).transform(windows.x)
    varying = [0, 1, 3, 4]
    np.testing.assert_allclose(scaled[:, varying].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled[:, varying].std(0), 1, atol=1e-5)
    expected = windows.x.astype(float)
    expected[:, COUNTS] = np.log1p(expected[:, COUNTS])
    expected = (expected - expected.mean(0)) / np.where(expected.std(0) < 1e-6, 1, expected.std(0))
    np.testing.assert_allclose(scaled, expected, atol=1e-4)
    assert scaled.dtype == np.float32


def test_constant_column_keeps_its_unit(windows: Windows) -> None:
    scaler = FeatureScaler.fit(windows)
    assert scaler.scale[CONSTANT] == 1
    x = windows.x[:1].copy()
    x[0, CONSTANT] = 1.1
    np.testing.assert_allclose(scaler.transform(windows.x)[:, CONSTANT], 0, atol=1e-6)
    assert scaler.transform(x)[0, CONSTANT] == pytest.approx(1.0, rel=1e-5)


def test_all_equal(windows: Windows) -> None:
    x = np.tile(windows.x[:1], (len(windows), 1))
    with pytest.raises(DataError, match="all 5 features are equal in all 60 train windows"):
        FeatureScaler.fit(replace(windows, x=x))
    with pytest.raises(DataError, match="in all 1 train windows"):
        FeatureScaler.fit(windows.take(np.array([0])))


def test_absurd_values_are_held_at_the_limit(windows: Windows) -> None:
    scaler = FeatureScaler.fit(windows)
    huge = np.full((1, 5), 1e30, np.float32)
    assert scaler.transform(huge)[0, [3, 4]].tolist() == [LIMIT, LIMIT]
    assert scaler.transform(-huge)[0, [3, 4]].tolist() == [-LIMIT, -LIMIT]
    assert np.isfinite(scaler.transform(huge)).all()


def test_counts_below_zero_are_zero(windows: Windows) -> None:
    scaler = FeatureScaler.fit(windows)
    below, zero = np.full((1, 5), -3, np.float32), np.zeros((1, 5), np.float32)
    assert scaler.transform(below)[0, COUNTS].tolist() == scaler.transform(zero)[0, COUNTS].tolist()


def test_learnt_numbers_are_finite_and_the_input_stays(windows: Windows) -> None:
    x = windows.x.copy()
    x[0] = [1e9, 1e9, 0.1, 3e18, -3e18]
    made = replace(windows, x=x)
    before = made.x.copy()
    scaler = FeatureScaler.fit(made)
    scaler.transform(made.x)
    assert np.isfinite(scaler.mean).all()
    assert np.isfinite(scaler.scale).all()
    assert (scaler.scale > 0).all()
    assert np.array_equal(made.x, before)


def test_each_row_on_its_own(windows: Windows) -> None:
    scaler = FeatureScaler.fit(windows)
    alone = np.vstack([scaler.transform(windows.x[i : i + 1]) for i in range(len(windows))])
    assert alone.tobytes() == scaler.transform(windows.x).tobytes()


@pytest.mark.parametrize("rows", [1, PART, PART + 1, 3 * PART - 5])
def test_parts_give_what_all_rows_at_once_give(make_windows: MakeWindows, rows: int) -> None:
    """Also where the middle of a column moves from part to part."""
    made = make_windows(60)
    drift = np.linspace(0, 40, rows, dtype=np.float32)[:, None]
    x = np.random.default_rng(0).normal(drift, 1, (rows, 5)).astype(np.float32)
    wide = np.concatenate([x, x[:1] + 1])  # or a single row would be refused
    plain = FeatureScaler(np.zeros(5, np.float32), np.ones(5, np.float32), made.spec)
    y = plain.transform(wide).astype(np.float64)
    scaler = FeatureScaler.fit(replace_x(made, wide))
    np.testing.assert_allclose(scaler.mean, y.mean(0), rtol=1e-6)
    np.testing.assert_allclose(scaler.scale, y.std(0), rtol=1e-6)


def test_fitting_makes_no_copy_of_all_rows(make_windows: MakeWindows) -> None:
    made = make_windows(60)
    many = replace_x(made, np.tile(made.x, (4000, 1)))
    tracemalloc.start()
    try:
        FeatureScaler.fit(many)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < many.x.nbytes / 2
