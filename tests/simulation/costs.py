"""What MPservices should say an item costs, worked out from the vendors' truth alone (design, "Stock and cost", 3).

The ledger's value by its quantity where that quantity is MPW's; else MPW's own unit cost where it is above zero; else
the last receipt's cost; else, which is not held here, an issuance's. The ledger holds what MPW lists since the start
date, which the end of a run has shown.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import TYPE_CHECKING

from sync.sandbox.mpw_state import Issuance, Part, Receipt

if TYPE_CHECKING:
    from tests.simulation.world import World

MILLIONTH = Decimal("0.000001")
MARKED = Decimal("0.00002")
"""How far the cut to five decimals and the mark in the sixth lead away from a cost."""


def costs_differ(world: World) -> list[str]:
    """Return what is wrong of the costs of the items that patches go to."""
    left = []
    for item in world.people.items:
        wanted = wanted_costs(world, item) if is_patched(world, item) else set()
        wanted = {one * world.people.factor(item) for one in wanted}
        cost = world.mps.product(item).cost
        if wanted and not any(abs(cost - one) <= _slack(world, item) for one in wanted):
            names = " or ".join(str(one) for one in sorted(wanted))
            left.append(f"{item}: its cost in MPservices is {cost}, and by MPW it is {names}")
    return left


def _slack(world: World, item: str) -> Decimal:
    """Return how far a cost may be off: by its mark; by twice what the vendor keeps, which hides a small change.

    Of a dozen, by what a dozen's last decimal makes.
    """
    mark = MARKED if getattr(world.policy, "cost_mark", False) else Decimal(0)
    kept = 2 * world.mps.keeps_cost.unit if "rounds_cost" in world.habits else Decimal(0)
    return mark + kept + MILLIONTH * (world.people.factor(item) - 1)


def is_patched(world: World, item: str) -> bool:
    """Tell whether the map lists an item, or a movement of people's named it: no patch goes to any other."""
    moves = [move for move in world.mps.all_movements if not move.by_patch and move.id not in world.mps.nameless]
    return world.people.mapped or any(line.product.external_id == item for move in moves for line in move.lines)


def wanted_costs(world: World, item: str) -> set[Decimal]:
    """Return what an item may cost: several where a day's receipts differ, since a day has no order; none: whatever."""
    parts = [
        part for (place, name), part in world.mpw.parts.items() if name == item and place in world.people.warehouses
    ]
    receipts, issuances = _listed(world, parts)
    stock = sum((part.quantity for part in parts), Decimal(0))
    quantity, value = _books(receipts, issuances)
    if quantity == stock and quantity > 0 and value > 0:
        return {_over(value, quantity)}
    if own := {part.unit_cost for part in parts if part.unit_cost > 0}:
        return own
    priced = [receipt for receipt in receipts if receipt.unit_cost > 0]
    last = max((receipt.created_on for receipt in priced), default=None)
    return {receipt.unit_cost for receipt in priced if receipt.created_on == last}


def _listed(world: World, parts: list[Part]) -> tuple[list[Receipt], list[Issuance]]:
    first, mpw = world.policy.start_date, world.mpw
    receipts = [one for one in mpw.receipt_by_id.values() if one.listed and one.created_on >= first]
    issuances = [one for one in mpw.issuance_by_id.values() if one.created_on >= first]
    return [one for one in receipts if one.part in parts], [one for one in issuances if one.part in parts]


def _books(receipts: list[Receipt], issuances: list[Issuance]) -> tuple[Decimal, Decimal]:
    """Return quantity and value, each line's value rounded as the ledger rounds it."""
    lines = [(one.received, one.unit_cost) for one in receipts] + [(-one.quantity, one.unit_cost) for one in issuances]
    values = [(quantity * cost).quantize(MILLIONTH, ROUND_HALF_EVEN) for quantity, cost in lines]
    return sum((quantity for quantity, _ in lines), Decimal(0)), sum(values, Decimal(0))


def _over(value: Decimal, quantity: Decimal) -> Decimal:
    with localcontext() as context:
        context.prec = 60
        return (value / quantity).quantize(MILLIONTH, ROUND_HALF_EVEN)
