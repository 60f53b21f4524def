"""The sandbox's own pages: a status page, and the levers for tests in another process.

POST /_sandbox/people  {"do": "mpw.person_receives", "with": {"part_number": "51503", …}}
GET, POST, DELETE /_sandbox/faults  {"endpoint": "mpw.post_receipt", "kind": "lost_answer", "times": 1}
GET /_sandbox/state, GET /_sandbox/requests?endpoint=mpw.post_receipt
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from html import escape

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from sync.clock import Clock
from sync.sandbox.faults import Fault, Faults
from sync.sandbox.forms import from_json, to_json
from sync.sandbox.mpservices import MpservicesModel, movement_row, product_row
from sync.sandbox.mpw import MpwModel
from sync.sandbox.mpw_rows import issuance_row, receipt_row
from sync.sandbox.requests import RequestLog, Seen

ACTS = frozenset(
    {f"mpw.{name}" for name in dir(MpwModel) if name.startswith(("person_", "add_"))}
    | {f"mpservices.{name}" for name in dir(MpservicesModel) if name.startswith(("person_", "add_"))}
    | {"mpw.hide_warehouse", "mpw.show_warehouse", "mpw.rename_warehouse", "mpw.expire_tokens"}
    | {"mpservices.set_feed_hours"}
)


class FaultScript(msgspec.Struct, forbid_unknown_fields=True):
    """A fault as it is posted; the fields of `Faults.add`, with a text that the body must contain as `match`."""

    endpoint: str
    kind: str
    times: int | None = 1
    after: int = 0
    status: int | None = None
    retry_after: int | str | None = None
    seconds: float | None = None
    body_contains: str | None = None


class Control:
    """The handlers of the sandbox's own pages."""

    def __init__(
        self, mpw: MpwModel, mpservices: MpservicesModel, faults: Faults, log: RequestLog, clock: Clock
    ) -> None:
        self._models: dict[str, object] = {"mpw": mpw, "mpservices": mpservices}
        self._mpw, self._mpservices = mpw, mpservices
        self._faults, self._log, self._clock = faults, log, clock

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [
            Route("/", self.page, methods=["GET"]),
            Route("/_sandbox/state", self.state, methods=["GET"]),
            Route("/_sandbox/requests", self.requests, methods=["GET"]),
            Route("/_sandbox/faults", self.faults, methods=["GET", "POST", "DELETE"]),
            Route("/_sandbox/people", self.people, methods=["POST"]),
        ]

    async def state(self, request: Request) -> Response:
        """Everything both vendors hold, with what their own answers do not show (api_key, by_patch, stock)."""
        return _json(
            {
                "now": self._clock.now().isoformat(),
                "mpw": self._mpw_state(),
                "mpservices": self._mpservices_state(),
                "faults": [_fault_row(fault) for fault in self._faults.pending()],
                "requests": dict(Counter(seen.endpoint for seen in self._log)),
            }
        )

    def _mpw_state(self) -> dict[str, object]:
        model = self._mpw
        with model.lock:
            return {
                "parts": [
                    {
                        "part_number": part.part_number,
                        "warehouse_name": part.warehouse.name,
                        "quantity": part.quantity,
                        "api_key": part.api_key,
                    }
                    for part in model.parts.values()
                ],
                "receipts": [receipt_row(row) for row in model.receipt_by_id.values() if row.listed],
                "issuances": [issuance_row(row) | {"api_key": row.api_key} for row in model.issuance_by_id.values()],
                "orders": [
                    {"number": order.number, "status": order.status, "total_cost": order.total}
                    for order in model.orders.values()
                ],
            }

    def _mpservices_state(self) -> dict[str, object]:
        model = self._mpservices
        with model.lock:
            return {
                "products": [product_row(product) for product in model.products],
                "movements": [movement_row(item) | {"by_patch": item.by_patch} for item in model.all_movements],
            }

    async def requests(self, request: Request) -> Response:
        """The requests so far, of one endpoint if it is named."""
        endpoint = request.query_params.get("endpoint")
        return _json([_seen_row(seen) for seen in self._log if endpoint in (None, seen.endpoint)])

    async def faults(self, request: Request) -> Response:
        """List the faults in force, add one, or clear them."""
        if request.method == "DELETE":
            self._faults.clear()
        elif request.method == "POST":
            try:
                self._add_fault(msgspec.json.decode(await request.body(), type=FaultScript))
            except ValueError as error:
                return _json({"message": str(error)}, 422)
        return _json([_fault_row(fault) for fault in self._faults.pending()])

    def _add_fault(self, script: FaultScript) -> None:
        text = script.body_contains
        self._faults.add(
            script.endpoint,
            script.kind,
            script.times,
            script.after,
            status=script.status,
            retry_after=script.retry_after,
            seconds=script.seconds,
            match=None if text is None else lambda seen: text in seen.body,
        )

    async def people(self, request: Request) -> Response:
        """Act as a person in either system."""
        try:
            act, arguments = _act(from_json(await request.body()))
            system, _, name = act.partition(".")
            method: Callable[..., object] = getattr(self._models[system], name)
            result = method(**arguments)
        except (ValueError, TypeError, KeyError) as error:
            return _json({"message": f"{type(error).__name__}: {error}"}, 422)
        return _json({"result": result if isinstance(result, (int, str, list)) else None})

    async def page(self, request: Request) -> Response:
        """A page to look at: what is in the sandbox, and the last requests."""
        mpw, mpservices = self._mpw, self._mpservices
        counts = {
            "MPW parts": len(mpw.parts),
            "MPW receipts": sum(row.listed for row in list(mpw.receipt_by_id.values())),
            "MPW issuances": len(mpw.issuance_by_id),
            "MPW purchase orders": len(mpw.orders),
            "MPW work orders": len(mpw.work_order_list),
            "MPservices products": len(mpservices.products),
            "MPservices movements": len(mpservices.all_movements),
            "requests": len(self._log),
        }
        return HTMLResponse(_page(counts, self._log.all()[-50:][::-1]))


def _json(body: object, status: int = 200) -> Response:
    return Response(to_json(body), status, media_type="application/json")


def _act(value: object) -> tuple[str, dict[str, object]]:
    if not isinstance(value, dict) or value.get("do") not in ACTS or not isinstance(value.get("with", {}), dict):
        raise ValueError(f'an act is {{"do": …, "with": {{…}}}} with one of {", ".join(sorted(ACTS))}')
    arguments = dict(value.get("with", {}))
    if isinstance(arguments.get("created_at"), str):
        arguments["created_at"] = datetime.fromisoformat(arguments["created_at"])
    return value["do"], arguments


def _fault_row(fault: Fault) -> dict[str, object]:
    row = asdict(fault)
    return row | {"match": None if fault.match is None else "a function"}


def _seen_row(seen: Seen) -> Mapping[str, object]:
    return {
        "at": seen.at.isoformat(),
        "endpoint": seen.endpoint,
        "method": seen.method,
        "path": seen.path,
        "query": seen.query,
        "status": seen.status,
        "fault": seen.fault,
        "body": seen.body,
    }


def _page(counts: Mapping[str, int], recent: list[Seen]) -> str:
    cells = "".join(f"<tr><th>{escape(name)}</th><td>{count:,}</td></tr>" for name, count in counts.items())
    rows = "".join(
        f"<tr><td>{seen.at:%H:%M:%S}</td><td>{escape(seen.method)}</td><td>{escape(_shown(seen))}</td>"
        f"<td>{seen.status or 'closed'}</td><td>{escape(seen.fault or '')}</td></tr>"
        for seen in recent
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="3">'
        "<title>mpsync sandbox</title><style>body{font:15px/1.5 system-ui;margin:2rem;max-width:60rem}"
        "table{border-collapse:collapse;margin:1rem 0}td,th{padding:.15rem .8rem;text-align:left;"
        "border-bottom:1px solid #8884}th{font-weight:500}</style></head><body><h1>mpsync sandbox</h1>"
        "<p>Maintenance Pro Web and MPservices, pretended, on this machine only.</p>"
        f"<table>{cells}</table><h2>Recent requests</h2>"
        f"<table><tr><th>UTC</th><th>method</th><th>what</th><th>status</th><th>fault</th></tr>{rows}</table>"
        "</body></html>"
    )


def _shown(seen: Seen) -> str:
    query = "&".join(f"{key}={value}" for key, value in seen.query.items())
    return f"{seen.path}?{query}" if query else seen.path
