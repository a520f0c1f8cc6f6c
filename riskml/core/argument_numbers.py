"""Numbers among the arguments that a config gives, held to the annotations of what it builds."""

from __future__ import annotations

import inspect
from typing import Any

from riskml.core.errors import require


def check_number(where: str, parameter: inspect.Parameter, value: Any) -> None:
    """Refuse what is no number where one is annotated: it would fail later, and less clearly.

    Args:
        where: full name of the setting.
        parameter: of the signature; only `int`, `float` and these or None are looked at.
        value: as it was given; None may stand for what is not known yet.

    Raises:
        ConfigError: names the setting.
    """
    annotation = parameter.annotation
    name = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    number, _, rest = name.partition(" | ")
    if number not in ("int", "float") or rest not in ("", "None"):
        return
    if value is None:
        return
    fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    require(where, value, fits, "must be a number")
    if number == "int":
        require(where, value, float(value).is_integer(), "must be a whole number")
