"""Rules of suppression from a YAML file, checked before anything is done."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from riskml.alerting.suppression import Suppression
from riskml.core.errors import ConfigError
from riskml.core.redaction import printable

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def read_rules(path: Path) -> Suppression:
    """The rules of a file with the settings of `Suppression`.

    `quiet` is written as 30m, 12h or 1d; `until` of an acceptance as a day, which counts whole
    (UTC), or as a time with its zone.

    Raises:
        ConfigError: not readable, no YAML, or a setting that is wrong, with its place.
    """
    try:
        import yaml
        from pydantic import TypeAdapter, ValidationError
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is not installed: pip install 'riskml[alerts]'") from error
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--rules {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        told = " ".join(str(error).split())
        raise ConfigError(f"--rules {path} is no YAML: {printable(told)}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"--rules {path} holds no settings; see docs/alerts.md")
    try:
        rules: Suppression = TypeAdapter(Suppression).validate_python(_with_times(found))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        unknown = first["type"] == "unexpected_keyword_argument"
        reason = "there is no such setting" if unknown else first["msg"]
        raise ConfigError(f"--rules {path}: {printable(place)}: {reason}") from error
    except ConfigError as error:
        raise ConfigError(f"--rules {path}: {error}") from error
    return rules


def _with_times(found: dict[str, Any]) -> dict[str, Any]:
    changed = dict(found)
    quiet = found.get("quiet")
    if isinstance(quiet, str):
        match = re.fullmatch(r"(\d{1,6})([smhdw])", quiet)
        if match is None:
            raise ConfigError(f"quiet={printable(quiet)} is no length of time: write 12h or 1d")
        changed["quiet"] = timedelta(**{UNITS[match[2]]: int(match[1])})
    accepted = found.get("accepted")
    if isinstance(accepted, list):
        changed["accepted"] = [
            {**each, "until": _end_of(each["until"])}
            if isinstance(each, dict) and "until" in each
            else each
            for each in accepted
        ]
    return changed


def _end_of(until: Any) -> Any:
    """The end of a day; anything else as it is."""
    if isinstance(until, date) and not isinstance(until, datetime):
        return datetime.combine(until, time.max, UTC)
    return until
