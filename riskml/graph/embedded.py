"""The graph in a file, by Ladybug: a database without a server.

What is Ladybug's alone stands here: tables have types, and a table of rows is copied in at once.
A copy that meets a key that is there ends the process, so that known ones are left out before.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import polars as pl

from riskml.core.errors import DataError
from riskml.graph import model
from riskml.graph.model import ACCESS, ACCESS_COLUMNS, FORMAT, MARK, Named, Relation
from riskml.graph.store import MARK_QUERY, Answer, check_question, not_prepared, plain

if TYPE_CHECKING:
    import ladybug
    from ladybug import QueryResult

TABLES = (
    *(f"NODE TABLE IF NOT EXISTS {k.label}({k.key} STRING PRIMARY KEY)" for k in model.NAMED),
    f"NODE TABLE IF NOT EXISTS {ACCESS.label}"
    "(event_id STRING PRIMARY KEY, at TIMESTAMP, action STRING, success BOOL)",
    *(
        f"REL TABLE IF NOT EXISTS {r.name}(FROM {r.start.label} TO {r.end.label})"
        for r in model.RELATIONS
    ),
    f"NODE TABLE IF NOT EXISTS {MARK}(id INT64 PRIMARY KEY, format INT64)",
)


CUT_OFF = "recovery is pending"
"""What Ladybug says to a reader after a writer was killed in the midst of a checkpoint."""


class EmbeddedGraph:
    """A graph in a file; one process at a time writes, or several read.

    Args:
        path: the file; made by `prepare`.
        writes: whether this process is going to write.

    Raises:
        DataError: there is no graph, another process is at it, or it is another kind of file.
    """

    def __init__(self, path: Path, writes: bool = False) -> None:
        import ladybug

        self._path = path.expanduser()
        if self._path.is_dir():
            raise DataError(f"--store {path} is a folder; give a file in it")
        if writes:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        elif not self._path.is_file():
            raise not_prepared(path)
        self._lock = self._hold(writes)
        try:
            self._database = self._opened(writes)
            self._connection = ladybug.Connection(self._database)
        except RuntimeError as error:
            self._lock.close()
            if self._path.stat().st_size == 0:
                raise not_prepared(path) from error
            raise DataError(f"{path} cannot be opened as a graph: {_line(error)}") from error

    def _opened(self, writes: bool) -> ladybug.Database:
        import ladybug

        try:
            return ladybug.Database(self._path, read_only=not writes)
        except RuntimeError as error:
            if writes or CUT_OFF not in str(error):
                raise
        # who wrote was killed while it tidied up: only one who may write can end that
        self._lock.close()
        self._lock = self._hold(writes=True)
        ladybug.Database(self._path).close()
        self._lock.close()
        self._lock = self._hold(writes)
        return ladybug.Database(self._path, read_only=True)

    def _hold(self, writes: bool) -> BinaryIO:
        file = self._path.open("ab" if writes else "rb")
        try:
            fcntl.flock(file, (fcntl.LOCK_EX if writes else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            at_it = "uses" if writes else "writes to"
            raise DataError(f"another process {at_it} {self._path}: wait for it") from error
        return file

    def prepare(self) -> None:
        """Make the tables."""
        with self._refusals("the graph's tables cannot be made"):
            for table in TABLES:
                self._run(f"CREATE {table}")
            self._run(f"MERGE (mark:{MARK} {{id: 0}}) ON CREATE SET mark.format = {FORMAT}")

    def add(self, accesses: pl.DataFrame, members: pl.DataFrame) -> int:
        """Keep accesses; see `GraphStore`."""
        with self._refusals("the graph refused the accesses"), self._transaction():
            for kind in model.NAMED:
                named = model.names(members if kind is model.PEERS else accesses, kind)
                self._copy(kind.label, self._unknown_names(named, kind))
            known = self._unknown_names(accesses.select(name="event_id"), ACCESS)
            new = accesses.join(known, left_on="event_id", right_on="name", how="semi")
            self._copy(ACCESS.label, _naive(new.select(ACCESS_COLUMNS)))
            for relation in model.RELATIONS:
                found = model.pairs(members if relation is model.MEMBER_OF else new, relation)
                if relation.once:
                    found = self._unknown_pairs(found, relation)
                self._copy(relation.name, found)
        return len(new)

    def ask(self, cypher: str, parameters: Mapping[str, Any] | None = None) -> Answer:
        """Answer a query that only reads; see `GraphStore`."""
        given = dict(parameters or {})
        check_question(cypher, given)
        try:
            result = self._run(cypher, given)
        except RuntimeError as error:
            if cypher == MARK_QUERY:
                raise not_prepared(self._path) from error
            raise DataError(f"the graph does not understand: {_line(error)}") from error
        rows = [[plain(value) for value in row] for row in result.get_all()]
        return Answer(result.get_column_names(), rows)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
        self._database.close()
        self._lock.close()

    def __enter__(self) -> Self:
        """The store itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the file."""
        self.close()

    def _run(self, cypher: str, parameters: dict[str, Any] | None = None) -> QueryResult:
        result = self._connection.execute(cypher, parameters)
        assert not isinstance(result, list), "one statement at a time"
        return result

    def _copy(self, table: str, rows: pl.DataFrame) -> None:
        if len(rows):
            self._run(f"COPY {table} FROM $rows", {"rows": rows})

    def _table(self, query: str, rows: pl.DataFrame) -> pl.DataFrame:
        return self._run(query, {"rows": rows}).get_as_pl()

    def _unknown_names(self, names: pl.DataFrame, kind: Named) -> pl.DataFrame:
        query = f"LOAD FROM $rows MATCH (n:{kind.label} {{{kind.key}: name}}) RETURN name"
        return names.join(self._table(query, names), on="name", how="anti")

    def _unknown_pairs(self, found: pl.DataFrame, relation: Relation) -> pl.DataFrame:
        a, b = relation.start, relation.end
        query = (
            f"LOAD FROM $rows MATCH (a:{a.label} {{{a.key}: start_key}})-[:{relation.name}]->"
            f"(b:{b.label}) WHERE b.{b.key} = end_key RETURN start_key, end_key"
        )
        return found.join(self._table(query, found), on=["start_key", "end_key"], how="anti")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._run("BEGIN TRANSACTION")
        try:
            yield
        except BaseException:
            self._run("ROLLBACK")
            raise
        self._run("COMMIT")

    @contextmanager
    def _refusals(self, what: str) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise DataError(f"{what} ({self._path}): {_line(error)}") from error


def _naive(rows: pl.DataFrame) -> pl.DataFrame:
    """Times without a zone, as Ladybug's TIMESTAMP has them: they are in UTC."""
    return rows.with_columns(pl.col("at").dt.replace_time_zone(None))


def _line(error: RuntimeError) -> str:
    return str(error).split("\n")[0]
