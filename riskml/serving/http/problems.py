"""Answers that say what was wrong with a request, as problem documents (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
MOST_ERRORS = 20
"""Wrong fields that are named in one answer."""

RETRY_AFTER = {"Retry-After": "1"}


class Problem(Exception):
    """A request that is not served; becomes the answer.

    Args:
        status: of the answer.
        detail: what is wrong and how to put it right, for people.
        errors: the wrong fields, each with `row`, `field` and `message`.
        headers: further headers of the answer.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors = status, detail, list(errors)[:MOST_ERRORS]
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """The problem document."""
        content: dict[str, Any] = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": self.detail,
        }
        if self.errors:
            content["errors"] = self.errors
        return Response(orjson.dumps(content), self.status, self.headers, MEDIA_TYPE)


def wrong_field(row: int | None, field: str, message: str) -> Problem:
    """One wrong field."""
    where = "the body" if row is None else f"row {row}"
    where = f"{where}, field '{field}'" if field else where
    error = {"row": row, "field": field, "message": message}
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{where}: {message}", [error])


def busy(detail: str) -> Problem:
    """Too much is being worked on."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=RETRY_AFTER)
