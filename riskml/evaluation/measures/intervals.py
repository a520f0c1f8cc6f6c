"""Intervals of every row of the table, and how far the detector in focus is above the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from riskml.evaluation.comparison import Row
from riskml.evaluation.measures.bootstrap import Resamples, mean_over_seeds, resample
from riskml.evaluation.measures.resampling import USER, WINDOW


def with_intervals(
    rows: Sequence[Row], resamples: int = 10_000, by: str | None = None, seed: int = 0
) -> tuple[Row, ...]:
    """The same rows with their intervals and leads; as they are where there is nothing to find.

    Rows whose numbers are withheld stay without.

    A detector of several seeds is measured on each draw with each of them, and the mean is taken.

    Args:
        rows: the detector in focus first.
        resamples: how many.
        by: what is drawn, see `riskml.evaluation.measures.bootstrap.resample`; users unless given,
            windows where there is one user alone.
        seed: of the draws, the same for all rows.
    """
    scores = [evaluation.scores for row in rows for evaluation in row.evaluations]
    if not all("label" in table.columns for table in scores):
        return tuple(rows)
    if by is None:
        users = {user for table in scores for user in table["user_id"].unique().to_list()}
        by = USER if len(users) > 1 else WINDOW
    found: list[Row] = []
    focus: Resamples | None = None
    for row in rows:
        if row.metrics.get("average_precision") is None:
            found.append(row)
            continue
        drawn = _resampled(row, resamples, by, seed)
        if row is rows[0]:
            focus = drawn
        # a detector that some folds do not suit has other windows than the one in focus
        paired = focus is not None and row is not rows[0] and focus.drawn_from == drawn.drawn_from
        lead = focus.above(drawn) if focus is not None and paired else {}
        found.append(replace(row, intervals=drawn.intervals(), lead=lead))
    return tuple(found)


def _resampled(row: Row, resamples: int, by: str, seed: int) -> Resamples:
    several = []
    for own in row.seeds:
        part = [evaluation for evaluation in row.evaluations if evaluation.seed == own]
        tables = [evaluation.scores for evaluation in part]
        several.append(resample(tables, part[0].normal_weight, by, resamples, seed))
    return mean_over_seeds(several)
