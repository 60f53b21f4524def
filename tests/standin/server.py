"""Both vendors' HTTP: requests, answers, and what can go wrong with one on the way."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.standin.times import TrueTime, VendorClock

TAKES = timedelta(milliseconds=20)
"""How long a request is on its way, and its answer."""


@dataclass(frozen=True)
class Request:
    """A request. `name` is its method and the first part of its path, such as "POST receipts"."""

    method: str
    path: tuple[str, ...]
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    at: datetime

    @property
    def name(self) -> str:
        """What a test calls it."""
        return f"{self.method} {self.path[0] if self.path else ''}"

    @property
    def form(self) -> dict[str, str]:
        """Return a form's fields."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def json(self) -> Any:
        """Return a JSON body, numbers exact; ValueError where it is none."""
        return json.loads(self.body, parse_float=Decimal)


@dataclass(frozen=True)
class Reply:
    """An answer: a value to be sent as JSON, or bytes as they are."""

    status: int
    value: Any = None

    @property
    def body(self) -> bytes:
        """Return its bytes; money and quantities go out as JSON numbers."""
        return self.value if isinstance(self.value, bytes) else json.dumps(self.value, default=_number).encode()


class RefusalError(Exception):
    """The vendor understood and refused; nothing happened."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.reply = Reply(status, {"message": message})


@dataclass
class Fault:
    """What happens to the next `times` requests of a name that `where` holds for.

    `effect`: the request is carried out now, never, or so many seconds later. `answer`: the true one (None), another,
    or "lost": the connection is cut. `before` and `after` are called round the moment of the effect.
    """

    name: str
    effect: Literal["now", "never"] | float = "now"
    answer: Reply | Literal["lost"] | None = None
    before: Callable[[], object] | None = None
    after: Callable[[], object] | None = None
    where: Callable[[Request], bool] = lambda _: True
    times: int = 1


@dataclass(repr=False)
class Vendor:
    """One vendor: its clock, its faults, and what was asked of it. A subclass answers."""

    true: TrueTime
    clock: VendorClock = field(init=False)
    requests: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    _held_up: list[tuple[datetime, Request]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = VendorClock(self.true)

    def handle(self, request: Request) -> Reply:
        """Carry a request out; raises RefusalError."""
        raise NotImplementedError

    def goes_wrong(self, name: str, **how: Any) -> Fault:
        """Let the next request of that name go wrong (see Fault)."""
        fault = Fault(name, **how)
        self.faults.append(fault)
        return fault

    def asked(self, name: str) -> list[Request]:
        """Return the requests of a name, in order."""
        return [request for request in self.requests if request.name == name]

    def writes(self) -> list[str]:
        """Return the names of all writes that arrived, in order."""
        return [r.name for r in self.requests if r.method != "GET" and r.path[0] != "authentication"]

    def respond(self, request: Request) -> Reply | None:
        """Return the answer to a request, None: the connection is cut."""
        self.true.advance(TAKES)
        with self.lock:
            self.catch_up()
            self.requests.append(request)
            reply = self._carried_out(request)
        self.true.advance(TAKES)
        return reply

    def catch_up(self) -> None:
        """Let happen what was held up until now."""
        now = self.clock.now()
        due = sorted(((at, request) for at, request in self._held_up if at <= now), key=lambda pair: pair[0])
        self._held_up = [(at, request) for at, request in self._held_up if at > now]
        for at, request in due:
            self.clock.landing(at)
            try:
                self._answer(request)
            finally:
                self.clock.landing(None)

    def _carried_out(self, request: Request) -> Reply | None:
        fault = next((f for f in self.faults if f.name == request.name and f.times > 0 and f.where(request)), None)
        if fault is None:
            return self._answer(request)
        fault.times -= 1
        if fault.before is not None:
            fault.before()
        reply: Reply | None = None
        if fault.effect == "now":
            reply = self._answer(request)
        elif fault.effect != "never":
            self._held_up.append((self.clock.now() + timedelta(seconds=float(fault.effect)), request))
        if fault.after is not None:
            fault.after()
        return reply if fault.answer is None else None if fault.answer == "lost" else fault.answer

    def _answer(self, request: Request) -> Reply:
        """Carry out and put the answer into bytes at once: what happens next is not to be seen in it."""
        try:
            reply = self.handle(request)
        except RefusalError as refusal:
            reply = refusal.reply
        return Reply(reply.status, reply.body)


@contextmanager
def serving(vendor: Vendor, prefix: str = "") -> Iterator[str]:
    """Serve a vendor on a free port of this machine; yield its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1
        timeout = 30

        def answer(self) -> None:
            parts = urlsplit(self.path)
            path = parts.path.removeprefix(prefix).strip("/").split("/")
            length = int(self.headers.get("Content-Length") or 0)
            request = Request(
                self.command,
                tuple(unquote(part) for part in path),
                dict(parse_qsl(parts.query, keep_blank_values=True)),
                {name.lower(): value for name, value in self.headers.items()},
                self.rfile.read(length),
                vendor.clock.now(),
            )
            reply = vendor.respond(request)
            if reply is None:
                self.close_connection = True
                return
            body, date = reply.body, vendor.clock.date()
            self.send_response_only(reply.status)
            if date is not None:
                self.send_header("Date", format_datetime(date, usegmt=True))
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 - named by http.server

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: Any) -> None:
            pass  # a client that went away, or was killed

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}{prefix}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _number(value: object) -> float:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{value!r} does not go into JSON")
