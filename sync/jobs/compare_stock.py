"""Stock and cost: which items differ between MPW and MPservices, and the patches that make them equal.

Level-triggered: an item is dirty when an entry or a mapping of it changed, and once a day. A pass
looks at the dirty items only, first in our own tables, then at MPW for those that nothing stands against.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy import Connection

from sync.clients.mpw.client import MpwClient
from sync.database.facts import fact
from sync.database.runs import Counts
from sync.errors import AuthError, MalformedResponseError, RejectedError, RemoteError
from sync.learned.rows import learned
from sync.ledger.books import Books
from sync.ledger.coverage import ISSUANCES, MOVEMENTS, RECEIPTS, caught_up, days_not_read_since, open_gaps
from sync.ledger.entries import last_seq
from sync.ledger.item_states import dirty_items, managed_items, mark_dirty, mark_for_audit, save_item_state
from sync.outbox.machine import PATCH_STOCK, RANK_OTHERS, NewPush
from sync.outbox.rows import add_push, supersede_unsent
from sync.poll.schedule import poll_days_once
from sync.stock.echo.lessons import COST_IS, COST_IS_WRONG
from sync.stock.echo.rows import last_attempts
from sync.stock.echo.tell import settle_all
from sync.stock.facts import changed_items, item_facts, items_of_parts, ledger_of
from sync.stock.mpw_stock import StockRead, read_stock, save_stock_reads, summed
from sync.stock.rows import blocked_reason, is_managed
from sync.stock.rules import (
    COST_JUMP,
    FOLLOWS,
    FUSE,
    Blocked,
    Decision,
    Equal,
    ItemFacts,
    Ledger,
    MpwStock,
    Patch,
    Wait,
    cost_jump,
    cost_of,
    decide,
    follow_up,
    gap_of,
    readiness,
)
from sync.values.dates import DEEP_DAYS
from sync.values.money import plain
from sync.values.policy import Policy
from sync.values.subjects import Subject
from sync.values.systems import MPSERVICES, MPW
from sync.work.context import Context

log = structlog.get_logger("mpsync.stock")

STOCK_SEQ = "stock_seq"
"""The fact that holds up to which ledger entry items were made dirty."""

AUDITS_AT_ONCE = 10
"""The fewest unchanged items that one pass compares again: a few at a time, so that an audit holds nothing up."""

CHUNK = 300
READS_AT_ONCE = 25
"""Items whose stock is read before they are written down, in one transaction."""

CHAIN = 5
"""How many of an item's last patches are shown when its fuse is blown."""

LOOK_AGAIN = timedelta(minutes=15)
"""When to read MPW again about an item that a person must put right there; a new entry of it comes sooner."""

READ_AGAIN = timedelta(minutes=1)
TRY_AGAIN = timedelta(seconds=5)
FAILURES_MAX = 3
"""So many reads that failed: MPW is down, and the pass ends."""

UNREAD_MAX = timedelta(days=2)
"""How long after a push its row may still turn up in MPW's lists, where these cannot be read clean; by then a person
has deleted it."""

KINDS = ("stock_blocked", "unknown_part", "negative_stock", "unknown_cost", FUSE)
"""The exceptions that this flow opens, and resolves itself when their cause is gone."""


@dataclass(frozen=True, slots=True)
class PlannedPatch:
    """A stock patch that would be derived now."""

    route: str
    operation: str
    external_id: str
    entity_key: str
    payload: str
    reason: str
    state: str


@dataclass(frozen=True, slots=True)
class Looked:
    """What one item came to: the facts it rests on, what MPW said, and the decision."""

    item: ItemFacts
    decision: Decision
    reads: tuple[StockRead, ...] = ()
    stock: MpwStock | None = None
    cost: Decimal | None = None  # of one in MPW; None: nothing says
    ledger: Ledger | None = None
    jump: Decimal | None = None  # the cost, of MPservices' unit, that a person is to be asked about


@dataclass(slots=True)
class _Pass:
    """What one pass gathers."""

    counts: Counts = field(default_factory=Counts)
    error: str | None = None
    failures: int = 0
    read_back: set[tuple[str, date]] = field(default_factory=set)


def stock_once(ctx: Context) -> Counts:
    """Compare the dirty items and derive what MPservices should be told; `added` counts new patches.

    Nothing is compared while a source has holes: what people did might be missing from the sum.
    """
    work = _Pass()
    due = ctx.due()
    if due.echoes or due.doubts or due.cost_is_wrong or due.audits or due.behind(STOCK_SEQ):
        note_changes(ctx)
    if not ctx.due().dirty or not _may_compare(ctx):
        return work.counts
    for ids in _dirty(ctx):
        if ctx.stopping() or work.error is not None:
            break
        _compare(ctx, ids, work)
    if work.counts.added:
        log.info("stock.derived", patches=work.counts.added, looked_at=work.counts.seen)
    if work.error is not None:
        log.warning("stock.failed", error=work.error)
    return work.counts


def note_changes(ctx: Context) -> None:
    """Settle what echoes can be settled, and make items dirty whose entries changed or whose audit is due."""
    with ctx.leader_writes() as books:
        settle_all(books)
        if learned(books.conn, MPSERVICES, COST_IS) in (None, books.policy.cost_is):
            told = "MPSERVICES_COST_IS is what the movements show"
            books.resolve_exceptions(COST_IS_WRONG, about=Subject.setting("MPSERVICES_COST_IS"), resolution=told)
        _audit(books)
        seq, last = int(fact(books.conn, STOCK_SEQ) or 0), last_seq(books.conn)
        if last <= seq:
            return
        moved, parts = changed_items(books.conn, seq, last)
        mapped, by_default = items_of_parts(books.conn, parts, policy=books.policy)
        mark_dirty(books, moved | mapped, managed=True)
        mark_dirty(books, by_default - moved - mapped)
        books.note_fact(STOCK_SEQ, str(last))


def _audit(books: Books) -> None:
    """Let a few items be compared of which nothing is new: all of them once in the audit's time, over its rounds.

    People can change a stock in a way that no list shows: a transfer leaves no row in the source warehouse.
    """
    rounds = max(books.policy.audit_every // max(books.policy.poll_recent, timedelta(seconds=1)), 1)
    limit = max(AUDITS_AT_ONCE, -(-managed_items(books.conn) // rounds))
    mark_for_audit(books, before=books.now - books.policy.audit_every, limit=limit)


def plan_stock(ctx: Context) -> list[PlannedPatch]:
    """Return the patches that a pass would derive now, reading MPW but writing nothing.

    Patches that are in the outbox already, held or ready, are not among them.
    """
    client, planned = ctx.mpw_client(), []
    if client is None or not _may_compare(ctx):
        return []
    for ids in _to_plan(ctx):
        with ctx.read() as conn:
            facts = item_facts(conn, ids, policy=ctx.policy)
        for item in facts.values():
            looked = _look(ctx, client, item, _Pass(), read_back=False)
            if looked is None or not isinstance(looked.decision, Patch) or _is_unsent(item, looked.decision):
                continue
            push = _push(item, looked.decision, 0, ctx.policy)
            planned.append(
                PlannedPatch(
                    push.route,
                    push.operation,
                    item.external_id,
                    push.entity_key,
                    push.payload,
                    push.reason,
                    push.state,
                )
            )
    return planned


def _to_plan(ctx: Context) -> Iterator[list[str]]:
    """Yield the dirty items, those included that only the next pass would make dirty."""
    with ctx.read() as conn:
        seq, last = int(fact(conn, STOCK_SEQ) or 0), last_seq(conn)
        moved, parts = changed_items(conn, seq, last)
        mapped, by_default = items_of_parts(conn, parts, policy=ctx.policy)
        managed = set(dirty_items(conn, now=ctx.clock.now(), after="", limit=1_000_000))
        managed |= {item for item in by_default if is_managed(conn, item)}
    ids = sorted(managed | moved | mapped)
    yield from (ids[at : at + CHUNK] for at in range(0, len(ids), CHUNK))


def _may_compare(ctx: Context) -> bool:
    if ctx.policy.route("stock_cost") == "off" or ctx.mpw_client() is None or ctx.mpservices is None:
        return False
    with ctx.read() as conn:
        return caught_up(conn, ctx.policy, ctx.clock.now()) and not open_gaps(conn, MOVEMENTS)


def _dirty(ctx: Context) -> Iterator[list[str]]:
    after = ""
    while True:
        with ctx.read() as conn:
            ids = dirty_items(conn, now=ctx.clock.now(), after=after, limit=CHUNK)
        if not ids:
            return
        yield ids
        after = ids[-1]


def _compare(ctx: Context, ids: Sequence[str], work: _Pass) -> None:
    with ctx.read() as conn:
        facts = item_facts(conn, ids, policy=ctx.policy)
    _ask(ctx, [item for item in facts.values() if follow_up(item) is not None], work)
    against = {item: readiness(facts[item]) for item in ids}
    _note_unready(ctx, facts, against)
    ready = [facts[item] for item in ids if against[item] is None]
    for at in range(0, len(ready), READS_AT_ONCE):
        client = ctx.mpw_client()
        if client is None or ctx.stopping() or work.error is not None:
            return
        looked = [_look(ctx, client, item, work) for item in ready[at : at + READS_AT_ONCE]]
        _write(ctx, [found for found in looked if found is not None], work)


def _ask(ctx: Context, items: Sequence[ItemFacts], work: _Pass) -> None:
    """Derive the follow-ups of patches in question; MPW is not asked about them."""
    if not items:
        return
    with ctx.leader_writes() as books:
        current = item_facts(books.conn, [item.external_id for item in items], policy=books.policy)
        for item in current.values():
            patch = follow_up(item)
            if patch is None or _is_unsent(item, patch):
                continue
            values: dict[str, Any] = {}
            work.counts.added += _derive(books, item, patch, values)
            save_item_state(books.conn, item.external_id, values)


def _note_unready(ctx: Context, facts: dict[str, ItemFacts], against: dict[str, Any]) -> None:
    """Write down what newly blocks items; what only waits costs no write."""
    stopped = {item: why for item, why in against.items() if isinstance(why, (Wait, Blocked))}
    with ctx.read() as conn:
        known = blocked_reason(conn, list(stopped))
    changed = {
        item: why
        for item, why in stopped.items()
        if known.get(item) != (why.reason if isinstance(why, Blocked) else None)
    }
    if not changed:
        return
    with ctx.leader_writes() as books:
        for item, why in changed.items():
            _note_block(books, facts[item], why)


def _look(ctx: Context, client: MpwClient, item: ItemFacts, work: _Pass, *, read_back: bool = True) -> Looked | None:
    """Read MPW about one item and decide; None where it could not be read, and the pass goes on or ends."""
    against = readiness(item)
    if against is not None or item.target is None:
        return None
    work.counts.seen += 1
    try:
        reads = read_stock(client, item.target, now=ctx.clock.now())
    except AuthError as error:
        ctx.pause(MPW, error)
        work.error = error.message
        return None
    except (MalformedResponseError, RejectedError) as error:  # about this item only: the others go on
        return Looked(item, Wait(f"MPW's stock could not be read: {error.message}", ctx.clock.now() + READ_AGAIN))
    except RemoteError as error:
        work.failures += 1
        if work.failures >= FAILURES_MAX:
            work.error = error.message
        return Looked(item, Wait(f"MPW could not be read: {error.message}", ctx.clock.now() + TRY_AGAIN))
    stock, ratio = summed(reads), ctx.policy.cost_jump_ratio
    ledger = _settled(ctx, item, stock, _ledger(ctx, item, work, read_back=read_back), work, read_back=read_back)
    decision = decide(item, stock, ledger, jump_ratio=ratio)
    jump = cost_jump(item, stock, ledger, ratio=ratio)
    if jump is not None and isinstance(decision, Patch):
        kept = f"; its cost by MPW is {plain(jump)}, which is not sent before a person says so ({COST_JUMP})"
        decision = replace(decision, reason=decision.reason + kept)
    return Looked(item, decision, tuple(reads), stock, cost_of(item, stock, ledger), ledger, jump)


def _settled(ctx: Context, item: ItemFacts, stock: MpwStock, ledger: Ledger, work: _Pass, *, read_back: bool) -> Ledger:
    """Tell whether the ledger lacks something of MPW's stock that it did not lack before; its days are read again then.

    A receipt that is keyed in with an earlier date is in the stock at once, and in no day that is read soon. What is
    different for the first time is looked at again a little later: a row may lie between a poll and this reading.
    """
    gap = gap_of(stock, ledger)
    if ledger.unread:
        return replace(ledger, settled=False)
    if stock.missing or item.gap is None or gap == item.gap or gap == 0:
        return ledger
    since = item.gap_since
    if since is None:
        return replace(ledger, settled=False)
    if read_back and not _read_since(ctx, since):
        for source in (RECEIPTS, ISSUANCES):
            with ctx.read() as conn:
                days = days_not_read_since(conn, source, *_span(ctx), since)
            poll_days_once(ctx, source, days)
        ledger = _ledger(ctx, item, work, read_back=read_back)
    return replace(ledger, settled=_read_since(ctx, since))


def _span(ctx: Context) -> tuple[date, date]:
    """Return the first and last day of MPW's lists that are read again for what the ledger lacks."""
    today = ctx.policy.day(ctx.clock.now())
    return max(ctx.policy.start_date, today - timedelta(days=DEEP_DAYS)), today


def _read_since(ctx: Context, instant: datetime) -> bool:
    with ctx.read() as conn:
        return not any(days_not_read_since(conn, source, *_span(ctx), instant) for source in (RECEIPTS, ISSUANCES))


def _ledger(ctx: Context, item: ItemFacts, work: _Pass, *, read_back: bool) -> Ledger:
    """Return what our ledger says of the part, after reading back the days of pushes that it does not show yet."""
    assert item.target is not None
    since, gone_after = ctx.clock.now() - UNREAD_MAX, ctx.policy.void_after
    with ctx.read() as conn:
        ledger = ledger_of(conn, item.target, since=since, gone_after=gone_after)
    days = {(RECEIPTS if kind == "receipt" else ISSUANCES, day) for kind, day in ledger.unread} - work.read_back
    if not days or not read_back:
        return ledger
    for source, day in sorted(days):
        poll_days_once(ctx, source, [day])
    work.read_back |= days
    with ctx.read() as conn:
        return ledger_of(conn, item.target, since=since, gone_after=gone_after)


def _write(ctx: Context, looked: Sequence[Looked], work: _Pass) -> None:
    """Write down the decisions, unless something of an item changed while MPW was being asked about it."""
    if not looked:
        return
    with ctx.leader_writes() as books:
        current = item_facts(books.conn, [found.item.external_id for found in looked], policy=books.policy)
        for found in looked:
            if current[found.item.external_id] != found.item:
                continue  # it stays dirty
            save_stock_reads(books, found.reads)
            work.counts.added += _write_one(books, found)


def _write_one(books: Books, found: Looked) -> int:
    item, decision = found.item, found.decision
    _note_block(books, item, decision)
    values: dict[str, Any] = {"mps_quantity": item.believed, "audited_at": books.now}
    if found.stock is not None and not found.stock.missing:
        values |= {
            "mpw_quantity": found.stock.quantity,
            "mpw_unit_cost": found.stock.unit_cost,
            "mpw_cost": found.cost,
            "mpw_read_at": books.now,
            **_gap(books, found),
        }
        _ask_about_cost(books, found)
    if isinstance(decision, (Wait, Blocked)):
        until = decision.until if isinstance(decision, Wait) else None
        save_item_state(books.conn, item.external_id, {**values, "look_at": until or books.now + LOOK_AGAIN})
        return 0
    added = 0
    if isinstance(decision, Equal):
        _supersede(books, item, why="MPservices has what MPW has")
    elif not _is_unsent(item, decision):
        added = _derive(books, item, decision, values)
    if values.get("gap_since") is not None:  # it is looked at again when its days were read
        save_item_state(books.conn, item.external_id, {**values, "look_at": books.now + READ_AGAIN})
        return added
    save_item_state(books.conn, item.external_id, {**values, "dirty_at": None, "look_at": None})
    return added


def _gap(books: Books, found: Looked) -> dict[str, Any]:
    """Return what is kept of how MPW's stock and its ledger differ."""
    assert found.ledger is not None
    assert found.stock is not None
    if found.ledger.unread:
        return {}
    if found.ledger.settled:
        return {"ledger_gap": gap_of(found.stock, found.ledger), "gap_since": None}
    return {"gap_since": found.item.gap_since or books.now}


def _ask_about_cost(books: Books, found: Looked) -> None:
    """Ask about a cost that jumped; ask no more where it does not."""
    item, subject = found.item, Subject.stock_of(found.item.external_id)
    if found.jump is None and item.cost_asked is not None and found.ledger is not None and found.ledger.settled:
        books.resolve_exceptions(COST_JUMP, about=subject, resolution="MPW's cost is near the last one again")
    if found.jump is not None and found.jump != item.cost_asked and item.cost is not None:
        books.open_exception(
            COST_JUMP,
            about=subject,
            detail=f"the cost of {item.external_id} is {plain(item.cost)} in MPservices and {plain(found.jump)} by MPW,"
            f" beyond a factor of {plain(books.policy.cost_jump_ratio)}: MPservices keeps the old one",
            hint="find out in MPW which is right; `mpsync exceptions resolve ID --apply --why TEXT` sends the new one, "
            "`mpsync exceptions resolve ID --keep --why TEXT` keeps the old one while MPW's stays so",
            facts={"external_id": item.external_id, "cost": plain(found.jump)},
        )


def _derive(books: Books, item: ItemFacts, patch: Patch, values: dict[str, Any]) -> int:
    """Add the patch to the outbox in place of one that was never sent."""
    _supersede(books, item, why="newer values are wanted")
    n = item.patches + 1
    while add_push(books, _push(item, patch, n, books.policy)) is None:
        n += 1  # another item's external id has the same short hash
    values["patches"] = n
    return 1


def _push(item: ItemFacts, patch: Patch, n: int, policy: Policy) -> NewPush:
    short = hashlib.sha256(item.external_id.encode()).hexdigest()[:8]
    fields = {
        "external_id": item.external_id,
        "new_stock": plain(patch.new_stock),
        "new_cost": plain(patch.new_cost),
    }
    asks = item.question is not None
    facts: dict[str, Any] = {"seen": item.seen}
    if item.question is not None:
        facts[FOLLOWS] = item.question.echo_id
    return NewPush(
        route="stock_cost",
        operation=PATCH_STOCK,
        kind=None,
        api_key=f"mpsync-stock-{short}-{n}",
        entity_key=f"mps:{item.external_id}",
        item=item.external_id,
        payload=json.dumps(fields, ensure_ascii=False),
        reason=patch.reason,
        state="ready" if policy.route("stock_cost") == "push" else "held",
        rank=0 if asks else RANK_OTHERS,
        facts=facts,
    )


def _is_unsent(item: ItemFacts, patch: Patch) -> bool:
    """Tell whether the same patch, resting on the same facts, is in the outbox already and was never sent."""
    row = item.patch
    if row is None or row.state not in ("held", "ready"):
        return False
    asked = item.question.echo_id if item.question is not None else None
    same = (row.new_stock, row.new_cost, row.seen, row.follows)
    return same == (patch.new_stock, patch.new_cost, item.seen, asked)


def _supersede(books: Books, item: ItemFacts, *, why: str) -> None:
    if item.patch is not None and item.patch.state in ("held", "ready") and not item.patch.erp:
        supersede_unsent(books, [item.patch.outbox_id], why=why)


def _note_block(books: Books, item: ItemFacts, decision: Decision) -> None:
    """Open the exception of what blocks an item; resolve those of what blocked it before."""
    subject = Subject.stock_of(item.external_id)
    kind = decision.kind if isinstance(decision, Blocked) else None
    was = blocked_reason(books.conn, [item.external_id]).get(item.external_id)
    for other in KINDS:
        if other != kind and was is not None:
            books.resolve_exceptions(other, about=subject, resolution="nothing of the kind stands against it now")
    if isinstance(decision, Blocked) and kind is not None:
        facts = {"external_id": item.external_id}
        detail = decision.reason + (_chain(books.conn, item.external_id) if kind == FUSE else "")
        books.open_exception(kind, about=subject, detail=detail, hint=decision.hint, facts=facts)
    reason = decision.reason if isinstance(decision, Blocked) else None
    if reason != was:
        save_item_state(books.conn, item.external_id, {"blocked_reason": reason})


def _chain(conn: Connection, external_id: str) -> str:
    """Say what the last patches of an item should have moved, and what they did."""
    told = []
    for row in last_attempts(conn, external_id, limit=CHAIN):
        due = "unknown" if row.believed_quantity is None else plain(row.new_stock - row.believed_quantity)
        moved = "made no movement" if row.quantity is None else f"moved {plain(row.quantity)} ({row.movement_id})"
        told.append(f"{row.api_key} to {plain(row.new_stock)} {moved}, {due} was expected")
    return ". The chain, oldest first: " + "; ".join(told) if told else ""
