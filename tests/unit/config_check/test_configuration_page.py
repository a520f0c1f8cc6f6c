"""docs/configuration.md names what the code and the chart read, and nothing that they do not."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from riskml.cli import main
from riskml.cli_map import commands
from riskml.config_check.roles import ROLES
from riskml.config_check.variables import VARIABLES

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "configuration.md").read_text()
OURS = re.compile(r"\b(?:RISKML|OTEL|MLFLOW|HYDRA|RAY)_[A-Z_]*[A-Z]\b")
READ = re.compile(r"environ(?:\.get|\.setdefault|\.pop)?[(\[]\s*\"([A-Z_]+)\"")
PLACEHOLDERS = {"RISKML_X", "RISKML_X_FILE"}


def sources() -> list[Path]:
    """All that runs or is deployed, but the list itself."""
    found = [ROOT / name for name in ("train.py", "evaluate.py", "docker-compose.yaml")]
    found += [ROOT / "Dockerfile", *(ROOT / "conf").rglob("*.yaml")]
    found += [
        path for path in (ROOT / "deploy").rglob("*") if path.suffix in (".yaml", ".py", ".tpl")
    ]
    found += (ROOT / "riskml").rglob("*.py")
    return [path for path in found if path.name != "variables.py"]


def read() -> set[str]:
    """Names of variables in the code, the options and what is deployed."""
    names = set()
    for path in sources():
        text = path.read_text()
        names |= set(OURS.findall(text)) | set(READ.findall(text))
    for _, command in commands(main):
        for each in command.params:
            if isinstance(each, click.Option) and each.envvar:
                names |= {each.envvar} if isinstance(each.envvar, str) else set(each.envvar)
    return names - PLACEHOLDERS


def test_every_variable_that_is_read_is_listed_and_the_other_way_round() -> None:
    listed = {each.name for each in VARIABLES}
    families = tuple(name.removesuffix("…") for name in listed if name.endswith("…"))
    found = read()
    unlisted = {n for n in found if n not in listed and not n.startswith(families)}
    assert unlisted == set(), "add them to riskml/config_check/variables.py"
    unread = {n for n in listed if not n.endswith("…") and n not in found}
    assert unread == set(), "nothing reads them"
    assert all(any(n.startswith(family) for n in found) for family in families)


def test_the_page_has_the_table() -> None:
    printed = CliRunner().invoke(main, ["config", "variables"]).stdout
    assert printed in PAGE, "put the output of `riskml config variables` there"
    assert len({each.name for each in VARIABLES}) == len(VARIABLES)


def test_secrets_of_the_chart_are_listed_as_secret() -> None:
    values = yaml.safe_load((ROOT / "deploy/helm/riskml/values.yaml").read_text())
    secret = {each.name for each in VARIABLES if each.secret}
    for name in values["secrets"]:
        assert name in secret or f"`{name}`" in PAGE, name


@pytest.mark.parametrize("role", ROLES)
def test_roles_are_explained(role: str) -> None:
    assert f"| `{role}` |" in PAGE


def test_names_of_secrets_are_called_secret() -> None:
    for each in VARIABLES:
        if re.search(r"PASSWORD|TOKEN|_KEY$|_URL$", each.name):
            assert each.secret, each.name
