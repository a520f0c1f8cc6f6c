"""SQL statements as spans; they have placeholders where values are, so nothing is personal."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, event

LONGEST = 500
"""Signs of a statement that are kept."""

_HANDLES = "riskml_spans"


class SqlSpans:
    """Opens a span for each statement that any engine of this process is given.

    OpenTelemetry's own instrumentation knows SQLAlchemy up to 2.0 only.

    Args:
        tracer: that records.
    """

    def __init__(self, tracer: Any) -> None:
        self._tracer = tracer
        self._hooks = (
            ("before_cursor_execute", self._begin),
            ("after_cursor_execute", self._end),
            ("handle_error", self._failed),
        )

    def start(self) -> None:
        """From now on."""
        for name, hook in self._hooks:
            event.listen(Engine, name, hook)

    def stop(self) -> None:
        """No more."""
        for name, hook in self._hooks:
            event.remove(Engine, name, hook)

    def _begin(
        self,
        connection: Any,
        cursor: Any,
        statement: str,
        parameters: Any,
        context: Any,
        many: bool,
    ) -> None:
        verb = statement.split(None, 1)[0].upper() if statement.strip() else "SQL"
        told = {"db.system.name": connection.dialect.name, "db.query.text": statement[:LONGEST]}
        if many:
            told["db.operation.batch.size"] = len(parameters)
        span = self._tracer.start_span(verb, attributes=told)
        connection.info.setdefault(_HANDLES, []).append(span)

    def _end(self, connection: Any, *_statement: Any) -> None:
        if waiting := connection.info.get(_HANDLES):
            waiting.pop().end()

    def _failed(self, context: Any) -> None:
        """End the span of a statement that the database refused."""
        waiting = context.connection.info.get(_HANDLES) if context.connection is not None else None
        if waiting:
            span = waiting.pop()
            span.record_exception(context.original_exception)
            span.end()
