"""What is logged where Ctrl-C falls amid a query."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import Engine

from riskml.core.interrupts import quiet_interrupts


def reset_fails(engine: Engine, error: type[BaseException]) -> None:
    """Give a connection back while something happens."""
    connection = engine.connect()

    def fails(_: object) -> None:
        raise error

    engine.dialect.do_rollback = fails  # type: ignore[method-assign, assignment]
    connection.connection.close()


def test_an_interruption_is_no_error_of_the_database(caplog: pytest.LogCaptureFixture) -> None:
    quiet_interrupts()
    engine = create_engine("sqlite://")
    with pytest.raises(KeyboardInterrupt):
        reset_fails(engine, KeyboardInterrupt)
    assert caplog.records == []
    reset_fails(create_engine("sqlite://"), OSError)
    assert "Exception during reset" in caplog.text
