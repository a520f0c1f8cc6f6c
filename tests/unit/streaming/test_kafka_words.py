"""What a client of Kafka says while a broker is away."""

from __future__ import annotations

import logging

from riskml.streaming.kafka import TOLD_AGAIN_S, SeldomFilter


def record(text: str, at: float) -> logging.LogRecord:
    made = logging.LogRecord("kafka", logging.WARNING, "", 0, text, (), None)
    made.created = at
    return made


def test_the_same_trouble_is_told_once_a_minute() -> None:
    seldom = SeldomFilter()
    assert seldom.filter(record("host:9092/1: Connect failed (after 3ms)", 0.0))
    assert not seldom.filter(record("host:9092/1: Connect failed (after 17ms)", 5.0))
    assert seldom.filter(record("topic logins: unknown", 5.0))
    assert seldom.filter(record("host:9092/1: Connect failed (after 2ms)", TOLD_AGAIN_S))
