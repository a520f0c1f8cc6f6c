"""Rows a second through the exported network alone, beside PyOD's AutoEncoder.

    python -m benchmarks.graph_speed [--rows 40960] [--repeats 5]

One core, 64 Gaussian columns, layers 64-32-16-8-16-32-64, as in training_speed.py: ours as it comes
and with squared error like the peer (`plain`). Large batches go through in parts, as they do in
scoring. Each turn of the repeats goes through every contender; the median of them is printed, by
the processor's time, which other work on the machine disturbs least. Batches of 1 are 2,000 calls.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.training_speed import as_windows, detector, gaussian, pyod
from riskml.export.onnx import OnnxGraph, save_onnx
from riskml.export.torchscript import BATCH_SIZE, TorchScriptGraph
from riskml.models.batches import cut, to_tensors

BATCHES = (4096, 64, 1)
CALLS = 2_000
Run = Callable[..., Any]
Parts = Callable[[int], Sequence[tuple[Tensor, ...]]]
"""Of a number of rows, what each call is given."""


def contenders(folder: Path) -> dict[str, tuple[Run, Parts]]:
    """By name, what scores a part, and the parts."""
    x, _ = gaussian(BATCHES[0], 1)
    windows = as_windows(x)
    found: dict[str, tuple[Run, Parts]] = {}
    for kind in ("autoencoder", "vae"):
        for plain in (False, True):
            model = detector(kind, 1, plain=plain).fit(windows, windows)
            into = folder / f"{kind}-{plain}"
            into.mkdir()
            TorchScriptGraph.of(model).save(into)
            save_onnx(model, into)
            graph, onnx = TorchScriptGraph.load(into), OnnxGraph.load(into)
            name = f"{kind}, plain" if plain else kind

            def parts(size: int, graph: TorchScriptGraph = graph) -> Sequence[tuple[Tensor, ...]]:
                some = windows.take(np.arange(size))
                return cut(to_tensors(some, graph.users, graph.reads_events), BATCH_SIZE)

            found[f"{name}, TorchScript"] = (graph.running.forward, parts)
            found[f"{name}, ONNX Runtime"] = (onnx.run, parts)
    peer = pyod("autoencoder", x, 1)
    found["PyOD AutoEncoder"] = (
        lambda rows: peer.decision_function(rows.numpy()),
        lambda size: [(torch.from_numpy(x[:size]),)],
    )
    return found


def rows_a_second(run: Run, parts: Sequence[tuple[Tensor, ...]], size: int, total: int) -> float:
    """Of batches of a size."""
    calls = max(1, min(CALLS, total // size))
    with torch.inference_mode():
        for part in [*parts] * 3:
            run(*part)
        start = time.process_time()
        for _ in range(calls):
            for part in parts:
                run(*part)
    return calls * size / (time.process_time() - start)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=40_960, help="of a turn, in large batches")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        running = contenders(Path(folder))
        seen: dict[tuple[str, int], list[float]] = {}
        for _ in range(given.repeats):
            for name, (run, parts) in running.items():
                for size in BATCHES:
                    speed = rows_a_second(run, parts(size), size, given.rows)
                    seen.setdefault((name, size), []).append(speed)
    table = Table("", *(f"batch {size:,}" for size in BATCHES), title="rows a second of one core")
    for name in running:
        table.add_row(name, *(f"{median(seen[name, size]):,.0f}" for size in BATCHES))
    Console().print(table)


if __name__ == "__main__":
    main()
