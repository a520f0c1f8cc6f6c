"""Which model scores, how old is it, and is its world still the same?"""

from __future__ import annotations

from riskml.monitoring.panels import RATIO, SECONDS, Page, Panel, Query, Row, curves, number

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
