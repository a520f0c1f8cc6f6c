"""Whether windows and scores are still what they were: period by period, held to the reference.

A quantity drifts in a period when its shares lie further from the reference than chance and the
differences among the reference's own days explain (false discovery rate over all quantities, under
any dependence), and far enough to matter (PSI). People are woken by the second period in a row.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import false_discovery_control

from riskml.core.errors import DataError, require
from riskml.core.types import FloatArray, Windows
from riskml.monitoring.day_counts import LEAST_WINDOWS, counted, days_of
from riskml.monitoring.drift_periods import Periods, changed_actions, measured_periods
from riskml.monitoring.drift_reference import ACTIONS, SCORE, DriftReference, action_counts, watched

SCHEMA = {
    "begin": pl.Date(),
    "end": pl.Date(),
    "windows": pl.Int64(),
    "quantity": pl.String(),
    "psi": pl.Float64(),
    "q_value": pl.Float64(),
    "distance": pl.Float64(),
    "drifts": pl.Boolean(),
    "wakes": pl.Boolean(),
}
"""A row a period and quantity."""


@dataclass(frozen=True)
class DriftRules:
    """When drift is called so.

    Args:
        least_windows: of a period.
        psi: from which on a shift matters; 0.1 is said to be a moderate one, 0.2 a large one.
        significance: share of false ones among the quantities that are called drifting.
        in_a_row: periods in which a quantity drifts before anybody is woken.

    Raises:
        ConfigError: a setting is impossible.
    """

    least_windows: int = LEAST_WINDOWS
    psi: float = 0.1
    significance: float = 0.01
    in_a_row: int = 2

    def __post_init__(self) -> None:
        require("--least", self.least_windows, self.least_windows >= 1, "must be at least 1")
        require("--psi", self.psi, self.psi >= 0, "must not be negative")
        fits = 0 < self.significance < 1
        require("--significance", self.significance, fits, "must lie between 0 and 1")
        require("--in-a-row", self.in_a_row, self.in_a_row >= 1, "must be at least 1")


@dataclass(frozen=True)
class Drift:
    """What was found.

    Args:
        rules: that it was found by.
        reference: that it was held to.
        table: a row a period and quantity, columns of `SCHEMA`.
        actions: a row a period and action that came or went: begin, action, expected and seen
            (shares of events), change (`gone`, or `unknown` for those that training had not).
        waiting: windows after the last period, too few for one.
    """

    rules: DriftRules
    reference: DriftReference
    table: pl.DataFrame
    actions: pl.DataFrame
    waiting: int = 0

    @property
    def wakes(self) -> list[str]:
        """Quantities that somebody should look at now, the furthest first."""
        last = self.table.filter(pl.col("begin") == self.table["begin"].max(), pl.col("wakes"))
        return last.sort("psi", descending=True)["quantity"].to_list()

    @property
    def since(self) -> date | None:
        """First day of the stretch in which what wakes now has drifted; None: nothing wakes."""
        woken = self.table.filter(pl.col("quantity").is_in(self.wakes)).sort("quantity", "begin")
        unbroken = pl.col("drifts").reverse().cum_prod().reverse().cast(pl.Boolean)
        first = woken.filter(unbroken.over("quantity"))["begin"].min()
        assert first is None or isinstance(first, date)
        return first

    def episodes(self) -> pl.DataFrame:
        """Stretches of time in which anybody was woken: begin, end, quantities."""
        woken = (
            self.table.group_by("begin", "end")
            .agg(
                any=pl.col("wakes").any(),
                quantities=pl.col("quantity").filter(pl.col("wakes")),
            )
            .sort("begin")
            .with_columns(
                episode=(pl.col("any") & ~pl.col("any").shift(fill_value=False)).cum_sum()
            )
        )
        return (
            woken.filter("any")
            .group_by("episode", maintain_order=True)
            .agg(
                pl.col("begin").min(),
                pl.col("end").max(),
                pl.col("quantities")
                .list.explode(keep_nulls=False, empty_as_null=False)
                .unique()
                .sort(),
            )
            .drop("episode")
        )

    def plain(self) -> dict[str, Any]:
        """Values for JSON."""
        latest = self.table.filter(pl.col("begin") == self.table["begin"].max())
        return {
            "format": 1,
            "rules": asdict(self.rules),
            "reference": {
                "begin": self.reference.begin,
                "end": self.reference.end,
                "windows": self.reference.windows,
            },
            "periods": self.table["begin"].n_unique(),
            "waiting_windows": self.waiting,
            "wakes": self.wakes,
            "episodes": _plain(self.episodes()),
            "latest": _plain(latest.sort("psi", descending=True)),
            "actions": _plain(self.actions),
        }


def find_drift(
    reference: DriftReference,
    windows: Windows,
    scores: FloatArray,
    rules: DriftRules | None = None,
) -> Drift:
    """Hold windows to the reference.

    Args:
        reference: of the bundle that the windows were made with.
        windows: closed ones.
        scores: of them [n].
        rules: when drift is called so.

    Raises:
        DataError: they are fewer than a period takes.
    """
    rules = rules or DriftRules()
    order = np.argsort(days_of(windows), kind="stable")
    windows, scores = windows.take(order), scores[order]
    periods = Periods.of(days_of(windows), rules.least_windows)
    if not periods.slices:
        raise DataError(
            f"{len(windows):,} windows are too few: a period takes {rules.least_windows:,} "
            "(--least)"
        )
    values = {feature.name: windows.x[:, column] for column, feature in watched(windows.spec)}
    values[SCORE] = scores
    parts, changed = [], pl.DataFrame()
    for quantity in reference.quantities:
        if quantity.name == ACTIONS:
            counts, samples = action_counts(windows, periods.days), None
            changed = changed_actions(quantity, counts, windows.spec.actions, periods)
        else:
            samples = values[quantity.name]
            counts = counted(quantity.binned(samples), periods.days, quantity.bins)
        parts.append(measured_periods(quantity, counts, samples, periods, reference.windows))
    waiting = len(windows) - periods.slices[-1].stop
    return Drift(rules, reference, _judged(pl.concat(parts), rules), changed, waiting)


def _judged(measured: pl.DataFrame, rules: DriftRules) -> pl.DataFrame:
    """Corrected for many quantities, and for one period that is odd by itself."""
    parts = []
    for (_,), part in measured.group_by("begin", maintain_order=True):
        q_values = false_discovery_control(part["p_value"].to_numpy(), method="by")
        parts.append(part.with_columns(pl.Series("q_value", q_values)))
    drifts = (pl.col("q_value") <= rules.significance) & (pl.col("psi") >= rules.psi)
    table = pl.concat(parts).with_columns(drifts.alias("drifts")).sort("quantity", "begin")
    in_a_row = pl.col("drifts").cast(pl.Int64).rolling_sum(rules.in_a_row).over("quantity")
    return (
        table.with_columns(wakes=(in_a_row >= rules.in_a_row).fill_null(False))
        .with_columns(pl.col("begin", "end").cast(pl.Int32).cast(pl.Date))
        .select(*SCHEMA)
        .sort("begin", "quantity")
    )


def _plain(table: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows with values for JSON."""
    return table.with_columns(pl.col(pl.Date).dt.to_string("iso")).to_dicts()
