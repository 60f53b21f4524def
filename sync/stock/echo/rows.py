"""What we expect of our stock patches, attempt by attempt, and the movements that may be theirs."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import takewhile
from typing import Any

from sqlalchemy import Connection, and_, func, insert, literal_column, or_, select, text, union, update
from sqlalchemy.engine import Row

from sync.database.chunks import chunks
from sync.database.schema import (
    TO_ACT,
    attempts,
    documents,
    echoes,
    exceptions,
    gaps,
    item_states,
    movement_lines,
    outbox,
    runs,
)
from sync.ledger.books import Books
from sync.stock.echo.rules import Base, Line
from sync.stock.rules import FOLLOWS
from sync.values.marks import mark_of, meaning_of

CLOCK_AHEAD = "clock_ahead_seconds"
"""In what an attempt knew before its call: by how much the vendor's clock was ahead of ours, or up to a second more."""

FOUND, SILENT, ASKING, NO_MOVEMENT, ABSENT, SEVERAL = "found", "none", "asking", "no_movement", "absent", "several"
UNSENT = "unsent"
"""What became of an expectation; None: it is open. `asking`: in question, a follow-up patch is to tell."""


@dataclass(frozen=True, slots=True)
class Expected:
    """An expectation with its attempt and its push. `landed_as`: the attempt's outcome; None: nobody recorded one."""

    id: int
    outbox_id: int
    n: int
    external_id: str
    new_stock: Decimal
    new_cost: Decimal
    sent_cost: Decimal
    believed_quantity: Decimal | None
    claimed_seq: int
    read_after: int | None
    follow_stock: Decimal | None
    outcome: str | None
    movement_id: str | None
    closed_at: datetime | None
    api_key: str
    state: str
    tries: int
    last_sent_at: datetime | None
    finalized_at: datetime | None
    landed_as: str | None
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

    @property
    def is_last(self) -> bool:
        """Whether its push was not tried again since."""
        return self.n == self.tries


def expect_echo(
    conn: Connection,
    outbox_id: int,
    n: int,
    external_id: str,
    *,
    new_stock: Decimal,
    new_cost: Decimal,
    sent_cost: Decimal,
    believed_quantity: Decimal | None,
    claimed_seq: int,
) -> None:
    """Open the expectation of an attempt that is about to be sent; what a claim that was given back left goes."""
    row = {
        "outbox_id": outbox_id,
        "n": n,
        "external_id": external_id,
        "new_stock": new_stock,
        "new_cost": new_cost,
        "sent_cost": sent_cost,
        "believed_quantity": believed_quantity,
        "claimed_seq": claimed_seq,
    }
    anew = {"read_after": None, "follow_stock": None, "movement_id": None, "line_n": None, "quantity": None}
    anew |= {"drift": None, "outcome": None, "closed_at": None}
    same = echoes.c.outbox_id == outbox_id, echoes.c.n == n
    if conn.execute(update(echoes).where(*same).values({**row, **anew})).rowcount == 0:
        conn.execute(insert(echoes).values(row))


def call_ended(conn: Connection, outbox_id: int, n: int) -> None:
    """Note that a call has ended: the reads of the feed that begin from now on show its effect, if it had one."""
    last = select(func.coalesce(func.max(runs.c.id), 0)).scalar_subquery()
    mine = echoes.c.outbox_id == outbox_id, echoes.c.n == n, echoes.c.read_after.is_(None)
    conn.execute(update(echoes).where(*mine).values(read_after=last))


def close_echo(books: Books, echo_id: int, outcome: str, **values: Any) -> None:
    """Say what became of an expectation, and with it what its movement was."""
    books.conn.execute(
        update(echoes).where(echoes.c.id == echo_id).values(outcome=outcome, closed_at=books.now, **values)
    )


def close_doubt(books: Books, echo_id: int, named: str | None, echo: Line | None) -> bool:
    """Close an attempt in doubt as a person said; False where it was closed before.

    `named`: the movement that is its own, and `echo` the line of that, if a table holds one.
    """
    moved = {} if echo is None else {"line_n": echo.n, "quantity": echo.quantity}
    values = {"outcome": SILENT if named is None else FOUND, "movement_id": named, "closed_at": books.now, **moved}
    done = books.conn.execute(
        update(echoes).where(echoes.c.id == echo_id, echoes.c.outcome == SEVERAL).values(**values)
    )
    return done.rowcount == 1


def ask_about(books: Books, echo_id: int, lines: Iterable[Line], *, stock: Decimal) -> None:
    """Put an attempt in question: `lines` may be its echo, and a follow-up to `stock` is to tell."""
    close_echo(books, echo_id, ASKING, follow_stock=stock)
    hold_for(books.conn, echo_id, lines)


def hold_for(conn: Connection, echo_id: int, lines: Iterable[Line]) -> None:
    """Remember that these lines may be an attempt's echo, whatever the time says later."""
    for line in lines:
        if line.asked != echo_id and line.entry_id is not None:
            _update_line(conn, line, asked_of=echo_id)


def expectation(conn: Connection, outbox_id: int) -> Expected | None:
    """Return the expectation of a push's last attempt, or None."""
    query = _EXPECTED.where(echoes.c.outbox_id == outbox_id).order_by(echoes.c.n.desc()).limit(1)
    row = conn.execute(query).first()
    return None if row is None else Expected(**row._mapping)


def outcomes(conn: Connection, outbox_id: int) -> list[str | None]:
    """Return what became of every attempt of a push, first to last."""
    query = select(echoes.c.outcome).where(echoes.c.outbox_id == outbox_id).order_by(echoes.c.n)
    return list(conn.execute(query).scalars())


def expectations(conn: Connection, external_ids: Iterable[str], *, since: datetime) -> dict[str, list[Expected]]:
    """Return the attempts of items whose echo is not known, oldest first: open, in question, or closed since then.

    An echo may come late: of an attempt that was taken for lost, or for one that changed nothing.
    """
    known = or_(
        echoes.c.outcome.is_(None),
        echoes.c.outcome == ASKING,
        and_(echoes.c.outcome.in_((SILENT, NO_MOVEMENT, ABSENT)), echoes.c.closed_at >= since),
    )
    found: dict[str, list[Expected]] = {}
    for chunk in chunks(sorted(set(external_ids))):
        query = _EXPECTED.where(echoes.c.external_id.in_(chunk), known).order_by(echoes.c.id)
        for row in conn.execute(query):
            found.setdefault(row.external_id, []).append(Expected(**row._mapping))
    return found


ATTEMPTS_LOOKED_AT = 50
"""Of an item's attempts: the bound on follow-ups is far smaller, and those that asked nobody back off to an hour."""


def follow_ups_in_a_row(conn: Connection, external_ids: Iterable[str]) -> dict[str, int]:
    """Return how many follow-ups each item was sent since its last patch that was none; none: it is not in the answer.

    What was provably not sent, and what was lost without an effect, has asked nobody.
    """
    is_one = outbox.c.facts.contains(f'"{FOLLOWS}":')
    found: dict[str, int] = {}
    for item in sorted(set(external_ids)):  # few are in question; each is walked from its newest attempt back
        newest = (
            select(echoes.c.outcome, is_one.label("is_one"))
            .join(outbox, echoes.c.outbox_id == outbox.c.id)
            .where(echoes.c.external_id == item)
            .order_by(echoes.c.id.desc())
            .limit(ATTEMPTS_LOOKED_AT)
        )
        in_a_row = takewhile(lambda row: row.is_one, conn.execute(newest))
        sent = sum(1 for row in in_a_row if row.outcome not in (ABSENT, UNSENT))
        if sent:
            found[item] = sent
    return found


def shows_mark(conn: Connection, expected: Expected) -> bool:
    """Tell whether a movement that may be the attempt's own shows the very cost that it sent: then it took effect."""
    query = select(movement_lines).where(movement_lines.c.asked_of == expected.id)
    if mark_of(expected.sent_cost) == 0:
        return False
    return any(meaning_of(row.shown_cost, row.quantity, expected.sent_cost) for row in conn.execute(query))


def items_with_open_echoes(conn: Connection) -> set[str]:
    """Return the items with a patch whose own movement is expected, or in question."""
    waiting = [select(echoes.c.external_id).where(one) for one in IS_WAITED_FOR]  # one index each
    return set(conn.execute(union(*waiting)).scalars())


IS_WAITED_FOR = (echoes.c.closed_at.is_(None), echoes.c.outcome == literal_column("'asking'"))
"""An expectation is waited for where one of these holds."""


def items_patched(conn: Connection, external_ids: Iterable[str], *, since: datetime) -> set[str]:
    """Return those of these items with an attempt whose echo is not known (`expectations`)."""
    return set(expectations(conn, external_ids, since=since))


def was_shown(conn: Connection, expected: Expected, shown: Decimal) -> bool:
    """Tell whether an item had a cost before an attempt: a movement showed it, or an earlier attempt sent it."""
    lines, before = movement_lines.c, echoes.c
    moved = select(lines.n).where(
        lines.external_id == expected.external_id,
        lines.seen_seq <= expected.claimed_seq,
        or_(lines.shown_cost == shown, lines.unit_cost == shown),
    )
    sent = select(before.id).where(
        before.external_id == expected.external_id,
        before.id < expected.id,
        or_(before.sent_cost == shown, before.new_cost == shown),
    )
    return any(conn.execute(query.limit(1)).first() is not None for query in (moved, sent))


def last_attempts(conn: Connection, external_id: str, *, limit: int) -> list[Row[Any]]:
    """Return an item's last attempts with their push's api_key, oldest first."""
    query = (
        select(echoes, outbox.c.api_key)
        .join(outbox, outbox.c.id == echoes.c.outbox_id)
        .where(echoes.c.external_id == external_id, echoes.c.outcome != UNSENT)
        .order_by(echoes.c.id.desc())
        .limit(limit)
    )
    return list(conn.execute(query))[::-1]


def attempt_before(conn: Connection, external_id: str, instant: datetime) -> int | None:
    """Return the expectation of an item's last attempt that was begun before an instant."""
    begun = and_(attempts.c.outbox_id == echoes.c.outbox_id, attempts.c.n == echoes.c.n)
    query = (
        select(func.max(echoes.c.id))
        .join(attempts, begun)
        .where(echoes.c.external_id == external_id, attempts.c.started_at <= instant)
    )
    return conn.execute(query).scalar_one_or_none()


def costs_sent(conn: Connection, external_id: str, *, limit: int) -> list[Decimal]:
    """Return what an item's last attempts sent, oldest first."""
    query = select(echoes.c.sent_cost).where(echoes.c.external_id == external_id).order_by(echoes.c.id.desc())
    return list(conn.execute(query.limit(limit)).scalars())[::-1]


def costs_shown(conn: Connection, external_id: str, *, since: datetime) -> list[tuple[Decimal, Decimal]]:
    """Return (cost as shown, quantity) of an item's movements since an instant."""
    lines = movement_lines.c
    query = select(lines.shown_cost, lines.quantity).where(lines.external_id == external_id, lines.created_at >= since)
    return [(row.shown_cost, row.quantity) for row in conn.execute(query)]


def base_of(conn: Connection, external_id: str) -> Base | None:
    """Return an item's base; it is trusted while an echo proved it and no gap in the feed came after."""
    row = conn.execute(select(item_states).where(item_states.c.external_id == external_id)).first()
    if row is None or row.base_quantity is None:
        return None
    gap_to = conn.execute(select(func.max(gaps.c.gap_to))).scalar_one_or_none()
    trusted = row.base_verified and (gap_to is None or gap_to <= row.base_at)
    return Base(row.base_quantity, row.base_at, row.base_place or 0, trusted, row.base_seq, row.base_cost)


def lines_to_settle(conn: Connection, external_id: str, base: Base | None, *, seen_after: int) -> list[Line]:
    """Return an item's lines that are undecided, come after its base, or were seen since, in the feed's order."""
    wanted = [movement_lines.c.role == "undecided", movement_lines.c.seen_seq > seen_after]
    if base is not None:
        later = and_(movement_lines.c.created_at == base.at, movement_lines.c.place > base.place)
        wanted += [movement_lines.c.created_at > base.at, later, movement_lines.c.seen_seq > base.seq]
    query = (
        select(movement_lines)
        .where(movement_lines.c.external_id == external_id, or_(*wanted))
        .order_by(movement_lines.c.created_at, movement_lines.c.place, movement_lines.c.n)
    )
    return [line_of(row) for row in conn.execute(query)]


def undecided_lines(conn: Connection, external_id: str) -> list[Line]:
    """Return an item's undecided lines, in the feed's order."""
    query = select(movement_lines).where(
        movement_lines.c.external_id == external_id, movement_lines.c.role == "undecided"
    )
    return sorted((line_of(row) for row in conn.execute(query)), key=lambda line: line.position)


def last_position(conn: Connection, external_id: str) -> tuple[datetime, int] | None:
    """Return the feed's position of an item's last line."""
    query = (
        select(movement_lines.c.created_at, movement_lines.c.place)
        .where(movement_lines.c.external_id == external_id)
        .order_by(movement_lines.c.created_at.desc(), movement_lines.c.place.desc())
        .limit(1)
    )
    row = conn.execute(query).first()
    return None if row is None else (row.created_at, row.place)


def set_role(conn: Connection, line: Line, role: str, *, entry_id: int | None = None) -> None:
    """Say what a line is: event or echo, and with `entry_id` which ledger entry stands for it now."""
    _update_line(conn, line, role=role, **({} if entry_id is None else {"entry_id": entry_id}))


def _update_line(conn: Connection, line: Line, **values: Any) -> None:
    same = movement_lines.c.movement_id == line.movement_id, movement_lines.c.n == line.n
    conn.execute(update(movement_lines).where(*same).values(**values))


def raw_movement(conn: Connection, movement_id: str) -> str | None:
    """Return a movement as it came, or None where that was forgotten."""
    same = documents.c.system == "mpservices", documents.c.type == "movement", documents.c.remote_id == movement_id
    return conn.execute(select(documents.c.raw).where(*same)).scalar_one_or_none()


def whole_reads_after(conn: Connection, flow: str, after: int, *, run_id: int | None, limit: int) -> int:
    """Count the flow's successful runs with a higher number, the running one (`run_id`) included, up to `limit`.

    A run's number is drawn before it asks the vendor, and does not depend on anybody's clock.
    """
    ended = runs.c.outcome == "ok"
    query = (
        select(runs.c.id)
        .where(runs.c.flow == flow, ended if run_id is None else or_(ended, runs.c.id == run_id), runs.c.id > after)
        .order_by(runs.c.id.desc())
        .limit(limit)
    )
    return len(list(conn.execute(query)))


def first_whole_read_after(conn: Connection, flow: str, after: int, *, run_id: int | None) -> datetime | None:
    """Return when the flow's first run with a higher number began; None where it failed, or there is none."""
    query = (
        select(runs.c.id, runs.c.started_at, runs.c.outcome)
        .where(runs.c.flow == flow, runs.c.id > after)
        .order_by(runs.c.id)
        .limit(1)
    )
    row = conn.execute(query).first()
    return row.started_at if row is not None and (row.outcome == "ok" or row.id == run_id) else None


def doubts_decided_by_people(conn: Connection) -> list[Row[Any]]:
    """Return the doubts about movements that a person has decided, and that nobody has acted on yet."""
    return list(conn.execute(select(exceptions).where(text(TO_ACT)).order_by(exceptions.c.id)))


def note_acted(books: Books, exception_id: int) -> None:
    """Note that a person's decision is carried out: no round looks at it again."""
    books.conn.execute(update(exceptions).where(exceptions.c.id == exception_id).values(acted_at=books.now))


def act_again(conn: Connection, exception_ids: Iterable[int]) -> None:
    """Let a person's decision be acted on in the next round, where it was carried out before."""
    for chunk in chunks(sorted(set(exception_ids))):
        done = exceptions.c.id.in_(chunk), exceptions.c.acted_at.is_not(None)
        conn.execute(update(exceptions).where(*done).values(acted_at=None))


def doubtful_movements(conn: Connection, kind: str) -> dict[str, int]:
    """Return the movements that exceptions of a kind ask, or asked, people about, each with the last one's id."""
    found: dict[str, int] = {}
    query = select(exceptions.c.id, exceptions.c.facts).where(exceptions.c.kind == kind).order_by(exceptions.c.id)
    for row in conn.execute(query):
        found |= dict.fromkeys(json.loads(row.facts).get("movements", ()), row.id)
    return found


def movements_decided(conn: Connection, kind: str) -> set[str]:
    """Return the movements that people were asked about by exceptions of a kind which they have answered."""
    query = select(exceptions.c.facts).where(exceptions.c.kind == kind, exceptions.c.resolved_at.is_not(None))
    return {one for facts in conn.execute(query).scalars() for one in json.loads(facts).get("movements", ())}


def open_doubts(conn: Connection, kind: str, external_ids: Collection[str]) -> list[dict[str, Any]]:
    """Return what the open exceptions of a kind know, those about some items."""
    query = select(exceptions.c.facts).where(exceptions.c.kind == kind, exceptions.c.resolved_at.is_(None))
    known: Sequence[dict[str, Any]] = [json.loads(facts) for facts in conn.execute(query).scalars()]
    return [facts for facts in known if facts.get("external_id") in external_ids]


def people_moved_late(conn: Connection, external_id: str, quantity: Decimal, *, shown_by: str) -> str | None:
    """Return a movement of people's of a quantity that came before a patch's own and was shown after it; None: none."""
    patch = movement_lines.alias("patch")
    query = select(movement_lines.c.movement_id).where(
        patch.c.movement_id == shown_by,
        movement_lines.c.external_id == external_id,
        movement_lines.c.quantity == quantity,
        movement_lines.c.role == "event",
        movement_lines.c.entry_id.is_not(None),
        movement_lines.c.created_at <= patch.c.created_at,
        movement_lines.c.seen_seq > patch.c.seen_seq,
    )
    return conn.execute(query.limit(1)).scalar()


def line_of(row: Row[Any]) -> Line:
    """Return a row of movement_lines as the rules know it."""
    return Line(
        movement_id=row.movement_id,
        n=row.n,
        api_key=row.api_key,
        quantity=row.quantity,
        shown=row.shown_cost,
        created_at=row.created_at,
        place=row.place,
        single=row.single,
        undecided=row.role == "undecided",
        seen=row.seen_seq,
        entry_id=row.entry_id,
        asked=row.asked_of,
        ours=row.role == "echo",
    )


_EXPECTED = (
    select(
        echoes.c.id,
        echoes.c.outbox_id,
        echoes.c.n,
        echoes.c.external_id,
        echoes.c.new_stock,
        echoes.c.new_cost,
        echoes.c.sent_cost,
        echoes.c.believed_quantity,
        echoes.c.claimed_seq,
        echoes.c.read_after,
        echoes.c.follow_stock,
        echoes.c.outcome,
        echoes.c.movement_id,
        echoes.c.closed_at,
        outbox.c.api_key,
        outbox.c.state,
        outbox.c.tries,
        outbox.c.last_sent_at,
        outbox.c.finalized_at,
        attempts.c.outcome.label("landed_as"),
        attempts.c.started_at,
        attempts.c.ended_at,
        attempts.c.answered_at,
        attempts.c.http_status,
        attempts.c.error,
        attempts.c.before,
    )
    .join(outbox, outbox.c.id == echoes.c.outbox_id)
    .outerjoin(attempts, and_(attempts.c.outbox_id == echoes.c.outbox_id, attempts.c.n == echoes.c.n))
)
