"""SIGTERM and Ctrl-C end what waits, whatever it waits for."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from riskml.core.interrupts import INTERRUPTED, TOLD, ending

BEGIN = """
import sqlite3, sys, threading
from riskml.core import interrupts
interrupts.LAST_S = 0.1
asked = threading.Event()
def waiting():
    print("waiting", flush=True)
    return 3600
def locked(path):  # in C, where no Python hears of a signal
    sqlite3.connect(path, timeout=waiting()).execute("BEGIN IMMEDIATE")
"""
END = """
try:
    with interrupts.ending(grace_s=float(sys.argv[2])) as found:
        {}
    print("ended in order")
except KeyboardInterrupt as error:
    print(error, file=sys.stderr)
    sys.exit(interrupts.INTERRUPTED)
"""
WAITS = {
    "for nobody": "threading.Event().wait(waiting())",
    "for a lock": "locked(sys.argv[1])",
    "though it was asked": "found.ask = asked.set; threading.Event().wait(waiting())",
    "for a lock though it was asked": "found.ask = asked.set; locked(sys.argv[1])",
}


def signalled(waits: str, number: int, database: Path, grace_s: float) -> tuple[int, str, str]:
    """What becomes of a process that gets a signal once it waits."""
    with sqlite3.connect(database, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        process = subprocess.Popen(
            [sys.executable, "-c", BEGIN + END.format(waits), database, str(grace_s)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None and process.stdout.readline() == "waiting\n"
        process.send_signal(number)
        try:
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    return process.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("waits", WAITS)
def test_what_waits_ends_by_the_first_signal(waits: str, number: int, tmp_path: Path) -> None:
    found = signalled(WAITS[waits], number, tmp_path / "locked.db", grace_s=0.1)
    assert found == (INTERRUPTED, "", f"{TOLD}\n")


def test_what_can_be_asked_ends_in_order(tmp_path: Path) -> None:
    waits = "found.ask = asked.set; asked.wait(waiting())"
    found = signalled(waits, signal.SIGTERM, tmp_path / "locked.db", grace_s=3600)
    assert found == (0, "ended in order\n", "")


def test_signals_are_as_before_afterwards() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    threads = threading.active_count()
    with ending():
        pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert threading.active_count() == threads


def test_other_threads_leave_signals_alone() -> None:
    found: list[object] = []

    def work() -> None:
        with ending():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGTERM)]
