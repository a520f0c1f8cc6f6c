"""Windows as Parquet and back, to the last byte."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from event_tables import same_windows

from riskml.core.errors import BundleError, DataError
from riskml.core.types import FeatureSpec, Windows
from riskml.features.window_files import read_files, to_frame, write_windows

MakeWindows = Callable[..., Windows]


@pytest.mark.parametrize("event_times", [False, True])
@pytest.mark.parametrize("n", [0, 1, 40])
def test_round_trip(tmp_path: Path, make_windows: MakeWindows, n: int, event_times: bool) -> None:
    windows = tight(make_windows(n, event_times=event_times))
    write_windows(windows, tmp_path / "w.parquet")
    assert same_windows(read_files([tmp_path / "w.parquet"], windows.spec), windows)
    assert [path.name for path in tmp_path.iterdir()] == ["w.parquet"]


def test_several_files_come_in_order_of_start(tmp_path: Path, make_windows: MakeWindows) -> None:
    windows = tight(make_windows(30))
    rows = np.arange(30)
    files = [tmp_path / f"{i}.parquet" for i in range(3)]
    for i, file in enumerate(files):
        write_windows(windows.take(rows[rows % 3 == i]), file)
    assert same_windows(read_files(files, windows.spec), windows)


def test_one_column_a_feature(make_windows: MakeWindows) -> None:
    windows = make_windows(5)
    frame = to_frame(windows)
    keys = ["window_id", "user_id", "start", "end", "n_events", "peer"]
    assert frame.columns == [*keys, *windows.spec.names, "tokens"]
    assert frame["tokens"][0].to_list() == windows.tokens[0, : windows.lengths[0]].tolist()
    assert frame["level"].to_list() == windows.x[:, 3].tolist()


def test_lists_of_times(make_windows: MakeWindows) -> None:
    windows = make_windows(5, event_times=True)
    frame = to_frame(windows)
    assert frame.columns[-3:] == ["tokens", "gaps", "hours"]
    for i, name in enumerate(("gaps", "hours")):
        assert frame[name][3].to_list() == windows.times[3, : windows.lengths[3], i].tolist()


def test_times_are_asked_for_and_not_there(tmp_path: Path, make_windows: MakeWindows) -> None:
    windows = make_windows(5)
    write_windows(windows, tmp_path / "w.parquet")
    with pytest.raises(DataError, match=r"another extractor; not in both: \['gaps', 'hours'\]"):
        read_files([tmp_path / "w.parquet"], replace(windows.spec, event_times=True))


def test_windows_of_another_extractor(tmp_path: Path, make_windows: MakeWindows) -> None:
    windows = make_windows(5)
    write_windows(windows, tmp_path / "w.parquet")
    fewer = FeatureSpec(windows.spec.features[:-1], windows.spec.actions)
    with pytest.raises(DataError, match=r"another extractor; not in both: \['skewed'\]"):
        read_files([tmp_path / "w.parquet"], fewer)


def test_files_that_cannot_be_read(tmp_path: Path, make_windows: MakeWindows) -> None:
    spec = make_windows(1).spec
    with pytest.raises(DataError, match="no files"):
        read_files([], spec)
    with pytest.raises(BundleError, match=r"w\.parquet is missing, damaged"):
        read_files([tmp_path / "w.parquet"], spec)
    (tmp_path / "w.parquet").write_bytes(b"PAR1")
    with pytest.raises(BundleError, match=r"w\.parquet is missing, damaged"):
        read_files([tmp_path / "w.parquet"], spec)


def tight(windows: Windows) -> Windows:
    """The matrices of events no wider than needed, as the extractor makes them."""
    width = int(windows.lengths.max(initial=1))
    return replace(windows, tokens=windows.tokens[:, :width], times=windows.times[:, :width])
