"""Small reads and writes of the stock flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select

from sync.database.chunks import chunks, upsert
from sync.database.schema import inventories, item_states


def blocked_reason(conn: Connection, external_ids: Sequence[str]) -> dict[str, str | None]:
    """Return what is written down as blocking these items (None: nothing); one without a state is left out."""
    found: dict[str, str | None] = {}
    for chunk in chunks(external_ids):
        query = select(item_states.c.external_id, item_states.c.blocked_reason)
        rows = conn.execute(query.where(item_states.c.external_id.in_(chunk)))
        found.update((row.external_id, row.blocked_reason) for row in rows)
    return found


def is_managed(conn: Connection, external_id: str) -> bool:
    """Tell whether an item may be patched: a movement named it, the map lists it, or we created it."""
    query = select(item_states.c.managed).where(item_states.c.external_id == external_id)
    return bool(conn.execute(query).scalar_one_or_none())


def save_inventories(conn: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Remember what MPW said of parts in warehouses, the newest in place of what it said before."""
    upsert(
        conn,
        inventories,
        rows,
        key=("warehouse", "part_number"),
        update=("found", "quantity", "unit_cost", "read_at"),
    )
