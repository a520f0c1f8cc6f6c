"""A comparison, with what several sections ask of it worked out once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from riskml.evaluation.checks.findings import REFUSED
from riskml.evaluation.comparison import About, Comparison, Difference, Row
from riskml.evaluation.evaluator import Evaluation
from riskml.evaluation.measures.breakdowns import BREAKDOWNS, break_down
from riskml.evaluation.measures.incidents import by_group, detections
from riskml.evaluation.measures.reliability import alerts_by_day
from riskml.evaluation.metrics import Metrics
from riskml.scoring.thresholds import days

MAIN = "average_precision"
"""What detectors are ranked and tested by."""

THRESHOLD, BUDGET = "threshold", "budget"

WINDOWS = {
    "user_day": "one day of one user",
    "session": "one session of one user",
    "block": "a fixed number of events of one user",
}
"""What gets one score, by the kind of window."""

AHEAD, BEHIND, OPEN = "ahead", "behind", "open"


@dataclass(frozen=True)
class View:
    """What is looked at.

    Single alerts, incidents and days are those of the focus's first seed, over all folds.
    """

    comparison: Comparison

    @property
    def about(self) -> About:
        """What was evaluated."""
        return self.comparison.about

    @property
    def focus(self) -> Row:
        """The detector in focus."""
        return self.comparison.focus

    @property
    def metrics(self) -> Metrics:
        """Those of the detector in focus."""
        return self.focus.metrics

    @cached_property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """Of the focus: one a fold, with the first seed."""
        return first_seed(self.focus)

    @cached_property
    def tables(self) -> list[pl.DataFrame]:
        """Scores of the focus, one table a fold."""
        return [evaluation.scores for evaluation in self.evaluations]

    @cached_property
    def whole(self) -> pl.DataFrame:
        """The same as one table; scores of different folds cannot be compared."""
        shared = [c for c in self.tables[0].columns if all(c in t.columns for t in self.tables)]
        return pl.concat([table.select(shared) for table in self.tables], how="vertical_relaxed")

    @cached_property
    def test_days(self) -> float:
        """Days that the test periods cover, together."""
        return sum(days(table) for table in self.tables)

    @property
    def has_labels(self) -> bool:
        """Whether the truth is known."""
        return "label" in self.whole.columns

    @cached_property
    def refusals(self) -> list[str]:
        """Why figures of the focus are withheld or must not be used; empty where they stand."""
        found = [why for each in self.focus.evaluations if (why := each.refused)]
        found += [
            finding.text
            for finding in self.comparison.findings
            if finding.verdict == REFUSED and finding.detector in (None, self.focus.name)
        ]
        return [*dict.fromkeys(part for why in found for part in why.split("; "))]

    @cached_property
    def positives(self) -> int:
        """How many test windows are truly risky; 0 without truth."""
        return int(self.whole["label"].sum()) if self.has_labels else 0

    @cached_property
    def alerts(self) -> int:
        """How many alerts were raised."""
        return int(self.whole["alert"].sum())

    @cached_property
    def incidents(self) -> pl.DataFrame | None:
        """Every incident that any fold knows of, see `PreparedWindows`."""
        known = [e.incidents for e in self.evaluations if e.incidents is not None]
        return pl.concat(known).unique("incident_id", maintain_order=True) if known else None

    @cached_property
    def detections(self) -> pl.DataFrame:
        """Each incident of the test windows, and how alerts found it."""
        return detections(self.tables, self.incidents, THRESHOLD)

    @property
    def has_incidents(self) -> bool:
        """Whether there are any in the test windows."""
        return self.has_labels and not self.detections.is_empty()

    @cached_property
    def by_day(self) -> pl.DataFrame:
        """Alerts promised and delivered by UTC day, folds together; see `alerts_by_day`."""
        parts = [
            alerts_by_day(e.scores, e.metrics.get("alerts_promised")) for e in self.evaluations
        ]
        return (
            pl.concat(parts)
            .group_by("day")
            .agg(
                pl.col("windows", "alerts").sum(),
                *(
                    pl.when(pl.col(name).is_not_null().any()).then(pl.col(name).sum())
                    for name in ("true_alerts", "promised")
                ),
            )
            .sort("day")
        )

    def groups(self, by: str) -> pl.DataFrame:
        """See `break_down`, and `false_alarms`: normal windows with an alert; not by scenario."""
        found = break_down(self.focus, by)
        if by == "scenario":
            return found
        false = self.whole.filter(pl.col("alert") & (pl.col("label") == 0))
        alarms = by_group(false, None, BREAKDOWNS[by]).select("group", false_alarms="windows")
        joined = found.join(alarms, on="group", how="left", maintain_order="left")
        return joined.with_columns(pl.col("false_alarms").fill_null(0))

    @cached_property
    def others(self) -> list[Row]:
        """All but the focus, best first."""
        return sorted(self.comparison.rows[1:], key=rank)

    def standing(self, row: Row) -> str | None:
        """Whether the focus is `AHEAD` of a detector, `BEHIND` it, or it is `OPEN`.

        Only an interval of the paired difference that leaves zero out counts; None where there is
        no such interval.
        """
        lead = self.lead(row)
        if lead is None:
            return None
        return AHEAD if lead.low > 0 else BEHIND if lead.high < 0 else OPEN

    def lead(self, row: Row) -> Difference | None:
        """How far the focus is above a detector in the main metric."""
        return row.lead.get(MAIN)

    def standings(self, kind: str | None) -> list[str]:
        """Names of the detectors of that standing, best first."""
        return [row.name for row in self.others if self.standing(row) == kind]


def first_seed(row: Row) -> tuple[Evaluation, ...]:
    """Evaluations with the row's first seed, one a fold."""
    return tuple(e for e in row.evaluations if e.seed == row.seeds[0])


def rank(row: Row) -> tuple[float, str]:
    """Sorts the best first, those without the main metric last."""
    value = row.metrics.get(MAIN)
    return (1.0 if value is None else -value, row.name)


def best(rows: Sequence[Row]) -> Row | None:
    """The one with the highest main metric, if any has it."""
    ranked = [row for row in rows if row.metrics.get(MAIN) is not None]
    return min(ranked, key=rank) if ranked else None
