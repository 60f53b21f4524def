"""Purchase orders: what an approval approves, and when an order is final."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from decimal import Decimal

from sync.values.money import plain

REQUISITION = "requisition"
ORDERED = "ordered"

FINAL_STATUSES = frozenset(
    {
        "received",
        "fully received",
        "rejected",
        "denied",
        "declined",
        "cancelled",
        "canceled",
        "completed",
        "complete",
        "closed",
        "void",
        "voided",
        "deleted",
    }
)
OPEN_STATUSES = frozenset(
    {
        REQUISITION,
        ORDERED,
        "draft",
        "open",
        "new",
        "pending",
        "approved",
        "partially received",
        "partial",
        "backordered",
        "on hold",
    }
)
"""MPW's document names `requisition` and "Ordered" and says that there are more (Purchase Orders - GET)."""


def folded(status: str) -> str:
    """Return a status for comparing: the document writes `requisition` and "Ordered"."""
    return " ".join(status.replace("_", " ").replace("-", " ").split()).casefold()


def is_final(status: str) -> bool:
    """Tell whether an order of this status will not change any more; one we do not know may."""
    return folded(status) in FINAL_STATUSES


def is_known_status(status: str) -> bool:
    """Tell whether we know what a status means."""
    return folded(status) in FINAL_STATUSES | OPEN_STATUSES


def terms_digest(total_cost: Decimal | None, lines: Iterable[tuple[str, Decimal, Decimal]]) -> str:
    """Return 32 hex digits of an order's total and lines (part number, quantity, unit cost), in any order of lines."""
    parts = sorted("\x1f".join((part, plain(quantity), plain(cost))) for part, quantity, cost in lines)
    total = "" if total_cost is None else plain(total_cost)
    return hashlib.sha256("\x1e".join((total, *parts)).encode("utf-8", "backslashreplace")).hexdigest()[:32]
