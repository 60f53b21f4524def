"""What our own tables say of pushes: seen in MPW by a poll, or done by an answer and not seen yet."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, func, literal, or_, select, text, update

from sync.database.schema import (
    DELETED,
    corrections,
    coverage,
    documents,
    issuance_parts,
    ledger_entries,
    outbox,
    purchase_orders,
)
from sync.database.types import Instant
from sync.ledger.coverage import ISSUANCES, RECEIPTS
from sync.outbox.machine import APPROVE, DELETE_ISSUANCE, DELETE_RECEIPT, POST_ISSUANCE, POST_RECEIPT
from sync.outbox.pushed import NEVER_SENT
from sync.outbox.rows import OPERATOR, Push, push_of

POSTS = (POST_RECEIPT, POST_ISSUANCE)
DELETES = (DELETE_RECEIPT, DELETE_ISSUANCE)
SOURCES = {POST_RECEIPT: RECEIPTS, POST_ISSUANCE: ISSUANCES}


def _entered(*more: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return a condition: the ledger holds a push's effect in MPW, under its own key or its event's.

    Two questions, since each finds its entries by the index of events; one with `or` would read the whole ledger. Each
    looks one row up, where PostgreSQL could answer an `exists` by reading the whole ledger too.
    """
    entry = and_(
        ledger_entries.c.system == "mpw",
        ledger_entries.c.kind == outbox.c.kind,
        ledger_entries.c.entry_type == "original",
        *more,
    )
    own = select(ledger_entries.c.id).where(ledger_entries.c.api_key == outbox.c.api_key, entry)
    corrected = select(ledger_entries.c.id).where(
        corrections.c.pushed_key == outbox.c.api_key,
        corrections.c.kind == outbox.c.kind,
        ledger_entries.c.api_key == corrections.c.api_key,
        entry,
    )
    return or_(*(one.limit(1).correlate(outbox).scalar_subquery().is_not(None) for one in (own, corrected)))


def perhaps_shown(conn: Connection, *, after: int, limit: int) -> list[Push]:
    """Return the rows after an id whose outcome is unclear or a failure, and whose effect a poll may have seen.

    The oldest come first. Of those that failed, only where it was seen after they were given up: it landed late, or a
    person put it right.
    """
    given_up = and_(
        outbox.c.state == "dead",
        outbox.c.operation.in_(POSTS),
        outbox.c.attempts > 0,
        _entered(ledger_entries.c.recorded_at >= outbox.c.finalized_at),
    )
    either = and_(outbox.c.state.in_(("unknown", "dead")), or_(is_unclear_and_perhaps_shown(), given_up))
    query = select(outbox).where(either, outbox.c.id > after)
    return [push_of(row) for row in conn.execute(query.order_by(outbox.c.id).limit(limit))]


def is_unclear_and_perhaps_shown() -> ColumnElement[bool]:
    """Return the condition of those of `perhaps_shown` that are unclear.

    There is one of an entity at most. Those that failed are kept for good, and grow in number with the years: they are
    looked at where the ledger has grown, not in every round.
    """
    posted = and_(outbox.c.operation.in_(POSTS), _entered())
    number = func.substr(outbox.c.entity_key, len("po:") + 1)
    since = select(purchase_orders.c.ordered_at).where(purchase_orders.c.number == number).correlate(outbox)
    # One order looked up, not `exists`: PostgreSQL would read every order that was ever ordered.
    ordered = and_(outbox.c.operation == APPROVE, since.scalar_subquery().is_not(None))
    return and_(outbox.c.state == "unknown", or_(posted, ordered))


def unseen_pushes(conn: Connection, *, after: int, limit: int) -> list[Push]:
    """Return the pushes after an id that are done by an answer and not found in a poll yet, oldest first.

    One that was settled after the newest reading of its list began is left out: no reading can show it yet.
    """
    query = select(outbox).where(is_unseen(), outbox.c.id > after)
    return [push_of(row) for row in conn.execute(query.order_by(outbox.c.id).limit(limit))]


def is_unseen() -> ColumnElement[bool]:
    """Return the condition of `unseen_pushes`."""
    read = [
        and_(
            outbox.c.operation == operation,
            outbox.c.settled_no
            < select(func.max(coverage.c.began_no)).where(coverage.c.source == source).scalar_subquery(),
        )
        for operation, source in SOURCES.items()
    ]
    # coalesce, or SQLite would rather look through all that is done, by the index of states
    done = outbox.c.unseen_since.is_not(None), func.coalesce(outbox.c.state, "") == "done"
    return and_(*done, or_(outbox.c.settled_no.is_(None), *read))


DELETES_WATCHED = timedelta(days=7)
"""How long it is looked whether what was deleted is there all the same. A call is not held up for longer."""


def undone_deletes(conn: Connection, *, since: datetime, limit: int) -> list[Push]:
    """Return the deletes that are done and whose row MPW shows all the same, by a reading begun after, oldest first.

    A call that was held up made it after the delete, or the delete did nothing. Those done before `since` are left out.
    """
    query = select(outbox).where(is_undone(literal(since, Instant()))).order_by(outbox.c.id).limit(limit)
    return [push_of(row) for row in conn.execute(query)]


def is_undone(since: ColumnElement[datetime]) -> ColumnElement[bool]:
    """Return the condition of `undone_deletes`."""
    read_after = (
        select(coverage.c.day)
        .where(
            coverage.c.source == documents.c.source,
            coverage.c.day == documents.c.day,
            coverage.c.began_no > outbox.c.settled_no,
            ~coverage.c.unclean,
        )
        .correlate(outbox, documents)
        .limit(1)
        .scalar_subquery()
        .is_not(None)  # a row looked up, where PostgreSQL could answer an `exists` by reading all days
    )
    after = or_(ledger_entries.c.run_id > outbox.c.settled_no, read_after)
    by_itself = ~func.coalesce(outbox.c.evidence, "").startswith(OPERATOR)  # what a person says is done stands
    return and_(text(DELETED), outbox.c.finalized_at >= since, by_itself, _entered(_shown_now(after)))


def is_shown(conn: Connection, push: Push) -> bool:
    """Tell whether MPW shows a row under a push's own key, as far as we know."""
    query = select(outbox.c.id).where(outbox.c.id == push.id, _entered(_shown_now()))
    return conn.execute(query).first() is not None


def _shown_now(*more: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return a condition: the row of a ledger entry is there, and bears the push's own key in its text."""
    key = outbox.c.api_key
    texts = (('%"', key, '"%'), ("%[", key, "]%"), ("%[", key, "\\_s%"))
    named = or_(*(documents.c.raw.like(literal(a).concat(b).concat(c), escape="\\") for a, b, c in texts))
    return (
        select(documents.c.id)
        .where(
            documents.c.system == "mpw",
            documents.c.type == ledger_entries.c.kind,
            documents.c.remote_id == ledger_entries.c.remote_id,
            documents.c.entry_id == ledger_entries.c.id,
            documents.c.missing_since.is_(None),
            named,
            *more,
        )
        .correlate(outbox, ledger_entries)
        .exists()
    )


def not_unseen(conn: Connection, ids: Collection[int]) -> int:
    """Note that these pushes need not be looked for any more; return how many that were."""
    if not ids:
        return 0
    waiting = and_(outbox.c.id.in_(sorted(ids)), outbox.c.unseen_since.is_not(None))
    return conn.execute(update(outbox).where(waiting).values(unseen_since=None)).rowcount


def read_clean_after(conn: Connection, operation: str, day: date, settled_no: int) -> bool:
    """Tell whether a push's day was read by a run that began after the push was settled, and nothing in it is open."""
    query = select(coverage.c.day).where(
        coverage.c.source == SOURCES[operation],
        coverage.c.day == day,
        coverage.c.began_no > settled_no,
        ~coverage.c.unclean,
    )
    return conn.execute(query).first() is not None


def is_taken_back(conn: Connection, push: Push) -> bool:
    """Tell whether a delete of ours explains that a push's row is not there."""
    query = select(outbox.c.id).where(
        outbox.c.operation.in_(DELETES),
        outbox.c.api_key == push.api_key,
        outbox.c.kind == push.kind,
        or_(outbox.c.tries > 0, outbox.c.state.not_in(NEVER_SENT)),
    )
    return conn.execute(query).first() is not None


def nameless_twin(conn: Connection, push: Push, *, day: date, item: str, warehouse: str) -> bool:
    """Tell whether MPW shows an issuance of that day, part and warehouse that bears no key: it may be the push's."""
    query = select(documents.c.id).where(
        documents.c.source == ISSUANCES,
        documents.c.day == day,
        documents.c.item == item,
        documents.c.warehouse == warehouse,
        documents.c.api_key.like("mpw-i-%"),
        documents.c.voided_at.is_(None),
    )
    return push.operation == POST_ISSUANCE and conn.execute(query.limit(1)).first() is not None


def reopen_parts(conn: Connection, outbox_id: int, seen_ids: Collection[str]) -> None:
    """Plan those parts of a split issuance again of whose rows none was seen."""
    known = select(issuance_parts.c.n, issuance_parts.c.remote_id).where(
        issuance_parts.c.outbox_id == outbox_id, issuance_parts.c.state == "done"
    )
    lost = [n for n, ids in conn.execute(known) if not set((ids or "").split(",")) & set(seen_ids)]
    again = and_(issuance_parts.c.outbox_id == outbox_id, issuance_parts.c.n.in_(lost))
    conn.execute(update(issuance_parts).where(again).values(state="planned", remote_id=None))
