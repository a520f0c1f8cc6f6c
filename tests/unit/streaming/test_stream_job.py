"""The loop: what is told, kept and done again after it died."""

from __future__ import annotations

import base64
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest
from streams import Kept, KeptLetters, ListSource, as_messages, batch_rows, people, stream

from riskml.core.errors import BundleError, DataError
from riskml.export.bundle import Bundle
from riskml.streaming.json_lines import LineLetters, LineSink, read_letters
from riskml.streaming.lines import LineSource
from riskml.streaming.messages import Messages
from riskml.streaming.partition_state import STATE, FolderHome, PartitionTakenError
from riskml.streaming.replay import replay


def final(sink: Kept) -> pl.DataFrame:
    return sink.newest.filter(~pl.col("open"))


def test_json_messages_give_the_batch_scores(rich: Bundle, tmp_path: Path) -> None:
    events = people(15, 4)
    sink, source = Kept(), ListSource({"0": as_messages(events)}, [40, 3, 200])
    done = stream(rich, source, tmp_path, sink).run()
    expected = batch_rows(rich, events)
    assert final(sink)["window_id"].to_list() == expected["window_id"].to_list()
    np.testing.assert_allclose(final(sink)["score"], expected["score"], rtol=1e-6)
    assert done.messages == done.events == len(events)
    assert source.committed == {"0": len(events)}
    assert sink.settled == len(sink.frames)


def test_died_anywhere_it_ends_as_if_it_had_not(rich: Bundle, tmp_path: Path) -> None:
    """Two partitions; what was told since the last checkpoint is told again."""
    events = people(15, 4)
    even = pl.col("user_id").str.tail(1).cast(pl.Int64) % 2 == 0
    parts = {"0": as_messages(events.filter(even)), "1": as_messages(events.filter(~even))}
    calm = Kept()
    stream(rich, ListSource(parts, [50]), tmp_path / "calm", calm).run()
    sink, deaths = Kept(), 0
    rng = np.random.default_rng(0)
    while True:
        sizes = rng.integers(1, 30, 5).tolist()
        source = ListSource(parts, sizes, dies_at=int(rng.integers(2, 5)))
        # now and then there is no checkpoint before it dies
        job = stream(
            rich, source, tmp_path / "wild", sink, checkpoint=rng.choice([0.0, 60.0], p=[0.8, 0.2])
        )
        try:
            job.run()
            break
        except RuntimeError:
            deaths += 1
    assert deaths > 5
    told = ["window_id", "n_events", "alert"]  # what is early depends on the steps
    assert final(sink).select(told).equals(final(calm).select(told))
    np.testing.assert_allclose(final(sink)["score"], final(calm)["score"], rtol=1e-5)
    states = [json.loads((tmp_path / w / "0" / STATE).read_text()) for w in ("calm", "wild")]
    for count in ("messages", "events", "closed", "alerts"):
        assert states[0]["counts"][count] == states[1]["counts"][count]


def test_poison_is_set_apart_with_its_bytes_and_the_stream_goes_on(
    rich: Bundle, tmp_path: Path
) -> None:
    events = people(15, 2)
    good = as_messages(events)
    first = orjson.loads(good[0])
    poison = {
        b"\xff\xfe no json": "unreadable_message",
        b"[1, 2]": "unreadable_message",
        orjson.dumps({**first, "event_id": "x1", "timestamp": "yesterday"}): "unparsable_timestamp",
        orjson.dumps({**first, "event_id": "x2", "user_id": None}): "missing_user",
        orjson.dumps(
            {**first, "event_id": "x3", "action": {"deep": 1}, "user_id": " "}
        ): "missing_user",
        b"": "unreadable_message",
    }
    mixed = list(good)
    for place, value in zip((5, 17, 30, 31, 60, 90), poison, strict=True):
        mixed.insert(place, value)
    sink, letters = Kept(), KeptLetters()
    done = stream(rich, ListSource({"0": mixed}, [25]), tmp_path, sink, letters).run()
    assert done.poison == len(poison) and done.events == len(good)
    assert {letter.value: letter.rule for letter in letters.letters} == poison
    for letter in letters.letters:
        assert mixed[letter.offset] == letter.value
        assert letter.reason and letter.stream == "list"
    clean = Kept()
    stream(rich, ListSource({"0": good}, [25]), tmp_path / "clean", clean).run()
    assert final(sink)["score"].to_list() == pytest.approx(final(clean)["score"].to_list())


def test_a_message_without_an_id_is_named_by_its_place(rich: Bundle, tmp_path: Path) -> None:
    one = orjson.loads(as_messages(people(15, 1))[0])
    del one["event_id"]
    two = [orjson.dumps(one)] * 2  # nothing tells them apart but where they lie
    done = stream(rich, ListSource({"0": two}, [1]), tmp_path, Kept()).run()
    assert (done.events, done.repeated) == (2, 0)


def test_a_partition_has_one_process_at_a_time(tmp_path: Path) -> None:
    from datetime import timedelta

    first, second = FolderHome(tmp_path / "p"), FolderHome(tmp_path / "p")
    first.open(timedelta(0))
    with pytest.raises(PartitionTakenError, match="another process works on"):
        second.open(timedelta(0))
    first.close()
    second.open(timedelta(0))
    second.close()


def test_the_stream_goes_on_while_a_checkpoint_is_written(rich: Bundle, tmp_path: Path) -> None:
    goes_on = threading.Event()

    class SlowHome(FolderHome):
        def commit(self, *noted: Any) -> None:
            assert goes_on.wait(30), "the stream waits for the disk"
            super().commit(*noted)

    class Source(ListSource):
        def poll(self, most: int, wait: float) -> list[tuple[Messages, Any]]:
            if self.polls:
                assert goes_on.is_set() or self.committed == {}, "told of before it was kept"
                goes_on.set()
            return super().poll(most, wait)

    events = people(15, 2)
    source = Source({"0": as_messages(events)}, [50])
    job = stream(rich, source, tmp_path, Kept())
    job.home_of = lambda name: SlowHome(tmp_path / name)
    job.run()
    assert source.polls > 2 and source.committed == {"0": len(events)}


def test_a_checkpoint_that_fails_ends_the_stream(rich: Bundle, tmp_path: Path) -> None:
    class FullHome(FolderHome):
        def commit(self, *noted: Any) -> None:
            raise DataError("no space left")

    source = ListSource({"0": as_messages(people(15, 2))}, [50])
    job = stream(rich, source, tmp_path, Kept())
    job.home_of = lambda name: FullHome(tmp_path / name)
    with pytest.raises(DataError, match="no space left"):
        job.run()
    assert source.committed == {}


def test_a_damaged_state_is_named(rich: Bundle, tmp_path: Path) -> None:
    parts = {"0": as_messages(people(15, 1))}
    stream(rich, ListSource(parts, [50]), tmp_path, Kept()).run()
    (tmp_path / "0" / STATE).write_text('{"format": 1')
    with pytest.raises(BundleError, match=r"state\.json is missing, damaged"):
        stream(rich, ListSource(parts, [50]), tmp_path, Kept()).run()


def test_lines_of_a_file_go_on_where_they_were_kept(rich: Bundle, tmp_path: Path) -> None:
    events = people(15, 3)
    lines = as_messages(events)
    file = tmp_path / "log.jsonl"
    sink = Kept()
    sizes = []
    for until in (100, 101, len(lines)):
        file.write_bytes(b"".join(line + b"\n" for line in lines[:until]))
        source: Any = LineSource(file)
        sizes.append(stream(rich, source, tmp_path / "state", sink).run().messages)
    assert sizes == [100, 1, len(lines) - 101]
    expected = batch_rows(rich, events)
    np.testing.assert_allclose(final(sink)["score"], expected["score"], rtol=1e-6)


def test_a_last_line_without_an_end_is_read_and_blank_ones_are_not(
    rich: Bundle, tmp_path: Path
) -> None:
    lines = as_messages(people(15, 1))
    file = tmp_path / "log.jsonl"
    file.write_bytes(b"\n" + lines[0] + b"\r\n\n" + lines[1])
    source: Any = LineSource(file)
    done = stream(rich, source, tmp_path / "state", Kept()).run()
    assert (done.messages, done.events) == (2, 2)


def test_sinks_and_letters_of_lines(rich: Bundle, tmp_path: Path) -> None:
    mixed = [b"no json \xff", *as_messages(people(15, 3))]
    job = stream(rich, ListSource({"0": mixed}, [30]), tmp_path / "state", Kept())
    kept = job.sinks[0]
    job.sinks = [kept, LineSink(tmp_path / "rows.jsonl"), LineSink(tmp_path / "a.jsonl", True)]
    job.letters = LineLetters(tmp_path / "dead.jsonl")
    job.run()
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert isinstance(kept, Kept)
    assert [row["score"] for row in rows] == kept.rows["score"].to_list()
    alerts = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert alerts == [row for row in rows if row["raised"]]
    assert all(row["reasons"] for row in alerts if row["alert"])
    (letter,) = read_letters(tmp_path / "dead.jsonl")
    assert letter.value == mixed[0]
    again: list[bytes] = []
    send = replay([letter], lambda one: again.append(one.value), ["unreadable_message"])
    assert (send, again) == ((1, 0), [mixed[0]])
    with pytest.raises(
        DataError, match=r"set apart by late_event; there are unreadable_message \(1\)"
    ):
        replay([letter], lambda one: None, ["late_event"])
    line = json.loads((tmp_path / "dead.jsonl").read_text())
    assert base64.b64decode(line["value"]) == mixed[0]


def test_a_folder_is_no_stream(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder: give one file of JSON lines, or -"):
        LineSource(tmp_path)
