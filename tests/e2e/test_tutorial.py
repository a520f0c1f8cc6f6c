"""docs/tutorial.md, followed to the letter: every command runs and prints what the page shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ROOT, environment

pytestmark = pytest.mark.slow

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MADE_HERE = re.compile(r"\b[0-9a-f]{12}\b|\b[0-9a-f]{16}\b|(?<=\d )\d+\.\d\d \d+\.\d\d$")
"""Ids of this very model, and seconds at the end of a row."""


NUMBER = re.compile(r"\d+\.\d+")
NETWORK, ANOTHER_CPU = "vae ", 0.02
"""What a network learns differs by so much, as the last bit of a product does."""


def alike(line: str) -> str:
    """A line without what differs from run to run."""
    return MADE_HERE.sub("", " ".join(line.split()))


def says_the_same(shown: str, printed: str) -> bool:
    """Whether the lines are equal; in the row of a network its figures may be about the same."""
    if not shown.startswith(NETWORK):
        return shown == printed
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=False)
    return NUMBER.sub("", shown) == NUMBER.sub("", printed) and all(
        abs(float(a) - float(b)) < ANOTHER_CPU for a, b in pairs
    )


def test_a_newcomer_gets_what_the_page_shows(tmp_path: Path) -> None:
    blocks = BLOCK.findall((ROOT / "docs" / "tutorial.md").read_text())
    assert blocks[0] == ("bash", "make setup\nsource .venv/bin/activate\n"), (
        "what has been done here"
    )
    for name in ("conf", "train.py", "evaluate.py"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    script = ["set -e"]
    for i, (language, text) in enumerate(blocks[1:], 1):
        (tmp_path / f"{i}.py").write_text(text)
        if language != "text":
            script += [f"echo '=== {i}'", text if language == "bash" else f"python {i}.py"]
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=tmp_path,
        env=environment() | {"PATH": paths, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    printed = {
        int(number): [alike(line) for line in text.splitlines()]
        for number, text in re.findall(r"^=== (\d+)\n(.*?)(?==== \d|\Z)", done.stdout, re.M | re.S)
    }
    last, compared = 0, 0
    for i, (language, text) in enumerate(blocks[1:], 1):
        last = last if language == "text" else i
        for line in text.splitlines() if language == "text" else []:
            found = any(says_the_same(alike(line), other) for other in printed[last])
            assert found, f"{line!r} is not among\n" + "\n".join(printed[last])
            compared += 1
    assert compared > 30
    assert (tmp_path / "outputs" / "first" / "report.html").is_file()
