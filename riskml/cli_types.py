"""Kinds of values that several commands take, and settings in the words of their options."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from riskml.core import logs
from riskml.core.durations import parse_duration
from riskml.core.errors import ConfigError, RiskmlError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from riskml.core.pseudonyms import Pseudonyms
    from riskml.serving.events import EventSource

    PutMetrics = Callable[[CollectorRegistry], None]

COLUMN_OPTIONS = {r"columns\.(?=\w)": "--column ", "time_zone=": "--time-zone="}
SOURCE_OPTIONS = {
    **COLUMN_OPTIONS,
    "timestamp_format=": "--timestamp-format=",
    "default_action=": "--default-action=",
    "max_rejected_share=": "--max-rejected-share=",
    "separator=": "--separator=",
}
"""How settings of a source begin, as regular expressions → options."""

Command = TypeVar("Command", bound=Callable[..., Any])


class Duration(click.ParamType[timedelta]):
    """A length of time such as 2h."""

    name = "DURATION"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """`90m` → an hour and a half."""
        if isinstance(value, timedelta):
            return value
        found = parse_duration(str(value))
        if found is None:
            self.fail(f"{value!r} is no duration; write for example 30s, 90m, 2h, 1d or 1w")
        return found


class Pair(click.ParamType[tuple[str, str]]):
    """An event column and the source's column, such as user_id=employee."""

    name = "EVENT=SOURCE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """`user_id=employee` → the two names."""
        ours, found, theirs = str(value).partition("=")
        if not (ours and found and theirs):
            self.fail(f"{value!r} is no mapping; write for example user_id=employee")
        return ours, theirs


class Moment(click.ParamType[datetime]):
    """A date or time such as 2024-03-01 or 2024-03-01T12:00:00+01:00; UTC unless it says else."""

    name = "TIME"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """`2024-03-01` → its midnight in UTC."""
        if isinstance(value, datetime):
            return value
        try:
            found = datetime.fromisoformat(str(value).strip())
        except ValueError:
            self.fail(f"{value!r} is no time; write 2024-03-01 or 2024-03-01T12:00:00+01:00")
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


DURATION, PAIR, MOMENT = Duration(), Pair(), Moment()

metrics_option = click.option(
    "--metrics",
    metavar="URL_OR_FILE",
    envvar="RISKML_METRICS",
    show_envvar=True,
    help="Where Prometheus' metrics go: a Pushgateway (http://…) or a file *.prom for "
    "node_exporter (docs/monitoring.md).",
)
alert_log_option = click.option(
    "--log",
    "url",
    metavar="URL",
    required=True,
    envvar="RISKML_ALERTS_URL",
    show_envvar=True,
    help="Database of the alert log, SQLite or PostgreSQL.",
)
mlflow_store_option = click.option(
    "--store",
    metavar="URI",
    envvar="MLFLOW_TRACKING_URI",
    show_envvar=True,
    help="MLflow store; sqlite:///outputs/mlflow.db unless given.",
)


@contextmanager
def exporting(where: str | None, command: str) -> Iterator[PutMetrics | None]:
    """Put failures within to where metrics go.

    Args:
        where: of `metrics_option`; None: nowhere.
        command: that runs.

    Yields:
        What puts the metrics of a success there; None for nowhere.
    """
    if where is None:
        yield None
        return
    with needing("monitoring"):
        from riskml.monitoring.command_metrics import failure_registry
        from riskml.monitoring.metrics_ends import metrics_end, warned
    end = metrics_end(where)

    def put(registry: CollectorRegistry) -> None:
        with warned():
            end.put(registry, command)

    try:
        yield put
    except click.exceptions.Exit:
        raise
    except Exception as error:
        with warned():
            end.put_failure(failure_registry(command, error), command)
        raise


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """What is imported within comes with an extra.

    Raises:
        ConfigError: something is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "riskml").startswith("riskml"):
            raise
        raise ConfigError(
            f"{error.name} is not installed: pip install 'riskml[{extra}]'"
        ) from error


def pseudonyms_or_others() -> Pseudonyms:
    """Those of the key in the environment; without one, such as nobody has again."""
    from riskml.core.pseudonyms import DEFAULT_KEY_VARIABLE, MIN_KEY_BYTES, Pseudonyms, read_key

    if DEFAULT_KEY_VARIABLE in os.environ:
        return Pseudonyms(read_key())
    logs.tell(f"pseudonyms are others with each start: {DEFAULT_KEY_VARIABLE} is not set")
    return Pseudonyms(secrets.token_bytes(MIN_KEY_BYTES))


@dataclass(frozen=True)
class Reading:
    """How a source is read: its table, what columns mean, times, and rows that are none.

    Args:
        table: of a database.
        columns: event column and that of the source.
        time_zone: for times without one.
        timestamp_format: where it is not recognised.
        separator: of a CSV file.
        default_action: of rows that name none.
        max_rejected_share: of unusable rows.
    """

    table: str
    columns: tuple[tuple[str, str], ...]
    time_zone: str | None
    timestamp_format: str | None
    separator: str | None
    default_action: str | None
    max_rejected_share: float

    def source(self, where: str, rows: int) -> EventSource:
        """The source that a path or URL means, with so many rows in memory at a time.

        Raises:
            ConfigError: it is none, or what is said of it is impossible.
        """
        from riskml.data.event_mapping import EventMapping
        from riskml.serving.events import open_source

        mapping = EventMapping(
            columns=named_columns(where, self.columns),
            time_zone=self.time_zone,
            timestamp_format=self.timestamp_format,
            default_action=self.default_action,
            max_rejected_share=self.max_rejected_share,
        )
        return open_source(where, self.table, mapping, rows, self.separator)


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say how a source is read; the command is given them as `reading`."""

    @wraps(command)
    def gathered(*args: Any, **given: Any) -> Any:
        told = Reading(**{each.name: given.pop(each.name) for each in fields(Reading)})
        return command(*args, reading=told, **given)

    wrapped: Callable[..., Any] = gathered
    for option in reversed(_SOURCE_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


_SOURCE_OPTIONS = (
    click.option("--table", default="events", show_default=True, help="Of the source's database."),
    click.option(
        "--column",
        "columns",
        type=PAIR,
        multiple=True,
        help="Event column and that of the source, such as user_id=employee.",
    ),
    click.option("--time-zone", help="IANA name, for times without a zone; SQLite has no zones."),
    click.option(
        "--timestamp-format", help="Such as '%d/%m/%Y %H:%M', where it is not recognised."
    ),
    click.option("--separator", help="Of a CSV file; a comma, or a tab in .tsv, unless given."),
    click.option("--default-action", help="Action of rows that name none."),
    click.option(
        "--max-rejected-share",
        type=float,
        default=0.2,
        show_default=True,
        help="Of unusable rows; with more nothing is done.",
    ),
)


def named_columns(
    source: str, columns: Iterable[tuple[str, str]], time: str = "login_time"
) -> dict[str, str | None]:
    """Event column → that of the source; a table's time has a name of its own unless told.

    >>> named_columns("sqlite:///risk.db", [("user_id", "employee")])
    {'timestamp': 'login_time', 'user_id': 'employee'}
    """
    usual: dict[str, str | None] = {"timestamp": time} if "://" in source else {}
    return {**usual, **dict(columns)}


@contextmanager
def options_for_settings(options: Mapping[str, str]) -> Iterator[None]:
    """Messages name settings as a config has them; here they are options."""
    try:
        yield
    except RiskmlError as error:
        raise type(error)(as_options(str(error), options)) from error


def as_options(message: str, options: Mapping[str, str]) -> str:
    """The message with options in place of settings.

    >>> as_options("it has no column 'user' (columns.user_id=user)", SOURCE_OPTIONS)
    "it has no column 'user' (--column user_id=user)"
    """
    for setting, option in options.items():
        message = re.sub(rf"(?<![\w.]){setting}", option, message)
    return message
