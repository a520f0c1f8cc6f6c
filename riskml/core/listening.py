"""Where a server is reached, and the socket for it."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path

from riskml.core.errors import ConfigError


@dataclass(frozen=True)
class Address:
    """Where it is reached.

    Args:
        host, port: port 0 takes any that is free.
        certfile, keyfile: for TLS.

    Raises:
        ConfigError: only one of the files is given.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    certfile: Path | None = None
    keyfile: Path | None = None

    def __post_init__(self) -> None:
        if (self.certfile is None) != (self.keyfile is None):
            raise ConfigError("TLS needs both --certfile and --keyfile")

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def listen(self) -> socket.socket:
        """A bound socket.

        Raises:
            ConfigError: the address cannot be had.
        """
        try:
            family, *_, where = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listening = socket.socket(family, socket.SOCK_STREAM)
            try:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listening.bind(where)
            except OSError:
                listening.close()
                raise
        except OSError as error:
            raise ConfigError(
                f"cannot listen at {self.host}, port {self.port}: {error.strerror}; "
                "choose others with --host and --port"
            ) from error
        return listening

    def url(self, listening: socket.socket) -> str:
        """The address of a socket, with the port that it was given."""
        host, port = listening.getsockname()[:2]
        scheme = "http" if self.certfile is None else "https"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
