"""Pseudonyms for user ids: a keyed hash, and a store of salts that lets a user be forgotten."""

from __future__ import annotations

import hmac
import os
import re
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from riskml.core.errors import ConfigError, DataError

PREFIX = "p_"
DEFAULT_KEY_VARIABLE = "RISKML_PSEUDONYM_KEY"
MIN_KEY_BYTES = 32
DIGITS = 20
"""Hexadecimal digits of a pseudonym: 80 bits, so that two users never share one."""

_MAKE_KEY = 'python -c "import secrets; print(secrets.token_hex(32))"'


def read_key(variable: str = DEFAULT_KEY_VARIABLE) -> bytes:
    """The key in an environment variable; no message ever shows it.

    Raises:
        ConfigError: it is unset or too short, or the name is none.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
        raise ConfigError(
            "data.pseudonyms.key_variable: must be the name of an environment variable, such as "
            f"{DEFAULT_KEY_VARIABLE}; the key itself must not stand in a config"
        )
    key = os.environ.get(variable, "").strip().encode()
    if not key:
        raise ConfigError(
            f"the environment variable {variable} (data.pseudonyms.key_variable) is not set; "
            f"pseudonyms need a secret key in it, kept apart from the data. Make one: {_MAKE_KEY}"
        )
    if len(key) < MIN_KEY_BYTES:
        raise ConfigError(
            f"the key in the environment variable {variable} has {len(key)} bytes, at least "
            f"{MIN_KEY_BYTES} are needed. Make one: {_MAKE_KEY}"
        )
    return key


@dataclass(frozen=True)
class Pseudonyms:
    """Gives every user id its pseudonym.

    Without a store, a pseudonym follows from key and id alone. With one, each user also has a
    random salt in it: `forget` removes the salt, and from then on nobody can tell, not even with
    the key, whose the old pseudonym was; a user who returns gets a new one.

    Args:
        key: secret, of `read_key`.
        store: of the salts, None to do without.
    """

    key: bytes = field(repr=False)
    store: SaltStore | None = None

    def of(self, users: Iterable[str]) -> dict[str, str]:
        """User id -> pseudonym; users that are new to the store get their salt.

        >>> Pseudonyms(b"a key for an example, not for use").of(["alice"])
        {'alice': 'p_76a6ef586e77c22e5847'}
        """
        users = list(dict.fromkeys(users))
        if self.store is None:
            return {user: self._pseudonym(user, b"") for user in users}
        handles = {user: self._handle(user) for user in users}
        salts = self.store.salts(handles.values(), self._digest(b"key", b""))
        return {user: self._pseudonym(user, salts[handle]) for user, handle in handles.items()}

    def find(self, user: str) -> str | None:
        """The pseudonym that a user has now; None where the store knows none."""
        if self.store is None:
            return self._pseudonym(user, b"")
        salt = self.store.find(self._handle(user), self._digest(b"key", b""))
        return None if salt is None else self._pseudonym(user, salt)

    def forget(self, user: str) -> bool:
        """Unlink a user from the pseudonym; whether there was anything to forget.

        Raises:
            ConfigError: there is no store, so the key alone always leads back to it.
        """
        if self.store is None:
            raise ConfigError(
                "pseudonyms without a store cannot be forgotten, they follow from the key alone; "
                "keep salts with data.pseudonyms.store=FILE, or destroy the key to unlink all users"
            )
        return self.store.remove(self._handle(user), self._digest(b"key", b""))

    def of_value(self, text: str) -> str:
        """The keyed hash of any other value, such as a host, as short as a pseudonym."""
        return "h_" + self._digest(b"value", text.encode()).hex()[:DIGITS]

    def marks(self) -> tuple[str, ...]:
        """Tell key and store from others, and nothing else: what was stored with any is ours.

        The first is to be kept. A store that has users is also ours by the mark of the key alone,
        which was all that was kept before stores had marks of their own.
        """
        key = self.of_value("the key that events are stored with")
        if self.store is None:
            return (key,)
        salt, filled = self.store.own(self._digest(b"store", b""), self._digest(b"key", b""))
        mark = f"{key}/{self._digest(b'store', salt).hex()[:DIGITS]}"
        return (mark, key) if filled else (mark,)

    def _pseudonym(self, user: str, salt: bytes) -> str:
        return PREFIX + self._digest(b"user", salt + user.encode()).hex()[:DIGITS]

    def _handle(self, user: str) -> bytes:
        """What the store knows a user by: it holds no name, only the key leads to a row."""
        return self._digest(b"handle", user.encode())

    def _digest(self, purpose: bytes, text: bytes) -> bytes:
        return hmac.digest(self.key, purpose + b"\0" + text, "sha256")


@dataclass(frozen=True)
class SaltStore:
    """An SQLite file with a random salt for each user, to be kept apart from the data.

    Args:
        path: of the file; made, for its owner alone, when the first salt is kept.
    """

    path: Path

    def salts(self, handles: Iterable[bytes], key_mark: bytes) -> dict[bytes, bytes]:
        """Handle -> salt; new handles get a random one, all in one transaction."""
        wanted = list(handles)
        with self._open(key_mark, create=True) as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO salts VALUES (?, ?)",
                ((handle, secrets.token_bytes(16)) for handle in wanted),
            )
            known = dict(connection.execute("SELECT handle, salt FROM salts"))
        return {handle: known[handle] for handle in wanted}

    def own(self, handle: bytes, key_mark: bytes) -> tuple[bytes, bool]:
        """The salt of the store itself, made at the first call; whether it has others."""
        mine = self.salts([handle], key_mark)[handle]
        with self._open(key_mark) as connection:
            (n,) = connection.execute("SELECT count(*) FROM salts").fetchone()
        return mine, n > 1

    def find(self, handle: bytes, key_mark: bytes) -> bytes | None:
        """The salt of a handle, None if there is none."""
        with self._open(key_mark) as connection:
            row = connection.execute(
                "SELECT salt FROM salts WHERE handle = ?", (handle,)
            ).fetchone()
        return None if row is None else bytes(row[0])

    def remove(self, handle: bytes, key_mark: bytes) -> bool:
        """Delete a salt and overwrite where it stood; whether there was one."""
        with self._open(key_mark) as connection:
            done = connection.execute("DELETE FROM salts WHERE handle = ?", (handle,))
            return done.rowcount > 0

    @contextmanager
    def _open(self, key_mark: bytes, create: bool = False) -> Iterator[sqlite3.Connection]:
        """One transaction with the file, whose key must be the one it was begun with."""
        if not create and not self.path.is_file():
            raise ConfigError(f"{self.path} (the store of pseudonyms) does not exist")
        try:
            if create:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.path.touch(mode=0o600)
            with closing(sqlite3.connect(self.path, timeout=30)) as connection:
                # a deleted salt must not be readable in the file's free pages
                connection.execute("PRAGMA secure_delete = ON")
                with connection:
                    connection.execute("BEGIN IMMEDIATE")
                    self._check_key(connection, key_mark)
                    yield connection
        except (sqlite3.Error, OSError) as error:
            raise DataError(
                f"{self.path} (the store of pseudonyms) cannot be used: {error}; restore it from "
                "its backup, or name another with data.pseudonyms.store"
            ) from error

    def _check_key(self, connection: sqlite3.Connection, key_mark: bytes) -> None:
        connection.execute("CREATE TABLE IF NOT EXISTS key_mark (mark BLOB NOT NULL)")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS salts (handle BLOB PRIMARY KEY, salt BLOB NOT NULL)"
        )
        row = connection.execute("SELECT mark FROM key_mark").fetchone()
        if row is None:
            connection.execute("INSERT INTO key_mark VALUES (?)", (key_mark,))
        elif not hmac.compare_digest(bytes(row[0]), key_mark):
            raise ConfigError(
                f"{self.path} (the store of pseudonyms) was made with another key; use that key, "
                "or a new store with data.pseudonyms.store"
            )
