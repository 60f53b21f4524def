"""What the polls have seen in MPW under a push's key."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection

from sync.ledger.entries import event_entries
from sync.outbox.corrections import events_of_corrections
from sync.outbox.issuance_parts import taken_ids
from sync.outbox.pushed import posted_under
from sync.outbox.rows import DENIED_TRIES, RETRIED_AT, Push
from sync.values.systems import MPW


@dataclass(frozen=True, slots=True)
class Shown:
    """A row of MPW's as a poll first saw it under a push's key; `live`: it is still there, as far as we know."""

    remote_id: str
    fields: dict[str, object]
    quantity: Decimal
    live: bool


def shown_rows(conn: Connection, kind: str, row: Push) -> list[Shown]:
    """Return what the polls have seen in MPW under a push's key since its first try, whether it is still there or not.

    Where a person has said that the tries so far did nothing, what was seen before that does not count, but for the
    parts of a split issuance that MPW had taken by then.
    """
    denied = row.facts.get(RETRIED_AT) if row.facts.get(DENIED_TRIES) else None
    since = datetime.fromisoformat(denied) if isinstance(denied, str) else None
    taken: set[str] = set() if since is None else taken_ids(conn, row.id)
    found: dict[str, Shown] = {}
    event = events_of_corrections(conn, kind, [row.api_key]).get(row.api_key, row.api_key)
    entries = [entry for entry in event_entries(conn, kind, event) if entry.system == MPW]
    under = posted_under(conn, kind, entries)  # what a correction replaced, and what replaced it, are one event
    entries = [entry for entry in entries if under.get(entry.remote_id, event) == row.api_key]
    reversed_ids = {entry.reverses_id for entry in entries}
    for entry in entries:
        if entry.entry_type != "original":
            continue
        if since is not None and entry.recorded_at < since and entry.remote_id not in taken:
            continue
        known = found.get(entry.remote_id)
        live = entry.id not in reversed_ids
        if known is not None:
            found[entry.remote_id] = replace(known, live=known.live or live)
            continue
        quantity = abs(entry.quantity)
        fields: dict[str, object] = {
            "part_number": entry.item,
            "warehouse_name": entry.warehouse,
            "quantity_received" if kind == "receipt" else "quantity": quantity,
            "unit_cost": entry.unit_cost,
            "created_on": entry.occurred_on,
        }
        found[entry.remote_id] = Shown(entry.remote_id, fields, quantity, live)
    return list(found.values())
