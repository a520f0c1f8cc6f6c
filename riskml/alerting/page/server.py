"""Runs the page until it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn

from riskml.alerting.page.app import PageSettings, make_app
from riskml.core.listening import Address

GRACE_S = 10


def serve(settings: PageSettings, address: Address, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, answer what was asked, and come back.

    Args:
        settings: of the page.
        address: where.
        announce: is told the address once requests are taken.

    Raises:
        ConfigError: the address cannot be had.
    """
    logging.getLogger("uvicorn.error").addFilter(_is_loss)
    listening = address.listen()
    try:
        config = uvicorn.Config(
            make_app(settings),
            lifespan="off",
            log_config=None,
            access_log=False,  # addresses of links in mails are secret
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
            ssl_certfile=address.certfile,
            ssl_keyfile=address.keyfile,
        )
        server = _Server(config, lambda: announce(address.url(listening)))
        asyncio.run(server.serve([listening]))
    finally:
        listening.close()


def _is_loss(record: logging.LogRecord) -> bool:
    """Browsers may not close their side of TLS in time: with no request left nothing is lost."""
    return not ("graceful shutdown exceeded" in record.msg and record.args == (0,))


class _Server(uvicorn.Server):
    """Uvicorn that ends by itself at a signal; its own way is to be ended by it."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """In the event loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and tell so."""
        await super().startup(sockets)
        if self.started:
            self._announce()

    def _stop(self) -> None:
        self.should_exit = True
