"""What is logged where Ctrl-C falls amid a query."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import Engine

from riskml.core.interrupts import ctrl_c_waits, quiet_interrupts


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


def test_ctrl_c_waits_though_another_thread_takes_it() -> None:
    over = threading.Event()
    other = threading.Thread(target=over.wait)  # masks no signal
    other.start()
    done = []
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt), ctrl_c_waits():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)  # meanwhile the other thread has it
            done.append("the rest")
    finally:
        over.set()
        other.join()
    assert done == ["the rest"]
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_process_that_was_started_meanwhile_lets_it_through_itself() -> None:
    script = (
        "import os, signal\n"
        "from riskml.core.interrupts import let_ctrl_c_through\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "print('waits', flush=True)\n"
        "try:\n"
        "    let_ctrl_c_through()\n"
        "except KeyboardInterrupt:\n"
        "    print('comes')\n"
    )
    with ctrl_c_waits():
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.communicate()[0] == b"waits\ncomes\n"
