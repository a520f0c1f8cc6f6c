"""A small log, one of whose users has a name that a browser would run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

HOSTILE = "<script>alert('u0')</script>"
USERS = (HOSTILE, "u1", "u2", "u3", "u4", "u5")
DAYS = 40
ODD_DAYS = {32: 0, 34: 1, 35: 2, 37: 0, 38: 3}
START = datetime(2024, 1, 1, tzinfo=UTC)


def events() -> pl.DataFrame:
    """Days of some actions; near the end nights of others, for some users."""
    draw = np.random.default_rng(0)
    rows = []
    for day in range(DAYS):
        for place, user in enumerate(USERS):
            attacked = ODD_DAYS.get(day) == place
            for i in range(int(draw.integers(6, 12)) + (day % 4) * attacked):
                # now and then all of it is normal, else a feature could be the label itself
                night = draw.random() < (0.2 if attacked else 0.1)
                rare = draw.random() < (0.25 if attacked else 0.1)
                hour = draw.uniform(1, 4) if night else draw.uniform(8, 16)
                action = f"<b>{draw.integers(9)}" if rare else f"action {draw.integers(4)}"
                at = START + timedelta(days=day, hours=float(hour))
                truth = int(attacked and i % 2 == 0)
                rows.append((at, user, action, f"file{draw.integers(5)}", truth))
    names = ["timestamp", "user_id", "action", "resource", "label"]
    return pl.DataFrame(sorted(rows), schema=names, orient="row")
