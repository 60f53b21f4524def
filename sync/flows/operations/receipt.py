"""POST /receipts: an upsert by api_key, so what is found is compared before anything is sent twice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from sync.clients.mpw.wire import Receipt, read_receipts
from sync.domain.outbox import (
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
from sync.domain.policy import Policy
from sync.errors import MalformedResponseError, RejectedError, RemoteError
from sync.flows.context import MPW, Context
from sync.flows.operations.base import Operation
from sync.flows.operations.frozen import fields_of, same_day, same_number, text
from sync.flows.operations.ours import claim_rows_of, ids_in, mpw
from sync.store.outbox import Push


class PostReceipt(Operation):
    """A receipt in MPW (Receipts - POST)."""

    name = POST_RECEIPT
    system = MPW

    def send(self, ctx: Context, rows: Sequence[Push]) -> dict[int, Outcome]:
        """Post it. A refusal is explained by what stands under its key: parts of it may have been used meanwhile."""
        (row,) = rows
        try:
            written = mpw(ctx).post_receipt(row.payload)
        except RejectedError as error:
            return {row.id: _explained(ctx, row, error)}
        ids = ids_in(written.rows)
        evidence = f"answered {written.answer.status}" + (f", id {', '.join(ids)}" if ids else "")
        answer = written.answer
        return {row.id: Delivered(evidence, ids, status=answer.status, answered_at=answer.answered_at)}

    def verify(self, ctx: Context, row: Push) -> Verdict:
        """Read it by its key: equal is done, different a conflict (a re-post would undo a person's correction)."""
        found = _found(ctx, row)
        if found is not None:
            return found
        sure_at = absence_counts_at(row.last_sent_at or row.created_at, ctx.policy.late_arrival)
        if ctx.clock.now() >= sure_at:
            return Absent("GET /receipts does not have it")
        return Later(sure_at, "not there yet; a late call may still land")

    def after(self, conn: Connection, row: Push, to: Transition, *, policy: Policy, now: datetime) -> None:
        """Know the row as ours."""
        self.after_all(conn, [(row, to)], policy=policy, now=now)

    def after_all(
        self, conn: Connection, settled: Sequence[tuple[Push, Transition]], *, policy: Policy, now: datetime
    ) -> None:
        """Know the rows as ours."""
        pushed = [(row, remote_id) for row, to in settled for remote_id in to.remote_ids]
        claim_rows_of(conn, "receipt", pushed, policy=policy, now=now)


def _explained(ctx: Context, row: Push, error: RejectedError) -> Outcome:
    try:
        found = _found(ctx, row)
    except RemoteError as read_error:
        return Unclear(
            f"refused ({error.message}), and the look at it failed: {read_error.message}", status=error.status
        )
    if found is None:
        return Refused(error.message, status=error.status, answered_at=error.answered_at, hint=error.hint)
    return found


def _found(ctx: Context, row: Push) -> Delivered | Conflict | None:
    parsed = read_receipts(mpw(ctx).receipts(api_key=row.api_key).body)
    mine = [receipt for receipt in parsed.rows if receipt.api_key == row.api_key]
    if not mine:
        if any(row.api_key in bad.raw for bad in parsed.bad):
            raise MalformedResponseError("what MPW has under its key cannot be read")
        return None
    sent = fields_of(row.payload)
    different = [difference for receipt in mine for difference in _differences(sent, receipt)]
    if different:
        return Conflict(
            "MPW has another receipt under its key: " + "; ".join(different),
            hint="a person changed it in MPW, or the key was used before: correct the books, then resolve the push",
        )
    ids = tuple(receipt.id for receipt in mine)
    return Delivered(f"read in MPW with equal fields, id {', '.join(ids)}", ids)


def _differences(sent: dict[str, object], found: Receipt) -> list[str]:
    checks = {
        "part_number": text(sent.get("part_number")) == found.part_number,
        "warehouse_name": text(sent.get("warehouse_name")) == found.warehouse_name,
        "quantity_received": same_number(sent.get("quantity_received"), found.quantity_received),
        "unit_cost": same_number(sent.get("unit_cost"), found.unit_cost),
        "created_on": same_day(sent.get("created_on"), found.created_on),
    }
    return [f"{name} {getattr(found, name)} instead of {sent.get(name)}" for name, equal in checks.items() if not equal]
