"""Damaged CSV text: bad lines are set apart, the rest of the file goes on."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from log_files import GOOD, HEADER, load_csv, quarantine

from riskml.core.errors import DataError
from riskml.data.sources import CsvSource


def actions(tmp_path: Path, content: str | bytes, **settings: Any) -> list[str]:
    log = load_csv(tmp_path, content, **settings)
    assert log.rejected.is_empty()
    return log.events["action"].to_list()


def test_quoted_fields(tmp_path: Path) -> None:
    text = HEADER + '"ann","2024-03-01T12:00:00Z","say ""hi"", then go"\nbob,1709290800,"a,b"\r\n'
    assert sorted(actions(tmp_path, text)) == ["a,b", 'say "hi", then go']


def test_a_quoted_field_may_span_lines(tmp_path: Path) -> None:
    text = HEADER + 'ann,1709290800,"one\n\n""two"", three"\nbob,1709290801,plain\n'
    log = load_csv(tmp_path, text)
    assert log.events.select("event_id", "action").rows() == [
        ("log.csv:2", 'one\n\n"two", three'),
        ("log.csv:5", "plain"),
    ]


def test_an_open_quote_does_not_swallow_the_rows_that_follow(tmp_path: Path) -> None:
    opened = 'bob,1709290800,"open\n'
    log = load_csv(tmp_path, HEADER + opened + GOOD * 8 + opened + GOOD)
    assert log.events.height == 9
    assert quarantine(log) == [(2, "broken_quoting"), (11, "broken_quoting")]
    assert json.loads(log.rejected["record"][0]) == {"line": 'bob,1709290800,"open'}


def test_ragged_rows(tmp_path: Path) -> None:
    log = load_csv(tmp_path, HEADER + GOOD * 8 + "ann,1709290800\n" + GOOD + "a,b,c,d\n")
    assert log.events.height == 9
    assert quarantine(log) == [(10, "too_few_fields"), (12, "too_many_fields")]
    assert log.rejected["reason"][0] == "the row has fewer fields than the header"


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    content = (HEADER + GOOD * 5).encode() + b"b\xfcb,1709290800,login\r\n" + GOOD.encode()
    log = load_csv(tmp_path, content)
    assert log.events.height == 6
    assert quarantine(log) == [(7, "invalid_utf8")]
    assert json.loads(log.rejected["record"][0]) == {"line": r"b\xfcb,1709290800,login"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(tmp_path: Path, encoding: str, line_end: str) -> None:
    text = line_end.join(["", "user_id,timestamp,action", "", "anné,1709290800,login", ""])
    log = load_csv(tmp_path, text.encode(encoding))
    assert log.events.select("event_id", "user_id").rows() == [("log.csv:4", "anné")]


@pytest.mark.parametrize("separator", [";", "|", r"\t", "tab", "\t", "^", "]", "-", "\\"])
def test_separators(tmp_path: Path, separator: str) -> None:
    character = {r"\t": "\t", "tab": "\t"}.get(separator, separator)
    text = f'user_id,timestamp,action\nann,1709290800,a b\nann,1709290800,"a{character}\'b"\n'
    content = text.replace(",", character)
    assert actions(tmp_path, content, separator=separator) == ["a b", f"a{character}'b"]


def test_columns_without_a_name_get_one(tmp_path: Path) -> None:
    text = "user_id, timestamp ,action,,note,\nann,1709290800,login,1,2,3\n"
    events = load_csv(tmp_path, text).events
    assert events.select("column_4", "note", "column_6").rows() == [("1", "2", "3")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "log.csv is empty"),
        ("\ufeff \n\n", "log.csv is empty"),
        (HEADER + "\n", "log.csv has a header but no rows"),
        ("user_id;timestamp;action\na;b;c\n", "only one column with separator=',', but 3 with ano"),
        ("user_id\ttimestamp\na\tb\n", r"but 2 with another: give separator='\t'"),
        ("PAR1 and more", "is no CSV text but a Parquet file: use data=parquet"),
        ("PK\x03\x04 and more", "is no CSV text but a zip archive"),
        ("user_id,note,user_id\na,b,c\n", "log.csv has several columns 'user_id': rename all but"),
        ("user_id,a\rb,c\nx\n", "the first line is no CSV header; is this a CSV file?"),
    ],
)
def test_files_that_are_no_log(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        load_csv(tmp_path, content)
    assert message in str(caught.value)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "log.csv"
    path.write_text(HEADER + GOOD)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"log\.csv cannot be read: Permission denied"):
        CsvSource(path).load()


def test_a_file_without_a_single_good_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"2 of 2 rows \(100.0%\).*too_few_fields: 2"):
        load_csv(tmp_path, HEADER + "a\nb\n")
    log = load_csv(tmp_path, HEADER + "a\nb\n", max_rejected_share=1)
    assert log.events.is_empty()
    assert log.rejected.height == 2


def test_gzipped_csv(tmp_path: Path) -> None:
    packed = gzip.compress((HEADER + GOOD).encode())
    assert load_csv(tmp_path, packed, name="log.csv.gz").events["user_id"].to_list() == ["ann"]
    with pytest.raises(DataError, match=r"log\.csv\.gz is a damaged gzip file"):
        load_csv(tmp_path, packed[:-6], name="log.csv.gz")
