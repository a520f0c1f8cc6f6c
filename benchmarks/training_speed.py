"""Training and scoring speed: ours through the Trainer, plain loops, PyOD and DeepOD.

    python benchmarks/training_speed.py [--rows 200000] [--epochs 10] [--repeats 3]
                                        [--deepod PYTHON]

One core, the same Gaussian data, layers 64-32-16-8-16-32-64, batch 1,024 and epochs for all. Each
turn of the repeats goes through every contender, so that a busy machine slows all of them alike;
the medians are printed with the processor's time, which other jobs disturb less than the clock.
There are two loops by hand: plain layers with squared error, and our network with our likelihood,
trimming and clipping, which is what the Trainer's part of the time is measured against. `fit` of
ours and of PyOD scores the train rows as well; the loops do not. DeepOD wants an old torch:
`--deepod` takes the Python of an environment of its own. Then batches of other sizes, each once,
with the average precision of planted anomalies; then scoring.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import polars as pl
import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from rich.console import Console
from rich.table import Table
from sklearn.metrics import average_precision_score

from riskml.core.types import Feature, FeatureKind, FeatureSpec, FloatArray, Windows
from riskml.models.autoencoder import AutoencoderDetector
from riskml.models.batches import to_tensors
from riskml.models.deep import DeepDetector, TrainingSettings
from riskml.models.lstm_ae import LSTMAutoencoderDetector
from riskml.models.vae import VAEDetector

COLUMNS, BATCH, ODD = 64, 1024, 0.01
PYOD_BATCH = 32
"""PyOD's own default."""

BATCHES = (1, 8, 64)
"""Of our own default."""

LAYERS = (64, 32, 16, 8, 16, 32, 64)
ACTIONS = 16
OURS, PLAIN = "our autoencoder, Trainer", "our plain autoencoder, Trainer"
Task = Callable[[], object]
Seconds = tuple[float, float]
"""By the clock, and of the processor."""


def gaussian(rows: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Rows near a subspace of 8 dimensions; one in a hundred has its columns mixed up."""
    rng = np.random.default_rng(seed)
    subspace = np.random.default_rng(0).standard_normal((8, COLUMNS))
    x = rng.standard_normal((rows, 8)) @ subspace + 0.3 * rng.standard_normal((rows, COLUMNS))
    odd = rng.random(rows) < ODD
    x[odd] = rng.permuted(x[odd], axis=1)
    return x.astype(np.float32), odd.astype(np.float32)


def as_windows(x: FloatArray, length: int = 1) -> Windows:
    """Rows as windows of one user, with random actions."""
    rows, when = len(x), datetime(2024, 1, 1, tzinfo=UTC)
    keys = pl.DataFrame({"window_id": pl.int_range(rows, eager=True).cast(pl.String)}).with_columns(
        pl.lit("user").alias("user_id"),
        *(pl.lit(when).dt.cast_time_unit("us").alias(name) for name in ("start", "end")),
        pl.lit(length).alias("n_events"),
    )
    features = [Feature(f"f{i}", "volume", FeatureKind.CONTINUOUS, "f") for i in range(x.shape[1])]
    spec = FeatureSpec(
        tuple(features), tuple(f"a{i}" for i in range(32)), np.eye(32, ACTIONS, dtype=np.float32)
    )
    tokens = np.random.default_rng(0).integers(2, 32, (rows, length), np.int32)
    return Windows(keys, x, spec, tokens, np.full(rows, length, np.int32))


def detector(kind: str, epochs: int, batch: int = BATCH, plain: bool = False) -> DeepDetector:
    """Ours with the layers of the comparison and no view of the user.

    Args:
        kind: autoencoder or vae.
        epochs: to train.
        batch: rows of one.
        plain: with squared error (a Gaussian of one spread a feature) on all rows, as the peers
            have it, and not the heavy tails and trimming that ours come with.
    """
    training = TrainingSettings(batch_size=batch, max_epochs=epochs)
    head: dict[str, Any] = {"user_dim": 0, "training": training}
    if plain:
        training = replace(training, trim=0.0)
        head |= {"degrees_of_freedom": 0, "window_spread": False, "training": training}
    hidden, latent = LAYERS[1:3], LAYERS[3]
    if kind == "vae":
        return VAEDetector(hidden, latent, **head)
    return AutoencoderDetector(hidden, latent, 0.0, **head)


def ours(
    kind: str,
    windows: Windows,
    later: Windows,
    epochs: int,
    batch: int = BATCH,
    plain: bool = False,
) -> DeepDetector:
    """Fit as a user does: with progress bar, log and checkpoints."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            devices=1,
            gradient_clip_val=None if plain else 1.0,
            num_sanity_val_steps=0,
            enable_model_summary=False,
            logger=CSVLogger(folder),
            callbacks=[ModelCheckpoint(folder, monitor="val/loss")],
        )
        return detector(kind, epochs, batch, plain).fit(windows, later, trainer)


def loop(
    loss: Callable[..., torch.Tensor],
    parts: list[torch.Tensor],
    network: torch.nn.Module,
    epochs: int,
    clip: bool,
) -> None:
    """A hand-written loop: one gather an epoch, fused Adam."""
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, 3e-3, fused=True)
    for _ in range(epochs):
        order = torch.randperm(len(parts[0]))
        shuffled = [part[order] for part in parts]
        for batch in zip(*(part.split(BATCH) for part in shuffled), strict=True):
            optimizer.zero_grad()
            loss(*batch).backward()  # type: ignore[no-untyped-call]
            if clip:
                torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()


def loop_same_network(windows: Windows, epochs: int, plain: bool = False) -> None:
    """The loop around our autoencoder's network and loss, with its trimming and clipping."""
    model = detector("autoencoder", epochs, plain=plain)
    model._build(windows)
    network = model.network.train()
    parts = list(to_tensors(windows, model.users_))
    trim = model.training_settings.trim

    def loss(*batch: torch.Tensor) -> torch.Tensor:
        losses = network.loss(*batch)
        if not trim:
            return losses.mean()
        kept = max(1, round(len(losses) * (1 - trim)))
        return losses.topk(kept, largest=False, sorted=False).values.mean()

    loop(loss, parts, network, epochs, clip=not plain)


def loop_squared_error(x: FloatArray, epochs: int) -> None:
    """The loop around plain layers with squared error, without clipping."""
    layers: list[torch.nn.Module] = []
    for size_in, size_out in pairwise(LAYERS):
        layers += [torch.nn.Linear(size_in, size_out), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers[:-1])
    rows = [torch.from_numpy(x)]
    loop(lambda b: torch.nn.functional.mse_loss(network(b), b), rows, network, epochs, clip=False)


def pyod(kind: str, x: FloatArray, epochs: int, batch: int = BATCH) -> Any:
    """PyOD's detector of the same layers."""
    if kind == "vae":
        from pyod.models.vae import VAE

        model = VAE(
            encoder_neuron_list=[*LAYERS[1:3]],
            decoder_neuron_list=[*LAYERS[4:6]],
            latent_dim=LAYERS[3],
            epoch_num=epochs,
            batch_size=batch,
            verbose=0,
        )
    else:
        from pyod.models.auto_encoder import AutoEncoder

        model = AutoEncoder(
            hidden_neuron_list=[*LAYERS[1:4]], epoch_num=epochs, batch_size=batch, verbose=0
        )
    return model.fit(x)


DEEPOD = f"""
import sys, time, numpy as np, torch
torch.set_num_threads(1)
from deepod.models import DeepSVDD
x = np.load(sys.argv[1])
model = DeepSVDD(epochs=int(sys.argv[2]), batch_size={BATCH}, rep_dim=8, hidden_dims="32,16",
                 device="cpu", verbose=0)
clock, processor = time.perf_counter(), time.process_time()
model.fit(x)
print("seconds", time.perf_counter() - clock, time.process_time() - processor)
"""


def deepod(python: str, x: FloatArray, epochs: int) -> Seconds:
    """Seconds of DeepSVDD in a process of its own.

    Raises:
        RuntimeError: it cannot be run there; the message is its last line.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.npy"
        np.save(file, x)
        done = subprocess.run(
            [python, "-c", DEEPOD, str(file), str(epochs)],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    clock, processor = done.stdout.rsplit("seconds", 1)[1].split()
    return float(clock), float(processor)


def seconds(task: Task) -> Seconds:
    """What a task took; one that ran elsewhere gives its own."""
    clock, processor = time.perf_counter(), time.process_time()
    own = task()
    if isinstance(own, tuple):
        return own
    return time.perf_counter() - clock, time.process_time() - processor


def compare(
    title: str, unit: str, tasks: dict[str, Task], amount: int, repeats: int
) -> tuple[Table, dict[str, float]]:
    """Medians of thousands a second, and those of the processor by name; the tasks take turns."""
    times: dict[str, list[Seconds]] = {name: [] for name in tasks}
    for _ in range(repeats):
        for name, task in tasks.items():
            times[name].append(seconds(task))
    table = Table("", f"{unit} a clock second", f"{unit} a processor second", title=title)
    rates: dict[str, float] = {}
    for name, taken in times.items():
        clock, rates[name] = (amount / 1e3 / median(column) for column in zip(*taken, strict=True))
        table.add_row(name, f"{clock:,.0f}", f"{rates[name]:,.0f}")
    return table, rates


def ratios(console: Console, rates: dict[str, float], ours: str, *others: str) -> None:
    """Say how many times as fast ours is, by processor time."""
    told = ", ".join(f"{rates[ours] / rates[name]:.2f} × {name}" for name in others)
    console.print(f"{ours}: {told}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--deepod", default=sys.executable, help="Python that has deepod")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    console = Console()
    rows, epochs, repeats = given.rows, given.epochs, given.repeats
    (x, _), (test, odd) = gaussian(rows, 1), gaussian(20_000, 2)
    windows, later = as_windows(x), as_windows(test)

    few = x[:2000]
    for kind in ("autoencoder", "vae"):  # what is imported and set up once is nobody's time
        ours(kind, as_windows(few), as_windows(few), 1)
        pyod(kind, few, 1)

    training: dict[str, Task] = {
        "plain layers by hand": lambda: loop_squared_error(x, epochs),
        "our network, by hand": lambda: loop_same_network(windows, epochs),
        OURS: lambda: ours("autoencoder", windows, later, epochs),
        "our VAE, Trainer": lambda: ours("vae", windows, later, epochs),
        "our plain network, by hand": lambda: loop_same_network(windows, epochs, plain=True),
        PLAIN: lambda: ours("autoencoder", windows, later, epochs, plain=True),
        "PyOD AutoEncoder": lambda: pyod("autoencoder", x, epochs),
        "PyOD VAE": lambda: pyod("vae", x, epochs),
    }
    try:
        deepod(given.deepod, few, 1)
        training["DeepOD DeepSVDD"] = lambda: deepod(given.deepod, x, epochs)
    except (RuntimeError, OSError) as error:
        console.print(f"DeepOD is left out: {error}")
    table, rates = compare("Training", "thousand row-epochs", training, rows * epochs, repeats)
    console.print(table)
    for name in (OURS, PLAIN, "our VAE, Trainer"):
        ratios(console, rates, name, *(other for other in rates if other != name))

    table = Table("batch", "thousand row-epochs a processor second", "AP", title="Batches")
    own = TrainingSettings().batch_size
    for name, batch in [
        ("PyOD", PYOD_BATCH),
        ("PyOD", BATCH),
        *(("ours", own * k) for k in BATCHES),
    ]:
        start = time.process_time()
        if name == "PyOD":
            scores = pyod("autoencoder", x, epochs, batch).decision_function(test)
        else:
            scores = ours("autoencoder", windows, later, epochs, batch).score(later)
        rate = rows * epochs / 1e3 / (time.process_time() - start)
        found = average_precision_score(odd, scores)
        table.add_row(f"{name}, {batch:,}", f"{rate:,.0f}", f"{found:.3f}")
    console.print(table)

    scoring: dict[str, Task] = {}
    shapes = [(kind, plain) for kind in ("autoencoder", "vae") for plain in (False, True)]
    for kind, plain in shapes:
        model = detector(kind, 1, plain=plain).fit(windows)
        graph, parts = model.graph(), to_tensors(windows, model.users_)

        def score(graph: torch.nn.Module = graph, parts: tuple[torch.Tensor, ...] = parts) -> None:
            with torch.inference_mode():
                for batch in zip(*(part.split(4096) for part in parts), strict=True):
                    graph(*batch)

        score()  # a graph is made fast by its first calls
        fitted = pyod(kind, few, 1)
        scoring |= {
            f"our {'plain ' * plain}{kind}, graph": score,
            f"PyOD {kind}": lambda fitted=fitted: fitted.decision_function(x),  # type: ignore[misc]
        }
    table, rates = compare("Scoring, batch 4,096", "thousand rows", scoring, rows, repeats)
    console.print(table)
    for kind, plain in shapes:
        ratios(console, rates, f"our {'plain ' * plain}{kind}, graph", f"PyOD {kind}")

    windows = as_windows(x[:20_000], length=20)
    lstm = LSTMAutoencoderDetector(32, 4, user_dim=0, training=TrainingSettings(max_epochs=1))
    lstm.fit(windows.take(np.arange(1000)))
    graph, sequences = lstm.graph(), to_tensors(windows, lstm.users_)

    def score_sequences(size: int) -> Task:
        def task() -> None:
            with torch.inference_mode():
                for batch in zip(*(part.split(size) for part in sequences), strict=True):
                    graph(*batch)

        return task

    by_size = {f"batch {size:,}": score_sequences(size) for size in (32, 64, 256, 1024, 4096)}
    title = "Scoring, LSTM autoencoder on sequences of 20 × 16"
    console.print(compare(title, "thousand windows", by_size, len(windows), repeats)[0])


if __name__ == "__main__":
    main()
