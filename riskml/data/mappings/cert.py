"""The folder layout of the CERT insider-threat data sets (Glasser and Lindauer 2013)."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from riskml.core.errors import DataError, did_you_mean
from riskml.data.csv_records import csv_tables
from riskml.data.event_mapping import EventLog, EventMapping, LogTable
from riskml.data.mappings.cert_answers import Answers, read_answers
from riskml.data.mappings.records import words
from riskml.data.sources.base import READ_ROWS, LogSource
from riskml.data.sources.merging import merged_by_time

TIMES = "%m/%d/%Y %H:%M:%S"
ACTIVITY = words(pl.col("activity"))
NOTHING = pl.lit(None, pl.String)

FILES: Mapping[str, Mapping[str, pl.Expr]] = {
    "logon": {"action": ACTIVITY},
    "device": {"action": pl.format("device_{}", ACTIVITY)},
    "file": {
        "action": ACTIVITY.fill_null("file_copy"),
        "resource": pl.col("filename"),
        "to_removable_media": pl.col("to_removable_media"),
        "from_removable_media": pl.col("from_removable_media"),
    },
    "email": {
        "action": pl.format("email_{}", ACTIVITY.fill_null("send")),
        "resource": pl.col("to"),
        "size": pl.col("size"),
        "attachments": pl.col("attachments"),
    },
    "http": {
        "action": ACTIVITY.fill_null("www_visit"),
        "resource": pl.col("url").str.extract(r"^(?:\w+://)?([^/]+)"),
    },
}
"""File -> column -> how it follows from the file's own. Releases before 5 lack some of these."""

COMMON: Mapping[str, pl.Expr] = {
    "event_id": pl.col("id"),
    "user_id": pl.col("user").str.extract(r"([^/\\]+)$"),
    "timestamp": pl.col("date"),
    "source": pl.col("pc"),
}
EVERY_COLUMN = tuple(dict.fromkeys([*COMMON, *(name for file in FILES.values() for name in file)]))

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CertSource(LogSource):
    """A release of the CERT data: `logon.csv device.csv file.csv email.csv http.csv`, any of them.

    The files are merged by time while they are read, so that batches are in the order of time and
    hold parts of every file. Texts of mails and pages are not kept; of a URL the host is. Role and
    department come from the month's file in `LDAP/`. Where `answers/` is there, in the folder or
    beside it, the truth has the events of each incident; without lists of events, all of the
    user's between its first and last moment.

    Args:
        path: of the release's folder, such as `r4.2`.
        release: number as in `insiders.csv`, such as 4.2; None takes it from the folder's name.
        time_zone: IANA name; the data name none.
        max_rejected_share: largest share of unusable rows that is tolerated, 0 to 1.
    """

    path: str | Path
    release: str | None = None
    time_zone: str | None = "UTC"
    max_rejected_share: float = 0.2

    @property
    def folder(self) -> Path:
        """Of the release."""
        return Path(self.path).expanduser()

    def mapping(self) -> EventMapping:
        """The columns of `tables` have the names of event columns already."""
        return EventMapping(
            time_zone=self.time_zone,
            timestamp_format=TIMES,
            max_rejected_share=self.max_rejected_share,
        )

    def tables(self, rows: int) -> Iterator[LogTable]:
        """The rows of all files, by time as long as each file is."""
        files = [self.folder / f"{name}.csv" for name in FILES]
        found = [file for file in files if file.is_file()]
        if not found:
            raise DataError(f"{self.folder} has none of {', '.join(file.name for file in files)}")
        share = max(1, rows // len(found))
        logs = [self._events(file, share) for file in found]
        yield from merged_by_time(logs, pl.col("timestamp").str.to_datetime(TIMES, strict=False))

    def _events(self, file: Path, rows: int) -> Iterator[LogTable]:
        own = FILES[file.stem]
        for table in csv_tables(file, ",", rows):
            missing = [
                name
                for column in COMMON.values()
                for name in column.meta.root_names()
                if name not in table.rows.columns
            ]
            if missing:
                raise DataError(
                    f"{file.name} has no column '{missing[0]}'; "
                    f"{did_you_mean(missing[0], table.rows.columns)}"
                )
            wanted = [name for column in own.values() for name in column.meta.root_names()]
            lacking = [name for name in dict.fromkeys(wanted) if name not in table.rows.columns]
            events = table.rows.with_columns(NOTHING.alias(name) for name in lacking).select(
                {**COMMON, **own}.get(name, NOTHING).alias(name) for name in EVERY_COLUMN
            )
            yield LogTable(self.folder.name, events, table.origin, table.rejected)

    def finish(self, log: EventLog) -> EventLog:
        """Add role and department, and the truth."""
        events = log.events
        if self._people is not None:
            events = _with_people(events, self._people)
        truth = None if self._answers is None else self._answers.truth(events)
        return EventLog(events, truth, log.rejected)

    @cached_property
    def _people(self) -> pl.DataFrame | None:
        """user_id, since (first of the month), role and department, by month."""
        months = sorted((self.folder / "LDAP").glob("[0-9][0-9][0-9][0-9]-[0-9][0-9].csv"))
        if not months:
            _logger.warning("%s has no LDAP folder: roles are not known", self.folder.name)
            return None
        tables = []
        for month in months:
            for table in csv_tables(month, ",", READ_ROWS):
                people = table.rows
                for name in {"role", "department"} - set(people.columns):
                    people = people.with_columns(NOTHING.alias(name))
                tables.append(
                    people.select("user_id", "role", "department", since=pl.lit(f"{month.stem}-01"))
                )
        since = pl.col("since").str.to_datetime("%Y-%m-%d", time_unit="us", time_zone="UTC")
        return pl.concat(tables).with_columns(since).sort("since")

    @cached_property
    def _answers(self) -> Answers | None:
        for folder in (self.folder / "answers", self.folder.parent / "answers"):
            if (folder / "insiders.csv").is_file():
                release = self._release() if self.release is None else str(self.release)
                return read_answers(folder, release, self.time_zone or "UTC")
        _logger.warning("%s has no answers/insiders.csv: there is no truth", self.folder.name)
        return None

    def _release(self) -> str | None:
        match = re.fullmatch(r"r?(\d+(?:\.\d+)?)", self.folder.resolve().name)
        return match[1] if match else None


def _with_people(events: pl.DataFrame, people: pl.DataFrame) -> pl.DataFrame:
    """Role and department of the month, of people who left or have yet to come of the nearest."""
    known = ["role", "department"]
    for strategy in ("backward", "forward"):
        joined = events.select("user_id", "timestamp").join_asof(
            people,
            left_on="timestamp",
            right_on="since",
            by="user_id",
            strategy="backward" if strategy == "backward" else "forward",
            check_sortedness=False,
        )
        events = events.with_columns(
            joined[name]
            if name not in events.columns
            else events[name].zip_with(events[name].is_not_null(), joined[name])
            for name in known
        )
    return events
