"""Runs the application in a process: its socket, its signals, and an end that loses no request."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterator

import torch
import uvicorn

from riskml.core.listening import Address
from riskml.serving.http.app import Service, Settings, make_app
from riskml.serving.http.reloading import refresh

_logger = logging.getLogger(__name__)
BACKLOG = 1024
SO_ATTACH_FILTER = 26
QUIET_S = 2.0
"""How long kept connections have to be silent, once stopping, before they are closed."""
HANDSHAKE_S = 0.2
"""How long connections are still accepted, once stopping, whose handshake has begun."""


def serve(
    settings: Settings,
    address: Address,
    grace_s: float,
    threads: int,
    announce: Callable[[str], None],
) -> None:
    """Serve until SIGTERM or SIGINT, then answer what was accepted and come back.

    Args:
        settings: of the service.
        address: where.
        grace_s: seconds for what was accepted before the end.
        threads: of torch for a batch.
        announce: is told the address once requests are taken.

    Raises:
        BundleError: the bundle is no whole bundle.
        ConfigError: the address cannot be had.
    """
    torch.set_num_threads(threads)
    listening = address.listen()
    try:
        url = address.url(listening)
        config = uvicorn.Config(
            make_app(settings),
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=max(1, round(grace_s)),
            ssl_certfile=address.certfile,
            ssl_keyfile=address.keyfile,
        )
        asyncio.run(_Server(config, lambda: announce(url)).serve([listening]))
    finally:
        listening.close()


class _Server(uvicorn.Server):
    """Uvicorn with an end that first takes in what the kernel has accepted."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    @property
    def _service(self) -> Service:
        service: Service = self.config.app.state.service  # type: ignore[union-attr]
        return service

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The signals, handled in the event loop; uvicorn's way ends the process by them."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Load the bundle, begin to listen, and tell so."""
        await super().startup(sockets)
        if self.started:
            self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, answer everything accepted, close."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.config.timeout_graceful_shutdown  # type: ignore[operator]
        for listening in sockets or []:
            _refuse_new_connections(listening)
        # connections that clients keep get their close with an answer, not between two requests;
        # one whose handshake was under way is still accepted
        connections = self.server_state.connections
        began = quiet_since = loop.time()
        seen = self.server_state.total_requests
        while loop.time() < until and (
            loop.time() < began + HANDSHAKE_S
            or (connections and loop.time() < quiet_since + QUIET_S)
        ):
            await asyncio.sleep(0.01)
            if self.server_state.total_requests != seen or self.server_state.tasks:
                quiet_since, seen = loop.time(), self.server_state.total_requests
        await super().shutdown(sockets)

    def _stop(self, number: int) -> None:
        _logger.info(
            "%s: no more requests, what was accepted is answered", signal.strsignal(number)
        )
        self._service.stopping = True
        self.should_exit = True

    def _reload(self) -> None:
        self._reloading = asyncio.ensure_future(self._reload_all())

    async def _reload_all(self) -> None:
        await refresh(self._service.tokens)
        await self._service.shelf.reload_quietly()


def _refuse_new_connections(listening: socket.socket) -> None:
    """Let the kernel begin no further handshake, and finish those it has begun."""
    if sys.platform != "linux":  # elsewhere one that comes just before the close may be lost
        return
    program = [
        (0x30, 0, 0, 13),  # load the byte of TCP's flags
        (0x45, 0, 1, 0x02),  # is it a SYN?
        (0x06, 0, 0, 0),  # then keep nothing of it
        (0x06, 0, 0, 0xFFFF_FFFF),  # else all
    ]
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    held = ctypes.create_string_buffer(code)
    try:
        listening.setsockopt(
            socket.SOL_SOCKET,
            SO_ATTACH_FILTER,
            struct.pack("HL", len(program), ctypes.addressof(held)),
        )
    except PermissionError:  # hardened kernels ask for a capability
        _logger.info("the kernel allows no filter: a connection that comes now may be lost")
