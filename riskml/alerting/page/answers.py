"""How the page answers: templates, one look for errors, headers that hold for all."""

from __future__ import annotations

import logging
from datetime import datetime
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from riskml import __version__
from riskml.alerting.page.people import Role
from riskml.core.errors import ConfigError
from riskml.core.redaction import printable

_logger = logging.getLogger(__name__)

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
HSTS = "max-age=31536000"

STATIC = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}

MORE = "the log of the server says why."

WORDS = {
    HTTPStatus.FORBIDDEN: "Not allowed",
    HTTPStatus.NOT_FOUND: "Not found",
    HTTPStatus.CONFLICT: "Not possible",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many attempts",
    HTTPStatus.SERVICE_UNAVAILABLE: "Not available",
}


class Secured:
    """Puts the headers on every answer, whatever made it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                if scope["scheme"] == "https":
                    headers["Strict-Transport-Security"] = HSTS
            await send(message)

        await self._app(scope, receive, secured)


class Templates:
    """The templates of the package; everything that is put into them is escaped."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader("riskml.alerting.page", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {"when": when, "words": words, "plain": printable}
        self._environment.globals |= {"version": __version__, "Role": Role}

    def answer(
        self, name: str, status: int = HTTPStatus.OK, /, session: Any = None, **values: Any
    ) -> HTMLResponse:
        """A page.

        Args:
            name: of the template.
            status: of the answer.
            session: whose page it is, None before signing in.
            values: for the template.
        """
        template = self._environment.get_template(name)
        return HTMLResponse(template.render(session=session, **values), status)

    async def of_error(self, request: Request, error: Exception) -> Response:
        """The page of an error."""
        if isinstance(error, HTTPException):
            status, told = HTTPStatus(error.status_code), error.detail
        elif isinstance(error, ConfigError):
            _logger.error("%s", error)
            status, told = HTTPStatus.SERVICE_UNAVAILABLE, f"Not possible now; {MORE}"
        else:
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            told = f"Something went wrong here; {MORE}"
        title = WORDS.get(status, status.phrase)
        answer = self.answer("message.html.j2", status, title=title, told=told)
        answer.headers.update(getattr(error, "headers", None) or {})
        return answer


async def static(request: Request) -> Response:
    """A file of the package."""
    name = request.path_params["name"]
    if name not in STATIC:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such file.")
    content = files("riskml.alerting.page").joinpath("static", name).read_bytes()
    return Response(content, media_type=STATIC[name])


def when(at: datetime) -> str:
    """A time in UTC."""
    return f"{at:%Y-%m-%d %H:%M}"


def words(name: str) -> str:
    """A name of ours as people write it.

    >>> words("false_alarm")
    'false alarm'
    """
    return printable(name.replace("_", " "))
