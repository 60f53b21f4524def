"""Between the clients and the vendors: an httpx transport on which everything goes wrong that can."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from email.utils import format_datetime
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, parse_qsl, unquote

import httpx

from sync.clock import Clock
from sync.sandbox.answers import Refusal
from sync.sandbox.app import LOGIN_PAGE, Call, Handler, mpservices_endpoints, mpw_endpoints
from sync.sandbox.forms import to_json
from tests.simulation.kernel import Violation

if TYPE_CHECKING:
    from tests.simulation.kernel import Actor
    from tests.simulation.world import World

TIMEOUT_SECONDS = 30.0
LATE_MINUTES = (1, 12)
"""A call lands at most this late after it was sent; the policy's late_arrival is 15 minutes."""

WHOLE = {""}
"""Faults after which the program takes in a whole answer. One that comes after a freeze is past the call's deadline."""

HOLLOW = (
    b"{}",
    b'{"success": false}',
    b'{"status": "error"}',
    b'{"data": null}',
    b'{"success": true}',
    b'{"status": "ok"}',
    b'"OK"',
    b"null",
    b"[]",
)
"""What a 2xx may hold that tells nothing, whether something happened or not."""

HOLLOWS = 0.2
"""How often a write is answered so, where that is the habit; as often with an effect as without."""

Routes = dict[str, list[tuple[str, str, Handler]]]


class _Cut(httpx.SyncByteStream):
    """Half of a body, then the connection breaks."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        yield self._body[: len(self._body) // 2]
        raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")


class Network(httpx.BaseTransport):
    """One vendor, as one actor's client reaches it."""

    def __init__(self, world: World, actor: Actor, system: str) -> None:
        self._world, self._actor, self._system = world, actor, system

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Carry a request to the vendor's model and its answer back, or not."""
        world, actor, plan = self._world, self._actor, self._world.plan
        name, call, handler = world.vendors.route(self._system, request)
        write = request.method != "GET" and name != "mpw.login"
        about = _about(name, call)
        actor.check()
        world.renew(actor)
        world.oracle.witness.asked(actor, name)
        world.oracle.may_call(actor, name)
        if write:
            world.oracle.before_write(actor, name, call)
        fault = plan.fault(about, write=write)
        if not fault and write and "hollow" in world.habits:
            fault = plan.pick("hollow", about, _hollow, "")
        world.oracle.causes.struck(name, call, fault, write=write)
        shown = b"" if name == "mpw.login" else call.body[:150]
        world.kernel.log(name, call.key or dict(call.query) or shown, fault and f"<{fault}>")
        world.people.may_act(f"{about}|before")
        try:
            response = self._carry(name, call, handler, fault, about, write)
        finally:
            if actor.alive:
                actor.check()
        return response

    def _carry(self, name: str, call: Call, handler: Handler, fault: str, about: str, write: bool) -> httpx.Response:
        world, actor, plan = self._world, self._actor, self._world.plan

        def effect() -> httpx.Response:
            try:
                status, body = handler(call)
            except Refusal as refusal:
                status, body = refusal.status, {"message": refusal.message}
            world.kernel.log("   ", name, status, str(body)[:200] if write else "")
            if write:
                world.oracle.after_effect(name, call, status)
            elif status == 200 and fault in WHOLE:
                world.oracle.witness.answered(actor, name, call)
            return self._response(status, to_json(body))

        match fault:
            case "refused":
                actor.wait(0.05)
                raise httpx.ConnectError("connection refused")
            case "lost_request":
                self._time_out(actor)
            case "lost_answer":
                actor.wait(0.2)
                effect()
                self._time_out(actor)
            case "reset_after":
                actor.wait(0.2)
                effect()
                raise httpx.ReadError("connection reset by peer")
            case "late":
                minutes = plan.number("late", about, *LATE_MINUTES)
                world.kernel.at(world.kernel.time + minutes * 60, lambda: (effect(), None)[1])
                self._time_out(actor)
            case "error_before":
                actor.wait(0.1)
                return self._response(503, b'{"message": "unavailable"}')
            case "error_after":
                actor.wait(0.1)
                effect()
                return self._response(500, b'{"message": "Something went wrong"}')
            case "too_many":
                actor.wait(0.1)
                world.oracle.denied(actor, name, call, 90, write=write)
                return self._response(429, b'{"message": "slow down"}', {"Retry-After": "90"})
            case "unauthorized":
                actor.wait(0.1)
                return self._response(401, b'{"message": "Unauthorized"}')
            case "html":
                actor.wait(0.1)
                return self._response(200, LOGIN_PAGE, {"Content-Type": "text/html"})
            case "html_after":
                actor.wait(0.1)
                effect()
                return self._response(200, LOGIN_PAGE, {"Content-Type": "text/html"})
            case "hollow":
                actor.wait(0.1)
                return self._hollow(about, "hollow", call)
            case "hollow_after":
                actor.wait(0.1)
                whole = effect()
                return self._hollow(about, "hollow after the effect", call) if whole.status_code == 200 else whole
            case "cut_body":
                actor.wait(0.1)
                whole = effect()
                headers = {k: v for k, v in whole.headers.items() if k.lower() != "content-length"}
                return httpx.Response(whole.status_code, headers=headers, stream=_Cut(whole.content))
            case "dies_before":
                actor.crash()
            case "dies_after":
                actor.wait(0.1)
                effect()
                actor.crash()
            case "freezes_before":
                world.freeze(actor.process, plan.number("freeze", about, 1, 8) * 60)
                actor.wait(0.1)
                return effect()
            case "freezes_after":
                actor.wait(0.1)
                response = effect()
                world.freeze(actor.process, plan.number("freeze", about, 3, 90) * 60)
                actor.wait(0.1)
                return response
        actor.wait(0.05 + 0.01 * (len(about) % 20))
        response = effect()
        actor.wait(0.05)
        return response

    def _hollow(self, about: str, what: str, call: Call) -> httpx.Response:
        """Answer 2xx with nothing in it; a patch may take that for landed, where it names no error."""
        self._world.oracle.reached[what] += 1
        body = HOLLOW[self._world.plan.number("hollow_form", about, 0, len(HOLLOW) - 1)]
        if (
            what == "hollow"
            and about.startswith("mpservices.patch_stock")
            and b"false" not in body
            and b"err" not in body
        ):
            self._world.mps.note_no_op({name: values[0] for name, values in parse_qs(call.body.decode()).items()})
        return self._response(200, body)

    def _time_out(self, actor: Actor) -> None:
        for _ in range(7):
            actor.wait(TIMEOUT_SECONDS / 7)
            self._world.renew(actor)
        raise httpx.ReadTimeout("timed out")

    def _response(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
        clock = self._world.vendors.clock_of(self._system)
        at = clock.now().replace(microsecond=0)
        given = {"Content-Type": "application/json", "Date": format_datetime(at, usegmt=True)} | (headers or {})
        return httpx.Response(status, headers=given, content=body)


class Vendors:
    """Both models, by URL."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._routes: dict[str, Routes] = {
            "mpw": _table(mpw_endpoints(world.mpw)),
            "mpservices": _table(mpservices_endpoints(world.mps, "/wo", "/CreateProduct")),
        }

    def clock_of(self, system: str) -> Clock:
        """Return a vendor's own clock."""
        return self._world.mpw.clock if system == "mpw" else self._world.mps.clock

    def route(self, system: str, request: httpx.Request) -> tuple[str, Call, Handler]:
        """Find the endpoint of a request; one that no document knows is a violation."""
        path = request.url.raw_path.decode().partition("?")
        segments = path[0].strip("/").split("/")
        query = dict(parse_qsl(path[2], keep_blank_values=True))
        headers = {key.lower(): value for key, value in request.headers.items()}
        for name, pattern, handler in self._routes[system].get(request.method, []):
            wanted = pattern.strip("/").split("/")
            if len(wanted) == len(segments) and all(
                w == s or w == "{key}" for w, s in zip(wanted, segments, strict=True)
            ):
                key = unquote(segments[-1]) if "{key}" in pattern else ""
                return name, Call(query, headers, request.read(), key), handler
        raise Violation(f"a request that no document knows: {request.method} {request.url}")


def _hollow(random: Random) -> str:
    x = random.random()
    return "hollow" if x < HOLLOWS / 2 else "hollow_after" if x < HOLLOWS else ""


def _table(endpoints: list[tuple[str, str, str, Handler]]) -> Routes:
    table: Routes = {}
    for name, method, path, handler in endpoints:
        table.setdefault(method, []).append((name, path, handler))
    return table


def key_of(name: str, call: Call) -> list[str]:
    """Return what identifies a write to us: its api_key, external id or order numbers."""
    if call.key:
        return [call.key]
    if name.startswith("mpservices."):
        return parse_qs(call.body.decode()).get("external_id", [""])
    body = json.loads(call.body)
    if "purchase_order_numbers" in body:
        return str(body["purchase_order_numbers"]).split(",")
    inner = next(iter(body.values()))
    return [str(inner.get("api_key") or inner["part_number"])]


def _about(name: str, call: Call) -> str:
    if call.key or (call.body and name != "mpw.login"):
        return f"{name}:{'+'.join(key_of(name, call))}"
    return f"{name}:{'&'.join(sorted(call.query.values()))}"


__all__ = ["TIMEOUT_SECONDS", "Network", "Vendors", "key_of", "timedelta"]
