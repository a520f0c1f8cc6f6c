"""Logs of every command: for people, or one JSON object a line in the names of ECS.

All goes to standard error, since standard output is for what a command gives. Secrets are left
out in both forms; JSON, which is kept for long and by others, also leaves out what may be personal.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from types import MappingProxyType, TracebackType
from typing import Any, TextIO

from riskml.core.errors import ConfigError, did_you_mean
from riskml.core.redaction import hide_always
from riskml.core.secrets import Secrets
from riskml.core.versions import versions

CONSOLE, JSON = "console", "json"
FORMATS = (CONSOLE, JSON)
FORMAT_VARIABLE, LEVEL_VARIABLE = "RISKML_LOG_FORMAT", "RISKML_LOG_LEVEL"
LEVELS = ("debug", "info", "warning", "error", "critical")

_logger = logging.getLogger("riskml")
_NOTHING: Mapping[str, str] = MappingProxyType({})
_ids: ContextVar[Mapping[str, str]] = ContextVar("_ids", default=_NOTHING)
_TRACE_PARENT = re.compile(
    r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}"
)


def set_up(
    form: str | None = None,
    levels: str | None = None,
    command: str = "",
    default: str = "warning",
) -> None:
    """Log from now on; again replaces what was set up before.

    Args:
        form: console or json; None: of the environment, else console.
        levels: as in `info,riskml.streaming=debug`; None: of the environment, else `default`.
        command: that runs, for JSON.
        default: level of what `levels` does not name.

    Raises:
        ConfigError: a format or level is not known, or JSON's library is not installed.
    """
    form = form or os.environ.get(FORMAT_VARIABLE) or CONSOLE
    if form not in FORMATS:
        raise ConfigError(f"{FORMAT_VARIABLE}={form}: {did_you_mean(form, FORMATS)}")
    by_name = parse_levels(levels or os.environ.get(LEVEL_VARIABLE) or "")
    handler = _Handler()
    handler.setFormatter(_formatter(form, command))
    root = logging.getLogger()
    for old in list(root.handlers):
        if type(old) in (_Handler, logging.StreamHandler):  # also Hydra's, but no file
            root.removeHandler(old)
    root.addHandler(handler)
    for name, level in {"": default.upper(), **by_name}.items():
        logging.getLogger(name).setLevel(level)
    if form == JSON:
        hide_always()
        logging.captureWarnings(True)
        sys.excepthook = _log_failure


def is_wanted() -> bool:
    """Whether the environment says how to log: train.py and evaluate.py have Hydra's way else."""
    return FORMAT_VARIABLE in os.environ or LEVEL_VARIABLE in os.environ


def parse_levels(text: str) -> dict[str, str]:
    """Level by name of a logger, the root's by "".

    >>> parse_levels("info,riskml.streaming=debug")
    {'': 'INFO', 'riskml.streaming': 'DEBUG'}

    Raises:
        ConfigError: one is no level.
    """
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, level = part.rpartition("=")
        if level.lower() not in LEVELS:
            raise ConfigError(f"{LEVEL_VARIABLE}={text}: {did_you_mean(level, LEVELS)}")
        found[name] = level.upper()
    return found


def tell(text: str, level: int = logging.INFO) -> None:
    """Tell people something on standard error; in JSON it is a record like all others."""
    if _is_json():
        _logger.handle(_logger.makeRecord("riskml", level, "", 0, text, (), None))
    else:
        print(text, file=sys.stderr, flush=True)


@contextmanager
def ids(**named: str) -> Iterator[None]:
    """Within, records carry these fields; `__` stands for a dot."""
    token = _ids.set({**_ids.get(), **_fields(named)})
    try:
        yield
    finally:
        _ids.reset(token)


def trace_ids(parent: str | None) -> dict[str, str]:
    """What W3C's `traceparent` says, as fields for `ids`; nothing where it is none.

    >>> trace_ids("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")["trace__id"]
    '0af7651916cd43dd8448eb211c80319c'
    >>> trace_ids("nonsense")
    {}
    """
    found = _TRACE_PARENT.fullmatch(parent or "")
    return {} if found is None else {"trace__id": found[1], "span__id": found[2]}


def _fields(named: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("__", "."): value for name, value in named.items()}


class _Handler(logging.StreamHandler[TextIO]):
    """Writes to what standard error is at that moment."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, value: TextIO) -> None:
        """It has no stream of its own."""


class _ForPeople(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self._secrets = Secrets()

    def format(self, record: logging.LogRecord) -> str:
        return self._secrets.removed(super().format(record))


def _formatter(form: str, command: str) -> logging.Formatter:
    if form == CONSOLE:
        return _ForPeople()
    try:
        from ecs_logging import StdlibFormatter
    except ModuleNotFoundError as error:
        remedy = "pip install 'riskml[monitoring]'"
        raise ConfigError(f"logs as JSON: {error.name} is not installed: {remedy}") from error

    class ForMachines(StdlibFormatter):
        """One object a line, with ids, without secrets and personal data."""

        def format_to_ecs(self, record: logging.LogRecord) -> dict[str, Any]:
            record = copy(record)
            vars(record).update({**of_process, **_ids.get()})  # as if given with `extra`
            found = super().format_to_ecs(record)
            cleaned: dict[str, Any] = secrets.removed_from(found, personal=True)
            return cleaned

    secrets = Secrets()
    of_process = _fields(trace_ids(os.environ.get("TRACEPARENT")))
    labels = {"run_id": uuid.uuid4().hex, **({"command": command} if command else {})}
    service = {"name": "riskml", "version": versions().get("riskml", "")}
    left_out = ["log.original", "log.origin", "process.thread", "process.name"]
    formatter = ForMachines(
        extra={"service": service, "labels": labels}, exclude_fields=left_out, ensure_ascii=False
    )
    return formatter


def _is_json() -> bool:
    handlers = [h for h in logging.getLogger().handlers if isinstance(h, _Handler)]
    return any(not isinstance(handler.formatter, _ForPeople) for handler in handlers)


def _log_failure(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    _logger.critical("ended by %s", kind.__name__, exc_info=(kind, error, trace))
