"""Whether two systems say the same of one event, and whether a person has to be asked where they do not.

| the event | its books | a person is asked |
|---|---|---|
| MPW never had it | are not compared: it is unmatched | – |
| a transfer, an adjustment, an echo of ours | are not compared: MPW lists no transfers | – |
| MPW has it, and it is void where it began | differ | no: the delete, or who switched deletes off, says so |
| part, warehouse, quantity and a receipt's cost agree | agree | no, and what was asked is answered |
| so they do but for a row that a delete of ours took back, and no poll has missed yet | agree | no |
| they differ, and a push of it is under way, failed, or not seen yet | differ | not yet: the push mends it, or tells |
| they differ, and people settled, kept or are asked about it | differ | no |
| they differ, and a person chose what of it is posted, for want of stock (`not_enough_stock`) | differ | no |
| MPW has none of it left, and `deleted_in_mpw` said so | differ | no: that was told |
| they differ, and what MPW has was never ours | differ | no: `key_taken` told, or the push was given up |
| they differ otherwise | differ | yes: `books_differ` |

"Agree" allows for what nobody did: a number that MPW rounds or cuts to two or more decimals, for each of its rows, and
a factor that has as many decimals as fit, whose last one is rounded (0.083333 for a twelfth). The item map counts as it
is, or as it was when the event was posted: a corrected map does not make old postings wrong one by one. The cost of an
issuance is MPW's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from itertools import combinations

from sync.ledger.rules import ISSUANCE, RECEIPT
from sync.outbox.evidence import DECIMALS_KEPT_MIN, adds_up, number_of, same_name
from sync.outbox.machine import POST_ISSUANCE, POST_RECEIPT
from sync.outbox.shortage import TAKE
from sync.reconcile.item_map import ItemMapping
from sync.reconcile.rules import DELETES, Decision, Event, Leave, MpwRow, Origin, PushRow, is_ignored, standing
from sync.values.factors import in_mpw
from sync.values.money import QUANTUM, SCALE, fixed, plain
from sync.values.systems import MPSERVICES, name_of

UNDER_WAY = ("held", "ready", "sending", "unknown", "dead")
"""States of a push that may still bring the books together, or that people are told of: that says what is missing."""

PART, WAREHOUSE, QUANTITY, COST = "part", "warehouse", "quantity", "cost"
"""What may differ."""

_POSTS, _DELETES = (POST_RECEIPT, POST_ISSUANCE), tuple(DELETES.values())

ROWS_MAX = 10
"""Of so many rows of one event those are looked for that a delete took back: every choice of them is tried."""


@dataclass(frozen=True, slots=True)
class Told:
    """What people were told of an event already. `deleted`: by `deleted_in_mpw`. `restated`: `cost_restated` asked.

    `settled`: a person said that it was dealt with by hand.
    """

    deleted: bool = False
    restated: bool = False
    settled: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """What differs (None: nothing does), whether a person is asked, and if not: whether it waits, and why not."""

    difference: str | None
    ask: bool = False
    waits: bool = False
    why: str = ""


AGREE = Finding(None, why="both sides agree now")


def finding(event: Event, *, decision: Decision, mappings: Mapping[str, ItemMapping], told: Told) -> Finding:
    """Compare the books of an event, and say what follows, by the table above. `decision`: what it needs now."""
    differs = _differences(event, mappings)
    if not differs:
        return AGREE
    different = "; ".join(differs.values())
    if is_ignored(event, mappings):
        return Finding(different, why="the item map ignores it")
    why = _not_asked(event, told, differs)
    if why is not None:
        return Finding(different, why=why)
    if not isinstance(decision, Leave) or any(_is_under_way(push) for push in event.pushes):
        return Finding(different, waits=True)
    if not _is_ours(event):
        return Finding(different, why="what MPW has under its key is not ours")
    return Finding(different, ask=True)


def difference(event: Event, mappings: Mapping[str, ItemMapping]) -> str | None:
    """Return what differs between the system where an event began and MPW, both sides of it; None: nothing does."""
    return "; ".join(_differences(event, mappings).values()) or None


def _differences(event: Event, mappings: Mapping[str, ItemMapping]) -> dict[str, str]:
    if event.kind not in (RECEIPT, ISSUANCE) or event.role not in (None, "event"):
        return {}
    if not event.had_origin or not event.mpw_ever:
        return {}
    live = [row for row in event.mpw_rows if row.live]
    if event.origin is None:
        there = live and not any(push.operation in _DELETES and push.state == "done" for push in event.pushes)
        return {QUANTITY: f"quantity: void where it began, MPW {_sum(live)}"} if there else {}
    targets = _targets(event, event.origin, mappings)
    unlike = [_unlike(event.kind, event.origin, target, live) for target in targets]
    if not unlike or not all(unlike):
        return {}
    for left in _without_deleted(event, live):
        if not all(_unlike(event.kind, event.origin, target, left) for target in targets):
            return {}
    return unlike[0]


def _not_asked(event: Event, told: Told, differs: Mapping[str, str]) -> str | None:
    """Return why nobody is asked about an event whose books differ, whatever its pushes do; or None."""
    if event.origin is None:
        return "it is void where it began"
    if told.settled:
        return "a person said that it is dealt with"
    if event.unpushed:
        return "a person is asked about its movement, or left it as it is"
    if any(TAKE in json.loads(push.facts) for push in event.pushes):
        return "a person chose what of it is posted"
    if told.restated and list(differs) == [COST]:
        return "a person is asked about its cost with others'"
    if told.deleted and not event.mpw_live:
        return "MPW does not have it any more: that was told by itself"
    return None


def _is_under_way(push: PushRow) -> bool:
    return push.unseen or push.state in UNDER_WAY


def _without_deleted(event: Event, live: Sequence[MpwRow]) -> Iterator[Sequence[MpwRow]]:
    """Return what is left of MPW's rows, in every way in which those may be chosen that a delete of ours took back.

    It is done, and no poll has missed them yet. Where a poll shows them again, `push_not_there` tells.
    """
    deleted = {push.api_key for push in event.pushes if push.operation in _DELETES and push.state == "done"}
    gone = {Decimal(0)}
    for push in event.pushes:
        if push.operation in _POSTS and push.api_key in deleted:
            fields = json.loads(push.payload, parse_float=Decimal)
            quantity = number_of(fields.get("quantity", fields.get("quantity_received"))) or Decimal(0)
            gone |= {one + quantity for one in gone}
    if len(gone) == 1 or len(live) > ROWS_MAX:
        return
    for count in range(1, len(live)):
        for left in combinations(live, count):
            rest = [row.quantity for row in live if row not in left]
            if any(one and adds_up(one, rest) for one in gone):
                yield left


def _is_ours(event: Event) -> bool:
    """Tell whether what MPW has is what we posted, in this database or, by a movement's key, in one that was lost.

    A document of the ERP whose key somebody else has in MPW was never sent: `key_taken` tells of that.
    """
    posted = any(push.operation in _POSTS for push in event.pushes)
    by_movement = event.origin is not None and event.origin.system == MPSERVICES
    return standing(event) is not None or (by_movement and not posted)


def _targets(event: Event, origin: Origin, mappings: Mapping[str, ItemMapping]) -> list[ItemMapping]:
    """Return what the origin's item is in MPW: by the map as it is, and as it was when the event was posted."""
    if origin.system != MPSERVICES:
        return [ItemMapping(origin.item, origin.item, (origin.warehouse or "",))]
    found = [mappings[origin.item]] if origin.item in mappings else []
    row = standing(event)
    facts = json.loads(row.facts) if row is not None else {}
    if row is not None and row.item is not None and facts.get("external_id") == origin.item and "factor" in facts:
        warehouse = json.loads(row.payload).get("warehouse_name") or ""
        found.append(ItemMapping(origin.item, row.item, (str(warehouse),), fixed(facts["factor"])))
    return found


def _unlike(kind: str, origin: Origin, target: ItemMapping, live: Sequence[MpwRow]) -> dict[str, str]:
    who, factor = name_of(origin.system), target.factor
    signed = origin.quantity if kind == RECEIPT else -origin.quantity
    if not live:
        return {QUANTITY: f"quantity: {who} {_by_factor(signed, signed * factor, factor)}, MPW none"}
    parts = sorted({row.item for row in live if not same_name(target.part_number, row.item)})
    wanted = [name for name in target.warehouses if name]
    warehouses = sorted({row.warehouse for row in live if row.warehouse and not _is_in(row.warehouse, wanted)})
    off = _off(factor)
    told: dict[str, str] = {}
    if parts:
        named = f" (part {target.part_number})" if target.part_number != origin.item else ""
        told[PART] = f"part: {who} {origin.item}{named}, MPW {', '.join(parts)}"
    if warehouses and wanted:
        told[WAREHOUSE] = f"warehouse: {who} {' or '.join(wanted)}, MPW {', '.join(warehouses)}"
    if not _is_within([row.quantity for row in live], *_bounds(kind, origin, target)):
        told[QUANTITY] = f"quantity: {who} {_by_factor(signed, signed * factor, factor)}, MPW {_sum(live)}"
    if kind == RECEIPT:
        cost = origin.unit_cost
        sent = cost * signed / _as_sent(signed, factor) if signed else cost / factor
        low, _, high = sorted((cost / (factor + off), cost / (factor - off), sent))
        odd = [row.unit_cost for row in live if not _is_within([row.unit_cost], low, high)]
        if odd:
            shown = ", ".join(plain(one) for one in sorted(set(odd)))
            told[COST] = f"unit cost: {who} {_by_factor(cost, cost / factor, factor)}, MPW {shown}"
    return told


def _as_sent(quantity: Decimal, factor: Decimal) -> Decimal:
    """Return a quantity as a push says it: whole within the rounding of a factor of any decimals."""
    try:
        return in_mpw(quantity, factor) or quantity * factor
    except ValueError:
        return quantity * factor


def _is_within(shown: Sequence[Decimal], low: Decimal, high: Decimal) -> bool:
    """Tell whether numbers are together between two bounds, once those are cut to the decimals that are shown."""
    exponents = [exponent for one in shown if isinstance(exponent := one.normalize().as_tuple().exponent, int)]
    step = Decimal(1).scaleb(-min(SCALE, max(DECIMALS_KEPT_MIN, *(-exponent for exponent in exponents))))
    room = step * len(shown) if len(shown) > 1 else Decimal(0)
    total = sum(shown, Decimal(0))
    return low.quantize(step, ROUND_FLOOR) - room <= total <= high.quantize(step, ROUND_CEILING) + room


def _bounds(kind: str, origin: Origin, target: ItemMapping) -> tuple[Decimal, Decimal]:
    """Return between what MPW's quantity is right."""
    signed = origin.quantity if kind == RECEIPT else -origin.quantity
    off = _off(target.factor)
    sent = _as_sent(signed, target.factor)
    low, _, high = sorted((signed * (target.factor - off), signed * (target.factor + off), sent))
    return low, high


def _off(factor: Decimal) -> Decimal:
    """Return by how much a factor may be off: half its last decimal where it has as many as fit, and may be rounded."""
    exponent = factor.normalize().as_tuple().exponent
    return QUANTUM / 2 if isinstance(exponent, int) and -exponent >= SCALE else Decimal(0)


def _is_in(warehouse: str, names: Sequence[str]) -> bool:
    return any(same_name(name, warehouse) for name in names)


def _by_factor(own: Decimal, there: Decimal, factor: Decimal) -> str:
    said = f" (in MPW's unit {_rounded(there)}, by the factor {plain(factor)})" if factor != 1 else ""
    return f"{plain(own)}{said}"


def _rounded(number: Decimal) -> str:
    return plain(number.quantize(QUANTUM))


def _sum(rows: Sequence[MpwRow]) -> str:
    return plain(sum((row.quantity for row in rows), Decimal(0)))
