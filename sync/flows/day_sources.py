"""The two lists that MPW gives one day at a time, as one kind of row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sync.clients.http import Answer
from sync.clients.mpw.client import MpwClient
from sync.clients.mpw.wire import Issuance, Receipt, read_issuances, read_receipts
from sync.clients.rows import Parsed
from sync.domain.keys import mpw_issuance_key, mpw_receipt_key
from sync.domain.ledger import ISSUANCE, RECEIPT
from sync.store.coverage import ISSUANCES, RECEIPTS


@dataclass(frozen=True, slots=True)
class DayRow:
    """A receipt or an issuance of MPW. `quantity` is signed; `own_key` is the api_key that MPW shows."""

    remote_id: str
    item: str
    warehouse: str
    created_on: date
    quantity: Decimal
    unit_cost: Decimal
    remaining: Decimal | None
    own_key: str | None
    description: str | None
    raw: str
    digest: str


@dataclass(frozen=True, slots=True)
class DaySource:
    """How one of the two lists is asked for, read and filed."""

    name: str
    kind: str  # of its ledger entries, and the type of its documents
    post: str  # the operation with which we make such rows
    delete: str
    sticky: bool  # a row keeps its key when what told it is edited away
    derived_key: Callable[[str], str]
    fetch: Callable[[MpwClient, date], Answer]
    read: Callable[[bytes], Parsed[DayRow]]


def _issuance_rows(body: bytes) -> Parsed[DayRow]:
    parsed = read_issuances(body)
    return Parsed([_from_issuance(row) for row in parsed.rows], parsed.bad)


def _from_issuance(row: Issuance) -> DayRow:
    return DayRow(
        row.id,
        row.part_number,
        row.warehouse_name,
        row.created_on,
        -row.quantity + 0,
        row.unit_cost,
        None,
        row.api_key,
        row.description,
        row.raw,
        row.digest,
    )


def _receipt_rows(body: bytes) -> Parsed[DayRow]:
    parsed = read_receipts(body)
    return Parsed([_from_receipt(row) for row in parsed.rows], parsed.bad)


def _from_receipt(row: Receipt) -> DayRow:
    return DayRow(
        row.id,
        row.part_number,
        row.warehouse_name,
        row.created_on,
        row.quantity_received,
        row.unit_cost,
        row.quantity_remaining,
        row.api_key,
        row.description,
        row.raw,
        row.digest,
    )


DAY_SOURCES: dict[str, DaySource] = {
    ISSUANCES: DaySource(
        ISSUANCES,
        ISSUANCE,
        "post_issuance",
        "delete_issuance",
        True,
        mpw_issuance_key,
        lambda client, day: client.issuances(day),
        _issuance_rows,
    ),
    RECEIPTS: DaySource(
        RECEIPTS,
        RECEIPT,
        "post_receipt",
        "delete_receipt",
        False,
        mpw_receipt_key,
        lambda client, day: client.receipts(day),
        _receipt_rows,
    ),
}
