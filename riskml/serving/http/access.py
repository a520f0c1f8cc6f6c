"""Who may ask: bearer tokens from the environment or a file, compared in constant time."""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from riskml.core.errors import ConfigError
from riskml.serving.http.problems import Problem

TOKEN_VARIABLE = "RISKML_SERVE_TOKEN"
MIN_TOKEN_CHARACTERS = 32

_MAKE = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'


class Tokens:
    """The tokens that are taken at present; none: everybody may ask.

    Args:
        tokens: each of at least 32 characters; several while one takes the other's place.
        file: that they come from, to be read again.
    """

    def __init__(self, tokens: tuple[bytes, ...], file: Path | None = None) -> None:
        self._tokens, self._file = tokens, file

    @classmethod
    def of(cls, file: Path | None, environment: Mapping[str, str] = os.environ) -> Tokens:
        """From the file, or else the environment variable.

        Raises:
            ConfigError: there is none, or one is too short. No message shows any.
        """
        if file is not None:
            return cls(_read(file), file)
        where = f"the environment variable {TOKEN_VARIABLE}"
        return cls(_split(environment.get(TOKEN_VARIABLE, ""), where))

    @classmethod
    def nobody(cls) -> Tokens:
        """No token is asked for."""
        return cls(())

    def refresh(self) -> bool:
        """Read the file again; whether they have changed.

        Raises:
            ConfigError: it holds no tokens now; those from before go on.
        """
        if self._file is None:
            return False
        found = _read(self._file)
        changed, self._tokens = found != self._tokens, found
        return changed

    def check(self, header: str | None) -> None:
        """Let a request pass, or not.

        Args:
            header: `Authorization` of the request.

        Raises:
            Problem: 401.
        """
        if not self._tokens:
            return
        scheme, _, given = (header or "").strip().partition(" ")
        token = given.strip().encode("latin-1", "replace")
        # all are compared, so that time tells nothing of which fits
        fits = [hmac.compare_digest(token, known) for known in self._tokens]
        if scheme.lower() != "bearer" or not any(fits):
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "send a valid token: Authorization: Bearer TOKEN",
                headers={"WWW-Authenticate": 'Bearer realm="riskml"'},
            )


def _read(file: Path) -> tuple[bytes, ...]:
    try:
        text = file.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--token-file {file} cannot be read: {type(error).__name__}") from error
    return _split(text, f"--token-file {file}")


def _split(text: str, where: str) -> tuple[bytes, ...]:
    tokens = [token.strip() for token in text.replace("\n", ",").split(",") if token.strip()]
    if not tokens:
        raise ConfigError(
            f"{where} holds no token, and without one nobody may ask. Make one: {_MAKE} "
            "(or --insecure-local: no token, for this machine alone)"
        )
    for number, token in enumerate(tokens, 1):
        if len(token) < MIN_TOKEN_CHARACTERS:
            raise ConfigError(
                f"token {number} in {where} has {len(token)} characters, at least "
                f"{MIN_TOKEN_CHARACTERS} are needed. Make one: {_MAKE}"
            )
        if not token.isascii() or not token.isprintable() or " " in token:
            raise ConfigError(f"token {number} in {where} has other than plain ASCII characters")
    return tuple(token.encode() for token in tokens)
