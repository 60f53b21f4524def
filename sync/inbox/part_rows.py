"""Which MPservices items are parts that MPW has, as far as MPW has been asked."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, select

from sync.database.chunks import chunks
from sync.database.schema import inventories, item_warehouses, items


def places_of(
    conn: Connection, external_ids: Iterable[str], *, default_warehouse: str | None
) -> dict[str, set[tuple[str, str]]]:
    """Return the (warehouse, part number)s that items are: by the map, else by their own name in MPW_WAREHOUSE."""
    wanted = sorted(set(external_ids))
    found: dict[str, set[tuple[str, str]]] = {}
    for chunk in chunks(wanted):
        mapped = set(conn.execute(select(items.c.external_id).where(items.c.external_id.in_(chunk))).scalars())
        rows = conn.execute(
            select(item_warehouses).where(
                item_warehouses.c.external_id.in_(chunk) | item_warehouses.c.part_number.in_(chunk)
            )
        ).all()
        taken = {(row.warehouse, row.part_number) for row in rows}
        for row in rows:
            if row.external_id in mapped:
                found.setdefault(row.external_id, set()).add((row.warehouse, row.part_number))
        for item in chunk:
            if item not in mapped and default_warehouse is not None and (default_warehouse, item) not in taken:
                found[item] = {(default_warehouse, item)}
    return {item: found[item] for item in wanted if item in found}


def mpw_has(conn: Connection, external_ids: Iterable[str], *, default_warehouse: str | None) -> set[str]:
    """Return which of these items are parts that MPW has shown in one of their warehouses."""
    places = places_of(conn, external_ids, default_warehouse=default_warehouse)
    shown: set[tuple[str, str]] = set()
    for chunk in chunks(sorted({part for pairs in places.values() for _, part in pairs})):
        query = select(inventories.c.warehouse, inventories.c.part_number)
        for row in conn.execute(query.where(inventories.c.part_number.in_(chunk), inventories.c.found)):
            shown.add((row.warehouse, row.part_number))
    return {item for item, pairs in places.items() if pairs & shown}
