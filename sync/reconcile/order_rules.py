"""Purchase orders: what an approval approves, and when an order is final."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sync.values.money import fixed, plain, times

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


# --- whether an order's prices say what it costs --------------------------------------------

CENT = Decimal("0.01")
_TAXES = ("tax_one_cost", "tax_two_cost")


@dataclass(frozen=True, slots=True)
class PricedLine:
    """A line of an order: what names it, its quantity and unit cost, and the amount that MPW shows for it, if any."""

    name: str
    quantity: Decimal
    unit_cost: Decimal
    extended: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Prices:
    """What an order says of money (Purchase Orders - GET, its sample response); None: MPW does not show it."""

    total: Decimal
    lines: tuple[PricedLine, ...]
    subtotal: Decimal | None = None
    tax: Decimal | None = None
    taxes: Decimal | None = None  # of tax_one_cost and tax_two_cost together
    freight: Decimal | None = None


def prices_of(order: Mapping[str, Any]) -> Prices:
    """Return what an order's JSON says of money, its field names in small letters."""
    both = [one for one in map(order.get, _TAXES) if one is not None]
    return Prices(
        total=_number(order.get("total_cost")) or Decimal(0),
        lines=tuple(_line(line) for line in order.get("items") or ()),
        subtotal=_number(order.get("subtotal")),
        tax=_number(order.get("tax_cost")),
        taxes=sum((_number(one) or Decimal(0) for one in both), Decimal(0)) if both else None,
        freight=_number(order.get("freight_cost")),
    )


def unpriced(prices: Prices) -> str | None:
    """Return why an order's prices do not say what it costs, None where they do.

    | the order | |
    |---|---|
    | its total is zero or less | asks |
    | a line costs nothing, or less | asks |
    | a line's amount is not its quantity at its unit cost | asks |
    | the lines are the total less tax and freight | is priced |
    | the lines are the subtotal, MPW shows neither tax nor freight, and the total is not less | is priced |
    | else | asks |

    A cent a line allows for what MPW rounds. Whether tax_cost holds the two taxes or stands beside them the document
    does not say, so each reading counts.
    """
    if prices.total <= 0:
        return f"its total is {plain(prices.total)}"
    for line in prices.lines:
        if line.unit_cost <= 0:
            return f"its line of {plain(line.quantity)} {line.name} costs {plain(line.unit_cost)} each"
        amount = times(line.quantity, line.unit_cost)
        if line.extended is not None and abs(line.extended - amount) > CENT:
            return (
                f"its line of {plain(line.quantity)} {line.name} at {plain(line.unit_cost)} says "
                f"{plain(line.extended)} in all"
            )
    return _unlike(prices)


def _unlike(prices: Prices) -> str | None:
    """Compare the total with the lines."""
    lines = sum((times(line.quantity, line.unit_cost) for line in prices.lines), Decimal(0))
    near = CENT * max(len(prices.lines), 1)
    freight, tax, taxes = (value or Decimal(0) for value in (prices.freight, prices.tax, prices.taxes))
    if any(abs(prices.total - each - freight - lines) <= near for each in (tax, taxes, tax + taxes)):
        return None
    alone = prices.tax is None and prices.taxes is None and prices.freight is None
    said = prices.subtotal
    if alone and said is not None and abs(said - lines) <= near and prices.total >= said - near:
        return None
    beside = " with tax and freight" if tax or taxes or freight else ""
    return f"its total is {plain(prices.total)}{beside}, and its lines come to {plain(lines)}"


def _line(line: Mapping[str, Any]) -> PricedLine:
    return PricedLine(
        str(line.get("part_number") or line.get("name") or line.get("id") or "an unnamed part"),
        _number(line.get("quantity")) or Decimal(0),
        _number(line.get("unit_cost")) or Decimal(0),
        _number(line.get("extended_cost")),
    )


def _number(value: object) -> Decimal | None:
    try:
        return None if value in (None, "") else fixed(value)
    except ValueError:
        return None
