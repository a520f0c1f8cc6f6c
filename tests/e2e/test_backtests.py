"""Evaluations over folds: stopped, killed, in several processes."""

from __future__ import annotations

import os
import re
import signal
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest
from command_line import interrupt, last_run, once, read_json, reads, run, start, wait_for
from polars.testing import assert_frame_equal

from riskml.baselines.simple import RandomDetector, WindowLengthDetector
from riskml.core.errors import ConfigError, DataError
from riskml.data.datasets import Dataset
from riskml.data.folds import SingleFold
from riskml.data.splits import TimeSplit
from riskml.evaluation.backtest import backtest
from riskml.evaluation.backtesting.units import Fit, Fitted
from riskml.features.extractor import FeatureExtractor
from riskml.features.preparation import PreparedWindows
from riskml.features.volume import VolumeFeatures
from riskml.features.windows import UserDayWindows
from riskml.models.base import Detector

pytestmark = pytest.mark.slow

VAE = "{name: vae, hidden: [8], latent_dim: 2, user_dim: 2, training: {max_epochs: 3}}"
FOLDS = (
    "backtest=expanding",
    "backtest.train_days=21",
    "backtest.calibration_days=7",
    "backtest.test_days=7",
)
COMMAND = (
    f"detectors=[{VAE},window_length]",
    "baselines=[random,pyod_iforest,bigram]",
    "seeds=2",
    "features.families.action_embedding.epochs=1",
    "logger=none",
    "callbacks=quiet",
    *FOLDS,
)
UNITS = 2 * (2 + 1 + 2 + 2 + 1)


def evaluated(outputs: Path) -> Path:
    return last_run(outputs, "evaluate")


def timeless(value: Any) -> Any:
    """A document without what is another one each time."""
    if isinstance(value, dict):
        odd = ("fit_seconds", "score_seconds", "created", "command")
        return {name: timeless(inner) for name, inner in value.items() if name not in odd}
    return [timeless(inner) for inner in value] if isinstance(value, list) else value


@pytest.fixture(scope="session")
def whole(shared: Path, log: Path) -> Path:
    """The folder of an evaluation in one go, in one process."""

    def make(folder: Path) -> None:
        done = run("evaluate.py", folder / "outputs", *reads(log), *COMMAND)
        (folder / "out").write_text(done.stdout)

    return once(shared, "backtest", make) / "outputs"


def parts(outputs: Path) -> list[Path]:
    return list(outputs.glob("evaluate/*/parts/fold-*/*/part.json"))


def test_folds_are_told_and_written(whole: Path) -> None:
    text = (whole.parent / "out").read_text()
    assert "fold 1: train 2024-01-01 to 2024-01-2" in text
    assert "fold 2: train 2024-01-01 to 2024-01-3" in text
    document = read_json(evaluated(whole) / "metrics.json")
    names = ["vae", "window_length", "random", "pyod_iforest", "bigram"]
    assert list(document["detectors"]) == names
    assert document["detector"] == "vae"
    scores = pl.read_parquet(evaluated(whole) / "scores.parquet")
    assert sorted(scores.select("fold", "seed").unique().rows()) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    alerts = pl.read_parquet(evaluated(whole) / "alerts.parquet")
    assert set(alerts["fold"]) == {0, 1}
    assert len(parts(whole)) == UNITS
    assert not list(evaluated(whole).glob("parts/*/*/*.ckpt"))


def hears_ctrl_c(pid: int) -> bool:
    found = re.search(r"^SigBlk:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return not int(found[1], 16) >> (signal.SIGINT - 1) & 1


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="shows no masks of signals")
def test_workers_never_hear_ctrl_c(log: Path, tmp_path: Path) -> None:
    """From their first moment: amid their imports each would print a traceback."""
    process = start(
        "evaluate.py", tmp_path / "outputs", *reads(log), *COMMAND, "backtest.workers=2"
    )

    def workers() -> list[int]:
        children = psutil.Process(process.pid).children()
        return [one.pid for one in children if "spawn_main" in " ".join(one.cmdline())]

    wait_for(process, lambda: len(workers()) == 2)
    assert [hears_ctrl_c(pid) for pid in workers()] == [False, False]
    output = interrupt(process)
    assert process.returncode == 130
    assert "go on with: python evaluate.py resume=" in output and "Traceback" not in output


def test_stopped_and_killed_in_two_processes_and_gone_on_with_equals_one_go_in_one(
    log: Path, whole: Path, tmp_path: Path
) -> None:
    outputs = tmp_path / "outputs"
    process = start("evaluate.py", outputs, *reads(log), *COMMAND, "backtest.workers=2")
    wait_for(process, lambda: bool(parts(outputs)))
    output = interrupt(process)
    assert process.returncode == 130
    assert "Traceback" not in output
    (folder,) = (outputs / "evaluate").iterdir()
    assert f"go on with: python evaluate.py resume={folder}" in output

    done = len(parts(outputs))
    process = start("evaluate.py", outputs, f"resume={folder}", "backtest.workers=2")
    wait_for(process, lambda: len(parts(outputs)) > done)
    os.kill(process.pid, signal.SIGKILL)  # the parent alone: the workers have to notice
    process.communicate()
    assert len(parts(outputs)) < UNITS, "it was over before the kill"
    assert not (folder / "metrics.json").exists()
    kept = {path: path.stat().st_mtime_ns for path in parts(outputs)}

    refused = run("evaluate.py", outputs, f"resume={folder}", "seeds=3", code=2)
    assert "seeds is 3 here and was 2 when it was begun" in refused.stderr
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(config + "more: 1\n")
    refused = run("evaluate.py", outputs, f"resume={folder}", code=2)
    assert "config.yaml was changed" in refused.stderr
    (folder / "config.yaml").write_text(config)

    run("evaluate.py", outputs, f"resume={folder}", "backtest.workers=1")
    assert len(list((outputs / "evaluate").iterdir())) == 3, "this, and those of the refused ones"
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "done twice"
    mine, other = (read_json(at / "metrics.json") for at in (folder, evaluated(whole)))
    assert timeless(mine) == timeless(other)
    for name in ("scores.parquet", "alerts.parquet"):
        one, two = (pl.read_parquet(at / name) for at in (folder, evaluated(whole)))
        assert_frame_equal(one, two, check_exact=True)
    assert len(parts(outputs)) == UNITS


# ---- from a script


def small() -> Dataset:
    events = pl.DataFrame(
        {
            "event_id": [f"e{i}" for i in range(2000)],
            "user_id": [f"user{i % 5}" for i in range(2000)],
            "timestamp": pl.Series(range(2000)) * 900_000_000,
            "action": [f"action{i % 7}" for i in range(2000)],
            "resource": [f"file{i % 3}" for i in range(2000)],
        },
        schema_overrides={"timestamp": pl.Datetime("us", "UTC")},
    ).with_columns(source=pl.lit(None, pl.String), success=pl.lit(None, pl.Boolean))
    return Dataset(TimeSplit(4, 5).assign(events), None, pl.DataFrame())


def features(events: pl.DataFrame) -> FeatureExtractor:
    return FeatureExtractor(UserDayWindows(), {"volume": VolumeFeatures(3)}).fit(events)


def die(name: str, detector: Detector, windows: PreparedWindows) -> Fitted:
    """As if the machine had no memory left."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def leave(name: str, detector: Detector, windows: PreparedWindows) -> Fitted:
    """As a library does that ends the process."""
    os._exit(3)


def length(seed: int) -> Detector:
    return WindowLengthDetector()


@pytest.mark.parametrize(
    ("fit", "text"),
    [
        (die, r"was killed in fold 1, length, seed 0.*backtest\.workers"),
        (leave, r"ended in fold 1, length, seed 0 \(exit code 3\)"),
    ],
)
def test_a_worker_that_is_gone_is_named(fit: Fit, text: str) -> None:
    with pytest.raises(DataError, match=text):
        backtest(small(), {"length": length}, features, SingleFold(workers=2), fit=fit)


def test_what_cannot_be_handed_to_another_process_is_named() -> None:
    makes = {"length": length, "mine": lambda seed: WindowLengthDetector()}
    with pytest.raises(ConfigError, match="'mine' cannot be handed to another process"):
        backtest(small(), makes, features, SingleFold(workers=2))


def test_partial_and_classes_can_be_handed_over() -> None:
    makes = {"dice": RandomDetector, "others": partial(RandomDetector, contamination=0.2)}
    found = backtest(small(), makes, features, SingleFold(workers=2))
    assert [e.name for e in found.evaluations] == ["dice", "others"]
