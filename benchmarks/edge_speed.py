"""How many edges a second are scored, and how well: ours beside the papers' own C++.

    python benchmarks/edge_speed.py
    python benchmarks/edge_speed.py --peer MIDAS --darpa MIDAS/data/DARPA/darpa_original.zip

`--peer` is a clone of https://github.com/Stream-AD/MIDAS, whose cores are compiled here (g++ -O3).
`--darpa` is the file in it (or what it holds), and the protocol is that of its `PreprocessData.py`:
hosts are nodes, a minute with edges is a tick, edges with the name of an attack are the odd ones.
Two rows of 1,024 slots, decay 0.5, threshold 1,000, one thread, seconds of CPU, the best of the
seeds; every edge is scored, the ROC-AUC is the mean over the seeds of the hash functions. Without
`--darpa` as many edges are random, some of them in groups of edges that are all alike.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from statistics import mean, stdev
from zipfile import ZipFile, is_zipfile

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.metrics import roc_auc_score

from riskml import EdgeStream

Array = npt.NDArray[np.int64]
Edges = tuple[Array, Array, Array]
Run = Callable[[Edges, int], tuple[npt.NDArray[np.float64], float]]
"""From edges and a seed to scores and seconds."""

CORES = {
    "plain": ("MIDAS", "Normal", "2, 1024"),
    "relational": ("MIDAS-R", "Relational", "2, 1024"),
    "filtering": ("MIDAS-F", "Filtering", "2, 1024, 1e3f"),
}
DRIVER = r"""
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <vector>
#include "@Core.hpp"
int main(int, char** given) {
    const size_t n = atol(given[1]);
    srand(atoi(given[2]));
    std::vector<int> edges(3 * n);
    std::vector<float> scores(n);
    FILE* in = fopen(given[3], "rb");
    if (fread(edges.data(), 4, 3 * n, in) != 3 * n) return 1;
    MIDAS::@Core core(ARGUMENTS);
    const clock_t begin = clock();
    for (size_t i = 0; i < n; i++) scores[i] = core(edges[i], edges[n + i], edges[2 * n + i]);
    printf("%f", double(clock() - begin) / CLOCKS_PER_SEC);
    FILE* out = fopen(given[4], "wb");
    return fwrite(scores.data(), 4, n, out) != n || fclose(out);
}
"""


def darpa(path: Path) -> tuple[Edges, Array]:
    """Edges and which of them are attacks."""
    if is_zipfile(path):
        with ZipFile(path) as archive:
            content = archive.read("darpa_original.csv")
    else:
        content = path.read_bytes()
    names = ["source", "destination", "minute", "attack"]
    table = pl.read_csv(BytesIO(content), has_header=False, new_columns=names)
    nodes = pl.concat([table["source"], table["destination"]]).rank("dense").to_numpy()
    n = len(table)
    tick = table["minute"].rank("dense").to_numpy()
    edges = tuple(column.astype(np.int64) for column in (nodes[:n], nodes[n:], tick))
    return edges, (table["attack"] != "-").to_numpy().astype(np.int64)


def made_up(n: int, ticks: int) -> tuple[Edges, Array]:
    """Random edges between 10,000 nodes, and groups in some of the ticks."""
    rng = np.random.default_rng(0)
    tick = np.sort(rng.integers(1, ticks + 1, n))
    source, destination = (np.minimum(rng.zipf(1.3, n), 10_000) for _ in range(2))
    odd = np.isin(tick, rng.choice(ticks // 2, max(1, ticks // 50), False) + ticks // 2 + 1)
    odd &= rng.random(n) < 0.5
    source[odd], destination[odd] = 20_000 + tick[odd] % 7, 30_000 + tick[odd] % 5
    return (source, destination, tick), odd.astype(np.int64)


def ours(core: str) -> Run:
    """Batches of a million."""

    def run(edges: Edges, seed: int) -> tuple[npt.NDArray[np.float64], float]:
        stream = EdgeStream(core, seed=seed)
        begin = time.process_time()
        at = range(0, len(edges[0]), 1_000_000)
        parts = [stream.score(*(column[i : i + 1_000_000] for column in edges)) for i in at]
        return np.concatenate(parts), time.process_time() - begin

    return run


def peer(core: str, clone: Path, folder: Path) -> Run:
    """The papers' own, compiled."""
    name, arguments = CORES[core][1:]
    code, program = folder / f"{name}.cpp", folder / name
    code.write_text(DRIVER.replace("@", name).replace("ARGUMENTS", arguments))
    sources = ["g++", "-std=c++17", "-O3", "-march=native", f"-I{clone / 'src'}", str(code)]
    subprocess.run([*sources, "-o", str(program)], check=True)

    def run(edges: Edges, seed: int) -> tuple[npt.NDArray[np.float64], float]:
        given, found = folder / "edges", folder / "scores"
        np.concatenate(edges).astype(np.int32).tofile(given)
        words = [str(program), str(len(edges[0])), str(seed), str(given), str(found)]
        seconds = float(subprocess.run(words, check=True, capture_output=True).stdout)
        return np.fromfile(found, np.float32).astype(np.float64), seconds

    return run


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--darpa", type=Path)
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--edges", type=int, default=4_554_344)
    parser.add_argument("--ticks", type=int, default=46_572)
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    edges, odd = darpa(given.darpa) if given.darpa else made_up(given.edges, given.ticks)
    print(f"{len(odd):,} edges, {edges[2].max():,} ticks, {odd.mean():.1%} odd\n")
    print("| | edges/s of CPU | ROC-AUC |\n|---|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for core, (name, *_) in CORES.items():
            rows = {f"{name}, riskml": ours(core)}
            if given.peer:
                rows[f"{name}, its authors' C++"] = peer(core, given.peer, Path(folder))
            for row, run in rows.items():
                made = [run(edges, seed) for seed in range(given.seeds)]
                areas = [float(roc_auc_score(odd, scores)) for scores, _ in made]
                speed = len(odd) / min(seconds for _, seconds in made)
                print(f"| {row} | {speed:,.0f} | {mean(areas):.4f} ± {stdev(areas):.4f} |")


if __name__ == "__main__":
    main()
