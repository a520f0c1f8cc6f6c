"""What the metrics of docs/outputs.md mean, in a line each."""

from __future__ import annotations

from riskml.evaluation.reporting.numbers import NONE, count, duration, in_days, number

WHERE = {
    "at_budget": "of the windows that the budget has room for",
    "at_threshold": "of the alerts that were raised",
}

ALERTS = {
    "precision": "share of truly risky ones",
    "recall": "share of all risky windows among them",
    "f1": "harmonic mean of precision and recall",
    "incident_recall": "share of incidents with a window among them",
    "days_to_detect_median": "days from an incident's first event, in the middle of those found",
    "days_to_detect_mean": "days from an incident's first event, mean of those found",
    "events_to_detect_median": "events of an incident's windows until then, in the middle",
    "events_to_detect_mean": "events of an incident's windows until then, mean",
    "alerts_per_true_incident": "alerts for each incident found",
    "false_alerts_per_day": "normal windows among them, a day",
    "benign_users_flagged_per_week": "users without a risky window who have one among them, a week",
}

MEANINGS = {
    "test_windows": "windows that were judged",
    "positive_windows": "truly risky ones among them",
    "prevalence": "share of risky windows",
    "incidents": "known incidents in the test period",
    "average_precision": "precision, averaged over all risky windows from the highest score down",
    "average_precision_at_prevalence": "the same, as it would be at the stated prevalence",
    "roc_auc": "chance that a risky window scores above a normal one",
    "partial_roc_auc_0.01": "the same among the 1 % highest normal scores; 0.5 is chance",
    "oracle_f1": "the best F1 that any threshold has; chosen by the answers, so no result",
    "oracle_f1_threshold": "the score at which it lies",
    "oracle_brier": "squared error of the scores as probabilities, at their best; no result",
    "oracle_brier_skill": "the same against knowing nothing: 1 perfect, 0 no better",
    "alerts_at_threshold": "alerts that were raised",
    "alerts_at_budget": "windows that the budget has room for",
    "alerts_per_day_at_threshold": "alerts raised a day",
    "alerts_promised": "alerts that the budget allows for the test period",
    "alerts_delivered_ratio": "alerts raised as a share of those promised",
    "observed_at_p_0.01": "share of normal windows with a p-value up to 0.01; 0.01 is right",
    "p_value_gap": "largest distance between p-values and the shares they stand for",
    "threshold": "the score from which on a window is an alert, after the last of these windows",
    "fit_seconds": "time to fit",
    "score_seconds": "time to score the test windows",
    **{
        f"{name}_{where}": f"{what}: {meaning}"
        for where, what in WHERE.items()
        for name, meaning in ALERTS.items()
    },
    **{
        f"recall_at_fpr_{rate}": f"recall when {share} of normal windows are false alarms"
        for rate, share in (
            ("0.001", "0.1 %"),
            ("0.01", "1 %"),
            ("0.013", "1.3 %"),
            ("0.046", "4.6 %"),
            ("0.05", "5 %"),
        )
    },
    **{
        f"{name}_at_{k}_per_1000_users": f"{name} with {k} alerts a day per 1,000 users"
        for k in (1, 5, 10, 20, 50)
        for name in ("precision", "recall", "f1")
    },
    "cumulative_recall_50": "sum of the recalls at 1 to 50 alerts a day per 1,000 users",
    "cumulative_recall_area_50": "the same as a share of what is possible",
}


def shown(name: str, value: float | None) -> str:
    """A metric as people read it.

    >>> shown("incidents", 5), shown("average_precision", 0.51234), shown("f1_at_budget", None)
    ('5', '0.512', '–')
    """
    if value is None:
        return NONE
    if name.endswith("_seconds"):
        return duration(value)
    if name.startswith("days_to_detect"):
        return in_days(value)
    if name.startswith(("events_to_detect", "alerts_p", "false_alerts", "benign_users")):
        return count(value)
    return number(value, 0) if value == round(value) and abs(value) > 1 else number(value)
