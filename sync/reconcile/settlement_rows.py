"""What people settled by hand, as it is stored."""

from __future__ import annotations

from sqlalchemy import Connection, select

from sync.database.chunks import upsert
from sync.database.schema import documents, ledger_entries, settlements, unpushed
from sync.ledger.books import Books
from sync.ledger.movement_lines import KEPT_BY
from sync.ledger.parked import Key
from sync.reconcile.rows import KINDS
from sync.values.systems import MPW


def kinds_under(conn: Connection, api_key: str) -> list[str]:
    """Return the kinds of events that MPservices or the ERP has under a key."""
    query = select(ledger_entries.c.kind).where(ledger_entries.c.api_key == api_key, ledger_entries.c.system != MPW)
    return sorted({str(one) for one in conn.execute(query.distinct()).scalars()} & set(KINDS))


def owner_of_row(conn: Connection, key: Key, mpw_id: str) -> str | None:
    """Return the other event that a row of MPW's is already; None: nobody's, or no poll has shown it yet."""
    other = select(settlements.c.api_key).where(
        settlements.c.kind == key[0], settlements.c.mpw_id == mpw_id, settlements.c.api_key != key[1]
    )
    taken = conn.execute(other).scalars().first()
    if taken is not None:
        return str(taken)
    shown = select(documents.c.api_key).where(
        documents.c.system == MPW, documents.c.type == key[0], documents.c.remote_id == mpw_id
    )
    own = conn.execute(shown).scalars().first()
    return None if own is None or own.startswith(("mpw-r-", "mpw-i-")) else str(own)


def note_settlement(books: Books, key: Key, *, why: str, by: str, mpw_id: str | None) -> None:
    """Note a person's word that an event was dealt with by hand; from here on it is never pushed."""
    kind, api_key = key
    row = {"kind": kind, "api_key": api_key, "why": why, "made_by": by, "mpw_id": mpw_id, "made_at": books.now}
    upsert(books.conn, settlements, [row], key=("api_key", "kind"), update=("why", "made_by", "mpw_id", "made_at"))
    told = {"kind": kind, "api_key": api_key, "why": f"{KEPT_BY}{by}: {why}"}
    upsert(books.conn, unpushed, [told], key=("kind", "api_key"), update=("why",))
