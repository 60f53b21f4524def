"""DELETE /receipt/KEY and /issuance/KEY: what is not there any more is what was wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import ClassVar

from sqlalchemy import Connection

from sync.clients.mpw.client import MpwClient
from sync.clients.mpw.wire import read_issuances, read_receipts
from sync.clients.written import Written
from sync.errors import RejectedError
from sync.ledger.books import Books
from sync.ledger.entries import event_entries
from sync.ledger.rules import ISSUANCE, RECEIPT
from sync.outbox.claims import end_attempt
from sync.outbox.corrections import let_correction_go
from sync.outbox.issuance_parts import parts
from sync.outbox.machine import (
    DELETE_ISSUANCE,
    DELETE_RECEIPT,
    POST_ISSUANCE,
    POST_RECEIPT,
    Absent,
    Delivered,
    Later,
    More,
    Outcome,
    Refused,
    Transition,
    Unclear,
    Verdict,
)
from sync.outbox.pushed import remote_ids_of
from sync.outbox.rows import Push, Which, attempts_of, cancel, discard, push_of_key
from sync.outbox.seen import is_shown
from sync.push.operations.base import AlreadyDone, Go, NotNow, Operation, Preparation
from sync.push.operations.payload_fields import fields_of, text
from sync.push.operations.posted_rows import ANSWERED, judged_answer, mpw, under_key
from sync.push.refusals import says_absent
from sync.reconcile.known_parts import ask_parts
from sync.values.keys import markers
from sync.values.systems import MPW
from sync.work.context import Context

HIDDEN = "MPW shows neither it nor its part in the warehouse: may our user still see that warehouse?"
HIDDEN_WAIT = timedelta(minutes=15)


class _Delete(Operation):
    """What both deletes share. `posted_by` is the operation whose effect it takes back."""

    system = MPW
    posted_by: ClassVar[str]
    kind: ClassVar[str]

    def delete(self, client: MpwClient, key: str) -> Written:
        """Make the call."""
        raise NotImplementedError

    def prepare(self, ctx: Context, rows: Sequence[Push]) -> dict[int, Preparation]:
        """Wait for the key's own push, and cancel it where no vendor has seen it."""
        (row,) = rows
        with ctx.read() as conn:
            own = push_of_key(conn, self.posted_by, row.api_key)
            there = own is not None and own.attempts == 0 and is_shown(conn, own)
        if own is None or own.state in ("done", "dead"):
            return {row.id: Go(sent_key=_next_key(ctx, row))}
        if there and own.state in ("superseded", "discarded"):
            return {row.id: Go(sent_key=_next_key(ctx, row))}  # a database that was lost had posted just that
        if own.state in ("superseded", "discarded") and own.attempts == 0:
            return {row.id: AlreadyDone("its own push was withdrawn before any vendor saw it")}
        if own.state in ("held", "ready"):
            return {row.id: self._cancel(ctx, row, own)}
        if own.state == "discarded":
            return {row.id: Go(sent_key=_next_key(ctx, row))}  # a part of it may be there
        return {row.id: NotNow(own.due_at, f"its own push {own.id} is {own.state}")}

    def _cancel(self, ctx: Context, row: Push, own: Push) -> Preparation:
        with ctx.anyone_writes() as books:
            if not cancel(books, own, why=f"cancelled by the delete {row.id}"):
                return NotNow(books.now, f"its own push {own.id} is being sent")
        if own.attempts == 0:
            return AlreadyDone("its own push was withdrawn before any vendor saw it")
        return Go(sent_key=_next_key(ctx, row))

    def send(self, ctx: Context, rows: Sequence[Push]) -> dict[int, Outcome]:
        """Delete one key: the event's, or, where it was split, the parts' one after the other."""
        (row,) = rows
        keys = _keys_left(ctx, row)
        key = keys[0]
        status: int | None
        try:
            judged = judged_answer(self.name, {}, key, self.delete(mpw(ctx), key))
            if isinstance(judged, Unclear):
                return {row.id: judged}
            status, answered_at, how = judged.status, judged.answered_at, judged.evidence
        except RejectedError as error:
            if not says_absent(error.message, error.status):
                refused = Refused(error.message, status=error.status, answered_at=error.answered_at, sent_key=key)
                return {row.id: refused}
            status, answered_at = error.status, error.answered_at
            if self._is_hidden(ctx, row):
                return {row.id: Unclear(HIDDEN, status=status, answered_at=answered_at, sent_key=key)}
            how = f"MPW has nothing under its key ({error.status}: {error.message})"
        if len(keys) > 1:
            more = More(f"{len(keys) - 1} of its parts are left", status=status, answered_at=answered_at, sent_key=key)
            return {row.id: more}
        return {row.id: Delivered(how, status=status, answered_at=answered_at, sent_key=key)}

    def verify(self, ctx: Context, row: Push) -> Verdict:
        """Delete again: it harms nothing, and 404 is done.

        Where its last call was answered by a 2xx that proved nothing, a clean read that lacks it is done: a vendor
        that answers every delete so would be asked for ever.
        """
        if not self._was_answered(ctx, row):
            return Absent("to delete it again is safe")
        gone = self._is_gone(ctx, row)
        if gone is None:
            return Absent("it is still there, or nothing tells it from others; to delete it again is safe")
        if self._is_hidden(ctx, row):
            return Later(ctx.clock.now() + HIDDEN_WAIT, HIDDEN)
        return self._next_or_done(ctx, row, gone)

    def _is_gone(self, ctx: Context, row: Push) -> str | None:
        """Read what a delete of the key that is in turn leaves; return what proves that it is gone, or None."""
        raise NotImplementedError

    def _next_or_done(self, ctx: Context, row: Push, how: str) -> Verdict:
        keys = _keys_left(ctx, row)
        if len(keys) > 1:
            return More(f"{len(keys) - 1} of its parts are left", sent_key=keys[0])
        return Delivered(how)

    def _was_answered(self, ctx: Context, row: Push) -> bool:
        """Tell whether the last call was answered by a 2xx of MPW's own that speaks of no failure (`judged_answer`)."""
        with ctx.read() as conn:
            tries = attempts_of(conn, row.id)
        return bool(tries) and (tries[-1].error or "").startswith(ANSWERED)

    def after(self, books: Books, row: Push, to: Transition) -> None:
        """Drop the key's own push, if it failed or was just set going again: nobody wants it in MPW any more.

        A part that a look found gone is on record as deleted, as one whose answer proved it: `_keys_left` counts both.
        A correction may be posted from here on, whoever says that the delete is done: the vendor or a person.
        """
        if to.state == "done":
            let_correction_go(books, self.kind, row.api_key)
        if row.state == "unknown" and isinstance(to.cause, More):
            end_attempt(books, row, to)
        own = push_of_key(books.conn, self.posted_by, row.api_key) if to.state == "done" else None
        if own is None:
            return
        why = f"its delete {row.id} is done"
        if own.state == "dead":
            discard(books, Which(ids=[own.id]), by="mpsync", why=why)
        elif own.state in ("held", "ready"):
            cancel(books, own, why=why)

    def _is_hidden(self, ctx: Context, row: Push) -> bool:
        """Tell whether MPW does not show the part in the warehouse either, or cannot be asked.

        Its rows are then as hidden as the part is: that one of them is not found says nothing of it.
        """
        with ctx.read() as conn:
            own = push_of_key(conn, self.posted_by, row.api_key)
            fields = fields_of(own.payload) if own is not None else {}
            pair = text(fields.get("warehouse_name")) or ctx.policy.warehouse or "", text(fields.get("part_number"))
            if not pair[1]:  # payloads of what is long done are forgotten, the ledger is not
                pair = _place_of(conn, self.kind, row.api_key)
        return all(pair) and ask_parts(ctx, [pair], store=False)[pair].state != "found"


def _place_of(conn: Connection, kind: str, api_key: str) -> tuple[str, str]:
    """Return warehouse and part of an event as MPW last showed it; empty where it never did."""
    shown = [entry for entry in event_entries(conn, kind, api_key) if entry.system == MPW]
    return (shown[-1].warehouse or "", shown[-1].item) if shown else ("", "")


class DeleteReceipt(_Delete):
    """A receipt of ours taken back (Receipts - DELETE)."""

    name = DELETE_RECEIPT
    posted_by = POST_RECEIPT
    kind = RECEIPT

    def delete(self, client: MpwClient, key: str) -> Written:
        """Make the call."""
        return client.delete_receipt(key)

    def verify(self, ctx: Context, row: Push) -> Verdict:
        """Read it by its key; one that is gone is done."""
        gone = self._is_gone(ctx, row)
        if gone is None:
            return Absent("it is still there; to delete it again is safe")
        if self._is_hidden(ctx, row):
            return Later(ctx.clock.now() + HIDDEN_WAIT, HIDDEN)
        return Delivered(gone)

    def _is_gone(self, ctx: Context, row: Push) -> str | None:
        found = read_receipts(mpw(ctx).receipts(api_key=row.api_key).body)
        if found.bad or under_key(found.rows, row.api_key):
            return None
        return "GET /receipts does not have it any more"


class DeleteIssuance(_Delete):
    """An issuance of ours taken back, with all its rows (Issuances - DELETE)."""

    name = DELETE_ISSUANCE
    posted_by = POST_ISSUANCE
    kind = ISSUANCE

    def delete(self, client: MpwClient, key: str) -> Written:
        """Make the call."""
        return client.delete_issuance(key)

    def _is_gone(self, ctx: Context, row: Push) -> str | None:
        """Read the days on which its rows were last known to be; GET shows no api_key, so by their ids and markers."""
        key = _next_key(ctx, row)
        with ctx.read() as conn:
            own = push_of_key(conn, self.posted_by, row.api_key)
            ids = set(remote_ids_of(conn, ISSUANCE, row.api_key))
            entries = [one for one in event_entries(conn, ISSUANCE, row.api_key) if one.system == MPW]
        fields = fields_of(own.payload) if own is not None else {}
        ids |= {entry.remote_id for entry in entries}
        days = {entry.occurred_on for entry in entries} | {day for day in (_day_of(fields),) if day is not None}
        marked = f"[{row.api_key}]" in text(fields.get("description"))
        if not days or not (marked or (ids and key == row.api_key)):
            return None
        for day in sorted(days):
            found = read_issuances(mpw(ctx).issuances(day).body)
            if found.bad or any(key in markers(one.description) for one in found.rows):
                return None
            if key == row.api_key and any(one.id in ids for one in found.rows):
                return None
        return f"its day does not have {key} any more"


def _day_of(fields: Mapping[str, object]) -> date | None:
    try:
        return date.fromisoformat(text(fields.get("created_on"))[:10])
    except ValueError:
        return None


def _keys_left(ctx: Context, row: Push) -> list[str]:
    """Return the keys still to be deleted: those of the parts, else the event's own; one at least."""
    with ctx.read() as conn:
        own = push_of_key(conn, POST_ISSUANCE, row.api_key) if row.operation == DELETE_ISSUANCE else None
        keys = [part.api_key for part in parts(conn, own.id)] if own is not None else []
        gone = {one.sent_key for one in attempts_of(conn, row.id) if one.outcome == "partial"}
    keys = keys or [row.api_key]
    return [key for key in keys if key not in gone] or keys[-1:]


def _next_key(ctx: Context, row: Push) -> str:
    return _keys_left(ctx, row)[0]
