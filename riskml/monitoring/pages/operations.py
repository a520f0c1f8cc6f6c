"""Does everything run, how much comes in, what goes wrong?"""

from __future__ import annotations

from riskml.monitoring.panels import BYTES, PER_SECOND, RATIO, SECONDS, Page, Row, curves, number

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
