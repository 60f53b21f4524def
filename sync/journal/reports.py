"""What a controller closes a month with: GRNI by age, the tie-out, price variances, the month's statement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Connection

from sync.journal import report_rows
from sync.journal.check import Checked, check_journal
from sync.journal.report_rows import Record
from sync.values.money import fixed, from_micros, times

ZERO = Decimal(0)
AGES = ((30, "to 30 days"), (60, "31 to 60"), (90, "61 to 90"))
OVER = "over 90"
MOVEMENTS = ("received", "issued", "transferred", "adjusted", "moved")


def age(received_on: date, today: date) -> str:
    """Return in which column of the ageing a receipt stands."""
    days = (today - received_on).days
    return next((name for most, name in AGES if days <= most), OVER)


@dataclass(frozen=True, slots=True)
class Ageing:
    """GRNI: its lines, what each column of the ageing holds, and the sum."""

    lines: list[Record]
    by_age: dict[str, Decimal]
    total: Decimal


def grni(conn: Connection, *, today: date) -> Ageing:
    """Return what was received and is not invoiced, with its age and what is odd about it.

    Flags: no order, an order that is not known, a part that is not on it, more than was ordered, an order whose bills
    are of another sum than what was received.
    """
    lines = report_rows.grni(conn)
    ordered = _ordered(conn, {line["purchase_order"] for line in lines if line["purchase_order"]})
    by_age: dict[str, Decimal] = {name: ZERO for _, name in AGES} | {OVER: ZERO}
    received = _by_order(lines)
    for line in lines:
        line["age"] = age(line["received_on"], today)
        line["flag"] = line["flag"] or _flag(line, ordered, received)
        by_age[line["age"]] += line["amount"]
    return Ageing(lines, by_age, sum((line["amount"] for line in lines), ZERO))


def _by_order(lines: list[Record]) -> dict[str, Decimal]:
    received: dict[str, Decimal] = defaultdict(Decimal)
    for line in lines:
        received[line["purchase_order"] or ""] += line["amount"]
    return received


def _flag(line: Record, ordered: dict[tuple[str, str], _Line], received: Mapping[str, Decimal]) -> str | None:
    known = ordered.get((line["purchase_order"], line["item"]))
    if known is None:
        return "part not on the order"
    if line["quantity"] > known.quantity:
        return "more than ordered"
    billed = line["order_billed"]
    return "billed otherwise" if billed is not None and billed != received[line["purchase_order"]] else None


@dataclass(slots=True)
class _Line:
    """What an order says of a part: how much, and at which prices."""

    quantity: Decimal
    prices: set[Decimal]


def _ordered(conn: Connection, numbers: set[str]) -> dict[tuple[str, str], _Line]:
    """Return what orders say of parts; a line that cannot be read is left out."""
    found: dict[tuple[str, str], _Line] = {}
    for number, raw in report_rows.orders_raw(conn, sorted(numbers)).items():
        for item in _items(raw):
            try:
                part = str(item["part_number"])
                quantity, cost = fixed(item["quantity"]), fixed(item["unit_cost"])
            except (KeyError, ValueError):
                continue
            known = found.setdefault((number, part), _Line(ZERO, set()))
            known.quantity += quantity
            known.prices.add(cost)
    return found


_DECODER = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)


def _items(raw: str) -> list[dict[str, Any]]:
    try:
        order: dict[str, Any] = _DECODER.decode(raw)
    except (msgspec.DecodeError, msgspec.ValidationError):  # its raw text was pruned
        return []
    items: Any = next((value for name, value in order.items() if name.lower() == "items"), [])
    return [{key.lower(): value for key, value in item.items()} for item in items or [] if isinstance(item, dict)]


def variances(conn: Connection) -> list[Record]:
    """Return receipts whose price is not their order line's: (amount − quantity × order's price), the largest first.

    An order that has two prices of a part is marked: nothing says which of them was meant.
    """
    lines = report_rows.grni(conn)
    ordered = _ordered(conn, {line["purchase_order"] for line in lines if line["purchase_order"]})
    found: list[Record] = []
    for line in lines:
        known = ordered.get((line["purchase_order"] or "", line["item"]))
        if known is None:
            continue
        price = min(known.prices) if len(known.prices) == 1 else None
        variance = line["amount"] - times(line["quantity"], price) if price is not None else None
        if variance is None or abs(variance) >= Decimal("0.01"):
            names = ("purchase_order", "vendor", "item", "received_on", "quantity", "amount")
            note = None if price is not None else f"the order has {len(known.prices)} prices"
            found.append({name: line[name] for name in names} | {"price": price, "variance": variance, "note": note})
    return sorted(found, key=lambda row: -abs(row["variance"] or ZERO))


@dataclass(frozen=True, slots=True)
class TieOut:
    """Stock by the ledger beside the accounts, and where the accounts went."""

    checked: Checked
    accounts: list[str]
    by_whom: dict[str, Decimal]
    given: Decimal
    waiting: Decimal
    kept_out: Decimal
    read: int
    quantities: list[Record]
    without_quantity: list[Record]
    differs: list[Record]
    held: int
    unposted: int

    def as_dict(self) -> dict[str, Any]:
        """Return it as a report has it."""
        rounded, stock = from_micros(self.checked.rounded_value), from_micros(self.checked.stock)
        return {
            "stock_by_the_ledger": rounded,
            "inventory_accounts": stock,
            "accounts": self.accounts,
            "difference": rounded - stock,
            "booked_by_the_erp": self.by_whom.get("erp", ZERO),
            "opening": self.by_whom.get("opening", ZERO),
            "in_batches": self.given,
            "waiting": self.waiting,
            "held": self.kept_out,
            "positions_read_from_mpw": self.read,
            "quantities_that_differ": self.quantities,
            "value_without_quantity": self.without_quantity,
            "differs_from_erp": self.differs,
            "ledger_entries_held": self.held,
            "unposted": self.unposted,
            "wrong": self.checked.wrong,
        }


def tie_out(conn: Connection) -> TieOut:
    """Compare the accounts of stock with the ledger, with MPW's own stock, and with what the ERP was given."""
    by_whom = {by: from_micros(amount) for by, amount in report_rows.stock_by_whom(conn).items()}
    given, kept_out = from_micros(report_rows.stock_given(conn)), from_micros(report_rows.stock_kept_out(conn))
    read, quantities = report_rows.quantities_off(conn)
    return TieOut(
        checked=check_journal(conn),
        accounts=report_rows.stock_accounts(conn),
        by_whom=by_whom,
        given=given,
        waiting=by_whom.get("mpsync", ZERO) - given - kept_out,
        kept_out=kept_out,
        read=read,
        quantities=quantities,
        without_quantity=report_rows.value_without_quantity(conn),
        differs=report_rows.differs_from_erp(conn),
        held=len(report_rows.held(conn)),
        unposted=len(report_rows.unposted(conn)),
    )


def statement(conn: Connection, month: date) -> list[Record]:
    """Return the month's statement: by warehouse and account what was there, what came and went, and what is there."""
    first = month.replace(day=1)
    after = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    rows: dict[tuple[str, str], dict[str, Decimal]] = defaultdict(lambda: dict.fromkeys(("opening", *MOVEMENTS), ZERO))
    for row in report_rows.stock_value(conn, before=first):
        rows[row["warehouse"], row["account"]]["opening"] += row["amount"]
    for row in report_rows.stock_value(conn, since=first, before=after):
        rows[row["warehouse"], row["account"]][row["movement"]] += row["amount"]
    return [
        {"warehouse": warehouse, "account": account, **sums, "closing": sum(sums.values(), ZERO)}
        for (warehouse, account), sums in sorted(rows.items())
    ]
