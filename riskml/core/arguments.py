"""The arguments that a config gives, held to the annotations of what it builds."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from numbers import Real
from typing import Any

from riskml.core.errors import ConfigError, did_you_mean, require

LISTS = ("Sequence", "list", "tuple", "Iterable", "Collection")
SETTINGS = ("Mapping", "dict")

_SETTING = re.compile(r"(\w+)[\w.\[\]]*=")
"""How an error of a constructor begins: `hidden=[] must ...`, `training.trim=2 must ...`."""


def check_kind(where: str, parameter: inspect.Parameter, value: Any) -> None:
    """Refuse what is no number, list or text where one is annotated: it would fail less clearly.

    Args:
        where: full name of the setting.
        parameter: of the signature; looked at where it has one kind, or that or None.
        value: as it was given. None may stand for a number that is not known yet.

    Raises:
        ConfigError: names the setting.
    """
    annotation = parameter.annotation
    name = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    kind, _, rest = name.partition(" | ")
    kind = kind.partition("[")[0].rpartition(".")[2]
    if rest not in ("", "None"):
        return
    if kind in ("int", "float"):
        _check_number(where, kind, value)
    elif value is None and rest == "None":
        return
    elif kind in LISTS:
        require(where, value, isinstance(value, list | tuple), "must be a list")
    elif kind in SETTINGS:
        require(where, value, isinstance(value, dict), "must be settings: {name: value}")
    elif kind == "str":
        fits = not isinstance(value, bool | int | float | list | dict)  # paths come as they are
        require(where, value, fits, "must be a word")


def check_arguments(
    built: Callable[..., Any], given: Mapping[str, Any], also: Iterable[str] = ()
) -> None:
    """Refuse arguments that `built` does not take, and values that are not of their kind.

    Args:
        built: a class or a function.
        given: arguments by name.
        also: names that are valid besides, for the message.

    Raises:
        ConfigError: names the argument and what is near it.
    """
    taken = inspect.signature(built).parameters
    for name, value in given.items():
        if name not in taken:
            raise ConfigError(f"no setting '{name}': {did_you_mean(name, {*taken, *also})}")
        check_kind(name, taken[name], value)


def _check_number(where: str, kind: str, value: Any) -> None:
    if value is None:
        return
    fits = isinstance(value, Real) and not isinstance(value, bool)
    # "5" would look like the number that it is not
    require(where, value, fits, f"must be a number{', not text' * isinstance(value, str)}")
    if kind == "int":
        require(where, value, float(value).is_integer(), "must be a whole number")


def located(error: ConfigError, failed: str, plain: Any, key: str) -> ConfigError:
    """The error of a constructor, with the setting called as it is in the config.

    Args:
        error: its text may begin with the name of an argument and `=`.
        failed: where in `plain` it was raised, as Hydra calls it; empty for the outermost target.
        plain: what was to be built.
        key: full name of that.

    Returns:
        Another error, or the same where its text does not begin with an argument.
    """
    text = str(error)
    setting = _SETTING.match(text)
    if setting is None or not key:
        return error
    chains = dict(_chains(plain, "", [], key))
    chain = chains.get(failed.replace("[", "").replace("]", ""), [])
    for where, node in reversed(chain):  # `training.trim=` names a setting of what is around
        if setting[1] in node:
            return ConfigError(f"{where}.{text}")
    return error


Chain = list[tuple[str, dict[str, Any]]]


def _chains(plain: Any, name: str, around: Chain, where: str) -> Iterator[tuple[str, Chain]]:
    """Every node by its name as Hydra has it but for brackets: full names and nodes down to it."""
    if isinstance(plain, dict):
        chain = [*around, (where, plain)]
        yield name, chain
        for key, value in plain.items():
            yield from _chains(value, f"{name}.{key}" if name else key, chain, f"{where}.{key}")
    elif isinstance(plain, list):
        for i, value in enumerate(plain):
            yield from _chains(value, f"{name}{i}", around, f"{where}[{i}]")
