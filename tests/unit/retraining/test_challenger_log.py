"""What a challenger learns from, and what is held back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import polars as pl
import pytest
from omegaconf import OmegaConf

from riskml.core.errors import BundleError, ConfigError
from riskml.data.event_mapping import EventLog
from riskml.data.quarantine import REJECTED_SCHEMA
from riskml.data.sources import SnapshotSource
from riskml.export.bundle import Bundle
from riskml.retraining.challenger import Challenge, challenger_config, read_config
from riskml.retraining.policy import RetrainPolicy
from riskml.retraining.snapshot import held_events, highest_of_each_day, log_behind

FIRST = datetime(2024, 5, 1, tzinfo=UTC)
EVENTS = pl.DataFrame(
    {
        "event_id": [f"e{n}" for n in range(6)],
        "timestamp": [FIRST + timedelta(hours=12 * n) for n in range(6)],
        "window_id": ["a", "a", "b", "b", "c", "c"],
    }
)
BUNDLE = cast(Bundle, SimpleNamespace(extractor=SimpleNamespace(assign=lambda events: events)))
NONE = pl.DataFrame(schema={"window_id": pl.String, "verdict": pl.String})


class TableSource:
    def __init__(self, truth: pl.DataFrame | None = None) -> None:
        self.truth = truth

    def load(self) -> EventLog:
        rejected = pl.DataFrame(schema=REJECTED_SCHEMA)
        origin = pl.DataFrame({"file": ["log"] * 6, "row": range(1, 7)})
        return EventLog(EVENTS, self.truth, rejected, origin)


def verdicts(**said: str) -> pl.DataFrame:
    return pl.DataFrame({"window_id": list(said), "verdict": list(said.values())})


def test_the_highest_of_each_day_are_held() -> None:
    rng = np.random.default_rng(0)
    n = 250
    keys = pl.DataFrame(
        {
            "window_id": [f"w{i:03d}" for i in range(n)],
            "end": [FIRST + timedelta(days=int(i >= 200), minutes=i) for i in range(n)],
        }
    )
    scores = rng.normal(size=n).astype(np.float32)
    scores[200:] += 100  # drift lifts a whole day
    held = highest_of_each_day(keys, scores, 0.02)
    best = [*np.argsort(-scores[:200])[:4], 200 + np.argmax(scores[200:])]
    assert sorted(held) == sorted(f"w{i:03d}" for i in best)
    assert highest_of_each_day(keys, scores, 0.0).is_empty()


def test_verdicts_decide_what_is_held(tmp_path: Path) -> None:
    highest = pl.Series(["a", "b"])
    said = verdicts(b="false_alarm", c="true_incident", a="unsure")
    held = held_events(BUNDLE, EVENTS, highest, said, None)
    assert held["event_id"].to_list() == ["e0", "e1", "e4", "e5"]
    assert held["why"].n_unique() == 2
    # what was held before stays held, unless somebody has cleared it since
    held.write_parquet(tmp_path / "held.parquet")
    later = verdicts(a="false_alarm")
    again = held_events(BUNDLE, EVENTS, pl.Series(["b"]), later, tmp_path / "held.parquet")
    assert again["event_id"].to_list() == ["e4", "e5", "e2", "e3"]


def test_nothing_is_held_without_reason() -> None:
    none = pl.Series([], dtype=pl.String)
    assert held_events(BUNDLE, EVENTS, none, NONE, None).is_empty()


@pytest.mark.parametrize("truth", [None, EVENTS.select("event_id"), EVENTS[2:4, ["event_id"]]])
def test_a_snapshot_leaves_out_what_is_later_or_held(
    truth: pl.DataFrame | None, tmp_path: Path
) -> None:
    pl.DataFrame({"event_id": ["e1", "e2"]}).write_parquet(tmp_path / "held.parquet")
    source = SnapshotSource(TableSource(truth), "2024-05-03", str(tmp_path / "held.parquet"))
    log = source.load()
    assert log.events["event_id"].to_list() == ["e0", "e3"]
    assert log.origin is not None and log.origin["row"].to_list() == [1, 4]
    if truth is None:
        assert log.truth is None
    else:
        assert log.truth is not None
        assert set(log.truth["event_id"]) == {"e0", "e3"} & set(truth["event_id"])


def test_a_snapshot_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.source\.until=soon must be a time"):
        SnapshotSource(TableSource(), "soon")
    with pytest.raises(BundleError, match=r"gone\.parquet is missing"):
        SnapshotSource(TableSource(), "2024-05-03", str(tmp_path / "gone.parquet")).load()


def config(**data: Any) -> Any:
    source = {"_target_": "riskml.data.sources.CsvSource", "path": "log.csv"}
    split = {"_target_": "riskml.data.splits.TimeSplit", "test": 0.3, "calibration": 0.2}
    whole = {"data": {"name": "csv", "source": source, "split": split, **data}}
    rest = {"features": {}, "model": {}, "threshold": {}, "logger": {}, "paths": {"run": "old"}}
    return OmegaConf.create(whole | rest)


def test_a_challenger_has_the_champions_settings_on_a_snapshot(tmp_path: Path) -> None:
    cfg = config()
    challenge = Challenge("logins", FIRST, tmp_path / "held.parquet", FIRST, tmp_path)
    made = challenger_config(cfg, challenge, RetrainPolicy())
    assert made.data.source.source == cfg.data.source and made.data.name == "csv"
    assert made.data.split.test == 1 and made.data.split.calibration == 2
    assert made.register == "logins" and made.paths.run == str(tmp_path)
    assert made.drift_since == FIRST.isoformat()
    # a challenger that became champion is trained again from the log itself
    again, held = log_behind(made)
    assert again.data.source == cfg.data.source and held == tmp_path / "held.parquet"
    assert log_behind(cfg) == (cfg, None)


def test_the_end_of_the_first_training_is_not_the_end_of_the_log(tmp_path: Path) -> None:
    table = {"_target_": "riskml.data.sources.DatabaseSource", "since": "2024-01-01Z"}
    cfg = config(source={**table, "until": "2024-02-15Z"})
    behind, _ = log_behind(cfg)
    assert behind.data.source == {**table, "until": None}
    challenge = Challenge("logins", FIRST, tmp_path / "held.parquet", None, tmp_path)
    made = challenger_config(behind, challenge, RetrainPolicy())
    assert made.data.source.until == FIRST.isoformat()
    assert log_behind(made)[0].data.source == behind.data.source


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1", "was not trained by train.py: no 'data'"),
        ("[1, 2]", "was not trained by train.py: no 'data'"),
        (
            OmegaConf.to_yaml(config(split={"_target_": "riskml.data.splits.ColumnSplit"})),
            "what is not cut by time has no drift",
        ),
    ],
)
def test_other_settings_are_refused(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read_config(text, "logins")
