"""Databases by URL: opening one, and errors that say what is wrong without saying a password."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, func, make_url, select
from sqlalchemy.engine import URL, Connection, ExceptionContext
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from riskml.core.errors import ConfigError, DataError
from riskml.core.redaction import without_quoted

SQLITE_WAIT_S = 60
POLL_S = 0.1

_FORM = (
    "write it as dialect+driver://user@host/name and install the driver "
    "(PostgreSQL: postgresql+psycopg, which is there)"
)


def open_engine(url: str, setting: str = "database", writes: bool = True) -> Engine:
    """An engine for a URL; nothing is connected yet.

    Args:
        url: SQLAlchemy URL, e.g. postgresql+psycopg://user@host/database or sqlite:///events.db.
        setting: what the URL was given as, for messages.
        writes: whether it is written to; an SQLite file is then prepared for readers meanwhile.

    Raises:
        ConfigError: the URL is not understood, or its driver is not installed. The message
            never repeats the URL, which may hold a password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise ConfigError(f"cannot use the {setting} URL; {_FORM}") from error
    if "@" in (parsed.host or ""):
        raise ConfigError(f"the {setting} URL has a second @: write one in a password as %40")
    try:
        engine = create_engine(parsed, hide_parameters=True, connect_args=_connect_args(parsed))
    except NoSuchModuleError as error:
        raise ConfigError(f"the {setting} URL has an unknown dialect; {_FORM}") from error
    except ModuleNotFoundError as error:
        raise ConfigError(f"the {setting} URL needs the driver {error.name}; {_FORM}") from error
    except (ArgumentError, TypeError) as error:
        raise ConfigError(f"cannot use the {setting} URL; {_FORM}") from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "handle_error", _name_file)
        if writes:
            event.listen(engine, "connect", _let_readers_be)
    return engine


def require_file(engine: Engine, remedy: str) -> None:
    """Refuse an SQLite file that is not there: looking into it would make it.

    Args:
        engine: of any database.
        remedy: ends the message.

    Raises:
        DataError: there is no such file.
    """
    place = engine.url.database
    is_file = engine.dialect.name == "sqlite" and place and not place.startswith((":", "file:"))
    if is_file and not Path(str(place)).exists():
        raise DataError(f"there is no file {place}: {remedy}")


def _name_file(context: ExceptionContext) -> None:
    if "unable to open database file" in str(context.original_exception):
        place = "" if context.engine is None else f" {context.engine.url.database}"
        raise DataError(
            f"cannot open the database file{place}: is its folder there, and may you write in it?"
        ) from context.original_exception


def _connect_args(url: URL) -> dict[str, Any]:
    return {"timeout": SQLITE_WAIT_S} if url.get_backend_name() == "sqlite" else {}


def _let_readers_be(connection: Any, _record: Any) -> None:
    # without a write-ahead log, a table could not be read while another of the file is written
    connection.execute("PRAGMA journal_mode=WAL")


@contextmanager
def database_errors(what: str) -> Iterator[None]:
    """Whatever the database says no to is a DataError of one line.

    Args:
        what: the beginning of the message.
    """
    try:
        yield
    except SQLAlchemyError as error:
        # only the driver's first line: the ones below repeat values
        reason = str(getattr(error, "orig", None) or error).splitlines() or [""]
        told = without_quoted(reason[0])
        raise DataError(f"{what} ({type(error).__name__}): {told}") from error


def one_at_a_time(connection: Connection, name: str) -> None:
    """Keep other transactions out that ask by the same name, until this one ends.

    On PostgreSQL; elsewhere nothing is done.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_key(name))))


@contextmanager
def exclusively(
    engine: Engine, name: str, busy: Exception, wait: timedelta = timedelta()
) -> Iterator[None]:
    """Keep other sessions out that ask by the same name, until the end.

    On PostgreSQL; elsewhere nothing is done. The lock is a connection's, so it is gone with its
    process, and no transaction is open meanwhile.

    Args:
        engine: of the database.
        name: of what one is to do at a time.
        busy: raised where another one is still at it after `wait`.
        wait: for another one to end.

    Raises:
        DataError: the database refused.
    """
    if engine.dialect.name != "postgresql":
        yield
        return
    given_up = time.monotonic() + wait.total_seconds()
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        with database_errors("the database refused the lock"):
            while not connection.scalar(select(func.pg_try_advisory_lock(_key(name)))):
                if time.monotonic() >= given_up:
                    raise busy
                time.sleep(POLL_S)
        try:
            yield
        finally:
            connection.execute(select(func.pg_advisory_unlock(_key(name))))


def _key(name: str) -> Any:
    return func.hashtextextended(name, 0)
