"""Every environment variable that is read: who reads it, and what it means."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Variable:
    """One of them.

    Args:
        name: of it; at the end … for what follows.
        read_by: commands, in a word or two.
        meaning: what it says.
        secret: whether it holds, or may hold, a secret.
    """

    name: str
    read_by: str
    meaning: str
    secret: bool = False


_URL = "a database URL, or a folder"

VARIABLES = (
    Variable(
        "RISKML_SCORE_SOURCE", "score, drift, alerts ui", "where the log is: `--source`", True
    ),
    Variable("RISKML_SCORE_OUT", "score, graph", f"where scores go, {_URL}: `--out`", True),
    Variable("RISKML_STREAM_SINK", "stream", "where the stream tells: `--sink`", True),
    Variable("RISKML_STREAM_STATE", "stream", "where it keeps its state: `--state`", True),
    Variable("RISKML_STREAM_INSTANCE", "stream", "its name over restarts: `--instance`"),
    Variable("RISKML_KAFKA_…", "stream", "settings of librdkafka, such as SASL_PASSWORD", True),
    Variable("RISKML_ALERTS_FROM", "alerts take, report", "where scores were written", True),
    Variable("RISKML_ALERTS_URL", "alerts, report, graph", "the alert log: `--log`", True),
    Variable(
        "RISKML_FEEDBACK_URL",
        "feedback, triage, alerts ui, report, drift",
        "store of verdicts: `--feedback`",
        True,
    ),
    Variable(
        "RISKML_ALERTMANAGER_URL",
        "alerts silence, Airflow's DAGs",
        "Alertmanager: `--alertmanager`",
        True,
    ),
    Variable("RISKML_SLACK_URL", "alerts deliver", "Slack's incoming webhook", True),
    Variable("RISKML_PAGERDUTY_KEY", "alerts deliver", "PagerDuty's routing key", True),
    Variable("RISKML_SMTP_PASSWORD", "alerts deliver, report", "password at the mail server", True),
    Variable("RISKML_LINK_KEY", "alerts deliver, alerts ui", "seals links in mails", True),
    Variable("RISKML_PAGE_PEOPLE", "alerts ui", "who may sign in, in place of `--tokens`", True),
    Variable(
        "RISKML_SERVE_TOKEN", "serve", "tokens, comma separated, in place of `--token-file`", True
    ),
    Variable(
        "RISKML_BUNDLE_KEY",
        "train.py, bundle, registry, and all that load a bundle",
        "signs bundles, and asks for the signature",
        True,
    ),
    Variable(
        "RISKML_PSEUDONYM_KEY",
        "train.py, load, pseudonyms, alerts ui, report",
        "key of pseudonyms",
        True,
    ),
    Variable("RISKML_PSEUDONYM_STORE", "load, pseudonyms", "file with users' salts: `--store`"),
    Variable("RISKML_FROM_URL", "load", "table to load from: `--from`", True),
    Variable("RISKML_TO_URL", "load, quality, ddl", "event store: `--to`", True),
    Variable("RISKML_DATABASE_URL", "train.py data=database", "the log", True),
    Variable("RISKML_AIRFLOW_…", "Airflow's DAGs", "their settings ([airflow.md](airflow.md))"),
    Variable("RISKML_GRAPH_STORE", "graph", "graph file, or bolt://: `--store`"),
    Variable("RISKML_GRAPH_SOURCE", "graph load", "the log", True),
    Variable("RISKML_GRAPH_ALERTS", "graph", "where alerts are; before RISKML_SCORE_OUT", True),
    Variable("RISKML_GRAPH_USER", "graph", "user at Neo4j"),
    Variable("RISKML_GRAPH_PASSWORD", "graph", "password at Neo4j", True),
    Variable("RISKML_GRAPH_DATABASE", "graph", "database in Neo4j"),
    Variable("RISKML_GRAFANA_URL", "dashboards publish", "Grafana: `--grafana`", True),
    Variable("RISKML_GRAFANA_TOKEN", "dashboards publish", "token of a service account", True),
    Variable("RISKML_METRICS", "score, drift, alerts", "Pushgateway or *.prom: `--metrics`", True),
    Variable("RISKML_LOG_FORMAT", "all", "console or json: `--log-format`"),
    Variable("RISKML_LOG_LEVEL", "all", "such as info,riskml.streaming=debug: `--log-level`"),
    Variable(
        "RISKML_ROOT", "train.py, evaluate.py", "folder of conf and outputs; theirs unless set"
    ),
    Variable("RISKML_DATA", "train.py, evaluate.py", "folder of the public data sets"),
    Variable("RISKML_DATABASE_PASSWORD", "docker-compose.yaml", "of its PostgreSQL", True),
    Variable("RISKML_GRAFANA_PASSWORD", "docker-compose.yaml", "of its Grafana", True),
    Variable("MLFLOW_TRACKING_URI", "registry, retrain", "MLflow's store: `--store`", True),
    Variable("MLFLOW_…", "train.py, registry", "MLflow's own; telemetry is off unless set"),
    Variable("OTEL_EXPORTER_OTLP_ENDPOINT", "score, stream, serve, alerts", "where traces go"),
    Variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "the same", "the same, for traces alone"),
    Variable("OTEL_SDK_DISABLED", "the same", "true: no traces"),
    Variable("OTEL_…", "the same", "OpenTelemetry's own, such as OTEL_TRACES_SAMPLER"),
    Variable("TRACEPARENT", "all", "trace that a command goes on with (W3C)"),
    Variable("HYDRA_FULL_ERROR", "train.py, evaluate.py", "1: tracebacks"),
    Variable("PYTHONHASHSEED", "train.py", "put back after a model is fitted"),
    Variable(
        "RAY_…",
        "score, features, train.py with Ray",
        "Ray's own; its token and its usage report are off unless set",
    ),
)
"""Names of docs/configuration.md; a test holds it and the code to them."""


def as_table() -> str:
    """Markdown."""
    head = "| variable | read by | what | secret |\n|---|---|---|---|\n"
    rows = (
        f"| `{each.name}` | {each.read_by} | {each.meaning} | {'yes' if each.secret else ''} |\n"
        for each in VARIABLES
    )
    return head + "".join(rows)
