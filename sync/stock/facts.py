"""What our tables say of items, as the stock rules want it: a fixed number of statements per chunk of items."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, and_, case, exists, func, literal, or_, select
from sqlalchemy.engine import Row

from sync.database.exceptions import blocking, open_exceptions
from sync.database.facts import RECONCILED_SEQ, fact
from sync.database.schema import (
    corrections,
    coverage,
    echoes,
    exceptions,
    inventories,
    issuance_parts,
    item_states,
    item_warehouses,
    items,
    ledger_entries,
    movement_lines,
    outbox,
    parked,
    unpushed,
)
from sync.learned.rows import learned_of
from sync.ledger.coverage import ISSUANCES, RECEIPTS
from sync.ledger.item_states import Belief, beliefs
from sync.outbox.machine import (
    CREATE_PRODUCT,
    DELETE_ISSUANCE,
    DELETE_RECEIPT,
    PATCH_STOCK,
    POST_ISSUANCE,
    POST_RECEIPT,
)
from sync.outbox.probes import UNDOES
from sync.stock.echo.rows import follow_ups_in_a_row
from sync.stock.rules import (
    COST_JUMP,
    FOLLOWS,
    OPEN,
    CostWord,
    ItemFacts,
    Kept,
    Ledger,
    PatchRow,
    Question,
    Target,
)
from sync.values.payloads import PRUNED_ON
from sync.values.policy import Policy
from sync.values.subjects import Subject

ECHO_UNDECIDED = "echo_undecided"
MPW_SYSTEM, MPS_SYSTEM, ERP_SYSTEM = "mpw", "mpservices", "erp"
UNSEEN = "done, and not seen there yet"
UNREAD_LOOKED_AT = 50
"""How many of an item's newest pushes are checked for having been read back: the older ones were, long ago."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Who is asked about: items by their external id, and the parts behind them."""

    ids: list[str]
    targets: Mapping[str, Target]
    owners: Mapping[str, list[str]]  # part number → external ids

    @property
    def parts(self) -> list[str]:
        return sorted(self.owners)

    def items_of(self, system: str, item: str) -> list[str]:
        """Return the external ids that a ledger entry of a system is about."""
        if system == MPS_SYSTEM:
            return [item] if item in self.targets or item in self.ids else []
        return self.owners.get(item, [])


def item_facts(conn: Connection, external_ids: Iterable[str], *, policy: Policy) -> dict[str, ItemFacts]:
    """Return everything that the stock rules ask about these items (a few hundred at once), by external id."""
    ids = sorted(set(external_ids))
    targets = targets_of(conn, ids, policy=policy)
    owners: dict[str, list[str]] = defaultdict(list)
    for external_id, target in targets.items():
        owners[target.part_number].append(external_id)
    chunk = _Chunk(ids, targets, owners)
    states = {
        row.external_id: row for row in conn.execute(select(item_states).where(item_states.c.external_id.in_(ids)))
    }
    known = beliefs(conn, ids)
    pushes, last_push = _open_pushes(conn, chunk), _last_pushes(conn, chunk)
    unreconciled, parked_ = _unreconciled(conn, chunk), _parked(conn, chunk)
    off, undecided = _unmatched_where_off(conn, chunk, policy), _undecided(conn, ids)
    doubtful, waiting, questions = _doubtful(conn), _open_echoes(conn, ids), _questions(conn, ids)
    blockers = blocking(conn, ids)
    learnt = learned_of(conn, MPS_SYSTEM)
    kept, contradicted = kept_by(learnt), learnt.get("cost_is") not in (None, policy.cost_is)
    left_out = select(items.c.external_id).where(items.c.external_id.in_(ids), items.c.ignored)
    ignored = set(conn.execute(left_out).scalars())
    products, patches, nameless = _products(conn, ids), _patches(conn, ids), _nameless(conn, ids)
    words, asked = _costs_that_jumped(conn, ids)
    missing = _parts_missing(conn, [targets[item] for item in nameless if item in targets])
    return {
        item: _facts(
            item,
            targets.get(item),
            states.get(item),
            known[item],
            last_push=max((last_push.get(item, 0)), 0),
            pushes=tuple(pushes.get(item, ())),
            products=tuple(products.get(item, ())),
            unreconciled=item in unreconciled,
            parked=parked_.get(item),
            route_off=off.get(item),
            undecided=item in undecided,
            doubtful=item in doubtful,
            echo_open=item in waiting,
            question=questions.get(item),
            blocker=blockers[item].detail if item in blockers else None,
            kept=kept,
            cost_contradicted=contradicted,
            ignored=item in ignored,
            nameless=nameless.get(item) == NAMELESS,
            gone=nameless.get(item) == GONE,
            part_missing=item in nameless and item in targets and targets[item].part_number in missing,
            patch=patches.get(item),
            cost_word=words.get(item),
            cost_asked=asked.get(item),
        )
        for item in ids
    }


def _facts(
    external_id: str, target: Target | None, state: Row[Any] | None, belief: Belief, *, last_push: int, **others: Any
) -> ItemFacts:
    return ItemFacts(
        external_id=external_id,
        target=target,
        dirty_at=state.dirty_at if state is not None else None,
        believed=belief.quantity,
        cost=state.mps_unit_cost if state is not None else None,
        seen=_seen(belief, last_push),
        patches=state.patches if state is not None else 0,
        line_cost=belief.last_cost,
        read_quantity=state.mpw_quantity if state is not None else None,
        read_unit_cost=state.mpw_unit_cost if state is not None else None,
        lines_after_base=belief.lines_after_base > 0,
        unfit=state.unfit_patches if state is not None else 0,
        gap=state.ledger_gap if state is not None else None,
        gap_since=state.gap_since if state is not None else None,
        only_created=belief.last_position is None and target is not None and not target.mapped,
        **others,
    )


def _seen(belief: Belief, last_push: int) -> str:
    """Return what tells two moments of an item apart: its believed stock, its last movement, its last push to MPW."""
    at, place = belief.last_position or (None, None)
    stamp = at.isoformat() if at is not None else "never"
    return f"stock {belief.quantity}, line {stamp} {place}, push {last_push}"


def targets_of(conn: Connection, ids: Sequence[str], *, policy: Policy) -> dict[str, Target]:
    """Return where each item's stock is in MPW: by the map, else its own name in MPW_WAREHOUSE.

    The default does not hold for a part that the map gives to another item.
    """
    found: dict[str, Target] = {}
    warehouses: dict[str, list[str]] = defaultdict(list)
    query = select(item_warehouses).where(item_warehouses.c.external_id.in_(ids)).order_by(item_warehouses.c.position)
    for row in conn.execute(query):
        warehouses[row.external_id].append(row.warehouse)
    mapped = {row.external_id: row for row in conn.execute(select(items).where(items.c.external_id.in_(ids)))}
    taken: set[str] = set()
    if policy.warehouse is not None:
        query = select(item_warehouses.c.part_number).where(
            item_warehouses.c.part_number.in_(ids), item_warehouses.c.warehouse == policy.warehouse
        )
        taken = set(conn.execute(query).scalars())
    for item in ids:
        if item in mapped:
            places = tuple(warehouses[item]) or ((policy.warehouse,) if policy.warehouse else ())
            if places:
                found[item] = Target(mapped[item].part_number, places, mapped[item].factor, mapped=True)
        elif policy.warehouse is not None and item not in taken:
            found[item] = Target(item, (policy.warehouse,), Decimal(1))
    return found


def ledger_of(conn: Connection, target: Target, *, since: datetime, gone_after: timedelta) -> Ledger:
    """Return what the ledger says of a part in its warehouses.

    `since`: how old an unread push may be; `gone_after`: how long after it a clean reading of its day that lacks it
    says that it is gone.
    """
    about = (
        ledger_entries.c.system == MPW_SYSTEM,
        ledger_entries.c.item == target.part_number,
        ledger_entries.c.warehouse.in_(target.warehouses),
    )
    columns = ledger_entries.c
    sums = conn.execute(
        select(
            func.coalesce(func.sum(columns.quantity, type_=columns.quantity.type), Decimal(0)),
            func.coalesce(func.sum(columns.amount, type_=columns.amount.type), Decimal(0)),
        ).where(*about)
    ).one()
    undone = ledger_entries.alias("undone")
    shown = conn.execute(
        select(columns.unit_cost)
        .where(
            *about,
            columns.entry_type == "original",
            columns.unit_cost > Decimal(0),
            ~exists().where(undone.c.reverses_id == columns.id),
        )
        .order_by((columns.kind == "receipt").desc(), columns.occurred_on.desc(), columns.id.desc())
        .limit(1)
    ).scalar_one_or_none()
    return Ledger(
        sums[0] or Decimal(0), sums[1] or Decimal(0), shown, _unread(conn, target.part_number, since, gone_after)
    )


def _unread(conn: Connection, part_number: str, since: datetime, gone_after: timedelta) -> tuple[tuple[str, date], ...]:
    """Return (kind, created_on) of our newest pushes that MPW took and whose rows no poll has shown yet.

    What we took back ourselves before a poll came by, or a person did, will never be shown, and is not waited for.
    """
    shown = exists().where(
        ledger_entries.c.system == MPW_SYSTEM,
        ledger_entries.c.api_key == outbox.c.api_key,
        ledger_entries.c.kind == outbox.c.kind,
    )
    corrected = exists().where(  # posted again for a corrected movement: its rows stand under the event's key
        corrections.c.pushed_key == outbox.c.api_key,
        corrections.c.kind == outbox.c.kind,
        ledger_entries.c.system == MPW_SYSTEM,
        ledger_entries.c.entry_type == "original",
        ledger_entries.c.kind == outbox.c.kind,
        ledger_entries.c.api_key == corrections.c.api_key,
        ledger_entries.c.recorded_at >= outbox.c.first_sent_at,
    )
    delete = outbox.alias("delete")
    taken_back = exists().where(
        delete.c.operation.in_((DELETE_RECEIPT, DELETE_ISSUANCE)),
        delete.c.api_key == outbox.c.api_key,
        delete.c.kind == outbox.c.kind,
        delete.c.state == "done",
    )
    query = (
        select(outbox.c.kind, outbox.c.payload, outbox.c.finalized_at, or_(shown, corrected).label("shown"))
        .where(
            outbox.c.item == part_number,
            outbox.c.state == "done",
            outbox.c.operation.in_((POST_RECEIPT, POST_ISSUANCE)),
            ~taken_back,
        )
        .order_by(outbox.c.id.desc())
        .limit(UNREAD_LOOKED_AT)
    )
    found = []
    for row in conn.execute(query):
        created_on = json.loads(row.payload).get("created_on")
        if not row.shown and row.finalized_at >= since and isinstance(created_on, str):
            day = date.fromisoformat(created_on[:10])
            if not _was_read_clean(conn, row.kind, day, row.finalized_at + gone_after):
                found.append((str(row.kind), day))
    return tuple(dict.fromkeys(found))


def _was_read_clean(conn: Connection, kind: str, day: date, instant: datetime) -> bool:
    """Tell whether a day's list was read from an instant on, with no row missing or unreadable."""
    query = select(coverage.c.day).where(
        coverage.c.source == {"receipt": RECEIPTS, "issuance": ISSUANCES}[kind],
        coverage.c.day == day,
        coverage.c.fetch_began_at >= instant,
        ~coverage.c.unclean,
    )
    return conn.execute(query).first() is not None


def changed_items(conn: Connection, after_seq: int, last_seq: int) -> tuple[set[str], set[tuple[str, str | None]]]:
    """Return what the ledger's entries in (after_seq, last_seq] are about: external ids, and MPW (part, warehouse)s.

    An echo changes nothing that we did not ask for, and so its entries name no item.
    """
    entries = ledger_entries
    window = (entries.c.id > after_seq, entries.c.id <= last_seq)
    echo = exists().where(movement_lines.c.api_key == entries.c.api_key, movement_lines.c.role == "echo")
    moved = select(entries.c.item).where(*window, entries.c.system == MPS_SYSTEM, ~echo).distinct()
    parts = select(entries.c.item, entries.c.warehouse).where(*window, entries.c.system != MPS_SYSTEM).distinct()
    return set(conn.execute(moved).scalars()), {(row.item, row.warehouse) for row in conn.execute(parts)}


def items_of_parts(
    conn: Connection, parts: Iterable[tuple[str, str | None]], *, policy: Policy
) -> tuple[set[str], set[str]]:
    """Return the items whose stock these (part, warehouse)s are: those of the map, and those by the default."""
    mapped: set[str] = set()
    by_default: set[str] = set()
    known = {(row.part_number, row.warehouse): row.external_id for row in conn.execute(select(item_warehouses))}
    for part, warehouse in parts:
        if warehouse is not None and (part, warehouse) in known:
            mapped.add(known[part, warehouse])
        elif warehouse is None or warehouse == policy.warehouse:
            by_default.add(part)
    return mapped, by_default


# --- one statement each -------------------------------------------------------------------


def _open_pushes(conn: Connection, chunk: _Chunk) -> dict[str, list[tuple[str, str, str]]]:
    """Return the pushes that a patch must wait for: open ones, dead ones, and what MPW took and no poll has shown yet.

    Where such a one is not there after all, a patch would erase in MPservices what people did and MPW never got.
    One that waits for stock in MPW, and that no movement of MPservices made (the ERP's), is nothing that MPservices
    knows of: it may wait for weeks, and the item's stock goes on meanwhile.
    """
    keys = {f"item:{part}": part for part in chunk.parts}
    shown = exists().where(
        ledger_entries.c.system == MPW_SYSTEM,
        ledger_entries.c.api_key == outbox.c.api_key,
        ledger_entries.c.kind == outbox.c.kind,
    )
    split = exists().where(issuance_parts.c.outbox_id == outbox.c.id)  # a part that is shown says nothing of the others
    unseen = and_(outbox.c.state == "done", outbox.c.unseen_since.is_not(None), or_(~shown, split))
    moved = exists().where(movement_lines.c.api_key == outbox.c.api_key)
    corrected = exists().where(corrections.c.pushed_key == outbox.c.api_key, corrections.c.kind == outbox.c.kind)
    waits_alone = and_(outbox.c.state == "ready", outbox.c.stock_awaited_since.is_not(None), ~moved, ~corrected)
    state = case((unseen, literal(UNSEEN)), else_=outbox.c.state).label("state")
    query = (
        select(outbox.c.entity_key, state, outbox.c.operation, outbox.c.api_key)
        .where(
            outbox.c.item.in_(chunk.parts),
            or_(outbox.c.state.in_((*OPEN, "dead")), unseen),
            ~waits_alone,
            outbox.c.entity_key.in_(list(keys)),
        )
        .order_by(outbox.c.id)
    )
    found: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for row in conn.execute(query):
        for external_id in chunk.owners[keys[row.entity_key]]:
            found[external_id].append((row.state, row.operation, row.api_key))
    return found


def _last_pushes(conn: Connection, chunk: _Chunk) -> dict[str, int]:
    keys = {f"item:{part}": part for part in chunk.parts}
    query = (
        select(outbox.c.entity_key, func.max(outbox.c.id).label("id"))
        .where(outbox.c.item.in_(chunk.parts), outbox.c.entity_key.in_(list(keys)))
        .group_by(outbox.c.entity_key)
    )
    return {item: row.id for row in conn.execute(query) for item in chunk.owners[keys[row.entity_key]]}


def _unreconciled(conn: Connection, chunk: _Chunk) -> set[str]:
    seq = int(fact(conn, RECONCILED_SEQ) or 0)
    entries = ledger_entries
    query = (
        select(entries.c.system, entries.c.item)
        .where(
            entries.c.id > seq,
            entries.c.kind != "adjustment",
            or_(
                and_(entries.c.system == MPS_SYSTEM, entries.c.item.in_(chunk.ids)),
                and_(entries.c.system == ERP_SYSTEM, entries.c.item.in_(chunk.parts)),
            ),
        )
        .distinct()
    )
    return {item for row in conn.execute(query) for item in chunk.items_of(row.system, row.item)}


def _parked(conn: Connection, chunk: _Chunk) -> dict[str, str]:
    entries = ledger_entries
    query = (
        select(entries.c.system, entries.c.item, parked.c.reason)
        .join(parked, and_(parked.c.api_key == entries.c.api_key, parked.c.kind == entries.c.kind))
        .where(
            entries.c.entry_type == "original",
            or_(
                and_(entries.c.system == MPS_SYSTEM, entries.c.item.in_(chunk.ids)),
                and_(entries.c.system == ERP_SYSTEM, entries.c.item.in_(chunk.parts)),
            ),
        )
    )
    return {item: row.reason for row in conn.execute(query) for item in chunk.items_of(row.system, row.item)}


def _unmatched_where_off(conn: Connection, chunk: _Chunk, policy: Policy) -> dict[str, str]:
    """Return the route that is off, for items with an event that it would have pushed."""
    routes = {"receipt": "receipts", "issuance": "issuances"}
    kinds = [kind for kind, route in routes.items() if policy.route(route) == "off"]
    if not kinds:
        return {}
    entries, other = ledger_entries, ledger_entries.alias("other")
    same = (other.c.api_key == entries.c.api_key, other.c.kind == entries.c.kind)
    fresh = or_(
        entries.c.occurred_at >= policy.push_from_there,
        and_(entries.c.occurred_at.is_(None), entries.c.occurred_on >= policy.day(policy.push_from)),
    )
    query = (
        select(entries.c.system, entries.c.item, entries.c.kind)
        .where(
            or_(
                and_(entries.c.system == MPS_SYSTEM, entries.c.item.in_(chunk.ids)),
                and_(entries.c.system == ERP_SYSTEM, entries.c.item.in_(chunk.parts)),
            ),
            entries.c.entry_type == "original",
            entries.c.kind.in_(kinds),
            fresh,
            ~exists().where(other.c.reverses_id == entries.c.id),
            ~exists().where(*same, other.c.system == MPW_SYSTEM),
            ~exists().where(outbox.c.api_key == entries.c.api_key, outbox.c.kind == entries.c.kind),
            ~exists().where(unpushed.c.api_key == entries.c.api_key, unpushed.c.kind == entries.c.kind),
        )
        .distinct()
    )
    return {item: routes[row.kind] for row in conn.execute(query) for item in chunk.items_of(row.system, row.item)}


def _undecided(conn: Connection, ids: list[str]) -> set[str]:
    query = select(movement_lines.c.external_id).where(
        movement_lines.c.external_id.in_(ids),
        movement_lines.c.role == "undecided",
        movement_lines.c.entry_id.is_not(None),  # what was taken back is nothing to wait for
    )
    return set(conn.execute(query.distinct()).scalars())


NAMELESS, GONE = "nameless", "gone"


def _nameless(conn: Connection, ids: list[str]) -> dict[str, str]:
    """Return the items whose name here is MPservices' own: no movement shows an external id of theirs.

    They are `GONE` where no movement shows them at all any more: the product was given its external id.
    """
    shown = func.max(case((movement_lines.c.digest != "", 1), else_=0)).label("shown")
    named = func.max(case((movement_lines.c.named, 1), else_=0)).label("named")
    query = select(movement_lines.c.external_id, shown, named).where(movement_lines.c.external_id.in_(ids))
    rows = conn.execute(query.group_by(movement_lines.c.external_id))
    return {row.external_id: NAMELESS if row.shown else GONE for row in rows if not row.named}


def _parts_missing(conn: Connection, targets: Sequence[Target]) -> set[str]:
    """Return the part numbers of these targets that MPW was asked for, and has in none of their warehouses."""
    if not targets:
        return set()
    pairs = {(place, target.part_number) for target in targets for place in target.warehouses}
    query = select(inventories.c.warehouse, inventories.c.part_number, inventories.c.found).where(
        inventories.c.part_number.in_([target.part_number for target in targets])
    )
    asked = [row for row in conn.execute(query) if (row.warehouse, row.part_number) in pairs]
    return {row.part_number for row in asked} - {row.part_number for row in asked if row.found}


def _doubtful(conn: Connection) -> set[str]:
    return {json.loads(row.facts).get("external_id") for row in open_exceptions(conn, kind=ECHO_UNDECIDED)}


JUMP_DECIDED = "sent"
"""In the facts of a resolved `cost_jump`: whether the person had the new cost sent."""


def _costs_that_jumped(conn: Connection, ids: list[str]) -> tuple[dict[str, CostWord], dict[str, Decimal]]:
    """Return, by item, what a person has said last of a cost that jumped, and the cost that one is asked about."""
    subjects = {Subject.stock_of(item).name: item for item in ids}
    query = select(exceptions).where(
        exceptions.c.kind == COST_JUMP, exceptions.c.subject_type == "item", exceptions.c.subject.in_(list(subjects))
    )
    words: dict[str, CostWord] = {}
    asked: dict[str, Decimal] = {}
    for row in conn.execute(query.order_by(exceptions.c.id)):
        facts_, item = json.loads(row.facts), subjects[row.subject]
        if row.resolved_at is None:
            asked[item] = Decimal(facts_["cost"])
        elif JUMP_DECIDED in facts_:
            words[item] = CostWord(Decimal(facts_["cost"]), bool(facts_[JUMP_DECIDED]))
    return words, asked


def _open_echoes(conn: Connection, ids: list[str]) -> set[str]:
    query = select(echoes.c.external_id).where(echoes.c.external_id.in_(ids), echoes.c.closed_at.is_(None))
    return set(conn.execute(query).scalars())


def _questions(conn: Connection, ids: list[str]) -> dict[str, Question]:
    """Return each item's newest patch in question."""
    query = select(echoes).where(echoes.c.external_id.in_(ids), echoes.c.outcome == "asking").order_by(echoes.c.id)
    found = {row.external_id: row for row in conn.execute(query)}
    sent = follow_ups_in_a_row(conn, found)
    return {
        item: Question(
            row.id,
            row.new_stock if row.follow_stock is None else row.follow_stock,
            row.new_cost,
            follow_ups=sent.get(item, 0),
        )
        for item, row in found.items()
    }


def kept_by(known: Mapping[str, str]) -> Kept:
    """Return how MPservices keeps stocks and costs, by what has been learnt of it."""

    def number(fact_: str) -> int | None:
        return int(known[fact_]) if fact_ in known else None

    return Kept(
        stock_decimals=number("stock_decimals"),
        stock_cut=known.get("stock_cut") == "cut",
        cost_decimals=number("cost_decimals"),
        cost_cut=known.get("cost_cut") == "cut",
    )


def _products(conn: Connection, ids: list[str]) -> dict[str, list[str]]:
    query = select(outbox.c.item, outbox.c.state).where(
        outbox.c.item.in_(ids),
        outbox.c.operation == CREATE_PRODUCT,
        outbox.c.state.in_((*OPEN, "dead")),
    )
    found: dict[str, list[str]] = defaultdict(list)
    for row in conn.execute(query.order_by(outbox.c.id)):
        found[row.item].append(row.state)
    return found


def _patches(conn: Connection, ids: list[str]) -> dict[str, PatchRow]:
    """Return each item's newest patch that still stands for something: not superseded by a newer one.

    One whose payload was forgotten (by a version that kept too few) says nothing any more, as if there were none.
    """
    newest = (
        select(func.max(outbox.c.id))
        .where(outbox.c.item.in_(ids), outbox.c.operation == PATCH_STOCK, outbox.c.state != "superseded")
        .group_by(outbox.c.item)
    )
    product = outbox.alias("product")
    created = exists().where(
        product.c.item == outbox.c.item,
        product.c.operation == CREATE_PRODUCT,
        product.c.state == "done",
        product.c.finalized_at >= outbox.c.finalized_at,
    )
    found: dict[str, PatchRow] = {}
    for row in conn.execute(select(outbox, created.label("created")).where(outbox.c.id.in_(newest))):
        payload, facts_ = json.loads(row.payload), json.loads(row.facts)
        if PRUNED_ON in payload:
            continue
        found[row.item] = PatchRow(
            row.id,
            row.state,
            row.tries,
            bool(facts_.get("erp")) or UNDOES in facts_,  # what takes a probe's step back is waited for as well
            Decimal(payload["new_stock"]),
            Decimal(payload["new_cost"]),
            str(facts_.get("seen", "")),
            bool(row.created),
            facts_.get(FOLLOWS),
        )
    return found
