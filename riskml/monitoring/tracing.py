"""Traces: what a command spends its time on, from load to delivery, by OpenTelemetry.

OpenTelemetry's own variables configure it: OTEL_EXPORTER_OTLP_ENDPOINT says where spans go, and
without one nothing is recorded or imported; OTEL_TRACES_SAMPLER how many traces are kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, TypeVar

from riskml.core import logs
from riskml.core.errors import ConfigError
from riskml.core.versions import versions
from riskml.monitoring.sql_spans import SqlSpans

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
DISABLED = "OTEL_SDK_DISABLED"
PARENT = "TRACEPARENT"
"""The trace that a command belongs to, as W3C writes it; a scheduler may set it."""

Item = TypeVar("Item")
_tracer: Any = None
_now: Any = None
"""The provider of spans, while they are recorded."""


def is_wanted() -> bool:
    """Whether the environment says where spans go."""
    disabled = os.environ.get(DISABLED, "").lower() == "true"
    return not disabled and any(os.environ.get(name) for name in ENDPOINTS)


@contextmanager
def recording() -> Iterator[None]:
    """Record the spans of a process, its SQL and its HTTP requests, and send them by its end.

    Raises:
        ConfigError: spans are wanted, and OpenTelemetry is not installed.
    """
    global _tracer, _now
    if not is_wanted() or _tracer is not None:
        yield
        return
    _now = provider = _provider()
    with _installed():
        from opentelemetry import context
        from opentelemetry.instrumentation.requests import RequestsInstrumentor
        from opentelemetry.propagate import extract
    _tracer = provider.get_tracer("riskml", versions().get("riskml"))
    sql, requests = SqlSpans(_tracer), RequestsInstrumentor()
    sql.start()
    requests.instrument(tracer_provider=provider)
    token = context.attach(extract({"traceparent": os.environ.get(PARENT, "")}))
    try:
        yield
    finally:
        context.detach(token)
        requests.uninstrument()
        sql.stop()
        _tracer = _now = None
        provider.shutdown()  # sends what is left


def span(
    name: str, links: Iterable[str] = (), **attributes: str | int | float
) -> AbstractContextManager[None]:
    """A part of the work; nothing where no spans are recorded.

    Args:
        name: of the part.
        links: W3C's `traceparent` of other traces that it goes on with.
        attributes: of it; none may be personal.
    """
    return nullcontext() if _tracer is None else _span(name, links, attributes)


def each(name: str, items: Iterable[Item]) -> Iterator[Item]:
    """The items, each of which is a span for as long as it takes to come."""
    left = iter(items)
    while True:
        with span(name):
            try:
                item = next(left)
            except StopIteration:
                return
        yield item


def parent() -> str | None:
    """W3C's `traceparent` of the present span; None where none is recorded."""
    if _tracer is None:
        return None
    from opentelemetry.propagate import inject

    carrier: dict[str, str] = {}
    inject(carrier)
    return carrier.get("traceparent")


def exemplar() -> dict[str, str] | None:
    """What a metric points to the present trace with; None where none is recorded."""
    found = logs.trace_ids(parent())
    return {"trace_id": found["trace__id"], "span_id": found["span__id"]} if found else None


def http_middleware() -> Callable[[Any], Any] | None:
    """What makes a span of each request to an ASGI application, under the trace of its caller.

    None where no spans are recorded.
    """
    if _tracer is None:
        return None
    with _installed():
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
    return partial(OpenTelemetryMiddleware, tracer_provider=_now, exclude_spans=["receive", "send"])


@contextmanager
def _installed() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        set_by = next(name for name in ENDPOINTS if os.environ.get(name))
        raise ConfigError(
            f"{set_by} is set, and {error.name} is not installed: pip install 'riskml[monitoring]'"
        ) from error


@contextmanager
def _span(name: str, links: Iterable[str], attributes: dict[str, Any]) -> Iterator[None]:
    from opentelemetry import trace
    from opentelemetry.propagate import extract

    others = (trace.get_current_span(extract({"traceparent": link})) for link in links)
    linked = [trace.Link(other.get_span_context()) for other in others]
    with (
        _tracer.start_as_current_span(name, links=linked, attributes=attributes),
        logs.ids(**logs.trace_ids(parent())),
    ):
        yield


def _provider() -> Any:
    """Sends spans in batches, in a thread of its own."""
    with _installed():
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    told = {"service.version": versions().get("riskml", "")}
    os.environ.setdefault("OTEL_SERVICE_NAME", "riskml")
    provider = TracerProvider(resource=Resource(told).merge(Resource.create()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
