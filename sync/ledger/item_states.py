"""What we know of each item on both sides, and which items must be compared again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BindParameter, Connection, and_, exists, func, not_, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from sync.database.chunks import chunks, upsert
from sync.database.schema import gaps, item_states, items, movement_lines, outbox
from sync.ledger.books import Books
from sync.values.subjects import Subject

Moment = datetime | BindParameter[datetime]


@dataclass(frozen=True, slots=True)
class Belief:
    """What we believe MPservices has of an item: the base plus the movements after it, in the feed's order.

    `quantity` None: there is no base. `verified`: the base was an echo, and no gap in the feed came after it.
    `last_position` is that of the item's last movement, whether or not there is a base.
    """

    quantity: Decimal | None = None
    verified: bool = False
    last_position: tuple[datetime, int] | None = None
    last_cost: Decimal | None = None
    lines_after_base: int = 0


def mark_dirty(books: Books, external_ids: Iterable[str], *, managed: bool | None = None) -> int:
    """Let these items be compared again, at once; return how many rows were touched.

    `managed` True makes them items that we may patch (a movement named them, the map lists them, or we
    created them); None leaves that as it is, and an item that we know nothing of is left alone.
    """
    touched = 0
    for chunk in chunks(sorted(set(external_ids))):
        if managed:
            left_out = select(items.c.external_id).where(items.c.external_id.in_(chunk), items.c.ignored)
            wanted = sorted(set(chunk) - set(books.conn.execute(left_out).scalars()))
            rows = [{"external_id": item, "managed": True, "dirty_at": books.now, "look_at": None} for item in wanted]
            upsert(books.conn, item_states, rows, key=["external_id"], update=["managed", "dirty_at", "look_at"])
            touched += len(rows)
            continue
        values: dict[str, Any] = {"dirty_at": books.now, "look_at": None}
        if managed is False:
            values["managed"] = False
        done = books.conn.execute(update(item_states).where(item_states.c.external_id.in_(chunk)).values(**values))
        touched += done.rowcount
    return touched


def begin_to_manage(books: Books, external_ids: Iterable[str]) -> None:
    """Make these items ones that we may patch, those that are not yet."""
    for chunk in chunks(sorted(set(external_ids))):
        query = select(item_states.c.external_id).where(item_states.c.external_id.in_(chunk), item_states.c.managed)
        mark_dirty(books, set(chunk) - set(books.conn.execute(query).scalars()), managed=True)


def leave_alone(books: Books, external_ids: Iterable[str]) -> list[str]:
    """Stop comparing items that only the item map named; return which: no movement showed them, no patch of them took.

    One that MPservices has refused for want of such a product is not there: the map is right without it.
    """
    moved = exists().where(movement_lines.c.external_id == item_states.c.external_id)
    taken = exists().where(
        outbox.c.operation == "patch_stock",
        outbox.c.item == item_states.c.external_id,
        outbox.c.state.in_(("sending", "unknown", "done")),
    )
    left: list[str] = []
    for chunk in chunks(sorted(set(external_ids))):
        known = item_states.c.external_id.in_(chunk)
        ids = list(
            books.conn.execute(select(item_states.c.external_id).where(known, not_(moved), not_(taken))).scalars()
        )
        books.conn.execute(
            update(item_states)
            .where(item_states.c.external_id.in_(ids))
            .values(managed=False, dirty_at=None, blocked_reason=None)
        )
        left += ids
        for item in ids:
            for kind in ("unknown_part", "unknown_cost", "negative_stock", "stock_blocked"):
                gone = "it is not in the item map any more"
                books.resolve_exceptions(kind, about=Subject.stock_of(item), resolution=gone)
    return left


def stop_managing(books: Books, external_ids: Iterable[str]) -> None:
    """Compare these items no more: MPW is never to have them."""
    values = {"managed": False, "dirty_at": None, "look_at": None, "blocked_reason": None}
    for chunk in chunks(sorted(set(external_ids))):
        books.conn.execute(update(item_states).where(item_states.c.external_id.in_(chunk)).values(**values))


def save_item_state(conn: Connection, external_id: str, values: Mapping[str, Any]) -> None:
    """Set columns of an item's state, which is made if there is none (not managed)."""
    done = conn.execute(update(item_states).where(item_states.c.external_id == external_id).values(**values))
    if done.rowcount == 0:
        upsert(
            conn,
            item_states,
            [{"external_id": external_id, **values}],
            key=["external_id"],
            update=list(values),
        )


def forget_base(books: Books, external_id: str) -> None:
    """Believe in no stock of an item any more, until a patch has shown it."""
    values: dict[str, Any] = {"base_quantity": None, "base_at": None, "base_place": None, "base_verified": False}
    save_item_state(books.conn, external_id, values | {"base_cost": None})
    mark_dirty(books, [external_id])


def forget_bases(books: Books, external_ids: Iterable[str]) -> None:
    """Believe in no stock of these items any more, as far as any is believed in: people did what we cannot know."""
    items = sorted(set(external_ids))
    nothing: dict[str, Any] = {"base_quantity": None, "base_at": None, "base_place": None, "base_verified": False}
    for chunk in chunks(items):
        known = item_states.c.external_id.in_(chunk)
        books.conn.execute(update(item_states).where(known).values(**nothing, base_cost=None, mps_quantity=None))
    mark_dirty(books, items)


def forget_bases_between(books: Books, moved: Iterable[tuple[str, datetime, datetime]]) -> None:
    """Believe in no stock of an item any more where one of its lines was moved in time over its base, or from it.

    `moved`: an item, and the two instants. The base says which movements it has in it by their order alone.
    """
    crossed: set[str] = set()
    for item, was, now in moved:
        base = select(item_states.c.external_id).where(
            item_states.c.external_id == item, item_states.c.base_at.between(min(was, now), max(was, now))
        )
        crossed.update(books.conn.execute(base).scalars())
    forget_bases(books, crossed)


def unfit_patches(conn: Connection, external_id: str) -> int:
    """Return how many of an item's patches in a row made a movement that was not the expected one."""
    query = select(item_states.c.unfit_patches).where(item_states.c.external_id == external_id)
    return conn.execute(query).scalar_one_or_none() or 0


def to_compare(now: Moment) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions that an item is to be compared now."""
    columns = item_states.c
    at_its_time = or_(columns.look_at.is_(None), columns.look_at <= now)
    return columns.dirty_at.is_not(None), columns.managed, at_its_time


def to_audit(before: Moment, now: Moment) -> list[ColumnElement[bool]]:
    """Return the conditions, of which one suffices, that an item is to be audited: last compared before an instant."""
    columns = item_states.c
    at_rest = and_(columns.managed, columns.dirty_at.is_(None))
    never, long_ago, ahead = columns.audited_at.is_(None), columns.audited_at < before, columns.audited_at > now
    return [and_(at_rest, one) for one in (never, long_ago, ahead)]


def dirty_items(conn: Connection, *, now: datetime, after: str, limit: int) -> list[str]:
    """Return the next managed items, in the order of their names, that are to be compared now."""
    query = (
        select(item_states.c.external_id)
        .where(*to_compare(now), item_states.c.external_id > after)
        .order_by(item_states.c.external_id)
        .limit(limit)
    )
    return list(conn.execute(query).scalars())


def managed_items(conn: Connection) -> int:
    """Return how many items we may patch."""
    return conn.execute(select(func.count()).select_from(item_states).where(item_states.c.managed)).scalar_one()


def mark_for_audit(books: Books, *, before: datetime, limit: int) -> int:
    """Make dirty up to `limit` managed items that were last compared before an instant, the oldest first."""
    due = (
        select(item_states.c.external_id)
        .where(or_(*to_audit(before, books.now)))
        .order_by(item_states.c.audited_at, item_states.c.external_id)
        .limit(limit)
    )
    return mark_dirty(books, list(books.conn.execute(due).scalars()))


def beliefs(conn: Connection, external_ids: Iterable[str]) -> dict[str, Belief]:
    """Return what we believe MPservices has, per item; an item without state or movements has the empty belief."""
    ids = sorted(set(external_ids))
    gap_to = conn.execute(select(func.max(gaps.c.gap_to))).scalar_one_or_none()
    sums: dict[str, tuple[Decimal, int]] = {}
    lasts: dict[str, tuple[datetime, int, Decimal]] = {}
    found: dict[str, Belief] = {}
    for chunk in chunks(ids):
        for row in conn.execute(_sums(chunk)):
            sums[row.external_id] = (row.quantity, row.lines)
        for row in conn.execute(_lasts(chunk)):
            key = (row.created_at, row.place)
            if row.external_id not in lasts or key > lasts[row.external_id][:2]:
                lasts[row.external_id] = (*key, row.unit_cost)
        query = select(item_states).where(item_states.c.external_id.in_(chunk))
        states = {row.external_id: row for row in conn.execute(query)}
        for item in chunk:
            found[item] = _belief(states.get(item), sums.get(item), lasts.get(item), gap_to)
    return found


def _belief(
    state: Any, sum_: tuple[Decimal, int] | None, last: tuple[datetime, int, Decimal] | None, gap_to: datetime | None
) -> Belief:
    position, cost = (last[:2], last[2]) if last is not None else (None, None)
    cost = cost or None  # an Outbound need not say its cost: it is kept as none
    if state is None or state.base_quantity is None:
        return Belief(None, False, position, cost, 0)
    moved, lines = sum_ if sum_ is not None else (Decimal(0), 0)
    verified = state.base_verified and (gap_to is None or gap_to <= state.base_at)
    return Belief(state.base_quantity + moved, verified, position, cost, lines)


def after_base() -> ColumnElement[bool]:
    """Return the condition that a movement line comes after its item's base, in the feed's order."""
    return or_(
        movement_lines.c.created_at > item_states.c.base_at,
        and_(movement_lines.c.created_at == item_states.c.base_at, movement_lines.c.place > item_states.c.base_place),
    )


def _sums(ids: list[str]) -> Any:
    quantity = movement_lines.c.quantity
    return (
        select(
            movement_lines.c.external_id,
            func.sum(quantity, type_=quantity.type).label("quantity"),
            func.count().label("lines"),
        )
        .join(item_states, item_states.c.external_id == movement_lines.c.external_id)
        .where(movement_lines.c.external_id.in_(ids), item_states.c.base_quantity.is_not(None), after_base())
        .group_by(movement_lines.c.external_id)
    )


def _lasts(ids: list[str]) -> Any:
    newest = (
        select(movement_lines.c.external_id, func.max(movement_lines.c.created_at).label("created_at"))
        .where(movement_lines.c.external_id.in_(ids))
        .group_by(movement_lines.c.external_id)
        .subquery()
    )
    return select(
        movement_lines.c.external_id,
        movement_lines.c.created_at,
        movement_lines.c.place,
        movement_lines.c.unit_cost,
    ).join(
        newest,
        and_(newest.c.external_id == movement_lines.c.external_id, newest.c.created_at == movement_lines.c.created_at),
    )
