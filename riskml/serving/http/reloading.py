"""The model that answers, and another one in its place while requests go on."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from riskml.core.errors import BundleError, ConfigError
from riskml.serving.http.access import Tokens
from riskml.serving.http.metrics import LOADED, REFUSED, UNCHANGED, Metrics
from riskml.serving.http.model import Model

_logger = logging.getLogger(__name__)

Signature = tuple[object, ...]


class Shelf:
    """Holds the current model; a reload puts another one in its place, or leaves it.

    Args:
        path: folder of the bundle, or a link to it that is exchanged.
        runtime: of its graph.
        metrics: that are kept.
    """

    def __init__(self, path: Path, runtime: str | None, metrics: Metrics) -> None:
        self._path, self._runtime, self._metrics = path, runtime, metrics
        self._seen = signature(path)
        self._model = Model.load(path, runtime)
        self._lock = asyncio.Lock()
        metrics.show_model(self._model)

    def current(self) -> Model:
        """The model that answers now."""
        return self._model

    async def reload(self) -> bool:
        """Load what lies at the path beside the present model, then exchange them.

        Returns:
            Whether it is another version.

        Raises:
            BundleError: what lies there is no whole bundle; the present model goes on.
        """
        async with self._lock:
            self._seen = signature(self._path)
            try:
                model = await asyncio.to_thread(Model.load, self._path, self._runtime)
            except Exception as error:  # files that change under a reader fail in any way
                self._metrics.reloads.labels(REFUSED).inc()
                _logger.error("bundle refused, %s goes on: %s", self._model.version, error)
                raise (
                    error if isinstance(error, BundleError) else BundleError(str(error))
                ) from error
            before = self._model.version
            changed = model.version != before
            self._metrics.reloads.labels(LOADED if changed else UNCHANGED).inc()
            if changed:
                self._model = model
                self._metrics.show_model(model)
                _logger.info("bundle %s answers in place of %s", model.version, before)
            return changed

    async def watch(self, seconds: float, tokens: Tokens) -> None:
        """Look again and again whether bundle or tokens have changed; never ends."""
        while True:
            await asyncio.sleep(seconds)
            await refresh(tokens)
            if await asyncio.to_thread(signature, self._path) != self._seen:
                await self.reload_quietly()

    async def reload_quietly(self) -> None:
        """As `reload`; a refusal is in log and metrics only."""
        try:
            await self.reload()
        except BundleError:
            return  # told already


async def refresh(tokens: Tokens) -> None:
    """Read the tokens again; those from before go on where that fails."""
    try:
        if await asyncio.to_thread(tokens.refresh):
            _logger.info("the tokens have changed")
    except ConfigError as error:
        _logger.error("tokens stay as they were: %s", error)


def signature(path: Path) -> Signature:
    """What differs once something was changed below a path; quick, nothing is read."""
    folder = path.resolve()
    found: list[object] = [str(folder)]
    try:
        for file in sorted(folder.rglob("*")):
            status = file.stat()
            found.append((str(file), status.st_ino, status.st_size, status.st_mtime_ns))
    except OSError:  # exchanged at this very moment; the next look tells
        found.append(None)
    return tuple(found)
