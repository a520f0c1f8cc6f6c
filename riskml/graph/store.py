"""Where the graph is kept: one contract, a file of one's own or a server that speaks Bolt."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, Self

import polars as pl

from riskml.core.errors import ConfigError, DataError
from riskml.graph.model import FORMAT, MARK

PASSWORD = "RISKML_GRAPH_PASSWORD"
BOLT = tuple(f"{scheme}{safe}://" for scheme in ("bolt", "neo4j") for safe in ("", "+s", "+ssc"))

MARK_QUERY = f"MATCH (mark:{MARK}) RETURN mark.format AS format"

# fmt: off
WRITING = frozenset({
    "alter", "attach", "begin", "call", "checkpoint", "commit", "copy", "create", "delete",
    "detach", "drop", "export", "foreach", "import", "insert", "install", "load", "merge",
    "remove", "rollback", "set", "terminate", "update", "use",
})
# fmt: on
"""What no question has to say. Some of it writes, some reads or writes files of the machine."""

_APART = re.compile(
    r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`[^`]*`|/\*.*?\*/|//[^\n]*""", re.DOTALL
)


@dataclass(frozen=True)
class Answer:
    """What a query found.

    Args:
        columns: their names.
        rows: values; times are aware, in UTC, nodes and relations are their properties.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def dicts(self) -> list[dict[str, Any]]:
        """Rows with their columns' names."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def frame(self) -> pl.DataFrame:
        """The answer as a table."""
        return pl.DataFrame(
            list(self.rows),
            schema=list(self.columns),
            orient="row",
            infer_schema_length=None,
            strict=False,
        )


class GraphStore(Protocol):
    """The place. It is closed by `close`, or by leaving a `with` block."""

    def prepare(self) -> None:
        """Make tables, constraints and indexes where they are missing; changes no data.

        Raises:
            DataError: the store refuses.
        """
        ...

    def add(self, accesses: pl.DataFrame, members: pl.DataFrame) -> int:
        """Keep accesses with all that they name, in one transaction.

        Args:
            accesses: columns of `model.SCHEMA`, as `model.accesses_of` makes them.
            members: peer groups of users of these, columns of `model.MEMBER_SCHEMA`.

        Returns:
            How many accesses were new; those that are there already change nothing.

        Raises:
            DataError: the store refuses; nothing of these is kept.
        """
        ...

    def ask(self, cypher: str, parameters: Mapping[str, Any] | None = None) -> Answer:
        """Answer a query that only reads.

        Args:
            cypher: the query, in words that all stores understand (docs/graph.md).
            parameters: values of its `$names`.

        Raises:
            ConfigError: it writes, or a parameter is missing.
            DataError: the store does not understand it.
        """
        ...

    def close(self) -> None:
        """Let the place go."""
        ...

    def __enter__(self) -> Self:
        """The store itself."""
        ...

    def __exit__(self, *error: object) -> None:
        """Close it."""
        ...


def open_graph(
    where: str, *, writes: bool = False, user: str = "neo4j", database: str | None = None
) -> GraphStore:
    """Open the store that a path or URL means.

    Args:
        where: a file, or a URL such as bolt://host:7687; its password is taken from the
            environment, `RISKML_GRAPH_PASSWORD`.
        writes: whether it is written to; one process at a time may write to a file.
        user: of the server.
        database: of the server; None: the user's own.

    Raises:
        ConfigError: the URL is not understood, has a password in it, or none is set.
        DataError: there is no graph, nobody answers, or the server knows no such user.
    """
    if "://" not in where:
        from riskml.graph.embedded import EmbeddedGraph

        return EmbeddedGraph(Path(where), writes)
    if not where.startswith(BOLT):
        kinds = ", ".join(BOLT)
        raise ConfigError(f"--store begins with an unknown scheme; give a file, or one of {kinds}")
    from riskml.graph.bolt import BoltGraph

    return BoltGraph(where, user, database)


def require_graph(store: GraphStore, where: str) -> None:
    """See that `prepare` has been here.

    Raises:
        DataError: it has not, or the graph was made by a later version.
    """
    found = store.ask(MARK_QUERY).rows
    if not found:
        raise not_prepared(where)
    if found[0][0] != FORMAT:
        raise DataError(f"the graph in {where} has format {found[0][0]}; this riskml has {FORMAT}")


def not_prepared(where: str | Path) -> DataError:
    """The error of a store that holds no graph."""
    return DataError(f"there is no graph in {where}: riskml graph init --store {where}")


def check_question(cypher: str, parameters: Mapping[str, Any]) -> None:
    """Refuse a query that could write, or lacks a parameter.

    >>> check_question("MATCH (u:User) DETACH DELETE u", {})
    Traceback (most recent call last):
    riskml.core.errors.ConfigError: a question only reads, and this one says DETACH
    >>> check_question("MATCH (u:User {user_id: 'delete'}) RETURN u", {})
    """
    bare = _APART.sub(" ", cypher)
    for word in re.findall(r"(?<![\w.$:])[A-Za-z_]+\b", bare):
        if word.lower() in WRITING:
            raise ConfigError(f"a question only reads, and this one says {word.upper()}")
    if ";" in bare.strip().rstrip(";"):
        raise ConfigError("ask one question at a time: there is a ; in it")
    for name in dict.fromkeys(re.findall(r"\$(\w+)", bare)):
        if name not in parameters:
            raise ConfigError(f"the question needs a value for ${name}: --param {name}=...")


def plain(value: Any) -> Any:
    """A value of an answer as Python has it, whatever store it comes from."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, Mapping):
        kept = {k: v for k, v in value.items() if not str(k).startswith("_") and v is not None}
        return {k: plain(v) for k, v in kept.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value
