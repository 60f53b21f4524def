"""What planned pushes are worth: stock and cost before and after, the change of value, and the sums by route."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from sync.jobs.plan import Planned
from sync.jobs.reports import costs_by_part, rows, stock_by_item, totals_by_order
from sync.outbox.machine import APPROVE, PATCH_STOCK, POST_ISSUANCE, POST_RECEIPT
from sync.values.money import times
from sync.values.policy import Policy

MOST = 5
"""How many items are named whose value changes most."""


@dataclass(frozen=True, slots=True)
class Worth:
    """What one planned push changes. `value`: by how much the target's value changes; None: not known."""

    stock_before: Decimal | None = None
    stock_after: Decimal | None = None
    cost_before: Decimal | None = None
    cost_after: Decimal | None = None
    value: Decimal | None = None
    value_after: Decimal | None = None  # of a stock patch: what MPservices' stock is worth then
    dates: str | None = None


@dataclass(frozen=True, slots=True)
class Sum:
    """What a route's pushes come to; `unknown` of them have no value that is known."""

    route: str
    pushes: int
    value: Decimal
    unknown: int


def worths(conn: Connection, planned: Sequence[Planned], policy: Policy) -> list[Worth]:
    """Return what each planned push changes, in their order."""
    stock, costs, totals = stock_by_item(conn), costs_by_part(conn), totals_by_order(conn)
    return [_worth(push, stock, costs, totals, policy) for push in planned]


def _worth(
    push: Planned, stock: dict[str, Any], costs: dict[str, Any], totals: dict[str, Any], policy: Policy
) -> Worth:
    fields = json.loads(push.payload, parse_float=Decimal) if push.payload else {}
    if push.operation == PATCH_STOCK:
        return _patch(fields, stock.get(push.item or "", {}))
    if push.operation == POST_RECEIPT:
        value = _product(fields.get("quantity_received"), fields.get("unit_cost"))
        return Worth(value=value, dates=_dates(fields.get("created_on"), policy))
    if push.operation == POST_ISSUANCE:
        value = _product(fields.get("quantity"), costs.get(push.item or ""))
        return Worth(value=None if value is None else -value, dates=_dates(fields.get("created_on"), policy))
    if push.operation == APPROVE:
        return Worth(value=totals.get(str(fields.get("purchase_order_number"))))
    return Worth()


def _patch(fields: dict[str, Any], known: dict[str, Any]) -> Worth:
    """MPservices keeps its own count and cost until the patch: `before` is what we believe of it, or nothing."""
    after, cost_after = Decimal(str(fields["new_stock"])), Decimal(str(fields["new_cost"]))
    before, cost_before = known.get("mpservices_quantity"), known.get("mpservices_unit_cost")
    value_before = _product(before, cost_before) if before else before
    value_after = times(after, cost_after)
    value = None if value_before is None else value_after - value_before
    return Worth(before, after, cost_before, cost_after, value, value_after)


def _product(quantity: Any, cost: Any) -> Decimal | None:
    if quantity is None or cost is None:
        return None
    return times(Decimal(str(quantity)), Decimal(str(cost)))


def _dates(created_on: Any, policy: Policy) -> str | None:
    """Say which date goes where, of a document that is dated in a closed month."""
    if not isinstance(created_on, str) or policy.lock_date is None:
        return None
    day = date.fromisoformat(created_on[:10])
    if day > policy.lock_date:
        return None
    return told_dates(day, policy.lock_date)


def told_dates(day: date, lock_date: date) -> str:
    """Return in words where the date of a late document goes."""
    return (
        f"late: MPW gets its own date {day}, in the month that SYNC_LOCK_DATE closes; the ledger posts it on"
        f" {lock_date + timedelta(days=1)}"
    )


def sums(planned: Sequence[Planned], found: Sequence[Worth]) -> list[Sum]:
    """Return what each route's pushes come to; what waits for something is in none."""
    by_route: dict[str, list[Worth]] = {}
    for push, worth in zip(planned, found, strict=True):
        if push.route is not None and push.state in ("held", "ready"):
            by_route.setdefault(push.route, []).append(worth)
    return [
        Sum(
            route,
            len(alike),
            sum((worth.value for worth in alike if worth.value is not None), Decimal(0)),
            sum(worth.value is None for worth in alike),
        )
        for route, alike in sorted(by_route.items())
    ]


def change_most(planned: Sequence[Planned], found: Sequence[Worth]) -> list[tuple[str, Worth]]:
    """Return the items whose stock patches change MPservices' value most, those of an unknown change first."""
    patches = [
        (push.item or "", worth)
        for push, worth in zip(planned, found, strict=True)
        if push.operation == PATCH_STOCK and push.state in ("held", "ready")
    ]
    patches.sort(key=_rank)
    return patches[:MOST]


def _rank(one: tuple[str, Worth]) -> tuple[bool, Decimal, str]:
    item, worth = one
    change = worth.value if worth.value is not None else worth.value_after
    return worth.value is not None, -abs(change or Decimal(0)), item


def is_first_release(conn: Connection) -> bool:
    """Tell whether no stock patch of ours was ever sent: the first one overwrites MPservices' count."""
    return not rows(conn, "select 1 as n from outbox where operation = 'patch_stock' and tries > 0 limit 1")
