"""Training from Parquet files in blocks beside training from memory: windows a second.

    python benchmarks/training_blocks.py                       # 200,000 windows, a VAE
    python benchmarks/training_blocks.py --windows 1e6 --model transformer --folder /mnt/scratch

Both train the same detector on the same windows, in turns, epoch by epoch, with one thread for the
network; what is timed is an epoch's training steps with all that feeds them. Below it the feeding
alone. The bar: no less than half the speed of memory.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytorch_lightning as lightning
import torch

from riskml.core.types import Feature, FeatureKind, FeatureSpec, Windows
from riskml.features.window_blocks import WindowFiles
from riskml.features.window_files import write_windows
from riskml.models.batches import BatchLoader, to_tensors
from riskml.models.blocks import POOL, BlockLoader, fit_files
from riskml.models.deep import DeepDetector
from riskml.models.transformer import TransformerDetector
from riskml.models.vae import VAEDetector

FEATURES, ACTIONS, TOKENS, FILES, USERS = 60, 100, 20, 16, 2_000
MODELS = {"vae": VAEDetector, "transformer": TransformerDetector}


def make_windows(n: int) -> Windows:
    """Counts and other numbers, users one after the other as in the files of `extract`."""
    rng = np.random.default_rng(0)
    kinds = [FeatureKind.COUNT, FeatureKind.CONTINUOUS]
    spec = FeatureSpec(
        tuple(Feature(f"f{i}", "made", kinds[i % 2], "made up") for i in range(FEATURES)),
        ("<pad>", "<unknown>", *(f"action{i}" for i in range(ACTIONS - 2))),
        rng.normal(size=(ACTIONS, 16)).astype(np.float32),
    )
    lengths = rng.integers(1, TOKENS + 1, n).astype(np.int32)
    tokens = rng.integers(2, ACTIONS, (n, TOKENS)).astype(np.int32)
    tokens *= np.arange(TOKENS) < lengths[:, None]
    user = np.sort(rng.integers(0, USERS, n))
    begin = datetime(2024, 1, 1, tzinfo=UTC)
    numbers = pl.DataFrame({"number": np.arange(n), "user": user})
    keys = numbers.select(
        window_id=pl.format("w{}", "number"),
        user_id=pl.format("user{}", "user"),
        start=pl.lit(begin).dt.cast_time_unit("us"),
        end=pl.lit(begin + timedelta(days=1)).dt.cast_time_unit("us"),
        n_events=pl.Series(lengths.astype(np.int64)),
        peer=pl.lit("everyone"),
    )
    x = rng.poisson(3.0, (n, FEATURES)).astype(np.float32)
    x[:, 1::2] = rng.normal(size=(n, FEATURES // 2))
    return Windows(keys, x, spec, tokens, lengths)


class EpochSeconds(lightning.Callback):
    """How long the training steps of each epoch took."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def on_train_epoch_start(self, *_: Any) -> None:
        self.begin = time.perf_counter()

    def on_validation_start(self, *_: Any) -> None:
        self.found.append(time.perf_counter() - self.begin)


def trainer(seconds: EpochSeconds, epochs: int) -> lightning.Trainer:
    """A quiet one."""
    return lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        callbacks=[seconds],
    )


def feed(loader: Iterable[Any]) -> float:
    """Seconds to walk through the batches of an epoch."""
    begin = time.perf_counter()
    for _ in loader:
        pass
    return time.perf_counter() - begin


def main() -> None:
    """Print both speeds and their ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--windows", default="2e5")
    parser.add_argument("--model", default="vae", choices=sorted(MODELS))
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--pool", type=int, default=POOL)
    parser.add_argument("--folder", type=Path, help="where the files go")
    settings = parser.parse_args()
    torch.set_num_threads(1)
    n = int(float(settings.windows))
    windows = make_windows(n)
    later = windows.take(np.arange(256))
    memory, blocks = EpochSeconds(), EpochSeconds()
    with tempfile.TemporaryDirectory(dir=settings.folder) as folder:
        paths = [Path(folder) / f"bucket={number}.parquet" for number in range(FILES)]
        for path, rows in zip(paths, np.array_split(np.arange(n), FILES), strict=True):
            write_windows(windows.take(rows), path)
        files = WindowFiles(paths, windows.spec)
        megabytes = sum(path.stat().st_size for path in paths) / 2**20
        for _ in range(settings.turns):
            make = MODELS[settings.model]
            make().learn(windows, later, trainer(memory, 1))
            detector: DeepDetector = make()
            fit_files(detector, files, later, trainer(blocks, 1), pool=settings.pool)
        size = detector.training_settings.batch_size
        fed_memory = feed(BatchLoader(to_tensors(windows, detector.users_), size, seed=0))
        fed_blocks = feed(BlockLoader(files, detector.users_, size, settings.pool, seed=0))
    print(f"{n:,} windows of {FEATURES} features, {megabytes:.0f} MB in {FILES} files, ", end="")
    print(f"{len(files.rows)} blocks, pools of {settings.pool:,}; fastest of {settings.turns}")
    for name, here, there in (
        (f"training {settings.model}", min(memory.found), min(blocks.found)),
        ("feeding alone", fed_memory, fed_blocks),
    ):
        print(
            f"{name:22} memory {n / here:10,.0f} windows/s   blocks {n / there:10,.0f} windows/s"
            f"   ratio {here / there:.2f}"
        )


if __name__ == "__main__":
    main()
