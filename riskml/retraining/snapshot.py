"""What a challenger learns from: the log up to a moment, without what may be an attack.

A retraining after drift reads days on which much is odd, and an attack among them would become
usual (poisoning, Biggio et al. 2012). So the highest windows of each day are held back, as the
champion ranks them: within a day, since drift lifts the scores of a day together.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl
from omegaconf import DictConfig, OmegaConf

from riskml.alerting.feedback import Verdict
from riskml.core.errors import reading
from riskml.core.types import FloatArray
from riskml.export.bundle import Bundle
from riskml.features.windows import WINDOW_ID

SNAPSHOT = "riskml.data.sources.SnapshotSource"
HELD_SCHEMA = {"event_id": pl.String(), WINDOW_ID: pl.String(), "why": pl.String()}
RANKED, CONFIRMED = "among the highest of its day", "a person called it an incident"


def highest_of_each_day(keys: pl.DataFrame, scores: FloatArray, share: float) -> pl.Series:
    """Ids of the windows that are held for their score.

    Args:
        keys: of the windows [n].
        scores: of them [n].
        share: of each day's windows; 0: none, above it one a day at least.

    >>> from datetime import date
    >>> days = pl.DataFrame({"window_id": ["a", "b", "c"], "end": [date(2024, 5, 1)] * 3})
    >>> highest_of_each_day(days, pl.Series([1.0, 3.0, 2.0]).to_numpy(), 0.1).to_list()
    ['b']
    """
    if not share:
        return pl.Series(WINDOW_ID, [], dtype=pl.String)
    day = pl.col("end").dt.date()
    ranked = keys.select(WINDOW_ID, day).with_columns(pl.Series("score", scores))
    place = pl.col("score").rank("ordinal", descending=True).over("end")
    room = (pl.len().over("end") * share).ceil()
    return ranked.sort(WINDOW_ID).filter(place <= room)[WINDOW_ID]


def held_events(
    bundle: Bundle,
    events: pl.DataFrame,
    highest: pl.Series,
    verdicts: pl.DataFrame,
    earlier: Path | None,
) -> pl.DataFrame:
    """Events that nothing is learnt from, and why: `HELD_SCHEMA`.

    A window that a person called an incident is held though it scores low; one that was called a
    false alarm is not held any more.

    Args:
        bundle: the champion.
        events: of the whole log.
        highest: ids of windows held for their score.
        verdicts: `window_id` and `verdict`, the last of each window.
        earlier: what was held when the champion itself was trained; None: nothing.
    """
    said = dict(verdicts.select(WINDOW_ID, "verdict").iter_rows())
    cleared = [name for name, verdict in said.items() if verdict == Verdict.FALSE_ALARM]
    sure = [name for name, verdict in said.items() if verdict == Verdict.TRUE_INCIDENT]
    chosen = dict.fromkeys(highest, RANKED) | dict.fromkeys(sure, CONFIRMED)
    windows = pl.DataFrame(
        {WINDOW_ID: list(chosen), "why": list(chosen.values())},
        schema={WINDOW_ID: pl.String(), "why": pl.String()},
    )
    found = [bundle.extractor.assign(events).join(windows, on=WINDOW_ID).select(*HELD_SCHEMA)]
    if earlier is not None:
        with reading(earlier):
            found.insert(0, pl.read_parquet(earlier).select(*HELD_SCHEMA))
    held = pl.concat(found).unique("event_id", keep="last", maintain_order=True)
    return held.filter(~pl.col(WINDOW_ID).is_in(cleared))


def log_behind(cfg: DictConfig) -> tuple[DictConfig, Path | None]:
    """The config with the source that a snapshot is of, and what that snapshot held back.

    Where the source stops at an `until` of its own, it goes on: that was the end of one training,
    and a champion that never sees later days would never be found to drift.
    """
    cfg = OmegaConf.create(OmegaConf.to_container(cfg))  # type: ignore[assignment]
    source, held = cfg.data.source, None
    if source.get("_target_") == SNAPSHOT:
        source, held = source.source, source.get("held")
    if "until" in source:
        source.until = None
    cfg.data.source = source
    return cfg, None if held is None else Path(held)
