"""Deep detectors on more windows than memory holds: fitted and scored block by block.

files = window_files(Path("windows"), until=datetime(2024, 6, 1, tzinfo=UTC))
fit_files(VAEDetector(), files)
score_files(detector, window_files(Path("windows")), Path("scores"))
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
import pytorch_lightning as lightning
import torch
from torch.nn.functional import pad

from riskml.core.errors import ConfigError, require
from riskml.core.types import Windows
from riskml.features.scaling import FeatureScaler, Moments
from riskml.features.window_blocks import WindowFiles
from riskml.features.window_files import KEYS
from riskml.models.base import Detector
from riskml.models.batches import TOGETHER, Batch, BatchLoader, cut, take, to_tensors
from riskml.models.deep import DeepDetector, NetworkInputs

POOL = 65_536
"""Windows that are shuffled together; two pools are in memory at a time."""

D = TypeVar("D", bound=DeepDetector)


def fit_files(
    detector: D,
    train: WindowFiles,
    validation: WindowFiles | Windows | None = None,
    trainer: lightning.Trainer | None = None,
    ckpt_path: str | None = None,
    pool: int = POOL,
) -> D:
    """What `detector.fit` does, reading the windows anew in every epoch.

    A first pass finds the users, the scale of features and the mean of counts. In every epoch the
    blocks come in a new order; so many of them as make a pool are shuffled together.

    Args:
        detector: to be fitted.
        train: files with the train windows.
        validation: later windows, by which training stops early; without, the train windows.
        trainer: a Lightning trainer of one process, or None for a quiet one on the CPU.
        ckpt_path: checkpoint to go on from.
        pool: windows that are shuffled together, at least.

    Returns:
        The detector, with `decision_scores_` in the order of the blocks.

    Raises:
        TrainingError: the loss is not a finite number.
        ConfigError: the trainer has several processes, or the detector needs all windows at once.
    """
    require("pool", pool, pool >= 1, "must be at least 1")
    if type(detector).count_first is not DeepDetector.count_first:
        name = type(detector).__name__
        raise ConfigError(f"{name} counts all train windows first: fit it on windows in memory")
    users, inputs = survey(train)
    detector.begin(users, inputs)
    detector.train_on(
        FilesDataModule(detector, train, validation or train, pool), trainer, ckpt_path
    )
    detector.eval().cpu()
    detector.remember(np.concatenate([detector.score(windows) for windows in train]))
    return detector


def survey(files: WindowFiles) -> tuple[list[str], NetworkInputs]:
    """Users, and what a network has to know of the windows, in one pass.

    Raises:
        DataError: every feature has one and the same value in all windows.
    """
    users: set[str] = set()
    raw, scaled, unscaled = Moments(), Moments(), FeatureScaler.unscaled(files.spec)
    for windows in files:
        users.update(windows.keys["user_id"].unique())
        raw.add(windows.x)
        scaled.add(unscaled.transform(windows.x))
    scaler = FeatureScaler.of(files.spec, scaled)
    mean = torch.from_numpy(raw.mean.astype(np.float32))
    return sorted(users), NetworkInputs(files.spec, scaler, mean, len(users))


def score_files(detector: Detector, files: WindowFiles, out: Path) -> int:
    """Write the scores of all windows, in memory for a block.

    Args:
        detector: a fitted one.
        files: with the windows.
        out: folder for `scores-00000.parquet` and so on, one a block: the windows' keys and
            `score` (float32). A file appears whole or not at all.

    Returns:
        Windows scored.

    Raises:
        ConfigError: the detector judges a window by those before it, which may be in other blocks.
    """
    if detector.remembers:
        name = type(detector).__name__
        raise ConfigError(f"{name} judges windows by those before; it scores no single blocks")
    out.mkdir(parents=True, exist_ok=True)
    for number, windows in enumerate(files):
        file = out / f"scores-{number:05d}.parquet"
        draft = file.with_suffix(".part")
        scores = pl.Series("score", detector.score(windows))
        windows.keys.select(KEYS).with_columns(scores).write_parquet(draft)
        draft.replace(file)
    return len(files)


class FilesDataModule(lightning.LightningDataModule):
    """Batches for one process; see `fit_files`."""

    def __init__(
        self,
        detector: DeepDetector,
        train: WindowFiles,
        validation: WindowFiles | Windows,
        pool: int,
    ) -> None:
        super().__init__()
        self.settings, self.users = detector.training_settings, detector.users_
        self.train, self.validation, self.pool = train, validation, pool

    def train_dataloader(self) -> BlockLoader:
        """Shuffled batches, `TOGETHER` an item.

        Raises:
            ConfigError: the trainer has several processes.
        """
        if self.trainer is not None and self.trainer.world_size > 1:
            raise ConfigError("training from files goes in one process: use trainer devices=1")
        size, seed = self.settings.batch_size, self.settings.seed
        return BlockLoader(self.train, self.users, size, self.pool, seed, TOGETHER)

    def val_dataloader(self) -> BlockLoader | BatchLoader:
        """Batches in order."""
        size = self.settings.score_batch_size
        if isinstance(self.validation, Windows):
            return BatchLoader(to_tensors(self.validation, self.users), size)
        return BlockLoader(self.validation, self.users, size, self.pool)


class BlockLoader:
    """Batches from files; shuffled anew each epoch, the same for the same seed.

    An item is a list of `together` batches (fewer at the end).

    Args:
        files: with the windows.
        users: index of each known user.
        batch_size: windows a batch; the last one may be smaller.
        pool: windows that are shuffled together, at least. The next pool is read meanwhile.
        seed: of the shuffling; None keeps the order.
        together: batches an item.
    """

    batch_sampler = None

    def __init__(
        self,
        files: WindowFiles,
        users: dict[str, int],
        batch_size: int,
        pool: int,
        seed: int | None = None,
        together: int = 1,
    ) -> None:
        self.files, self.users, self.batch_size = files, users, batch_size
        self.item_size = batch_size * together
        self.pool, self.seed, self.epoch = pool, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch's order."""
        self.epoch = epoch

    @property
    def sampler(self) -> BlockLoader:
        """Lightning tells the epoch to a loader's sampler."""
        return self

    def __len__(self) -> int:
        return -(-len(self.files) // self.item_size)

    def __iter__(self) -> Iterator[list[Batch]]:
        generator = torch.Generator().manual_seed((self.seed or 0) * 1_000_003 + self.epoch)

        def order(n: int) -> torch.Tensor:
            return torch.arange(n) if self.seed is None else torch.randperm(n, generator=generator)

        pools = self._pools(order(len(self.files.rows)).tolist())
        kept: list[Batch] = []
        with ThreadPoolExecutor(1) as beside:
            coming = beside.submit(self._read, pools[0])
            for number in range(len(pools)):
                pool = joined([*kept, *coming.result()])
                last = number + 1 == len(pools)
                if not last:
                    coming = beside.submit(self._read, pools[number + 1])
                rows = order(len(pool[0]))
                whole = len(rows) if last else len(rows) - len(rows) % self.item_size
                for part in torch.split(rows[:whole], self.item_size):
                    if len(part):
                        yield cut(take(pool, part), self.batch_size)
                kept = [take(pool, rows[whole:])] if whole < len(rows) else []

    def _pools(self, blocks: list[int]) -> list[list[int]]:
        """Blocks one after the other, until each pool has its windows."""
        pools: list[list[int]] = [[]]
        rows = 0
        for block in blocks:
            if rows >= self.pool:
                pools.append([])
                rows = 0
            pools[-1].append(block)
            rows += self.files.rows[block]
        return pools

    def _read(self, blocks: list[int]) -> list[Batch]:
        return [to_tensors(self.files.read(block), self.users) for block in blocks]


def joined(parts: list[Batch]) -> Batch:
    """Rows of several batches, padded to the longest."""
    longest = max(part[1].shape[1] for part in parts)
    timed = max(part[2].shape[1] for part in parts)
    x, tokens, times, lengths, user = zip(*parts, strict=True)
    return (
        torch.cat(x),
        torch.cat([pad(part, (0, longest - part.shape[1])) for part in tokens]),
        torch.cat([pad(part, (0, 0, 0, timed - part.shape[1])) for part in times]),
        torch.cat(lengths),
        torch.cat(user),
    )
