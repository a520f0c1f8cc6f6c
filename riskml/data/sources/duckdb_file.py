"""Tables and queries of DuckDB files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import polars as pl

from riskml.core.errors import ConfigError, DataError
from riskml.data.event_mapping import EventMapping, LogTable
from riskml.data.sources.base import MappedSource, no_rejected, origin
from riskml.data.sources.database import table_or_query, with_time_column
from riskml.data.sources.files import one_file
from riskml.data.sources.time_range import TimeRange


@dataclass(frozen=True)
class DuckDbSource(MappedSource):
    """A table, view or query of a DuckDB file, which is opened for reading only.

    Args:
        path: of the file.
        table: to read; `events` unless that or a query is given.
        query: one SELECT to read instead of a table.
        columns: event column -> column; the time column is `login_time` where no other is named.
        time_zone: IANA name for times without a zone, of the column and of since and until.
        since: first moment to read, ISO 8601.
        until: moment before which to stop.
        timestamp_format: strftime format of times that are text, None to recognise it.
        default_action: action of rows that name none.
        max_rejected_share: largest share of unusable rows that is tolerated, 0 to 1.

    Raises:
        ConfigError: the settings do not go together.
    """

    path: str | Path
    table: str | None = None
    query: str | None = None
    columns: Mapping[str, str | None] = field(default_factory=dict)
    time_zone: str | None = None
    since: str | None = None
    until: str | None = None
    timestamp_format: str | None = None
    default_action: str | None = None
    max_rejected_share: float = 0.2

    def __post_init__(self) -> None:
        table_or_query(self.table, self.query)

    def mapping(self) -> EventMapping:
        """What the columns mean; a range that is none is refused here, before the work."""
        self._range()
        return super().mapping()

    def named_columns(self) -> dict[str, str | None]:
        """As set, the time in `login_time` where no other is named."""
        return with_time_column(self.columns)

    def tables(self, rows: int) -> Iterator[LogTable]:
        """The rows that the range lets through."""
        path = one_file(self.path, "DuckDB")
        name, first = table_or_query(self.table, self.query), 1
        try:
            with duckdb.connect(path, read_only=True) as connection:
                connection.execute("SET TimeZone = 'UTC'")
                relation = self._in_range(self._relation(connection, name))
                for part in relation.to_arrow_reader(rows):
                    frame = pl.DataFrame(pl.from_arrow(part))
                    place = origin(name or path.name, range(first, first + len(frame)))
                    first += len(frame)
                    yield LogTable(path.name, frame, place, no_rejected())
        except duckdb.Error as error:
            raise DataError(f"{path.name}: {' '.join(str(error).split())}") from error
        if first == 1:
            raise DataError(f"{path.name}: {name or 'the query'} has no such rows")

    def _range(self) -> TimeRange:
        return TimeRange(self.since, self.until, self.time_zone)

    def _relation(
        self, connection: duckdb.DuckDBPyConnection, table: str | None
    ) -> duckdb.DuckDBPyRelation:
        if table is not None:
            return connection.table(table)
        statements = connection.extract_statements(str(self.query))
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise ConfigError("query: must be one SELECT; a source does nothing but read")
        return connection.sql(str(self.query))

    def _in_range(self, relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
        if self.since is None and self.until is None:
            return relation
        name = with_time_column(self.columns)["timestamp"] or ""
        column = duckdb.ColumnExpression(name)
        probe = relation.filter(column.isnotnull()).select(column).limit(1).fetchall()
        if probe:
            for operator, bound in self._range().bounds_for(probe[0][0], name).items():
                value = duckdb.ConstantExpression(bound)
                relation = relation.filter(column >= value if operator == ">=" else column < value)
        return relation
