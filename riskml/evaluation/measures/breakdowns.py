"""For whom and against what a detector does how well: by scenario, role and tenure, over folds."""

from __future__ import annotations

import polars as pl

from riskml.core.types import PEER
from riskml.evaluation.comparison import Row
from riskml.evaluation.measures.incidents import by_group

BREAKDOWNS = {"scenario": "scenario", "role": PEER, "tenure": "tenure"}
"""What `by_group` divides by, under the names of metrics.json."""

RANKING = ("average_precision", "roc_auc")


def break_down(row: Row, by: str) -> pl.DataFrame:
    """The main metrics of each group of windows, those of the first seed.

    Counts and recalls are of all folds together. Ranking metrics are the mean over folds, since
    scores of different refits cannot be compared.

    Args:
        row: with labels.
        by: one of `BREAKDOWNS`.

    Returns:
        See `by_group`; no rows by scenario where no incidents are known.
    """
    column = BREAKDOWNS[by]
    evaluations = [each for each in row.evaluations if each.seed == row.seeds[0]]
    tables = [each.scores for each in evaluations]
    shared = [name for name in tables[0].columns if all(name in table for table in tables)]
    known = [each.incidents for each in evaluations if each.incidents is not None]
    incidents = pl.concat(known).unique("incident_id", maintain_order=True) if known else None
    whole = pl.concat([table.select(shared) for table in tables], how="vertical_relaxed")
    weight = evaluations[0].normal_weight
    found = by_group(whole, incidents, column, weight)
    if len(tables) == 1:
        return found
    means = (
        pl.concat([by_group(table, incidents, column, weight) for table in tables])
        .group_by("group")
        .agg(pl.col(RANKING).mean())
    )
    means = found.select("group").join(means, on="group", how="left", maintain_order="left")
    return found.with_columns(means.select(RANKING))
