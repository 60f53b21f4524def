"""Proof from our own tables: what a poll saw settles what is unclear, and what no poll sees was never done.

| a push is | and the polls | then |
|---|---|---|
| unknown, or given up after a call | have seen its effect, there or gone by now | done at once; the rest is people's |
| done by an answer alone | have seen its row | nothing more is to be looked for |
| done by an answer alone | have read its day clean since, and lack it | `push_not_there`: a person decides |
| done by an answer alone | have not read its day clean since | it waits, and no stock patch of its item is sent |
| done by an answer alone | lack it, and MPW hides its part too | it waits likewise, `HIDDEN_MAX` at most |
| delete that is done | have read its row since | `push_not_there`: a person decides |
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from sync.clients.mpw.client import MpwClient
from sync.database.exceptions import open_exceptions, subject_of
from sync.database.runs import newest_run
from sync.errors import AuthError, RemoteError
from sync.ledger.books import Books
from sync.ledger.coverage import ISSUANCES, RECEIPTS
from sync.outbox.claims import standing
from sync.outbox.evidence import adds_up, number_of
from sync.outbox.issuance_parts import parts
from sync.outbox.machine import (
    POST_ISSUANCE,
    POST_RECEIPT,
    Conflict,
    Delivered,
    Retrying,
    Transition,
    after_verification,
)
from sync.outbox.rows import PUSH, Push, push_by_id
from sync.outbox.seen import (
    DELETES,
    DELETES_WATCHED,
    is_shown,
    is_taken_back,
    nameless_twin,
    not_unseen,
    perhaps_shown,
    read_clean_after,
    reopen_parts,
    undone_deletes,
    unseen_pushes,
)
from sync.outbox.shortage import takes_of, total_of
from sync.outbox.shown import shown_rows
from sync.poll.days.filing import file_found
from sync.poll.days.sources import DAY_SOURCES
from sync.poll.schedule import poll_days_once
from sync.push.operations.receipt import rows_under_key
from sync.push.operations.registry import operations
from sync.push.settle import settle
from sync.reconcile.known_parts import ask_parts
from sync.values.systems import MPW
from sync.work.context import Context
from sync.work.cooldowns import resting_until

log = structlog.get_logger()

AT_ONCE = 200
NOT_THERE = "push_not_there"
HIDDEN_MAX = timedelta(days=1)
"""How long a push that is not shown waits where MPW does not show its part in the warehouse either.

A permission that was taken by mistake is mostly back within a day. After that a person is told, and the poll that shows
the row settles it."""


SHOWN_SEQ = "shown_seq"
"""The ledger's newest entry by which it was looked what the polls have seen of pushes that failed, in `facts`."""


def settle_shown(ctx: Context) -> int:
    """Settle what the polls have seen the effect of; return how many rows. No vendor is asked."""
    due = ctx.due()  # before it is looked: what comes in meanwhile has the next round look again
    settled = _settle_all_shown(ctx)
    if due.behind(SHOWN_SEQ) and not ctx.stopping():
        with ctx.leader_writes() as books:
            books.note_fact(SHOWN_SEQ, str(due.last_seq))
    return settled


def _settle_all_shown(ctx: Context) -> int:
    settled = after = 0
    while True:
        with ctx.read() as conn:
            rows = perhaps_shown(conn, after=after, limit=AT_ONCE)
            found = [row for row in rows if operations()[row.operation].shown(conn, row)]
        if found:
            settled += _settle(ctx, found)
        if len(rows) < AT_ONCE or ctx.stopping():
            return settled
        after = rows[-1].id


def _settle(ctx: Context, found: Sequence[Push]) -> int:
    settled = 0
    with ctx.leader_writes() as books:
        for row in found:
            operation = operations()[row.operation]
            verdict = operation.shown(books.conn, row)
            if verdict is None:
                continue
            if row.state == "dead":
                if not isinstance(verdict, Delivered):
                    continue
                to = Transition("done", "verified", verdict, evidence=verdict.evidence, remote_ids=verdict.remote_ids)
            else:
                retrying = Retrying(books.policy.retry_base, ctx.random.random())
                to = after_verification(standing(books.conn, row), verdict, now=books.now, retrying=retrying)
            settled += settle(books, operation, row, to, ends_attempt=False)
    return settled


def look_for_done(ctx: Context) -> int:
    """Look whether the polls show what is done by an answer; return how many pushes are not there after all."""
    missing: list[Push] = []
    seen: set[int] = set()
    after = 0
    with ctx.read() as conn:
        while rows := unseen_pushes(conn, after=after, limit=AT_ONCE):
            for row in rows:
                verdict = _look(conn, row)
                if verdict is None:
                    seen.add(row.id)
                elif verdict:
                    missing.append(row)
            after = rows[-1].id
    if seen:
        with ctx.leader_writes() as books:
            not_unseen(books.conn, seen)
    return sum(_not_there(ctx, row) for row in missing)


def look_for_deleted(ctx: Context) -> int:
    """Look whether what was deleted is gone; return how many deletes are undone, or done after all.

    Before any stock is compared: MPW's holds what was to be gone.
    """
    if not ctx.due().undone or not ctx.leads() or not ctx.is_timely():
        return 0
    since = ctx.clock.now() - DELETES_WATCHED
    with ctx.read() as conn:
        if not (_deleted_after_all(conn) or undone_deletes(conn, since=since, limit=1)):
            return 0
    with ctx.leader_writes() as books:
        settled = 0
        for row in _deleted_after_all(books.conn):
            cause = Delivered("MPW does not show it any more")
            to = Transition("done", "verified", cause, evidence=cause.evidence)
            settled += settle(books, operations()[row.operation], row, to, ends_attempt=False)
        return settled + sum(_there_again(books, row) for row in undone_deletes(books.conn, since=since, limit=AT_ONCE))


def _deleted_after_all(conn: Connection) -> list[Push]:
    told = [push_by_id(conn, int(one.subject)) for one in open_exceptions(conn, kind=NOT_THERE) if _is_push(one)]
    given_up = [row for row in told if row is not None and row.state == "dead" and row.operation in DELETES]
    return [row for row in given_up if not is_shown(conn, row)]


def _is_push(told: Row[Any]) -> bool:
    return subject_of(told).type == PUSH


def _there_again(books: Books, row: Push) -> int:
    shows = f"a reading since then shows the {row.kind} under its key"
    if row.attempts:
        why = f"{shows}: a call that was held up made it afterwards, or the delete did nothing"
        again = f"if it is not wanted, `mpsync outbox retry {row.id}` deletes it again, or delete it there"
    else:
        why = f"{shows}, which this database never posted: another program has that key, or a database that was lost"
        again = "if it is not wanted, delete it there"
    cause = Conflict(
        f"it was done ({row.evidence}), and {why}. The item's stock is not patched until this is settled",
        kind=NOT_THERE,
        hint=f"look at it in MPW; {again}; if it shall stay, `mpsync outbox discard {row.id}`",
    )
    to = Transition("dead", "not_there", cause, last_error=cause.detail)
    log.warning("push.there_again", outbox_id=row.id, api_key=row.api_key)
    return int(settle(books, operations()[row.operation], row, to, ends_attempt=False))


def _look(conn: Connection, row: Push, *, since: int = 0) -> bool | None:
    """Return True where a push is not there, False where nobody can say yet, None where it needs no looking for.

    `since`: the run after which its day has to have been read, beside the one by which it was settled.
    """
    day, total, item, warehouse = _terms(row)
    shown = shown_rows(conn, str(row.kind), row)
    if day is None or is_taken_back(conn, row):
        return None
    if shown and (row.operation == POST_RECEIPT or _is_whole(conn, row, total, [one.quantity for one in shown])):
        return None
    if row.settled_no is None or not read_clean_after(conn, row.operation, day, max(since, row.settled_no)):
        return False
    lacking = total - sum((one.quantity for one in shown), Decimal(0))
    if lacking <= _without_id(conn, row, total) and nameless_twin(conn, row, day=day, item=item, warehouse=warehouse):
        return None  # what MPW said of it gave no id, and one without a key may well be it
    return True


def _without_id(conn: Connection, row: Push, total: Decimal) -> Decimal:
    """Return how much of a push MPW took without naming the row that it became."""
    if not row.remote_id:
        return total
    return sum((part.quantity for part in parts(conn, row.id) if part.state == "done" and not part.ids), Decimal(0))


def _is_whole(conn: Connection, row: Push, total: Decimal, shown: Sequence[Decimal]) -> bool:
    """Tell whether rows are all that was issued; where parts were sent, a lacking one does not pass for rounding."""
    if sum(shown, Decimal(0)) >= total:
        return True
    return len(shown) >= len(parts(conn, row.id)) and adds_up(total, shown)


def _terms(row: Push) -> tuple[date | None, Decimal, str, str]:
    """Return a push's day, quantity, part and warehouse; no day where its payload was forgotten long ago."""
    fields = json.loads(row.payload, parse_float=Decimal)
    quantity = number_of(fields.get("quantity", fields.get("quantity_received"))) or Decimal(0)
    try:
        day = date.fromisoformat(str(fields.get("created_on"))[:10])
    except ValueError:
        return None, quantity, "", ""
    warehouse = str(fields.get("warehouse_name"))
    if row.operation == POST_ISSUANCE:  # a person may have wanted less of it posted
        quantity = total_of(takes_of(row.facts, warehouse, quantity))
    return day, quantity, str(fields.get("part_number")), warehouse


def _not_there(ctx: Context, row: Push) -> int:
    """Give a push up that MPW answered and does not have: it is read once more, while MPW shows its part.

    What a reading lacks says nothing where its warehouse was hidden just then, though it is shown again by now.
    """
    client = ctx.mpw_client()
    if client is None or resting_until(ctx, MPW) is not None or _is_hidden(ctx, row):
        return 0
    since = _read_again(ctx, client, row)
    if since is None or _is_hidden(ctx, row):
        return 0
    with ctx.leader_writes() as books:
        current = push_by_id(books.conn, row.id)
        if current is None or current.state != "done" or _look(books.conn, current, since=since) is not True:
            return 0
        return _give_up(books, current)


def _read_again(ctx: Context, client: MpwClient, row: Push) -> int | None:
    """Read what MPW has of a push; return the newest run before that, None where it is there or cannot be read."""
    with ctx.read() as conn:
        since = newest_run(conn)
    day, *_ = _terms(row)
    if row.operation == POST_ISSUANCE and day is not None:
        poll_days_once(ctx, ISSUANCES, [day])
        return since
    try:
        found = rows_under_key(row, client.receipts(api_key=row.api_key).body)
    except AuthError as error:
        ctx.pause(MPW, error)
        return None
    except RemoteError:
        return None  # it is looked for again in the next round
    if found:
        with ctx.leader_writes() as books:
            file_found(books, DAY_SOURCES[RECEIPTS], found)
            not_unseen(books.conn, [row.id])
        return None
    return 0  # nothing has it: that is newer than any reading of a day


def _is_hidden(ctx: Context, row: Push) -> bool:
    """Tell whether MPW does not show the part in the warehouse either: its rows are as hidden as the part is.

    So it looks where our user may not see the warehouse any more, and where MPW cannot be asked.
    """
    if row.unseen_since is None or ctx.clock.now() - row.unseen_since >= HIDDEN_MAX:
        return False
    _, _, item, warehouse = _terms(row)
    pair = warehouse, item
    return ask_parts(ctx, [pair], store=False)[pair].state != "found"


def _give_up(books: Books, row: Push) -> int:
    day = json.loads(row.payload)["created_on"][:10]
    seen = [one.remote_id for one in shown_rows(books.conn, str(row.kind), row)]
    reopen_parts(books.conn, row.id, seen)
    some = f"only a part of it (id {', '.join(seen)})" if seen else "no such row"
    cause = Conflict(
        f"MPW took it ({row.evidence}), and a clean reading of {day} since then shows {some}: the event is unmatched "
        "again, and the item's stock is not patched until this is settled",
        kind=NOT_THERE,
        hint=f"look for it in MPW; if it shall be there, `mpsync outbox retry {row.id}` posts it again under the same "
        f"key; if it is not wanted, `mpsync outbox discard {row.id}`",
    )
    to = Transition("dead", "not_there", cause, last_error=cause.detail)
    log.warning("push.not_there", outbox_id=row.id, api_key=row.api_key)
    return int(settle(books, operations()[row.operation], row, to, ends_attempt=False))
