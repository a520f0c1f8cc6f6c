"""What was promised, and whether it is kept."""

from __future__ import annotations

from riskml.monitoring.panels import PER_SECOND, RATIO, SECONDS, Page, Row, curves, number

SLA = Page(
    "riskml-sla",
    "riskml: service levels",
    "What was promised, and whether it is kept; deploy/prometheus/riskml.rules.yml wakes people.",
    (
        Row(
            "Kept?",
            (
                number(
                    "Requests failed, 3 days",
                    "At most 0.1 % may.",
                    "riskml:requests_failed:ratio_rate3d",
                    RATIO,
                    0.001,
                ),
                number(
                    "Answers over 250 ms, 1 h",
                    "At most 1 % may.",
                    "riskml:requests_slow:ratio_rate1h",
                    RATIO,
                    0.01,
                ),
                number(
                    "Alerts told within",
                    "All but one in twenty, within a minute.",
                    "riskml:detection_latency_seconds:p95_1h",
                    SECONDS,
                    60,
                ),
                number(
                    "Scores are this old",
                    "The scoring job runs every day.",
                    'time() - max(riskml_last_success_timestamp_seconds{command="score"})',
                    SECONDS,
                    26 * 3_600,
                ),
            ),
        ),
        Row(
            "Requests",
            (
                curves(
                    "How fast the error budget burns",
                    "1: it lasts the month. Over 14.4 in an hour and 5 minutes, or over 6 in 6 "
                    "hours and 30 minutes, somebody is woken.",
                    "",
                    ("riskml:requests_failed:ratio_rate1h / 0.001", "1 h"),
                    ("riskml:requests_failed:ratio_rate6h / 0.001", "6 h"),
                ),
                curves(
                    "Requests by answer",
                    "Of the service.",
                    PER_SECOND,
                    (
                        "sum by (status) (rate(riskml_http_requests_total[$__rate_interval]))",
                        "{{status}}",
                    ),
                ),
                curves(
                    "How long answers take",
                    "Half of them, and all but one in a hundred.",
                    SECONDS,
                    *(
                        (
                            f"histogram_quantile({q}, sum by (le) (rate("
                            "riskml_http_request_duration_seconds_bucket[$__rate_interval])))",
                            name,
                        )
                        for q, name in ((0.5, "half"), (0.99, "99 in 100"))
                    ),
                ),
            ),
        ),
        Row(
            "Alerts that fire",
            (
                curves(
                    "Of these rules",
                    "By name; docs/monitoring.md says what to do.",
                    "",
                    (
                        'sum by (alertname) (ALERTS{alertname=~"Riskml.*",alertstate="firing"}) '
                        "or vector(0)",
                        "{{alertname}}",
                    ),
                ),
            ),
        ),
    ),
)
