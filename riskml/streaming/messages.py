"""Messages → events: JSON, Avro or Protobuf, by the mapping that files and tables have."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl

from riskml.core.errors import ConfigError
from riskml.core.schema import EVENT_SCHEMA, TIME_ZONE, TIMESTAMP
from riskml.core.types import Int64Array
from riskml.data import quality, quarantine
from riskml.data.event_mapping import EventMapping, LogTable
from riskml.streaming.scorer import ARRIVED, AT

JSON, AVRO, PROTOBUF = "json", "avro", "protobuf"
FORMATS = (JSON, AVRO, PROTOBUF)

UNREADABLE = "unreadable_message"
CONFLUENT = struct.Struct(">bI")
"""Before the content in messages of a schema registry: a zero, and the number of the schema."""

Decode = Callable[[bytes], Any]


@dataclass(frozen=True)
class Messages:
    """Some messages of one partition, in their order.

    Args:
        partition: which.
        values: their contents.
        offsets: int64 [n], their places in the partition.
        arrived: int64 [n], when the broker had them, ms of Unix time; -1 where that is not known.
        keys: by which they were given to the partition; empty: they have none.
    """

    partition: str
    values: Sequence[bytes]
    offsets: Int64Array
    arrived: Int64Array
    keys: Sequence[bytes | None] = ()

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class ReadEvents:
    """What messages held.

    Args:
        events: event schema, what is read beside, `_at`, `_arrived`.
        apart: messages that are no events: `_at`, rule, reason.
        repeated: how many have the id of another of these.
    """

    events: pl.DataFrame
    apart: pl.DataFrame
    repeated: int


class EventReader:
    """Makes events of messages; one that is none never stops the others.

    Args:
        mapping: what fields mean; fields inside others are named with dots.
        reads: columns that are needed, beside the event schema.
        decode: content → an object with fields.
    """

    def __init__(self, mapping: EventMapping, reads: Iterable[str], decode: Decode) -> None:
        wanted = dict.fromkeys((*EVENT_SCHEMA, TIME_ZONE, *reads))
        self._fields = {name: (mapping.columns.get(name) or name).split(".") for name in wanted}
        # what is looked up here has the names of events
        self._mapping = EventMapping(
            {},
            mapping.time_zone,
            mapping.timestamp_format,
            mapping.default_action,
            max_rejected_share=1.0,
        )
        self._decode = decode

    def read(self, messages: Messages, name: str) -> ReadEvents:
        """The events of some messages.

        Args:
            messages: at least one.
            name: of the stream; an event without an id is named by it, partition and offset.
        """
        found, at, bad = self._decoded(messages.values)
        columns = {
            c: [_text(_field(one, path)) for one in found] for c, path in self._fields.items()
        }
        rows = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
        file = f"{name}/{messages.partition}"
        origin = pl.DataFrame(
            {"file": pl.repeat(file, len(at), eager=True), "row": messages.offsets[at]}
        )
        nothing = pl.DataFrame(schema=quarantine.REJECTED_SCHEMA)
        log = self._mapping.read(LogTable(file, rows, origin, nothing), strict=False)
        assert log.origin is not None
        place = {int(offset): i for i, offset in enumerate(messages.offsets)}
        here = np.array([place[row] for row in log.origin["row"].to_list()], np.int64)
        events = log.events.with_columns(pl.Series(AT, here))
        if (messages.arrived >= 0).any():
            moments = pl.Series(ARRIVED, messages.arrived[here] * 1000).cast(TIMESTAMP)
            events = events.with_columns(moments)
        doubled = log.rejected["rule"] == quality.DUPLICATE_RULE.name
        wrong = log.rejected.filter(~doubled)
        bad += [
            (place[row], rule, reason)
            for row, rule, reason in wrong.select("row", "rule", "reason").iter_rows()
        ]
        apart = pl.DataFrame(
            sorted(bad),
            schema={AT: pl.Int64(), "rule": pl.String(), "reason": pl.String()},
            orient="row",
        )
        return ReadEvents(events, apart, int(doubled.sum()))

    def user(self, value: bytes) -> str | None:
        """Whose event a message is, for those who divide a stream by user; None: nobody's."""
        found, _, _ = self._decoded([value])
        user = _text(_field(found[0], self._fields["user_id"])) if found else None
        return (user or "").strip() or None

    def _decoded(
        self, values: Sequence[bytes]
    ) -> tuple[list[Mapping[str, Any]], list[int], list[tuple[int, str, str]]]:
        found, at, bad = [], [], []
        for i, value in enumerate(values):
            try:
                one = self._decode(value)
            except Exception as error:  # whatever bytes there are, and whatever a library says
                reason = " ".join(str(error).split())[:200] or type(error).__name__
                bad.append((i, UNREADABLE, f"the message cannot be read: {reason}"))
                continue
            if isinstance(one, Mapping):
                found.append(one)
                at.append(i)
            else:
                bad.append((i, UNREADABLE, "the message holds no object with fields"))
        return found, at, bad


def decoder(form: str, schema: Path | None = None, message: str | None = None) -> Decode:
    """What reads the content of a message.

    Args:
        form: json, avro or protobuf.
        schema: Avro: the schema (.avsc). Protobuf: a descriptor set, as `protoc
            --include_imports --descriptor_set_out` writes it.
        message: Protobuf: full name of the message.

    Raises:
        ConfigError: a setting is missing or cannot be read, or a library is not installed.
    """
    if form == JSON:
        return orjson.loads
    if schema is None:
        raise ConfigError(f"--format {form} needs --schema")
    try:
        content = schema.read_bytes()
    except OSError as error:
        raise ConfigError(f"--schema {schema}: {error.strerror}") from error
    return _avro(schema, content) if form == AVRO else _protobuf(schema, content, message)


def _avro(schema: Path, content: bytes) -> Decode:
    try:
        import fastavro
    except ImportError as error:
        raise ConfigError("fastavro is not installed: pip install 'riskml[stream]'") from error
    try:
        parsed = fastavro.parse_schema(orjson.loads(content))
    except Exception as error:
        raise ConfigError(f"--schema {schema} is no Avro schema: {error}") from error

    def read(value: bytes) -> Any:
        stream = io.BytesIO(value)
        found = fastavro.schemaless_reader(stream, parsed, None)
        if stream.read(1):
            raise ValueError("more bytes than the schema has fields for")
        return found

    def decode(value: bytes) -> Any:
        if len(value) > CONFLUENT.size and value[0] == 0:
            with suppress(Exception):  # or else it begins with a zero of its own
                return read(value[CONFLUENT.size :])
        return read(value)

    return decode


def _protobuf(schema: Path, content: bytes, message: str | None) -> Decode:
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
    except ImportError as error:
        raise ConfigError("protobuf is not installed: pip install 'riskml[stream]'") from error
    if message is None:
        raise ConfigError("--format protobuf needs --message, the full name of the message")
    pool = descriptor_pool.DescriptorPool()
    try:
        for file in descriptor_pb2.FileDescriptorSet.FromString(content).file:
            pool.Add(file)
        kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(message))
    except KeyError as error:
        raise ConfigError(f"--message {message}: {schema} has no such message") from error
    except Exception as error:
        raise ConfigError(f"--schema {schema} is no descriptor set: {error}") from error

    def decode(value: bytes) -> Any:
        return json_format.MessageToDict(kind.FromString(value), preserving_proto_field_name=True)

    return decode


def _field(one: Mapping[str, Any], path: Sequence[str]) -> Any:
    """A field by its path; a name that has dots itself comes first."""
    if len(path) == 1:
        return one.get(path[0])
    found: Any = one.get(".".join(path))
    if found is not None:
        return found
    found = one
    for name in path:
        if isinstance(found, Mapping):
            found = found.get(name)
        elif isinstance(found, list) and name.isdigit() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found


def _text(value: Any) -> str | None:
    """As a file of text would have it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return orjson.dumps(value, default=str).decode().strip('"')
