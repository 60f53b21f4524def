"""From what changed to what is to be pushed. Its cost grows with the change, not with the history."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from sync.database.exceptions import open_exceptions, subject_of
from sync.database.facts import RECONCILED_SEQ, RULES_FINGERPRINT, fact
from sync.database.runs import Counts, end_run, start_run
from sync.inbox.part_rows import mpw_has, places_of
from sync.inbox.refusal_rows import MPW_LEADS, take_back_accepted
from sync.inbox.rows import note_accepted
from sync.inbox.rules import COMMAND_TYPES, PO_APPROVAL, PRODUCT, STOCK_COST
from sync.learned.rows import all_learned
from sync.ledger.books import Books
from sync.ledger.parked import Key, due_parked, park, parked_reason, parked_reasons, unpark
from sync.outbox.asking import KEY_TAKEN, key_taken_hint, key_taken_reason, open_about, void_taken_hint
from sync.outbox.corrections import KINDS as CORRECTABLE
from sync.outbox.corrections import add_correction
from sync.outbox.machine import APPROVE, NewPush
from sync.outbox.rows import Which, add_push, discard, push_by_id, supersede_unsent
from sync.reconcile.commands import (
    CONFIRMED,
    ORDER_UNPRICED,
    UNPRICED_HINT,
    Order,
    covered,
    decide_command,
    is_small,
    policy_approval,
    policy_key,
    unpriced_detail,
)
from sync.reconcile.compare_books import is_to_note, look_at_books, note_books, waiting_events
from sync.reconcile.cost_meaning import note_cost_meaning
from sync.reconcile.item_map import IGNORED, ItemMapping
from sync.reconcile.item_rows import ITEMS_VERSION, load_map, near_item, resolve_items
from sync.reconcile.known_parts import Pair, ask_parts
from sync.reconcile.products import wanted_products
from sync.reconcile.rows import (
    MISSING_PRODUCT,
    changed_events,
    command,
    decided_unpriced,
    first_pushable_seq,
    give_up_unsent,
    hold_again,
    known_parts,
    load_events,
    near_parts,
    note_approval,
    opened_at,
    order_of,
    outdated_refusals,
    policy_rows,
    replace_unsent,
    small_open_orders,
    unsent_events,
    waiting_approvals,
)
from sync.reconcile.rules import (
    DELETES,
    ORDER_CHANGED,
    OUR_EXCEPTIONS,
    UNKNOWN_PART,
    UNMAPPED_ITEM,
    Decision,
    Derive,
    Event,
    Leave,
    NeedsPart,
    Park,
    Part,
    Supersede,
    Taken,
    decide,
    waits_for,
)
from sync.values.names import shown
from sync.values.policy import Policy, Rules
from sync.values.subjects import Subject
from sync.values.systems import MPSERVICES, MPW
from sync.values.todo_kinds import NOT_ASKED
from sync.work.context import Context
from sync.work.observed import run_ends

log = structlog.get_logger("mpsync.reconcile")

BATCH = 1000
"""Events decided in one transaction."""

NOT_ASKED_WAIT = timedelta(minutes=1)
"""The map changed between asking MPW and writing: the next pass asks for the right part."""


ASK_AGAIN = timedelta(minutes=5)
"""MPW could not be asked whether it has the part of an item whose stock the ERP sets."""


@dataclass(slots=True)
class Known:
    """What the rules are told about a batch of events."""

    rules: Rules
    events: dict[Key, Event]
    mappings: dict[str, ItemMapping]
    parts: dict[Pair, Part]


@dataclass(slots=True)
class _Pass:
    """What one pass has done."""

    counts: Counts = field(default_factory=Counts)
    run_id: int | None = None
    near: dict[str, str | None] = field(default_factory=dict)


def reconcile_once(ctx: Context) -> Counts:
    """Derive what is missing at the vendors from all that changed since the last pass.

    `added` counts new pushes, `changed` never-sent ones with new content, `voided` those taken back,
    `quarantined` events that wait for something. A second pass gives none.
    """
    work = _Pass()
    with run_ends(ctx, lambda: work.run_id):
        note_cost_meaning(ctx)
        notice_rules(ctx)
        if ctx.due().behind(RECONCILED_SEQ):
            _reconcile_entries(ctx, work)
        if ctx.due().parked:
            _reconcile_parked(ctx, work)
        if ctx.due().differing:
            _reconcile_differing(ctx, work)
        if ctx.due().approvals:
            _approve_by_policy(ctx, work)
        if ctx.due().refused_products:
            _create_products(ctx, work)
        if ctx.due().waits:
            _settle_exceptions(ctx)
    if work.run_id is not None:
        with ctx.leader_writes() as books:
            end_run(books.conn, work.run_id, now=books.now, counts=work.counts)
    counts = work.counts
    if counts.added or counts.changed or counts.voided:
        log.info("reconcile.derived", **counts.as_dict())
    return counts


# --- a change of the rules ----------------------------------------------------------------


def rules_of(ctx: Context, conn: Connection) -> dict[str, Any]:
    """Return what decides besides the events themselves: all that the rules can read, MPW, and the item map."""
    return _rules(ctx, all_learned(conn), fact(conn, ITEMS_VERSION))


def _rules(ctx: Context, known: Mapping[tuple[str, str], str], items_version: str | None) -> dict[str, Any]:
    rules = _with_learned(ctx.policy, known).fingerprint()
    return {**rules, "mpw": ctx.mpw is not None, "items": int(items_version or 0)}


def in_force(conn: Connection, policy: Policy) -> Policy:
    """Return the settings with what has been learnt of MPW since: together they are what the rules go by."""
    return _with_learned(policy, all_learned(conn))


def _with_learned(policy: Policy, known: Mapping[tuple[str, str], str]) -> Policy:
    longest = known.get((MPW, "description_max"))
    return replace(
        policy,
        description_max=None if longest is None else int(longest),
        fractions_refused=known.get((MPW, "fractions_taken")) == "no",
    )


def notice_rules(ctx: Context) -> bool:
    """Look at everything since the go-live again when a setting, a learnt fact or the item map has changed."""
    due = ctx.due()
    before = json.loads(due.facts.get(RULES_FINGERPRINT) or "null")
    if _rules(ctx, due.learned, due.facts.get(ITEMS_VERSION)) == before:
        return False
    with ctx.leader_writes() as books:
        rules = rules_of(ctx, books.conn)
        books.note_fact(RULES_FINGERPRINT, json.dumps(rules, sort_keys=True))
        if before is None:
            return True
        first = first_pushable_seq(books.conn, books.policy.day(books.policy.push_from))
        seq = int(fact(books.conn, RECONCILED_SEQ) or 0)
        if first is not None and first <= seq:
            books.note_fact(RECONCILED_SEQ, str(first - 1))
        hold_again(books.conn, _no_longer_pushed(before, books.policy))
        books.look_again(unsent_events(books.conn), reason="the rules changed")
        books.look_again_at_all()
    return True


def _no_longer_pushed(before: Mapping[str, Any], policy: Policy) -> list[str]:
    return [route for route, mode in before["routes"].items() if mode == "push" and policy.route(route) != "push"]


# --- events -------------------------------------------------------------------------------


def _reconcile_entries(ctx: Context, work: _Pass) -> None:
    """Decide the events of new entries, batch by batch; each batch and its place in the ledger are one transaction."""
    while not ctx.stopping():
        with ctx.read() as conn:
            before = int(fact(conn, RECONCILED_SEQ) or 0)
            changed = changed_events(conn, before, BATCH)
        if changed.seq == before:
            return
        decided = _look(ctx, changed.keys)
        with ctx.leader_writes() as books:
            if int(fact(books.conn, RECONCILED_SEQ) or 0) != before:
                continue  # the rules changed meanwhile, or somebody else was here
            _begin(books, work, len(changed.keys))
            _apply(books, ctx, decided, work)
            books.note_fact(RECONCILED_SEQ, str(changed.seq))


def _reconcile_parked(ctx: Context, work: _Pass) -> None:
    """Decide again what waited and is due; whatever still waits gets a later due time, after this pass."""
    began = ctx.clock.now()
    while not ctx.stopping():
        with ctx.read() as conn:
            keys = due_parked(conn, now=began, limit=BATCH)
        if not keys:
            return
        events = [key for key in keys if key[0] not in COMMAND_TYPES]
        decided = _look(ctx, events)
        failed = _ask_for_items(ctx, [key for key in keys if key[0] == STOCK_COST])
        with ctx.leader_writes() as books:
            _begin(books, work, len(keys))
            _apply(books, ctx, decided, work)
            for key in keys:
                if key[0] in COMMAND_TYPES:
                    _apply_command(books, key, work, failed)


def _reconcile_differing(ctx: Context, work: _Pass) -> None:
    """Look again at events whose books differed while a push of theirs was under way, and has ended."""
    with ctx.read() as conn:
        keys = waiting_events(conn, limit=BATCH)
    busy, parts = _look(ctx, keys) if keys else ([], {})
    if busy:
        with ctx.leader_writes() as books:
            _begin(books, work, len(busy))
            _apply(books, ctx, (busy, parts), work)


def _look(ctx: Context, keys: Sequence[Key]) -> tuple[list[Key], dict[Pair, Part]]:
    """Ask MPW what deciding these events needs; return those that anything is to be done for, and the answers."""
    with ctx.read() as conn:
        known = load_known(conn, ctx, keys)
    needed = needed_parts(ctx, known)
    asked = with_ages(ctx, ask_parts(ctx, needed)) if needed else {}
    known.parts |= asked
    decisions = decide_all(ctx, known)
    with ctx.read() as conn:
        apart = look_at_books(conn, known.events, decisions, known.mappings)
    busy = [key for key, one in decisions.items() if _acts(one, known.events[key]) or is_to_note(apart[key])]
    return busy, known.parts


def load_known(conn: Connection, ctx: Context, keys: Sequence[Key]) -> Known:
    """Load what deciding these events takes, but for what MPW has yet to be asked."""
    return known_of(conn, ctx, load_events(conn, keys))


def known_of(conn: Connection, ctx: Context, events: dict[Key, Event]) -> Known:
    """Add the item map and what is known of the parts to events."""
    origins = [event.origin for event in events.values() if event.origin is not None]
    items = {origin.item for origin in origins if origin.system != "erp"}
    items |= {event.item for event in events.values() if event.item is not None}
    mappings = resolve_items(conn, items, default_warehouse=ctx.policy.warehouse)
    pairs = {(mapping.warehouses[0], mapping.part_number) for mapping in mappings.values() if mapping.warehouses}
    pairs |= {(origin.warehouse or "", origin.item) for origin in origins if origin.system == "erp"}
    ages = opened_at(conn, UNKNOWN_PART)
    parts = known_parts(conn, pairs, now=ctx.clock.now())
    near = near_parts(conn, (pair[1] for pair, part in parts.items() if part.state == "absent"))
    aged = {pair: _aged(pair, part, ages, near) for pair, part in parts.items()}
    return Known(in_force(conn, ctx.policy), events, mappings, aged)


def needed_parts(ctx: Context, known: Known) -> set[Pair]:
    """Return the (warehouse, part number)s that MPW must be asked for before all of these can be decided."""
    decisions = decide_all(ctx, known).values()
    return {(one.warehouse, one.part_number) for one in decisions if isinstance(one, NeedsPart)}


def with_ages(ctx: Context, parts: Mapping[Pair, Part]) -> dict[Pair, Part]:
    """Add to parts that are missing since when we know it: the older, the later they are asked for again."""
    with ctx.read() as conn:
        ages = opened_at(conn, UNKNOWN_PART)
        near = near_parts(conn, (pair[1] for pair, part in parts.items() if part.state == "absent"))
    return {pair: _aged(pair, part, ages, near) for pair, part in parts.items()}


def _aged(pair: Pair, part: Part, ages: Mapping[Subject, Any], near: Mapping[str, str]) -> Part:
    if part.state != "absent":
        return part
    return replace(part, since=ages.get(Subject.item(f"{pair[1]} in {pair[0]}")), near=near.get(pair[1]))


def decide_all(ctx: Context, known: Known) -> dict[Key, Decision]:
    """Ask the rules about every event of a batch."""
    now = ctx.clock.now()
    return {
        key: decide(event, policy=known.rules, now=now, mappings=known.mappings, parts=known.parts)
        for key, event in known.events.items()
    }


def _acts(decision: Decision, event: Event) -> bool:
    return not isinstance(decision, Leave) or event.parked is not None


def _apply(books: Books, ctx: Context, looked: tuple[list[Key], dict[Pair, Part]], work: _Pass) -> None:
    """Decide again on what the database says now, with what MPW said a moment ago, and write it down."""
    keys, answers = looked
    known = load_known(books.conn, ctx, keys)
    known.parts = {**known.parts, **answers}
    decisions = decide_all(ctx, known)
    again = [key for key, decision in decisions.items() if _is_wanted_again(known.events[key], decision)]
    if again:
        for kind, api_key in again:
            add_correction(books, kind, api_key)
        known.events |= load_events(books.conn, again)
        decisions = decide_all(ctx, known)
    for key, decision in decisions.items():
        _write(books, known.events[key], decision, work)
    note_books(books, look_at_books(books.conn, known.events, decisions, known.mappings))


def _is_wanted_again(event: Event, decision: Decision) -> bool:
    """Tell whether a movement is to be posted whose push was taken back: that one is final, so it takes the next key.

    What the ERP sent keeps the key that the ERP knows it by.
    """
    row = decision.instead if isinstance(decision, Derive) else None
    if row is None or row.state != "superseded" or event.kind not in CORRECTABLE:
        return False
    return event.origin is not None and event.origin.system == MPSERVICES


def _write(books: Books, event: Event, decision: Decision, work: _Pass) -> None:
    key = (event.kind, event.api_key)
    item = event.origin.item if event.origin is not None and event.origin.system == MPSERVICES else None
    match decision:
        case Derive():
            _derive(books, decision, work)
        case Taken():
            work.counts.added += _key_taken(books, decision)
        case Supersede():
            work.counts.voided += supersede_unsent(books, [decision.row.id], why=decision.why, fence=decision.row.fence)
            if event.void_wanted and event.mpw_live:  # what MPW has under the key comes next, without the push
                decision = Park("its push was withdrawn, and MPW has something under its key", books.now)
                _wait(books, key, decision, work, item=item)
        case NeedsPart():
            decision = Park("MPW has not been asked for its part yet", books.now + NOT_ASKED_WAIT)
            _wait(books, key, decision, work, item=item)
        case Park():
            if decision.withdraw is not None:
                row = decision.withdraw
                supersede_unsent(books, [row.id], why=decision.reason, fence=row.fence)
            _wait(books, key, decision, work, item=item)
        case Leave():
            pass
    if event.parked is not None and not isinstance(decision, Park):
        unpark(books.conn, key)


def _derive(books: Books, decision: Derive, work: _Pass) -> None:
    if decision.instead is not None:
        work.counts.changed += replace_unsent(books, decision.instead, decision.push)
    elif add_push(books, decision.push) is not None:
        work.counts.added += 1


def _key_taken(books: Books, decision: Taken) -> int:
    """Give up a document whose key has something else in MPW; return 1 where it is new in the outbox."""
    reason = key_taken_reason(decision.detail)
    outbox_id = give_up_unsent(books, decision.push, decision.instead, reason=reason)
    row = push_by_id(books.conn, outbox_id) if outbox_id is not None else None
    if row is None:
        return 0
    hint = void_taken_hint(row.id) if row.operation in DELETES.values() else key_taken_hint(row.id)
    open_about(books, row, KEY_TAKEN, reason, hint=hint)
    return int(decision.instead is None)


def _wait(books: Books, key: Key, decision: Park, work: _Pass, *, item: str | None = None) -> None:
    """Park what waits, and ask a person where it needs one. `item`: MPservices', which may be misspelt."""
    park(books.conn, key, reason=decision.reason, due_at=decision.due_at)
    work.counts.quarantined += 1
    if decision.kind is None or decision.subject is None:
        return
    detail, hint = decision.detail, decision.hint
    if decision.kind in (UNMAPPED_ITEM, UNKNOWN_PART) and item is not None:
        if item not in work.near:
            work.near[item] = near_item(books.conn, item)
        near = work.near[item]
        if near is not None:
            detail += f"; the item map has {shown(near)}"
            hint = (
                f"if {shown(near)} is meant, write {shown(item)} in its place in the item map, as MPservices "
                f"shows it (`mpsync items import FILE`), or correct it in MPservices; else {hint}"
            )
    books.open_exception(decision.kind, about=decision.subject, detail=detail, hint=hint)


def _begin(books: Books, work: _Pass, seen: int) -> None:
    """Count what is looked at; a pass that looks at nothing leaves no run behind."""
    if seen and work.run_id is None:
        work.run_id = start_run(books.conn, "reconcile", now=books.now)
    work.counts.seen += seen


# --- commands -----------------------------------------------------------------------------


def _ask_for_items(ctx: Context, keys: Sequence[Key]) -> dict[str, str]:
    """Ask MPW for the parts of the items whose stock the ERP sets; return why it could not be asked, by external id."""
    if not keys or ctx.mpw is None:
        return {}
    with ctx.read() as conn:
        found = (command(conn, key) for key in keys)
        wanted = {one.text("external_id") for one in found if one is not None}
        places = places_of(conn, wanted, default_warehouse=ctx.policy.warehouse)
        pairs = {pair for own in places.values() for pair in own}
        known = known_parts(conn, pairs, now=ctx.clock.now())
    asked = ask_parts(ctx, pairs - known.keys())
    return {
        item: asked[pair].detail or "no answer"
        for item, own in places.items()
        for pair in own
        if pair in asked and asked[pair].state == "failed"
    }


def _apply_command(books: Books, key: Key, work: _Pass, failed: Mapping[str, str]) -> None:
    document = command(books.conn, key)
    if document is None:
        unpark(books.conn, key)
        return
    if document.type in (STOCK_COST, PRODUCT):
        mapping = load_map(books.conn, [document.text("external_id")]).get(document.text("external_id"))
        if mapping is not None and mapping.ignored:
            note_accepted(books.conn, document, f"nothing was sent: {IGNORED}")
            unpark(books.conn, key)
            return
    if document.type == STOCK_COST:
        item = document.text("external_id")
        if mpw_has(books.conn, [item], default_warehouse=books.policy.warehouse):
            take_back_accepted(books, document, why=MPW_LEADS)
            unpark(books.conn, key)
            return
        if item in failed:
            wait = Park(f"{NOT_ASKED} for its part: {failed[item]}", books.now + ASK_AGAIN)
            _wait(books, key, wait, work)
            return
    number = str(document.fields.get("purchase_order_number", ""))
    order = order_of(books.conn, number) if document.type == PO_APPROVAL else None
    waited = bool(number) and parked_reason(books.conn, key) == waits_for(ORDER_CHANGED, Subject.order(number))
    settled = waited and Subject.order(number) not in opened_at(books.conn, ORDER_CHANGED)
    decision = decide_command(document, policy=books.policy, now=books.now, order=order, settled_by_person=settled)
    if isinstance(decision, Park):
        _wait(books, key, decision, work)
        if decision.kind == ORDER_CHANGED:
            note_approval(books.conn, number, "exception")
        return
    if isinstance(decision, Derive):
        _derive(books, decision, work)
    if document.type == PO_APPROVAL:
        agreed = "the order is as approved now"
        books.resolve_exceptions(ORDER_CHANGED, about=Subject.order(number), resolution=agreed)
        if isinstance(decision, Leave):
            note_accepted(books.conn, document, f"no approval was sent: {decision.why}")
        note_approval(books.conn, number, "wanted" if isinstance(decision, Derive) else None if settled else "done")
    unpark(books.conn, key)


# --- approvals by policy ------------------------------------------------------------------


def _approve_by_policy(ctx: Context, work: _Pass) -> None:
    with ctx.read() as conn:
        stale, fresh = _stale_approvals(conn, ctx), approvals_by_policy(conn, ctx)
        told = _is_asked_otherwise(conn, ctx)
    if not stale and not fresh and not told:
        return
    with ctx.leader_writes() as books:
        _begin(books, work, len(stale) + len(fresh))
        _ask_about_unpriced(books, ctx)
        for row, number in _stale_approvals(books.conn, ctx):
            why = "the order changed, or is too large by now"
            work.counts.voided += supersede_unsent(books, [row.id], why=why, fence=row.fence)
            note_approval(books.conn, number, None)
        for push in approvals_by_policy(books.conn, ctx):
            if add_push(books, push) is not None:
                work.counts.added += 1
            note_approval(books.conn, push.entity_key.removeprefix("po:"), "wanted")


def approvals_by_policy(conn: Connection, ctx: Context) -> list[NewPush]:
    """Return the approvals that SYNC_APPROVE_UP_TO makes of orders that nobody has given an approval yet."""
    said = decided_unpriced(conn)
    orders = [one for one in _orders_by_policy(conn, ctx) if one.unpriced is None or _is_confirmed(one, said)]
    earlier = policy_rows(conn, [order.number for order in orders])
    return [
        policy_approval(order, api_key=policy_key(order.number, len(earlier.get(order.number, ()))), policy=ctx.policy)
        for order in orders
        if all(row.state == "superseded" for row in earlier.get(order.number, ()))
    ]


def orders_to_ask_about(conn: Connection, ctx: Context) -> list[Order]:
    """Return the orders that the policy would approve if their prices said what they cost, and nobody has decided."""
    said = decided_unpriced(conn)
    orders = [
        one
        for one in _orders_by_policy(conn, ctx)
        if one.unpriced is not None and said.get(one.number, ("", ""))[0] != one.terms_digest
    ]
    earlier = policy_rows(conn, [order.number for order in orders])
    return [one for one in orders if all(row.state == "superseded" for row in earlier.get(one.number, ()))]


def _is_confirmed(order: Order, said: Mapping[str, tuple[str, str]]) -> bool:
    return said.get(order.number) == (order.terms_digest, CONFIRMED)


def _priced_by_now(conn: Connection, ctx: Context) -> list[str]:
    """Return the orders of which a person was asked, and that the policy would not ask about any more."""
    over = []
    for row in open_exceptions(conn, kind=ORDER_UNPRICED):
        order = order_of(conn, row.subject)
        asks = ctx.policy.approve_up_to is not None and ctx.policy.route("approvals") != "off"
        if order is None or order.unpriced is None or not asks or not is_small(order, policy=ctx.policy):
            over.append(row.subject)
    return over


def _is_asked_otherwise(conn: Connection, ctx: Context) -> bool:
    """Tell whether there is anything new to ask about orders, or to ask no more."""
    asked = {row.subject: json.loads(row.facts) for row in open_exceptions(conn, kind=ORDER_UNPRICED)}
    news = [one for one in orders_to_ask_about(conn, ctx) if asked.get(one.number) != _facts_of_unpriced(one)]
    return bool(news or _priced_by_now(conn, ctx))


def _facts_of_unpriced(order: Order) -> dict[str, Any]:
    return {"number": order.number, "terms_digest": order.terms_digest, "why": order.unpriced}


def _ask_about_unpriced(books: Books, ctx: Context) -> None:
    for number in _priced_by_now(books.conn, ctx):
        told = "its prices say what it costs now, or the policy does not ask about it any more"
        books.resolve_exceptions(ORDER_UNPRICED, about=Subject.order(number), resolution=told)
    for order in orders_to_ask_about(books.conn, ctx):
        about, facts = Subject.order(order.number), _facts_of_unpriced(order)
        books.open_exception(
            ORDER_UNPRICED, about=about, detail=unpriced_detail(order), hint=UNPRICED_HINT, facts=facts
        )


def _orders_by_policy(conn: Connection, ctx: Context) -> list[Order]:
    """Return the orders that SYNC_APPROVE_UP_TO covers, whatever their prices say."""
    policy, now = ctx.policy, ctx.clock.now()
    if policy.approve_up_to is None or policy.route("approvals") == "off" or not ctx.is_timely():
        return []  # how long an order has been unchanged is told by the clock, and an approval cannot be undone
    orders = small_open_orders(
        conn,
        up_to=policy.approve_up_to,
        since=policy.day(policy.push_from),
        unchanged_since=now - policy.approve_after,
    )
    return [order for order in orders if covered(order, policy=policy, now=now)]


def _stale_approvals(conn: Connection, ctx: Context) -> list[tuple[Any, str]]:
    """Return the policy's own approvals that were never sent and whose order is no longer what they approve."""
    stale, said = [], decided_unpriced(conn)
    for row, facts in waiting_approvals(conn):
        if row.operation != APPROVE or not facts.get("policy"):
            continue
        order = order_of(conn, row.entity_key.removeprefix("po:"))
        if order is None:
            continue
        same = order.terms_digest == facts.get("terms_digest")
        priced = order.unpriced is None or _is_confirmed(order, said)
        if not same or not priced or not covered(order, policy=ctx.policy, now=ctx.clock.now()):
            stale.append((row, order.number))
    return stale


# --- products that MPservices lacks -------------------------------------------------------


def _create_products(ctx: Context, work: _Pass) -> None:
    wanted = wanted_products(ctx)
    with ctx.read() as conn:
        outdated = outdated_refusals(conn)
    if not wanted.pushes and not wanted.waiting and not outdated:
        return
    with ctx.leader_writes() as books:
        if outdated:
            why = "its product was created since, and a later patch of it is done"
            discard(books, Which(ids=outdated), by="mpsync", why=why)
        _begin(books, work, len(wanted.pushes))
        for push in wanted.pushes:
            _derive(books, Derive(push), work)
            unpark(books.conn, (MISSING_PRODUCT, str(push.item)))
        for external_id, waits in wanted.waiting.items():
            _wait(books, (MISSING_PRODUCT, external_id), waits, work)


# --- exceptions ---------------------------------------------------------------------------

_SETTLED = {
    "unmapped_item": "the item has a part now, or nothing waits for it any more",
    "unknown_part": "MPW knows the part now, or nothing waits for it any more",
    "fractional_issuance": "it may be sent now, or is no longer wanted",
    "odd_date": "its date is near enough now, or is no longer wanted",
    "odd_quantity": "its quantity is right now, or it is no longer wanted",
    "product_incomplete": "its unit is known now, or the product is no longer wanted",
    "setting_missing": "the setting is there now, or nothing waits for it any more",
}


def _settle_exceptions(ctx: Context) -> None:
    """Resolve the exceptions of reconcile's own kinds that nothing waits for any more."""
    with ctx.read() as conn:
        settled = _settled(conn)
    if not settled:
        return
    with ctx.leader_writes() as books:
        for kind, subject in _settled(books.conn):
            books.resolve_exceptions(kind, about=subject, resolution=_SETTLED[kind])


def _settled(conn: Connection) -> list[tuple[str, Subject]]:
    """Return what nothing waits for any more; those about an item's stock are for the one who opened them."""
    own = [(row.kind, subject_of(row)) for row in open_exceptions(conn) if _is_ours(row)]
    if not own:
        return []
    reasons = parked_reasons(conn)
    return [(kind, subject) for kind, subject in own if waits_for(kind, subject) not in reasons]


def _is_ours(row: Row[Any]) -> bool:
    return row.kind in OUR_EXCEPTIONS and "external_id" not in json.loads(row.facts)
