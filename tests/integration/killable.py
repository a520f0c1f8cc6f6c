"""Processes that are killed: forked from one that has imported what they need."""

from __future__ import annotations

import multiprocessing
from multiprocessing.context import ForkServerContext

# not the tests' own modules, which it would not find
IMPORTED = [
    "aiosmtpd.controller",
    "pandera.backends.polars.builtin_checks",
    "psycopg",
    "requests",
    "riskml.alerting.delivery",
    "riskml.data.batch_checks",
    "riskml.data.incremental",
    "riskml.data.table_source",
    "riskml.export.bundle",
    "riskml.serving.events",
    "riskml.serving.job",
    "riskml.streaming.database_sink",
    "riskml.streaming.job",
    "riskml.streaming.kafka",
    "riskml.streaming.kafka_sinks",
    "riskml.streaming.kafka_source",
    "riskml.streaming.redis_home",
]


def forking() -> ForkServerContext:
    """Makes processes; there is one server a session, so all that is imported is named here."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(IMPORTED)
    return processes
