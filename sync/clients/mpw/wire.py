"""What MPW answers, as values ("Maintenance Pro Web API Documentation").

Digests of issuances and receipts cover the fields read here and no others: a field that MPW adds one
day, or a part that is renamed, makes no new version of every row. `quantity_remaining` changes with
each issue and is no part of it either. Orders, work orders and equipment are kept as documents only,
so theirs cover the whole object.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import msgspec

from sync.clients.jsontext import decode
from sync.clients.rows import (
    Fields,
    Parsed,
    Shape,
    content_digest,
    day_of,
    digest_of,
    fields_of,
    flag_of,
    is_complaint,
    list_of,
    need_day,
    need_id,
    need_number,
    need_text,
    not_as_documented,
    number_of,
    object_of,
    quoted,
    read_list,
    text_of,
)
from sync.values.money import times

ZERO = Decimal("0.000000")


@dataclass(frozen=True, slots=True)
class Issuance:
    """A row of GET /issuances (Issuances - GET); the answer to a POST shows `api_key` too."""

    id: str
    part_number: str
    warehouse_name: str
    created_on: date
    quantity: Decimal
    unit_cost: Decimal
    overdraft: bool
    description: str | None
    inventory_name: str | None
    api_key: str | None
    raw: str
    digest: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """A row of GET /receipts (Receipts - GET)."""

    id: str
    part_number: str
    warehouse_name: str
    created_on: date
    quantity_received: Decimal
    quantity_remaining: Decimal | None
    unit_cost: Decimal
    invoice_number: str | None
    description: str | None
    vendor_name: str | None
    vendor_number: str | None
    api_key: str | None
    purchase_order_number: str | None
    raw: str
    digest: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """A row of GET /inventories: a part in one warehouse (Inventory - GET)."""

    id: str
    part_number: str
    warehouse_name: str
    api_key: str | None
    quantity: Decimal
    unit_cost: Decimal | None
    tracking_enabled: bool | None
    raw: str


@dataclass(frozen=True, slots=True)
class OrderLine:
    """A line of a purchase order; `part_number` is empty for a line that names none."""

    id: str
    part_number: str
    quantity: Decimal
    quantity_received: Decimal
    unit_cost: Decimal
    extended_cost: Decimal


@dataclass(frozen=True, slots=True)
class PurchaseOrder:
    """An order of GET /purchase_orders; `number` is its sequential_id, which the approval takes."""

    number: str
    status: str
    created_on: date
    required_on: date | None
    completed_on: date | None
    vendor_name: str | None
    vendor_number: str | None
    warehouse_name: str | None
    total_cost: Decimal
    items: tuple[OrderLine, ...]
    raw: str
    digest: str


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """An order of GET /work_orders (Work Orders- GET); `title` is prefix_title, what people see."""

    number: str
    title: str
    status: str
    scheduled_on: date | None
    due_on: date | None
    start_at: str | None
    completed_at: str | None
    completed_on: date | None
    parts_cost: Decimal | None
    total_cost: Decimal | None
    raw: str
    digest: str


@dataclass(frozen=True, slots=True)
class Equipment:
    """A row of GET /gps_meter_updates (Equipment - GET)."""

    id: str
    name: str
    status: str | None
    last_recorded_on: date | None
    raw: str
    digest: str


@dataclass(frozen=True, slots=True)
class Page:
    """`pagination` of work orders and purchase orders; pages count from 1."""

    number: int
    page_size: int
    page_count: int
    count: int


def read_issuances(body: bytes) -> Parsed[Issuance]:
    """Read the answer to GET /issuances; raises MalformedResponseError when it is not an array."""
    return read_list(list_of(body, "an array of issuances"), _ISSUANCES)


def read_receipts(body: bytes) -> Parsed[Receipt]:
    """Read the answer to GET /receipts; raises MalformedResponseError when it holds none."""
    return read_list(_one_or_more(body, "an array of receipts"), _RECEIPTS)


def read_inventories(body: bytes) -> Parsed[Inventory]:
    """Read the answer to GET /inventories; raises MalformedResponseError when it holds none."""
    return read_list(_one_or_more(body, "an array of inventories"), _INVENTORIES)


def _one_or_more(body: bytes, what: str) -> list[bytes]:
    """Return the rows of an array, or a lone row: a question by key or part has one answer, and may show it bare."""
    if body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{":
        fields = object_of(body, what)
        if "id" in fields and "part_number" in fields and not is_complaint(fields):
            return [body.removeprefix(b"\xef\xbb\xbf").strip()]
    return list_of(body, what)


def read_purchase_orders(body: bytes) -> tuple[Parsed[PurchaseOrder], Page | None]:
    """Read the answer to GET /purchase_orders and its page; raises MalformedResponseError when it is neither."""
    elements, page = _paged(body, "purchase_orders")
    return read_list(elements, _PURCHASE_ORDERS), page


def read_work_orders(body: bytes) -> tuple[Parsed[WorkOrder], Page | None]:
    """Read the answer to GET /work_orders and its page; raises MalformedResponseError when it is neither."""
    elements, page = _paged(body, "work_orders")
    return read_list(elements, _WORK_ORDERS), page


def read_equipment(body: bytes) -> Parsed[Equipment]:
    """Read the answer to GET /gps_meter_updates; raises MalformedResponseError when it is not an array."""
    return read_list(list_of(body, "an array of equipment"), _EQUIPMENT)


def _paged(body: bytes, name: str) -> tuple[list[bytes], Page | None]:
    """Take `{"<name>": [...], "pagination": {...}}` apart; a bare array is one page without pagination."""
    what = f"an object with {name} and pagination"
    if body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"[":
        return list_of(body, what), None
    fields = object_of(body, what)
    if name not in fields or is_complaint(fields):
        raise not_as_documented(body, what)
    pagination = fields.get("pagination")
    return list_of(fields[name], f"an array of {name}"), _page(pagination, body) if pagination else None


def _page(raw: bytes, body: bytes) -> Page | None:
    """Read `pagination`: without it whole and partial answers look the same, so an unreadable one is an error."""
    if raw.strip() in (b"null", b"{}"):
        return None
    try:
        fields = fields_of(raw, quoted(_PAGE_NAMES))
        number, size, pages, count = (int(need_number(fields, name)) for name in _PAGE_NAMES)
    except ValueError as error:
        raise not_as_documented(body, f"a readable pagination ({error})") from None
    return Page(number, size, pages, count)


_PAGE_NAMES = ("page", "pagesize", "pagecount", "count")


def _issuance(f: Fields, raw: str) -> Issuance:
    values = (
        need_id(f, "id"),
        need_text(f, "part_number"),
        need_text(f, "warehouse_name"),
        need_day(f, "created_on"),
        need_number(f, "quantity"),
        need_number(f, "unit_cost"),
        bool(flag_of(f, "overdraft")),
        text_of(f, "description"),
    )
    api_key = text_of(f, "api_key")
    return Issuance(*values, text_of(f, "inventory_name"), api_key, raw, digest_of(*values, api_key))


def _receipt(f: Fields, raw: str) -> Receipt:
    head = (need_id(f, "id"), need_text(f, "part_number"), need_text(f, "warehouse_name"), need_day(f, "created_on"))
    received = need_number(f, "quantity_received")
    remaining = number_of(f, "quantity_remaining")
    unit_cost = need_number(f, "unit_cost")
    tail = (
        text_of(f, "invoice_number"),
        text_of(f, "description"),
        text_of(f, "vendor_name"),
        text_of(f, "vendor_number"),
        text_of(f, "api_key"),
        text_of(f, "purchase_order_number"),
    )
    digest = digest_of(*head, received, unit_cost, *tail)
    return Receipt(*head, received, remaining, unit_cost, *tail, raw, digest)


def _inventory(f: Fields, raw: str) -> Inventory:
    return Inventory(
        id=need_id(f, "id"),
        part_number=need_text(f, "part_number"),
        warehouse_name=need_text(f, "warehouse_name"),
        api_key=text_of(f, "api_key"),
        quantity=need_number(f, "quantity"),
        unit_cost=number_of(f, "unit_cost"),
        tracking_enabled=flag_of(f, "tracking_enabled"),
        raw=raw,
    )


def _purchase_order(f: Fields, raw: str) -> PurchaseOrder:
    return PurchaseOrder(
        number=need_id(f, "sequential_id"),
        status=need_text(f, "status"),
        created_on=need_day(f, "created_on"),
        required_on=day_of(f, "required_on"),
        completed_on=day_of(f, "completed_on"),
        vendor_name=text_of(f, "vendor_name"),
        vendor_number=text_of(f, "vendor_number"),
        warehouse_name=text_of(f, "warehouse_name"),
        total_cost=need_number(f, "total_cost"),
        items=_order_lines(raw),
        raw=raw,
        digest=content_digest(f),
    )


def _order_lines(raw: str) -> tuple[OrderLine, ...]:
    """Read an order's lines; one that cannot be read makes the order unreadable: its total would not be its lines'."""
    fields = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    items = next((bytes(item) for key, item in fields.items() if key.lower() == "items"), b"null")
    if items.strip() == b"null":
        return ()
    if not isinstance(decode(items), list):
        raise ValueError("items is not a list")
    tokens = quoted(_LINE_NAMES)
    return tuple(_order_line(fields_of(line, tokens)) for line in list_of(items, "an array of items"))


def _order_line(f: Fields) -> OrderLine:
    quantity, unit_cost = need_number(f, "quantity"), number_of(f, "unit_cost") or ZERO  # one without a price asks
    extended = number_of(f, "extended_cost")
    return OrderLine(
        id=need_id(f, "id"),
        part_number=text_of(f, "part_number") or "",
        quantity=quantity,
        quantity_received=number_of(f, "quantity_received") or ZERO,
        unit_cost=unit_cost,
        extended_cost=times(quantity, unit_cost) if extended is None else extended,
    )


def _work_order(f: Fields, raw: str) -> WorkOrder:
    number = need_id(f, "sequential_id")
    return WorkOrder(
        number=number,
        title=text_of(f, "prefix_title") or number,
        status=need_text(f, "status"),
        scheduled_on=day_of(f, "scheduled_on"),
        due_on=day_of(f, "due_on"),
        start_at=text_of(f, "start_at"),
        completed_at=text_of(f, "completed_at"),
        completed_on=day_of(f, "completed_at"),
        parts_cost=number_of(f, "parts_cost"),
        total_cost=number_of(f, "total_cost"),
        raw=raw,
        digest=content_digest(f),
    )


def _equipment(f: Fields, raw: str) -> Equipment:
    return Equipment(
        id=need_id(f, "id"),
        name=need_text(f, "name"),
        status=text_of(f, "status"),
        last_recorded_on=day_of(f, "last_recorded_on"),
        raw=raw,
        digest=content_digest(f),
    )


_LINE_NAMES = ("id", "part_number", "quantity", "quantity_received", "unit_cost", "extended_cost")
_COMMON = ("id", "part_number", "warehouse_name", "created_on", "unit_cost", "description", "api_key")
_ISSUANCES = Shape(
    names=(*_COMMON, "quantity", "overdraft", "inventory_name"),
    build=_issuance,
    id_name="id",
    identity=lambda row: row.id,
    digest=lambda row: row.digest,
)
_RECEIPTS = Shape(
    names=(
        *_COMMON,
        "quantity_received",
        "quantity_remaining",
        "invoice_number",
        "vendor_name",
        "vendor_number",
        "purchase_order_number",
    ),
    build=_receipt,
    id_name="id",
    identity=lambda row: row.id,
    digest=lambda row: row.digest,
)
_INVENTORIES = Shape(
    names=("id", "part_number", "warehouse_name", "api_key", "quantity", "unit_cost", "tracking_enabled"),
    build=_inventory,
    id_name="id",
    identity=lambda row: row.id,
    digest=lambda row: digest_of(row.part_number, row.warehouse_name, row.api_key, row.quantity, row.unit_cost),
)
_PURCHASE_ORDERS = Shape(
    names=(
        "sequential_id",
        "status",
        "created_on",
        "required_on",
        "completed_on",
        "vendor_name",
        "vendor_number",
        "warehouse_name",
        "total_cost",
        "items",
    ),
    build=_purchase_order,
    id_name="sequential_id",
    identity=lambda row: row.number,
    digest=lambda row: row.digest,
)
_WORK_ORDERS = Shape(
    names=(
        "sequential_id",
        "prefix_title",
        "status",
        "scheduled_on",
        "due_on",
        "start_at",
        "completed_at",
        "parts_cost",
        "total_cost",
    ),
    build=_work_order,
    id_name="sequential_id",
    identity=lambda row: row.number,
    digest=lambda row: row.digest,
)
_EQUIPMENT = Shape(
    names=("id", "name", "status", "last_recorded_on"),
    build=_equipment,
    id_name="id",
    identity=lambda row: row.id,
    digest=lambda row: row.digest,
)
