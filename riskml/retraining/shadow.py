"""A challenger beside the champion on what came after both were trained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from riskml.alerting.feedback import Verdict
from riskml.core.errors import DataError
from riskml.evaluation.agreement import agreement, joined
from riskml.evaluation.injection import inject
from riskml.evaluation.measures.bootstrap import Difference, resample
from riskml.export.bundle import Bundle
from riskml.features.windows import WINDOW_ID
from riskml.retraining.policy import RetrainPolicy
from riskml.serving.scoring import close_here
from riskml.serving.side_by_side import Side, check_same_windows, score_log
from riskml.serving.standing import known_until

RESAMPLES = 2_000
PRECISION = "average_precision"


@dataclass(frozen=True)
class Watched:
    """What a challenger did beside the champion.

    Args:
        windows: that both scored.
        anomalies: windows with made-up anomalies among them, all draws together.
        incidents: windows that people called incidents.
        precision: average precision of champion and challenger; all of those are to be found.
        difference: challenger above champion, paired by user; None where there is nothing to find.
        alerts_a_day: of champion and challenger, windows with made-up anomalies left out.
        promised_a_day: of the challenger.
        spearman: rank correlation of both; None where one scores all windows alike.
    """

    windows: int
    anomalies: int
    incidents: int
    precision: tuple[float, float]
    difference: Difference | None
    alerts_a_day: tuple[float, float]
    promised_a_day: float
    spearman: float | None

    def plain(self) -> dict[str, Any]:
        """Values for JSON."""
        found = self.difference
        return {
            "windows": self.windows,
            "anomalies": self.anomalies,
            "incidents": self.incidents,
            "champion_average_precision": self.precision[0],
            "challenger_average_precision": self.precision[1],
            "difference": None if found is None else found.value,
            "difference_low": None if found is None else found.low,
            "difference_high": None if found is None else found.high,
            "champion_alerts_a_day": self.alerts_a_day[0],
            "challenger_alerts_a_day": self.alerts_a_day[1],
            "promised_alerts_a_day": self.promised_a_day,
            "spearman": self.spearman,
        }

    def judged(self, policy: RetrainPolicy) -> tuple[bool, str]:
        """Whether the challenger takes over, and why, in words."""
        if self.difference is None:
            return False, "nothing to be found among the watched windows: shadow longer"
        value, low, high = self.difference.value, self.difference.low, self.difference.high
        told = (
            f"average precision {self.precision[1]:.3f} after {self.precision[0]:.3f}, "
            f"difference {value:+.3f} ({low:+.3f} to {high:+.3f})"
        )
        if low <= -policy.margin:
            return False, f"{told}: it may be worse by more than {policy.margin:g}"
        before, after = self.alerts_a_day
        if after > max(policy.most_alerts * self.promised_a_day, before):
            return False, (
                f"{told}, but {after:.1f} alerts a day where {self.promised_a_day:.1f} were "
                f"promised and the champion raises {before:.1f}"
            )
        return True, f"{told}, {after:.1f} alerts a day"


def watch(
    champion: Bundle,
    challenger: Bundle,
    events: pl.DataFrame,
    since: datetime,
    until: datetime,
    verdicts: pl.DataFrame,
    policy: RetrainPolicy,
) -> Watched:
    """Score the block after the training with both, with anomalies made up among its windows.

    Args:
        champion: as it was exported.
        challenger: likewise.
        events: of the whole log, in order of time.
        since: the first moment that the challenger has not learnt from.
        until: the moment after the last.
        verdicts: `window_id` and `verdict`, the last of each window.
        policy: how many anomalies, and which.

    Raises:
        ConfigError: both cut the log into other windows.
        DataError: there is too little between `since` and `until`.
    """
    check_same_windows(champion, challenger)
    extractor = champion.extractor
    fixed = (*extractor.peers.reads(), *extractor.window.columns())
    log = extractor.assign(events.filter(pl.col("timestamp") < until))
    log = log.sort("timestamp", maintain_order=True)
    before = log.filter(pl.col("timestamp") < since).drop(WINDOW_ID)
    ready = [_at(bundle, before) for bundle in (champion, challenger)]
    incidents = verdicts.filter(pl.col("verdict") == Verdict.TRUE_INCIDENT)[WINDOW_ID]
    sides: list[Side] = []
    tables: tuple[list[pl.DataFrame], list[pl.DataFrame]] = ([], [])
    for draw in range(policy.draws):
        made = inject(log, since, until, policy.families, policy.injected, draw, fixed)
        block = made.events.select(before.columns)
        anomalies = made.odd_windows(before, extractor)
        sides = [
            windows_since(score_log(bundle, block, name), since)
            for bundle, name in zip(ready, ("champion", "challenger"), strict=True)
        ]
        for side, found in zip(sides, tables, strict=True):
            found.append(to_resample(side, anomalies, incidents))
    first, second = (pl.concat(each) for each in tables)
    if first[WINDOW_ID].to_list() != second[WINDOW_ID].to_list():
        raise DataError("champion and challenger did not score the same windows of the same log")
    difference, precision = None, (0.0, 0.0)
    if 0 < first["label"].sum() < len(first):
        old, new = (resample(each, resamples=RESAMPLES) for each in tables)
        difference = new.above(old).get(PRECISION)
        precision = (old.values[PRECISION], new.values[PRECISION])
    days = max((until - since) / timedelta(days=1), 1.0) * policy.draws
    raised = [
        float(each.filter(~pl.col("made_up"))["alert"].sum()) / days for each in (first, second)
    ]
    return Watched(
        windows=len(tables[0][0]),
        anomalies=int(first["made_up"].sum()),
        incidents=int(tables[0][0][WINDOW_ID].is_in(incidents.to_list()).sum()),
        precision=precision,
        difference=difference,
        alerts_a_day=(raised[0], raised[1]),
        promised_a_day=float(sides[1].promised or 0.0),
        spearman=agreement(joined(sides[0].rows, sides[1].rows), ())["spearman"],
    )


def _at(bundle: Bundle, events: pl.DataFrame) -> Bundle:
    """A bundle once it has scored what came before a moment."""
    known = known_until(bundle)
    new = events if known is None else events.filter(pl.col("timestamp") > known)
    if new.is_empty():
        return bundle
    closed = close_here(bundle, new)
    if not len(closed.windows):
        return closed.bundle
    _, alerting = bundle.alerts(closed.scores, closed.windows.keys)
    return replace(closed.bundle, alerting=alerting)


def windows_since(side: Side, since: datetime) -> Side:
    """The windows that begin from a moment on."""
    assert side.windows is not None
    chosen = (side.rows["window_start"] >= since).to_numpy()
    return replace(side, rows=side.rows.filter(chosen), windows=side.windows.take(chosen))


def to_resample(side: Side, anomalies: pl.Series, incidents: pl.Series) -> pl.DataFrame:
    """As `resample` reads scores, in order of window_id.

    Args:
        side: with its windows.
        anomalies: windows with made-up anomalies.
        incidents: windows that people called incidents.
    """
    assert side.windows is not None
    name = pl.col(WINDOW_ID)
    made_up = name.is_in(anomalies.to_list())
    label = made_up | name.is_in(incidents.to_list())
    named = pl.concat_list(name)
    return (
        side.windows.keys.select(WINDOW_ID, "user_id")
        .hstack(side.rows.select("score", "alert"))
        .with_columns(
            made_up.alias("made_up"),
            label.cast(pl.Int8).alias("label"),
            pl.when(label).then(named).otherwise(pl.lit([], pl.List(pl.String))).alias("incidents"),
            pl.lit(False).alias("within_budget"),
        )
        .sort(WINDOW_ID)
    )
