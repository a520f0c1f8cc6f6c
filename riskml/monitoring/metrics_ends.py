"""Where the metrics of jobs that end go: a Pushgateway, or a file for node_exporter."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit, urlunsplit

from prometheus_client import (
    CollectorRegistry,
    pushadd_to_gateway,
    start_http_server,
    write_to_textfile,
)
from prometheus_client.exposition import basic_auth_handler, default_handler

from riskml.core.errors import ConfigError
from riskml.monitoring.metrics_exporter import LiveMetrics, LogCounter

_logger = logging.getLogger(__name__)
SUFFIX, FAILED, TIMEOUT_S = ".prom", ".failed", 10.0


class MetricsEnd(Protocol):
    """Takes what a run leaves."""

    def put(self, registry: CollectorRegistry, command: str) -> None:
        """Replace what the same command left before.

        Raises:
            OSError: it cannot be put there.
        """
        ...

    def put_failure(self, registry: CollectorRegistry, command: str) -> None:
        """Add a failure to what the last success left.

        Raises:
            OSError: it cannot be put there.
        """
        ...


class TextFile:
    """A file that node_exporter's textfile collector reads, exchanged as a whole.

    Args:
        path: its name ends in .prom; a failure lies beside it, in .failed.prom.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def put(self, registry: CollectorRegistry, command: str) -> None:
        """Write the file."""
        write_to_textfile(str(self._path), registry)

    def put_failure(self, registry: CollectorRegistry, command: str) -> None:
        """Write the one beside it."""
        write_to_textfile(str(self._path.with_suffix(FAILED + SUFFIX)), registry)


class Gateway:
    """A Pushgateway; each command is a job of its own.

    Args:
        url: with `user:password@` where it wants them.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        self._url = urlunsplit(parts._replace(netloc=host))
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")

    def put(self, registry: CollectorRegistry, command: str) -> None:
        """Push; metrics of these names are replaced."""
        handler = default_handler if not self._user else self._signed
        pushadd_to_gateway(
            self._url, f"riskml_{command}", registry, timeout=TIMEOUT_S, handler=handler
        )

    put_failure = put

    def _signed(
        self,
        url: str,
        method: str,
        timeout: float | None,
        headers: list[tuple[str, str]],
        data: bytes,
    ) -> Callable[[], None]:
        return basic_auth_handler(url, method, timeout, headers, data, self._user, self._password)


def metrics_end(where: str) -> MetricsEnd:
    """The place that a URL or path means.

    Raises:
        ConfigError: it is neither.
    """
    if where.startswith(("http://", "https://")):
        return Gateway(where)
    path = Path(where)
    if "://" in where or path.suffix != SUFFIX:
        raise ConfigError(f"--metrics {where}: give a Pushgateway's http://… or a file *{SUFFIX}")
    if not path.parent.is_dir():
        raise ConfigError(f"--metrics {where}: there is no folder {path.parent}")
    return TextFile(path)


@contextmanager
def warned() -> Iterator[None]:
    """Metrics that cannot be put are a warning: the work that they tell of is done all the same."""
    try:
        yield
    except OSError as error:
        _logger.warning("the metrics could not be put: %s", error)


def serve_metrics(metrics: LiveMetrics, host: str, port: int) -> str:
    """Serve them to Prometheus in a thread, and count what is logged; gives the address.

    Raises:
        ConfigError: the address cannot be had.
    """
    try:
        server, _ = start_http_server(port, host, metrics.registry)
    except OSError as error:
        raise ConfigError(
            f"cannot listen at {host}, port {port}: {error.strerror}; choose others with "
            "--metrics-host and --metrics-port"
        ) from error
    logging.getLogger().addHandler(LogCounter(metrics))
    return f"http://{host}:{server.server_port}/metrics"
