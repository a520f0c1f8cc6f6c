"""Rows a second through the exported network alone, beside PyOD's AutoEncoder.

    python -m benchmarks.graph_speed [--rows 40960] [--repeats 5]

One core, 64 Gaussian columns, layers 64-32-16-8-16-32-64, as in training_speed.py: ours as it comes
and with squared error like the peer (`plain`). Each turn of the repeats goes through every
contender; the median of them is printed. Batches of 1 are 2,000 calls.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.training_speed import as_windows, detector, gaussian, pyod
from riskml.export.onnx import INPUTS, OnnxGraph, save_onnx
from riskml.export.torchscript import TorchScriptGraph
from riskml.models.batches import to_tensors

BATCHES = (4096, 64, 1)
CALLS = 2_000
Run = Callable[..., Any]


def contenders(folder: Path) -> dict[str, tuple[Run, list[torch.Tensor]]]:
    """By name, what scores a batch, and the rows that it scores."""
    x, _ = gaussian(BATCHES[0], 1)
    windows = as_windows(x)
    found: dict[str, tuple[Run, list[torch.Tensor]]] = {}
    for kind in ("autoencoder", "vae"):
        for plain in (False, True):
            model = detector(kind, 1, plain=plain).fit(windows, windows)
            into = folder / f"{kind}-{plain}"
            into.mkdir()
            TorchScriptGraph.of(model).save(into)
            save_onnx(model, into)
            module = TorchScriptGraph.load(into).module
            session = OnnxGraph.load(into).session
            asked = [INPUTS.index(each.name) for each in session.get_inputs()]
            name = f"{kind}, plain" if plain else kind
            rows = list(to_tensors(windows, model.users_))
            found[f"{name}, TorchScript"] = (module, rows)
            found[f"{name}, ONNX Runtime"] = (_of(session, asked), rows)
    peer = pyod("autoencoder", x, 1)
    found["PyOD AutoEncoder"] = (
        lambda *rows: peer.decision_function(rows[0].numpy()),
        [torch.from_numpy(x)],
    )
    return found


def _of(session: Any, asked: list[int]) -> Run:
    names = [INPUTS[place] for place in asked]

    def run(*parts: torch.Tensor) -> Any:
        given = [parts[place].numpy() for place in asked]
        return session.run(None, dict(zip(names, given, strict=True)))

    return run


def rows_a_second(run: Run, rows: list[torch.Tensor], size: int, total: int) -> float:
    """Of batches of a size."""
    batch = [part[:size] for part in rows]
    calls = max(1, min(CALLS, total // size))
    with torch.inference_mode():
        for _ in range(3):
            run(*batch)
        start = time.perf_counter()
        for _ in range(calls):
            run(*batch)
    return calls * size / (time.perf_counter() - start)


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
            for name, (run, rows) in running.items():
                for size in BATCHES:
                    speed = rows_a_second(run, rows, size, given.rows)
                    seen.setdefault((name, size), []).append(speed)
    table = Table("", *(f"batch {size:,}" for size in BATCHES), title="rows/s, one core")
    for name in running:
        table.add_row(name, *(f"{median(seen[name, size]):,.0f}" for size in BATCHES))
    Console().print(table)


if __name__ == "__main__":
    main()
