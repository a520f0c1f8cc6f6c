"""Ctrl-C amid a query: SQLAlchemy logs the interruption as an error, traceback and all."""

from __future__ import annotations

import logging

POOLS = ("QueuePool", "NullPool", "SingletonThreadPool", "StaticPool")


def not_interrupted(record: logging.LogRecord) -> bool:
    """A log filter: lets all pass but tracebacks of `KeyboardInterrupt`."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or not issubclass(kind, KeyboardInterrupt)


def quiet_interrupts() -> None:
    """Leave it to the code that is interrupted to say so; for the whole process."""
    for pool in POOLS:
        logging.getLogger(f"sqlalchemy.pool.impl.{pool}").addFilter(not_interrupted)
