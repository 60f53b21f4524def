"""MPW behind a transport that answers writes as a test says, with the effect or without it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from sync.clients.mpw.client import MpwClient
from tests.worlds.outbox_world import OutboxWorld


@dataclass
class Rule:
    """The next `times` requests of a method and path are answered with `body`; `effect`: MPW does what they ask for."""

    method: str
    path: str
    body: bytes
    effect: bool
    times: int = 1
    status: int = 200


@dataclass
class Answering(httpx.BaseTransport):
    """Passes requests on, but for those that a rule is about; `sent` lists all that were made."""

    rules: list[Rule] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    before: Callable[[httpx.Request], None] | None = None

    def __post_init__(self) -> None:
        self._real = httpx.HTTPTransport()

    def says(self, method: str, path: str, answer: object, *, effect: bool, times: int = 1, status: int = 200) -> None:
        """Answer so: `answer` is bytes, or is written as JSON."""
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.rules.append(Rule(method, path, body, effect, times, status))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        if self.before is not None:
            self.before(request)
        path = request.url.path.removeprefix("/api/v1/mpw")
        self.sent.append(f"{request.method} {path}")
        for rule in self.rules:
            if rule.times > 0 and request.method == rule.method and rule.path in request.url.path:
                rule.times -= 1
                if rule.effect:
                    effective = self._real.handle_request(request)
                    effective.read()
                    effective.close()
                return httpx.Response(rule.status, content=rule.body)
        return self._real.handle_request(request)

    def close(self) -> None:
        """Close the connections."""
        self._real.close()

    def count(self, what: str) -> int:
        """Return how many requests of a method and path were made."""
        return sum(what in one for one in self.sent)


def answering(world: OutboxWorld) -> Answering:
    """Let the world's MPW be asked through such a transport from here on."""
    transport = Answering()
    sandbox = world.sandbox
    world.ctx.mpw = MpwClient(
        sandbox.mpw_url,
        sandbox.email,
        sandbox.password,
        clock=world.clock,
        max_requests_per_second=0,
        timeout_seconds=5,
        transport=transport,
    )
    return transport
