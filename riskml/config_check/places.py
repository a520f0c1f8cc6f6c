"""Places that settings name: folders, databases, brokers, servers. Nothing is left in any."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine, Table, text
from sqlalchemy.engine import Connection

from riskml.core.errors import ConfigError, DataError
from riskml.data.database import database_errors, open_engine, require_file

if TYPE_CHECKING:
    from riskml.alerting.channels import Channel

NOT_ASKED = "not asked (--offline)"
ALL_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")
ASK_S = 10.0


def writable_folder(folder: Path) -> str:
    """That a file can be written there; of a folder that is not there, above it.

    Raises:
        DataError: a file stands in its place, or it cannot be written.
    """
    place = folder.expanduser().absolute()
    if place.exists() and not place.is_dir():
        raise DataError(f"{folder} is a file, where a folder is to be")
    there = next(each for each in (place, *place.parents) if each.is_dir())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise DataError(f"nothing can be written in {there}: {error.strerror}") from error
    return f"{folder} can be written" + ("" if there == place else ", and will be made")


def tables(
    url: str,
    setting: str,
    needed: Iterable[Table],
    offline: bool,
    rights: Iterable[str] = ALL_RIGHTS,
    makes: bool = True,
) -> str:
    """That a database answers, and that tables are there or can be made, with what is needed.

    Args:
        url: of PostgreSQL or SQLite.
        setting: as it is called in messages.
        needed: tables.
        offline: of a server, only that the URL is one.
        rights: on these tables.
        makes: whether those that are missing will be made.

    Raises:
        ConfigError: the URL is not understood.
        DataError: the database does not answer, or a right is missing.
    """
    engine = open_engine(url, setting, writes=False)
    if engine.dialect.name == "sqlite":
        return _file_tables(engine, list(needed), makes, set(rights) != {"SELECT"})
    if offline:
        return f"a URL of {engine.dialect.name}, {NOT_ASKED}"
    wanted = list(needed)
    with database_errors(f"the {setting} database does not answer"), engine.connect() as connection:
        there = [table.name for table in wanted if engine.dialect.has_table(connection, table.name)]
        if engine.dialect.name == "postgresql":
            _require_rights(connection, there, makes and len(there) < len(wanted), rights)
    return f"{engine.dialect.name} answers, {_of(there, wanted, makes)}"


def _file_tables(engine: Engine, wanted: list[Table], makes: bool, writes: bool) -> str:
    place = engine.url.database or ":memory:"
    if place.startswith((":", "file:")):
        return "an SQLite database in memory"
    path = Path(place)
    written = writable_folder(path.parent) if writes else ""  # SQLite writes files beside it
    if not makes:
        require_file(engine, "name the one that was written")
    if not path.exists():
        return f"{written}, for {path.name}, which is not there yet"
    with path.open("r+b" if writes else "rb"):
        pass
    with database_errors(f"{path} cannot be read"), engine.connect() as connection:
        there = [table.name for table in wanted if engine.dialect.has_table(connection, table.name)]
    return f"{path} can be {'written' if writes else 'read'}, {_of(there, wanted, makes)}"


def _of(there: list[str], wanted: list[Table], makes: bool) -> str:
    missing = len(wanted) - len(there)
    made = f", {missing} {'will be made' if makes else 'are not there yet'}" if missing else ""
    return f"{len(there)} of {len(wanted)} tables there{made}"


def _require_rights(
    connection: Connection, there: list[str], makes: bool, rights: Iterable[str]
) -> None:
    """Ask PostgreSQL what the role may do."""
    role = connection.execute(text("SELECT current_user")).scalar_one()
    for name in there:
        for right in rights:
            query = text("SELECT has_table_privilege(:name, :right)")
            if not connection.execute(query, {"name": name, "right": right}).scalar_one():
                raise DataError(f"role {role} may not {right} in {name}: GRANT it")
    if makes:
        query = text("SELECT has_schema_privilege(current_schema(), 'CREATE')")
        if not connection.execute(query).scalar():
            raise DataError(f"role {role} may not CREATE tables: GRANT it in the schema")


def alert_log(url: str, offline: bool) -> str:
    """That an alert log's tables are there in the version that is needed, with all rights.

    Raises:
        ConfigError: the URL is not understood.
        DataError: the database does not answer, or its tables are others.
    """
    from riskml.alerting.alert_log import MAKE, AlertLog
    from riskml.alerting.log_tables import METADATA
    from riskml.alerting.migrating import NEWEST

    log = AlertLog(url)
    if offline and log.engine.dialect.name != "sqlite":
        return f"a URL of {log.engine.dialect.name}, {NOT_ASKED}"
    require_file(log.engine, MAKE)
    with log.reading():
        pass
    told = tables(url, "alerts", METADATA.sorted_tables, offline=False)
    return f"{told}, of version {NEWEST}"


def topic(url: str, option: str, offline: bool) -> str:
    """That a broker answers and has the topic.

    Raises:
        ConfigError: the URL or a setting of Kafka is not understood.
        DataError: nobody answers, or there is no such topic.
    """
    from riskml.streaming.kafka import KafkaTopic, client, count_partitions

    found = KafkaTopic.parse(url, option)
    if offline:
        from confluent_kafka import Producer

        client(lambda: Producer(found.config()), option)  # refuses settings, connects later
        return f"topic {found.topic} at {found.servers}, {NOT_ASKED}"
    n = count_partitions(found, option, ASK_S)
    return f"{found.servers} answers, topic {found.topic} has {n} partition{'' if n == 1 else 's'}"


def redis(url: str, offline: bool) -> str:
    """That a Redis answers.

    Raises:
        ConfigError: the URL is not understood.
        DataError: nobody answers.
    """
    from riskml.streaming.redis_home import RedisHome

    home = RedisHome(url, "config-check")
    try:
        if offline:
            return f"a URL of Redis, {NOT_ASKED}"
        home.ping()
    finally:
        home.close()
    return "Redis answers"


def metrics(where: str, offline: bool) -> str:
    """That a Pushgateway is there, or a folder for the file.

    Raises:
        ConfigError: it is neither.
        DataError: nobody answers.
    """
    from riskml.alerting.posting import reach
    from riskml.monitoring.metrics_ends import metrics_end

    metrics_end(where)
    if "://" not in where:
        return writable_folder(Path(where).parent)
    if offline:
        return f"a Pushgateway's URL, {NOT_ASKED}"
    reach(f"{where.rstrip('/')}/-/healthy")
    return "the Pushgateway answers"


def channel(found: Channel, offline: bool) -> str:
    """That a channel has its secrets, and that its other end is there.

    Raises:
        ConfigError: a secret is missing or is none.
        DataError: nobody answers.
    """
    found.check()
    kind = type(found).__name__
    if offline:
        return f"{kind}, {NOT_ASKED}"
    found.reach()
    return f"{kind}, its other end answers"


def free_address(host: str, port: int, certfile: Path | None, keyfile: Path | None) -> str:
    """That nobody else listens there, and that the files of TLS are a pair.

    Raises:
        ConfigError: it cannot be had, or the files are none.
    """
    import ssl

    from riskml.core.listening import Address

    address = Address(host, port, certfile, keyfile)
    if certfile is not None and keyfile is not None:
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certfile, keyfile)
        except (OSError, ssl.SSLError) as error:
            told = error.strerror or type(error).__name__
            raise ConfigError(f"--certfile and --keyfile are no pair: {told}") from error
    with address.listen() as socket:
        return f"{address.url(socket)} can be had"
