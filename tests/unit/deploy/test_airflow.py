"""What the DAGs send into riskml's environment; tests/integration runs them in Airflow."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

AIRFLOW = Path(__file__).parents[3] / "deploy" / "airflow"


@pytest.fixture
def source() -> str:
    """Of the function as it is sent, and nothing around it."""
    text = (AIRFLOW / "dags" / "riskml_airflow" / "commands.py").read_text()
    [found] = [
        node
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef) and node.name == "run"
    ]
    return "from __future__ import annotations\n" + ast.unparse(found)


@pytest.fixture
def run(source: str) -> Callable[..., Any]:
    names: dict[str, Any] = {}
    exec(source, names)
    function: Callable[..., Any] = names["run"]
    return function


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A train.py that tells its words, and ends as the first says."""
    (tmp_path / "train.py").write_text(
        "import json, sys\nprint(json.dumps(sys.argv[1:]))\nsys.exit(int(sys.argv[1]))\n"
    )
    return tmp_path


def test_what_a_command_tells_as_json_is_given(run: Callable[..., Any]) -> None:
    schema = run(["riskml", "schema"], options="metrics")
    assert schema["type"] == "object"
    assert run(["riskml", "ddl", "--dialect", "sqlite"]) is None, "that was no JSON"


def test_options_are_split_as_by_a_shell(run: Callable[..., Any], program: Path) -> None:
    told = run(["train.py", "0"], options="a 'b c' d=\"e f\"", root=str(program))
    assert told == ["0", "a", "b c", "d=e f"]


def test_a_failure_is_one_unless_it_is_accepted(run: Callable[..., Any], program: Path) -> None:
    assert run(["train.py", "3"], accept=[0, 3], root=str(program)) == ["3"]
    with pytest.raises(RuntimeError, match=r"train.py 3 ended with exit code 3"):
        run(["train.py", "3"], root=str(program))


def test_what_is_done_once_is_not_done_again(run: Callable[..., Any], program: Path) -> None:
    kept = program / "new" / "done.json"
    with pytest.raises(RuntimeError):
        run(["train.py", "1"], root=str(program), once=str(kept))
    assert not kept.exists(), "it has failed"
    for words in (["train.py", "0", "first"], ["train.py", "0", "second"]):
        assert run(words, root=str(program), once=str(kept)) == ["0", "first"]
    assert json.loads(kept.read_text()) == ["0", "first"]
    assert [path.name for path in kept.parent.iterdir()] == ["done.json"]


def test_an_evaluation_that_was_begun_is_gone_on_with(
    run: Callable[..., Any], program: Path
) -> None:
    (program / "evaluate.py").write_text("import json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    folder = program / "2024-02-01"
    words = ["evaluate.py", "backtest=rolling"]
    assert run(words, root=str(program), resume=str(folder)) == ["backtest=rolling"]
    (folder / "parts").mkdir(parents=True)
    (folder / "parts" / "plan.json").touch()
    assert run(words, root=str(program), resume=str(folder)) == [f"resume={folder}"]


SLEEPS = (
    "import os, pathlib, time\npathlib.Path('pid').write_text(f'{os.getpid()} ')\ntime.sleep(99)\n"
)


def test_a_command_that_takes_too_long_is_stopped(
    run: Callable[..., Any], program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(program)
    (program / "train.py").write_text(SLEEPS)
    with pytest.raises(RuntimeError, match=r"train.py was stopped: 2 s were not enough"):
        run(["train.py"], root=str(program), limit_s="2")
    assert not is_alive(program)


def test_a_command_does_not_outlive_its_task(source: str, program: Path) -> None:
    """Else the next try would meet it at work."""
    (program / "train.py").write_text(SLEEPS)
    script = program / "script.py"
    script.write_text(f"{source}\nrun(['train.py'], root='{program}')\n")
    task = f"import subprocess as s, sys; s.Popen([sys.executable, '{script}'], stderr=s.DEVNULL)"
    task += "\nimport pathlib, time\nwhile not pathlib.Path('pid').exists(): time.sleep(0.05)"
    subprocess.run([sys.executable, "-c", task], cwd=program, check=True)
    ends = time.monotonic() + 30
    while is_alive(program):
        assert time.monotonic() < ends
        time.sleep(0.1)


def is_alive(folder: Path) -> bool:
    """Whether the program goes on that has left its number there."""
    while not (number := (folder / "pid").read_text()).endswith(" "):
        time.sleep(0.05)
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    return True


def test_versions_are_pinned() -> None:
    lines = (AIRFLOW / "requirements.txt").read_text().splitlines()
    pinned = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in pinned)
    assert "apache-airflow==3.3.2" in pinned


def test_settings_are_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (AIRFLOW.parents[1] / "docs" / "airflow.md").read_text()
    sources = "".join(path.read_text() for path in sorted((AIRFLOW / "dags").rglob("*.py")))
    settings = set(re.findall(r'_(?:text|number|choice)\("([A-Z_]+)"', sources))
    settings |= {f"{name}_HOURS" for name in re.findall(r'shape\("\w+", "([A-Z_]+)"', sources)}
    variables = set(re.findall(r'(?:variable|days_of)\("(\w+)"', sources))
    variables |= set(re.findall(r"days_of\('(\w+)'", sources)) | {"promote"}
    assert len(settings) > 15 and len(variables) > 10
    assert not [name for name in settings if not re.search(rf"`{name}`", text)]
    assert not [name for name in variables if f"`riskml_{name}`" not in text]
    monkeypatch.syspath_prepend(str(AIRFLOW / "dags"))
    monkeypatch.setenv("RISKML_AIRFLOW_RUNTIME", "kubernets")
    from riskml_airflow.settings import Settings

    with pytest.raises(ValueError, match="RISKML_AIRFLOW_RUNTIME=kubernets: must be one of"):
        Settings()
    sys.modules.pop("riskml_airflow.settings")
    sys.modules.pop("riskml_airflow")
