"""A log that lost events is not learnt from, and one that stopped is nothing to watch on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from omegaconf import DictConfig

from riskml.core.errors import DataError
from riskml.retraining.outlook import Outlook

KNOWN = datetime(2024, 5, 1, tzinfo=UTC)
LATENESS = timedelta(minutes=10)


def outlook(last: datetime | None, now: datetime) -> Outlook:
    times = pl.Series("timestamp", [] if last is None else [last], pl.Datetime("us", "UTC"))
    made = Outlook(DictConfig({}), Path(), pl.DataFrame([times]), pl.DataFrame(), None, now)
    made.__dict__["bundle"] = SimpleNamespace(
        profile=SimpleNamespace(watermark=KNOWN - LATENESS),
        extractor=SimpleNamespace(lateness=LATENESS),
    )
    return made


def test_a_log_that_ends_before_its_champion_lost_events() -> None:
    now = KNOWN + timedelta(days=3)
    outlook(KNOWN, now).check_log()
    with pytest.raises(DataError, match="the log ends at 2024-04-30 00:00, and the champion knows"):
        outlook(KNOWN - timedelta(days=1), now).check_log()
    with pytest.raises(DataError, match="the log is empty"):
        outlook(None, now).check_log()


def test_a_moment_that_the_champion_knows_already_says_nothing_of_the_log() -> None:
    outlook(KNOWN - timedelta(days=2), KNOWN - timedelta(days=1)).check_log()


def test_a_log_without_later_days_is_nothing_to_watch_a_challenger_on() -> None:
    now = KNOWN + timedelta(days=2)
    outlook(KNOWN, now).check_later(KNOWN, "to watch it on")
    for last in (KNOWN - timedelta(seconds=1), None):
        with pytest.raises(DataError, match="the log has nothing from 2024-05-01 00:00 to 2024-05"):
            outlook(last, now).check_later(KNOWN, "to watch it on")


def test_a_log_that_has_not_grown_is_nothing_to_learn_from() -> None:
    now = KNOWN + timedelta(days=90)
    outlook(KNOWN + timedelta(seconds=1), now).check_grown()
    with pytest.raises(DataError, match=r"nothing from .* that the champion does not know: see"):
        outlook(KNOWN, now).check_grown()
