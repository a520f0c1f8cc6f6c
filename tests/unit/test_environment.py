"""pyproject.toml, environment.yml, requirements.lock and CITATION.cff agree."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ENVIRONMENT: list[Any] = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
LOCK = [
    line
    for line in (ROOT / "requirements.lock").read_text().splitlines()
    if line.strip() and not line.startswith("#")
]


def parsed(lines: list[str]) -> dict[str, Requirement]:
    found = {canonicalize_name(r.name): r for r in map(Requirement, lines)}
    assert len(found) == len(lines), "a package stands there twice"
    return found


def direct() -> dict[str, Requirement]:
    """Every dependency of pyproject.toml, extras included."""
    extras = [line for extra in PROJECT["optional-dependencies"].values() for line in extra]
    others = [line for line in extras if not line.startswith("riskml[")]  # extras of extras
    return parsed(list(dict.fromkeys([*PROJECT["dependencies"], *others])))  # some share one


def test_conda_environment_has_the_same_bounds() -> None:
    (pip,) = (entry["pip"] for entry in ENVIRONMENT if isinstance(entry, dict))
    assert pip[-1] == "-e ."
    conda = {name: str(r.specifier) for name, r in parsed(pip[:-1]).items()}
    assert conda == {name: str(r.specifier) for name, r in direct().items()}


def test_conda_environment_has_the_same_python() -> None:
    assert f"python{PROJECT['requires-python']}" in ENVIRONMENT
    assert "pip" in ENVIRONMENT


@pytest.mark.parametrize("name", direct())
def test_lock_pins_each_direct_dependency_within_its_bounds(name: str) -> None:
    requirement, pins = direct()[name], parsed(LOCK)
    assert name in pins, "run make lock"
    (pin,) = pins[name].specifier
    assert requirement.specifier.contains(pin.version), "run make lock"


def test_lock_holds_exact_public_versions_only() -> None:
    """No paths, addresses or builds of one machine, which would not install elsewhere."""
    exact = re.compile(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.!]*")
    assert [line for line in LOCK if not exact.fullmatch(line)] == []


def test_lock_installs_on_the_oldest_python() -> None:
    """Some packages refuse early patches of a Python; what is installed here is the lock."""
    (oldest,) = SpecifierSet(PROJECT["requires-python"])
    wanted = {
        f"{dist.name} {dist.version}": dist.metadata["Requires-Python"]
        for dist in distributions()
        if "Requires-Python" in dist.metadata
    }
    refusing = {
        name: python
        for name, python in wanted.items()
        if not SpecifierSet(python).contains(f"{oldest.version}.0")
    }
    assert wanted and refusing == {}


def test_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert citation["authors"] == [{"name": "The riskml developers"}]
    assert {"cff-version", "message", "title"} <= set(citation)


def test_flink_workers_have_what_scoring_asks_for() -> None:
    """Theirs is an environment of its own, with other versions of what apache-flink holds back."""
    text = (ROOT / "deploy" / "flink" / "requirements.txt").read_text()
    pins = parsed([line for line in text.splitlines() if not line.startswith("#")])
    for name, requirement in parsed(PROJECT["dependencies"]).items():
        (pin,) = pins[name].specifier
        assert pin.operator == "==" and requirement.specifier.contains(pin.version), name
