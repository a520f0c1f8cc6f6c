"""JSON logs: lines, arrays, wrapped arrays, nested fields, and whatever is damaged."""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_files import utc
from record_files import check_batches, rules, write_lines

from riskml.core.errors import DataError
from riskml.data.sources import JsonLinesSource
from riskml.data.sources.json_records import FieldReader, find_fields

COLUMNS = {"user_id": "who.name", "timestamp": "at", "action": "what", "source": "ips.0"}


def record(name: str = "ann", hour: int = 9, **more: Any) -> dict[str, Any]:
    return {
        "who": {"name": name, "org": {"unit": 7}},
        "at": f"2024-03-01T{hour:02d}:00:00Z",
        "what": "read",
        "ips": ["10.0.0.1"],
        **more,
    }


@pytest.mark.parametrize("name", ["log.jsonl", "log.ndjson.gz", "log.json"])
def test_nested_fields_by_dotted_names(tmp_path: Path, name: str) -> None:
    path = write_lines(tmp_path / name, [record("ann", 9, label=1), record("bob", 8, ok=True)])
    log = check_batches(JsonLinesSource(path, COLUMNS), 1)
    assert log.events.rows(named=True)[0] == {
        "event_id": f"{name}:2",
        "user_id": "bob",
        "timestamp": utc(2024, 3, 1, 8),
        "action": "read",
        "resource": None,
        "source": "10.0.0.1",
        "success": None,
        "who.org.unit": "7",
        "ips": '["10.0.0.1"]',
        "ok": "true",
    }
    assert log.truth is not None
    assert log.truth.rows() == [(f"{name}:2", None), (f"{name}:1", 1)]


def test_a_name_that_has_the_dots_itself(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "log.jsonl", [{"who.name": "ann", "at": 1709290800, "what": "x"}])
    columns = {"user_id": "who.name", "timestamp": "at", "action": "what"}
    assert JsonLinesSource(path, columns).load().events["user_id"].to_list() == ["ann"]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("key", [None, "items"])
def test_arrays_of_records(tmp_path: Path, indent: int | None, key: str | None) -> None:
    records: list[Any] = [record(), 7, record("bob")]
    path = tmp_path / "log.json"
    path.write_text(json.dumps(records if key is None else {key: records}, indent=indent))
    log = check_batches(JsonLinesSource(path, COLUMNS, list_key=key, max_rejected_share=0.5), 2)
    assert log.events["event_id"].to_list() == ["log.json:1", "log.json:3"]
    assert rules(log) == [("log.json", 2, "not_an_object")]


def test_damaged_lines_are_set_apart(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    good = json.dumps(record()).encode()
    lines = [good, b'{"who": {"na', b"", b"[1]", b"7", good + b"\xff", good]
    path.write_bytes(b"\n".join(lines))
    log = check_batches(JsonLinesSource(path, COLUMNS, max_rejected_share=0.8), 2)
    assert log.events["event_id"].to_list() == ["log.jsonl:1", "log.jsonl:7"]
    assert [(row, rule) for _, row, rule in rules(log)] == [
        (2, "invalid_json"),
        (4, "not_an_object"),
        (5, "not_an_object"),
        (6, "invalid_json"),
    ]
    assert json.loads(log.rejected["record"][0]) == {"line": '{"who": {"na'}
    with pytest.raises(DataError, match=r"4 of 6 rows.*not_an_object: 2"):
        JsonLinesSource(path, COLUMNS).load()


@pytest.mark.parametrize("rows", [1, 2])
def test_an_array_in_the_first_of_many_lines_is_set_apart(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(["", "[1]", json.dumps(record()), json.dumps(record("bob"))]))
    log = check_batches(JsonLinesSource(path, COLUMNS, max_rejected_share=0.5), rows)
    assert log.events["event_id"].to_list() == ["log.jsonl:3", "log.jsonl:4"]
    assert rules(log) == [("log.jsonl", 2, "not_an_object")]


@pytest.mark.parametrize("rows", [1, 2, 200])
@pytest.mark.parametrize("cut", ["[1", "[", '[{"a": 1},', "{", '[{"a": [{'])
def test_a_first_line_that_is_cut_costs_itself_alone(tmp_path: Path, cut: str, rows: int) -> None:
    path = write_lines(tmp_path / "log.jsonl", [cut, cut, *(record() for _ in range(4)), cut])
    log = check_batches(JsonLinesSource(path, COLUMNS, max_rejected_share=0.5), rows)
    assert [row for _, row, _ in rules(log)] == [1, 2, 7]
    assert len(log.events) == 4


@pytest.mark.parametrize(
    "text",
    [
        "[\n{}\n, {}\n]",
        '[{"a":\n{}\n},\n{}\n]',
        '[{"a": [\n{},\n{}\n]}\n,\n{}\n]',
        "\n\n[\n\n{}\n\n,{}\n\n]\n",
    ],
)
def test_a_document_may_have_whole_objects_on_its_lines(tmp_path: Path, text: str) -> None:
    path = tmp_path / "log.json"
    path.write_text(text.replace("{}", json.dumps(record())))
    log = JsonLinesSource(path, COLUMNS, max_rejected_share=0.9, default_action="x").load()
    assert {row.split(":")[0] for row in log.events["event_id"]} == {"log.json"}
    assert set(log.events["event_id"]) <= {"log.json:1", "log.json:2"}
    assert "invalid_json" not in log.rejected["rule"]


def test_one_damaged_file_of_many_is_set_apart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_lines(tmp_path / "a.jsonl.gz", [record()] * 4)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b'{"a": 1}\n' * 999)[:-20])
    with caplog.at_level(logging.WARNING):
        log = JsonLinesSource(tmp_path, COLUMNS).load()
    assert rules(log) == [("b.jsonl.gz", 1, "unreadable_file")]
    assert "b.jsonl.gz is a damaged gzip file" in caplog.text
    with pytest.raises(DataError, match="damaged gzip"):
        JsonLinesSource(tmp_path / "b.jsonl.gz", COLUMNS).load()


def test_what_is_no_log(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n \n")
    with pytest.raises(DataError, match="holds no records"):
        JsonLinesSource(tmp_path / "empty.jsonl", COLUMNS).load()
    with pytest.raises(DataError, match=r"does not exist; did you mean empty\.jsonl"):
        JsonLinesSource(tmp_path / "emty.jsonl", COLUMNS).load()
    with pytest.raises(DataError, match="holds no JSON file"):
        JsonLinesSource(str(tmp_path / "*.ndjson"), COLUMNS).load()
    for text, rule in [('[{"a": 1}, {"a"', "invalid_json"), ("42", "not_an_object")]:
        (tmp_path / "cut.json").write_text(text)
        message = rf"cut\.json holds no JSON record: cut\.json row 1, {rule}"
        with pytest.raises(DataError, match=message):
            JsonLinesSource(tmp_path / "cut.json", COLUMNS).load()
    path = write_lines(tmp_path / "log.jsonl", [record()])
    with pytest.raises(DataError, match=r"has no column 'who.nam'.*did you mean 'who.name'"):
        JsonLinesSource(path, {**COLUMNS, "user_id": "who.nam"}).load()


def test_fields_that_pass_through_can_be_chosen(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "log.jsonl", [record(label=0, noise=1)])
    log = JsonLinesSource(path, COLUMNS, keep=["who.org"]).load()
    assert log.events.columns[7:] == ["who.org"]
    assert log.events["who.org"].to_list() == ['{"unit":7}']
    assert log.truth is not None, "truth is kept, and kept apart, whatever passes through"


def test_more_fields_than_are_useful(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    many = {f"k{i}": i for i in range(400)}
    path = write_lines(tmp_path / "log.jsonl", [{**many, **record(label=1)}])
    log = JsonLinesSource(path, COLUMNS).load()
    assert "keep=" in caplog.text
    assert log.events.width <= 7 + 300
    assert log.truth is not None


PLAIN = st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text())
TREES = st.recursive(
    PLAIN, lambda inner: st.dictionaries(st.text(min_size=1), inner, max_size=3), max_leaves=8
)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.dictionaries(st.text(min_size=1), TREES, max_size=4), max_size=4))
def test_fields_of_any_records(records: list[dict[str, Any]]) -> None:
    def clean(value: Any) -> bool:
        text = json.dumps(value)
        return "\\ud" not in text and "\\u0000" not in text

    records = [one for one in records if clean(one)]
    texts = pl.Series([json.dumps(one) for one in records], dtype=pl.String)
    names = find_fields(texts)
    found = FieldReader(names).read(texts)
    assert found.shape == (len(records) if names else found.height, len(names))
    for position, one in enumerate(records):
        for name, value in one.items():
            if isinstance(value, str) and name in names:
                assert found[name][position] == value


def test_the_deepest_nesting_is_a_record_like_any_other(tmp_path: Path) -> None:
    deep = '{"a":' * 5_000 + "1" + "}" * 5_000
    line = json.dumps(record())[:-1] + f', "deep": {deep}}}'
    path = write_lines(tmp_path / "log.jsonl", [line, record("bob")])
    assert JsonLinesSource(path, COLUMNS).load().events["user_id"].to_list() == ["ann", "bob"]
