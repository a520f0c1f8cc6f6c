"""What alerts make of incidents: which are found, how soon, at what cost for analysts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import polars as pl

from riskml.core.errors import require_positive
from riskml.evaluation.metrics import Metrics, of_alerts, ranking_metrics
from riskml.scoring.thresholds import days

CHOSEN = {"budget": "within_budget", "threshold": "alert"}
"""The column that says which windows are looked at, by the end of a metric's name."""

WEEK = 7.0


def detections(
    tables: Sequence[pl.DataFrame], incidents: pl.DataFrame | None, where: str
) -> pl.DataFrame:
    """Each incident of the test windows, and how it was found.

    Args:
        tables: of scores, one a fold: window_id, end, n_events, incidents (list of ids) and the
            column of `CHOSEN`. A window in several folds is one window, looked at if it is in any.
        incidents: incident_id, scenario, user_id, start; None where only the ids are known. Those
            without a test window are left out.
        where: `budget` or `threshold`.

    Returns:
        incident_id, scenario, user_id, start (of the first event; without `incidents` of the first
        window), windows, alerts, found, found_at (end of the first window looked at),
        days_to_detect (from start to found_at) and events_to_detect (events in the incident's
        windows that end until then, those of the found window among them); sorted by incident_id.
    """
    found = pl.col("found")
    windows = (
        pl.concat([table.select(_KEYS, found=CHOSEN[where]) for table in tables])
        .rename({"incidents": "incident_id"})
        .explode("incident_id")
        .drop_nulls("incident_id")
        .group_by("incident_id", "window_id")
        .agg(pl.col("user_id", "start", "end", "n_events").first(), found.any())
    )
    by_incident = (
        windows.with_columns(
            found_at=pl.col("end").filter(found).min().over("incident_id"),
        )
        .group_by("incident_id")
        .agg(
            pl.col("user_id", "start").sort_by("start", "window_id").first(),
            windows=pl.len(),
            alerts=found.sum(),
            found=found.any(),
            found_at=pl.col("found_at").first(),
            events_to_detect=pl.when(found.any()).then(
                pl.col("n_events").filter(pl.col("end") <= pl.col("found_at")).sum()
            ),
        )
    )
    if incidents is None:
        known = by_incident.with_columns(scenario=pl.lit(None, pl.String))
    else:
        told = incidents.select("incident_id", "scenario", began="start").unique("incident_id")
        known = by_incident.join(told, on="incident_id", how="left", validate="1:1").with_columns(
            start=pl.coalesce("began", "start")
        )
    return known.select(
        "incident_id",
        "scenario",
        "user_id",
        "start",
        "windows",
        "alerts",
        "found",
        "found_at",
        days_to_detect=(pl.col("found_at") - pl.col("start")) / timedelta(days=1),
        events_to_detect=pl.col("events_to_detect").cast(pl.Int64),
    ).sort("incident_id")


_KEYS = ("window_id", "user_id", "start", "end", "n_events", "incidents")


def incident_metrics(
    tables: Sequence[pl.DataFrame],
    incidents: pl.DataFrame | None,
    where: str,
    normal_weight: float = 1.0,
) -> Metrics:
    """Incident metrics of the windows looked at; folds are counted together.

    Args:
        tables: of scores, one a fold, see `detections`; with label.
        incidents: see `detections`.
        where: `budget` or `threshold`.
        normal_weight: how many normal windows each normal one stands for.

    Returns:
        `incident_recall`: share of incidents with a window looked at, None without incidents;
        `days_to_detect_` and `events_to_detect_` `median` and `mean`, of the incidents found alone:
        those never found have none, so read them beside the recall;
        `alerts_per_true_incident`: alerts for each incident found;
        `false_alerts_per_day`: normal windows among the alerts, a day of the test periods;
        `benign_users_flagged_per_week`: users without any risky window in the fold who have an
        alert, counted once a week (of seven days from the fold's first UTC day). Where normal
        windows stand for others it is None: whose those are is not known.

    Raises:
        ConfigError: `normal_weight` is no finite number above 0.
    """
    require_positive("normal_weight", normal_weight)
    each = detections(tables, incidents, where)
    caught = each.filter("found")
    hits = sum(int((table[CHOSEN[where]] & (table["label"] == 1)).sum()) for table in tables)
    false = normal_weight * sum(
        int((table[CHOSEN[where]] & (table["label"] == 0)).sum()) for table in tables
    )
    spans = [days(table) for table in tables if len(table)]
    weeks = sum(max(1.0, span / WEEK) for span in spans)
    flagged = sum(_benign_user_weeks(table, CHOSEN[where]) for table in tables)
    return {
        "incident_recall": len(caught) / len(each) if len(each) else None,
        **{
            f"{name}_to_detect_{statistic}": _number(
                getattr(caught[f"{name}_to_detect"], statistic)()
            )
            for name in ("days", "events")
            for statistic in ("median", "mean")
        },
        "alerts_per_true_incident": (hits + false) / len(caught) if len(caught) else None,
        "false_alerts_per_day": false / sum(spans) if spans else None,
        "benign_users_flagged_per_week": flagged / weeks if weeks and normal_weight == 1 else None,
    }


def by_group(
    table: pl.DataFrame,
    incidents: pl.DataFrame | None,
    column: str,
    normal_weight: float = 1.0,
) -> pl.DataFrame:
    """The main metrics of each group of windows.

    Args:
        table: of scores with label, see `detections`.
        incidents: see `detections`.
        column: a column of the table (`peer`, say), or
            `scenario`: the risky windows of its incidents among all normal windows, since normal
            windows have no scenario; or
            `tenure`: users without a train window ("unseen"), those still learnt ("new"), and the
            others ("known").
        normal_weight: how many normal windows each normal one stands for.

    Returns:
        One row a group in order: group, windows, users, positives, incidents, average_precision,
        roc_auc, recall_at_budget, recall_at_threshold, incident_recall_at_budget,
        incident_recall_at_threshold; null where not defined.

    Raises:
        ConfigError: `normal_weight` is no finite number above 0.
    """
    require_positive("normal_weight", normal_weight)
    groups = _scenarios(table, incidents) if column == "scenario" else _parts(table, column)
    rows = [
        {"group": name, **_group_metrics(part, normal_weight)} for name, part in groups if len(part)
    ]
    return pl.DataFrame(rows, schema=_GROUP_SCHEMA)


_GROUP_SCHEMA = {
    "group": pl.String,
    **dict.fromkeys(("windows", "users", "positives", "incidents"), pl.Int64),
    **dict.fromkeys(("average_precision", "roc_auc"), pl.Float64),
    **{f"recall_at_{where}": pl.Float64 for where in CHOSEN},
    **{f"incident_recall_at_{where}": pl.Float64 for where in CHOSEN},
}


def _group_metrics(part: pl.DataFrame, normal_weight: float) -> dict[str, float | None]:
    labels = part["label"].to_numpy()
    ranking = ranking_metrics(labels, part["score"].to_numpy(), normal_weight)
    row: dict[str, float | None] = {
        "windows": len(part),
        "users": part["user_id"].n_unique(),
        "positives": int(labels.sum()),
        **{name: ranking[name] for name in ("average_precision", "roc_auc")},
    }
    for where, column in CHOSEN.items():
        found = detections([part], None, where)
        hits = float((part[column] & (part["label"] == 1)).sum())
        row |= {
            "incidents": len(found),
            f"recall_at_{where}": of_alerts(hits, hits, float(labels.sum()))["recall"],
            f"incident_recall_at_{where}": _number(found["found"].mean()),
        }
    return row


def _parts(table: pl.DataFrame, column: str) -> list[tuple[str, pl.DataFrame]]:
    if column == "tenure":
        unseen, new = pl.col("known_windows") == 0, pl.col("learning")
        tenure = pl.when(unseen).then(pl.lit("unseen")).when(new).then(pl.lit("new"))
        table = table.with_columns(tenure=tenure.otherwise(pl.lit("known")))
    parts = table.partition_by(column, as_dict=True)
    return [(_shown(name), parts[(name,)]) for name in table[column].unique().sort()]


def _scenarios(
    table: pl.DataFrame, incidents: pl.DataFrame | None
) -> list[tuple[str, pl.DataFrame]]:
    """Risky windows of each scenario with all normal ones; a window's other incidents go."""
    if incidents is None:
        return []
    groups = []
    for (scenario,), own in incidents.sort("scenario").group_by("scenario", maintain_order=True):
        ids = pl.col("incidents").list.set_intersection(own["incident_id"].unique().to_list())
        part = table.with_columns(incidents=ids).filter(
            (pl.col("label") == 0) | (pl.col("incidents").list.len() > 0)
        )
        if part["label"].sum():
            groups.append((_shown(scenario), part))
    return groups


def _benign_user_weeks(table: pl.DataFrame, column: str) -> int:
    if table.is_empty():
        return 0
    first = table["start"].dt.date().min()
    attacked = table.filter(pl.col("label") == 1)["user_id"].unique()
    week = (pl.col("end").dt.date() - first).dt.total_days() // int(WEEK)
    flagged = table.filter(pl.col(column) & ~pl.col("user_id").is_in(attacked.implode()))
    return flagged.select("user_id", week=week).n_unique()


def _shown(group: object) -> str:
    return "unknown" if group is None else str(group)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
