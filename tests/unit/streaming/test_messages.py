"""Bytes → events, in three formats."""

from __future__ import annotations

import io
import json
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from riskml.core.errors import ConfigError
from riskml.data.event_mapping import EventMapping
from riskml.streaming.messages import EventReader, Messages, decoder

COLUMNS = {"user_id": "actor.id", "timestamp": "when", "action": "verb"}
AVRO = {
    "type": "record",
    "name": "Login",
    "fields": [
        {"name": "event_id", "type": "string"},
        {"name": "when", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "verb", "type": ["null", "string"]},
        {
            "name": "actor",
            "type": {
                "type": "record",
                "name": "Actor",
                "fields": [{"name": "id", "type": "string"}],
            },
        },
        {"name": "size", "type": "double"},
    ],
}
MOMENT = datetime(2024, 3, 1, 8, 30, tzinfo=UTC)


def read(decode: Any, values: list[bytes], columns: dict[str, str] = COLUMNS) -> Any:
    offsets = np.arange(10, 10 + len(values))
    reader = EventReader(EventMapping(columns, max_rejected_share=1.0), ["size"], decode)
    return reader.read(Messages("3", values, offsets, np.full(len(values), -1)), "logins")


def check(found: Any) -> None:
    (event,) = found.events.to_dicts()
    assert event["user_id"] == "ann" and event["action"] == "read"
    assert event["timestamp"] == MOMENT and event["event_id"] == "e1"
    assert float(event["size"]) == 1.5
    assert "_arrived" not in event


def test_json_with_fields_inside_others() -> None:
    one = {"event_id": "e1", "when": "2024-03-01T08:30:00Z", "verb": "read", "size": 1.5}
    check(read(decoder("json"), [json.dumps({**one, "actor": {"id": "ann"}}).encode()]))
    check(read(decoder("json"), [json.dumps({**one, "actor.id": "ann"}).encode()]))
    lists = {**COLUMNS, "user_id": "actors.1.id"}
    listed = {**one, "actors": [{"id": "bob"}, {"id": "ann"}]}
    check(read(decoder("json"), [json.dumps(listed).encode()], lists))


def test_avro_plain_and_as_a_registry_frames_it(tmp_path: Path) -> None:
    schema = tmp_path / "login.avsc"
    schema.write_text(json.dumps(AVRO))
    stream = io.BytesIO()
    one = {"event_id": "e1", "when": MOMENT, "verb": "read", "actor": {"id": "ann"}, "size": 1.5}
    fastavro.schemaless_writer(stream, fastavro.parse_schema(AVRO), one)
    decode = decoder("avro", schema)
    check(read(decode, [stream.getvalue()]))
    check(read(decode, [struct.pack(">bI", 0, 77) + stream.getvalue()]))
    broken = read(decode, [stream.getvalue()[:9], stream.getvalue() + b"x", b""])
    assert broken.apart["rule"].to_list() == ["unreadable_message"] * 3
    assert broken.events.is_empty()


def test_protobuf_by_a_descriptor_set(tmp_path: Path) -> None:
    file = descriptor_pb2.FileDescriptorProto(name="login.proto", package="p", syntax="proto3")
    actor = file.message_type.add(name="Actor")
    actor.field.add(name="id", number=1, type=9, label=1)
    login = file.message_type.add(name="Login")
    for number, (name, kind) in enumerate([("event_id", 9), ("when", 9), ("verb", 9), ("size", 1)]):
        login.field.add(name=name, number=number + 1, type=kind, label=1)
    login.field.add(name="actor", number=9, type=11, label=1, type_name=".p.Actor")
    schema = tmp_path / "login.desc"
    schema.write_bytes(descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName("p.Login"))
    one = kind(event_id="e1", when="2024-03-01T08:30:00Z", verb="read", size=1.5)
    one.actor.id = "ann"
    check(read(decoder("protobuf", schema, "p.Login"), [one.SerializeToString()]))
    assert read(decoder("protobuf", schema, "p.Login"), [b"\xff"]).apart["_at"].to_list() == [0]
    with pytest.raises(ConfigError, match=r"p\.Logout: .* no such message"):
        decoder("protobuf", schema, "p.Logout")
    with pytest.raises(ConfigError, match="needs --message"):
        decoder("protobuf", schema)


@pytest.mark.parametrize("form", ["avro", "protobuf"])
def test_a_schema_that_is_none_is_refused(form: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs --schema"):
        decoder(form)
    with pytest.raises(ConfigError, match="No such file"):
        decoder(form, tmp_path / "absent")
    (tmp_path / "odd").write_bytes(b"\xff\xff{")
    with pytest.raises(ConfigError, match="--schema"):
        decoder(form, tmp_path / "odd", "p.Login")


def test_each_message_keeps_its_place_whatever_lies_between() -> None:
    good = {"when": "2024-03-01T08:30:00Z", "verb": "read", "actor": {"id": "ann"}}
    values = [
        json.dumps({**good, "event_id": "b"}).encode(),
        b"{",
        json.dumps({**good, "event_id": "a", "when": "2024-03-01T08:29:00Z"}).encode(),
        json.dumps({**good, "event_id": "b"}).encode(),
        json.dumps(good).encode(),
    ]
    found = read(decoder("json"), values)
    assert dict(found.events.select("event_id", "_at").iter_rows()) == {
        "a": 2,
        "b": 0,
        "logins/3:14": 4,
    }
    assert found.apart["_at"].to_list() == [1]
    assert found.repeated == 1
