"""Secrets from files: where `RISKML_X_FILE` names a file, `RISKML_X` is what stands in it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from riskml.core.environment import environment
from riskml.core.errors import ConfigError

PREFIX, FILE_VARIABLE = "RISKML_", "_FILE"
"""How our variables begin; what ends the name of a variable that names a file with the value."""


def secret_in(variable: str) -> str | None:
    """A secret from the file that `<variable>_FILE` names, or else from the variable itself.

    A file is read each time, so that it may be exchanged.

    Raises:
        ConfigError: the file cannot be read, or holds nothing. The message has no secret.
    """
    file = os.environ.get(named := variable + FILE_VARIABLE)
    if file is None:
        return os.environ.get(variable)
    try:
        value = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no UTF-8"
        raise ConfigError(f"{named}: the file cannot be read: {reason}") from error
    if not value:
        raise ConfigError(f"{named}: the file holds nothing")
    return value


def variables_of_files() -> list[str]:
    """Our variables that come from files, without the end of the name."""
    return sorted(
        name.removesuffix(FILE_VARIABLE)
        for name in os.environ
        if name.startswith(PREFIX) and name.endswith(FILE_VARIABLE)
    )


@contextmanager
def secrets_from_files(variables: Iterable[str] | None = None) -> Iterator[None]:
    """Within, every `RISKML_X` is set for which `RISKML_X_FILE` names a file.

    Args:
        variables: only these of them; None: all.

    Raises:
        ConfigError: a file cannot be read, or holds nothing.
    """
    names = variables_of_files() if variables is None else variables
    with environment({name: secret_in(name) for name in names}):
        yield
