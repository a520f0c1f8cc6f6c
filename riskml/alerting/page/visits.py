"""A request of somebody who is signed in, and what has to hold before it is served."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl, quote

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from riskml.alerting.page.people import Role
from riskml.alerting.page.sessions import Session, Sessions
from riskml.core.errors import DataError, RiskmlError
from riskml.core.redaction import hiding_values

Form = dict[str, str]

COOKIE, MOST_BYTES = "riskml_session", 16_384
TOKEN_FIELD = "csrf"

AGAIN = '<!doctype html><meta http-equiv="refresh" content="0"><title>riskml</title>'


@dataclass(frozen=True)
class Visit:
    """A request that may be served.

    Args:
        request: as it came.
        session: whose it is.
        form: what was posted; empty otherwise.
    """

    request: Request
    session: Session
    form: Form

    @property
    def alert_id(self) -> str:
        """In the address."""
        return str(self.request.path_params["alert_id"])


class Door:
    """Lets requests through to what serves them.

    Args:
        sessions: of those who are signed in.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def to(
        self, serve: Callable[[Visit], Response], least: Role = Role.VIEWER
    ) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint for those who are signed in.

        Args:
            serve: in a thread of its own.
            least: role.
        """

        async def endpoint(request: Request) -> Response:
            session = self._sessions.find(request.cookies.get(cookie_name(request)))
            if session is None:
                return _sign_in_first(request)
            form = await posted(request)
            if request.method == "POST" and not session.has(form.get(TOKEN_FIELD, "")):
                detail = "This form is not of your session: go back, load the page again, repeat."
                raise HTTPException(HTTPStatus.FORBIDDEN, detail)
            if not session.person.may(least):
                detail = f"This needs the role {least}; yours is {session.person.role}."
                raise HTTPException(HTTPStatus.FORBIDDEN, detail)
            with told(), hiding_values():
                return await run_in_threadpool(serve, Visit(request, session, form))

        return endpoint


@contextmanager
def told() -> Iterator[None]:
    """What a person can put right is told to them: 409, or 503 where the database is to blame."""
    try:
        yield
    except RiskmlError as error:
        away = isinstance(error.__cause__, SQLAlchemyError) or not isinstance(error, DataError)
        status = HTTPStatus.SERVICE_UNAVAILABLE if away else HTTPStatus.CONFLICT
        raise HTTPException(status, str(error)) from error


async def posted(request: Request) -> Form:
    """The fields of a form; the last of a name counts.

    Raises:
        HTTPException: 403 where another site sends it, 413 where it is too long.
    """
    if request.method != "POST":
        return {}
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(HTTPStatus.FORBIDDEN, "This form was sent by another site.")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "That is too long.")
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def cookie_name(request: Request) -> str:
    """Under TLS the browser itself sees to it that a cookie of this name is ours."""
    return f"__Host-{COOKIE}" if request.url.scheme == "https" else COOKIE


def _sign_in_first(request: Request) -> Response:
    if request.method == "GET" and request.headers.get("sec-fetch-site") == "cross-site":
        # a strict cookie does not come along from a link in a mail, but does from our own page
        return HTMLResponse(AGAIN)
    return to_sign_in(request.url.path)


def to_sign_in(path: str) -> Response:
    """First sign in, then go on to a page."""
    return RedirectResponse(f"/login?next={quote(path)}", HTTPStatus.SEE_OTHER)
