"""Made-up anomalies: windows of a log changed so that they are no longer their user's own.

They are made of the log's own events by rules that know nothing of the simulator's scenarios or of
any other attack, so a detector can be chosen by them and still be tested on attacks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from riskml.core.errors import ConfigError, DataError, did_you_mean, require
from riskml.core.schema import TIME_ZONE
from riskml.features.extractor import FeatureExtractor
from riskml.features.windows import WINDOW_ID

FEWEST = 8
"""Windows of a block that are changed at least."""

MOST_EVENTS = 5_000
"""Events that one window can be given."""

RAREST = 10
"""Actions that a burst is drawn from."""

WHO_AND_WHEN = ("event_id", "user_id", "timestamp", TIME_ZONE, WINDOW_ID)
"""Columns that stay when the content of an event changes."""


@dataclass(frozen=True)
class Injected:
    """A block of time with made-up anomalies.

    Args:
        events: of the block, in order of time.
        odd: ids of the events that were changed or added.
    """

    events: pl.DataFrame
    odd: pl.Series

    def odd_windows(self, before: pl.DataFrame, extractor: FeatureExtractor) -> pl.Series:
        """Names of the windows that hold one of those events.

        Args:
            before: the log up to the block.
            extractor: that cuts both into windows.
        """
        odd = pl.DataFrame({"event_id": self.odd})
        touched = self.events.join(odd, on="event_id", how="semi")["user_id"].unique().to_list()
        whole = pl.concat([before, self.events.select(before.columns)])
        assigned = extractor.assign(whole.filter(pl.col("user_id").is_in(touched)))
        return assigned.join(odd, on="event_id", how="semi")[WINDOW_ID].unique()


@dataclass(frozen=True)
class _Block:
    """What the rules draw from.

    Args:
        before: the log up to the block.
        events: of the block, with `window_id`.
        since, until: its span.
        fixed: columns that stay with the user.
        rng: source of chance.
    """

    before: pl.DataFrame
    events: pl.DataFrame
    since: datetime
    until: datetime
    fixed: tuple[str, ...]
    rng: np.random.Generator

    def drawn(self, events: pl.DataFrame, count: int, *, again: bool = True) -> pl.DataFrame:
        """Some of the events by chance, in their order."""
        count = count if again else min(count, len(events))
        return events[np.sort(self.rng.choice(len(events), count, replace=again))]

    def moments(self, window: pl.DataFrame, count: int) -> pl.Series:
        """Times within a window, or within half an hour where it is a single moment."""
        first, last = window["timestamp"][0], window["timestamp"][-1]
        last = min(max(last, first + timedelta(minutes=30)), self.until - timedelta(seconds=1))
        span = max((last - first) / timedelta(microseconds=1), 1.0)
        offsets = np.sort(self.rng.uniform(0, span, count)).astype(np.int64)
        start = pl.Series("timestamp", [first], self.events.schema["timestamp"])
        return start + pl.Series(offsets).cast(pl.Duration("us"))


Change = tuple[pl.DataFrame, pl.DataFrame]
"""Events that a window loses, and those that stand for them or are new."""


def inject(
    log: pl.DataFrame,
    since: datetime,
    until: datetime,
    families: Sequence[str],
    share: float,
    seed: int,
    fixed: Sequence[str] = (),
) -> Injected:
    """Change a share of the windows of a block of time, each by one of the families.

    The same arguments give the same events. How far a window is changed is drawn, too, from
    hardly to beyond doubt, so that detectors differ in how many they find.

    Args:
        log: events with `window_id`, in order of time.
        since: first moment of the block.
        until: the moment after its last.
        families: names in `FAMILIES`, in turn.
        share: of the block's windows that are changed.
        seed: of what is drawn.
        fixed: columns that stay with the user, such as the role.

    Raises:
        ConfigError: no such family, or no share.
        DataError: the block, or the log before it, is too short.
    """
    check_families(families)
    require("sweep.injected.share", share, 0 < share <= 0.5, "must lie above 0 and up to 0.5")
    time = pl.col("timestamp")
    before, events = log.filter(time < since), log.filter((time >= since) & (time < until))
    rng = np.random.default_rng([seed, len(families)])
    block = _Block(before, events, since, until, (*WHO_AND_WHEN, *fixed), rng)
    windows = _whole_windows(log, events)
    count = max(round(share * len(windows)), FEWEST)
    if len(windows) < 2 * FEWEST or before.is_empty():
        raise DataError(
            f"{len(windows)} windows between {since:%Y-%m-%d %H:%M} and {until:%Y-%m-%d %H:%M} are "
            "too few to put anomalies among them: give a longer log (a sweep: or fewer "
            "sweep.folds; riskml retrain: or a later --until)"
        )
    chosen = windows.gather(rng.choice(len(windows), min(count, len(windows) // 2), replace=False))
    rows = events.filter(pl.col(WINDOW_ID).is_in(chosen.to_list()))
    parts = rows.partition_by(WINDOW_ID, as_dict=True, maintain_order=True)
    lost, gained = [], []
    for turn, name in enumerate(chosen.to_list()):
        strength = float(rng.uniform(0.1, 1.0))
        old, new = FAMILIES[families[turn % len(families)]](parts[(name,)], block, strength)
        lost.append(old)
        gained.append(new)
    added = pl.concat(gained)
    added = added.with_columns(
        pl.concat_str(pl.lit("injected-"), pl.int_range(pl.len()).cast(pl.String)).alias("event_id")
    )
    kept = events.join(pl.concat(lost), on="event_id", how="anti", maintain_order="left")
    whole = pl.concat([kept, added]).sort("timestamp", "event_id").drop(WINDOW_ID)
    return Injected(whole, added["event_id"])


def check_families(families: Sequence[str]) -> None:
    """Refuse names that are no families.

    Raises:
        ConfigError: names the first of them.
    """
    for name in families:
        if name not in FAMILIES:
            raise ConfigError(f"sweep.injected.families: {name}: {did_you_mean(name, FAMILIES)}")
    require("sweep.injected.families", list(families), len(families) > 0, "must name one or more")


def _whole_windows(log: pl.DataFrame, events: pl.DataFrame) -> pl.Series:
    """Names of the windows that lie in the block as a whole, in order."""
    here = events.group_by(WINDOW_ID).agg(pl.len().alias("here"))
    whole = log.group_by(WINDOW_ID).agg(pl.len().alias("all"))
    both = here.join(whole, on=WINDOW_ID).filter(pl.col("here") == pl.col("all"))
    return both[WINDOW_ID].sort()


def swapped_users(window: pl.DataFrame, block: _Block, strength: float) -> Change:
    """What another user does is done under this name: a share of the events, at their times."""
    user = window["user_id"][0]
    others = block.events.filter(pl.col("user_id") != user)
    if others.is_empty():
        raise DataError("swapped_users needs several users: leave it out of injected.families")
    donor = others[WINDOW_ID][int(block.rng.integers(len(others)))]
    content = others.filter(pl.col(WINDOW_ID) == donor)
    share = 0.2 + 0.8 * strength
    old = block.drawn(window, max(1, round(share * len(window))), again=False)
    return old, _as_done_by(old, block.drawn(content, len(old)), block.fixed)


def rare_actions(window: pl.DataFrame, block: _Block, strength: float) -> Change:
    """A burst of actions that hardly anybody does and this user has not done before."""
    user = pl.col("user_id") == window["user_id"][0]
    own = block.before.filter(user)["action"].unique().to_list()
    counts = block.before.group_by("action").len().sort("len", "action")
    foreign = counts.filter(pl.col("action").is_in(own).not_())
    rarest = (foreign if len(foreign) else counts)["action"].head(RAREST)
    action = rarest[int(block.rng.integers(len(rarest)))]
    content = block.before.filter(pl.col("action") == action)
    count = 1 + round(9 * strength)
    when = window[np.zeros(count, np.int64)].with_columns(block.moments(window, count))
    return window.clear(), _as_done_by(when, block.drawn(content, count), block.fixed)


def shifted_hours(window: pl.DataFrame, block: _Block, strength: float) -> Change:
    """All of it happens some hours earlier or later."""
    hours = timedelta(hours=3 + 9 * strength)
    later = window["timestamp"][-1] + hours < block.until
    earlier = window["timestamp"][0] - hours >= block.since
    if later and earlier:
        later = bool(block.rng.random() < 0.5)
    elif not later and not earlier:
        return inflated_volume(window, block, strength)  # it fills the block: there is no room
    moved = pl.col("timestamp") + hours if later else pl.col("timestamp") - hours
    return window, window.with_columns(moved)


def inflated_volume(window: pl.DataFrame, block: _Block, strength: float) -> Change:
    """The same, several times over."""
    count = min(max(round((0.5 + 5.5 * strength) * len(window)), 1), MOST_EVENTS)
    again = block.drawn(window, count)
    return window.clear(), again.with_columns(block.moments(window, count))


FAMILIES: dict[str, Callable[[pl.DataFrame, _Block, float], Change]] = {
    rule.__name__: rule for rule in (swapped_users, rare_actions, shifted_hours, inflated_volume)
}
"""Rules by name: a window's events, what to draw from and a strength in (0, 1] → the change."""


def _as_done_by(who: pl.DataFrame, what: pl.DataFrame, fixed: Sequence[str]) -> pl.DataFrame:
    """Who and when from one frame, all else from the other, row by row."""
    kept = [name for name in who.columns if name in fixed]
    return who.select(kept).hstack(what.drop(kept)).select(who.columns)
