"""Whether a purchase order may be approved as it stands now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from sync.reconcile.order_rules import FINAL_STATUSES, OPEN_STATUSES, REQUISITION, folded
from sync.values.money import agrees, plain

Standing = Literal["open", "ordered", "withdrawn", "unknown"]

WITHDRAWN = frozenset(
    {"rejected", "denied", "declined", "cancelled", "canceled", "void", "voided", "deleted", "draft", "on hold"}
)
STILL_OPEN = frozenset({REQUISITION, "new", "open", "pending"})


@dataclass(frozen=True, slots=True)
class Terms:
    """What an approval approves: the order's total and the digest of its total and lines."""

    total: Decimal
    digest: str


def stands(status: str) -> Standing:
    """Return where an order's status puts it: still to be approved, ordered (or later), withdrawn, or unknown to us."""
    name = folded(status)
    if name in STILL_OPEN:
        return "open"
    if name in WITHDRAWN:
        return "withdrawn"
    return "ordered" if name in FINAL_STATUSES | OPEN_STATUSES else "unknown"


def changes(facts: Mapping[str, Any], now: Terms) -> str | None:
    """Return how an order differs from what was approved, or None: by the ERP's total, and by the terms we knew."""
    expected = facts.get("expected_total")
    if expected not in (None, "") and not _agrees(now.total, expected):
        return f"its total is now {plain(now.total)}; {expected} was approved"
    known = facts.get("terms_digest")
    if known and known != now.digest:
        total = facts.get("total")
        was = f", its total was {total}" if total not in (None, "") else ""
        return f"its lines or total changed since it was approved: its total is {plain(now.total)}{was}"
    return None


def _agrees(total: Decimal, expected: object) -> bool:
    try:
        return agrees(total, Decimal(str(expected)))
    except InvalidOperation:
        return False
