"""Large batches are worked on in parts: their size shows in time and memory only."""

from __future__ import annotations

import numpy as np
import pytest
from long_logs import fitted, log
from polars.testing import assert_frame_equal

from riskml.features import family
from riskml.features.profile import Profile
from riskml.features.windows import SessionWindows


@pytest.mark.parametrize("part", [1, 7, 100])
def test_the_size_of_a_part_changes_nothing(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    events = log()
    extractor = fitted(SessionWindows(gap_minutes=60.0), events, event_times=True, max_tokens=5)
    whole, profile = extractor.transform(events, Profile(), open_windows=True)
    monkeypatch.setattr(family, "PART", part)
    monkeypatch.setattr(family, "FEW", 0)
    found, after = extractor.transform(events, Profile(), open_windows=True)
    assert_frame_equal(found.keys, whole.keys)
    np.testing.assert_array_equal(found.x, whole.x)
    np.testing.assert_array_equal(found.tokens, whole.tokens)
    np.testing.assert_array_equal(found.times, whole.times)
    assert after.tables.keys() == profile.tables.keys()
    for name, table in profile.tables.items():
        assert_frame_equal(after.tables[name], table)


def test_parts_are_whole_groups_and_miss_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(family, "PART", 10)
    first = np.array([0, 4, 8, 12, 50, 51])
    found = family.slices(np.append(first, 60))
    assert [group for part in found for group in range(part.start, part.stop)] == list(range(6))
    assert found == [slice(0, 3), slice(3, 4), slice(4, 6)]
    assert family.slices(np.array([0])) == []
