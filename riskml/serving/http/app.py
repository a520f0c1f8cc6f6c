"""The ASGI application: its routes, and what they work with."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast, get_args

import orjson
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from riskml.core.errors import BundleError
from riskml.monitoring import tracing
from riskml.monitoring.metrics_exporter import LogCounter
from riskml.serving.http.access import Tokens
from riskml.serving.http.answers import Answer
from riskml.serving.http.batching import FAILED, Limits, Scorer
from riskml.serving.http.docs import docs_routes
from riskml.serving.http.front import Front
from riskml.serving.http.intake import JSON, Intake
from riskml.serving.http.metrics import Metrics
from riskml.serving.http.model import Asked
from riskml.serving.http.openapi import openapi
from riskml.serving.http.problems import Problem
from riskml.serving.http.reloading import Shelf, refresh
from riskml.serving.http.told import about_model, about_schema

VERSION_HEADER = "X-Model-Version"


@dataclass(frozen=True)
class Settings:
    """How the service runs.

    Args:
        bundle: folder, or a link to one that is exchanged.
        tokens: who may ask.
        runtime: of the bundle's graph.
        limits: of requests.
        watch_s: seconds between looks at the bundle; 0: it is reloaded on demand only.
        docs: whether there is a page for people.
        open_metrics: whether metrics need no token.
    """

    bundle: Path
    tokens: Tokens
    runtime: str | None = None
    limits: Limits = field(default_factory=Limits)
    watch_s: float = 1.0
    docs: bool = True
    open_metrics: bool = False


class Service:
    """What the routes work with while the application lives.

    Attributes:
        stopping: no longer ready; connections are closed after their answer.

    Raises:
        BundleError: the bundle is no whole bundle.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings, self.metrics = settings, Metrics()
        self.tokens, self.intake = settings.tokens, Intake(settings.limits)
        self.shelf = Shelf(settings.bundle, settings.runtime, self.metrics)
        self.scorer: Scorer
        self.stopping = False

    @asynccontextmanager
    async def alive(self, app: Starlette) -> AsyncIterator[None]:
        """Keep the bundle up to date, and in the end finish what waits."""
        self.scorer = Scorer(self.shelf.current, self.settings.limits, self.metrics)
        counting = LogCounter(self.metrics)
        logging.getLogger().addHandler(counting)
        watching = None
        if self.settings.watch_s > 0:
            watching = asyncio.create_task(self.shelf.watch(self.settings.watch_s, self.tokens))
        try:
            yield
        finally:
            if watching is not None:
                watching.cancel()
                with suppress(asyncio.CancelledError):
                    await watching
            await asyncio.to_thread(self.scorer.close)
            logging.getLogger().removeHandler(counting)

    # ---- routes: scores

    async def events(self, request: Request) -> Response:
        """POST /v1/events."""
        return await self._score(request, self.scorer.events)

    async def windows(self, request: Request) -> Response:
        """POST /v1/windows."""
        return await self._score(request, self.scorer.windows)

    async def _score(
        self, request: Request, score: Callable[[bytes, Asked], Awaitable[Answer]]
    ) -> Response:
        self._admit(request)
        asked = _asked(request)
        body = await self.intake.read(request)
        try:
            answer = await score(body, asked)
        finally:
            self.intake.release(body)
        return Response(answer.body, headers={VERSION_HEADER: answer.version}, media_type=JSON)

    # ---- routes: the model

    async def model(self, request: Request) -> Response:
        """GET /v1/model."""
        self._admit(request)
        return self._json(about_model(self.shelf.current()))

    async def schema(self, request: Request) -> Response:
        """GET /v1/schema."""
        self._admit(request)
        return self._json(about_schema(self.shelf.current()))

    async def reload(self, request: Request) -> Response:
        """POST /v1/reload."""
        self._admit(request)
        before = self.shelf.current().version
        await refresh(self.tokens)
        try:
            changed = await self.shelf.reload()
        except BundleError as error:
            raise Problem(HTTPStatus.CONFLICT, f"{error}; {before} goes on") from error
        now = self.shelf.current().version
        return self._json({"model_version": now, "previous": before, "changed": changed})

    # ---- routes: the service

    async def health(self, request: Request) -> Response:
        """GET /health: the process lives."""
        return self._json({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """GET /ready: requests may be sent."""
        if self.stopping:
            return self._json({"status": "stopping"}, HTTPStatus.SERVICE_UNAVAILABLE)
        return self._json({"status": "ready"})

    async def show_metrics(self, request: Request) -> Response:
        """GET /metrics."""
        if not self.settings.open_metrics:
            self._admit(request)
        write, kind = choose_encoder(request.headers.get("accept", ""))
        return Response(write(self.metrics.registry), media_type=kind)

    async def openapi(self, request: Request) -> Response:
        """GET /openapi.json, with the features of the present model."""
        return self._json(openapi(self.shelf.current(), self.settings.limits))

    # ---- steps

    def _admit(self, request: Request) -> None:
        self.tokens.check(request.headers.get("authorization"))

    def _json(self, content: Any, status: int = HTTPStatus.OK) -> Response:
        headers = {VERSION_HEADER: self.shelf.current().version}
        return Response(orjson.dumps(content), status, headers, JSON)


def make_app(settings: Settings) -> Starlette:
    """The application; `app.state.service` is what it works with.

    Raises:
        BundleError: the bundle is no whole bundle.
    """
    service = Service(settings)
    get, post = ["GET"], ["POST"]
    routes: list[Route | Mount] = [
        Route("/v1/events", service.events, methods=post),
        Route("/v1/windows", service.windows, methods=post),
        Route("/v1/schema", service.schema, methods=get),
        Route("/v1/model", service.model, methods=get),
        Route("/v1/reload", service.reload, methods=post),
        Route("/health", service.health, methods=get),
        Route("/ready", service.ready, methods=get),
        Route("/metrics", service.show_metrics, methods=get),
    ]
    if settings.docs:
        routes += [Route("/openapi.json", service.openapi, methods=get), *docs_routes()]
    app = Starlette(
        routes=routes,
        lifespan=service.alive,
        exception_handlers={
            Problem: _of_problem,
            HTTPException: _of_framework,
            ClientDisconnect: _of_nobody,
            Exception: _of_failure,
        },
    )
    app.state.service = service
    known = {route.path for route in routes}
    app.add_middleware(Front, service=service, known=known)
    if (spans := tracing.http_middleware()) is not None:
        app.add_middleware(spans)
    return app


def _asked(request: Request) -> Asked:
    asked = request.query_params.get("reasons", "alerts")
    for known in get_args(Asked):
        if asked == known:
            return cast(Asked, known)
    detail = f"the parameter 'reasons' must be one of {', '.join(get_args(Asked))}"
    error = {"row": None, "field": "reasons", "message": detail}
    raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, [error])


async def _of_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _of_framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    return Problem(status, status.description, headers=error.headers).response()


async def _of_nobody(request: Request, error: Exception) -> Response:
    return Response(status_code=HTTPStatus.BAD_REQUEST)  # whoever asked has gone: nobody reads it


async def _of_failure(request: Request, error: Exception) -> Response:
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, FAILED).response()
