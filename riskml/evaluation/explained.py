"""Alerts with their reasons, and the raw events behind them."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from riskml.core.types import Explanations
from riskml.data.datasets import Dataset
from riskml.data.splits import PERIOD
from riskml.evaluation.evaluator import Evaluation
from riskml.evaluation.outputs import alert_rows, alerts_table
from riskml.features.extractor import FeatureExtractor
from riskml.features.preparation import PreparedWindows
from riskml.features.windows import WINDOW_ID
from riskml.models.attribution import split_rest
from riskml.models.base import Detector
from riskml.scoring.explain import Explainer

FOLD = "fold"
SHOWN_ALERTS = 20
"""How many alerts the report shows with their events."""


def explain_alerts(
    evaluation: Evaluation, detector: Detector, explainer: Explainer, windows: PreparedWindows
) -> Explanations:
    """Reasons of each alert, riskiest first.

    From exact shares; what they leave without a feature by gradients; else, where the detector has
    neither, from the distance to the usual range.
    """
    rows = alert_rows(evaluation)["row"].to_numpy().astype("int64")
    alerts = windows.test.take(rows)
    exact = detector.contributions_after(windows.before_test, windows.test, rows)
    shares, topics = split_rest(detector, alerts, exact, explainer.usual(alerts))
    return explainer.explain(alerts, shares, topics)


def events_behind(
    alerts: pl.DataFrame, dataset: Dataset, extractor: FeatureExtractor
) -> pl.DataFrame:
    """The events of these windows in order of time, with their `window_id`."""
    own = dataset.events.drop(PERIOD).filter(
        pl.col("user_id").is_in(alerts["user_id"].unique().to_list())
    )
    if alerts.is_empty():
        return own.with_columns(pl.lit(None, pl.String).alias(WINDOW_ID))
    shown = alerts.select(WINDOW_ID)
    found = extractor.assign(own).join(shown, on=WINDOW_ID, how="semi", maintain_order="left")
    return found.sort("timestamp", maintain_order=True)


def alerts_and_events(
    evaluation: Evaluation,
    detector: Detector,
    explainer: Explainer,
    windows: PreparedWindows,
    dataset: Dataset,
    extractor: FeatureExtractor,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Alerts with reasons, riskiest first, and the events behind the first of them; with `fold`."""
    reasons = explain_alerts(evaluation, detector, explainer, windows)
    alerts = alerts_table(evaluation, reasons)
    events = events_behind(alerts.head(SHOWN_ALERTS), dataset, extractor)
    fold = pl.lit(evaluation.fold, pl.Int64).alias(FOLD)
    return alerts.with_columns(fold), events.with_columns(fold)


def over_folds(
    found: Sequence[tuple[pl.DataFrame, pl.DataFrame]],
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Alerts and events of several folds as one: the rarest alerts first, whatever their scores.

    Scores of detectors that were fitted apart do not compare; their p-values do.
    """
    alerts = pl.concat([alerts for alerts, _ in found])
    events = pl.concat([events for _, events in found])
    if len(found) > 1:
        alerts = alerts.sort("p_value", FOLD, "row", maintain_order=True)
    shown = alerts.head(SHOWN_ALERTS).select(FOLD, WINDOW_ID)
    events = events.join(shown, on=[FOLD, WINDOW_ID], how="semi", maintain_order="left")
    return alerts, events.sort("timestamp", maintain_order=True)
