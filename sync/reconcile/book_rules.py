"""Whether two systems say the same of one event, and whether a person has to be asked where they do not.

| the event | its books | a person is asked |
|---|---|---|
| MPW never had it | are not compared: it is unmatched | – |
| a transfer, an adjustment, an echo of ours | are not compared: MPW lists no transfers | – |
| MPW has it, and it is void where it began | differ | no: the delete, or who switched deletes off, says so |
| part, warehouse, quantity and a receipt's cost agree | agree | no, and what was asked is answered |
| they differ, and a push of it is under way or has failed | differ | not yet: the push mends it, or tells |
| they differ, and people settled, kept or are asked about it | differ | no |
| MPW has none of it left, and `deleted_in_mpw` said so | differ | no: that was told |
| they differ otherwise | differ | yes: `books_differ` |

"Agree" allows for what nobody did: a number that MPW rounds or cuts to two or more decimals, for each of its rows, and
a factor that has as many decimals as fit, whose last one is rounded (0.083333 for a twelfth). The item map counts as it
is, or as it was when the event was posted: a corrected map does not make old postings wrong one by one. The cost of an
issuance is MPW's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from sync.ledger.rules import ISSUANCE, RECEIPT
from sync.outbox.evidence import DECIMALS_KEPT_MIN, same_name
from sync.outbox.machine import POST_ISSUANCE, POST_RECEIPT
from sync.reconcile.item_map import ItemMapping
from sync.reconcile.rules import Decision, Event, Leave, MpwRow, Origin, is_ignored, standing
from sync.values.factors import in_mpw
from sync.values.money import QUANTUM, SCALE, fixed, plain
from sync.values.systems import MPSERVICES, name_of

UNDER_WAY = ("held", "ready", "sending", "unknown", "dead")
"""States of a push that may still bring the books together, or that people are told of: that says what is missing."""

PART, WAREHOUSE, QUANTITY, COST = "part", "warehouse", "quantity", "cost"
"""What may differ."""

_POSTS = (POST_RECEIPT, POST_ISSUANCE)


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
    if not isinstance(decision, Leave) or any(push.state in UNDER_WAY for push in event.pushes):
        return Finding(different, waits=True)
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
        return {QUANTITY: f"quantity: void where it began, MPW {_sum(live)}"} if live else {}
    targets = _targets(event, event.origin, mappings)
    unlike = [_unlike(event.kind, event.origin, target, live) for target in targets]
    return unlike[0] if unlike and all(unlike) else {}


def _not_asked(event: Event, told: Told, differs: Mapping[str, str]) -> str | None:
    """Return why nobody is asked about an event whose books differ, whatever its pushes do; or None."""
    if event.origin is None:
        return "it is void where it began"
    if told.settled:
        return "a person said that it is dealt with"
    if event.unpushed:
        return "a person is asked about its movement, or left it as it is"
    if told.restated and list(differs) == [COST]:
        return "a person is asked about its cost with others'"
    if told.deleted and not event.mpw_live:
        return "MPW does not have it any more: that was told by itself"
    posted = any(push.operation in _POSTS for push in event.pushes)
    if standing(event) is None and (posted or event.origin.system != MPSERVICES):
        return "what MPW has under its key is not ours"
    return None


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
    off = QUANTUM / 2 if _is_full(factor) else Decimal(0)
    bounds = sorted((signed * (factor - off), signed * (factor + off), _as_sent(signed, factor)))
    told: dict[str, str] = {}
    if parts:
        named = f" (part {target.part_number})" if target.part_number != origin.item else ""
        told[PART] = f"part: {who} {origin.item}{named}, MPW {', '.join(parts)}"
    if warehouses and wanted:
        told[WAREHOUSE] = f"warehouse: {who} {' or '.join(wanted)}, MPW {', '.join(warehouses)}"
    if not _is_within([row.quantity for row in live], bounds[0], bounds[-1]):
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


def _is_full(factor: Decimal) -> bool:
    """Tell whether a factor has as many decimals as fit, so that its last one may be rounded."""
    exponent = factor.normalize().as_tuple().exponent
    return isinstance(exponent, int) and -exponent >= SCALE


def _is_in(warehouse: str, names: Sequence[str]) -> bool:
    return any(same_name(name, warehouse) for name in names)


def _by_factor(own: Decimal, there: Decimal, factor: Decimal) -> str:
    said = f" (in MPW's unit {_rounded(there)}, by the factor {plain(factor)})" if factor != 1 else ""
    return f"{plain(own)}{said}"


def _rounded(number: Decimal) -> str:
    return plain(number.quantize(QUANTUM))


def _sum(rows: Sequence[MpwRow]) -> str:
    return plain(sum((row.quantity for row in rows), Decimal(0)))
