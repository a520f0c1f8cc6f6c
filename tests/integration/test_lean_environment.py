"""The scoring job in an environment of nothing but the wheel and what it asks for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
OLD = ROOT / "tests" / "data" / "bundles" / "format_3"
ABSENT = ("pytorch_lightning", "hydra", "omegaconf", "gensim", "pyod", "mlflow", "sklearn", "scipy")
LOOK = "import importlib.util as u, sys; print([n for n in sys.argv[1:] if u.find_spec(n)])"


def run(*words: object, **variables: str) -> str:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "RISKML"))}
    done = subprocess.run(
        [str(word) for word in words],
        env={**kept, **variables},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def size_mib(folder: Path) -> float:
    return sum(f.lstat().st_size for f in folder.rglob("*") if f.is_file()) / 2**20


def test_the_wheel_alone_scores(tmp_path: Path) -> None:
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "-q")
    source_tree = tmp_path / "source"
    shutil.copytree(ROOT / "riskml", source_tree / "riskml")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source_tree)
    run(*pip, "wheel", source_tree, "--no-deps", "--no-build-isolation", "-w", tmp_path)
    (wheel,) = tmp_path.glob("riskml-*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "lean")
    python = tmp_path / "lean" / "bin" / "python"
    lock = ROOT / "requirements.lock"
    run(*pip, "--python", python, "install", "--no-compile", "-c", lock, wheel)
    assert run(python, "-c", LOOK, *ABSENT).strip() == "[]"

    riskml = tmp_path / "lean" / "bin" / "riskml"
    log = tmp_path / "log"
    log.mkdir()
    (log / "events.parquet").write_bytes((OLD / "events.parquet").read_bytes())
    source = ("--source", log, "--until", "2024-02-02", "--json")
    for out in (tmp_path / "scores", f"sqlite:///{tmp_path / 'scores.db'}"):
        told = run(riskml, "score", "--bundle", OLD / "bundle", *source, "--out", out)
        champion = json.loads(told)["champion"]
        assert (champion["windows_closed"], champion["alerts"]) == (90, 33)
    packages = next((tmp_path / "lean" / "lib").glob("python*/site-packages"))
    of_torch, whole = size_mib(packages / "torch"), size_mib(packages)
    print(f"installed: {whole:,.0f} MiB, of them torch {of_torch:,.0f} MiB")
    assert whole - of_torch < 500
