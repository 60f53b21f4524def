"""A thread of the daemon that serves the site: the standard library's server, since a page a minute needs no more."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog

from sync.app import App
from sync.errors import ConfigError
from sync.web.site import HEADERS, Response, Site

log = structlog.get_logger()

REQUEST_SECONDS = 10.0
"""A client that sends or takes nothing for so long is let go."""

AT_ONCE_MAX = 8
"""Requests answered at once: fewer than the database has connections for, so that no push waits for a page."""


class Server(ThreadingHTTPServer):
    """Listens on one address; each request in a thread that ends with the process."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, host: str, port: int, site: Site) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.site = site
        self.slots = threading.BoundedSemaphore(AT_ONCE_MAX)
        super().__init__((host, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that goes away in the middle is not an event."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version = "mpsync"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = REQUEST_SECONDS

    def handle_one_request(self) -> None:
        """Answer one request and close: nobody here asks twice a minute, and idle connections hold threads."""
        super().handle_one_request()
        self.close_connection = True

    def _respond(self) -> None:
        if not self.server.slots.acquire(timeout=REQUEST_SECONDS):
            self._send(Response(503, b"busy\n", "text/plain"))
            return
        try:
            answer = self.server.site.answer(self.command, self.path, self.headers.get("Host"))
        finally:
            self.server.slots.release()
        self._send(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _respond  # noqa: N815 - their names

    def _send(self, answer: Response) -> None:
        self.send_response(answer.status)
        for name, value in {**HEADERS, **answer.headers, "Connection": "close"}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Write no access log: what is asked here changes nothing."""


@contextmanager
def served(app: App, *, alive: Callable[[], bool]) -> Iterator[tuple[str, int] | None]:
    """Serve the site while the block runs, where SYNC_HTTP_ADDRESS is set; yield where it listens.

    Raises ConfigError when the address cannot be had.
    """
    address = app.settings.sync_http_address
    if address is None:
        yield None
        return
    site = Site(app, alive=alive, loopback=is_loopback(address.host))
    try:
        server = Server(address.host, address.port, site)
    except OSError as error:
        raise ConfigError(
            f"SYNC_HTTP_ADDRESS: cannot listen on {address.host}:{address.port}: {error.strerror or error}",
            hint="choose a free port, and an address of this machine",
        ) from error
    app.request_observers.append(site.observe)
    thread = threading.Thread(target=server.serve_forever, args=(0.2,), name="mpsync-web", daemon=True)
    thread.start()
    host, port = server.server_address[:2]
    log.info("web.started", address=f"{host!s}:{port}")
    try:
        yield str(host), int(port)
    finally:
        app.request_observers.remove(site.observe)
        server.shutdown()
        thread.join()
        server.server_close()


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address to listen on."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
