"""What runs the buckets of `scale`: this process, several, or a Ray cluster."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, ExitStack
from multiprocessing import get_context, parent_process
from typing import Any, Self, TypeVar

from riskml.core.environment import environment
from riskml.core.errors import ConfigError, DataError, require
from riskml.core.interrupts import ctrl_c_waits

T = TypeVar("T")

# each worker is one core's worth
ONE_THREAD = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
_KILLED = (
    "a worker was killed before its bucket was done, as a rule for want of memory: use more "
    "buckets or fewer workers"
)


class Engine(AbstractContextManager["Engine"]):
    """Runs one function on many buckets, until it is closed or its `with` block ends."""

    @abstractmethod
    def map(self, work: Callable[[int], T], buckets: Sequence[int]) -> Iterator[T]:
        """The results, in any order."""

    @abstractmethod
    def close(self) -> None:
        """End what was started."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Processes(Engine):
    """So many processes of this machine; one means here.

    They start with the first `map`, serve all later ones and end with `close`, or at the end of a
    `with` block. A script that asks for several must guard its entry by
    `if __name__ == "__main__":`.

    Raises:
        ConfigError: fewer than one.
    """

    def __init__(self, workers: int = 1) -> None:
        require("workers", workers, workers >= 1, "must be at least 1")
        self.workers = workers
        self._open = ExitStack()
        self._pool: ProcessPoolExecutor | None = None

    def map(self, work: Callable[[int], T], buckets: Sequence[int]) -> Iterator[T]:
        """Work on the buckets side by side.

        Raises:
            DataError: a worker was killed.
        """
        if self.workers == 1:
            yield from map(work, buckets)
            return
        if self._pool is None:
            # a process is started when its first bucket comes, and sees the variables of then
            self._open.enter_context(environment(ONE_THREAD))
            self._pool = ProcessPoolExecutor(self.workers, get_context("spawn"), obey_parent)
            self._open.callback(self._pool.shutdown, cancel_futures=True)
        with ctrl_c_waits():
            waiting = [self._pool.submit(work, bucket) for bucket in buckets]
        try:
            for future in as_completed(waiting):
                yield future.result()
        except BrokenProcessPool as error:
            self.close()
            raise DataError(_KILLED) from error
        finally:
            for future in waiting:
                future.cancel()

    def close(self) -> None:
        """End the processes."""
        self._open.close()
        self._pool = None


class RayTasks(Engine):
    """Tasks of a Ray cluster; every machine must see the same folders and have riskml.

    A cluster that is started here ends with `close`, or at the end of a `with` block.

    Args:
        address: of the cluster, or `auto`; None starts one here.
        workers: cores of the one that is started here.

    Raises:
        ConfigError: Ray is not installed, or there is no such cluster.
    """

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        self._open = ExitStack()
        # a cluster of this process alone needs no token in the home folder, and tells nobody
        alone = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
        quiet = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_DEDUP_LOGS": "0"}
        self._open.enter_context(environment(quiet if address else quiet | alone, weak=True))
        try:
            import ray
        except ImportError as error:
            self._open.close()
            raise ConfigError("Ray is not installed: pip install 'riskml[ray]'") from error
        self.ray = ray
        if ray.is_initialized():
            return
        settings: dict[str, Any] = {"address": address or "local", "log_to_driver": False}
        if address is None:
            settings |= {"num_cpus": workers, "include_dashboard": False}
        try:
            _reach(address)
            ray.init(logging_level=logging.ERROR, **settings)
        except Exception as error:  # Ray raises plain ones, too
            self._open.close()
            first = (str(error).splitlines() or [type(error).__name__])[0]
            if address is None:
                raise ConfigError(f"Ray cannot be started here: {first}") from error
            raise ConfigError(
                f"no Ray cluster at {address}: {first}; start one by `ray start --head`, or give "
                "no address to have one started here"
            ) from error
        self._open.callback(ray.shutdown)

    def map(self, work: Callable[[int], T], buckets: Sequence[int]) -> Iterator[T]:
        """One task a bucket.

        Raises:
            DataError: a worker was killed, again and again.
        """
        ray = self.ray
        task: Any = ray.remote(num_cpus=1, runtime_env={"env_vars": ONE_THREAD})(_call)
        shared = ray.put(work)
        waiting = [task.remote(shared, bucket) for bucket in buckets]
        try:
            while waiting:
                done, waiting = ray.wait(waiting)
                yield ray.get(done[0])
        except ray.exceptions.RayTaskError as error:
            # Ray's own text is a traceback of the worker
            raise (error.cause or error) from error
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
            raise DataError(_KILLED) from error
        finally:
            for task in waiting:
                ray.cancel(task)

    def close(self) -> None:
        """End the cluster if it was started here."""
        self._open.close()


def _reach(address: str | None) -> None:
    """Fail at once where nobody listens; Ray itself would try for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def _call(work: Callable[[int], T], bucket: int) -> T:
    return work(bucket)


def obey_parent() -> None:
    """End with the parent, which would else leave workers that wait for ever; Ctrl-C is its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
