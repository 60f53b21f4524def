"""What we expect of our stock patches, and the movements that may be theirs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select, update
from sqlalchemy.engine import Row

from sync.domain.echo import Base, Line
from sync.domain.outbox import PATCH_STOCK
from sync.store.chunks import chunks, upsert
from sync.store.schema import attempts, echoes, exceptions, gaps, item_states, movement_lines, outbox, parked, runs

CLOCK_AHEAD = "clock_ahead_seconds"
"""In what an attempt knew before its call: by how much the vendor's clock was ahead of ours, or up to a second more."""


@dataclass(frozen=True, slots=True)
class Expected:
    """An expectation with its push and the push's last attempt."""

    outbox_id: int
    external_id: str
    new_stock: Decimal
    new_cost: Decimal
    base_quantity: Decimal | None
    believed_quantity: Decimal | None
    outcome: str | None
    movement_id: str | None
    api_key: str
    state: str
    ambiguous: bool
    last_sent_at: datetime | None
    finalized_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    answered_at: datetime | None
    http_status: int | None
    error: str | None
    before: str | None

    @property
    def ahead(self) -> timedelta | None:
        """By how much the vendor's clock was ahead of ours just before the call; None: nobody knows."""
        seconds = json.loads(self.before or "{}").get(CLOCK_AHEAD)
        return None if seconds is None else timedelta(seconds=float(seconds))


def expect_echo(
    conn: Connection,
    outbox_id: int,
    external_id: str,
    *,
    new_stock: Decimal,
    new_cost: Decimal,
    base_quantity: Decimal | None,
    believed_quantity: Decimal | None,
    window_from: datetime,
) -> None:
    """Open the expectation of a patch that is about to be sent, anew if an earlier call proved without effect."""
    row = {
        "outbox_id": outbox_id,
        "external_id": external_id,
        "new_stock": new_stock,
        "new_cost": new_cost,
        "base_quantity": base_quantity,
        "believed_quantity": believed_quantity,
        "window_from": window_from,
        "window_to": None,
        "movement_id": None,
        "line_n": None,
        "outcome": None,
        "closed_at": None,
    }
    columns = [name for name in row if name != "outbox_id"]
    upsert(conn, echoes, [row], key=["outbox_id"], update=columns)


def set_window(conn: Connection, outbox_id: int, *, first: datetime, last: datetime | None) -> None:
    """Record when, by the vendor's clock, a patch can have taken effect."""
    conn.execute(update(echoes).where(echoes.c.outbox_id == outbox_id).values(window_from=first, window_to=last))


def close_echo(
    conn: Connection,
    outbox_id: int,
    outcome: str,
    *,
    now: datetime,
    movement_id: str | None = None,
    line_n: int | None = None,
) -> None:
    """Close an expectation: `found`, `none` or `several`."""
    conn.execute(
        update(echoes)
        .where(echoes.c.outbox_id == outbox_id)
        .values(outcome=outcome, closed_at=now, movement_id=movement_id, line_n=line_n)
    )


def expectation(conn: Connection, outbox_id: int) -> Expected | None:
    """Return a push's expectation, or None."""
    row = conn.execute(_EXPECTED.where(echoes.c.outbox_id == outbox_id)).first()
    return None if row is None else Expected(**row._mapping)


def open_expectations(conn: Connection, external_ids: Iterable[str] | None = None) -> list[Expected]:
    """Return the open expectations (of these items, or all), oldest first."""
    query = _EXPECTED.where(echoes.c.closed_at.is_(None)).order_by(echoes.c.outbox_id)
    if external_ids is None:
        return [Expected(**row._mapping) for row in conn.execute(query)]
    found: list[Expected] = []
    for chunk in chunks(sorted(set(external_ids))):
        rows = conn.execute(query.where(echoes.c.external_id.in_(chunk)))
        found.extend(Expected(**row._mapping) for row in rows)
    return found


def silent_expectations(conn: Connection, external_ids: Iterable[str], *, since: datetime) -> list[Expected]:
    """Return the newest patches of these items, done since then, whose echo was not seen."""
    found: list[Expected] = []
    for chunk in chunks(sorted(set(external_ids))):
        newest = (
            select(func.max(outbox.c.id))
            .where(outbox.c.item.in_(chunk), outbox.c.state == "done", outbox.c.operation == PATCH_STOCK)
            .group_by(outbox.c.item)
        )
        query = _EXPECTED.where(
            echoes.c.outbox_id.in_(newest), echoes.c.outcome == "none", outbox.c.finalized_at >= since
        )
        found.extend(Expected(**row._mapping) for row in conn.execute(query))
    return found


def base_of(conn: Connection, external_id: str) -> Base | None:
    """Return an item's base; it is trusted while an echo proved it and no gap in the feed came after."""
    row = conn.execute(select(item_states).where(item_states.c.external_id == external_id)).first()
    if row is None or row.base_quantity is None:
        return None
    gap_to = conn.execute(select(func.max(gaps.c.gap_to))).scalar_one_or_none()
    trusted = row.base_verified and (gap_to is None or gap_to <= row.base_at)
    return Base(row.base_quantity, row.base_at, row.base_place or 0, trusted)


def lines_to_settle(conn: Connection, external_id: str, base: Base | None) -> list[Line]:
    """Return an item's undecided lines and those after its base, in the feed's order."""
    wanted = movement_lines.c.role == "undecided"
    if base is not None:
        later = or_(
            movement_lines.c.created_at > base.at,
            and_(movement_lines.c.created_at == base.at, movement_lines.c.place > base.place),
        )
        wanted = or_(wanted, later)
    query = (
        select(movement_lines)
        .where(movement_lines.c.external_id == external_id, wanted)
        .order_by(movement_lines.c.created_at, movement_lines.c.place, movement_lines.c.n)
    )
    return [line_of(row) for row in conn.execute(query)]


def undecided_lines(conn: Connection, external_id: str) -> list[Line]:
    """Return an item's undecided lines, in the feed's order."""
    query = select(movement_lines).where(
        movement_lines.c.external_id == external_id, movement_lines.c.role == "undecided"
    )
    return sorted((line_of(row) for row in conn.execute(query)), key=lambda line: line.position)


def unreconciled_events(conn: Connection, external_id: str, *, after_seq: int) -> list[Line]:
    """Return an item's lines that are taken for people's, and that no push can have been derived from yet."""
    query = select(movement_lines).where(
        movement_lines.c.external_id == external_id,
        movement_lines.c.role == "event",
        movement_lines.c.entry_id > after_seq,
    )
    return [line_of(row) for row in conn.execute(query)]


def last_decided_position(conn: Connection, external_id: str) -> tuple[datetime, int] | None:
    """Return the feed's position of an item's last line that is no candidate for an echo."""
    query = (
        select(movement_lines.c.created_at, movement_lines.c.place)
        .where(movement_lines.c.external_id == external_id, movement_lines.c.role != "undecided")
        .order_by(movement_lines.c.created_at.desc(), movement_lines.c.place.desc())
        .limit(1)
    )
    row = conn.execute(query).first()
    return None if row is None else (row.created_at, row.place)


def set_role(conn: Connection, line: Line, role: str, *, entry_id: int | None = None) -> None:
    """Say what a line is: event or echo, and with `entry_id` which ledger entry stands for it now."""
    values: dict[str, Any] = {"role": role} if entry_id is None else {"role": role, "entry_id": entry_id}
    conn.execute(
        update(movement_lines)
        .where(movement_lines.c.movement_id == line.movement_id, movement_lines.c.n == line.n)
        .values(**values)
    )


def park_late_decisions(conn: Connection, events: Iterable[tuple[str, str]], *, now: datetime) -> None:
    """Let reconcile look at events (kind, api_key) that it may have passed over while they were undecided."""
    rows = [{"kind": kind, "api_key": key, "reason": "late decision", "due_at": now} for kind, key in events]
    upsert(conn, parked, rows, key=["kind", "api_key"], update=["reason", "due_at"])


def whole_reads_since(conn: Connection, flow: str, instant: datetime, *, run_id: int | None, limit: int) -> int:
    """Count the flow's successful runs begun after an instant, the running one (`run_id`) included, up to `limit`."""
    ended = runs.c.outcome == "ok"
    query = (
        select(runs.c.id)
        .where(
            runs.c.flow == flow,
            ended if run_id is None else or_(ended, runs.c.id == run_id),
            runs.c.started_at > instant,  # a clock that stands still proves nothing
        )
        .order_by(runs.c.id.desc())
        .limit(limit)
    )
    return len(list(conn.execute(query)))


def first_whole_read_since(conn: Connection, flow: str, instant: datetime, *, run_id: int | None) -> datetime | None:
    """Return when the flow's first run after an instant began; None where it failed, or none did."""
    query = (
        select(runs.c.id, runs.c.started_at, runs.c.outcome)
        .where(runs.c.flow == flow, runs.c.started_at > instant)
        .order_by(runs.c.id)
        .limit(1)
    )
    row = conn.execute(query).first()
    return row.started_at if row is not None and (row.outcome == "ok" or row.id == run_id) else None


def doubts_decided_by_people(conn: Connection, kind: str) -> list[Row[Any]]:
    """Return the exceptions of a kind that somebody else than we resolved."""
    query = select(exceptions).where(
        exceptions.c.kind == kind, exceptions.c.resolved_at.is_not(None), exceptions.c.resolved_by != "mpsync"
    )
    return list(conn.execute(query))


def doubtful_movements(conn: Connection, kind: str) -> set[str]:
    """Return the ids of the movements that exceptions of a kind ask people about."""
    found: set[str] = set()
    for facts in conn.execute(select(exceptions.c.facts).where(exceptions.c.kind == kind)).scalars():
        found.update(json.loads(facts).get("movements", ()))
    return found


def line_of(row: Row[Any]) -> Line:
    """Return a row of movement_lines as the rules know it."""
    return Line(
        row.movement_id,
        row.n,
        row.api_key,
        row.quantity,
        row.unit_cost,
        row.created_at,
        row.place,
        row.single,
        row.role == "undecided",
        row.entry_id,
    )


_LAST_ATTEMPT = (
    select(func.max(attempts.c.n)).where(attempts.c.outbox_id == outbox.c.id).correlate(outbox).scalar_subquery()
)
_EXPECTED = (
    select(
        echoes.c.outbox_id,
        echoes.c.external_id,
        echoes.c.new_stock,
        echoes.c.new_cost,
        echoes.c.base_quantity,
        echoes.c.believed_quantity,
        echoes.c.outcome,
        echoes.c.movement_id,
        outbox.c.api_key,
        outbox.c.state,
        outbox.c.ambiguous,
        outbox.c.last_sent_at,
        outbox.c.finalized_at,
        attempts.c.started_at,
        attempts.c.ended_at,
        attempts.c.answered_at,
        attempts.c.http_status,
        attempts.c.error,
        attempts.c.before,
    )
    .join(outbox, outbox.c.id == echoes.c.outbox_id)
    .outerjoin(attempts, and_(attempts.c.outbox_id == outbox.c.id, attempts.c.n == _LAST_ATTEMPT))
)
