"""The rows of MPW's two daily lists, in numbers that the ledger holds (Receipts - GET, Issuances - GET).

What a row means, field by field, says `wire`. A list whose rows all look alike (`sync.clients.uniform`) is
read here, several times as fast; any other is left to `wire` as a whole. A test holds both to the same rows.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any, NamedTuple

from sync.clients.mpw.wire import Issuance, Receipt, read_issuances, read_receipts
from sync.clients.rows import Parsed, day_from, digests_of
from sync.clients.uniform import (
    FLAG,
    ID,
    NUMBER,
    TEXT,
    WORD,
    Form,
    each,
    exact,
    filled,
    number_or_none,
    optional,
    uniform_elements,
)
from sync.values.money import to_micros


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
    """Read the answer to GET /issuances; raises MalformedResponseError when it is not an array."""
    rows = _uniform(body, _ISSUANCE, _uniform_issuances)
    if rows is not None:
        return Parsed(rows)
    parsed = read_issuances(body)
    return Parsed([_from_issuance(row) for row in parsed.rows], parsed.bad)


def read_receipt_rows(body: bytes) -> Parsed[DayRow]:
    """Read the answer to GET /receipts; raises MalformedResponseError when it is not an array."""
    rows = _uniform(body, _RECEIPT, _uniform_receipts)
    if rows is not None:
        return Parsed(rows)
    parsed = read_receipts(body)
    return Parsed([_from_receipt(row) for row in parsed.rows], parsed.bad)


def _uniform(body: bytes, form: Form, read: Callable[[list[Any], list[str]], list[DayRow]]) -> list[DayRow] | None:
    try:
        found = uniform_elements(body, form)
        rows = [] if found is None else read(*found)
    except ValueError:
        return None
    return rows if found is not None and len({row.remote_id for row in rows}) == len(rows) else None


def _uniform_issuances(elements: list[Any], raws: list[str]) -> list[DayRow]:
    ids, parts, warehouses, days = _heads(elements)
    quantities = [exact(e.quantity) for e in elements]
    unit_costs = [exact(e.unit_cost) for e in elements]
    descriptions = each([e.description for e in elements], optional)
    own_keys = each([getattr(e, "api_key", None) for e in elements], optional)
    digests = digests_of(
        zip(
            ids,
            parts,
            warehouses,
            days,
            [number.value for number in quantities],
            [number.value for number in unit_costs],
            [bool(e.overdraft) for e in elements],
            descriptions,
            own_keys,
            strict=True,
        )
    )
    signed = [-number.micros for number in quantities]
    costs = [number.micros for number in unit_costs]
    nothing = [None] * len(ids)
    return list(
        map(DayRow, ids, parts, warehouses, days, signed, costs, nothing, own_keys, descriptions, raws, digests)
    )


def _uniform_receipts(elements: list[Any], raws: list[str]) -> list[DayRow]:
    ids, parts, warehouses, days = _heads(elements)
    quantities = [exact(e.quantity_received) for e in elements]
    unit_costs = [exact(e.unit_cost) for e in elements]
    remaining = [number_or_none(e.quantity_remaining) for e in elements]
    descriptions = each([e.description for e in elements], optional)
    own_keys = each([e.api_key for e in elements], optional)
    digests = digests_of(
        zip(
            ids,
            parts,
            warehouses,
            days,
            [number.value for number in quantities],
            [number.value for number in unit_costs],
            each([e.invoice_number for e in elements], optional),
            descriptions,
            each([e.vendor_name for e in elements], optional),
            each([e.vendor_number for e in elements], optional),
            own_keys,
            each([e.purchase_order_number for e in elements], optional),
            strict=True,
        )
    )
    signed = [number.micros for number in quantities]
    costs = [number.micros for number in unit_costs]
    left = [None if number is None else number.micros for number in remaining]
    return list(map(DayRow, ids, parts, warehouses, days, signed, costs, left, own_keys, descriptions, raws, digests))


def _heads(elements: list[Any]) -> tuple[list[str], list[str], list[str], list[date]]:
    return (
        [str(e.id) for e in elements],
        each([e.part_number for e in elements], filled),
        each([e.warehouse_name for e in elements], filled),
        each([e.created_on for e in elements], day_from),
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
