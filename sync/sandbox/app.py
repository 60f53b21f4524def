"""Both vendors over HTTP: routes, tokens, envelopes, the log of requests and the faults."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import format_datetime
from urllib.parse import parse_qsl

from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from sync.clock import Clock
from sync.sandbox.answers import Answer, Refusal
from sync.sandbox.connections import close_connection
from sync.sandbox.faults import Fault, Faults
from sync.sandbox.forms import any_form, enveloped, json_object, to_json, urlencoded
from sync.sandbox.mpservices import MpservicesModel
from sync.sandbox.mpw import MpwModel
from sync.sandbox.requests import RequestLog, Seen

MPW_PREFIX = "/api/v1/mpw"
LOGIN_PAGE = b"<!DOCTYPE html><html><head><title>Log in</title></head><body><h1>Please log in</h1></body></html>"
UNAUTHORIZED: Answer = (401, {"message": "Unauthorized"})
JSON = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Call:
    """A request as an endpoint needs it."""

    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    key: str

    @property
    def content_type(self) -> str:
        """The Content-Type header, empty when absent."""
        return self.headers.get("content-type", "")


Handler = Callable[[Call], Answer]


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer, ready to send."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    cut: bool = False


class Endpoint:
    """One endpoint of a vendor as an ASGI application: logs, applies a fault, else answers."""

    def __init__(self, name: str, handler: Handler, log: RequestLog, faults: Faults, clock: Clock) -> None:
        self.name = name
        self._handler = handler
        self._log = log
        self._faults = faults
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        body = await _read(receive)
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        call = Call(query, headers, body, scope.get("path_params", {}).get("key", ""))
        seen = self._seen(scope, call)
        self._log.add(seen)
        fault = self._faults.take(seen)
        reply = await self._strike(fault, call) if fault else self._answer(call)
        seen.fault = fault.kind if fault else None
        if reply is None:
            await close_connection(scope)
            return
        seen.status = reply.status
        await self._send(reply, scope, send)

    def _seen(self, scope: Scope, call: Call) -> Seen:
        login = self.name == "mpw.login"
        kept = {key: value for key, value in call.headers.items() if key not in ("authorization", "token", "cookie")}
        return Seen(
            self.name.partition(".")[0],
            self.name,
            scope["method"],
            scope["path"],
            dict(call.query),
            "" if login else call.body.decode(errors="replace"),
            self._clock.now(),
            kept,
        )

    def _answer(self, call: Call) -> Reply:
        try:
            status, body = self._handler(call)
        except Refusal as refusal:
            status, body = refusal.status, {"message": refusal.message}
        return Reply(status, to_json(body))

    async def _strike(self, fault: Fault, call: Call) -> Reply | None:
        """Return the answer under a fault; None: close the connection without one."""
        if fault.kind == "slow":
            await asyncio.sleep(fault.seconds if fault.seconds is not None else 1.0)
        reply = self._answer(call) if fault.has_effect else None
        if fault.kind in ("lost_request", "lost_answer"):
            await asyncio.sleep(fault.seconds or 0)
        return _struck(fault, reply)

    async def _send(self, reply: Reply, scope: Scope, send: Send) -> None:
        headers = [
            (b"content-type", reply.content_type.encode()),
            (b"content-length", str(len(reply.body)).encode()),
            (b"date", format_datetime(self._clock.now(), usegmt=True).encode()),
            *((key.encode(), value.encode()) for key, value in reply.headers),
        ]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        if reply.cut:
            await send({"type": "http.response.body", "body": reply.body[: len(reply.body) // 2], "more_body": True})
            await close_connection(scope)
        else:
            await send({"type": "http.response.body", "body": reply.body})


def _struck(fault: Fault, reply: Reply | None) -> Reply | None:
    """Return what the client sees of a fault; `reply` is the true answer where there was an effect."""
    match fault.kind:
        case "refused_before" | "lost_request" | "lost_answer":
            return None
        case "html" | "html_after":
            return Reply(fault.status or 200, LOGIN_PAGE, "text/html; charset=utf-8")
        case "unauthorized":
            return Reply(401, to_json(UNAUTHORIZED[1]))
        case "too_many":
            retry_after = fault.retry_after if fault.retry_after is not None else 1
            return Reply(429, to_json({"message": "Too many requests"}), headers=(("Retry-After", str(retry_after)),))
        case "error_before" | "error_after":
            status = fault.status or (503 if fault.kind == "error_before" else 500)
            later = () if fault.retry_after is None else (("Retry-After", str(fault.retry_after)),)
            return Reply(status, to_json({"message": "Something went wrong"}), headers=later)
        case "cut_body" if reply is not None:
            return Reply(reply.status, reply.body, reply.content_type, cut=True)
        case _:
            return reply


async def _read(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return b"".join(chunks)


def mpw_endpoints(model: MpwModel) -> list[tuple[str, str, str, Handler]]:
    """Return (name, method, path below the prefix, handler) of MPW's endpoints."""

    def guarded(handler: Handler) -> Handler:
        def check(call: Call) -> Answer:
            return handler(call) if model.allows(call.headers.get("authorization")) else UNAUTHORIZED

        return check

    def posting(envelope: str, method: Callable[[Mapping[str, object]], Answer]) -> Handler:
        return guarded(lambda call: method(enveloped(call.content_type, call.body, envelope)))

    def reading(method: Callable[[Mapping[str, str]], Answer]) -> Handler:
        return guarded(lambda call: method(call.query))

    return [
        ("mpw.login", "POST", "/authentication", lambda call: model.login(any_form(call.content_type, call.body))),
        ("mpw.issuances", "GET", "/issuances", reading(model.issuances)),
        ("mpw.post_issuance", "POST", "/issuances", posting("issuance", model.post_issuance)),
        ("mpw.delete_issuance", "DELETE", "/issuance/{key}", guarded(lambda call: model.delete_issuance(call.key))),
        ("mpw.receipts", "GET", "/receipts", reading(model.receipts)),
        ("mpw.post_receipt", "POST", "/receipts", posting("receipt", model.post_receipt)),
        ("mpw.delete_receipt", "DELETE", "/receipt/{key}", guarded(lambda call: model.delete_receipt(call.key))),
        ("mpw.inventories", "GET", "/inventories", reading(model.inventories)),
        ("mpw.post_inventory", "POST", "/inventories", posting("inventory", model.post_inventory)),
        ("mpw.transfer", "POST", "/inventory_transfers", posting("inventory_transfer", model.transfer)),
        ("mpw.equipment", "GET", "/gps_meter_updates", reading(model.equipment)),
        ("mpw.work_orders", "GET", "/work_orders", reading(model.work_orders)),
        ("mpw.purchase_orders", "GET", "/purchase_orders", reading(model.purchase_orders)),
        (
            "mpw.approve",
            "POST",
            "/purchase_orders/approve",
            guarded(lambda call: model.approve(json_object(call.content_type, call.body))),
        ),
    ]


def mpservices_endpoints(
    model: MpservicesModel, work_orders_path: str, create_product_path: str
) -> list[tuple[str, str, str, Handler]]:
    """Return (name, method, path, handler) of MPservices' endpoints; two paths are in no document."""

    def guarded(handler: Handler) -> Handler:
        def check(call: Call) -> Answer:
            return handler(call) if model.allows(call.headers.get("token")) else UNAUTHORIZED

        return check

    def posting(method: Callable[[Mapping[str, str]], Answer]) -> Handler:
        return guarded(lambda call: method(urlencoded(call.content_type, call.body)))

    return [
        (
            "mpservices.movements",
            "GET",
            "/FetchTenantsInventoryMovements",
            guarded(lambda call: model.movements()),
        ),
        ("mpservices.work_orders", "GET", work_orders_path, guarded(lambda call: model.work_orders())),
        ("mpservices.create_product", "POST", create_product_path, posting(model.create_product)),
        ("mpservices.patch_stock", "PATCH", "/UpdateProductStockCost", posting(model.patch_stock)),
    ]


def vendor_routes(
    endpoints: list[tuple[str, str, str, Handler]], prefix: str, log: RequestLog, faults: Faults, clock: Clock
) -> list[BaseRoute]:
    """Return the routes of a vendor's endpoints."""
    return [
        Route(f"{prefix}{path}", Endpoint(name, handler, log, faults, clock), methods=[method])
        for name, method, path, handler in endpoints
    ]
