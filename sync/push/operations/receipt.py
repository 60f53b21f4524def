"""POST /receipts: an upsert by api_key, so what stands under the key is looked at before anything is sent.

| what MPW has under the key | before a send | after an attempt of ours whose outcome is unclear |
|---|---|---|
| nothing | send | send the same bytes again, once nothing can land any more |
| an equal receipt | done, and it enters the ledger under the key | done |
| another one | `key_taken`: nothing is sent | a conflict: a re-post would undo a person's correction |
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from sync.clients.mpw.day_rows import DayRow, read_receipt_rows
from sync.clients.mpw.wire import Receipt, read_receipts
from sync.errors import MalformedResponseError, RejectedError, RemoteError
from sync.ledger.books import Books
from sync.ledger.coverage import RECEIPTS
from sync.outbox.evidence import differences
from sync.outbox.machine import (
    POST_RECEIPT,
    Absent,
    Conflict,
    Delivered,
    Later,
    Outcome,
    Refused,
    Transition,
    Unclear,
    Verdict,
    absence_counts_at,
)
from sync.outbox.rows import Push
from sync.outbox.shown import shown_rows
from sync.poll.days.filing import file_found
from sync.poll.days.sources import DAY_SOURCES
from sync.push.operations.base import AlreadyDone, Go, Operation, Preparation
from sync.push.operations.payload_fields import fields_of
from sync.push.operations.posted_rows import claim_rows_of, judged_answer, mpw, not_overwritten, under_key, when_found
from sync.values.systems import MPW
from sync.work.context import Context


class PostReceipt(Operation):
    """A receipt in MPW (Receipts - POST)."""

    name = POST_RECEIPT
    system = MPW

    def prepare(self, ctx: Context, rows: Sequence[Push]) -> dict[int, Preparation]:
        """Look what has the key before every call: since the verifier looked, a late call may have landed."""
        (row,) = rows
        with ctx.read() as conn:
            shown = self.shown(conn, row) if row.tries else None
        if isinstance(shown, Delivered):
            return {row.id: AlreadyDone(shown.evidence, shown.remote_ids)}
        body = mpw(ctx).receipts(api_key=row.api_key).body
        found = _found(row, body)
        if found is None:
            return {row.id: Go()}
        if isinstance(found, Conflict):
            return {row.id: not_overwritten(row, found)}
        return {
            row.id: AlreadyDone(f"{found.evidence}, {when_found(row)}", found.remote_ids, rows_under_key(row, body))
        }

    def send(self, ctx: Context, rows: Sequence[Push]) -> dict[int, Outcome]:
        """Post it. A refusal is explained by what stands under its key: parts of it may have been used meanwhile."""
        (row,) = rows
        try:
            written = mpw(ctx).post_receipt(row.payload)
        except RejectedError as error:
            return {row.id: _explained(ctx, row, error)}
        return {row.id: judged_answer(self.name, fields_of(row.payload), row.api_key, written)}

    def shown(self, conn: Connection, row: Push) -> Delivered | Conflict | None:
        """Ask what the polls have seen under its key."""
        seen, sent = shown_rows(conn, "receipt", row), fields_of(row.payload)
        equal = tuple(one.remote_id for one in seen if not differences(self.name, sent, one.fields))
        if equal:
            return Delivered(f"a poll has seen it in MPW with equal fields, id {', '.join(equal)}", equal)
        if seen and not any(one.live for one in seen):
            return Conflict(
                "a poll has seen another receipt under its key, and it is gone from MPW by now: "
                + "; ".join(differences(self.name, sent, seen[-1].fields)),
                hint=f"find out who changed it; then `mpsync outbox discard {row.id}`, or, if it shall be in MPW as it "
                f"was sent, `mpsync outbox resolve {row.id} --not-done --why …`",
            )
        return None

    def verify(self, ctx: Context, row: Push) -> Verdict:
        """Read it by its key: equal is done, different a conflict (a re-post would undo a person's correction)."""
        found = _found(row, mpw(ctx).receipts(api_key=row.api_key).body)
        if found is not None:
            return found
        sure_at = absence_counts_at(row.last_sent_at or row.created_at, ctx.policy.late_arrival)
        if ctx.clock.now() >= sure_at:
            return Absent("GET /receipts does not have it")
        return Later(sure_at, "not there yet; a late call may still land")

    def after(self, books: Books, row: Push, to: Transition) -> None:
        """Know the row as ours."""
        self.after_all(books, [(row, to)])

    def after_all(self, books: Books, settled: Sequence[tuple[Push, Transition]]) -> None:
        """Know the rows as ours; one that was there before we sent anything enters the ledger with this."""
        pushed = [(row, remote_id) for row, to in settled for remote_id in to.remote_ids]
        claim_rows_of(books, "receipt", pushed)
        found = [one for _, to in settled if isinstance(to.cause, AlreadyDone) for one in to.cause.data or ()]
        file_found(books, DAY_SOURCES[RECEIPTS], found)


def _explained(ctx: Context, row: Push, error: RejectedError) -> Outcome:
    try:
        found = _found(row, mpw(ctx).receipts(api_key=row.api_key).body)
    except RemoteError as read_error:
        return Unclear(
            f"refused ({error.message}), and the look at it failed: {read_error.message}", status=error.status
        )
    if found is None:
        return Refused(error.message, status=error.status, answered_at=error.answered_at, hint=error.hint)
    return found


def _found(row: Push, body: bytes) -> Delivered | Conflict | None:
    """Judge what GET /receipts shows under the push's key."""
    parsed = read_receipts(body)
    mine = under_key(parsed.rows, row.api_key)
    if not mine:
        if any(row.api_key.casefold() in bad.raw.casefold() for bad in parsed.bad):
            raise MalformedResponseError("what MPW has under its key cannot be read")
        return None
    sent = fields_of(row.payload)
    different = [one for receipt in mine for one in differences(POST_RECEIPT, sent, _fields(receipt))]
    if different:
        return Conflict(
            "MPW has another receipt under its key: " + "; ".join(different),
            hint="a person changed it in MPW, or the key was used before: correct the books, then resolve the push",
        )
    ids = tuple(receipt.id for receipt in mine)
    return Delivered(f"read in MPW with equal fields, id {', '.join(ids)}", ids)


def _fields(found: Receipt) -> dict[str, object]:
    return {
        "part_number": found.part_number,
        "warehouse_name": found.warehouse_name,
        "quantity_received": found.quantity_received,
        "unit_cost": found.unit_cost,
        "created_on": found.created_on,
    }


def rows_under_key(row: Push, body: bytes) -> tuple[DayRow, ...]:
    """Return what GET /receipts shows under a push's key, as the polls read it."""
    ids = {receipt.id for receipt in under_key(read_receipts(body).rows, row.api_key)}
    return tuple(one for one in read_receipt_rows(body).rows if one.remote_id in ids)
