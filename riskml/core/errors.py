"""Errors whose message names what is wrong and how to put it right."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from numbers import Real
from pathlib import Path


class RiskmlError(Exception):
    """Base of every error that a user can put right; shown without a traceback."""


class ConfigError(RiskmlError):
    """A setting is wrong; the message names the setting and the remedy."""


class DataError(RiskmlError):
    """The input is wrong; the message names file, column or row and the remedy."""


class BundleError(RiskmlError):
    """A saved model folder is incomplete, damaged or of another kind."""


MANY, FEW = 40, 10
"""More valid names than anybody reads in an error, and as many as are shown then."""


def did_you_mean(name: object, valid: Iterable[str]) -> str:
    """End of an error message: the nearest valid name, then all of them, or the nearest of many.

    >>> did_you_mean("sesion", ["session", "block"])
    "did you mean 'session'? Valid: block, session"
    """
    given, names = str(name), sorted(map(str, valid))
    near = difflib.get_close_matches(given, names, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    if len(names) > MANY:
        nearest = difflib.get_close_matches(given, names, n=FEW, cutoff=0)
        return f"{hint}Valid: {', '.join(nearest)}, … ({len(names)} in all)"
    return f"{hint}Valid: {', '.join(names)}"


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever goes wrong while a saved file is read is a BundleError that names the file."""
    try:
        yield
    except RiskmlError:
        raise
    except Exception as error:  # a damaged file can fail in any way
        problem = f"{type(error).__name__}: {error}"
        raise BundleError(f"{path} is missing, damaged or of another kind ({problem})") from error


def require_positive(setting: str, value: float) -> None:
    """Refuse what is no finite number above 0, such as a weight.

    >>> require_positive("normal_weight", -1.0)
    Traceback (most recent call last):
    riskml.core.errors.ConfigError: normal_weight=-1.0 must be a finite number above 0
    """
    fits = isinstance(value, Real) and not isinstance(value, bool) and 0 < value < math.inf
    require(setting, value, fits, "must be a finite number above 0")


def require(setting: str, value: object, fits: bool, rule: str) -> None:
    """Refuse a setting's value.

    >>> require("latent_dim", 0, False, "must be at least 1")
    Traceback (most recent call last):
    riskml.core.errors.ConfigError: latent_dim=0 must be at least 1
    """
    if not fits:
        raise ConfigError(f"{setting}={value} {rule}")
