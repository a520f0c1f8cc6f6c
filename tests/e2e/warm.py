"""Processes that start with the slow imports done: forked from one that did nothing else.

They are as real as others, killed and interrupted as any, each with its own group, folder and
environment. Only the seconds of importing are saved, and all have the hash seed of the first.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

# none that starts threads, as Polars and pyarrow do: threads do not survive a fork
IMPORTED = (
    "pytorch_lightning",
    "matplotlib.pyplot",
    "captum.attr",
    "gensim.models",
    "sqlalchemy.orm",
    "optuna",
)
MESSAGE = 1 << 17


class Process:
    """A script as `subprocess.Popen` would run it, in a group of its own.

    Args:
        argv: the script and its arguments.
        folder: where it runs.
        environment: all of its variables.
    """

    def __init__(self, argv: list[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.argv = argv
        self.returncode: int | None = None
        self._printed = tempfile.TemporaryDirectory()
        ended, theirs = os.pipe()
        self._ended = os.fdopen(ended)
        request = json.dumps([argv, str(folder), dict(environment), self._printed.name])
        socket.send_fds(_forker(), [request.encode()], [theirs])
        os.close(theirs)
        self.pid = int(self._ended.readline())
        _running.add(self)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end; gives stdout and stderr.

        Raises:
            subprocess.TimeoutExpired: it is still running.
        """
        if self.returncode is None:
            if not select.select([self._ended], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            self.returncode = int(self._ended.readline())
            self._ended.close()
            _running.discard(self)
        out, err = ((Path(self._printed.name) / name).read_text() for name in ("out", "err"))
        return out, err


_running: set[Process] = set()


def end_all() -> None:
    """Kill what is still running, as after a test that failed."""
    for process in list(_running):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@cache
def _forker() -> socket.socket:
    from command_line import environment

    ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
    forker = subprocess.Popen(
        [sys.executable, __file__, str(theirs.fileno())],
        stdin=subprocess.DEVNULL,
        env=environment(),
        pass_fds=[theirs.fileno()],
    )
    theirs.close()

    @atexit.register
    def end() -> None:
        end_all()
        ours.close()
        forker.wait()

    return ours


def _next_script(requests: socket.socket) -> list[str] | None:
    """Comes back in a new process for each request with its arguments, and at last with None."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for those that are forked
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, passed, *_ = socket.recv_fds(requests, MESSAGE, 1)
        if not message:
            return None
        if os.fork() == 0:
            requests.close()
            return _forked(*json.loads(message), *passed)
        os.close(*passed)


def _forked(
    argv: list[str], folder: str, environment: dict[str, str], printed: str, told: int
) -> list[str]:
    """Fork once more: one tells pid and exit code, the other goes on as the script's process."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if child := os.fork():
        _, status = os.waitpid(child, 0)
        os.write(told, f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os._exit(0)
    os.setsid()
    for name, number in (("out", 1), ("err", 2)):
        file = os.open(Path(printed) / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    os.write(told, f"{os.getpid()}\n".encode())
    os.close(told)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0] = str(Path(argv[0]).parent)
    return argv


if __name__ == "__main__":
    for name in IMPORTED:
        importlib.import_module(name)
    assert len(os.listdir("/proc/self/task")) == 1, "a thread would be missing in what is forked"
    script = _next_script(socket.socket(fileno=int(sys.argv[1])))
    if script:
        sys.argv = script
        runpy.run_path(script[0], run_name="__main__")
