"""What MPservices answers, as values (the vendor's "API" page).

The samples show one object where the text speaks of all that were created; an object, a list and an
object round one list are all read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import msgspec

from sync.clients.rows import (
    Fields,
    Parsed,
    Shape,
    content_digest,
    digest_of,
    fields_of,
    flag_of,
    instant_of,
    is_complaint,
    list_of,
    need_id,
    need_instant,
    need_number,
    need_text,
    not_as_documented,
    number_of,
    object_of,
    quoted,
    read_list,
    text_of,
)


@dataclass(frozen=True, slots=True)
class MovementLine:
    """A product in a movement; lines have no id.

    `cost` is per unit or in total, the document does not say which (Get Inventory movements); None: it says none.
    """

    item_external_id: str | None
    item_id: str | None
    quantity: Decimal
    cost: Decimal | None
    unit: str | None
    item: str | None
    raw: str
    digest: str


@dataclass(frozen=True, slots=True)
class Movement:
    """An inventory movement (Get Inventory movements); its digest covers what is read of it and its lines in order."""

    id: str
    type: str
    created_at: datetime
    reference: str | None
    lines: tuple[MovementLine, ...]
    raw: str
    digest: str


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """A work order (Get work orders)."""

    id: str
    folio: str | None
    title: str | None
    schedule_date: datetime | None
    open: bool | None
    closed: bool | None
    created_at: datetime
    raw: str
    digest: str


def read_movements(body: bytes) -> Parsed[Movement]:
    """Read the answer to Get Inventory movements, in its order (the last created first).

    A line that cannot be read makes the whole movement a bad row: half of it would never be completed.
    A quantity below zero is kept as it is. Raises MalformedResponseError when it holds no movements.
    """
    return read_list(_elements(body, "inventory movements"), _MOVEMENTS)


def read_work_orders(body: bytes) -> Parsed[WorkOrder]:
    """Read the answer to Get work orders, in its order; raises MalformedResponseError when it holds none."""
    return read_list(_elements(body, "work orders"), _WORK_ORDERS)


def _elements(body: bytes, what: str, depth: int = 2) -> list[bytes]:
    start = body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start != b"{":
        return list_of(body, what)
    fields = object_of(body, what)
    if "createdat" in fields or ("id" in fields and not is_complaint(fields)):
        return [body.removeprefix(b"\xef\xbb\xbf").strip()]
    if is_complaint(fields) or depth == 0:
        raise not_as_documented(body, what)
    lists = [name for name, raw in fields.items() if raw.lstrip()[:1] == b"["]
    if "data" in lists or len(lists) == 1:
        return list_of(fields["data" if "data" in lists else lists[0]], what)
    if not lists and fields.get("data", b"").lstrip()[:1] == b"{":
        return _elements(fields["data"], what, depth - 1)
    raise not_as_documented(body, what)


def _movement(f: Fields, raw: str) -> Movement:
    head = (need_id(f, "id"), need_text(f, "type"), need_instant(f, "createdat"), text_of(f, "reference"))
    lines = _lines(raw)
    return Movement(*head, lines, raw, digest_of(*head, [line.digest for line in lines]))


def _lines(raw: str) -> tuple[MovementLine, ...]:
    fields = {key.lower(): bytes(item) for key, item in msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).items()}
    if fields.get("movements", b"").lstrip()[:1] != b"[":
        raise ValueError("movements is not a list")
    tokens = quoted(_LINE_NAMES)
    return tuple(
        _line(fields_of(element, tokens), element.decode())
        for element in list_of(fields["movements"], "an array of lines")
    )


def _line(f: Fields, raw: str) -> MovementLine:
    values = (
        text_of(f, "item_external_id"),
        text_of(f, "item_id"),
        need_number(f, "quantity"),
        number_of(f, "cost"),
        text_of(f, "unit"),
        text_of(f, "item"),
    )
    return MovementLine(*values, raw, digest_of(*values))


def _work_order(f: Fields, raw: str) -> WorkOrder:
    return WorkOrder(
        id=need_id(f, "id"),
        folio=text_of(f, "folio"),
        title=text_of(f, "title"),
        schedule_date=instant_of(f, "scheduledate"),
        open=flag_of(f, "open"),
        closed=flag_of(f, "closed"),
        created_at=need_instant(f, "createdat"),
        raw=raw,
        digest=content_digest(f),
    )


_LINE_NAMES = ("item_external_id", "item_id", "quantity", "cost", "unit", "item")
_MOVEMENTS = Shape(
    names=("id", "type", "createdat", "reference", "movements"),
    build=_movement,
    id_name="id",
    identity=lambda row: row.id,
    digest=lambda row: row.digest,
)
_WORK_ORDERS = Shape(
    names=("id", "folio", "title", "scheduledate", "open", "closed", "createdat"),
    build=_work_order,
    id_name="id",
    identity=lambda row: row.id,
    digest=lambda row: row.digest,
)
