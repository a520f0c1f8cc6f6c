"""What holds for all requests: they are named, counted, timed and noted in the access log."""

from __future__ import annotations

import logging
import re
from http import HTTPMethod
from time import perf_counter
from typing import TYPE_CHECKING
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from riskml.core.logs import ids, trace_ids
from riskml.monitoring import tracing

if TYPE_CHECKING:
    from riskml.serving.http.app import Service

_access = logging.getLogger("riskml.serving.http.access")
_REQUEST_ID = re.compile(r"[\w.-]{1,64}")


class Front:
    """Counts and times requests, and closes connections once the service is stopping."""

    def __init__(self, app: ASGIApp, service: Service, known: set[str]) -> None:
        self._app, self._service, self._known = app, service, known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, status = perf_counter(), 500
        named = _ids_of(scope) | trace_ids(tracing.parent())

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [
                    *message["headers"],
                    (b"x-content-type-options", b"nosniff"),
                    (b"x-request-id", named["http__request__id"].encode()),
                ]
                if self._service.stopping:
                    headers.append((b"connection", b"close"))
                message = {**message, "headers": headers}
            await send(message)

        try:
            with ids(**named):
                await self._app(scope, receive, noted)
        finally:
            route = scope["path"] if scope["path"] in self._known else "other"
            method = scope["method"] if scope["method"] in HTTPMethod.__members__ else "other"
            metrics, seconds = self._service.metrics, perf_counter() - begin
            metrics.requests.labels(method, route, str(status)).inc()
            metrics.seconds.labels(route).observe(seconds, tracing.exemplar())
            if _access.isEnabledFor(logging.DEBUG):
                with ids(**named):
                    _access.debug(
                        "%s %s", method, route, extra=_about(method, route, status, seconds)
                    )


def _ids_of(scope: Scope) -> dict[str, str]:
    """Ids that the caller gave, or a new one, as fields of logs."""
    headers = Headers(scope=scope)
    given = headers.get("x-request-id", "")
    name = given if _REQUEST_ID.fullmatch(given) else uuid4().hex
    return {"http__request__id": name, **trace_ids(headers.get("traceparent"))}


def _about(method: str, route: str, status: int, seconds: float) -> dict[str, object]:
    return {
        "http.request.method": method,
        "http.response.status_code": status,
        "url.path": route,
        "event.duration": round(seconds * 1e9),
    }
