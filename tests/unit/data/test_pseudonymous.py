"""Logs without names: user ids, texts that hold them, truth, and the quarantine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from batches import batch
from log_files import load_csv

from riskml.core.errors import ConfigError, DataError
from riskml.core.pseudonyms import Pseudonyms
from riskml.data.batch_checks import BatchChecks
from riskml.data.datasets import load_dataset
from riskml.data.pseudonymous import PseudonymousLog
from riskml.data.sources import CsvSource
from riskml.data.splits import TimeSplit

KEY = "0123456789abcdef" * 2
OF = Pseudonyms(KEY.encode()).of


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISKML_PSEUDONYM_KEY", KEY)


def replaced(text: str, *users: str, **settings: Any) -> str:
    """The text as a resource in a log of these users; pseudonyms shown as <user>."""
    events = batch(1, len(users)).with_columns(user_id=pl.Series(users), resource=pl.lit(text))
    found = str(PseudonymousLog(**settings).events(events)["resource"][0])
    for user, pseudonym in OF(users).items():
        found = found.replace(pseudonym, f"<{user}>")
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/alice/x", "/home/<alice>/x"),
        ("alice", "<alice>"),
        ("Alice@Example.org", "<alice>@Example.org"),
        ("CORP\\ALICE", "CORP\\<alice>"),
        ("alice_backup alice-2", "<alice>_backup <alice>-2"),
        ("malice alices", "malice alices"),
        ("/home/bob.smith@corp.com/a", "/home/<bob.smith@corp.com>/a"),
        ("/home/bob.smith/a", "/home/<bob.smith@corp.com>/a"),
        ("bob.smithers", "bob.smithers"),
        ("eve-laptop eve", "<CORP\\eve>-laptop <CORP\\eve>"),
        ("user_1 user_10", "<user_1> user_10"),
        ("Straße/müller", "strasse/<Müller>"),
        ("-odd- odd", "<-odd-> odd"),
        ("x1", "x1"),
        ("/7/17", "/<7>/17"),
        ("", ""),
    ],
)
def test_names_in_texts(text: str, expected: str) -> None:
    users = ("alice", "bob.smith@corp.com", "CORP\\eve", "user_1", "Müller", "-odd-", "7", "--")
    assert replaced(text, *users) == expected


def test_which_columns_are_left() -> None:
    events = batch(1, 8).with_columns(
        session=pl.lit("s-user1"), machine=pl.lit("pc-user1"), spare=pl.lit("user1"), size=pl.lit(3)
    )
    hide = PseudonymousLog(keep=["session", "size"], hashed=["source", "machine"])
    found = hide.events(events)
    assert found.columns == [*batch().columns, "session", "machine", "size"]
    pseudonym = OF(["user1"])["user1"]
    assert found["user_id"][1] == pseudonym
    assert found["session"][0] == f"s-{pseudonym}"
    assert found["source"].str.starts_with("h_").all()
    assert found["source"].n_unique() == 3
    assert found["machine"].n_unique() == 1
    assert found.drop("user_id", "session", "source", "machine", "size").equals(
        events.select("event_id", "timestamp", "action", "resource", "success")
    )


def test_zones_stay_and_what_is_none_does_not() -> None:
    zones = ["Europe/Paris", "zone of paris"]
    events = batch(1, 2).with_columns(user_id=pl.Series(["paris", "b"]), time_zone=pl.Series(zones))
    found = PseudonymousLog().events(events)["time_zone"].to_list()
    assert found == ["Europe/Paris", f"zone of {OF(['paris'])['paris']}"]


def test_many_users_of_like_names_take_no_time() -> None:
    n = 50_000
    users = pl.select(pl.format("user_{}", pl.int_range(n) % 10_000)).to_series()
    events = batch(1, n).with_columns(user_id=users, event_id=pl.Series(users) + "/x")
    start = time.perf_counter()
    found = PseudonymousLog().events(events)
    assert time.perf_counter() - start < 20, "every name was compared with every text"
    assert (found["event_id"] == found["user_id"] + "/x").all()


def test_truth_and_quarantine_name_nobody(tmp_path: Path) -> None:
    text = (
        "event_id,user_id,timestamp,action,label,gt_attacker\n"
        + "".join(f"alice-{i},alice,2024-03-01T12:00:0{i}Z,login,{i % 2},alice\n" for i in range(9))
        + "x,alice,noon,login,0,alice\n"
    )
    log = PseudonymousLog().apply(load_csv(tmp_path, text, name="alice.csv"))
    assert log.truth is not None
    assert log.truth.columns == ["event_id", "label"]
    assert log.truth["event_id"].equals(log.events["event_id"])
    assert log.truth["label"].to_list() == [i % 2 for i in range(9)]
    assert log.rejected.select("row", "rule", "record").rows() == [
        (11, "unparsable_timestamp", None)
    ]
    assert log.origin is not None
    for frame in (log.events, log.truth, log.rejected, log.origin):
        assert "alice" not in str(frame.rows())


def write(folder: Path, lines: list[str]) -> CsvSource:
    path = folder / "log.csv"
    path.write_text("\n".join(["user_id,timestamp,action,resource", *lines]))
    return CsvSource(path, max_rejected_share=0.5)


def load(source: CsvSource, **settings: Any) -> Any:
    split = TimeSplit(test=0.3, calibration=0.2)
    return load_dataset(source, split, checks=BatchChecks(**settings), pseudonyms=PseudonymousLog())


def test_a_dataset_and_its_messages_name_nobody(tmp_path: Path) -> None:
    good = [f"{u},2024-03-{d:02d}T12:00:00Z,x,/{u}" for d in range(1, 29) for u in ("alice", "bob")]
    bad = ["alice,noon,x,y"] * 40
    data = load(write(tmp_path, good + bad), max_text_length=30)
    assert len(data.rejected) == 40
    assert "alice" not in f"{data.events.rows()}{data.rejected.rows()}{data.warnings}"
    for lines, settings in (
        (bad * 2 + good[:60], {}),
        (["alice,2024-03-01T12:00:00Z,x,y"] * 9, {}),
        (good, {"max_text_length": 3}),
    ):
        with pytest.raises(DataError) as error:
            load(write(tmp_path, lines), **settings)
        assert "alice" not in str(error.value)
        assert "not shown" in str(error.value)


def test_a_missing_key_is_told_before_the_log_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RISKML_PSEUDONYM_KEY")
    with pytest.raises(ConfigError, match="RISKML_PSEUDONYM_KEY"):
        load(CsvSource(tmp_path / "nowhere.csv"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"replace_in": ["ressource"]}, r"'ressource' is no event column.*keep"),
        ({"hashed": ["user_id"]}, "must not name user_id"),
        ({"replace_in": ["timestamp"]}, "must not name timestamp"),
    ],
)
def test_impossible_choices(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PseudonymousLog(**settings)


def test_a_store_gives_other_pseudonyms(tmp_path: Path) -> None:
    hide = PseudonymousLog(store=tmp_path / "salts.sqlite")
    events = batch(1, 8)
    first, second = hide.events(events), hide.events(events)
    assert first.equals(second)
    assert first["user_id"][0] != OF(["user0"])["user0"]
