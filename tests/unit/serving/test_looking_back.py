"""What the page of alerts asks: risks of a user and the peers, and the user's events."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlalchemy import insert

from riskml.core.errors import DataError
from riskml.data.database import open_engine
from riskml.data.event_mapping import EventMapping
from riskml.serving.events import open_source
from riskml.serving.risk_history import RiskHistory
from riskml.serving.score_tables import METADATA, SCORES
from riskml.serving.user_events import UserEvents

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def row(user: str, day: int, **more: Any) -> dict[str, Any]:
    start = NOON + day * DAY
    return {
        "window_id": f"{user}/{day}",
        "model_version": "m1",
        "role": "champion",
        "user_id": user,
        "peer": "sales" if user < "x" else "board",
        "window_start": start,
        "window_end": start + timedelta(hours=1),
        "n_events": 5,
        "score": 1.0,
        "p_value": 0.5,
        "risk": 10.0 + day,
        "alert": False,
        "learning": False,
        "open": False,
        "reasons": None,
        "scored_at": start + DAY,
        **more,
    }


ROWS = [
    *(row(user, day) for user in ("ann", "bob", "xi") for day in range(6)),
    row("ann", 2, model_version="m2", risk=99.0),
]


@pytest.fixture(params=["sqlite", "postgresql", "folder"])
def history(request: pytest.FixtureRequest, tmp_path: Path) -> RiskHistory:
    if request.param == "folder":
        rows = pl.DataFrame(ROWS)
        for version in ("m1", "m2"):
            room = tmp_path / "scores" / "scores" / f"version={version}"
            room.mkdir(parents=True)
            mine = rows.filter(pl.col("model_version") == version)
            mine.write_parquet(room / "batch=000001.parquet")
        mine.write_parquet(room / "batch=000002.parquet")  # of a job that was killed
        counts = {version: {"batch": 1, "open": 0} for version in ("m1", "m2")}
        state = json.dumps({"format": 1, "versions": counts})
        (tmp_path / "scores" / "state.json").write_text(state)
        return RiskHistory(str(tmp_path / "scores"))
    url = f"sqlite:///{tmp_path}/risk.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("new_database")()
    engine = open_engine(url)
    METADATA.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(SCORES), [*ROWS, row("ann", 4, window_id="grows", open=True)])
    return RiskHistory(url)


def test_risks_are_those_of_the_user_and_the_peers(history: RiskHistory) -> None:
    found = history.of("ann", "sales", "m1", NOON + DAY, NOON + 3 * DAY)
    assert found.rows() == [
        (user, NOON + day * DAY + timedelta(hours=1), 10.0 + day)
        for day in (1, 2)
        for user in ("ann", "bob")
    ]
    everybody = history.of("ann", None, "m1", NOON + DAY, NOON + 3 * DAY)
    assert set(everybody["user_id"]) == {"ann", "bob", "xi"}
    assert history.of("ann", "sales", "m2", NOON, NOON + 9 * DAY)["risk"].to_list() == [99.0]
    assert history.of("ann", "sales", "other", NOON, NOON + 9 * DAY).is_empty()


def test_a_place_without_scores_is_said(tmp_path: Path) -> None:
    for where in (str(tmp_path), f"sqlite:///{tmp_path}/empty.db"):
        with pytest.raises(DataError, match="riskml score --out"):
            RiskHistory(where)


def test_events_are_those_of_one_user_with_both_ends(tmp_path: Path) -> None:
    users = ("ann", "bob")
    log = pl.DataFrame(
        {"user_id": user, "timestamp": NOON + hour * timedelta(hours=1), "action": f"a{hour}"}
        for hour in (3, 0, 1, 2)
        for user in users
    )
    log.write_parquet(tmp_path / "log.parquet")
    source = open_source(str(tmp_path / "log.parquet"), "", EventMapping(columns={}), 1_000)
    events = UserEvents(source)
    for _ in range(2):  # the second time it is known
        found = events.of("ann", NOON, NOON + timedelta(hours=2))
        assert found["action"].to_list() == ["a0", "a1", "a2"]
        (tmp_path / "log.parquet").unlink(missing_ok=True)
