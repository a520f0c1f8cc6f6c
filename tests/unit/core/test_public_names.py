"""`import riskml` is light, and its names are known to people, editors and mypy alike."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import riskml

SOURCE = ast.parse(Path(riskml.__file__).read_text())
LOOK = "import sys; before = set(sys.modules); {}; print(*sorted(set(sys.modules) - before))"


def imported_by(statement: str) -> set[str]:
    command = [sys.executable, "-c", LOOK.format(statement)]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def for_type_checkers() -> dict[str, str]:
    """Name -> module of what stands under `if TYPE_CHECKING`."""
    (block,) = [node for node in SOURCE.body if isinstance(node, ast.If)]
    return {
        name.name: str(line.module)
        for line in block.body
        if isinstance(line, ast.ImportFrom) and str(line.module).startswith("riskml")
        for name in line.names
    }


def test_import_riskml_imports_nothing_but_itself_and_the_standard_library() -> None:
    found = {name.partition(".")[0] for name in imported_by("import riskml")}
    assert found - set(sys.stdlib_module_names) == {"riskml"}
    own = {name for name in imported_by("import riskml") if name.startswith("riskml")}
    assert own == {"riskml"}


def test_what_it_lists_can_be_had_and_is_typed() -> None:
    assert for_type_checkers() == riskml._HOMES
    assert set(riskml.__all__) == {*riskml._HOMES, "load", "__version__"}
    assert riskml.__all__ == sorted(riskml.__all__)
    assert set(riskml.__all__) <= set(dir(riskml))
    for name, home in riskml._HOMES.items():
        assert getattr(riskml, name).__module__ == home, name


def test_names_for_the_first_hour_are_there() -> None:
    wanted = {"read_log", "simulate", "extract", "evaluate", "load", "VAEDetector", "Report"}
    assert wanted <= set(riskml.__all__)


def test_no_name_hides_a_folder() -> None:
    folders = {path.parent.name for path in Path(riskml.__file__).parent.glob("*/__init__.py")}
    assert not folders & set(riskml.__all__)


def test_an_unknown_name_and_a_missing_package_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AttributeError, match="no attribute 'Detektor'"):
        _ = riskml.Detektor  # type: ignore[attr-defined]
    for name in [name for name in sys.modules if name.startswith("riskml.models.vae")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(vars(riskml), "VAEDetector", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModuleNotFoundError, match=r"VAEDetector needs torch: pip install"):
        _ = riskml.VAEDetector


@pytest.mark.parametrize("room", ["riskml.serving.job", "riskml.export.bundle"])
def test_serving_draws_nothing(room: str) -> None:
    found = imported_by(f"import {room}")
    assert not {"matplotlib", "IPython", "riskml.interactive"} & found
