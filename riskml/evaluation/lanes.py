"""Processes side by side that work on the units of a backtest, each fold mostly in one of them."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import ForkingPickler

from riskml.core.errors import ConfigError, DataError, RiskmlError
from riskml.evaluation.units import Job, Unit, Worker
from riskml.features.engines import ONE_THREAD, environment, obey_parent


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
        with environment(ONE_THREAD):
            for _ in range(min(workers, len(waiting))):
                lanes.append(_start(job, _next(waiting, None, lanes)))
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
                    lane.connection.send(lane.unit)
                    begun(lane.unit)
                else:
                    lanes.remove(lane)
                    lane.connection.send(None)
                    lane.process.join()
                yield done
    finally:
        for lane in lanes:
            lane.process.terminate()
        for lane in lanes:
            lane.process.join()


def _start(job: Job, unit: Unit) -> _Lane:
    # spawned: a fork would share the threads and locks of what runs here
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, job))
    process.start()
    theirs.close()
    ours.send(unit)
    return _Lane(process, ours, unit)


def _next(waiting: list[Unit], fold: int | None, lanes: Sequence[_Lane]) -> Unit:
    """Of the fold whose windows are there; else of one that nobody is on; else the first."""
    busy = {lane.unit.fold for lane in lanes}
    unit = min(waiting, key=lambda unit: (unit.fold != fold, unit.fold in busy))
    waiting.remove(unit)
    return unit


def _serve(connection: Connection, job: Job) -> None:
    """Work on units until there are no more."""
    obey_parent()
    worker = Worker(job)
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
    try:
        error = lane.connection.recv()
    except (EOFError, ConnectionError) as gone:
        raise DataError(
            f"a worker was killed in {lane.unit}, as a rule for want of memory: go on with fewer "
            "(backtest.workers)"
        ) from gone
    if error is not None:
        raise error


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
