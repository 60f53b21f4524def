"""What an event needs: which push, of what content, or why not yet.

Towards MPW an event is unmatched only if MPW never had an original under its key and the outbox never
had a row for it: what a person deletes in MPW is not posted again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from sync.ledger.rules import ISSUANCE, RECEIPT, TRANSFER
from sync.outbox.evidence import COMPARED, differences
from sync.outbox.machine import (
    DELETE_ISSUANCE,
    DELETE_RECEIPT,
    POST_ISSUANCE,
    POST_RECEIPT,
    POST_TRANSFER,
    NewPush,
    rank_of,
)
from sync.reconcile.date_rules import HINT as DATE_HINT
from sync.reconcile.date_rules import ODD_DATE, odd_date
from sync.reconcile.item_map import IGNORED, ItemMapping
from sync.values.factors import cost_in_mpw, in_mpw
from sync.values.keys import correction_key, is_key
from sync.values.money import plain
from sync.values.names import shown
from sync.values.payloads import delete_payload, issuance_payload, receipt_payload, transfer_payload
from sync.values.policy import Rules
from sync.values.subjects import Subject
from sync.values.systems import name_of
from sync.values.todo_kinds import NOT_ASKED

UNMAPPED_ITEM = "unmapped_item"
UNKNOWN_PART = "unknown_part"
FRACTIONAL = "fractional_issuance"
ODD_QUANTITY = "odd_quantity"
SETTING_MISSING = "setting_missing"
PRODUCT_INCOMPLETE = "product_incomplete"
ORDER_CHANGED = "order_changed"
OUR_EXCEPTIONS = (UNMAPPED_ITEM, UNKNOWN_PART, FRACTIONAL, ODD_QUANTITY, ODD_DATE, SETTING_MISSING, PRODUCT_INCOMPLETE)
"""Kinds that are open exactly while an event waits for them, and resolve themselves after."""

BY_HAND = (
    "where none of it can be, or it is not wanted in MPW, `mpsync exceptions resolve ID --keep --why TEXT`: what waits "
    "is not sent. Then key into MPW by hand what is to be there"
)
"""How a person ends the waiting of an event whatever it waits for.

In this order: a part that is created in order to key something in is what the event waits for, and it would be sent.
"""

MPW_HAS_IT = "MPW has it"
BEFORE_CUT = "older than SYNC_PUSH_FROM"

UNREACHABLE_STEPS = 20
"""First back-off steps (15 s each by default) until an event is looked at again that MPW could not be asked about."""

WAIT_MIN = timedelta(seconds=5)
"""Whatever the settings say: what waits is looked at once in a pass, or a pass would not end."""

LOOK_AGAIN = timedelta(minutes=1)
"""When a corrected event is looked at again whose delete is not done; the delete itself calls it earlier."""

UNKNOWN_WAIT_MAX = timedelta(hours=6)
"""A part that MPW does not know is asked for at the pace of the frequent polls, then ever more seldom, until this."""

ROUTES: Mapping[str, str] = {RECEIPT: "receipts", ISSUANCE: "issuances", TRANSFER: "transfers"}
POSTS: Mapping[str, str] = {RECEIPT: POST_RECEIPT, ISSUANCE: POST_ISSUANCE, TRANSFER: POST_TRANSFER}
DELETES: Mapping[str, str] = {RECEIPT: DELETE_RECEIPT, ISSUANCE: DELETE_ISSUANCE}

_POSTS_AND_DELETES: Mapping[str, tuple[str, str]] = {kind: (POSTS[kind], delete) for kind, delete in DELETES.items()}

PartState = Literal["found", "absent", "failed"]


@dataclass(frozen=True, slots=True)
class Origin:
    """The live line of an event where it began. `quantity` is signed; `fields` are an ERP document's."""

    system: str
    seq: int
    item: str
    warehouse: str | None
    quantity: Decimal
    unit_cost: Decimal
    occurred_on: date
    occurred_at: datetime | None = None
    reference: str | None = None
    fields: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PushRow:
    """A row that the outbox has for an event."""

    id: int
    operation: str
    state: str
    tries: int
    attempts: int
    fence: int
    payload: str
    entity_key: str
    item: str | None
    api_key: str = ""
    facts: str = "{}"  # JSON
    unseen: bool = False  # done by an answer alone: no poll has shown all of it yet

    @property
    def may_be_there(self) -> bool:
        """Whether a vendor may have what it says: not where no call was ever made for it, nor after a plain refusal."""
        if self.state in ("superseded", "dead"):
            return False
        return self.tries > 0 and (self.state != "discarded" or self.attempts > 0)

    @property
    def unsent(self) -> bool:
        """Whether no call was ever made for it, and none will be without our doing."""
        return self.tries == 0 and self.state in ("held", "ready", "superseded")

    @property
    def waiting(self) -> bool:
        """Whether it would still be sent, and never was."""
        return self.tries == 0 and self.state in ("held", "ready")


@dataclass(frozen=True, slots=True)
class MpwRow:
    """A row that MPW has, or had, under an event's key, as it was last seen. `quantity` is above zero."""

    remote_id: str
    item: str
    warehouse: str | None
    quantity: Decimal
    unit_cost: Decimal
    occurred_on: date
    live: bool


@dataclass(frozen=True, slots=True)
class Event:
    """What all systems, and the outbox, know under one (kind, api_key)."""

    kind: str
    api_key: str
    origin: Origin | None
    had_origin: bool
    mpw_ever: bool
    mpw_live: bool
    mpw_item: str | None = None
    mpw_rows: tuple[MpwRow, ...] = ()
    role: str | None = None  # of the movement's line: event, echo, undecided
    item: str | None = None  # MPservices' own, of the movement's line
    nameless: bool = False  # the line gave no external id: its item is MPservices' own id
    unpushed: bool = False
    settled: str | None = None  # by a person who did it by hand: who, and why
    void_wanted: bool = False
    pushes: tuple[PushRow, ...] = ()
    parked: str | None = None  # the reason it waits for, if it does
    date_confirmed: date | None = None  # by a person, where it is odd
    corrections: tuple[str, ...] = ()  # keys that corrected contents of it are posted under, the oldest first
    last_seq: int = 0  # of its newest entry
    was: Origin | None = None  # what its origin said last, where that is void

    @property
    def pushed_key(self) -> str:
        """The key that it stands under in MPW, or is to stand under."""
        return self.corrections[-1] if self.corrections else self.api_key


@dataclass(frozen=True, slots=True)
class Part:
    """Whether MPW knows a part in a warehouse. `since`: when its exception was opened.

    `near`: a part that MPW has shown and whose name is nearly this one's.
    """

    state: PartState
    detail: str = ""
    since: datetime | None = None
    near: str | None = None


@dataclass(frozen=True, slots=True)
class Leave:
    """Nothing is to be done."""

    why: str


@dataclass(frozen=True, slots=True)
class Derive:
    """Add a push, or put its content into `instead`: the event's row that was never sent."""

    push: NewPush
    instead: PushRow | None = None


@dataclass(frozen=True, slots=True)
class Supersede:
    """Take back a row that was never sent."""

    row: PushRow
    why: str


@dataclass(frozen=True, slots=True)
class Taken:
    """Its key has something else in MPW: the push is given up before anything is sent, and a person is told."""

    push: NewPush
    detail: str
    instead: PushRow | None = None


@dataclass(frozen=True, slots=True)
class NeedsPart:
    """MPW must be asked whether it knows the part before anything can be said."""

    warehouse: str
    part_number: str


@dataclass(frozen=True, slots=True)
class Park:
    """It waits; `due_at` None: until the map or a setting changes. `kind` and `subject` name an exception."""

    reason: str
    due_at: datetime | None
    kind: str | None = None
    subject: Subject | None = None
    detail: str = ""
    hint: str = ""
    withdraw: PushRow | None = None


Decision = Leave | Derive | Supersede | Taken | NeedsPart | Park


def waits_for(kind: str, subject: Subject) -> str:
    """Return the reason under which an event waits for an exception."""
    return f"{kind}: {subject.name}"


def decide(
    event: Event,
    *,
    policy: Rules,
    now: datetime,
    mappings: Mapping[str, ItemMapping],
    parts: Mapping[tuple[str, str], Part],
) -> Decision:
    """Decide what an event needs now. `parts` by (warehouse, part number), of those that were asked for."""
    if event.kind not in POSTS:
        return Leave("no event of ours")
    if is_ignored(event, mappings) and not event.void_wanted:
        row = _post_of(event)
        return Supersede(row, IGNORED) if row is not None and row.waiting else Leave(IGNORED)
    if event.settled is not None:
        row = _post_of(event)
        why = f"settled by hand: {event.settled}"
        return Supersede(row, why) if row is not None and row.waiting else Leave(why)
    if event.void_wanted or (event.origin is None and event.had_origin):
        return _void(event, policy)
    if event.origin is None:
        return Leave("no origin that we push")
    row = _post_of(event)
    if event.corrections and not event.unpushed:
        waits = _replaced(event, policy, now)
        if waits is not None:
            return waits
    reason = _not_pushed(event, event.origin, row, policy)
    taken = _taken(event, event.origin, policy) if reason == MPW_HAS_IT else None
    if reason in (None, BEFORE_CUT):
        odd = _odd_date(event, event.origin, policy, now)
        if odd is not None:
            return replace(odd, withdraw=row) if row is not None and row.waiting else odd
    if reason is not None and taken is None:
        return (
            Supersede(row, reason) if row is not None and row.waiting and _withdraws(event, policy) else Leave(reason)
        )
    made = _build(event, event.origin, policy=policy, now=now, mappings=mappings, parts=parts)
    if isinstance(made, Park) and row is not None and row.waiting:
        return Park(made.reason, made.due_at, made.kind, made.subject, made.detail, made.hint, withdraw=row)
    if not isinstance(made, NewPush):
        return made
    if taken is not None:
        return Taken(made, taken, instead=row)
    if row is not None and row.waiting and (row.payload, row.entity_key) == (made.payload, made.entity_key):
        return Leave("derived already")
    return Derive(made, instead=row)


def is_ignored(event: Event, mappings: Mapping[str, ItemMapping]) -> bool:
    """Tell whether an event is of an item that MPW is never to have."""
    mapping = mappings.get(event.item) if event.item is not None else None
    return mapping is not None and mapping.ignored


def is_before_cut(origin: Origin, policy: Rules) -> bool:
    """Tell whether an event is older than the go-live cut: recorded, never pushed.

    Movements carry an instant; ERP documents a day, and the cut's own day is not before it.
    """
    if origin.occurred_at is not None:
        return origin.occurred_at < policy.push_from_there
    return origin.occurred_on < policy.day(policy.push_from)


def _post_of(event: Event) -> PushRow | None:
    """Return the row that posts the event, whatever its state."""
    return _row_of(event, POSTS[event.kind], event.pushed_key)


def _row_of(event: Event, operation: str, key: str) -> PushRow | None:
    named = (row for row in event.pushes if row.operation == operation and (row.api_key or event.api_key) == key)
    return next(named, None)


def standing(event: Event) -> PushRow | None:
    """Return the row whose effect may stand in MPW and that nothing takes back: of a correction, or of the original."""
    for key in (event.api_key, *event.corrections):
        row = _row_of(event, POSTS[event.kind], key)
        if row is not None and row.may_be_there and _row_of(event, DELETES[event.kind], key) is None:
            return row
    return None


def differs_from_posted(event: Event, posted: PushRow, *, policy: Rules, mappings: Mapping[str, ItemMapping]) -> bool:
    """Tell whether MPW, which has what a row posted, lacks what the event says now.

    The cost of an issuance is MPW's own, so that one of another cost alone does not differ. What cannot be built
    now, or was posted so long ago that its content is forgotten, differs.
    """
    if event.origin is None:
        return True
    target = _target(event, event.origin, mappings)
    if not isinstance(target, ItemMapping):
        return True
    quantity, unit_cost = _quantity(event, event.origin, target), _unit_cost(event, event.origin, target)
    if not isinstance(quantity, Decimal) or not isinstance(unit_cost, Decimal):
        return True
    wanted = json.loads(_payload(event, event.origin, target, quantity, unit_cost, policy), parse_float=Decimal)
    was = json.loads(posted.payload, parse_float=Decimal)
    return any(wanted.get(name) != was.get(name) for name in _COMPARED[event.kind])


def costs_otherwise(event: Event, *, policy: Rules, mappings: Mapping[str, ItemMapping]) -> bool:
    """Tell whether MPW has a receipt at another cost than its event, by more than a hundredth, or may still get it so.

    A hundredth allows for what MPW rounds. One that a person deleted there, or that was never tried, is none.
    """
    if event.kind != RECEIPT or event.origin is None or is_ignored(event, mappings):
        return False
    target = _target(event, event.origin, mappings)
    cost = _unit_cost(event, event.origin, target) if isinstance(target, ItemMapping) else None
    if not isinstance(cost, Decimal):
        return False
    if event.mpw_ever:
        return any(row.live and abs(row.unit_cost - cost) * 100 > cost for row in event.mpw_rows)
    posts = [row for row in event.pushes if row.operation == POSTS[RECEIPT] and row.may_be_there]
    return any(differs_from_posted(event, row, policy=policy, mappings=mappings) for row in posts)


def cannot_be_posted(event: Event, *, policy: Rules, mappings: Mapping[str, ItemMapping]) -> str | None:
    """Return why an event could not be posted once more under another key, were it taken back in MPW first; or None.

    So that nothing is deleted that cannot be put in its place. Whether MPW knows the part is not asked.
    """
    origin = event.origin
    if origin is None:
        return "no other system has it any more"
    if event.kind not in DELETES:
        return "MPW has no way to take it back"
    if event.unpushed or event.role not in (None, "event"):
        return "it is recorded and not pushed"
    if is_before_cut(origin, policy):
        return BEFORE_CUT
    for route in (ROUTES[event.kind], "voids"):
        if policy.route(route) == "off":
            return f"route {route} is off"
    if not is_key(correction_key(event.api_key, len(event.corrections) + 2)):
        return "its key is too long to be given an end"
    target = _target(event, origin, mappings)
    if not isinstance(target, ItemMapping):
        return target.detail
    quantity, unit_cost = _quantity(event, origin, target), _unit_cost(event, origin, target)
    for made in (quantity, unit_cost, _fraction(event, quantity, policy) if isinstance(quantity, Decimal) else None):
        if isinstance(made, Park):
            return made.detail
        if isinstance(made, Leave):
            return made.why
    return None


_COMPARED: Mapping[str, tuple[str, ...]] = {
    RECEIPT: ("part_number", "warehouse_name", "quantity_received", "unit_cost", "created_on"),
    ISSUANCE: ("part_number", "warehouse_name", "quantity", "created_on"),
}


def _replaced(event: Event, policy: Rules, now: datetime) -> Decision | None:
    """Say what a corrected event waits for: nothing is posted before what it replaces has been taken back."""
    row = standing(event)
    if event.mpw_live and all(_row_of(event, name, event.api_key) is None for name in _POSTS_AND_DELETES[event.kind]):
        return _taken_back(event, None, event.api_key, "a person had it corrected", policy)  # a lost outbox posted it
    if row is not None and (row.api_key or event.api_key) != event.pushed_key:
        return _taken_back(event, row, row.api_key or event.api_key, "a person had it corrected", policy)
    for key in (event.api_key, *event.corrections[:-1]):
        delete = _row_of(event, DELETES[event.kind], key)
        if delete is None or delete.state == "done":
            continue
        if delete.state in ("discarded", "superseded"):
            return Leave(f"what it corrects stays: its delete {delete.id} is {delete.state}")
        return Park(
            f"what it corrects is not taken back yet: its delete {delete.id} is {delete.state}", now + LOOK_AGAIN
        )
    return None


def _not_pushed(event: Event, origin: Origin, row: PushRow | None, policy: Rules) -> str | None:
    """Return why an event with a live origin gets no push, or None."""
    if event.role not in (None, "event"):
        return f"its line is {event.role}"
    if event.unpushed:
        return "imported without --push, or a person left it as it is"
    now_ = [push for push in event.pushes if not event.corrections or push.api_key == event.pushed_key]
    if any(push is not row or not push.unsent for push in now_):
        return "given to the outbox already"
    if event.mpw_ever and not event.corrections:
        return MPW_HAS_IT
    # A transfer has no date of its own that people would have keyed in by hand: it is a fresh command.
    if event.kind != TRANSFER and is_before_cut(origin, policy):
        return BEFORE_CUT
    if policy.route(ROUTES[event.kind]) == "off":
        return f"route {ROUTES[event.kind]} is off"
    return None


def _odd_date(event: Event, origin: Origin, policy: Rules, now: datetime) -> Park | None:
    """Ask about the date of a document of the ERP: posted as it is, it would be in a period where nobody looks."""
    if origin.system != "erp" or "created_on" not in origin.fields or event.date_confirmed == origin.occurred_on:
        return None
    odd = odd_date(origin.occurred_on, policy=policy, now=now)
    if odd is None:
        return None
    subject = Subject.event(event.api_key, event.kind)
    return Park(
        waits_for(ODD_DATE, subject),
        odd.fine_from,
        ODD_DATE,
        subject,
        f"the ERP dates {event.kind} {event.api_key} {origin.occurred_on}: {odd.why}. It is recorded, and not sent",
        DATE_HINT,
    )


def _taken(event: Event, origin: Origin, policy: Rules) -> str | None:
    """Return how an ERP document differs from what MPW has, or had, under its key; None: it is that.

    A document that says something else is not in MPW, whatever has its key there; and its POST would overwrite that.
    Movements have keys that nobody else uses: where MPW's row differs, a person corrected it.
    """
    if origin.system != "erp" or is_before_cut(origin, policy) or policy.route(ROUTES[event.kind]) == "off":
        return None
    operation = POSTS[event.kind]
    rows = [row for row in event.mpw_rows if row.live] or list(event.mpw_rows)
    if operation not in COMPARED or not rows:
        return None
    quantity = "quantity_received" if event.kind == RECEIPT else "quantity"
    total = sum((row.quantity for row in rows), Decimal(0)) if event.kind == ISSUANCE else None
    sent = {
        "part_number": origin.item,
        "warehouse_name": origin.warehouse,
        quantity: abs(origin.quantity),
        "unit_cost": origin.unit_cost,
        "created_on": origin.occurred_on if "created_on" in origin.fields else None,
    }
    for row in rows:
        shown = {
            "part_number": row.item,
            "warehouse_name": row.warehouse,
            quantity: row.quantity if total is None else total,
            "unit_cost": row.unit_cost,
            "created_on": row.occurred_on,
        }
        different = differences(operation, sent, shown)
        if different:
            there = "has" if row.live else "had"
            return f"MPW {there} another {event.kind} under it (id {row.remote_id}): " + "; ".join(different)
    return None


def _withdraws(event: Event, policy: Rules) -> bool:
    """A route that is off leaves what is held to the operator; every other reason takes it back."""
    return policy.route(ROUTES[event.kind]) != "off"


# --- voids --------------------------------------------------------------------------------


def _void(event: Event, policy: Rules) -> Decision:
    """An origin that is gone, or that the ERP wants gone: what we posted for it is deleted."""
    row = _post_of(event)
    if row is not None and row.waiting:
        return Supersede(row, "its origin was voided before it was sent")
    if event.unpushed and not event.void_wanted:
        return Leave("a person is asked about it, or left it as it is")
    operation = DELETES.get(event.kind)
    if operation is None:
        return Leave("voided")
    why = "the ERP voided it" if event.void_wanted else "its origin was voided"
    if event.corrections:
        there = standing(event)
        if there is None:
            return Leave("voided, and nothing of it is in MPW")
        return _taken_back(event, there, there.api_key or event.api_key, why, policy)
    if any(push.operation == operation for push in event.pushes):
        return Leave("voided")
    if not _to_delete(event, row):
        return Leave("voided, and nothing of it is in MPW")
    taken_back = _taken_back(event, row, event.api_key, why, policy)
    never_sent = event.was is not None and (row is None or row.attempts == 0)
    different = _taken(event, event.was, policy) if event.was is not None and never_sent else None
    if different is not None and isinstance(taken_back, Derive):
        return Taken(taken_back.push, different)  # another program's row: a delete would take that
    return taken_back


def _taken_back(event: Event, row: PushRow | None, key: str, why: str, policy: Rules) -> Decision:
    """Derive the delete of what stands in MPW under a key."""
    operation = DELETES[event.kind]
    if policy.route("voids") == "off":
        off = "route voids is off"
        # the ERP's word leaves no entry where it names a row of MPW's only: nothing else would bring it back
        return Park(off, None) if event.void_wanted or event.corrections else Leave(off)
    item = row.item if row is not None else event.mpw_item
    entity = row.entity_key if row is not None else f"item:{item}" if item else f"{event.kind}:{event.api_key}"
    return Derive(
        NewPush(
            route="voids",
            operation=operation,
            kind=event.kind,
            api_key=key,
            entity_key=entity,
            item=item,
            rank=rank_of(operation),
            payload=delete_payload(key),
            reason=f"{event.kind} {key}: {why}",
            state=_state(policy, "voids"),
            facts={},
        )
    )


def _to_delete(event: Event, row: PushRow | None) -> bool:
    gone = event.mpw_ever and not event.mpw_live
    if gone:
        return False
    if row is not None and row.state not in ("superseded", "dead") and (row.state != "discarded" or row.attempts > 0):
        return True
    if not event.void_wanted:
        return False
    return event.mpw_live or not event.had_origin


# --- posts --------------------------------------------------------------------------------


def _build(
    event: Event,
    origin: Origin,
    *,
    policy: Rules,
    now: datetime,
    mappings: Mapping[str, ItemMapping],
    parts: Mapping[tuple[str, str], Part],
) -> NewPush | Park | NeedsPart | Leave:
    target = _target(event, origin, mappings)
    if not isinstance(target, ItemMapping):
        return target
    quantity = _quantity(event, origin, target)
    if not isinstance(quantity, Decimal):
        return quantity
    unit_cost = _unit_cost(event, origin, target)
    if not isinstance(unit_cost, Decimal):
        return unit_cost
    fraction = _fraction(event, quantity, policy)
    if fraction is not None:
        return fraction
    warehouse = target.warehouses[0]
    if event.kind != RECEIPT or not policy.create_parts:
        part = parts.get((warehouse, target.part_number))
        if part is None:
            return NeedsPart(warehouse, target.part_number)
        if part.state != "found":
            return _unknown(event, part, warehouse, target.part_number, policy, now)
    return _push(event, origin, target, quantity, unit_cost, policy)


def _target(event: Event, origin: Origin, mappings: Mapping[str, ItemMapping]) -> ItemMapping | Park:
    if origin.system == "erp":
        return ItemMapping(origin.item, origin.item, (origin.warehouse or "",))
    mapping = mappings.get(origin.item)
    if mapping is not None and mapping.warehouses:
        return mapping
    subject = Subject.item(origin.item)
    return Park(
        waits_for(UNMAPPED_ITEM, subject),
        None,
        UNMAPPED_ITEM,
        subject,
        f"MPservices' item {shown(origin.item)} has no part in MPW: neither the item map nor MPW_WAREHOUSE names one",
        "add it to the item map (`mpsync items import FILE`), with `yes` under ignore where MPW is never to have it, "
        "or set MPW_WAREHOUSE if part numbers are external_ids; "
        f"{BY_HAND}",
    )


def _quantity(event: Event, origin: Origin, target: ItemMapping) -> Decimal | Park | Leave:
    """Return the quantity that MPW is told, above zero."""
    signed = origin.quantity if event.kind == RECEIPT else -origin.quantity
    if signed == 0:
        return Leave("its quantity is zero")
    try:
        quantity = in_mpw(signed, target.factor)
    except ValueError:
        quantity = Decimal(0)
    if quantity > 0:
        return quantity
    subject = Subject.event(event.api_key, event.kind)
    return Park(
        waits_for(ODD_QUANTITY, subject),
        None,
        ODD_QUANTITY,
        subject,
        f"{event.kind} {event.api_key} is of {plain(signed)} {origin.item}: MPW takes quantities above zero only",
        f"find out what it means; {BY_HAND}",
    )


def _unit_cost(event: Event, origin: Origin, target: ItemMapping) -> Decimal | Park:
    """Return the cost of one unit of MPW's."""
    try:
        return cost_in_mpw(origin.unit_cost, origin.quantity, target.factor)
    except ValueError:
        subject = Subject.event(event.api_key, event.kind)
        return Park(
            waits_for(ODD_QUANTITY, subject),
            None,
            ODD_QUANTITY,
            subject,
            f"{event.kind} {event.api_key}: a cost of {plain(origin.unit_cost)} by a factor of {plain(target.factor)} "
            "is more than can be",
            f"correct the factor in the item map (`mpsync items import FILE`); {BY_HAND}",
        )


def _fraction(event: Event, quantity: Decimal, policy: Rules) -> Park | None:
    whole = quantity == quantity.to_integral_value()
    refused = event.kind == ISSUANCE and policy.fractions_refused
    if event.kind == RECEIPT or whole or (policy.fractional_issuances and not refused):
        return None
    subject = Subject.event(event.api_key, event.kind)
    if refused:
        return Park(
            waits_for(FRACTIONAL, subject),
            None,
            FRACTIONAL,
            subject,
            f"{event.kind} {event.api_key} is of {plain(quantity)}: MPW takes no issuance of a fraction, as "
            "`mpsync learned list` shows (fractions_taken)",
            "if MPW takes fractions by now, `mpsync learned set fractions_taken yes --why TEXT` and "
            f"MPW_FRACTIONAL_ISSUANCES=true let it be sent; {BY_HAND}",
        )
    return Park(
        waits_for(FRACTIONAL, subject),
        None,
        FRACTIONAL,
        subject,
        f"{event.kind} {event.api_key} is of {plain(quantity)}: MPW's document types this quantity Integer",
        f"`mpsync events settle {event.api_key} --kind {event.kind} --why TEXT`: it is not sent. Then key it into MPW "
        "by hand, as the whole number or the fraction that MPW takes. Where `mpsync probe` finds that MPW takes "
        "fractions, MPW_FRACTIONAL_ISSUANCES=true lets those that wait be sent in place of that",
    )


def _unknown(event: Event, part: Part, warehouse: str, part_number: str, policy: Rules, now: datetime) -> Park:
    if part.state == "failed":
        return Park(
            f"{NOT_ASKED}: {part.detail}" if part.detail else NOT_ASKED,
            now + max(UNREACHABLE_STEPS * policy.retry_base, WAIT_MIN),
        )
    subject = Subject.item(f"{part_number} in {warehouse}")
    age = now - part.since if part.since is not None else timedelta(0)
    wait = min(max(age, policy.poll_recent, WAIT_MIN), UNKNOWN_WAIT_MAX)
    detail = f"MPW does not know part {shown(part_number)} in warehouse {warehouse}"
    if part.near is not None:
        detail += f"; it has {shown(part.near)}"
    hint = (
        "create the part in MPW, or correct its name: in the item map, or in the ERP, which sends it under a new key; "
        "a receipt would create it, which MPW_CREATE_PARTS=true allows"
    )
    if event.nameless and event.origin is not None:
        item = event.origin.item
        detail += f": movements of MPservices' item {item} show no external id, so that its own id stands for it"
        hint = (
            "give the product an external id in MPservices, if its movement shows it then; or map MPservices' own id "
            f"{item} to its part (`mpsync items import FILE`)"
        )
    return Park(
        waits_for(UNKNOWN_PART, subject),
        now + wait,
        UNKNOWN_PART,
        subject,
        detail + (f": {part.detail}" if part.detail else ""),
        f"{hint}; {BY_HAND}",
    )


def _push(
    event: Event, origin: Origin, target: ItemMapping, quantity: Decimal, unit_cost: Decimal, policy: Rules
) -> NewPush:
    route, operation = ROUTES[event.kind], POSTS[event.kind]
    facts: dict[str, Any] = {"seq": origin.seq, "origin": origin.system}
    if origin.system != "erp":
        facts |= {"external_id": origin.item, "factor": plain(target.factor)}
    return NewPush(
        route=route,
        operation=operation,
        kind=event.kind,
        api_key=event.pushed_key,
        entity_key=f"item:{target.part_number}",
        item=target.part_number,
        rank=rank_of(operation),
        payload=_payload(event, origin, target, quantity, unit_cost, policy),
        reason=f"{name_of(origin.system)} has {event.kind} {event.api_key}"
        f" ({plain(abs(origin.quantity))} of {origin.item}, {origin.occurred_on}), MPW has not",
        state=_state(policy, route),
        facts=facts,
    )


def _payload(
    event: Event, origin: Origin, target: ItemMapping, quantity: Decimal, unit_cost: Decimal, policy: Rules
) -> str:
    warehouse = target.warehouses[0]
    if event.kind == TRANSFER:
        return transfer_payload(
            part_number=target.part_number,
            warehouse=warehouse,
            destination=str(origin.fields["destination_warehouse_name"]),
            quantity=quantity,
        )
    if event.kind == RECEIPT:
        return receipt_payload(
            part_number=target.part_number,
            warehouse=warehouse,
            quantity=quantity,
            unit_cost=unit_cost,
            created_on=origin.occurred_on,
            api_key=event.pushed_key,
            extras=origin.fields,
        )
    description = origin.fields.get("description") or origin.reference
    return issuance_payload(
        part_number=target.part_number,
        warehouse=warehouse,
        quantity=quantity,
        created_on=origin.occurred_on,
        api_key=event.pushed_key,
        description=str(description) if description else None,
        marker=policy.description_marker,
        description_max=policy.description_max,
        extras=origin.fields,
    )


def _state(policy: Rules, route: str) -> str:
    return "ready" if policy.route(route) == "push" else "held"
