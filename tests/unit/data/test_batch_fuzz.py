"""A hundred thousand malformed rows, through CSV and as frames: no crash, and none gets lost."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from batches import batch

from riskml.core.errors import DataError
from riskml.data.batch_checks import BatchChecks, BatchReport
from riskml.data.quarantine import REJECTED_SCHEMA
from riskml.data.sources import CsvSource

ROWS = 100_000
TOLERANT = BatchChecks(max_rejected_share=1.0)

ODD_TEXT = [
    "",
    " ",
    "null",
    "NaN",
    "-1",
    "0",
    "1e999",
    "9" * 40,
    "2024-13-45T99:99:99Z",
    "1709290800",
    "\x00",
    "\ufeff",
    "é\u202e‮",
    "=cmd()",
    "😀" * 50,
    "x" * 20_000,
    "'; DROP TABLE events; --",
]


def damaged_line(line: bytes, chance: random.Random) -> bytes:
    """One line of CSV with one of many kinds of damage."""
    fields = line.split(b",")
    kind = chance.randrange(10)
    spot = chance.randrange(len(fields))
    if kind == 0:
        return line[: chance.randrange(len(line))]
    if kind == 1:
        return line + b"," + chance.randbytes(3).replace(b"\n", b"")
    if kind == 2:
        fields[spot] = b'"' + fields[spot]
    elif kind == 3:
        fields[spot] = chance.randbytes(6).replace(b"\n", b"").replace(b"\r", b"")
    elif kind == 4:
        fields[spot] = chance.choice(ODD_TEXT[:-2]).encode()
    elif kind == 5:
        chance.shuffle(fields)
    elif kind == 6:
        fields.pop(spot)
    elif kind == 7:
        fields[spot] = b""
    elif kind == 8:
        return bytes(byte ^ (chance.random() < 0.05) for byte in line).replace(b"\n", b"x")
    else:
        fields[spot] = fields[spot] * chance.randrange(2, 40)
    return b",".join(fields)


def accounted_for(report: BatchReport, given: int) -> None:
    assert len(report.accepted) + len(report.rejected) == given
    assert len(report.kept) == len(report.accepted)
    assert report.counts["given"] == given
    assert report.rejected.schema == REJECTED_SCHEMA
    assert report.rejected.null_count().select("file", "row", "rule", "reason").row(0) == (0,) * 4
    required = report.accepted.select("event_id", "user_id", "timestamp", "action")
    assert required.null_count().row(0) == (0,) * 4
    assert required["event_id"].is_unique().all()


def test_malformed_lines_of_csv(tmp_path: Path) -> None:
    chance = random.Random(7)
    text = batch(days=ROWS // 1000, per_day=1000).write_csv()
    header, *lines = text.encode().splitlines()
    # a blank line is no row, so one that damage leaves blank gets a mark
    spoilt = [damaged_line(line, chance) for line in lines]
    spoilt = [line if line.strip(b" \r") else b"?" for line in spoilt]
    path = tmp_path / "log.csv"
    path.write_bytes(b"\n".join([header, *spoilt]) + b"\n")
    log = CsvSource(path, time_zone="UTC", max_rejected_share=1.0).load()
    report = TOLERANT.check(log.events, origin=log.origin)
    accounted_for(report, len(log.events))
    # two lines become one row where a quote opens in one and closes in another
    rows = {row for row in log.rejected["row"]} | {row for row in log.origin["row"]}
    assert len(rows) == len(log.events) + len(log.rejected)
    joined = ROWS - len(rows)
    spanned = sum(
        field.count("\n") for field in _texts(log.events) + log.rejected["record"].to_list()
    ) + sum(record.count("\\n") for record in log.rejected["record"])
    assert 0 <= joined <= spanned
    assert len(report.accepted) > 1000
    assert len(log.rejected) > ROWS / 3


def _texts(frame: pl.DataFrame) -> list[str]:
    columns = [name for name, kind in frame.schema.items() if kind == pl.String]
    return [text for name in columns for text in frame[name].drop_nulls()]


RETYPED: list[Callable[[pl.Series], pl.Series]] = [
    lambda s: s,
    lambda s: s,
    lambda s: s,
    lambda s: s.clear(len(s)),
    lambda s: pl.Series(s.name, [None] * len(s), dtype=pl.Null),
    lambda s: s.cast(pl.String),
    lambda s: s.cast(pl.String).cast(pl.Categorical),
    lambda s: s.cast(pl.String).cast(pl.Binary),
    lambda s: pl.Series(s.name, [b"\xff\x00"] * len(s)),
    lambda s: s.cast(pl.String).hash().alias(s.name),
    lambda s: pl.Series(s.name, np.resize([0.5, 7.0, np.nan, np.inf, -np.inf, 1e300], len(s))),
    lambda s: pl.Series(s.name, np.resize([2**62, -(2**62), 0, 1709290800], len(s))),
    lambda s: pl.Series(s.name, [True, False] * (len(s) // 2)),
    lambda s: pl.Series(s.name, [["a"], []] * (len(s) // 2)),
    lambda s: pl.Series(s.name, [{"a": 1}] * len(s)),
    lambda s: pl.Series(s.name, [timedelta(1)] * len(s)),
    lambda s: pl.Series(s.name, [object()] * len(s), dtype=pl.Object),
    lambda s: pl.Series(s.name, ["12.50"] * len(s)).cast(pl.Decimal(10, 2)),
    lambda s: pl.Series(s.name, [batch(1, 1)["timestamp"][0].date()] * len(s)),
    lambda s: pl.Series(s.name, [batch(1, 1)["timestamp"][0].time()] * len(s)),
    lambda s: batch(1, len(s))["timestamp"].dt.replace_time_zone(None).alias(s.name),
    lambda s: batch(1, len(s))["timestamp"].dt.convert_time_zone("Asia/Tokyo").alias(s.name),
    lambda s: batch(1, len(s))["timestamp"].cast(pl.Datetime("ns", "UTC")).alias(s.name),
]


def damaged_values(values: pl.Series, chance: random.Random) -> pl.Series:
    """Some values of a text or time column replaced by odd ones."""
    spots = pl.Series(chance.sample(range(len(values)), len(values) // 3), dtype=pl.UInt32)
    odd: list[Any]
    if values.dtype == pl.String:
        odd = [chance.choice([*ODD_TEXT, None, str(values[0])]) for _ in spots]
    elif values.dtype.is_temporal():
        shift = timedelta(days=chance.choice([-40_000, -30, -1, 1, 30, 400, 70_000]))
        odd = [chance.choice([None, values[0], values[spot] + shift]) for spot in spots]
    else:
        odd = [chance.choice([None, values[0]]) for _ in spots]
    return values.scatter(spots, odd)


@pytest.mark.slow
def test_malformed_frames() -> None:
    chance = random.Random(11)
    size, refused, rules = 2000, 0, set()
    every = batch(days=ROWS // 1000, per_day=1000).with_columns(extra=pl.lit("x"))
    for start in range(0, ROWS, size):
        events = every.slice(start, size)
        columns = [damaged_values(events[name], chance) for name in events.columns]
        columns = [
            chance.choice(RETYPED)(column) if chance.random() < 0.5 else column
            for column in columns
        ]
        if chance.random() < 0.2:
            chance.shuffle(columns)
        if chance.random() < 0.15:
            columns.pop(chance.randrange(len(columns)))
        frame = pl.DataFrame(columns)
        try:
            report = TOLERANT.check(frame)
        except DataError as error:
            assert "required_columns" in str(error)
            refused += size
        else:
            accounted_for(report, size)
            rules |= {*report.rejected["rule"]}
    assert len(rules) >= 8, rules
    assert refused < ROWS / 5
