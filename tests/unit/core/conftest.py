"""A small script with a conf/ folder, run as a person would run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

SCRIPT = """
from omegaconf import DictConfig, OmegaConf
from riskml.core.entry import hydra_entry

@hydra_entry(config_name="train")
def main(cfg: DictConfig) -> None:
    import os
    from riskml.core.errors import DataError
    if cfg.do == "fail":
        raise DataError("log.csv: column 'user'\\nis missing; name it with columns.user_id=...")
    if cfg.do == "interrupt":
        raise KeyboardInterrupt
    if cfg.do == "bug":
        raise ZeroDivisionError("a bug")
    if cfg.do == "missing":
        print(cfg.data.path)
    if cfg.do == "env":
        print("root", os.environ["RISKML_ROOT"], "full", os.environ.get("HYDRA_FULL_ERROR"))
    print("ran", OmegaConf.to_container(cfg.model), cfg.seed)

if __name__ == "__main__":
    main()
"""

UNGUARDED = """
import hydra

@hydra.main("conf", "train", version_base="1.3")
def main(cfg):
    print("ran")

main()
"""

CONF = {
    "train.yaml": """
defaults: [{model: vae}, {data: none}, {experiment: null}, _self_]
seed: 1
do: nothing
hydra:
  run: {dir: out/run}
  sweep: {dir: out/sweep}
""",
    "model/vae.yaml": "hidden: 8\nlatent: 2\n",
    "model/autoencoder.yaml": "hidden: 16\n",
    "data/none.yaml": "path: ???\n",
    "experiment/long.yaml": "# @package _global_\nseed: 7\n",
}

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write files given as name -> text."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A folder with train.py, unguarded.py (plain Hydra), their conf/ and a package to import."""
    write(tmp_path, {"train.py": SCRIPT, "unguarded.py": UNGUARDED})
    write(tmp_path / "conf", CONF)
    touch = "import pathlib\npathlib.Path(__file__).parents[1].joinpath('marker').touch()\n"
    write(tmp_path, {"evil/__init__.py": touch, "evil/extra.yaml": "a: 1\n"})
    return tmp_path


# Measuring coverage in each child would treble the time; TestInProcess covers the same.
OURS = ("HYDRA", "RISKML", "COVERAGE", "COV_")


def environment() -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(OURS)}
    return inherited | {"PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="session")
def forked() -> Iterator[subprocess.Popen[str]]:
    """The process whose children run the scripts, see `forked.py`."""
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("forked.py"))],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def run(app: Path, forked: subprocess.Popen[str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a script of the app; gives the finished process."""

    def call(*args: str, script: str = "train.py", **env: str) -> subprocess.CompletedProcess[str]:
        folder = tmp_path_factory.mktemp("output")
        asked = {
            "script": script,
            "args": args,
            "folder": str(app),
            "env": environment() | env,
            "out": str(folder / "out"),
            "err": str(folder / "err"),
        }
        assert forked.stdin is not None and forked.stdout is not None
        print(json.dumps(asked), file=forked.stdin, flush=True)
        code = int(forked.stdout.readline())
        out, err = ((folder / name).read_text() for name in ("out", "err"))
        return subprocess.CompletedProcess([script, *args], code, out, err)

    return call
