"""`riskml ddl`: the SQL that makes the event store."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import click

from riskml.core.errors import ConfigError


class Month(click.ParamType[date]):
    """A month such as 2024-01."""

    name = "YYYY-MM"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """`2024-01` → its first day."""
        try:
            return datetime.strptime(str(value), "%Y-%m").date()
        except ValueError:
            self.fail(f"{value!r} is no month; write for example 2024-01")


MONTH = Month()


@click.command(epilog="Example: riskml ddl --first 2024-01 --last 2024-12 | psql risk")
@click.option("--table", default="events", show_default=True, help="Name of the table of events.")
@click.option("--dialect", default="postgresql", show_default=True, help="postgresql or sqlite.")
@click.option("--first", type=MONTH, help="First month to make a partition for.")
@click.option("--last", type=MONTH, help="Last one; --first where it is not given.")
def ddl(table: str, dialect: str, first: date | None, last: date | None) -> None:
    """Print the SQL that makes the event store.

    `riskml load` makes what is missing by itself; this is for those whose loader may not create
    tables, or who want other columns, storage or owners.
    """
    from riskml.data.event_tables import ddl as statements

    click.echo(statements(table, dialect, _months(first, last)), nl=False)


def _months(first: date | None, last: date | None) -> list[date]:
    if first is None:
        if last is not None:
            raise ConfigError("--last needs --first: from which month on?")
        return []
    end = last or first
    if end < first:
        raise ConfigError(f"--last {end:%Y-%m} is before --first {first:%Y-%m}")
    count = (end.year - first.year) * 12 + end.month - first.month + 1
    months = (first.month - 1 + step for step in range(count))
    return [date(first.year + month // 12, month % 12 + 1, 1) for month in months]
