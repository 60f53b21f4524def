"""The parts of an issuance that is larger than MPW's current receipt."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, and_, func, insert, select, update

from sync.database.schema import documents, issuance_parts, ledger_entries


@dataclass(frozen=True, slots=True)
class Part:
    """A part: sent under a key of its own; `state` is planned or done, `ids` the rows that MPW said it became."""

    n: int
    api_key: str
    quantity: Decimal
    state: str
    ids: tuple[str, ...] = ()


def parts(conn: Connection, outbox_id: int) -> list[Part]:
    """Return a push's parts, first to last; none where it was not split."""
    query = select(issuance_parts).where(issuance_parts.c.outbox_id == outbox_id).order_by(issuance_parts.c.n)
    rows = conn.execute(query).all()
    return [Part(row.n, row.api_key, row.quantity, row.state, _ids(row.remote_id)) for row in rows]


def _ids(text: str | None) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def plan_part(conn: Connection, outbox_id: int, part: Part) -> None:
    """Write a planned part down, or give the planned one its new quantity."""
    known = (issuance_parts.c.outbox_id == outbox_id, issuance_parts.c.n == part.n)
    done = conn.execute(
        update(issuance_parts).where(*known, issuance_parts.c.state == "planned").values(quantity=part.quantity)
    )
    if done.rowcount == 0:
        values = {"n": part.n, "api_key": part.api_key, "quantity": part.quantity}
        conn.execute(insert(issuance_parts).values(outbox_id=outbox_id, state="planned", **values))


def finish_part(conn: Connection, outbox_id: int, n: int, remote_ids: tuple[str, ...]) -> None:
    """Mark a part as done, with the rows it became."""
    conn.execute(
        update(issuance_parts)
        .where(issuance_parts.c.outbox_id == outbox_id, issuance_parts.c.n == n)
        .values(state="done", remote_id=",".join(remote_ids) or None)
    )


def oldest_remaining(conn: Connection, item: str, warehouse: str) -> Decimal | None:
    """Return what remains of the part's oldest receipt that has any left, as far as the last polls know.

    The receipts are found by the part's ledger entries: an index of documents by item would cost each row that is
    ever read, for a question that comes with a refused issuance.
    """
    same = (
        documents.c.system == ledger_entries.c.system,
        documents.c.type == ledger_entries.c.kind,
        documents.c.remote_id == ledger_entries.c.remote_id,
        documents.c.item == ledger_entries.c.item,
    )
    receipt = (
        ledger_entries.c.item == item,
        ledger_entries.c.system == "mpw",
        ledger_entries.c.kind == "receipt",
        documents.c.warehouse == warehouse,
        documents.c.remaining > 0,
        documents.c.voided_at.is_(None),
    )
    query = select(documents.c.remaining).join(ledger_entries, and_(*same)).where(*receipt)
    oldest = documents.c.day, func.length(documents.c.remote_id), documents.c.remote_id
    return conn.execute(query.order_by(*oldest).limit(1)).scalar_one_or_none()


def taken_ids(conn: Connection, outbox_id: int) -> set[str]:
    """Return the ids of the rows that MPW made for the parts of an issuance that it took."""
    done = issuance_parts.c.outbox_id == outbox_id, issuance_parts.c.state == "done"
    ids = conn.execute(select(issuance_parts.c.remote_id).where(*done)).scalars()
    return {one for some in ids for one in _ids(some)}
