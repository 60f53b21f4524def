"""What would be pushed now, and why: the rules that reconcile and stock follow, and nothing is written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from decimal import Decimal

from sqlalchemy import Connection

from sync.clients.mpw.client import MpwClient
from sync.database.facts import RECONCILED_SEQ, RULES_FINGERPRINT, fact
from sync.errors import RemoteError
from sync.inbox.part_rows import mpw_has, places_of
from sync.inbox.refusal_rows import MPW_LEADS
from sync.inbox.rows import entries_of, received_rows
from sync.inbox.rules import COMMAND_TYPES, PO_APPROVAL, PRODUCT, STOCK_COST, VOID, ErpDocument, read_document
from sync.inbox.take_in import Judge
from sync.jobs.compare_stock import plan_stock
from sync.ledger.parked import Key, parked_keys
from sync.outbox.asking import key_taken_reason
from sync.outbox.machine import POST_ISSUANCE, POST_TRANSFER, NewPush
from sync.outbox.rows import Which, find_pushes
from sync.reconcile.commands import decide_command, unpriced_detail
from sync.reconcile.derive import (
    BATCH,
    Known,
    approvals_by_policy,
    decide_all,
    known_of,
    load_known,
    needed_parts,
    orders_to_ask_about,
    rules_of,
    with_ages,
)
from sync.reconcile.item_rows import load_map
from sync.reconcile.known_parts import ask_parts
from sync.reconcile.products import wanted_products
from sync.reconcile.rows import (
    changed_events,
    command,
    first_pushable_seq,
    known_parts,
    load_events,
    order_of,
    unsent_events,
)
from sync.reconcile.rules import Derive, Event, Origin, Park, Supersede, Taken
from sync.stock.mpw_stock import read_stock
from sync.stock.rules import Target
from sync.values.money import fixed, plain
from sync.work.context import Context

INBOX_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Planned:
    """A push that is to come, or the reason why an event waits.

    `state`: `held` and `ready` (`new` ones are not in the outbox yet), `waiting` (for what `why` says),
    `withdrawn` (never sent, and not wanted any more) or `refused` (a document of the ERP's that will be rejected).
    """

    state: str
    new: bool
    route: str | None
    operation: str | None
    kind: str | None
    api_key: str
    item: str | None
    why: str
    payload: str | None = None

    def as_dict(self) -> dict[str, object]:
        """Return it for a report."""
        return asdict(self)


def plan_once(ctx: Context) -> list[Planned]:
    """Return the pushes that a cycle would make now, without its polling: those in the outbox, then new ones.

    Reads MPW to see whether it knows the parts, and what stock it has; writes nothing anywhere.
    """
    planned = _in_outbox(ctx)
    taken: set[Key] = set()
    for known in _pending(ctx, taken):
        planned.extend(_decided(ctx, known))
    had = _had_by_mpw(ctx)
    with ctx.read() as conn:
        planned.extend(_commands(conn, ctx, had))
        planned.extend(_new(push) for push in approvals_by_policy(conn, ctx))
        planned.extend(
            Planned("waiting", True, "approvals", None, None, "", None, unpriced_detail(order))
            for order in orders_to_ask_about(conn, ctx)
        )
    planned.extend(_products(ctx))
    planned.extend(
        Planned(
            patch.state, True, patch.route, patch.operation, None, "", patch.external_id, patch.reason, patch.payload
        )
        for patch in plan_stock(ctx)
    )
    return _with_shortages(ctx, planned)


def _with_shortages(ctx: Context, planned: list[Planned]) -> list[Planned]:
    """Say of what takes from MPW's stock where there is too little, in the order in which it would go."""
    takes = [(one, _take_of(one)) for one in planned]
    client, left = ctx.mpw_client(), dict[tuple[str, str], Decimal | None]()
    shown = []
    for one, take in takes:
        if take is None or client is None:
            shown.append(one)
            continue
        part, warehouse, quantity = take
        if (part, warehouse) not in left:
            left[part, warehouse] = _stock_of(ctx, client, part, warehouse)
        held = left[part, warehouse]
        if held is None or held >= quantity:
            left[part, warehouse] = None if held is None else held - quantity
            shown.append(one)
            continue
        why = f"{one.why}; MPW has {plain(held)} in {warehouse} left for it: it would not be posted"
        shown.append(replace(one, why=why))
    return shown


def _take_of(one: Planned) -> tuple[str, str, Decimal] | None:
    """Return part, warehouse and quantity of a push that takes from MPW's stock."""
    if one.operation not in (POST_ISSUANCE, POST_TRANSFER) or one.payload is None or one.state not in ("held", "ready"):
        return None
    fields = json.loads(one.payload, parse_float=Decimal)
    return str(fields.get("part_number")), str(fields.get("warehouse_name")), fixed(fields["quantity"])


def _stock_of(ctx: Context, client: MpwClient, part: str, warehouse: str) -> Decimal | None:
    """Return what MPW has of a part in a warehouse; None: it does not know it there, or cannot be asked."""
    try:
        (read,) = read_stock(client, Target(part, (warehouse,), Decimal(1)), now=ctx.clock.now())
    except RemoteError:
        return None
    return read.quantity if read.found else None


def _in_outbox(ctx: Context) -> list[Planned]:
    with ctx.read() as conn:
        rows = [row for state in ("held", "ready") for row in find_pushes(conn, Which(state=state))]
    return [
        Planned(
            row.state, False, row.route, row.operation, row.kind, row.api_key, row.item, row.reason or "", row.payload
        )
        for row in rows
    ]


def _pending(ctx: Context, taken: set[Key]) -> Iterator[Known]:
    """Yield events that a pass would look at, in batches: of new entries, waiting ones, and those in the inbox."""
    for keys in _batches(ctx, taken):
        with ctx.read() as conn:
            known = load_known(conn, ctx, keys)
        yield _asked(ctx, known)
    with ctx.read() as conn:
        events = _of_inbox(conn, ctx)
        known = known_of(conn, ctx, events)
    if events:
        yield _asked(ctx, known)


def _asked(ctx: Context, known: Known) -> Known:
    needed = needed_parts(ctx, known)
    if needed:
        known.parts |= with_ages(ctx, ask_parts(ctx, needed, store=False))
    return known


def _batches(ctx: Context, taken: set[Key]) -> Iterator[list[Key]]:
    with ctx.read() as conn:
        waiting = [key for key in parked_keys(conn) if key[0] not in COMMAND_TYPES]
        if _rules_changed(ctx, conn):
            waiting += unsent_events(conn)
        seq = _start(conn, ctx)
    for start in range(0, len(waiting), BATCH):
        yield _fresh(waiting[start : start + BATCH], taken)
    while True:
        with ctx.read() as conn:
            changed = changed_events(conn, seq, BATCH)
        if changed.seq == seq:
            return
        yield _fresh(changed.keys, taken)
        seq = changed.seq


def _fresh(keys: Sequence[Key], taken: set[Key]) -> list[Key]:
    new = [key for key in dict.fromkeys(keys) if key not in taken]
    taken.update(new)
    return new


def _rules_changed(ctx: Context, conn: Connection) -> bool:
    before = json.loads(fact(conn, RULES_FINGERPRINT) or "null")
    return before is not None and before != rules_of(ctx, conn)


def _start(conn: Connection, ctx: Context) -> int:
    """Return the seq from which a pass would look: further back where the rules have changed."""
    seq = int(fact(conn, RECONCILED_SEQ) or 0)
    if not _rules_changed(ctx, conn):
        return seq
    first = first_pushable_seq(conn, ctx.policy.day(ctx.policy.push_from))
    return seq if first is None else min(seq, first - 1)


def _decided(ctx: Context, known: Known) -> Iterator[Planned]:
    for key, decision in decide_all(ctx, known).items():
        match decision:
            case Derive():
                yield _new(decision.push)
            case Park():
                yield Planned("waiting", True, None, None, key[0], key[1], None, decision.detail or decision.reason)
            case Taken():
                push, why = decision.push, key_taken_reason(decision.detail)
                yield Planned("dead", True, push.route, push.operation, push.kind, push.api_key, push.item, why)
            case Supersede():
                yield Planned("withdrawn", False, None, decision.row.operation, *key, decision.row.item, decision.why)
            case _:
                pass


def _new(push: NewPush) -> Planned:
    return Planned(
        push.state, True, push.route, push.operation, push.kind, push.api_key, push.item, push.reason, push.payload
    )


def _command_documents(conn: Connection, ctx: Context) -> list[ErpDocument]:
    found = [command(conn, key) for key in parked_keys(conn) if key[0] in COMMAND_TYPES]
    found += [one for one in _inbox_documents(conn, ctx) if one.type in COMMAND_TYPES]
    return [one for one in found if one is not None]


def _had_by_mpw(ctx: Context) -> set[str]:
    """Return the items that the ERP would set the stock of, and that are parts of MPW's, which is asked."""
    with ctx.read() as conn:
        items = {one.text("external_id") for one in _command_documents(conn, ctx) if one.type == STOCK_COST}
        places = places_of(conn, items, default_warehouse=ctx.policy.warehouse)
        had = mpw_has(conn, items, default_warehouse=ctx.policy.warehouse)
        pairs = {pair for item, own in places.items() if item not in had for pair in own}
        known = known_parts(conn, pairs, now=ctx.clock.now())
    if ctx.mpw is not None and pairs:
        known |= ask_parts(ctx, pairs - known.keys(), store=False)
    return had | {
        item for item, own in places.items() if any(pair in known and known[pair].state == "found" for pair in own)
    }


def _commands(conn: Connection, ctx: Context, had: set[str]) -> Iterator[Planned]:
    """Yield the ERP's commands that wait, or are still in the inbox. `had`: items that are parts of MPW's."""
    documents = _command_documents(conn, ctx)
    ignored = {item for item, mapping in load_map(conn).items() if mapping.ignored} if documents else set()
    now = ctx.clock.now()
    for document in documents:
        if document.type in (STOCK_COST, PRODUCT) and document.text("external_id") in ignored:
            continue
        if document.type == STOCK_COST and document.text("external_id") in had:
            item = document.text("external_id")
            yield Planned("refused", True, None, None, document.type, document.api_key, item, MPW_LEADS)
            continue
        number = str(document.fields.get("purchase_order_number", ""))
        order = order_of(conn, number) if document.type == PO_APPROVAL else None
        decision = decide_command(document, policy=ctx.policy, now=now, order=order)
        if isinstance(decision, Derive):
            yield _new(decision.push)
        elif isinstance(decision, Park):
            why = decision.detail or decision.reason
            yield Planned("waiting", True, None, None, document.type, document.api_key, None, why)


def _products(ctx: Context) -> Iterator[Planned]:
    wanted = wanted_products(ctx)
    yield from (_new(push) for push in wanted.pushes)
    for external_id, waits in wanted.waiting.items():
        yield Planned("waiting", True, "products", None, None, "", external_id, waits.detail)


def _inbox_documents(conn: Connection, ctx: Context) -> list[ErpDocument]:
    """Return the documents in the inbox that would be accepted as new."""
    read = [read_document(row.document_type, row.api_key, row.payload) for row in received_rows(conn, INBOX_MAX)]
    judge = Judge.of(conn, read, ctx.policy.warehouse)
    verdicts = [judge.decide(one) for one in read]
    return [verdict.document for verdict in verdicts if verdict.new and verdict.document is not None]


def _of_inbox(conn: Connection, ctx: Context) -> dict[Key, Event]:
    """Return the events that the inbox would make, as if they were in the ledger."""
    documents = _inbox_documents(conn, ctx)
    moves = {(one.type, one.api_key): one for one in documents if one.type not in (*COMMAND_TYPES, VOID)}
    voids = {(one.text("kind"), one.api_key) for one in documents if one.type == VOID}
    events = load_events(conn, [*moves, *(key for key in voids if key not in moves)])
    today = ctx.policy.day(ctx.clock.now())
    return {
        key: _with_document(event, moves.get(key), voided=key in voids, today=today) for key, event in events.items()
    }


def _with_document(event: Event, one: ErpDocument | None, *, voided: bool, today: date) -> Event:
    if one is not None:
        event = replace(event, origin=_origin(one, today), had_origin=True)
    return replace(event, void_wanted=event.void_wanted or voided)


def _origin(one: ErpDocument, today: date) -> Origin:
    entry = entries_of(one, today=today)[0]
    return Origin(
        system=entry.system,
        seq=0,
        item=entry.item,
        warehouse=entry.warehouse,
        quantity=entry.quantity,
        unit_cost=entry.unit_cost,
        occurred_on=entry.occurred_on,
        fields=one.fields,
    )
