"""Who may sign in, and what they may do: one line a person, tokens as their hashes alone."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from riskml.core.errors import ConfigError, did_you_mean
from riskml.core.redaction import printable

PEOPLE_VARIABLE = "RISKML_PAGE_PEOPLE"
HASH_DIGITS = 64

_MAKE = "riskml alerts token NAME --role analyst"


class Role(StrEnum):
    """What a person may do, each all that the one before may."""

    VIEWER = "viewer"
    ANALYST = "analyst"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """0 for who may do least."""
        return list(Role).index(self)


@dataclass(frozen=True)
class Person:
    """Somebody who may sign in.

    Args:
        name: that stands in the trail.
        role: what they may do.
        mark: SHA-256 of their token, hexadecimal. Tokens are drawn, with 256 bits: unlike
            passwords they need no slow hash.
    """

    name: str
    role: Role
    mark: str

    @property
    def line(self) -> str:
        """As a file of people has it."""
        return f"{self.name} {self.role} {self.mark}"

    def may(self, role: Role) -> bool:
        """Whether they may do what somebody in this role may."""
        return self.role.rank >= role.rank


def new_person(name: str, role: Role) -> tuple[Person, str]:
    """A person and a token, which is kept nowhere.

    Raises:
        ConfigError: the name does not fit into a line.
    """
    if not name.strip() or not name.isprintable() or name.startswith("#"):
        raise ConfigError(f"the name '{printable(name)}' is empty, begins with # or does not print")
    token = secrets.token_urlsafe(32)
    return Person(" ".join(name.split()), role, mark_of(token)), token


def mark_of(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.strip().encode()).hexdigest()


class People:
    """Those who may sign in at present.

    Args:
        file: with a line each: name, role, hash; read again when it changes. None: the variable
            `RISKML_PAGE_PEOPLE` has the lines.
        environment: that has the variable.

    Raises:
        ConfigError: there is nobody, or a line says no person.
    """

    def __init__(self, file: Path | None, environment: Mapping[str, str] = os.environ) -> None:
        self._file, self._stamp = file, (0, 0)
        self._people: tuple[Person, ...] = ()
        if file is None:
            where = f"the variable {PEOPLE_VARIABLE}"
            self._people = _people(environment.get(PEOPLE_VARIABLE, ""), where)
        else:
            self._refresh()

    def with_token(self, token: str) -> Person | None:
        """Whose token it is."""
        self._refresh()
        mark = mark_of(token)
        # all are compared, so that time tells nothing of which fits
        fits = [hmac.compare_digest(mark, person.mark) for person in self._people]
        return next((p for p, fit in zip(self._people, fits, strict=True) if fit), None)

    def again(self, person: Person) -> Person | None:
        """The same person with the same token, as they stand now; None: no longer there."""
        self._refresh()
        same = (p for p in self._people if (p.name, p.mark) == (person.name, person.mark))
        return next(same, None)

    def _refresh(self) -> None:
        if self._file is None:
            return
        where = f"--tokens {self._file}"
        try:
            about = self._file.stat()
            if (stamp := (about.st_mtime_ns, about.st_size)) == self._stamp:
                return
            text = self._file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "no UTF-8"
            raise ConfigError(f"{where} cannot be read: {reason}. Make it: {_MAKE}") from error
        self._people, self._stamp = _people(text, where), stamp


def add_person(file: Path, person: Person) -> None:
    """Put a line at the end of a file, which is made for its owner alone where there is none.

    Raises:
        ConfigError: the name is there already, or the file is none of people.
    """
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    known = _people(text, f"--tokens {file}") if text.strip() else ()
    if person.name in {each.name for each in known}:
        name = printable(person.name)
        raise ConfigError(f"--tokens {file}: {name} is there; take out the line for a new token")
    file.touch(mode=0o600)
    end = "" if not text or text.endswith("\n") else "\n"
    with file.open("a", encoding="utf-8") as opened:
        opened.write(f"{end}{person.line}\n")


def _people(text: str, where: str) -> tuple[Person, ...]:
    found: dict[str, Person] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        here, parts = f"{where}, line {number}", line.rsplit(None, 2)
        if len(parts) < 3:
            raise ConfigError(f"{here} is not NAME ROLE HASH. Make one: {_MAKE}")
        name, role, mark = parts[0].strip(), parts[1], parts[2].lower()
        if role not in set(Role):
            raise ConfigError(f"{here}: role '{printable(role)}': {did_you_mean(role, Role)}")
        if len(mark) != HASH_DIGITS or not set(mark) <= set("0123456789abcdef"):
            raise ConfigError(f"{here}: that is no SHA-256 of a token. Make one: {_MAKE}")
        if name in found:
            raise ConfigError(f"{here}: {printable(name)} stands there twice")
        found[name] = Person(name, Role(role), mark)
    if not found:
        raise ConfigError(f"{where} names nobody who may sign in. Make a line: {_MAKE}")
    return tuple(found.values())
