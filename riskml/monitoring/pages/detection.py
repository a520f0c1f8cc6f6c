"""How many alerts, how grave, what became of them, and was the budget kept?"""

from __future__ import annotations

from riskml.monitoring.panels import SECONDS, Page, Row, curves, number

DETECTION = Page(
    "riskml-detection",
    "riskml: detection quality",
    "For auditors: how many alerts, how grave, what became of them, and was the budget kept?",
    (
        Row(
            "At a glance",
            (
                number(
                    "Alerts a day, promised",
                    "What the threshold was set for.",
                    "max by (job) (riskml_alert_budget_per_day)",
                    legend="{{job}}",
                ),
                number(
                    "Alerts in the last day",
                    "Of streams and services.",
                    "riskml:alerts:increase1d",
                    legend="{{job}}",
                ),
                number(
                    "Alerts a day, last run",
                    "Of the scoring job, over the days that its windows cover.",
                    "riskml:run_alerts:per_day",
                    legend="{{job}}",
                ),
                number(
                    "Alerts that nobody has looked at",
                    "Open ones in the log.",
                    'sum(riskml_logged_alerts{state="open"})',
                ),
            ),
        ),
        Row(
            "Alerts",
            (
                curves(
                    "In the log by severity",
                    "All that were ever raised.",
                    "",
                    ("sum by (severity) (riskml_logged_alerts)", "{{severity}}"),
                ),
                curves(
                    "In the log by state",
                    "What people made of them; false_alarm is a verdict.",
                    "",
                    ("sum by (state) (riskml_logged_alerts)", "{{state}}"),
                ),
                curves(
                    "Raised windows by rule",
                    "Which rule decided, and whether people are told: docs/alerts.md.",
                    "",
                    ("riskml_logged_windows", "{{rule}}, told: {{told}}"),
                ),
            ),
        ),
        Row(
            "Streams",
            (
                curves(
                    "Alerts an hour",
                    "On whole windows; early ones on windows that still grow; withdrawn ones that "
                    "the whole window did not bear out.",
                    "",
                    ("sum(increase(riskml_alerts_total[1h]))", "whole"),
                    ("sum(increase(riskml_alerts_early_total[1h]))", "early"),
                    ("sum(increase(riskml_alerts_withdrawn_total[1h]))", "withdrawn"),
                ),
                curves(
                    "From event to alert",
                    "Of half of the alerts, and of all but one in twenty.",
                    SECONDS,
                    (
                        "histogram_quantile(0.5, sum by (le) "
                        '(rate(riskml_detection_latency_seconds_bucket{job!~"riskml_score.*"}[1h])))',
                        "half",
                    ),
                    ("riskml:detection_latency_seconds:p95_1h", "19 in 20"),
                ),
            ),
        ),
    ),
)
