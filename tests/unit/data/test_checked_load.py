"""The incremental load held to checks, and without names; between SQLite files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from load_cases import MAPPING, Case
from sqlalchemy import text

from riskml.core.errors import ConfigError, DataError
from riskml.core.pseudonyms import Pseudonyms
from riskml.data.batch_checks import BatchChecks
from riskml.data.batch_reference import BatchReference
from riskml.data.pseudonymous import PseudonymousLog

KEY = "0123456789abcdef" * 2
HIDE = Pseudonyms(KEY.encode())


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.setenv("RISKML_PSEUDONYM_KEY", KEY)
    return Case(tmp_path)


def volumes(case: Case) -> int:
    (kept,) = case.stored("reference", "riskml_pipelines")
    return sum(BatchReference.from_json(kept, "").volumes.values())


def everything(case: Case) -> str:
    """All of all tables."""
    tables = case.stored("name", "sqlite_master WHERE type = 'table'")
    return str([case.stored("*", table) for table in tables])


def test_a_day_is_counted_once_however_often_it_is_read(case: Case) -> None:
    case.arrive(range(40))
    case.loader(checks=BatchChecks()).run()
    assert volumes(case) == 40
    report = case.loader(checks=BatchChecks()).run()
    assert (report.loaded, report.duplicates, volumes(case)) == (0, 2, 40)
    case.arrive(range(40, 45))
    case.loader(checks=BatchChecks()).run()
    assert volumes(case) == len(case.stored()) == 45


def test_a_row_that_breaks_a_rule_is_set_apart_once(case: Case) -> None:
    case.arrive(range(6))
    case.arrive([6], document="x" * 50)
    strict = BatchChecks(max_text_length=20)
    assert (case.loader(checks=strict).run().rejected, volumes(case)) == (1, 6)
    again = case.loader(checks=strict).run()
    assert (again.loaded, again.rejected, again.duplicates) == (0, 0, 3)
    assert case.stored("rule, event_id", "events_quarantine") == [("text_too_long", "e6")]
    assert case.loader(checks=BatchChecks()).run().loaded == 1


def test_a_refused_batch_leaves_nothing_and_comes_again(case: Case) -> None:
    case.arrive(range(40))
    case.loader(checks=BatchChecks(), batch_rows=40).run()
    before = case.stored("*")
    case.arrive(range(40, 80), document="x" * 50)
    with pytest.raises(DataError, match=r"text_too_long.*data\.quality\.max_rejected_share"):
        case.loader(checks=BatchChecks(max_text_length=20), batch_rows=99).run()
    assert case.stored("*") == before
    assert (len(case.stored()), volumes(case)) == (40, 40)
    assert case.stored("*", "events_quarantine") == []
    raised = BatchChecks(max_text_length=20, max_rejected_share=1)
    assert case.loader(checks=raised, batch_rows=99).run().rejected == 40


def test_a_share_counts_known_rows_and_those_set_apart_before(case: Case) -> None:
    case.arrive(range(40))
    case.arrive([i + 0.5 for i in range(30)], prefix="b", action=None)
    limit = BatchChecks(rule_limits={"missing_action": 0.1})
    mapping = replace(MAPPING, max_rejected_share=1.0)
    with pytest.raises(DataError, match=r"missing_action.*30 of 70 rows"):
        case.loader(checks=limit, batch_rows=99, mapping=mapping).run()
    higher = BatchChecks(rule_limits={"missing_action": 0.5}, max_rejected_share=0.5)
    assert case.loader(checks=higher, batch_rows=99, mapping=mapping).run().rejected == 30


def test_a_column_that_is_gone_refuses_and_another_type_too(case: Case) -> None:
    case.arrive(range(40), document="d")
    case.loader(checks=BatchChecks(), batch_rows=40).run()
    case.arrive(range(40, 80))
    with pytest.raises(DataError, match=r"missing_column.*resource"):
        case.loader(checks=BatchChecks(), batch_rows=99).run()
    report = case.loader(
        checks=BatchChecks(actions={"missing_column": "warn"}), batch_rows=99
    ).run()
    assert report.loaded == 40 and report.warnings[0].startswith("missing_column: ")


def test_a_damaged_reference_is_named(case: Case) -> None:
    case.arrive(range(4))
    case.loader(checks=BatchChecks()).run()
    with case.store.begin() as connection:
        connection.execute(text("UPDATE riskml_pipelines SET reference = '{'"))
    case.arrive(range(4, 8))
    with pytest.raises(DataError, match="riskml_pipelines, column reference"):
        case.loader(checks=BatchChecks()).run()


def test_no_name_is_stored_not_even_before_its_user_came(case: Case) -> None:
    case.arrive(range(10), employee="bob", document="/home/CANARY/x", prefix="canary-")
    case.arrive(range(10, 14), employee="canary", document="bob's")
    case.arrive([14, 15], employee="canary", action=None, prefix="canary-")
    case.arrive([16], employee=None, document="canary")
    case.arrive([17], event_id=None, employee="canary")
    case.arrive([18], login_time=None, employee="canary")
    names = PseudonymousLog(keep=["amount"])
    report = case.loader(pseudonyms=names, checks=BatchChecks()).run()
    assert (report.loaded, report.rejected) == (14, 5)
    stored = everything(case)
    assert "canary" not in stored.lower() and "bob" not in stored
    pseudonyms = HIDE.of(["bob", "canary"])
    assert case.stored("DISTINCT resource, user_id") == sorted(
        [
            (f"/home/{pseudonyms['canary']}/x", pseudonyms["bob"]),
            (f"{pseudonyms['bob']}'s", pseudonyms["canary"]),
        ]
    )
    assert case.stored("event_id")[0].startswith("h_")
    columns = case.stored("name", "pragma_table_info('events')")
    assert "amount" in columns and "ingested_at" not in columns
    again = case.loader(pseudonyms=names, checks=BatchChecks()).run()
    assert (again.loaded, again.rejected, volumes(case)) == (0, 0, 14)


@pytest.mark.parametrize("ingested_column", [None, "ingested_at"])
def test_late_rows_are_noticed_by_their_hashed_ids(case: Case, ingested_column: str | None) -> None:
    names = PseudonymousLog()
    case.arrive(range(40))
    case.loader(ingested_column, pseudonyms=names).run()
    case.arrive([1.5, 2.5], prefix="canary")
    report = case.loader(ingested_column, pseudonyms=names).run()
    assert (report.too_late, report.missing) == (2, 2)
    assert sorted(case.stored("event_id", "events_late")) == sorted(
        map(HIDE.of_value, ("canary1.5", "canary2.5"))
    )


def test_messages_show_no_values(case: Case) -> None:
    case.arrive(range(40), employee="canary", action=None)
    with pytest.raises(DataError) as refused:
        case.loader(pseudonyms=PseudonymousLog(), batch_rows=40).run()
    assert "not shown" in str(refused.value) and "canary" not in str(refused.value)
    with case.source.begin() as connection:
        connection.execute(text("DELETE FROM logins"))
    case.arrive([1], login_time="canary")
    with pytest.raises(DataError) as refused:
        case.loader(pseudonyms=PseudonymousLog()).run()
    assert "canary" not in str(refused.value)


def test_a_pipeline_goes_on_with_the_key_it_began_with(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.arrive(range(4))
    case.loader().run()
    with pytest.raises(DataError, match="has been loading without pseudonyms"):
        case.loader(pseudonyms=PseudonymousLog()).run()
    assert case.loader().run().loaded == 0
    (tmp_path / "other").mkdir()
    other = Case(tmp_path / "other")
    other.arrive(range(4))
    other.loader(pseudonyms=PseudonymousLog()).run()
    monkeypatch.setenv("RISKML_PSEUDONYM_KEY", KEY[::-1])
    for names in (None, PseudonymousLog()):
        with pytest.raises(DataError, match="with pseudonyms of another key"):
            other.loader(pseudonyms=names).run()
    monkeypatch.delenv("RISKML_PSEUDONYM_KEY")
    with pytest.raises(ConfigError, match="RISKML_PSEUDONYM_KEY"):
        other.loader(pseudonyms=PseudonymousLog()).run()


def test_a_pipeline_goes_on_with_the_store_it_began_with(case: Case, tmp_path: Path) -> None:
    case.arrive(range(4))
    first, second = (PseudonymousLog(store=tmp_path / name) for name in ("a.db", "b.db"))
    case.loader(pseudonyms=first).run()
    for names in (PseudonymousLog(), second):
        with pytest.raises(DataError, match="another key or store"):
            case.loader(pseudonyms=names).run()
    case.arrive([4])
    assert case.loader(pseudonyms=first).run().loaded == 1
    assert len(set(case.stored("user_id"))) == 3, "three users, three names"


def test_a_store_whose_pipeline_knows_it_by_the_key_alone_goes_on(
    case: Case, tmp_path: Path
) -> None:
    """As pipelines were begun before stores had marks."""
    case.arrive(range(4))
    names = PseudonymousLog(store=tmp_path / "a.db")
    case.loader(pseudonyms=names).run()
    (mark,) = case.stored("key_mark", "riskml_pipelines")
    with case.store.begin() as connection:
        of_key = {"mark": mark.partition("/")[0]}
        connection.execute(text("UPDATE riskml_pipelines SET key_mark = :mark"), of_key)
    case.loader(pseudonyms=names).run()
    assert case.stored("key_mark", "riskml_pipelines") == [mark]


def test_a_batch_of_old_rows_updates_nothing(case: Case) -> None:
    case.arrive([0, 1])
    case.loader(checks=BatchChecks()).run()
    before = case.stored("reference", "riskml_pipelines")
    case.loader(checks=BatchChecks()).run()
    assert case.stored("reference", "riskml_pipelines") == before
