"""Windows refuse parts that do not belong together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from riskml.core.errors import DataError
from riskml.core.types import FeatureSpec, Windows

MakeWindows = Callable[..., Windows]


def test_times_go_with_the_rows(make_windows: MakeWindows) -> None:
    windows = make_windows(6, event_times=True)
    rows = np.array([4, 1])
    np.testing.assert_array_equal(windows.take(rows).times, windows.times[rows])
    assert windows.take(np.zeros(6, bool)).times.shape == (0, 4, 2)
    assert make_windows(6).take(rows).times.shape == (2, 0, 2)


@pytest.mark.parametrize("event_times", [False, True])
def test_the_spec_says_whether_there_are_times(
    make_windows: MakeWindows, event_times: bool
) -> None:
    windows = make_windows(6, event_times=event_times)
    other = replace(windows.spec, event_times=not event_times)
    with pytest.raises(DataError, match=r"times are \(6, \d, 2\), the spec asks for \(6, \d, 2\)"):
        replace(windows, spec=other)


def test_the_spec_keeps_event_times(make_windows: MakeWindows) -> None:
    spec = make_windows(2, event_times=True).spec
    assert FeatureSpec.from_dict(spec.to_dict(), spec.action_vectors) == spec
    assert spec != replace(spec, event_times=False)
