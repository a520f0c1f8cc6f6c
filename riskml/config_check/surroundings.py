"""What is around all roles: packages, secrets in files, variables that nothing reads."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from riskml.config_check.findings import Checks, Level
from riskml.config_check.variables import VARIABLES
from riskml.core.errors import ConfigError, did_you_mean
from riskml.core.secret_files import FILE_VARIABLE, PREFIX, secret_in, variables_of_files

_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[([\w,-]+)\])?")
_OF_EXTRA = re.compile(r"extra == ['\"]([\w-]+)['\"]")
OTHERS_MAY_READ = 0o004


def secret_files(checks: Checks) -> list[str]:
    """Look at each `RISKML_X_FILE`; gives the variables whose files can be read."""
    fine = []
    for variable in variables_of_files():
        setting = variable + FILE_VARIABLE
        if checks.ask(setting, partial(_read, variable)):
            fine.append(variable)
            file = Path(os.environ[setting])
            if file.stat().st_mode & OTHERS_MAY_READ:
                told = f"all users of this machine may read {file}"
                checks.add(Level.WARNING, setting, told, f"chmod o-r {file}")
    return fine


def _read(variable: str) -> str:
    value = secret_in(variable) or ""
    return f"its file holds {len(value.splitlines())} line{'s' * (len(value.splitlines()) != 1)}"


def unknown_variables(checks: Checks) -> None:
    """Variables that look like ours and that nothing reads: a word that was misspelt."""
    known = {each.name for each in VARIABLES}
    families = tuple(name.removesuffix("…") for name in known if name.endswith("…"))
    for name in sorted(os.environ):
        plain = name.removesuffix(FILE_VARIABLE)
        if name.startswith(PREFIX) and plain not in known and not plain.startswith(families):
            remedy = "riskml config variables lists them; variables that channels name are fine"
            near = did_you_mean(plain, (each for each in known if each.startswith(PREFIX)))
            told = f"nothing of riskml reads it; {near.partition(' Valid:')[0]}"
            checks.add(Level.WARNING, name, told.rstrip("; "), remedy)


def packages(checks: Checks, extras: tuple[str, ...]) -> None:
    """That what extras bring is installed."""
    for extra in extras:
        checks.ask(f"riskml[{extra}]", partial(_installed, extra))


def _installed(extra: str) -> str:
    try:
        names = list(dict.fromkeys(_required(extra)))
    except PackageNotFoundError as error:
        raise ConfigError("riskml itself is not installed: pip install .") from error
    missing = [name for name in names if not _is_there(name)]
    if missing:
        raise ConfigError(f"{', '.join(missing)} not installed: pip install 'riskml[{extra}]'")
    return f"its {len(names)} packages are installed"


def _required(extra: str) -> Iterator[str]:
    """Names of the packages of an extra, and of those that it builds on."""
    for line in requires("riskml") or ():
        of = _OF_EXTRA.search(line)
        if of is None or of[1] != extra:
            continue
        found = _REQUIREMENT.match(line)
        assert found is not None
        if found[1] != "riskml":
            yield found[1]
        for inner in (found[2] or "").split(",") if found[1] == "riskml" else ():
            yield from _required(inner)


def _is_there(name: str) -> bool:
    try:
        version(name)
        return True
    except PackageNotFoundError:
        return False
