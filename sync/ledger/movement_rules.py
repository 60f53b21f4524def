"""MPservices' movements: which line of an answer is which line of ours."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Generic, TypeVar

from sync.ledger.rules import ISSUANCE, RECEIPT
from sync.values.marks import per_unit, without_mark

INBOUND = "inbound"
OUTBOUND = "outbound"

S = TypeVar("S")
N = TypeVar("N")


@dataclass(frozen=True, slots=True)
class Line:
    """A line as we file it: `quantity` signed (+ Inbound, - Outbound), `unit_cost` per unit, without our mark.

    `shown_cost` is the cost as it came, rounded to six decimals.
    """

    external_id: str
    quantity: Decimal
    unit_cost: Decimal
    created_at: datetime
    digest: str
    named: bool = True
    """Whether it gave an item_external_id: without one its item is known by MPservices' own id."""
    shown_cost: Decimal = Decimal(0)


@dataclass(slots=True)
class Matches(Generic[S, N]):
    """Stored lines beside the lines of an answer: equal or changed ones, new ones, and ones that went away."""

    pairs: list[tuple[S, N]]
    new: list[N]
    gone: list[S]


def kind_of(movement_type: str) -> str | None:
    """Return what a movement is in the ledger, or None for a type the document does not show."""
    return {INBOUND: RECEIPT, OUTBOUND: ISSUANCE}.get(movement_type.strip().casefold())


def file_line(
    kind: str,
    external_id: str,
    quantity: Decimal,
    cost: Decimal,
    *,
    cost_is: str,
    created_at: datetime,
    digest: str,
    named: bool = True,
) -> Line:
    """Return a line as the ledger has it; `cost_is` says whether `cost` is per unit or the line's total.

    The mark of our patches is taken off here, before ledger, push or comparison: people move at the marked cost.
    Raises ValueError where the unit cost does not fit the ledger.
    """
    signed = quantity if kind == RECEIPT else -quantity
    unit_cost = without_mark(per_unit(cost, quantity, cost_is=cost_is))
    return Line(external_id, signed + 0, unit_cost, created_at, digest, named, cost)


def match_lines(
    stored: Sequence[S],
    arrived: Sequence[N],
    rules: Sequence[tuple[Callable[[S], Hashable], Callable[[N], Hashable]]],
) -> Matches[S, N]:
    """Pair lines by the first rule whose two keys agree, in order; lines have no id of their own (edge case S13).

    A reordered answer pairs as before; a line added later is left over as new.
    """
    pairs: list[tuple[S, N]] = []
    left, right = list(stored), list(arrived)
    for key_of_stored, key_of_new in rules:
        waiting: dict[Hashable, list[S]] = {}
        for line in left:
            waiting.setdefault(key_of_stored(line), []).append(line)
        rest: list[N] = []
        for candidate in right:
            found = waiting.get(key_of_new(candidate))
            if found:
                pairs.append((found.pop(0), candidate))
            else:
                rest.append(candidate)
        left = [line for group in waiting.values() for line in group]
        right = rest
    return Matches(pairs, right, left)
