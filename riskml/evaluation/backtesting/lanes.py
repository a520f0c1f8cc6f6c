"""Processes side by side that work on the units of a backtest, each fold mostly in one of them."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import ForkingPickler

from riskml.core.environment import environment
from riskml.core.errors import ConfigError, DataError, RiskmlError
from riskml.core.interrupts import ctrl_c_waits
from riskml.evaluation.backtesting.units import Job, Unit, Worker
from riskml.features.engines import ONE_THREAD, obey_parent


@dataclass
class _Lane:
    process: SpawnProcess
    connection: Connection
    unit: Unit


def work_in_lanes(
    job: Job, units: Sequence[Unit], workers: int, begun: Callable[[Unit], None]
) -> Iterator[Unit]:
    """Work on all units in so many processes; each is given out once it is done, in any order.

    The processes end with this generator, whatever it ends by.

    Args:
        job: that the units belong to; handed to each process once.
        units: those of a fold one after the other.
        workers: processes.
        begun: called with each unit as a process begins with it.

    Raises:
        ConfigError: the job cannot be handed to another process.
        DataError: a process was killed.
        RiskmlError: of a unit.
    """
    _check_goes_to_another_process(job)
    waiting = list(units)
    lanes: list[_Lane] = []
    try:
        with environment(ONE_THREAD), ctrl_c_waits():
            for _ in range(min(workers, len(waiting))):
                lanes.append(_start(_next(waiting, None, lanes)))
        for lane in lanes:
            _send(lane, job)
            _send(lane, lane.unit)
        for lane in lanes:
            begun(lane.unit)
        while lanes:
            ready = wait([lane.connection for lane in lanes])
            for lane in [lane for lane in lanes if lane.connection in ready]:
                done = lane.unit
                _check_result(lane)
                if waiting:
                    others = [other for other in lanes if other is not lane]
                    lane.unit = _next(waiting, done.fold, others)
                    _send(lane, lane.unit)
                    begun(lane.unit)
                else:
                    lanes.remove(lane)
                    with suppress(ConnectionError):  # it is done, whatever became of it
                        lane.connection.send(None)
                    lane.process.join()
                yield done
    finally:
        for lane in lanes:
            lane.process.terminate()
        for lane in lanes:
            lane.process.join()


def _start(unit: Unit) -> _Lane:
    # spawned: a fork would share the threads and locks of what runs here
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,))
    process.start()
    theirs.close()
    return _Lane(process, ours, unit)


def _next(waiting: list[Unit], fold: int | None, lanes: Sequence[_Lane]) -> Unit:
    """Of the fold whose windows are there; else of one that nobody is on; else the first."""
    busy = {lane.unit.fold for lane in lanes}
    unit = min(waiting, key=lambda unit: (unit.fold != fold, unit.fold in busy))
    waiting.remove(unit)
    return unit


def _serve(connection: Connection) -> None:
    """Work on units until there are no more; what they belong to comes first."""
    obey_parent()
    worker = Worker(connection.recv())
    while (unit := connection.recv()) is not None:
        error: Exception | None = None
        try:
            worker.work(unit)
        except RiskmlError as found:
            error = found
        except Exception:  # told to whoever asked, as it may not be one that can be sent
            error = RuntimeError(f"{unit}:\n{traceback.format_exc()}")
        connection.send(error)


def _check_result(lane: _Lane) -> None:
    """Wait for the end of the unit that a process is on, and raise what it raised."""
    try:
        error = lane.connection.recv()
    except (EOFError, ConnectionError) as gone:
        raise _lost(lane) from gone
    if error is not None:
        raise error


def _send(lane: _Lane, what: Job | Unit) -> None:
    try:
        lane.connection.send(what)
    except ConnectionError as gone:
        raise _lost(lane) from gone


def _lost(lane: _Lane) -> DataError:
    lane.process.join()
    code = lane.process.exitcode or 0
    if code < 0:
        return DataError(
            f"a worker was killed in {lane.unit}, as a rule for want of memory: go on with fewer "
            "(backtest.workers)"
        )
    return DataError(
        f"a worker ended in {lane.unit} (exit code {code}), and said why itself, if anything; a "
        'script that asks for several must guard its entry by `if __name__ == "__main__":`'
    )


def _check_goes_to_another_process(job: Job) -> None:
    parts = {"features": job.features, "fit": job.fit, "checks": job.checks}
    for name, part in {**parts, **job.detectors}.items():
        try:
            ForkingPickler.dumps(part)
        except Exception as error:  # whatever it is made of may fail in its own way
            raise ConfigError(
                f"'{name}' cannot be handed to another process: make it with a function of a "
                "module (functools.partial is fine, a lambda is not), or use one worker"
            ) from error
