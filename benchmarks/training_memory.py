"""Memory that a fit takes beside its windows: `python benchmarks/training_memory.py [--rows N]`.

Windows of 64 features are made in place, an autoencoder is fitted on them and scores them, and the
growth of the process's peak is compared with the bytes of `Windows.x`.
"""

from __future__ import annotations

import argparse
import gc
import logging
import resource
import warnings
from pathlib import Path

import numpy as np
import torch
from training_speed import COLUMNS, as_windows

from riskml.core.types import FloatArray, Windows
from riskml.models.autoencoder import AutoencoderDetector
from riskml.models.deep import TrainingSettings

MIB = 2**20


def made(rows: int) -> FloatArray:
    """Gaussian rows, without a copy in between."""
    x = np.empty((rows, COLUMNS), np.float32)
    np.random.default_rng(0).standard_normal(out=x, dtype=np.float32)
    return x


def resident() -> int:
    """Bytes of the process in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def peak() -> int:
    """Bytes of the process in memory at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fit(windows: Windows, epochs: int) -> None:
    """Fit, and the scores of the train windows that go with it."""
    training = TrainingSettings(batch_size=1024, max_epochs=epochs, max_steps=10**9)
    AutoencoderDetector((32, 16), user_dim=0, training=training).fit(windows)


def main() -> None:
    """Print bytes and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--epochs", type=int, default=1)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    fit(as_windows(made(5000)), 1)  # libraries take their own memory once
    windows = as_windows(made(given.rows))
    x = windows.x
    gc.collect()
    before = resident()
    fit(windows, given.epochs)
    growth = max(0, peak() - before)
    print(
        f"{given.rows:,} windows × {COLUMNS}: x {x.nbytes / MIB:,.0f} MiB, the fit took "
        f"{growth / MIB:,.0f} MiB beside it ({growth / x.nbytes:.2f} × x), "
        f"in all {1 + growth / x.nbytes:.2f} × x"
    )


if __name__ == "__main__":
    main()
