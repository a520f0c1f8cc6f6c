"""The truth of the CERT data: who did it, when, and by which events."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import polars as pl

from riskml.core.errors import ConfigError, DataError
from riskml.data.csv_records import csv_tables
from riskml.data.sources.base import READ_ROWS
from riskml.data.text_lines import line_chunks

TIMES = "%m/%d/%Y %H:%M:%S"
COLUMNS = ("dataset", "scenario", "details", "user", "start", "end")
ID = r"\{[A-Z0-9-]+\}"


@dataclass(frozen=True)
class Answers:
    """What is known of the incidents.

    Args:
        events: event_id, incident_id and scenario of each event that is listed.
        spans: incident_id, scenario, user_id, start and end of incidents without such a list.
    """

    events: pl.DataFrame
    spans: pl.DataFrame

    def truth(self, events: pl.DataFrame) -> pl.DataFrame:
        """event_id, label, incident_id and scenario of events, in their order."""
        truth = events.select("event_id", "user_id", "timestamp").join(
            self.events, on="event_id", how="left", maintain_order="left"
        )
        during = pl.col("timestamp").is_between(pl.col("start"), pl.col("end"))
        by_span = (
            truth.select("event_id", "user_id", "timestamp")
            .join(self.spans, on="user_id")
            .filter(during)
            .unique("event_id", keep="first", maintain_order=True)
            .select("event_id", span_id="incident_id", span_scenario="scenario")
        )
        truth = truth.join(by_span, on="event_id", how="left", maintain_order="left")
        incident = pl.coalesce("incident_id", "span_id")
        return truth.select(
            "event_id",
            label=incident.is_not_null().cast(pl.Int8),
            incident_id=incident,
            scenario=pl.coalesce("scenario", "span_scenario"),
        )


def read_answers(folder: Path, release: str | None, time_zone: str = "UTC") -> Answers:
    """Read `insiders.csv` and the list of events of each incident that has one.

    Args:
        folder: that holds them.
        release: number in the column `dataset`, None if there is one only.
        time_zone: IANA name of the zone of start and end.

    Raises:
        ConfigError: the release is not known, or has no such number.
        DataError: `insiders.csv` lacks a column, or has a time that cannot be read.
    """
    file = folder / "insiders.csv"
    insiders = pl.concat(table.rows for table in csv_tables(file, ",", READ_ROWS))
    lacking = [name for name in COLUMNS if name not in insiders.columns]
    if lacking:
        raise DataError(f"{file.name} has no column '{lacking[0]}'")
    insiders = insiders.select(pl.col(COLUMNS).str.strip_chars())
    releases = sorted(insiders["dataset"].unique().drop_nulls().to_list())
    if release is None and len(releases) > 1:
        raise ConfigError(f"release: say which one the folder holds, one of {', '.join(releases)}")
    chosen = release if release is not None else releases[0] if releases else None
    number = pl.col("dataset").str.strip_suffix(".0")
    insiders = insiders.filter(number == str(chosen).removesuffix(".0"))
    if insiders.is_empty():
        raise ConfigError(f"release={chosen}: insiders.csv knows {', '.join(releases)} only")
    insiders = insiders.select(
        "details",
        incident_id=pl.col("details").str.strip_suffix(".csv"),
        scenario="scenario",
        user_id=pl.col("user").str.extract(r"([^/\\]+)$"),
        **{
            end: pl.col(end)
            .str.to_datetime(TIMES, time_unit="us", strict=False)
            .dt.replace_time_zone(time_zone, ambiguous="earliest")
            .dt.convert_time_zone("UTC")
            for end in ("start", "end")
        },
    )
    lists = {path.name: path for path in folder.rglob("*.csv") if path != file}
    listed = [_listed(lists, row) for row in insiders.iter_rows(named=True)]
    found = [part for part in listed if len(part)]
    without = insiders.filter(pl.Series([len(part) == 0 for part in listed], dtype=pl.Boolean))
    if without.select(pl.any_horizontal(pl.col("start", "end").is_null().any())).item():
        raise DataError(f"{file.name}: a start or end is no time like 10/23/2010 01:34:19")
    empty = pl.DataFrame(schema=dict.fromkeys(("event_id", "incident_id", "scenario"), pl.String))
    events = pl.concat([empty, *found]).unique("event_id", keep="first", maintain_order=True)
    return Answers(events, without.drop("details"))


def _listed(lists: dict[str, Path], incident: dict[str, str]) -> pl.DataFrame:
    """The events that an incident's own file lists; its lines have no header and differ."""
    path = lists.get(PureWindowsPath(incident["details"]).name)
    chunks = [] if path is None else list(line_chunks(path, READ_ROWS))
    ids = [chunk["text"].str.extract(f"({ID})").drop_nulls() for chunk in chunks]
    return pl.DataFrame({"event_id": pl.concat([pl.Series(dtype=pl.String), *ids])}).with_columns(
        incident_id=pl.lit(incident["incident_id"], pl.String),
        scenario=pl.lit(incident["scenario"], pl.String),
    )
