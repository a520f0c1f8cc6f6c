"""Detectors from files: each window once an epoch, and what the same windows in memory give."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from made_windows import DEEP, LIKELIHOODS, SPEC, make_windows, quick, with_times

from riskml.core.errors import BundleError, ConfigError, DataError
from riskml.core.types import Windows
from riskml.features import window_files
from riskml.features.scaling import FeatureScaler
from riskml.features.window_blocks import WindowFiles
from riskml.features.window_files import write_windows
from riskml.models.blocks import BlockLoader, FilesDataModule, fit_files, score_files, survey
from riskml.models.deep import DeepDetector
from riskml.models.sequence import SequenceDetector

USERS = {"user_0": 1, "user_1": 2, "user_2": 3}


def written(folder: Path, windows: Windows, files: int = 3) -> list[Path]:
    """The windows in several files of several blocks, each file with a share of them in order."""
    paths = []
    for number, rows in enumerate(np.array_split(np.arange(len(windows)), files)):
        part = windows.take(rows)
        longest = int(part.lengths.max())
        narrow = Windows(
            part.keys,
            part.x,
            part.spec,
            part.tokens[:, :longest],
            part.lengths,
            part.times[:, :longest],
        )
        paths.append(folder / f"bucket={number}.parquet")
        write_windows(narrow, paths[-1])
    return paths


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_files, "ROWS_A_BLOCK", 8)


@pytest.fixture
def files(windows: Windows, tmp_path: Path) -> WindowFiles:
    """60 windows in 9 blocks of 3 files."""
    return WindowFiles(written(tmp_path, windows), SPEC)


def test_blocks_hold_all_windows_in_order(files: WindowFiles, windows: Windows) -> None:
    assert files.rows == [8, 8, 4] * 3
    read = list(files)
    assert pl.concat([block.keys for block in read]).equals(windows.keys)
    np.testing.assert_array_equal(np.concatenate([block.x for block in read]), windows.x)


def test_only_windows_of_the_time(tmp_path: Path, windows: Windows) -> None:
    paths = written(tmp_path, windows)
    start: datetime = windows.keys["start"][0]
    hours = [start + timedelta(hours=h) for h in (10, 30)]
    ids = [w for block in WindowFiles(paths, SPEC, *hours) for w in block.keys["window_id"]]
    assert ids == windows.keys["window_id"][10:31].to_list()
    with pytest.raises(DataError, match="no windows in these files"):
        WindowFiles(paths, SPEC, until=start - timedelta(hours=1))


def test_damaged_file_is_named(files: WindowFiles) -> None:
    files.files[1].write_bytes(b"nothing")
    with pytest.raises(BundleError, match="bucket=1"):
        list(files)


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("pool", [1, 20, 1000])
def test_each_window_once_an_epoch(
    pool: int, timed: bool, windows: Windows, tmp_path: Path
) -> None:
    made = with_times(windows) if timed else windows
    files = WindowFiles(written(tmp_path, made), made.spec)
    loader = BlockLoader(files, USERS, 7, pool, seed=3)
    batches = [batch for item in loader for batch in item]
    assert [len(batch[0]) for batch in batches] == [7] * 8 + [4]
    assert len(loader) == 9
    together = BlockLoader(files, USERS, 7, pool, seed=3, together=4)
    assert [len(item) for item in together] == [4, 4, 1]
    assert len(together) == 3

    def rows(x: np.ndarray, times: np.ndarray) -> list[tuple[float, ...]]:
        return sorted((*map(float, row), float(t.sum())) for row, t in zip(x, times, strict=True))

    seen = rows(
        torch.cat([batch[0] for batch in batches]).numpy(),
        np.concatenate([batch[2].sum(1).numpy() for batch in batches]),
    )
    np.testing.assert_allclose(seen, rows(made.x, made.times.sum(1)), rtol=1e-5)


def order(loader: BlockLoader, epoch: int = 0) -> torch.Tensor:
    loader.set_epoch(epoch)
    return torch.cat([batch[0] for item in loader for batch in item])


def test_order_is_that_of_seed_and_epoch(files: WindowFiles, windows: Windows) -> None:
    first, same, other = (BlockLoader(files, USERS, 7, 20, seed) for seed in (0, 0, 1))
    assert torch.equal(order(first), order(same))
    assert not torch.equal(order(first), order(first, 1))
    assert not torch.equal(order(first), order(other))
    kept = order(BlockLoader(files, USERS, 7, 20))
    np.testing.assert_array_equal(kept.numpy(), windows.x)


def test_shuffled_across_files(files: WindowFiles, windows: Windows) -> None:
    """Where a pool holds everything, a batch comes from all of the files."""
    row = {tuple(x): i for i, x in enumerate(windows.x.tolist())}
    found = [row[tuple(x)] for x in order(BlockLoader(files, USERS, 20, 1000, 0)).tolist()]
    assert {i // 20 for i in found[:20]} == {0, 1, 2}


def test_survey_is_that_of_memory(files: WindowFiles, windows: Windows) -> None:
    users, inputs = survey(files)
    assert users == list(USERS)
    assert inputs.n_users == 3
    whole = FeatureScaler.fit(windows)
    np.testing.assert_allclose(inputs.scaler.mean, whole.mean, rtol=1e-6)
    np.testing.assert_allclose(inputs.scaler.scale, whole.scale, rtol=1e-6)
    np.testing.assert_allclose(inputs.mean_counts, windows.x.mean(0), rtol=1e-5)


def test_nothing_to_learn_is_refused(windows: Windows, tmp_path: Path) -> None:
    flat = Windows(
        windows.keys, np.ones_like(windows.x), SPEC, windows.tokens, windows.lengths, windows.times
    )
    with pytest.raises(DataError, match="nothing to learn"):
        survey(WindowFiles(written(tmp_path, flat), SPEC))


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_learns_as_from_memory(
    name: str, fitted_all: dict[str, DeepDetector], files: WindowFiles, windows: Windows
) -> None:
    """Not the same, as the order is another; but the same windows are odd."""
    later = make_windows(seed=1, each=8)
    detector = fit_files(DEEP[name](), files, later, pool=20)
    again = fit_files(DEEP[name](), files, later, pool=20)
    scores = detector.score(windows)
    np.testing.assert_array_equal(scores, again.score(windows))
    assert np.corrcoef(scores, fitted_all[name].score(windows))[0, 1] > 0.9
    np.testing.assert_allclose(detector.decision_scores_, scores, rtol=1e-5)
    assert detector.labels_.sum() == 6


def test_one_pool_and_one_batch_give_the_weights_of_memory(
    files: WindowFiles, windows: Windows
) -> None:
    """With all windows in one batch their order is nothing but rounding."""
    settings = quick(batch_size=100, trim=0.0)
    arguments = {"training": settings, "user_dim": 0, "input_dropout": 0.0}
    here = DEEP["autoencoder"](**arguments).fit(windows)
    there = fit_files(DEEP["autoencoder"](**arguments), files)
    np.testing.assert_allclose(there.score(windows), here.score(windows), rtol=1e-4)


def test_scores_from_folder_to_folder(
    fitted_all: dict[str, DeepDetector], files: WindowFiles, windows: Windows, tmp_path: Path
) -> None:
    detector = fitted_all["vae"]
    assert score_files(detector, files, tmp_path / "scores") == 60
    written_files = sorted((tmp_path / "scores").iterdir())
    assert [file.suffix for file in written_files] == [".parquet"] * 9
    frame = pl.concat([pl.read_parquet(file) for file in written_files])
    assert frame["window_id"].equals(windows.keys["window_id"])
    np.testing.assert_allclose(frame["score"].to_numpy(), detector.score(windows), rtol=1e-5)


def test_detectors_that_look_back_are_refused(files: WindowFiles, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="SequenceDetector judges windows by those before"):
        score_files(SequenceDetector(), files, tmp_path / "scores")


class Two:
    """A trainer of two processes."""

    world_size = 2


def test_several_processes_are_refused(files: WindowFiles) -> None:
    detector = DEEP["vae"]()
    batches = FilesDataModule(detector, files, files, 20)
    batches.trainer = Two()  # type: ignore[assignment]
    with pytest.raises(ConfigError, match="in one process"):
        batches.train_dataloader()


def test_what_counts_all_windows_first_is_refused(files: WindowFiles) -> None:
    with pytest.raises(ConfigError, match="ContrastiveDetector counts all train windows"):
        fit_files(DEEP["contrastive"](), files)
