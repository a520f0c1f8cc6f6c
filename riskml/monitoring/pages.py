"""The dashboards: operations, detection quality, model health, service levels."""

from __future__ import annotations

from riskml.monitoring.panels import (
    BYTES,
    PER_SECOND,
    RATIO,
    SECONDS,
    Page,
    Panel,
    Query,
    Row,
    curves,
    number,
)

OPERATIONS = Page(
    "riskml-operations",
    "riskml: operations",
    "For whoever keeps it running: does everything run, how much comes in, what goes wrong?",
    (
        Row(
            "At a glance",
            (
                number(
                    "Since the last success",
                    "Of each command; the scoring job runs once a night, the others always.",
                    "time() - max by (command) (riskml_last_success_timestamp_seconds)",
                    SECONDS,
                    legend="{{command}}",
                ),
                number(
                    "Events set apart, 1 h",
                    "Late, in the future or no events; dead letters and quarantine say why.",
                    "riskml:events_apart:ratio_rate1h",
                    RATIO,
                    0.05,
                ),
                number(
                    "Errors logged, 1 h",
                    "By the part of riskml that logged them; its log says more.",
                    'sum(increase(riskml_log_messages_total{level="error"}[1h])) or vector(0)',
                    "",
                    1,
                ),
                number(
                    "Oldest message that waits",
                    "Of alerts that people are to be told; 0 where none waits.",
                    "(time() - max(riskml_outbox_oldest_timestamp_seconds > 0)) or vector(0)",
                    SECONDS,
                    900,
                ),
            ),
        ),
        Row(
            "What comes in",
            (
                curves(
                    "Events by what became of them",
                    "Of streams and services.",
                    PER_SECOND,
                    (
                        "sum by (outcome) (rate(riskml_events_total[$__rate_interval]))",
                        "{{outcome}}",
                    ),
                ),
                curves(
                    "Windows scored",
                    "Of streams and services.",
                    PER_SECOND,
                    (
                        "sum by (job) (rate(riskml_windows_scored_total[$__rate_interval]))",
                        "{{job}}",
                    ),
                ),
                curves(
                    "Event time behind the clock",
                    "Watermark of streams: windows of before it are closed.",
                    SECONDS,
                    (
                        'time() - riskml_watermark_timestamp_seconds{job!~"riskml_score.*"}',
                        "{{instance}}",
                    ),
                ),
            ),
        ),
        Row(
            "The scoring job's last run",
            (
                curves(
                    "Events by what became of them",
                    "Of the last run; repeated ones are mostly the overlap, read once more.",
                    "",
                    ("riskml_run_events", "{{outcome}}"),
                ),
                curves(
                    "Windows and alerts",
                    "Of the last run.",
                    "",
                    ("riskml_run_windows_scored", "windows"),
                    ("riskml_run_alerts", "alerts"),
                ),
                curves(
                    "How long it took",
                    "The last run.",
                    SECONDS,
                    ("riskml_run_duration_seconds", "run"),
                ),
            ),
        ),
        Row(
            "Telling people",
            (
                curves(
                    "Messages that wait",
                    "By channel; what goes to others is passed over in time.",
                    "",
                    ("riskml_outbox_waiting", "{{channel}}"),
                ),
                curves(
                    "Times in a row without an answer",
                    "By channel.",
                    "",
                    ("riskml_outbox_failures", "{{channel}}"),
                ),
                curves(
                    "Messages refused",
                    "By channel: it will never take them, see riskml_alert_refused.",
                    "",
                    ("riskml_outbox_refused", "{{channel}}"),
                ),
            ),
        ),
        Row(
            "Processes",
            (
                curves(
                    "Memory",
                    "Of streams and services.",
                    BYTES,
                    ('process_resident_memory_bytes{job=~"riskml.*"}', "{{job}} {{instance}}"),
                ),
                curves(
                    "What is known of users",
                    "In memory or mapped from files.",
                    BYTES,
                    ("riskml_profile_size_bytes", "{{job}} {{instance}}"),
                ),
                curves(
                    "Processor",
                    "Cores that streams and services use.",
                    "",
                    (
                        'rate(process_cpu_seconds_total{job=~"riskml.*"}[$__rate_interval])',
                        "{{job}} {{instance}}",
                    ),
                ),
            ),
        ),
    ),
)

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

MODEL = Page(
    "riskml-model",
    "riskml: model health",
    "For data scientists: which model scores, how old is it, and is its world still the same?",
    (
        Row(
            "The model",
            (
                Panel(
                    "Which",
                    "Detector and version (first signs of the bundle's seal).",
                    (
                        Query(
                            "max by (version, detector) (riskml_model_info)",
                            "{{detector}} {{version}}",
                        ),
                    ),
                    is_number=True,
                    names=True,
                ),
                number(
                    "Since the end of its training data",
                    "A quarter is long for people's habits.",
                    "time() - min(riskml_model_trained_until_timestamp_seconds)",
                    SECONDS,
                    90 * 86_400,
                ),
                number(
                    "Since it was exported",
                    "Age of the bundle.",
                    "time() - min(riskml_bundle_created_timestamp_seconds)",
                    SECONDS,
                ),
                number(
                    "Since it was loaded",
                    "By streams and services.",
                    'time() - min(riskml_bundle_loaded_timestamp_seconds{job!~"riskml_score.*"})',
                    SECONDS,
                ),
            ),
        ),
        Row(
            "Scores",
            (
                curves(
                    "Quantiles of raw scores",
                    "Of the last 10,000 windows; another model has another scale.",
                    "",
                    ("riskml_score", "{{job}} {{quantile}}"),
                ),
                curves(
                    "Windows with a p-value below 0.01",
                    "1 in 100 as long as the world is that of the calibration.",
                    RATIO,
                    ("riskml:windows_unlikely:ratio_rate1d", "a day"),
                    ("riskml_run_windows_unlikely / (riskml_run_windows_scored > 0)", "last run"),
                ),
            ),
        ),
        Row(
            "Input",
            (
                curves(
                    "Actions that training has not seen",
                    "Many: a new application, or a log that is mapped otherwise.",
                    RATIO,
                    ("riskml:actions_unknown:ratio_rate1d", "a day"),
                    (
                        'riskml_run_actions{known="no"} / ignoring (known) '
                        "(sum without (known) (riskml_run_actions) > 0)",
                        "last run",
                    ),
                ),
                curves(
                    "Quantities that moved furthest",
                    "Population stability index, as riskml drift says; over 0.1 it matters.",
                    "",
                    ("riskml_drift_psi", "{{quantity}}"),
                ),
                curves(
                    "Quantities that drift",
                    "In the last period; somebody should look where it goes on: docs/drift.md.",
                    "",
                    ("riskml_drift_drifting_quantities", "drift"),
                    ("riskml_drift_waking_quantities", "look"),
                ),
                curves(
                    "Reloads of the bundle, an hour",
                    "By result; after a refusal the model before goes on.",
                    "",
                    ("sum by (result) (increase(riskml_reloads_total[1h]))", "{{result}}"),
                ),
            ),
        ),
    ),
)

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

PAGES = (OPERATIONS, DETECTION, MODEL, SLA)
