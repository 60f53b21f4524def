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

from sync.errors import RejectedError, RetryableError
from sync.ledger.books import Books
from sync.ledger.entries import last_seq
from sync.ledger.item_states import forget_base, mark_dirty, save_item_state
from sync.outbox.machine import (
    PATCH_STOCK,
    Absent,
    Conflict,
    Delivered,
    Landed,
    Later,
    NotSent,
    Obsolete,
    Outcome,
    Refused,
    Transition,
    Unclear,
    Undecidable,
    Verdict,
    absence_counts_at,
    product_entity,
)
from sync.outbox.probes import UNDOES, abandoned, is_of_probe
from sync.outbox.rows import RETRIED_AT, Push, unsettled_for_entity
from sync.outbox.watch import check_now
from sync.poll.feed.window import drain_movements
from sync.push.operations.base import Go, NotNow, Operation, Preparation, Withdraw
from sync.push.operations.product import patch_tells_at
from sync.push.refusals import says_no_product
from sync.stock.echo.rows import (
    CLOCK_AHEAD,
    NO_MOVEMENT,
    Expected,
    call_ended,
    costs_sent,
    costs_shown,
    expect_echo,
    expectation,
    outcomes,
    shows_mark,
)
from sync.stock.echo.rules import SKEW_MAX
from sync.stock.echo.tell import close_absent
from sync.stock.facts import item_facts
from sync.stock.rules import FOLLOWS, ItemFacts
from sync.values.marks import marked, next_mark, per_unit, without_mark
from sync.values.money import plain
from sync.values.policy import Policy
from sync.values.systems import MPSERVICES
from sync.work.context import Context

LANDED = "landed"
NO_MOVEMENTS_MAX = 2
"""Attempts of a patch that may make no movement though they had to, before a person is asked."""

SENT_LOOKED_AT = 20
"""How many of an item's last attempts the next mark must differ from, where it can."""

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
        now = ctx.clock.now()
        with ctx.read() as conn:
            left = {row.id: Withdraw(why) for row in rows if (why := abandoned(conn, row, owner=ctx.owner))}
        if left:
            return {row.id: left.get(row.id, NotNow(now, "another patch is taken back first")) for row in rows}
        with ctx.read() as conn:  # without the feed: while a product waits to be created, it would be read for nothing
            waits = {row.id: _being_created(conn, Wanted.of(row), policy=ctx.policy, now=now) for row in rows}
        if all(waits.values()):
            return {id_: wait for id_, wait in waits.items() if wait is not None}
        drained = drain_movements(ctx)
        now = ctx.clock.now()
        if drained.error is not None:
            again = NotNow(now + ctx.policy.retry_base, f"movements could not be read before it: {drained.error}")
            return {row.id: again for row in rows}
        with ctx.read() as conn:
            return {row.id: _judge(conn, row, policy=ctx.policy, now=now, ahead=drained.ahead) for row in rows}

    def claimed(self, books: Books, row: Push) -> None:
        """Expect the echo before the call can have made it, and give the attempt its mark."""
        wanted = Wanted.of(row)
        believed = item_facts(books.conn, [wanted.external_id], policy=books.policy)[wanted.external_id].believed
        expect_echo(
            books.conn,
            row.id,
            row.tries,
            wanted.external_id,
            new_stock=wanted.new_stock,
            new_cost=wanted.new_cost,
            sent_cost=_marked(books, wanted),
            believed_quantity=believed,
            claimed_seq=last_seq(books.conn),
        )

    def send(self, ctx: Context, rows: Sequence[Push]) -> dict[int, Outcome]:
        """Send one patch. Its answer is not documented: any 2xx that is no error has landed, the echo proves it.

        One that changes nothing needs no proof: there may be no movement of it.
        """
        (row,) = rows
        client = ctx.mpservices_client()
        if client is None:
            raise RetryableError("MPservices is off or paused")
        with ctx.read() as conn:
            expected = expectation(conn, row.id)
        assert expected is not None
        try:
            written = client.update_stock_cost(_body(row, expected))
        except RejectedError as error:
            if error.status is not None and error.status < 300:  # a 2xx proves nothing, a no in it neither
                told = f"MPservices answered {error.status}, and says in it: {error.message}"
                return {row.id: Unclear(told, status=error.status, answered_at=error.answered_at)}
            return {row.id: _refused(row, error)}
        answer = written.answer
        evidence = f"MPservices answered {answer.status}"
        if expected.believed_quantity == expected.new_stock:
            told = f"{evidence} to a patch that leaves the stock as it is believed to be"
            return {row.id: Delivered(told, status=answer.status, answered_at=answer.answered_at)}
        reason = f"{evidence}; its own movement is to prove it"
        return {row.id: Landed(reason, status=answer.status, answered_at=answer.answered_at)}

    def settled(self, ctx: Context, rows: Sequence[Push]) -> None:
        """Read the feed at once: the sooner, the less of people's can stand beside the echo. Failing, a poll does."""
        drain_movements(ctx)

    def verify(self, ctx: Context, row: Push) -> Verdict:
        """Look for the echo in the feed; its absence counts once no call of ours can still land."""
        with ctx.read() as conn:
            verdict = _known(conn, row, policy=ctx.policy)
        if verdict is not None:
            return verdict
        began_at = ctx.clock.now()
        drained = drain_movements(ctx)
        if drained.error is not None:
            return Later(ctx.clock.now() + ctx.policy.retry_base, f"movements could not be read: {drained.error}")
        with ctx.read() as conn:
            verdict = _known(conn, row, policy=ctx.policy)
            if verdict is not None:
                return verdict
            expected = expectation(conn, row.id)
            if expected is not None and expected.landed_as == LANDED:
                return Later(ctx.clock.now() + ECHO_WAIT, "its movement is not in the feed yet")
            certain_at = absence_counts_at(row.last_sent_at or row.created_at, ctx.policy.late_arrival)
            if began_at < certain_at:
                return Later(certain_at, "no movement of it is in the feed yet")
            return _absent(conn, row, "no movement of it is in the feed", policy=ctx.policy)

    def after(self, books: Books, row: Push, to: Transition) -> None:
        """Let the item's state follow what became of its patch."""
        wanted = Wanted.of(row)
        call_ended(books.conn, row.id, row.tries)
        if to.state in ("done", "dead"):
            for made in unsettled_for_entity(books.conn, product_entity(wanted.external_id)):
                check_now(books, made.id)  # it may tell whether the product is there
        if to.state == "unknown":
            if to.outcome == LANDED:
                save_item_state(books.conn, wanted.external_id, {"last_patched_at": books.now})
            return
        if to.state == "done":
            save_item_state(
                books.conn, wanted.external_id, {"mps_unit_cost": wanted.new_cost, "last_patched_at": books.now}
            )
            return
        provably = isinstance(to.cause, NotSent | Refused) or to.outcome == "given_back"
        close_absent(books, row.id, unsent=provably)
        if isinstance(to.cause, Conflict):  # it was taken twice and did nothing: what stock there is, nobody knows
            forget_base(books, wanted.external_id)
        if to.state != "ready":
            mark_dirty(books, [wanted.external_id])


def _marked(books: Books, wanted: Wanted) -> Decimal:
    """Return the cost that the next attempt of an item sends: the wanted one, with a digit that nothing else shows."""
    if not books.policy.cost_mark:
        return without_mark(wanted.new_cost)
    window = books.now - books.policy.window - SKEW_MAX
    shown = [
        per_unit(cost, quantity, cost_is=books.policy.cost_is)
        for cost, quantity in costs_shown(books.conn, wanted.external_id, since=window)
    ]
    return marked(wanted.new_cost, next_mark(shown, costs_sent(books.conn, wanted.external_id, limit=SENT_LOOKED_AT)))


def _body(row: Push, expected: Expected) -> str:
    """Return what is sent: the frozen payload, its cost with the attempt's mark."""
    return json.dumps({**json.loads(row.payload), "new_cost": plain(expected.sent_cost)}, ensure_ascii=False)


def _known(conn: Connection, row: Push, *, policy: Policy) -> Verdict | None:
    """Say what our own tables tell of a patch; None: nothing yet."""
    expected = expectation(conn, row.id)
    if expected is None:
        return None
    landed = expected.landed_as == LANDED
    match expected.outcome:
        case "found":
            evidence = f"its movement {expected.movement_id} is in the feed"
            return Delivered(evidence, remote_ids=(str(expected.movement_id),))
        case "none" if landed:
            return Delivered("MPservices took it, and it changed nothing")
        case "asking" | "several" if landed or shows_mark(conn, expected):
            return Delivered("its cost is in the feed; a follow-up patch tells which movement is its own")
        case "several" if _in_doubt(conn, row, policy=policy):
            return Undecidable("more than one movement may be its echo", "resolve the exception echo_undecided of it")
        case "no_movement":
            return _without_movement(conn, row, expected, policy=policy)
        case _:
            return None


def _without_movement(conn: Connection, row: Push, expected: Expected, *, policy: Policy) -> Verdict:
    """A patch that had to move stock and did not is sent once more; then a person is asked."""
    wanted, retried_at = Wanted.of(row), row.facts.get(RETRIED_AT)
    if retried_at and expected.closed_at and expected.closed_at < datetime.fromisoformat(retried_at):
        return Absent("a person had it sent again")
    if outcomes(conn, row.id).count(NO_MOVEMENT) < NO_MOVEMENTS_MAX:
        return _absent(conn, row, "MPservices took it, and three reads of the feed lack its movement", policy=policy)
    detail = (
        f"MPservices took the stock of {wanted.external_id} ({plain(wanted.new_stock)}) twice, and made no movement of"
        " it: what it has is not known, and nothing is patched"
    )
    hint = (
        f"look up the stock of {wanted.external_id} in MPservices. If it is not {plain(wanted.new_stock)},"
        f" find out why its stock update does nothing, then `mpsync outbox retry {row.id}`; if it is,"
        f" `mpsync outbox resolve {row.id} --done --why TEXT`"
    )
    return Conflict(detail, "patch_without_echo", hint)


def _absent(conn: Connection, row: Push, why: str, *, policy: Policy) -> Verdict:
    newer = _what_changed(conn, row, policy=policy)
    return Absent(why) if newer is None else Obsolete(f"it had no effect, and {newer}")


def _judge(conn: Connection, row: Push, *, policy: Policy, now: datetime, ahead: timedelta | None) -> Preparation:
    wanted = Wanted.of(row)
    creation = _being_created(conn, wanted, policy=policy, now=now)
    if creation is not None:
        return creation
    item = item_facts(conn, [wanted.external_id], policy=policy)[wanted.external_id]
    go = Go({"seen": item.seen} if ahead is None else {"seen": item.seen, CLOCK_AHEAD: ahead.total_seconds()})
    if item.doubtful:
        return NotNow(now + DOUBT_WAIT, "a person must say which movement the item's previous patch made")
    if item.cost_contradicted and not is_of_probe(row):  # what a cost means is what a probe finds out
        return NotNow(now + DOUBT_WAIT, "MPSERVICES_COST_IS is not what MPservices' movements show")
    if item.blocker is not None and not row.facts.keys() & {FOLLOWS, UNDOES}:
        return NotNow(now + DOUBT_WAIT, item.blocker)
    if item.echo_open:
        return NotNow(now + ECHO_WAIT, "the movement of the item's previous patch is not known yet")
    asked = item.question
    if FOLLOWS in row.facts:
        same = asked is not None and (asked.echo_id, max(asked.stock, Decimal(0))) == (
            row.facts[FOLLOWS],
            wanted.new_stock,
        )
        return go if same else Withdraw("what it was to find out is known, or has changed")
    if asked is not None and row.tries == 0:
        return NotNow(now + ECHO_WAIT, "a follow-up patch is to tell which movement the item's previous patch made")
    if item.undecided and asked is None:
        return NotNow(now + ECHO_WAIT, "the movement of the item's previous patch is not known yet")
    changed = _what_changed(conn, row, policy=policy, item=item)
    if changed is not None:
        return Withdraw(changed)
    return go


def _being_created(conn: Connection, wanted: Wanted, *, policy: Policy, now: datetime) -> NotNow | None:
    """Wait while the product is being created. Where that is unknown the patch tells, once no call can still land."""
    for made in unsettled_for_entity(conn, product_entity(wanted.external_id)):
        if made.state in ("ready", "sending"):
            return NotNow(max(made.due_at, now + ECHO_WAIT), "its product is being created")
        if made.state == "unknown" and (tells_at := patch_tells_at(made, policy)) > now:
            return NotNow(tells_at, "it is not known yet whether its product is there")
    return None


def _what_changed(conn: Connection, row: Push, *, policy: Policy, item: ItemFacts | None = None) -> str | None:
    """Return why a patch is not wanted as it stands any more; the ERP's own only yields to a newer one."""
    if is_of_probe(row):
        return None  # an experiment: it rests on nothing, and the patch that takes it back waits behind it
    if any(
        other.id > row.id and other.operation == PATCH_STOCK for other in unsettled_for_entity(conn, row.entity_key)
    ):
        return "a newer patch of the item is waiting"
    if row.facts.get("erp") or FOLLOWS in row.facts:
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
    if not says_no_product(error.message, error.status):
        return Refused(error.message, hint=error.hint, status=error.status, answered_at=error.answered_at)
    hint = (
        f"MPservices has no product {row.item}. If it was renamed there, give the item map its new external id and "
        f"`mpsync outbox discard {row.id} --why TEXT`; if it is to be there, create it or send an ERP document of type "
        f"product, then `mpsync outbox retry {row.id}`"
    )
    return Refused(error.message, "unknown_product", hint, status=error.status, answered_at=error.answered_at)
