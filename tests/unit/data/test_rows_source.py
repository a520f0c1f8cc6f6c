"""A table of numbers whose rows are fitted and scored alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hydra import compose, initialize_config_dir

from riskml.core.errors import DataError
from riskml.data.sources import RowsSource
from riskml.features.preparation import labels_of, prepare
from riskml.runs.assembly import build_dataset, build_extractor

ROOT = Path(__file__).parents[3]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3))
    columns = {f"f{i}": x[:, i] for i in range(3)}
    path = tmp_path / "rows.parquet"
    pl.DataFrame({**columns, "label": [0] * 36 + [1] * 4}).write_parquet(path)
    return path


def test_every_period_holds_the_rows_as_they_are(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RISKML_ROOT", str(ROOT))
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", overrides=["experiment=adbench", f"path={table}"])
    dataset = build_dataset(cfg.data, cfg.features)
    windows = prepare(dataset, build_extractor(cfg.features).fit(dataset.train_events))
    rows = pl.read_parquet(table)
    x = rows.drop("label").to_numpy().astype(np.float32)
    for part in (windows.train, windows.calibration, windows.test):
        assert part.spec.names == ["number_f0", "number_f1", "number_f2"]
        np.testing.assert_array_equal(part.x, x)
    assert windows.test_truth is not None
    assert labels_of(windows.test_truth).tolist() == rows["label"].to_list()


def test_batches_are_the_table(table: Path) -> None:
    source = RowsSource(table)
    events = pl.concat([batch.events for batch in source.batches(50)])
    assert events["event_id"].n_unique() == len(events) == 120
    assert events.sort("timestamp").equals(source.load().events)


def test_a_column_that_is_given_here(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pl.DataFrame({"f0": [1.0], "session": [2.0]}).write_parquet(path)
    with pytest.raises(DataError, match="column 'session' has a name that is given here; rename"):
        RowsSource(path).load()
