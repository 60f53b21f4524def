"""POST /inventories: an upsert by api_key, read back since the document's sample answer shows another part."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from sync.clients.mpw.wire import Inventory, read_inventories
from sync.domain.outbox import (
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
from sync.domain.policy import Policy
from sync.domain.refusals import says_exists
from sync.errors import RejectedError, RemoteError
from sync.flows.context import MPW, Context
from sync.flows.operations.base import Operation
from sync.flows.operations.frozen import fields_of, text
from sync.flows.operations.ours import ids_in, mpw
from sync.flows.settle import open_about
from sync.store.outbox import Push


class PostInventory(Operation):
    """A part in an MPW warehouse (Inventory - POST)."""

    name = POST_INVENTORY
    system = MPW

    def send(self, ctx: Context, rows: Sequence[Push]) -> dict[int, Outcome]:
        """Post it and read it back."""
        (row,) = rows
        try:
            written = mpw(ctx).post_inventory(row.payload)
        except RejectedError as error:
            return {row.id: _refused(ctx, row, error)}
        answer = written.answer
        try:
            found = _found(ctx, row)
        except RemoteError:
            found = None  # accepted all the same: only the look at it is missing
        if found is None:
            evidence = f"answered {answer.status}"
            found = Delivered(evidence, ids_in(written.rows), status=answer.status, answered_at=answer.answered_at)
        return {row.id: found}

    def verify(self, ctx: Context, row: Push) -> Verdict:
        """Read it by its key."""
        found = _found(ctx, row)
        if found is not None:
            return found
        sure_at = absence_counts_at(row.last_sent_at or row.created_at, ctx.policy.late_arrival)
        if ctx.clock.now() >= sure_at:
            return Absent("GET /inventories does not have it")
        return Later(sure_at, "not there yet; a late call may still land")

    def after(self, conn: Connection, row: Push, to: Transition, *, policy: Policy, now: datetime) -> None:
        """Say so when tracking was asked for and is not on."""
        found = getattr(to.cause, "data", None)
        wanted = text(fields_of(row.payload).get("tracking_enabled")).strip().casefold() == "true"
        if to.state == "done" and wanted and isinstance(found, Inventory) and found.tracking_enabled is False:
            hint = "switch inventory tracking on for this part in MPW"
            detail = "MPW does not track this part although that was asked for"
            open_about(conn, row, "tracking_not_enabled", detail, now=now, hint=hint)


def _refused(ctx: Context, row: Push, error: RejectedError) -> Outcome:
    if says_exists(error.message, error.status):
        try:
            found = _found(ctx, row)
        except RemoteError as failed:
            return Unclear(f"refused ({error.message}), and the look at it failed: {failed.message}")
        if found is not None:
            return found
    return Refused(error.message, status=error.status, answered_at=error.answered_at, hint=error.hint)


def _found(ctx: Context, row: Push) -> Delivered | Conflict | None:
    read = read_inventories(mpw(ctx).inventories(api_key=row.api_key).body)
    mine = [one for one in read.rows if one.api_key in (row.api_key, None, "")]
    if not mine:
        return None
    sent = fields_of(row.payload)
    for one in mine:
        same = (text(sent.get("part_number")), text(sent.get("warehouse_name"))) == (
            one.part_number,
            one.warehouse_name,
        )
        if same:
            return Delivered(f"read in MPW under its key, id {one.id}", (one.id,), data=one)
    other = mine[0]
    return Conflict(f"MPW has part {other.part_number} in {other.warehouse_name} under its key (id {other.id})")
