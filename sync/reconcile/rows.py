"""What reconcile reads and writes: changed events, everything known of them, and rows that were never sent."""

from __future__ import annotations

import json
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select, update
from sqlalchemy.engine import Row

from sync.database.chunks import chunks, upsert
from sync.database.exceptions import open_exceptions, settled_by_people, subject_of
from sync.database.schema import (
    documents,
    exceptions,
    facts,
    inventories,
    ledger_entries,
    movement_lines,
    outbox,
    parked,
    purchase_orders,
    settlements,
    unpushed,
)
from sync.inbox.rules import VOID, ErpDocument, read_document
from sync.ledger.books import Books
from sync.ledger.coverage import AHEAD_MAX
from sync.ledger.parked import Key
from sync.ledger.rules import ISSUANCE, RECEIPT, TRANSFER
from sync.outbox.corrections import events_of_corrections, keys_of_events
from sync.outbox.machine import APPROVE, CREATE_PRODUCT, PATCH_STOCK, NewPush
from sync.outbox.rows import add_push
from sync.reconcile.commands import DECIDED, ORDER_UNPRICED, Order
from sync.reconcile.item_map import ItemMapping
from sync.reconcile.item_rows import load_map
from sync.reconcile.order_rules import prices_of, unpriced
from sync.reconcile.rules import Event, MpwRow, Origin, Part, PushRow
from sync.values.names import nearest
from sync.values.subjects import Subject

KINDS = (RECEIPT, ISSUANCE, TRANSFER)
UNKNOWN_PRODUCT = "unknown_product"
"""The exception of a stock patch that MPservices refused because it has no such product; its subject is the row."""

MISSING_PRODUCT = "missing_product"
"""`parked.kind` of an item whose product waits; its key is the external id."""

FOUND_IS_TRUSTED = timedelta(days=1)
NEAR_MAX = 20
"""Unknown parts in one pass for which a near one is looked for."""

NEAR_LOOKED_AT = 2000
"""Names of parts that begin alike, among which the nearest is looked for."""

ABSENT_IS_TRUSTED = timedelta(minutes=10)
"""A part that was missing a moment ago is not asked for again by the next event of it."""


@dataclass(frozen=True, slots=True)
class Changed:
    """Events with entries after a seq, and the seq up to which that is all."""

    keys: list[Key]
    seq: int


def changed_events(conn: Connection, after: int, limit: int) -> Changed:
    """Return the events of up to `limit` entries after a seq.

    Rows that people keyed into MPW have keys of their own that no other system can have: they are passed over.
    """
    columns = ledger_entries.c
    last = int(conn.execute(select(func.coalesce(func.max(columns.id), 0))).scalar_one())
    theirs = or_(columns.api_key.like("mpw-r-%"), columns.api_key.like("mpw-i-%"))
    query = (
        select(columns.id, columns.kind, columns.api_key)
        .where(columns.id > after, columns.id <= last, or_(columns.system != "mpw", ~theirs))
        .order_by(columns.id)
        .limit(limit)
    )
    rows = list(conn.execute(query))
    keys = list(dict.fromkeys((row.kind, row.api_key) for row in rows if row.kind in KINDS))
    return Changed(keys, rows[-1].id if len(rows) == limit else max(last, after))


def first_pushable_seq(conn: Connection, since: date) -> int | None:
    """Return the seq of the first entry that a change of the rules may concern, or None."""
    query = select(func.min(ledger_entries.c.id)).where(
        ledger_entries.c.occurred_on >= since - timedelta(days=1), ledger_entries.c.system != "mpw"
    )
    value = conn.execute(query).scalar_one_or_none()
    return None if value is None else int(value)


# --- events -------------------------------------------------------------------------------


def load_events(conn: Connection, keys: Sequence[Key]) -> dict[Key, Event]:
    """Return everything known under these keys: a fixed number of statements per few hundred of them."""
    found: dict[Key, Event] = {}
    for chunk in chunks(keys):
        found |= _load(conn, chunk)
    return found


def _load(conn: Connection, keys: Sequence[Key]) -> dict[Key, Event]:
    names = sorted({key for _, key in keys})
    entries = _by_key(conn.execute(select(ledger_entries).where(ledger_entries.c.api_key.in_(names))))
    corrected = keys_of_events(conn, names)
    sent_as = sorted({*names, *(key for keys_ in corrected.values() for key in keys_)})
    pushes = _by_key(conn.execute(select(outbox).where(outbox.c.api_key.in_(sent_as)).order_by(outbox.c.id)))
    waiting = _by_key(conn.execute(select(parked).where(parked.c.api_key.in_(names))))
    held = _by_key(conn.execute(select(unpushed).where(unpushed.c.api_key.in_(names))))
    settled = _by_key(conn.execute(select(settlements).where(settlements.c.api_key.in_(names))))
    lines = {
        row.api_key: row for row in conn.execute(select(movement_lines).where(movement_lines.c.api_key.in_(names)))
    }
    own = _erp_documents(conn, names)
    confirmed = _confirmed_dates(conn, [key for key in keys if key in own])
    references = _references(conn, {row.movement_id for row in lines.values()})
    events = {}
    for kind, key in keys:
        line = lines.get(key)
        rows = entries.get((kind, key), [])
        events[kind, key] = Event(
            kind=kind,
            api_key=key,
            origin=_origin(rows, own.get((kind, key)), references.get(line.movement_id) if line is not None else None),
            had_origin=any(row.system != "mpw" for row in rows),
            mpw_ever=any(row.system == "mpw" and row.entry_type == "original" for row in rows),
            mpw_live=bool([row for row in _live(rows) if row.system == "mpw"]),
            mpw_rows=_mpw_rows(rows),
            mpw_item=next((row.item for row in rows if row.system == "mpw"), None),
            role=line.role if line is not None else None,
            item=line.external_id if line is not None else None,
            nameless=line is not None and not line.named,
            unpushed=(kind, key) in held,
            settled=next((f"{row.why} ({row.made_by})" for row in settled.get((kind, key), [])), None),
            void_wanted=(VOID, f"{kind}:{key}") in own,
            pushes=tuple(
                _push_row(row)
                for sent in (key, *corrected.get((kind, key), ()))
                for row in pushes.get((kind, sent), [])
            ),
            date_confirmed=confirmed.get((kind, key)),
            parked=next((row.reason for row in waiting.get((kind, key), [])), None),
            corrections=tuple(corrected.get((kind, key), ())),
            last_seq=max((row.id for row in rows), default=0),
            was=_origin(rows, own.get((kind, key)), None, void=True),
        )
    return events


def _by_key(rows: Iterable[Row[Any]]) -> dict[Key, list[Row[Any]]]:
    found: dict[Key, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        found[row.kind, row.api_key].append(row)
    return found


def _live(rows: Sequence[Row[Any]]) -> list[Row[Any]]:
    reversed_ids = {row.reverses_id for row in rows if row.reverses_id is not None}
    live = [row for row in rows if row.entry_type == "original" and row.id not in reversed_ids]
    return sorted(live, key=lambda row: row.id)


def _mpw_rows(rows: Sequence[Row[Any]]) -> tuple[MpwRow, ...]:
    """Return what MPW has and had under an event, each row as it was last seen."""
    live = {row.id for row in _live(rows)}
    found: dict[str, MpwRow] = {}
    for row in sorted(rows, key=lambda row: row.id):
        if row.system == "mpw" and row.entry_type == "original":
            terms = (row.item, row.warehouse, abs(row.quantity), row.unit_cost, row.occurred_on)
            found[row.remote_id] = MpwRow(row.remote_id, *terms, live=row.id in live)
    return tuple(found.values())


def _origin(
    rows: Sequence[Row[Any]], own: ErpDocument | None, reference: str | None, *, void: bool = False
) -> Origin | None:
    """Return the live line of the system where the event began; of a transfer the side that gives.

    `void`: where none is live the last one, else none.
    """
    live = [row for row in _live(rows) if row.system != "mpw"]
    if void:
        first = [row for row in rows if row.system != "mpw" and row.entry_type == "original"]
        live = [] if live else sorted(first, key=lambda row: row.id)[-1:]
    if not live:
        return None
    row = min(live, key=lambda row: (row.quantity, -row.id)) if live[0].kind == TRANSFER else live[-1]
    return Origin(
        system=row.system,
        seq=row.id,
        item=row.item,
        warehouse=row.warehouse,
        quantity=row.quantity,
        unit_cost=row.unit_cost,
        occurred_on=row.occurred_on,
        occurred_at=row.occurred_at,
        reference=reference,
        fields=own.fields if own is not None and row.system == "erp" else {},
    )


def _push_row(row: Row[Any]) -> PushRow:
    return PushRow(
        row.id,
        row.operation,
        row.state,
        row.tries,
        row.attempts,
        row.fence,
        row.payload,
        row.entity_key,
        row.item,
        row.api_key,
        row.facts,
        row.unseen_since is not None,
    )


def _erp_documents(conn: Connection, names: Sequence[str]) -> dict[Key, ErpDocument]:
    """Return the ERP's documents of these keys by (type, remote id)."""
    ids = [*names, *(f"{kind}:{name}" for kind in (RECEIPT, ISSUANCE) for name in names)]
    found: dict[Key, ErpDocument] = {}
    for chunk in chunks(ids):
        query = select(documents.c.type, documents.c.remote_id, documents.c.api_key, documents.c.raw).where(
            documents.c.system == "erp",
            documents.c.type.in_((RECEIPT, ISSUANCE, TRANSFER, VOID)),
            documents.c.remote_id.in_(chunk),
        )
        for row in conn.execute(query):
            one = read_document(row.type, row.api_key, row.raw)
            if isinstance(one, ErpDocument):
                found[row.type, row.remote_id] = one
    return found


def confirm_date(books: Books, kind: str, api_key: str, day: date) -> None:
    """Note a person's word that the odd date of a document is right."""
    books.note_fact(_confirmed(kind, api_key), day.isoformat())


def _confirmed(kind: str, api_key: str) -> str:
    return f"date_confirmed:{kind} {api_key}"


def _confirmed_dates(conn: Connection, keys: Sequence[Key]) -> dict[Key, date]:
    if not keys:
        return {}
    names = {_confirmed(*key): key for key in keys}
    rows = conn.execute(select(facts.c.name, facts.c.value).where(facts.c.name.in_(list(names))))
    return {names[row.name]: date.fromisoformat(row.value) for row in rows}


def _references(conn: Connection, movement_ids: Iterable[str]) -> dict[str, str | None]:
    """Return what movements refer to ("Folio-198"), by their id."""
    found: dict[str, str | None] = {}
    for chunk in chunks(sorted(movement_ids)):
        query = select(documents.c.remote_id, documents.c.raw).where(
            documents.c.system == "mpservices", documents.c.type == "movement", documents.c.remote_id.in_(chunk)
        )
        for row in conn.execute(query):
            fields = {name.lower(): value for name, value in json.loads(row.raw).items()}
            reference = fields.get("reference")
            text = str(reference).strip() if isinstance(reference, (str, int)) else ""
            found[row.remote_id] = text or None
    return found


# --- parts --------------------------------------------------------------------------------


def known_parts(conn: Connection, pairs: Iterable[tuple[str, str]], *, now: datetime) -> dict[tuple[str, str], Part]:
    """Return what is still true of (warehouse, part number)s that MPW was asked about before."""
    wanted = set(pairs)
    found: dict[tuple[str, str], Part] = {}
    for chunk in chunks(sorted({part for _, part in wanted})):
        for row in conn.execute(select(inventories).where(inventories.c.part_number.in_(chunk))):
            trusted = FOUND_IS_TRUSTED if row.found else ABSENT_IS_TRUSTED
            pair = (row.warehouse, row.part_number)
            if pair in wanted and now - trusted < row.read_at <= now + AHEAD_MAX:
                found[pair] = Part("found" if row.found else "absent")
    return found


def near_parts(conn: Connection, names: Iterable[str]) -> dict[str, str]:
    """Return the part of MPW's, as its rows and answers have shown it, that each of these names is nearly."""
    found: dict[str, str] = {}
    for name in islice(sorted(set(names)), NEAR_MAX):
        # composed, a letter is one character; decomposed, its mark is the next one
        starts = {unicodedata.normalize(form, name.strip())[:2] for form in ("NFC", "NFD")}
        seen: set[str] = set()
        for column, shown in (
            (ledger_entries.c.item, ledger_entries.c.system == "mpw"),
            (inventories.c.part_number, inventories.c.found),
        ):
            alike = or_(*(column.startswith(text, autoescape=True) for text in starts))
            seen.update(conn.execute(select(column).where(shown, alike).distinct().limit(NEAR_LOOKED_AT)).scalars())
        near = nearest(name, seen)
        if near is not None:
            found[name] = near
    return found


def save_absent(books: Books, pairs: Iterable[tuple[str, str]]) -> None:
    """Remember that MPW refused to show these."""
    rows = [
        {
            "warehouse": warehouse,
            "part_number": part,
            "found": False,
            "quantity": None,
            "unit_cost": None,
            "read_at": books.now,
        }
        for warehouse, part in pairs
    ]
    columns = ("found", "quantity", "unit_cost", "read_at")
    upsert(books.conn, inventories, rows, key=("warehouse", "part_number"), update=columns)


def opened_at(conn: Connection, kind: str) -> dict[Subject, datetime]:
    """Return since when each open exception of a kind is open, by subject."""
    return {subject_of(row): row.opened_at for row in open_exceptions(conn, kind=kind)}


# --- what waits ---------------------------------------------------------------------------


def leave_parked(books: Books, reason: str, *, why: str) -> list[str]:
    """Let the events that wait for one reason go nowhere, for good; return the MPservices items that they are about."""
    events = books.conn.execute(select(parked.c.kind, parked.c.api_key).where(parked.c.reason == reason)).all()
    rows = [{"kind": event.kind, "api_key": event.api_key, "why": why} for event in events]
    upsert(books.conn, unpushed, rows, key=("kind", "api_key"), update=("why",))
    books.look_again_for(reason)
    found: set[str] = set()
    for chunk in chunks(event.api_key for event in events):
        query = select(movement_lines.c.external_id).where(movement_lines.c.api_key.in_(chunk))
        found.update(books.conn.execute(query).scalars())
    return sorted(found)


# --- rows that were never sent ------------------------------------------------------------


def unsent_events(conn: Connection) -> list[Key]:
    """Return the events of rows that were never sent, held or ready."""
    query = select(outbox.c.kind, outbox.c.api_key).where(
        outbox.c.state.in_(("held", "ready")), outbox.c.tries == 0, outbox.c.kind.in_(KINDS)
    )
    rows = conn.execute(query).all()
    events = {
        kind: events_of_corrections(conn, kind, [row.api_key for row in rows if row.kind == kind]) for kind in KINDS
    }
    return [(row.kind, events[row.kind].get(row.api_key, row.api_key)) for row in rows]


def hold_again(conn: Connection, routes: Sequence[str]) -> int:
    """Hold what was to go by routes that no longer push, and has never reached a vendor."""
    done = conn.execute(
        update(outbox)
        .where(
            outbox.c.state == "ready",
            outbox.c.attempts == 0,
            ~outbox.c.ambiguous,
            outbox.c.route.in_(list(routes)),
        )
        .values(state="held")
    )
    return done.rowcount


def replace_unsent(books: Books, row: PushRow, push: NewPush) -> bool:
    """Put new content into a row that was never sent; False where a pusher has taken it meanwhile.

    A held or ready row keeps its state. A superseded one is wanted again, which happens to what the ERP sent only:
    nobody outside ever saw it, and the ERP knows no other key. A movement takes the next key (`add_correction`).
    """
    values: dict[str, Any] = {
        "entity_key": push.entity_key,
        "item": push.item,
        "payload": push.payload,
        "facts": json.dumps(dict(push.facts), sort_keys=True),
        "reason": push.reason,
        "due_at": books.now,
        "last_error": None,
        "stock_awaited_since": None,
        "stock_seen": None,
        "stock_seen_at": None,
    }
    if row.state == "superseded":
        values |= {"state": push.state, "finalized_at": None}
    done = books.conn.execute(update(outbox).where(*_untouched(row)).values(**values))
    return done.rowcount == 1


def give_up_unsent(books: Books, push: NewPush, instead: PushRow | None, *, reason: str) -> int | None:
    """Put a push into the outbox as dead, before anything was sent; return its id, None where a pusher has taken it."""
    values = {"state": "dead", "finalized_at": books.now, "last_error": reason}
    if instead is None:
        outbox_id = add_push(books, push)
        if outbox_id is not None:
            books.conn.execute(update(outbox).where(outbox.c.id == outbox_id).values(**values))
        return outbox_id
    done = books.conn.execute(update(outbox).where(*_untouched(instead)).values(**values))
    return instead.id if done.rowcount == 1 else None


def _untouched(row: PushRow) -> tuple[Any, ...]:
    return (outbox.c.id == row.id, outbox.c.fence == row.fence, outbox.c.tries == 0, outbox.c.state == row.state)


# --- commands and orders ------------------------------------------------------------------


def command(conn: Connection, key: Key) -> ErpDocument | None:
    """Return an accepted command of the ERP, by (type, api_key)."""
    query = select(documents.c.raw).where(
        documents.c.system == "erp", documents.c.type == key[0], documents.c.remote_id == key[1]
    )
    raw = conn.execute(query).scalar_one_or_none()
    one = read_document(key[0], key[1], raw) if raw is not None else None
    return one if isinstance(one, ErpDocument) else None


def products_refused(conn: Connection, *, now: datetime) -> dict[str, ItemMapping]:
    """Return the mapped items whose newest stock patch MPservices refused for want of a product, and that wait for it.

    One whose product was ever given to the outbox is not among them, and none that waits for a later look. Nor is one
    that MPservices has had, as a movement or a patch that went through shows: it was renamed or deleted there, and a
    second product beside it would be wrong. A person is asked, by the exception of the refusal.
    """
    found: set[str] = set()
    earlier = outbox.alias("earlier")
    went_through = (
        earlier.c.entity_key == outbox.c.entity_key,
        earlier.c.operation == PATCH_STOCK,
        earlier.c.state == "done",
    )
    for chunk in chunks(_refused_patches(conn)):
        given = select(outbox.c.item).where(outbox.c.operation == CREATE_PRODUCT)
        later = select(parked.c.api_key).where(
            parked.c.kind == MISSING_PRODUCT, or_(parked.c.due_at.is_(None), parked.c.due_at > now)
        )
        query = select(outbox.c.item).where(
            outbox.c.id.in_(chunk),
            outbox.c.operation == PATCH_STOCK,
            outbox.c.state == "dead",
            outbox.c.item.not_in(given),
            ~exists().where(movement_lines.c.external_id == outbox.c.item),
            ~exists().where(*went_through),
            outbox.c.item.not_in(later),
        )
        found.update(conn.execute(query).scalars())
    return {item: mapping for item, mapping in load_map(conn, found).items() if not mapping.ignored}


def outdated_refusals(conn: Connection) -> list[int]:
    """Return the ids of patches refused for want of a product, where a later patch of the item went through."""
    newer = outbox.alias("newer")
    found: list[int] = []
    for chunk in chunks(_refused_patches(conn)):
        query = select(outbox.c.id).where(
            outbox.c.id.in_(chunk),
            outbox.c.state == "dead",
            exists().where(
                newer.c.entity_key == outbox.c.entity_key,
                newer.c.operation == PATCH_STOCK,
                newer.c.state == "done",
                newer.c.id > outbox.c.id,
            ),
        )
        found.extend(conn.execute(query).scalars())
    return found


def _refused_patches(conn: Connection) -> list[int]:
    refused = select(exceptions.c.subject).where(
        exceptions.c.kind == UNKNOWN_PRODUCT, exceptions.c.subject_type == "push", exceptions.c.resolved_at.is_(None)
    )
    return [int(subject) for subject in conn.execute(refused).scalars()]


def order_of(conn: Connection, number: str) -> Order | None:
    """Return a purchase order as it was last read."""
    row = conn.execute(select(purchase_orders).where(purchase_orders.c.number == number)).first()
    return None if row is None else _order(row)


def small_open_orders(conn: Connection, *, up_to: Any, since: date, unchanged_since: datetime) -> list[Order]:
    """Return orders that the approval policy may cover and that have no approval yet."""
    wanted = may_be_approved(up_to=up_to, since=since, unchanged_since=unchanged_since)
    query = select(purchase_orders).where(*wanted)
    ordered = query.order_by(purchase_orders.c.created_on, purchase_orders.c.number)
    return [_order(row) for row in conn.execute(ordered)]


def may_be_approved(*, up_to: Any, since: Any, unchanged_since: Any) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of `small_open_orders`."""
    columns = purchase_orders.c
    return (
        ~columns.final,
        columns.approval.is_(None),
        columns.total_cost <= up_to,
        columns.created_on >= since,
        columns.changed_at <= unchanged_since,
    )


def policy_rows(conn: Connection, numbers: Sequence[str]) -> Mapping[str, list[PushRow]]:
    """Return the approvals that the policy has made of these orders, or a person has discarded, by number."""
    found: dict[str, list[PushRow]] = defaultdict(list)
    for chunk in chunks(numbers):
        query = select(outbox).where(
            outbox.c.operation == APPROVE, outbox.c.entity_key.in_([f"po:{number}" for number in chunk])
        )
        for row in conn.execute(query.order_by(outbox.c.id)):
            if row.state == "discarded" or json.loads(row.facts).get("policy"):
                found[row.entity_key.removeprefix("po:")].append(_push_row(row))
    return found


def waiting_approvals(conn: Connection) -> list[tuple[PushRow, Mapping[str, Any]]]:
    """Return approvals that were never sent, each with its facts."""
    query = select(outbox).where(
        outbox.c.state.in_(("held", "ready")), outbox.c.operation == APPROVE, outbox.c.tries == 0
    )
    return [(_push_row(row), json.loads(row.facts)) for row in conn.execute(query.order_by(outbox.c.id))]


def note_approval(conn: Connection, number: str, approval: str | None) -> None:
    """Show where an order's approval stands; an order that is not known yet is left out."""
    where = (purchase_orders.c.number == number, purchase_orders.c.approval.is_distinct_from(approval))
    conn.execute(update(purchase_orders).where(and_(*where)).values(approval=approval))


def _order(row: Row[Any]) -> Order:
    return Order(
        row.number,
        row.status,
        row.created_on,
        row.vendor_name,
        row.total_cost,
        row.lines,
        row.terms_digest,
        row.changed_at,
        unpriced(prices_of(_in_small_letters(json.loads(row.raw, parse_float=Decimal)))),
    )


def _in_small_letters(value: Any) -> Any:
    """Return JSON with its field names in small letters: MPW mixes them."""
    if isinstance(value, dict):
        return {str(name).lower(): _in_small_letters(one) for name, one in value.items()}
    return [_in_small_letters(one) for one in value] if isinstance(value, list) else value


def decided_unpriced(conn: Connection) -> dict[str, tuple[str, str]]:
    """Return what people have said last of orders whose prices do not say what they cost: number → terms, decision."""
    said = settled_by_people(conn, ORDER_UNPRICED)
    return {
        str(one.facts["number"]): (str(one.facts["terms_digest"]), str(one.facts[DECIDED]))
        for one in sorted(said, key=lambda one: one.at)
        if DECIDED in one.facts
    }
