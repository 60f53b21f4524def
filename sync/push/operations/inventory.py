"""POST /inventories: an upsert by api_key, looked at before it is sent, and read back after: the document's sample
answer shows another part than was sent."""

from __future__ import annotations

from collections.abc import Sequence

from sync.clients.mpw.wire import Inventory, read_inventories
from sync.errors import MalformedResponseError, RejectedError, RemoteError
from sync.ledger.books import Books
from sync.outbox.asking import open_about
from sync.outbox.evidence import differences
from sync.outbox.machine import (
    POST_INVENTORY,
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
from sync.push.operations.base import AlreadyDone, Go, Operation, Preparation
from sync.push.operations.payload_fields import fields_of, text
from sync.push.operations.posted_rows import judged_answer, mpw, not_overwritten, under_key, when_found
from sync.push.refusals import says_exists
from sync.values.systems import MPW
from sync.work.context import Context


class PostInventory(Operation):
    """A part in an MPW warehouse (Inventory - POST)."""

    name = POST_INVENTORY
    system = MPW

    def prepare(self, ctx: Context, rows: Sequence[Push]) -> dict[int, Preparation]:
        """Look what has the key before every call, as a receipt does: the POST updates whatever has it."""
        (row,) = rows
        found = _found(ctx, row)
        if found is None:
            return {row.id: Go()}
        if isinstance(found, Conflict):
            return {row.id: not_overwritten(row, found)}
        return {row.id: AlreadyDone(f"{found.evidence}, {when_found(row)}", found.remote_ids, found.data)}

    def send(self, ctx: Context, rows: Sequence[Push]) -> dict[int, Outcome]:
        """Post it, and where the answer does not prove it read it back at once."""
        (row,) = rows
        try:
            written = mpw(ctx).post_inventory(row.payload)
        except RejectedError as error:
            return {row.id: _refused(ctx, row, error)}
        judged = judged_answer(self.name, fields_of(row.payload), row.api_key, written)
        try:
            found = _found(ctx, row)
        except RemoteError:
            found = None
        return {row.id: judged if found is None else found}

    def verify(self, ctx: Context, row: Push) -> Verdict:
        """Read it by its key."""
        found = _found(ctx, row)
        if found is not None:
            return found
        sure_at = absence_counts_at(row.last_sent_at or row.created_at, ctx.policy.late_arrival)
        if ctx.clock.now() >= sure_at:
            return Absent("GET /inventories does not have it")
        return Later(sure_at, "not there yet; a late call may still land")

    def after(self, books: Books, row: Push, to: Transition) -> None:
        """Say so when tracking was asked for and is not on."""
        found = getattr(to.cause, "data", None)  # what was read, before it was sent or after
        wanted = text(fields_of(row.payload).get("tracking_enabled")).strip().casefold() == "true"
        if to.state == "done" and wanted and isinstance(found, Inventory) and found.tracking_enabled is False:
            hint = "switch inventory tracking on for this part in MPW"
            detail = "MPW does not track this part although that was asked for"
            open_about(books, row, "tracking_not_enabled", detail, hint=hint)


def _refused(ctx: Context, row: Push, error: RejectedError) -> Outcome:
    accepted = error.status is not None and error.status < 400  # a refusal in a 2xx is one only where it is not there
    if accepted or says_exists(error.message, error.status):
        try:
            found = _found(ctx, row)
        except RemoteError as failed:
            return Unclear(f"refused ({error.message}), and the look at it failed: {failed.message}")
        if found is not None:
            return found
    return Refused(error.message, status=error.status, answered_at=error.answered_at, hint=error.hint)


def _found(ctx: Context, row: Push) -> Delivered | Conflict | None:
    read = read_inventories(mpw(ctx).inventories(api_key=row.api_key).body)
    mine = under_key(read.rows, row.api_key)
    if not mine:
        if any(row.api_key.casefold() in bad.raw.casefold() for bad in read.bad):
            raise MalformedResponseError("what MPW has under its key cannot be read")
        return None
    sent = fields_of(row.payload)
    different = {one.id: differences(POST_INVENTORY, sent, _fields(one)) for one in mine}
    for one in mine:
        if not different[one.id]:
            return Delivered(f"read in MPW under its key with equal fields, id {one.id}", (one.id,), data=one)
    other = mine[0]
    return Conflict(
        f"MPW has part {other.part_number} in {other.warehouse_name} under its key (id {other.id}): "
        + "; ".join(different[other.id]),
        hint="a person or another document changed it, or the key was used before: correct it in MPW, then resolve "
        "the push",
    )


def _fields(found: Inventory) -> dict[str, object]:
    return {
        "part_number": found.part_number,
        "warehouse_name": found.warehouse_name,
        "quantity": found.quantity,
        "unit_cost": found.unit_cost,
    }
