"""Elastic Common Schema."""

from __future__ import annotations

from typing import ClassVar

import polars as pl

from riskml.data.mappings.records import FormatSource, RecordFormat, first_of


def _field(*names: str) -> pl.Expr:
    """The first that is there, in the record or in `_source`, where a search puts the record."""
    return first_of(*(option for name in names for option in (name, f"_source.{name}")))


class EcsSource(FormatSource):
    """Elastic Common Schema records, nested or with dots in the names, a record a line.

    `action` is `event.action`, else category:type. The outcome `unknown` is left empty.
    """

    record_format: ClassVar[RecordFormat] = RecordFormat(
        columns={
            "event_id": _field("event.id", "_id"),
            "user_id": _field("user.name", "user.email", "user.id"),
            "timestamp": _field("@timestamp"),
            "action": pl.coalesce(
                _field("event.action"),
                pl.format(
                    "{}:{}",
                    _field("event.category.0", "event.category"),
                    _field("event.type.0", "event.type"),
                ),
                _field("event.category.0", "event.category"),
            ),
            "resource": _field(
                "user.target.name",
                "file.path",
                "url.full",
                "url.original",
                "process.executable",
                "service.name",
                "destination.domain",
                "destination.ip",
            ),
            "source": _field("source.ip", "source.address", "client.ip", "host.ip.0", "host.name"),
            "success": pl.when(_field("event.outcome").is_in(["success", "failure"])).then(
                _field("event.outcome") == "success"
            ),
            "host": _field("host.name", "host.hostname"),
            "domain": _field("user.domain"),
            "category": _field("event.category.0", "event.category"),
            "dataset": _field("event.dataset"),
            "user_agent": _field("user_agent.original"),
            "country": _field("source.geo.country_iso_code"),
        }
    )
