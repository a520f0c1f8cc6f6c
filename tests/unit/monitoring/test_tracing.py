"""Spans of a scoring job, kept in memory; a real receiver takes them in the slow tests."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import select, text

from riskml.alerting.alert_log import AlertLog
from riskml.alerting.letters import Letter, letter_of, post_letter
from riskml.alerting.log_tables import OUTBOX
from riskml.alerting.messages import TRACE
from riskml.core.errors import ConfigError
from riskml.data.database import open_engine
from riskml.data.event_mapping import EventMapping
from riskml.export.bundle import load_bundle
from riskml.monitoring import tracing
from riskml.serving.events import open_source
from riskml.serving.job import JobSettings, ScoreJob, open_store

OLD = Path(__file__).parents[2] / "data" / "bundles" / "format_3"
CALLER = "0af7651916cd43dd8448eb211c80319c"
LINK = f"00-{CALLER}-b7ad6b7169203331-01"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What is recorded while a test runs."""
    kept, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(tracing, "_provider", lambda: provider)
    monkeypatch.setenv(tracing.ENDPOINTS[0], "http://127.0.0.1:9")
    with tracing.recording():
        yield kept


def by_name(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in spans.get_finished_spans()}


def test_a_job_is_one_trace_with_its_steps(spans: InMemorySpanExporter, tmp_path: Path) -> None:
    bundle, settings = load_bundle(OLD / "bundle"), JobSettings()
    source = open_source(str(OLD / "events.parquet"), "events", EventMapping(), 100)
    ScoreJob(bundle, source, open_store(f"sqlite:///{tmp_path}/scores.db"), settings).run()
    found = by_name(spans)
    root = found["riskml score"]
    assert root.parent is None
    for name in ("load", "features", "score", "alert", "keep"):
        parent = found[name].parent
        assert parent is not None and root.context is not None
        assert parent.span_id == root.context.span_id, name
    keep, insert = found["keep"].context, found["INSERT"].parent
    assert keep is not None and insert is not None
    assert insert.span_id == keep.span_id
    texts = " ".join(str(span.attributes) for span in spans.get_finished_spans())
    users = pl.read_parquet(OLD / "events.parquet")["user_id"].unique().to_list()
    assert not any(str(user) in texts for user in users)


def test_statements_have_no_values_and_failures_are_told(
    spans: InMemorySpanExporter, tmp_path: Path
) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/a.db", "url")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE secrets (name TEXT)"))
        connection.execute(text("INSERT INTO secrets VALUES (:name)"), {"name": "canary"})
    with pytest.raises(Exception, match="no such table"), engine.begin() as connection:
        connection.execute(text("SELECT * FROM missing WHERE name = :name"), {"name": "canary"})
    found = by_name(spans)
    assert "canary" not in str([dict(span.attributes or {}) for span in found.values()])
    (event,) = found["SELECT"].events
    assert event.name == "exception"


def test_logs_carry_the_span_and_a_notice_its_trace(spans: InMemorySpanExporter) -> None:
    with tracing.span("outer", [LINK], channel="soc"):
        told, example = tracing.parent(), tracing.exemplar()
    outer = by_name(spans)["outer"]
    assert outer.context is not None and example is not None and told is not None
    assert example["trace_id"] == f"{outer.context.trace_id:032x}" == told.split("-")[1]
    assert [f"{link.context.trace_id:032x}" for link in outer.links] == [CALLER]
    assert dict(outer.attributes or {}) == {"channel": "soc"}


def test_each_item_is_a_span(spans: InMemorySpanExporter) -> None:
    assert list(tracing.each("load", [1, 2, 3])) == [1, 2, 3]
    assert [span.name for span in spans.get_finished_spans()] == ["load"] * 4  # and the end


def test_without_a_receiver_nothing_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tracing.ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    with tracing.recording(), tracing.span("nothing"):
        assert tracing.parent() is None and tracing.exemplar() is None
    monkeypatch.setenv(tracing.ENDPOINTS[0], "http://127.0.0.1:9")
    monkeypatch.setenv(tracing.DISABLED, "true")
    assert not tracing.is_wanted()


def test_a_trace_goes_on_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kept, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(tracing, "_provider", lambda: provider)
    monkeypatch.setenv(tracing.ENDPOINTS[0], "http://127.0.0.1:9")
    monkeypatch.setenv(tracing.PARENT, LINK)
    with caplog.at_level(logging.WARNING), tracing.recording(), tracing.span("job"):
        assert str(tracing.parent()).split("-")[1] == CALLER


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tracing.ENDPOINTS[0], "http://127.0.0.1:9")
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.sdk.trace", None)
    with (
        pytest.raises(
            ConfigError, match=r"OTEL_EXPORTER_OTLP_ENDPOINT is set.*riskml\[monitoring\]"
        ),
        tracing.recording(),
    ):
        pass


def test_a_letter_written_in_a_trace_is_read_again(
    spans: InMemorySpanExporter, tmp_path: Path
) -> None:
    log = AlertLog(f"sqlite:///{tmp_path}/alerts.db")
    log.migrate()
    letter = Letter("week/kim", "mail", "kim@a.example", "Risk", "Attached.", {"a.pdf": b"%PDF"})
    with tracing.span("report"):
        assert post_letter(log, letter, datetime(2024, 5, 1, tzinfo=UTC))
    with log.reading() as connection:
        [notice] = connection.execute(select(*OUTBOX.c)).mappings().all()
    assert TRACE in json.loads(notice["content"])
    assert letter_of(notice) == letter
