"""Keys, pseudonyms and the store that lets a user be forgotten."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from riskml.core.errors import ConfigError, DataError
from riskml.core.pseudonyms import Pseudonyms, SaltStore, read_key

KEY, OTHER_KEY = b"k" * 32, b"o" * 32


@pytest.fixture
def store(tmp_path: Path) -> SaltStore:
    return SaltStore(tmp_path / "apart" / "salts.sqlite")


def test_keyed_pseudonyms() -> None:
    names = Pseudonyms(KEY).of(["alice", "bob", "alice", "Alice", "é\x00"])
    assert list(names) == ["alice", "bob", "Alice", "é\x00"]
    assert len(set(names.values())) == 4
    assert all(len(name) == 22 and name.startswith("p_") for name in names.values())
    assert Pseudonyms(KEY).of(["bob"]) == {"bob": names["bob"]}
    assert Pseudonyms(OTHER_KEY).of(["bob"]) != {"bob": names["bob"]}
    assert Pseudonyms(KEY).find("bob") == names["bob"]
    assert Pseudonyms(KEY).of_value("bob")[2:] != names["bob"][2:]


def test_the_key_is_not_shown() -> None:
    assert "kkk" not in repr(Pseudonyms(KEY))


def test_forgetting_unlinks(store: SaltStore) -> None:
    pseudonyms = Pseudonyms(KEY, store)
    first = pseudonyms.of(["alice", "bob"])
    assert pseudonyms.of(["bob", "alice"]) == {"bob": first["bob"], "alice": first["alice"]}
    assert Pseudonyms(KEY).of(["alice"]) != {"alice": first["alice"]}
    salt = sqlite3.connect(store.path).execute("SELECT salt FROM salts").fetchall()
    assert pseudonyms.forget("alice")
    assert not pseudonyms.forget("alice")
    assert pseudonyms.find("alice") is None
    left = store.path.read_bytes()
    assert sum(row[0] in left for row in salt) == 1, "the deleted salt is overwritten"
    again = pseudonyms.of(["alice", "bob"])
    assert again["alice"] != first["alice"]
    assert again["bob"] == first["bob"]
    assert pseudonyms.find("alice") == again["alice"]


def test_the_store_names_nobody_and_is_private(store: SaltStore) -> None:
    names = Pseudonyms(KEY, store).of(["canary-alice"])
    content = store.path.read_bytes()
    assert b"canary" not in content
    assert names["canary-alice"].encode() not in content
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


def test_forgetting_needs_a_store(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.pseudonyms\.store=FILE"):
        Pseudonyms(KEY).forget("alice")
    with pytest.raises(ConfigError, match="does not exist"):
        Pseudonyms(KEY, SaltStore(tmp_path / "none")).forget("alice")
    assert list(tmp_path.iterdir()) == []


def test_a_store_keeps_to_its_key(store: SaltStore) -> None:
    Pseudonyms(KEY, store).of(["alice"])
    with pytest.raises(ConfigError, match="made with another key"):
        Pseudonyms(OTHER_KEY, store).of(["bob"])
    assert sqlite3.connect(store.path).execute("SELECT count(*) FROM salts").fetchone() == (1,)


def test_a_damaged_store(tmp_path: Path) -> None:
    path = tmp_path / "salts"
    path.write_text("no database " * 100)
    with pytest.raises(DataError, match=r"salts \(the store of pseudonyms\) cannot be used"):
        Pseudonyms(KEY, SaltStore(path)).of(["alice"])


def test_keys_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RISKML_PSEUDONYM_KEY", raising=False)
    with pytest.raises(ConfigError, match=r"RISKML_PSEUDONYM_KEY .*is not set.*token_hex"):
        read_key()
    monkeypatch.setenv("RISKML_PSEUDONYM_KEY", "short secret")
    with pytest.raises(ConfigError, match="has 12 bytes, at least 32") as error:
        read_key()
    assert "short secret" not in str(error.value)
    monkeypatch.setenv("OTHER", "k" * 32 + "\n")
    assert read_key("OTHER") == KEY
    with pytest.raises(ConfigError, match="must not stand in a config") as error:
        read_key("a secret, not a name")
    assert "a secret" not in str(error.value)
