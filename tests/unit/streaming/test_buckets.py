"""Buckets of users, their state in a mapping: each is a partition, whoever keeps what it knows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson
import polars as pl
import pytest
from streams import Kept, ListSource, as_messages, people, steps, stream

from riskml.core.errors import BundleError
from riskml.data.event_mapping import EventMapping
from riskml.export.bundle import Bundle
from riskml.streaming.buckets import Buckets, Came, bucket_of
from riskml.streaming.messages import EventReader, decoder
from riskml.streaming.topic_messages import letter_message, row_messages


def buckets(bundle: Bundle, **columns: str) -> Buckets:
    mapping = EventMapping(columns, max_rejected_share=1.0)
    return Buckets(
        bundle, EventReader(mapping, bundle.extractor.reads(), decoder("json")), "logins"
    )


def came(values: Sequence[bytes], first: int = 0, partition: int = 0) -> list[Came]:
    return [Came(partition, first + i, 1_000, b"k", value) for i, value in enumerate(values)]


@pytest.mark.parametrize("name", ["rich", "remembering"])
def test_restored_before_every_step_it_goes_on_as_if_it_had_not_been(
    name: str, request: pytest.FixtureRequest, log: pl.DataFrame
) -> None:
    """Bytes alone carry profiles, alerts, counts and what a model learns."""
    bundle = request.getfixturevalue(name)
    events = people(15, 2) if name == "rich" else log[:120]
    values, at = as_messages(events), 0
    made, calm, wild = buckets(bundle), dict[str, bytes](), dict[str, bytes]()
    closed = 0
    for part in steps(events, np.random.default_rng(2), 80):
        some, at = came(values[at : at + len(part)], at), at + len(part)
        fresh = buckets(bundle)
        rows, _, counts = made.work("0", some, calm)
        again, letters, counts_again = fresh.work("0", some, wild)
        assert again.drop("raised_at").equals(rows.drop("raised_at"))
        assert again["raised_at"].is_null().equals(rows["raised_at"].is_null())
        assert not letters and counts_again == counts and counts.events == len(some)
        closed += counts.closed
        fresh.close()
    made.close()
    assert closed and at == len(events)


def test_each_bucket_is_a_partition_of_the_native_stream(bundle: Bundle, tmp_path: Path) -> None:
    """Alerts, too: the budget follows the scores of the bucket."""
    events, made = people(15, 3), buckets(bundle)
    parts: dict[str, list[bytes]] = {}
    for value in as_messages(events):
        parts.setdefault(str(bucket_of(made.reader.user(value), 3)), []).append(value)
    assert len(parts) == 3
    native = Kept()
    stream(bundle, ListSource(parts, [40]), tmp_path, native).run()
    found = []
    for name, values in parts.items():
        kept: dict[str, bytes] = {}
        for at in range(0, len(values), 70):
            found.append(made.work(name, came(values[at : at + 70], at), kept)[0])
    made.close()
    same = ["window_id", "n_events", "alert", "score", "risk", "open"]
    newest = pl.concat(found).unique("window_id", keep="last").sort("window_id")
    assert newest.select(same[:3]).equals(native.newest.select(same[:3]))
    for column in same[3:]:
        np.testing.assert_allclose(newest[column], native.newest[column], rtol=1e-6)


def test_messages_of_a_bucket_are_known_by_the_partition_they_came_from(bundle: Bundle) -> None:
    one = orjson.loads(as_messages(people(15, 1))[0])
    del one["event_id"]
    both = [orjson.dumps(one), b"\xff no json"]
    made = buckets(bundle)
    mixed = [m for pair in zip(came(both), came(both, 0, 1), strict=True) for m in pair]
    _, letters, counts = made.work("0", mixed, {})
    made.close()
    assert (counts.events, counts.repeated, counts.poison) == (2, 0, 2)
    assert [letter_message(letter)[0] for letter in letters] == ["logins/0/1", "logins/1/1"]
    key, headers = letter_message(letters[1])
    assert letters[1].value == both[1] and headers["riskml.key"] == b"k"
    assert headers["riskml.rule"] == b"unreadable_message" and key.encode() in b"logins/1/1"


def test_a_user_has_one_bucket(bundle: Bundle) -> None:
    assert [bucket_of(name, 8) for name in ("user0", "user1", "김영희", None)] == [3, 5, 4, 0]
    read = buckets(bundle, user_id="actor.id").reader.user
    assert read(b'{"actor": {"id": " ann\\t"}}') == "ann"
    assert read(b'{"actor": {"id": 7}}') == "7"
    for nobody in (b"", b"[1]", b'{"actor": {"id": " "}}', b'{"user_id": "ann"}', b"\xff"):
        assert read(nobody) is None


def test_a_part_of_the_state_that_is_missing_is_named(bundle: Bundle) -> None:
    kept: dict[str, bytes] = {}
    values = came(as_messages(people(15, 1)))
    made = buckets(bundle)
    made.work("0", values, kept)
    made.close()
    name = next(name for name in kept if name.endswith("users.arrow"))
    del kept[name]
    with pytest.raises(BundleError, match=f"{name} is not there"):
        buckets(bundle).work("0", values, kept)


def test_rows_with_an_alert_go_to_a_topic_of_their_own_too(rich: Bundle) -> None:
    made = buckets(rich)
    rows, _, _ = made.work("0", came(as_messages(people(15, 2))), {})
    made.close()
    sent = list(row_messages("risk", rows))
    raised = rows.filter(pl.col("raised").is_not_null())["window_id"].to_list()
    assert [key for topic, key, _ in sent if topic == "risk"] == rows["window_id"].to_list()
    assert [key for topic, key, _ in sent if topic == "risk.alerts"] == raised and raised
    told = orjson.loads(sent[0][2])
    assert told["model_version"] == made.version and told["window_id"] == sent[0][1]
