"""The item map as it is stored."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, func, insert, or_, select

from sync.database.chunks import chunks
from sync.database.exceptions import resolve_about_items
from sync.database.facts import fact
from sync.database.schema import documents, item_warehouses, items, movement_lines, outbox
from sync.ledger.books import Books
from sync.ledger.item_states import forget_bases, leave_alone, mark_dirty, stop_managing
from sync.outbox.corrections import keys_of_events
from sync.outbox.machine import CREATE_PRODUCT, PATCH_STOCK
from sync.outbox.rows import Which, discard, supersede_unsent
from sync.reconcile.item_map import IGNORED, ItemMapping
from sync.values.names import folded
from sync.values.systems import MPW

NEAR_LOOKED_AT = 2000
"""Items that begin alike, among which one that reads the same is looked for."""

ITEMS_VERSION = "items_version"
NOT_MAPPED = "the item map does not name it any more, and MPservices never had it"


@dataclass(frozen=True, slots=True)
class MapChange:
    """What replacing the map changed, as external ids."""

    added: frozenset[str]
    changed: frozenset[str]
    removed: frozenset[str]
    unchanged: int


def load_map(conn: Connection, external_ids: Iterable[str] | None = None) -> dict[str, ItemMapping]:
    """Return the mappings of these items (None: of all), by external id; an item that is not mapped is missing."""
    if external_ids is None:
        return _load(conn, None)
    found: dict[str, ItemMapping] = {}
    for chunk in chunks(sorted(set(external_ids))):
        found |= _load(conn, chunk)
    return found


def resolve_items(
    conn: Connection, external_ids: Iterable[str], *, default_warehouse: str | None
) -> dict[str, ItemMapping]:
    """Return where each item is in MPW: by the map, else its own name as a part in MPW_WAREHOUSE.

    The default does not hold for a part that the map gives to another item: whose stock it is would be a guess.
    """
    ids = sorted(set(external_ids))
    found = load_map(conn, ids)
    rest = [item for item in ids if item not in found]
    if default_warehouse is None or not rest:
        return found
    taken: set[str] = set()
    for chunk in chunks(rest):
        query = select(item_warehouses.c.part_number).where(
            item_warehouses.c.part_number.in_(chunk), item_warehouses.c.warehouse == default_warehouse
        )
        taken |= set(conn.execute(query).scalars())
    for item in rest:
        if item not in taken:
            found[item] = ItemMapping(item, item, (default_warehouse,))
    return found


def resolve(conn: Connection, external_id: str, *, default_warehouse: str | None) -> ItemMapping | None:
    """Return where one item is in MPW, or None where neither the map nor the default says."""
    return resolve_items(conn, [external_id], default_warehouse=default_warehouse).get(external_id)


def external_id_for(conn: Connection, part_number: str, warehouse: str, *, default_warehouse: str | None) -> str | None:
    """Return the item that a part in a warehouse is, or None; by default a part in MPW_WAREHOUSE is its own name."""
    query = select(item_warehouses.c.external_id).where(
        item_warehouses.c.part_number == part_number, item_warehouses.c.warehouse == warehouse
    )
    known = conn.execute(query).scalar_one_or_none()
    if known is not None:
        return str(known)
    if warehouse != default_warehouse:
        return None
    mapped = conn.execute(select(items.c.external_id).where(items.c.external_id == part_number)).first()
    return None if mapped is not None else part_number


def near_item(conn: Connection, external_id: str) -> str | None:
    """Return the item of the map whose name reads as this one does, but for blanks, capitals and composed letters."""
    begins = or_(*(func.ltrim(items.c.external_id).istartswith(text, autoescape=True) for text in _starts(external_id)))
    alike = select(items.c.external_id).where(begins).limit(NEAR_LOOKED_AT)
    names = (name for name in conn.execute(alike).scalars() if name != external_id)
    return next((name for name in names if folded(name) == folded(external_id)), None)


def _starts(name: str) -> set[str]:
    """Return how names begin that are nearly this one: composed, a letter is one character, decomposed it is two."""
    return {unicodedata.normalize(form, name.strip())[:2] for form in ("NFC", "NFD")}


def unmapped_items(conn: Connection, *, default_warehouse: str | None) -> list[ItemMapping]:
    """Return the items that movements named and the map does not, with what MPW shows under the same name.

    The part number is empty where MPW has shown no such part; the warehouses are those that it was shown in, the
    default one first.
    """
    named = select(movement_lines.c.external_id).where(movement_lines.c.named, movement_lines.c.role == "event")
    mapped = _load(conn, None)
    rest = sorted(set(conn.execute(named.distinct()).scalars()) - mapped.keys())
    taken = {(one.part_number, warehouse) for one in mapped.values() for warehouse in one.warehouses}
    seen: dict[str, set[str]] = {}
    for chunk in chunks(rest):
        query = select(documents.c.item, documents.c.warehouse).distinct()
        of_mpw = documents.c.system == MPW, documents.c.voided_at.is_(None), documents.c.item.in_(chunk)
        for item, warehouse in conn.execute(query.where(*of_mpw, documents.c.warehouse.is_not(None))):
            if (item, warehouse) not in taken:
                seen.setdefault(item, set()).add(warehouse)
    return [
        ItemMapping(
            item,
            item if item in seen else "",
            tuple(sorted(seen.get(item, ()), key=lambda name: (name != default_warehouse, name))),
        )
        for item in rest
    ]


def import_items(books: Books, mappings: Sequence[ItemMapping]) -> MapChange:
    """Replace the whole map; what differs is to be compared again. An equal map changes nothing.

    The mappings must have been checked (`sync.reconcile.item_map.read_map`).
    """
    before = _load(books.conn, None)
    after = {mapping.external_id: mapping for mapping in mappings}
    change = MapChange(
        added=frozenset(after.keys() - before.keys()),
        changed=frozenset(item for item in after.keys() & before.keys() if after[item] != before[item]),
        removed=frozenset(before.keys() - after.keys()),
        unchanged=sum(1 for item in after.keys() & before.keys() if after[item] == before[item]),
    )
    fresh = sorted(change.added | change.changed)
    stale = sorted(change.changed | change.removed)
    if not fresh and not stale:
        return change
    for chunk in chunks(stale):
        books.conn.execute(delete(item_warehouses).where(item_warehouses.c.external_id.in_(chunk)))
        books.conn.execute(delete(items).where(items.c.external_id.in_(chunk)))
    _insert(books.conn, [after[item] for item in fresh])
    ignored = {item for item in fresh if after[item].ignored}
    wanted_again = {item for item in stale if before[item].ignored} - ignored
    mark_dirty(books, set(fresh) - ignored, managed=True)
    mark_dirty(books, change.removed)
    forget_bases(books, wanted_again)
    _take_back(books, leave_alone(books, change.removed), why=NOT_MAPPED)
    _leave_ignored(books, ignored)
    books.note_fact(ITEMS_VERSION, str(int(fact(books.conn, ITEMS_VERSION) or 0) + 1))
    return change


def _leave_ignored(books: Books, external_ids: set[str]) -> None:
    """Take back what would still be sent of items that MPW is never to have, and end what people are asked about them.

    What is on its way, or may have taken effect, is settled as ever.
    """
    stop_managing(books, external_ids)
    _take_back(books, external_ids, why=IGNORED)
    for chunk in chunks(sorted(external_ids)):
        lines = select(movement_lines.c.api_key).where(movement_lines.c.external_id.in_(chunk))
        keys = list(books.conn.execute(lines).scalars())
        sent_as = {*keys, *(key for more in keys_of_events(books.conn, keys).values() for key in more)}
        for some in chunks(sorted(sent_as)):
            _drop(books, _pushes(books.conn, outbox.c.kind.is_not(None), outbox.c.api_key.in_(some)), why=IGNORED)
    resolve_about_items(books.conn, external_ids, resolution=IGNORED, now=books.now)


def _take_back(books: Books, external_ids: Iterable[str], *, why: str) -> None:
    """Take back the patches and the creation of products that are not wanted any more."""
    for chunk in chunks(sorted(external_ids)):
        wanted = outbox.c.operation.in_((PATCH_STOCK, CREATE_PRODUCT)), outbox.c.item.in_(chunk)
        _drop(books, _pushes(books.conn, *wanted), why=why)


def _drop(books: Books, ids: Sequence[int], *, why: str) -> None:
    for chunk in chunks(ids):
        supersede_unsent(books, chunk, why=why)
        discard(books, Which(ids=chunk), by="mpsync", why=why)


def _pushes(conn: Connection, *conditions: ColumnElement[bool]) -> list[int]:
    open_ = outbox.c.state.in_(("held", "ready", "dead"))
    return list(conn.execute(select(outbox.c.id).where(open_, *conditions)).scalars())


def _insert(conn: Connection, mappings: Sequence[ItemMapping]) -> None:
    if not mappings:
        return
    conn.execute(
        insert(items),
        [
            {
                "external_id": m.external_id,
                "part_number": m.part_number,
                "factor": m.factor,
                "ignored": m.ignored,
            }
            for m in mappings
        ],
    )
    places = [
        {"part_number": m.part_number, "warehouse": warehouse, "external_id": m.external_id, "position": position}
        for m in mappings
        for position, warehouse in enumerate(m.warehouses)
    ]
    if places:
        conn.execute(insert(item_warehouses), places)


def _load(conn: Connection, ids: Sequence[str] | None) -> dict[str, ItemMapping]:
    places = select(item_warehouses).order_by(item_warehouses.c.external_id, item_warehouses.c.position)
    known = select(items).order_by(items.c.external_id)
    if ids is not None:
        places = places.where(item_warehouses.c.external_id.in_(ids))
        known = known.where(items.c.external_id.in_(ids))
    warehouses: dict[str, list[str]] = {}
    for row in conn.execute(places):
        warehouses.setdefault(row.external_id, []).append(row.warehouse)
    return {
        row.external_id: ItemMapping(
            row.external_id, row.part_number, tuple(warehouses.get(row.external_id, ())), row.factor, row.ignored
        )
        for row in conn.execute(known)
    }
