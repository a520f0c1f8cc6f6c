"""A load that is killed, a whole run of alerts, and the pages in a file of some size."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from riskml.cli import main
from riskml.graph.embedded import EmbeddedGraph
from riskml.graph.loading import load_graph
from riskml.graph.store import open_graph
from tests.unit.graph.worlds import content, events

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
OLD = ROOT / "tests" / "data" / "bundles" / "format_3"
SCORED = OLD / "events.parquet"


def score_old_log(out: Path) -> None:
    words = ["score", "--bundle", OLD / "bundle", "--source", SCORED, "--out", out]
    done = CliRunner().invoke(main, [*map(str, words), "--until", "2024-02-02"])
    assert done.exit_code == 0, done.stderr


def alert_ids(out: Path) -> list[str]:
    return pl.read_parquet(out / "alerts/**/*.parquet")["window_id"].to_list()


def test_a_load_that_is_killed_anywhere_is_done_again(tmp_path: Path) -> None:
    """Each batch is there as a whole or not at all, and in the end the graph is as of one load."""
    log = events(10_000, hours=24 * 200)
    log.write_parquet(tmp_path / "log.parquet")
    for name in ("whole", "killed"):
        with EmbeddedGraph(tmp_path / name, writes=True) as store:
            store.prepare()
    with EmbeddedGraph(tmp_path / "whole", writes=True) as store:
        load_graph(store, log.iter_slices(1_000), "role")
        whole = content(store)
    script = (
        "import sys; import polars as pl; from riskml.graph.loading import load_graph; "
        "from riskml.graph.store import open_graph; log = pl.read_parquet(sys.argv[2]); "
        "store = open_graph(sys.argv[1], writes=True); "
        "load_graph(store, log.iter_slices(1_000), 'role', lambda d: print(d.new, flush=True)); "
        "store.close()"
    )
    command = [sys.executable, "-c", script, tmp_path / "killed", tmp_path / "log.parquet"]
    counts = []
    for wait in (0.05, 0.3, 0.11):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if int(line) >= 2_000:  # new of this run
                    break
            time.sleep(wait)
            os.kill(process.pid, signal.SIGKILL)
        with open_graph(str(tmp_path / "killed")) as store:
            found = content(store)
        counts.append(len(found["accesses"]))
        assert counts[-1] % 1_000 == 0
        assert len(found["did"]) == counts[-1], "no access without its user"
        assert set(found["touched"]) <= set(whole["touched"])
    assert counts == sorted(counts) and 0 < counts[0] < counts[-1] <= 10_000
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.split()[-1] == str(10_000 - counts[-1])
    with open_graph(str(tmp_path / "killed")) as store:
        assert content(store) == whole
