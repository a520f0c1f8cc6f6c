"""Microsoft Entra sign-in logs: Graph and diagnostic JSON, and the portal's CSV download."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import polars as pl

from riskml.core.errors import DataError
from riskml.data.csv_records import csv_tables
from riskml.data.event_mapping import LogTable
from riskml.data.mappings.records import FormatSource, RecordFormat, first_of, words

INTERRUPTED = ["16000", "16001", "50058", "50072", "50074", "50076", "50079", "50125", "50140"]
"""Error codes by which a sign-in is not refused but goes on with another step."""


def _field(*names: str) -> pl.Expr:
    """The first that is there, in the record or in `properties` of a diagnostic export."""
    return first_of(*(option for name in names for option in (name, f"properties.{name}")))


def _success() -> pl.Expr:
    code = _field("status.errorCode")
    return pl.when(~code.is_in(INTERRUPTED)).then(code == "0")


JSON = RecordFormat(
    list_key="value",
    columns={
        "event_id": _field("id"),
        "user_id": _field("userPrincipalName", "servicePrincipalName", "userId", "appId"),
        "timestamp": first_of("createdDateTime", "properties.createdDateTime", "time"),
        "action": pl.coalesce(
            pl.format("sign_in:{}", words(_field("signInEventTypes.0"))), pl.lit("sign_in")
        ),
        "resource": _field("appDisplayName", "resourceDisplayName", "appId"),
        "source": _field("ipAddress", "callerIpAddress"),
        "success": _success(),
        "error_code": _field("status.errorCode"),
        "client": _field("clientAppUsed"),
        "user_agent": _field("userAgent"),
        "device": _field("deviceDetail.displayName", "deviceDetail.deviceId"),
        "country": _field("location.countryOrRegion"),
        "city": _field("location.city"),
        "conditional_access": _field("conditionalAccessStatus"),
    },
)

CSV_COLUMNS: dict[str, tuple[str, ...]] = {
    "event_id": ("Request ID",),
    "user_id": ("Username", "User principal name", "Service principal name", "User ID"),
    "timestamp": ("Date (UTC)", "Date"),
    "resource": ("Application", "Resource"),
    "source": ("IP address",),
    "success": ("Status",),
    "error_code": ("Sign-in error code",),
    "client": ("Client app",),
    "user_agent": ("User agent",),
    "device": ("Device ID",),
    "location": ("Location",),
    "conditional_access": ("Conditional Access",),
}
"""Event column or one that passes through -> headings of the portal's download."""


class EntraSource(FormatSource):
    """Microsoft Entra sign-ins, JSON (array, lines, `{"value": [...]}`) or the portal's CSV.

    A sign-in that was interrupted for another step, such as a second factor, has no outcome.
    """

    record_format: ClassVar[RecordFormat] = JSON

    def tables(self, rows: int) -> Iterator[LogTable]:
        """The sign-ins under the names of event columns."""
        path = Path(self.path).expanduser()
        if path.is_file() and path.name.lower().endswith((".csv", ".csv.gz")):
            for table in csv_tables(path, ",", rows):
                chosen = _csv_columns(table, dict(self.columns), list(self.keep))
                yield LogTable(table.name, chosen, table.origin, table.rejected)
        else:
            yield from super().tables(rows)


def _csv_columns(table: LogTable, columns: dict[str, str | None], keep: list[str]) -> pl.DataFrame:
    rows = table.rows
    named = {**columns, **{name: name for name in keep}}
    chosen = {name: heading for name, heading in named.items() if heading is not None}
    for name, heading in chosen.items():
        if heading not in rows.columns:
            raise DataError(
                f"{table.name} has no column '{heading}' (columns.{name}={heading}). "
                f"Its columns are: {', '.join(rows.columns)}"
            )
    for name, headings in CSV_COLUMNS.items():
        found = next((heading for heading in headings if heading in rows.columns), None)
        if found is not None:
            chosen.setdefault(name, found)
    if "timestamp" not in chosen or "user_id" not in chosen:
        raise DataError(
            f"{table.name} is no download of Entra sign-ins: it lacks 'Date (UTC)' or 'Username'. "
            f"Its columns are: {', '.join(rows.columns)}"
        )
    events = rows.select(pl.col(heading).alias(name) for name, heading in chosen.items())
    events = (
        events.with_columns(pl.lit("sign_in").alias("action"))
        if "action" not in chosen
        else (events)
    )
    if "success" in events.columns:
        interrupted = pl.col("success").str.to_lowercase() == "interrupted"
        events = events.with_columns(success=pl.when(~interrupted.fill_null(False)).then("success"))
    return events
