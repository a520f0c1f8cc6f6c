"""The graph in Neo4j, through its driver; or in another server that speaks Bolt and Cypher.

What is this store's alone stands here: constraints and indexes, and rows that are merged one by
one within a query.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import urlsplit

import neo4j
import polars as pl
from neo4j import exceptions, graph, time

from riskml.core.errors import ConfigError, DataError
from riskml.core.redaction import printable
from riskml.graph import model
from riskml.graph.model import ACCESS, ACCESS_COLUMNS, FORMAT, MARK, Relation
from riskml.graph.store import PASSWORD, Answer, check_question, plain

ROWS = 5_000
"""In one query: servers hold all of them in memory."""

_KEYS = [(kind.label, kind.key) for kind in (*model.NAMED, ACCESS)]
SET_UP = (
    *(
        f"CREATE CONSTRAINT riskml_{label.lower()} IF NOT EXISTS "
        f"FOR (n:{label}) REQUIRE n.{key} IS UNIQUE"
        for label, key in _KEYS
    ),
    f"CREATE CONSTRAINT riskml_mark IF NOT EXISTS FOR (n:{MARK}) REQUIRE n.id IS UNIQUE",
    f"CREATE INDEX riskml_access_at IF NOT EXISTS FOR (n:{ACCESS.label}) ON (n.at)",
)


class BoltGraph:
    """A graph on a server.

    Args:
        url: such as bolt://host:7687 or neo4j+s://host, without user and password.
        user: of the server; the password is in the environment, `RISKML_GRAPH_PASSWORD`.
        database: of the server; None: the user's own.

    Raises:
        ConfigError: the URL is not understood, has a password in it, or none is set.
        DataError: nobody answers there, or the server knows no such user.
    """

    def __init__(self, url: str, user: str = "neo4j", database: str | None = None) -> None:
        if "@" in urlsplit(url).netloc:
            raise ConfigError(f"--store has a user in it: give --user, and set {PASSWORD}")
        password = os.environ.get(PASSWORD)
        if not password:
            raise ConfigError(f"{url} needs a password: set {PASSWORD}")
        self._url, self._database, self._user = url, database, user
        try:
            self._driver = neo4j.GraphDatabase.driver(
                url, auth=(user, password), notifications_min_severity="OFF"
            )
        except (exceptions.ConfigurationError, ValueError) as error:
            raise ConfigError(f"--store {url} is not understood: {_line(error)}") from error
        try:
            with self._refusals("cannot be used"), self._session(neo4j.READ_ACCESS) as session:
                session.run("RETURN 1").consume()
        except DataError:
            self._driver.close()
            raise

    def prepare(self) -> None:
        """Make constraints, which bring their index, and the index of times."""
        with self._refusals("the graph cannot be set up"), self._session() as session:
            for statement in SET_UP:
                session.run(statement).consume()
            mark = f"MERGE (mark:{MARK} {{id: 0}}) ON CREATE SET mark.format = {FORMAT}"
            session.run(mark).consume()

    def add(self, accesses: pl.DataFrame, members: pl.DataFrame) -> int:
        """Keep accesses; see `GraphStore`."""
        with self._refusals("the graph refused the accesses"), self._session() as session:
            return session.execute_write(_add, accesses, members)

    def ask(self, cypher: str, parameters: Mapping[str, Any] | None = None) -> Answer:
        """Answer a query that only reads; see `GraphStore`."""
        given = dict(parameters or {})
        check_question(cypher, given)
        what = "the graph does not understand"
        with self._refusals(what), self._session(neo4j.READ_ACCESS) as session:
            result = session.run(cypher, given)
            columns = result.keys()
            return Answer(columns, [[_value(value) for value in record] for record in result])

    def close(self) -> None:
        """Close the connections."""
        self._driver.close()

    def __enter__(self) -> Self:
        """The store itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the connections."""
        self.close()

    def _session(self, access: str = neo4j.WRITE_ACCESS) -> neo4j.Session:
        return self._driver.session(database=self._database, default_access_mode=access)

    @contextmanager
    def _refusals(self, what: str) -> Iterator[None]:
        try:
            yield
        except exceptions.AuthError as error:
            raise DataError(
                f"{self._url} refuses user '{self._user}' (--user) with this {PASSWORD}"
            ) from error
        except (exceptions.ServiceUnavailable, OSError) as error:
            raise DataError(f"{self._url} does not answer: {_line(error)}") from error
        except (exceptions.Neo4jError, exceptions.DriverError) as error:
            raise DataError(f"{self._url}: {what}: {_line(error)}") from error


def _add(
    transaction: neo4j.ManagedTransaction, accesses: pl.DataFrame, members: pl.DataFrame
) -> int:
    for kind in model.NAMED:
        merge = f"UNWIND $rows AS row MERGE (n:{kind.label} {{{kind.key}: row.name}})"
        _send(transaction, merge, model.names(members if kind is model.PEERS else accesses, kind))
    look = f"UNWIND $ids AS id MATCH (a:{ACCESS.label} {{event_id: id}}) RETURN id"
    found = transaction.run(look, {"ids": accesses["event_id"].to_list()}).value()
    new = accesses.filter(~pl.col("event_id").is_in(found))
    others = ", ".join(f"a.{name} = row.{name}" for name in ACCESS_COLUMNS[1:])
    merge = f"UNWIND $rows AS row MERGE (a:{ACCESS.label} {{event_id: row.event_id}}) SET {others}"
    _send(transaction, merge, new.select(ACCESS_COLUMNS))
    for relation in model.RELATIONS:
        rows = members if relation is model.MEMBER_OF else new
        _send(transaction, _merge(relation), model.pairs(rows, relation))
    return len(new)


def _merge(relation: Relation) -> str:
    a, b = relation.start, relation.end
    return (
        f"UNWIND $rows AS row MATCH (a:{a.label} {{{a.key}: row.start_key}}) "
        f"MATCH (b:{b.label} {{{b.key}: row.end_key}}) MERGE (a)-[:{relation.name}]->(b)"
    )


def _send(transaction: neo4j.ManagedTransaction, query: str, rows: pl.DataFrame) -> None:
    for part in rows.iter_slices(ROWS):
        transaction.run(query, {"rows": part.to_dicts()}).consume()


def _value(value: Any) -> Any:
    if isinstance(value, graph.Node | graph.Relationship):
        return plain(dict(value.items()))
    if isinstance(value, graph.Path):
        return [_value(node) for node in value.nodes]
    if isinstance(value, time.DateTime):
        return plain(value.to_native())
    if isinstance(value, time.Date):
        return value.to_native()
    if isinstance(value, list):
        return [_value(each) for each in value]
    return plain(value)


def _line(error: Exception) -> str:
    text = error.message if isinstance(error, exceptions.Neo4jError) else str(error)
    return printable((text or str(error)).split("\n")[0])
