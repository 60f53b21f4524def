"""One deadline for a whole request, whatever the other side does with its bytes.

httpx bounds each single read and write. A server that sends one byte every few seconds keeps every
one of those limits and never ends, in the header lines as in the body; so the limit is put under
httpx, at the socket, where each operation gets no more than what is left of the whole.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

from sync.clock import Clock


class Deadline:
    """The calling thread's deadline in the clock's monotonic seconds; each thread has its own."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._local = threading.local()

    def start(self, seconds: float) -> None:
        """Begin a request that may take `seconds` altogether."""
        self._local.at = self._clock.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds left, negative once it is over."""
        at: float = self._local.at
        return at - self._clock.monotonic()

    def clamp(self, timeout: float | None, expired: type[Exception]) -> float | None:
        """Return the smaller of `timeout` and what is left; raise `expired` when nothing is left."""
        if not hasattr(self._local, "at"):
            return timeout
        left = self.left()
        if left <= 0:
            raise expired("the time for the whole request is over")
        return left if timeout is None else min(timeout, left)


class _Stream(httpcore.NetworkStream):
    """A socket whose every operation ends with the request's deadline."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._deadline.clamp(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._deadline.clamp(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        limit = self._deadline.clamp(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, limit), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    """Opens sockets that obey the deadline."""

    def __init__(self, inner: httpcore.NetworkBackend, deadline: Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        limit = self._deadline.clamp(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.connect_tcp(host, port, limit, local_address, socket_options), self._deadline)


def bound(client: httpx.Client, deadline: Deadline) -> None:
    """Put `deadline` under every real transport of `client`, those that go through a proxy included.

    httpx offers no public way to give its own transports a network backend, and a transport of our
    own would lose its proxies; a test with a server that drips its header lines guards this line.
    """
    for transport in (client._transport, *client._mounts.values()):
        pool = getattr(transport, "_pool", None)
        if isinstance(pool, httpcore.ConnectionPool):
            pool._network_backend = _Backend(pool._network_backend, deadline)
