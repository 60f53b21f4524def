"""A stand-in for a vendor behind httpx.MockTransport, and clients built on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import httpx

from sync.clients.http import Http, RequestSeen
from sync.clients.mpservices.client import MpservicesClient
from sync.clients.mpw.client import MpwClient
from sync.clock import Clock

SAMPLES = Path(__file__).parent / "samples"
MPW = "https://mpw.test/api/v1/mpw"
MPS = "https://mps.test"
PASSWORD = "s3cret-Pass/word"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyIjoxfQ.c2lnbmF0dXJl"
Reply = httpx.Response | Exception
Handler = Callable[[httpx.Request], Reply]


def sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.json").read_bytes()


def as_meant(name: str) -> bytes:
    """A sample with its typographic quotes, no-break spaces and shell prompt put right, as the vendor means it."""
    text = sample(name).decode()
    for odd, plain in (("“", '"'), ("”", '"'), ("\u00a0", " ")):
        text = text.replace(odd, plain)
    return text.rstrip().removesuffix("%").encode()


class Vendor:
    """Answers requests by a handler and remembers them."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.requests: list[httpx.Request] = []
        self.transport = httpx.MockTransport(self._handle)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        reply = self.handler(request)
        if isinstance(reply, Exception):
            raise reply
        return reply

    @property
    def calls(self) -> list[str]:
        """Every request as "METHOD /path?query", decoded."""
        return [f"{r.method} {unquote(r.url.raw_path.decode())}" for r in self.requests]


class Mpw(Vendor):
    """MPW with a login that numbers its tokens, in front of the handler for everything else."""

    def __init__(self, handler: Handler, clock: Clock, login: Handler | None = None) -> None:
        super().__init__(self._route)
        self.inner = handler
        self.login = login or self._log_in
        self.logins = 0
        self.seen: list[RequestSeen] = []
        self.client = MpwClient(
            MPW, "user@example.com", PASSWORD, clock=clock, transport=self.transport, observer=self.seen.append
        )

    def _route(self, request: httpx.Request) -> Reply:
        if request.url.path.endswith("/authentication"):
            self.logins += 1
            return self.login(request)
        return self.inner(request)

    def _log_in(self, request: httpx.Request) -> Reply:
        return httpx.Response(200, json={"access_token": f"token-{self.logins}-of-user"})

    @property
    def data_calls(self) -> list[str]:
        """The calls without the logins, without the base path."""
        return [c.replace("/api/v1/mpw", "") for c in self.calls if "authentication" not in c]


def mps_client(vendor: Vendor, clock: Clock, **options: str) -> MpservicesClient:
    return MpservicesClient(MPS, "MPSER110_real-token", clock=clock, transport=vendor.transport, **options)


def http(vendor: Vendor, clock: Clock, **options: object) -> Http:
    given: dict[str, object] = {"system": "mpw", "timeout_seconds": 5, "secrets": lambda: (PASSWORD, TOKEN)}
    return Http(MPW, clock=clock, transport=vendor.transport, **(given | options))  # type: ignore[arg-type]


def json_reply(value: object, status: int = 200) -> httpx.Response:
    return httpx.Response(status, content=json.dumps(value).encode())
