"""The rows of MPW's two daily lists, in numbers that the ledger holds (Receipts - GET, Issuances - GET).

What a row means, field by field, says `wire`. A list whose rows all look alike (`sync.clients.uniform`) is
read here, several times as fast; any other is left to `wire` as a whole. A test holds both to the same rows.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any, NamedTuple

from sync.clients.mpw.wire import Issuance, Receipt, read_issuances, read_receipts
from sync.clients.rows import Parsed, day_from, digest_of
from sync.clients.uniform import (
    FLAG,
    ID,
    NUMBER,
    TEXT,
    WORD,
    Form,
    exact,
    filled,
    number_or_none,
    optional,
    uniform_elements,
)
from sync.domain.money import to_micros


class DayRow(NamedTuple):
    """A receipt or an issuance of MPW; numbers in millionths.

    `quantity` is signed: + in, - out. `own_key` is the api_key that MPW shows, if any.
    """

    remote_id: str
    item: str
    warehouse: str
    created_on: date
    quantity: int
    unit_cost: int
    remaining: int | None
    own_key: str | None
    description: str | None
    raw: str
    digest: str


def read_issuance_rows(body: bytes) -> Parsed[DayRow]:
    """Read the answer to GET /issuances; raises MalformedResponseError when it is no array."""
    rows = _uniform(body, _ISSUANCE, _uniform_issuance)
    if rows is not None:
        return Parsed(rows)
    parsed = read_issuances(body)
    return Parsed([_from_issuance(row) for row in parsed.rows], parsed.bad)


def read_receipt_rows(body: bytes) -> Parsed[DayRow]:
    """Read the answer to GET /receipts; raises MalformedResponseError when it is no array."""
    rows = _uniform(body, _RECEIPT, _uniform_receipt)
    if rows is not None:
        return Parsed(rows)
    parsed = read_receipts(body)
    return Parsed([_from_receipt(row) for row in parsed.rows], parsed.bad)


def _uniform(body: bytes, form: Form, build: Callable[[Any, str], DayRow]) -> list[DayRow] | None:
    elements = uniform_elements(body, form)
    if elements is None:
        return None
    try:
        rows = [build(element, raw) for element, raw in elements]
    except ValueError:
        return None
    return rows if len({row.remote_id for row in rows}) == len(rows) else None


def _uniform_issuance(e: Any, raw: str) -> DayRow:
    id_, part, warehouse, day = str(e.id), filled(e.part_number), filled(e.warehouse_name), day_from(e.created_on)
    quantity, unit_cost = exact(e.quantity), exact(e.unit_cost)
    description, own_key = optional(e.description), optional(getattr(e, "api_key", None))
    digest = digest_of(
        id_, part, warehouse, day, quantity.value, unit_cost.value, bool(e.overdraft), description, own_key
    )
    return DayRow(
        id_, part, warehouse, day, -quantity.micros, unit_cost.micros, None, own_key, description, raw, digest
    )


def _uniform_receipt(e: Any, raw: str) -> DayRow:
    id_, part, warehouse, day = str(e.id), filled(e.part_number), filled(e.warehouse_name), day_from(e.created_on)
    quantity, unit_cost = exact(e.quantity_received), exact(e.unit_cost)
    description, own_key = optional(e.description), optional(e.api_key)
    digest = digest_of(
        id_,
        part,
        warehouse,
        day,
        quantity.value,
        unit_cost.value,
        optional(e.invoice_number),
        description,
        optional(e.vendor_name),
        optional(e.vendor_number),
        own_key,
        optional(e.purchase_order_number),
    )
    remaining = number_or_none(e.quantity_remaining)
    return DayRow(
        id_,
        part,
        warehouse,
        day,
        quantity.micros,
        unit_cost.micros,
        None if remaining is None else remaining.micros,
        own_key,
        description,
        raw,
        digest,
    )


def _from_issuance(row: Issuance) -> DayRow:
    return DayRow(
        row.id,
        row.part_number,
        row.warehouse_name,
        row.created_on,
        -to_micros(row.quantity),
        to_micros(row.unit_cost),
        None,
        row.api_key,
        row.description,
        row.raw,
        row.digest,
    )


def _from_receipt(row: Receipt) -> DayRow:
    return DayRow(
        row.id,
        row.part_number,
        row.warehouse_name,
        row.created_on,
        to_micros(row.quantity_received),
        to_micros(row.unit_cost),
        None if row.quantity_remaining is None else to_micros(row.quantity_remaining),
        row.api_key,
        row.description,
        row.raw,
        row.digest,
    )


_ISSUANCE: Form = {
    "id": ID,
    "part_number": TEXT,
    "warehouse_name": TEXT,
    "created_on": str,
    "quantity": NUMBER,
    "unit_cost": NUMBER,
    "overdraft": FLAG,
    "description": TEXT,
    "inventory_name": TEXT,
    "api_key?": TEXT,
}
_RECEIPT: Form = {
    "id": ID,
    "part_number": TEXT,
    "warehouse_name": TEXT,
    "created_on": str,
    "quantity_received": NUMBER,
    "quantity_remaining": NUMBER,
    "unit_cost": NUMBER,
    "invoice_number": TEXT,
    "description": TEXT,
    "vendor_name": TEXT,
    "vendor_number": TEXT,
    "api_key": TEXT,
    "purchase_order_number": WORD,
}
