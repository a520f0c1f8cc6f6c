"""How what runs ends by SIGTERM and Ctrl-C, also while it waits for a database or a lock."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from types import FrameType

from riskml.core import logs

POOLS = ("QueuePool", "NullPool", "SingletonThreadPool", "StaticPool")
SIGNALS, INTERRUPTED = (signal.SIGINT, signal.SIGTERM), 130
TOLD = "interrupted: what was stored stays, and the next run goes on from there"
LAST_S = 10.0
"""From an interruption to the end of the process."""


@dataclass
class Ending:
    """What the first signal does.

    Args:
        ask: asks what runs to end in order; None: it is interrupted at once.
    """

    ask: Callable[[], None] | None = None


@contextmanager
def ending(grace_s: float = 0.0) -> Iterator[Ending]:
    """SIGTERM and Ctrl-C end what runs within, which must bear to be killed at any moment.

    The first signal asks it where it can be asked. Without that, at the second, and once the grace
    is over, it is interrupted. What does not hear that either, such as SQLite while it waits for a
    lock, ends with the process. In other threads than the main one nothing is changed.

    Args:
        grace_s: seconds to end in, once asked.

    Yields:
        What the first signal does.

    Raises:
        KeyboardInterrupt: by a signal; its text says so in a line.
    """
    found = Ending()
    if threading.current_thread() is not threading.main_thread():
        yield found
        return
    signals, over = 0, threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal signals
        signals += 1
        if found.ask is None or signals > 1:
            raise KeyboardInterrupt(TOLD)
        found.ask()

    def watch() -> None:
        while os.read(reading, 1)[0] not in SIGNALS:
            pass
        if found.ask is not None and not over.wait(grace_s):
            os.kill(os.getpid(), signal.SIGINT)
        if not over.wait(LAST_S):
            logs.tell(TOLD, logging.WARNING)
            os._exit(INTERRUPTED)

    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    # told by the kernel, so that the watch hears of a signal while the main thread does not
    waked = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    before = {each: signal.signal(each, handle) for each in SIGNALS}
    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield found
    finally:
        over.set()
        for each, handler in before.items():
            signal.signal(each, handler)
        signal.set_wakeup_fd(waked)
        os.write(writing, bytes([signal.SIGTERM]))
        watching.join()
        os.close(reading)
        os.close(writing)


@contextmanager
def ctrl_c_waits() -> Iterator[None]:
    """A Ctrl-C takes effect at the end of what runs within, which starts other processes.

    A process that is interrupted amid its imports prints a traceback, and so does one whose parent
    is, while it tells it what to do. Those that are started within keep Ctrl-C waiting until they
    let it through (`let_ctrl_c_through`).
    """
    resource_tracker.ensure_running()  # its start, with the first of them, would let it through
    heard: list[int] = []
    main = threading.current_thread() is threading.main_thread()
    # another thread, of a library, may take a signal that this one blocks
    handler = signal.signal(signal.SIGINT, lambda *_: heard.append(1)) if main else None
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if main:
            signal.signal(signal.SIGINT, handler)
        if heard:
            signal.raise_signal(signal.SIGINT)


def let_ctrl_c_through() -> None:
    """Take Ctrl-C from here on, and one that has waited at once."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def not_interrupted(record: logging.LogRecord) -> bool:
    """A log filter: lets all pass but tracebacks of `KeyboardInterrupt`."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or not issubclass(kind, KeyboardInterrupt)


def quiet_interrupts() -> None:
    """Leave it to the code that is interrupted to say so; for the whole process."""
    for pool in POOLS:
        logging.getLogger(f"sqlalchemy.pool.impl.{pool}").addFilter(not_interrupted)
