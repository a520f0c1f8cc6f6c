"""The tables of the alert log, made and brought up to date by Alembic."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.engine import Connection

from riskml.core.errors import ConfigError, DataError
from riskml.data.database import database_errors

VERSIONS = "riskml_alerts_version"
"""Table with the version; of its own, since others may migrate in the same database."""

NEWEST = "0001"


def migrate(engine: Engine) -> str:
    """Make what is missing, in one transaction; gives the version that the tables have then.

    Raises:
        ConfigError: Alembic is not installed.
        DataError: the database refused, or has the tables of a newer riskml.
    """
    try:
        from alembic import command
        from alembic.config import Config
    except ModuleNotFoundError as error:
        raise ConfigError("Alembic is not installed: pip install 'riskml[alerts]'") from error
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    with (
        database_errors("the database refused the alert log's tables"),
        engine.begin() as connection,
    ):
        _refuse_newer(_version(connection))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return NEWEST


def check_migrated(connection: Connection) -> None:
    """Refuse a database whose tables are not there, or not those of this riskml.

    Raises:
        DataError: says what to do.
    """
    found = _version(connection)
    if found is None:
        raise DataError("the database has no alert log: riskml alerts init makes it")
    _refuse_newer(found)
    if found != NEWEST:
        raise DataError(
            f"the alert log has tables of version {found}, this riskml needs {NEWEST}: "
            "riskml alerts init brings them up to date"
        )


def _version(connection: Connection) -> str | None:
    """Of the tables; None where there are none."""
    if not connection.dialect.has_table(connection, VERSIONS):
        return None
    query = f"SELECT version_num FROM {VERSIONS}"  # noqa: S608  a constant
    found = connection.exec_driver_sql(query).scalar()
    return None if found is None else str(found)


def _refuse_newer(found: str | None) -> None:
    if found is not None and found > NEWEST:
        raise DataError(
            f"the alert log has tables of version {found}, this riskml knows {NEWEST}: take the "
            "riskml that made them, or restore a dump of before (docs/operations.md, Upgrade)"
        )
