"""Micro-batches: windows of requests that wait at the same time are scored together."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from http import HTTPStatus
from queue import Empty, SimpleQueue

from riskml.serving.http.answers import Answer
from riskml.serving.http.drafts import Draft, draft_of, events_of
from riskml.serving.http.metrics import Metrics
from riskml.serving.http.model import Asked, Model
from riskml.serving.http.problems import Problem, busy

_logger = logging.getLogger(__name__)

FAILED = "the service failed on this request; its log says why"


@dataclass(frozen=True)
class Limits:
    """What is taken at once.

    Args:
        windows, events: of a request.
        body_bytes: of a request.
        queue: requests that may wait or be worked on.
        queue_bytes: of their bodies together.
        batch_windows: from how many windows on a batch takes no further request.
        batch_wait_s: how long a batch waits for more, while requests come one upon the other.
        timeout_s: for a body to arrive, and then for an answer.
    """

    windows: int = 5_000
    events: int = 10_000
    body_bytes: int = 8 << 20
    queue: int = 512
    queue_bytes: int = 128 << 20
    batch_windows: int = 2_048
    batch_wait_s: float = 0.0
    timeout_s: float = 30.0


@dataclass(frozen=True)
class Job:
    """A request for scores of windows, with the context in which its log is written."""

    body: bytes
    asked: Asked
    answer: asyncio.Future[Answer]
    context: Context = field(default_factory=copy_context)


class Scorer:
    """Works on requests beside the event loop: windows in one thread, events in another.

    A thread takes whatever waits, up to `batch_windows`, and scores it with the model that is
    current at that moment; so nothing waits while it idles, and batches grow with the load.

    Args:
        current: gives the model.
        limits: of batches and queue.
        metrics: that are kept.
    """

    def __init__(self, current: Callable[[], Model], limits: Limits, metrics: Metrics) -> None:
        self._current, self._limits, self._metrics = current, limits, metrics
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._waiting = 0
        self._loop = asyncio.get_running_loop()
        self._events = ThreadPoolExecutor(1, "riskml-events")
        self._thread = threading.Thread(target=self._work, name="riskml-windows", daemon=True)
        self._thread.start()

    async def windows(self, body: bytes, asked: Asked) -> Answer:
        """Score a body of windows.

        Raises:
            Problem: the body is wrong, too much waits, or it took too long.
        """
        answer: asyncio.Future[Answer] = self._loop.create_future()
        return await self._waited(lambda: self._put(Job(body, asked, answer)))

    async def events(self, body: bytes, asked: Asked) -> Answer:
        """Score a body of events.

        Raises:
            Problem: the body is wrong, too much waits, or it took too long.
        """
        return await self._waited(
            lambda: self._loop.run_in_executor(
                self._events, copy_context().run, self._of_events, body, asked
            )
        )

    def close(self) -> None:
        """Finish what waits, then end the threads."""
        self._jobs.put(None)
        self._thread.join()
        self._events.shutdown()

    # ---- in the event loop

    def _put(self, job: Job) -> asyncio.Future[Answer]:
        self._jobs.put(job)
        return job.answer

    async def _waited(self, begin: Callable[[], asyncio.Future[Answer]]) -> Answer:
        if self._waiting >= self._limits.queue:
            raise busy(f"{self._waiting} requests wait already: try again")
        self._waiting += 1
        self._metrics.queue.set(self._waiting)
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                answer = await begin()
        except TimeoutError:
            raise busy(f"no answer within {self._limits.timeout_s:g} s: try again") from None
        finally:
            self._waiting -= 1
            self._metrics.queue.set(self._waiting)
        self._metrics.answered(answer)
        return answer

    # ---- in the threads

    def _of_events(self, body: bytes, asked: Asked) -> Answer:
        model = self._current()
        events, repeated = events_of(body, model.reads, self._limits.events)
        return model.score_events(events, repeated, asked)

    def _work(self) -> None:
        together = False
        while (job := self._jobs.get()) is not None:
            model = self._current()
            done: list[tuple[Job, Answer | Problem]] = []
            drafts: list[tuple[Job, Draft]] = []
            rows, last = 0, False
            until = time.monotonic() + (self._limits.batch_wait_s if together else 0.0)
            while job is not None:
                try:
                    draft = draft_of(job.body, model.spec, self._limits.windows)
                    drafts.append((job, draft))
                    rows += len(draft)
                except Exception as error:
                    done.append((job, job.context.run(_as_problem, error)))
                if rows >= self._limits.batch_windows:
                    break
                try:
                    job = self._next(until)
                except Empty:
                    break
                last = job is None
            together = len(drafts) > 1
            if drafts:
                self._metrics.batches.observe(rows)
                done += self._scored(model, drafts)
            self._loop.call_soon_threadsafe(_deliver, done)
            if last:
                return

    def _next(self, until: float) -> Job | None:
        """The next job that is there, or comes in time.

        Raises:
            Empty: none.
        """
        left = until - time.monotonic()
        return self._jobs.get(timeout=left) if left > 0 else self._jobs.get_nowait()

    def _scored(
        self, model: Model, drafts: list[tuple[Job, Draft]]
    ) -> list[tuple[Job, Answer | Problem]]:
        """The answer to each; where they fail together, each for itself."""
        jobs = [job for job, _ in drafts]
        try:
            answers = model.score_drafts([draft for _, draft in drafts], [j.asked for j in jobs])
            return list(zip(jobs, answers, strict=True))
        except Exception as error:
            if len(drafts) == 1:
                return [(jobs[0], jobs[0].context.run(_as_problem, error))]
            return [each for one in drafts for each in self._scored(model, [one])]


def _as_problem(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    _logger.error("a request failed", exc_info=error)
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, FAILED)


def _deliver(done: list[tuple[Job, Answer | Problem]]) -> None:
    for job, result in done:
        if job.answer.done():  # whoever asked has gone or waited too long
            continue
        if isinstance(result, Problem):
            job.answer.set_exception(result)
        else:
            job.answer.set_result(result)
