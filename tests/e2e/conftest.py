"""Runs that several tests look at; each is made once, by whichever worker comes first."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import TRAIN, once, reads, run_cold, write_log
from warm import end_all


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    yield
    end_all()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this session have in common."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def log(shared: Path) -> Path:
    return once(shared, "log", lambda folder: write_log(folder / "log.csv")) / "log.csv"


@pytest.fixture(scope="session")
def trained(shared: Path, log: Path) -> Path:
    """The outputs folder of one training and its evaluation, tracked with MLflow."""

    def make(folder: Path) -> None:
        outputs = folder / "outputs"
        done = run_cold("train.py", outputs, *reads(log), *TRAIN)
        (folder / "train.out").write_text(done.stdout + done.stderr)
        done = run_cold("evaluate.py", outputs, "baselines=[random,window_length]")
        (folder / "evaluate.out").write_text(done.stdout + done.stderr)

    return once(shared, "trained", make) / "outputs"


CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = ("--disable-background-networking", "--disable-component-update", "--no-first-run")


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """A real one, by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api")
    named = os.environ.get("RISKML_CHROMIUM")
    chromium = named or next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if chromium is None:
        pytest.skip("no Chromium is installed (apt-get install chromium)")
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(
            executable_path=chromium, args=[*QUIET, *(["--no-sandbox"] if root else [])]
        )
        yield opened
        opened.close()
