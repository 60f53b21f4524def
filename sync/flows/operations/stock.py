"""Update product stock and cost: absolute values, and an echo that proves them.

The call carries no key and its answer is not documented, so a patch whose answer was lost is settled
by the movement that it makes. Movements are read just before it is sent: one of people's that was not
in the sum sends the patch back to where it came from.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import ClassVar

from sqlalchemy import Connection

from sync.domain.echo import SKEW_MAX, window_of
from sync.domain.outbox import (
    PATCH_STOCK,
    Absent,
    Delivered,
    Later,
    Obsolete,
    Outcome,
    Refused,
    Transition,
    Undecidable,
    Verdict,
    absence_counts_at,
)
from sync.domain.policy import Policy
from sync.domain.stock import ItemFacts
from sync.errors import RejectedError, RetryableError
from sync.flows.context import MPSERVICES, Context
from sync.flows.echoes import close_absent
from sync.flows.movements import drain_movements
from sync.flows.operations.base import Go, NotNow, Operation, Preparation, Withdraw
from sync.store.echoes import (
    CLOCK_AHEAD,
    Expected,
    base_of,
    expect_echo,
    expectation,
    last_decided_position,
    set_window,
)
from sync.store.item_states import mark_dirty, save_item_state
from sync.store.outbox import Push, unsettled_for_entity
from sync.store.stock_facts import item_facts

ECHO_WAIT = timedelta(seconds=5)
"""How soon to look again for the echo of an item's previous patch: every look is a whole read of the feed."""

DOUBT_WAIT = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A patch's frozen payload, read."""

    external_id: str
    new_stock: Decimal
    new_cost: Decimal

    @classmethod
    def of(cls, row: Push) -> Wanted:
        """Read a row's payload."""
        fields = json.loads(row.payload)
        return cls(str(fields["external_id"]), Decimal(fields["new_stock"]), Decimal(fields["new_cost"]))


class PatchStock(Operation):
    """PATCH UpdateProductStockCost, and the movement that it makes."""

    name: ClassVar[str] = PATCH_STOCK
    system: ClassVar[str] = MPSERVICES
    leader_only: ClassVar[bool] = True

    def prepare(self, ctx: Context, rows: Sequence[Push]) -> dict[int, Preparation]:
        """Read the feed, and send only what still rests on everything that it shows."""
        drained = drain_movements(ctx)
        now = ctx.clock.now()
        if drained.error is not None:
            again = NotNow(now + ctx.policy.retry_base, f"movements could not be read before it: {drained.error}")
            return {row.id: again for row in rows}
        with ctx.read() as conn:
            return {row.id: _judge(conn, row, policy=ctx.policy, now=now, ahead=drained.ahead) for row in rows}

    def claimed(self, conn: Connection, row: Push, *, policy: Policy, now: datetime) -> None:
        """Expect the echo before the call can have made it."""
        wanted = Wanted.of(row)
        base = base_of(conn, wanted.external_id)
        believed = item_facts(conn, [wanted.external_id], policy=policy)[wanted.external_id].believed
        expect_echo(
            conn,
            row.id,
            wanted.external_id,
            new_stock=wanted.new_stock,
            new_cost=wanted.new_cost,
            base_quantity=believed if base is not None and base.trusted else None,
            believed_quantity=believed,
            window_from=now - SKEW_MAX,
        )

    def send(self, ctx: Context, rows: Sequence[Push]) -> dict[int, Outcome]:
        """Send one patch. Its answer is not documented: any 2xx that is no error counts, the echo proves it."""
        (row,) = rows
        client = ctx.mpservices_client()
        if client is None:
            raise RetryableError("MPservices is off or paused")
        try:
            written = client.update_stock_cost(row.payload)
        except RejectedError as error:
            return {row.id: _refused(row, error)}
        answer = written.answer
        evidence = f"MPservices answered {answer.status}"
        return {row.id: Delivered(evidence, status=answer.status, answered_at=answer.answered_at)}

    def settled(self, ctx: Context, rows: Sequence[Push]) -> None:
        """Read the feed at once: the sooner, the less of people's can stand beside the echo. Failing, a poll does."""
        drain_movements(ctx)

    def verify(self, ctx: Context, row: Push) -> Verdict:
        """Look for the echo in the feed; its absence counts once no call of ours can still land."""
        began_at = ctx.clock.now()
        drained = drain_movements(ctx)
        if drained.error is not None:
            return Later(ctx.clock.now() + ctx.policy.retry_base, f"movements could not be read: {drained.error}")
        with ctx.read() as conn:
            expected = expectation(conn, row.id)
            if expected is not None and expected.outcome == "found":
                evidence = f"its movement {expected.movement_id} is in the feed"
                return Delivered(evidence, remote_ids=(str(expected.movement_id),))
            if expected is not None and expected.outcome == "several" and _in_doubt(conn, row, policy=ctx.policy):
                return Undecidable(
                    "more than one movement may be its echo", "resolve the exception echo_undecided of it"
                )
            certain_at = absence_counts_at(row.last_sent_at or row.created_at, ctx.policy.late_arrival)
            if began_at < certain_at:
                return Later(certain_at, "no movement of it is in the feed yet")
            newer = _what_changed(conn, row, policy=ctx.policy)
        return (
            Absent("no movement of it is in the feed") if newer is None else Obsolete(f"it had no effect, and {newer}")
        )

    def after(self, conn: Connection, row: Push, to: Transition, *, policy: Policy, now: datetime) -> None:
        """Let the item's state follow what became of its patch."""
        if to.state == "unknown":
            return
        wanted, expected = Wanted.of(row), expectation(conn, row.id)
        if to.state == "done":
            _landed(conn, wanted, expected, now=now)
            return
        if expected is not None and expected.outcome is None:
            close_absent(conn, row.id, wanted.external_id, now=now)
        if to.state != "ready":
            mark_dirty(conn, [wanted.external_id], now=now)


def _judge(conn: Connection, row: Push, *, policy: Policy, now: datetime, ahead: timedelta | None) -> Preparation:
    wanted = Wanted.of(row)
    item = item_facts(conn, [wanted.external_id], policy=policy)[wanted.external_id]
    if item.doubtful:
        return NotNow(now + DOUBT_WAIT, "a person must say which movement the item's previous patch made")
    if item.echo_open or item.undecided:
        return NotNow(now + ECHO_WAIT, "the movement of the item's previous patch is not known yet")
    changed = _what_changed(conn, row, policy=policy, item=item)
    if changed is not None:
        return Withdraw(changed)
    return Go({"seen": item.seen} if ahead is None else {"seen": item.seen, CLOCK_AHEAD: ahead.total_seconds()})


def _what_changed(conn: Connection, row: Push, *, policy: Policy, item: ItemFacts | None = None) -> str | None:
    """Return why a patch is not wanted as it stands any more; the ERP's own only yields to a newer one."""
    if any(
        other.id > row.id and other.operation == PATCH_STOCK for other in unsettled_for_entity(conn, row.entity_key)
    ):
        return "a newer patch of the item is waiting"
    if row.facts.get("erp"):
        return None
    if item is None:
        external_id = Wanted.of(row).external_id
        item = item_facts(conn, [external_id], policy=policy)[external_id]
    if item.pushes:
        state, operation, api_key = item.pushes[0]
        return f"{operation} {api_key} to MPW is {state}"
    if item.unreconciled or item.parked or item.seen != row.facts.get("seen"):
        return "the item has moved since this was worked out"
    return None


def _in_doubt(conn: Connection, row: Push, *, policy: Policy) -> bool:
    external_id = Wanted.of(row).external_id
    item = item_facts(conn, [external_id], policy=policy)[external_id]
    return item.doubtful or item.undecided


def _refused(row: Push, error: RejectedError) -> Refused:
    if error.status != 404 and not _names_no_product(error.message):
        return Refused(error.message, hint=error.hint, status=error.status, answered_at=error.answered_at)
    hint = (
        f"MPservices has no product {row.item}: create it there or with an ERP document of type product, "
        f"or take it out of the item map; then `mpsync outbox retry {row.id}`"
    )
    return Refused(error.message, "unknown_product", hint, status=error.status, answered_at=error.answered_at)


def _names_no_product(message: str) -> bool:
    text = message.casefold()
    return any(words in text for words in ("not found", "not exist", "no product", "unknown product"))


def _landed(conn: Connection, wanted: Wanted, expected: Expected | None, *, now: datetime) -> None:
    """Write what a patch that took effect leaves us to believe until its echo is seen, and when it was made."""
    values: dict[str, object] = {"mps_unit_cost": wanted.new_cost, "last_patched_at": now}
    if expected is not None and expected.outcome is None:
        window = window_of(expected.started_at or now, expected.ended_at or now, expected.answered_at)
        set_window(conn, expected.outbox_id, first=window.first, last=window.last)
        values["mps_quantity"] = wanted.new_stock
        base = base_of(conn, wanted.external_id)
        if base is None or not base.trusted or expected.base_quantity is None:
            at, place = last_decided_position(conn, wanted.external_id) or (window.first, 0)
            values |= {
                "base_quantity": wanted.new_stock,
                "base_at": at,
                "base_place": place,
                "base_verified": False,
            }
    save_item_state(conn, wanted.external_id, values)
