"""Bodies of requests, read within bounds of size, memory and time."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from starlette.requests import Request

from riskml.serving.http.batching import Limits
from riskml.serving.http.problems import Problem, busy

JSON = "application/json"


class Intake:
    """Counts the bytes of all bodies that are held at once.

    Args:
        limits: of a body, and of all.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits, self._held = limits, 0

    async def read(self, request: Request) -> bytes:
        """The body; give it back with `release` once it is done with.

        Raises:
            Problem: 415 no JSON, 413 too large, 408 too slow, 503 too many at once.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != JSON or request.headers.get("content-encoding", "identity") != "identity":
            detail = f"send JSON as it is: Content-Type: {JSON}, without Content-Encoding"
            raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)
        length = request.headers.get("content-length", "")
        if length.isdecimal() and (len(length) > 18 or int(length) > self._limits.body_bytes):
            raise self._too_large()
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                async for chunk in request.stream():
                    self._take(len(chunk))
                    body += chunk
                    if len(body) > self._limits.body_bytes:
                        raise self._too_large()
        except BaseException as error:
            self._held -= len(body)
            if isinstance(error, TimeoutError):
                detail = f"the body did not arrive within {self._limits.timeout_s:g} s"
                close = {"Connection": "close"}
                raise Problem(HTTPStatus.REQUEST_TIMEOUT, detail, headers=close) from None
            raise
        return bytes(body)

    def release(self, body: bytes) -> None:
        """The body is no longer held."""
        self._held -= len(body)

    def _take(self, size: int) -> None:
        if self._held + size > self._limits.queue_bytes:
            raise busy("too many large requests at once: try again")
        self._held += size

    def _too_large(self) -> Problem:
        detail = f"the body has more than {self._limits.body_bytes:,} bytes: send several requests"
        close = {"Connection": "close"}
        return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, headers=close)
