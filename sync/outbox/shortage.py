"""Less in MPW than is to be taken from it: how much is short, who has it, and what a person chose. Pure.

An issuance or a transfer beyond MPW's stock is not posted, not even in part: MPW would empty the shelf part by part
("Issuances … cannot exceed the quantity present in the current Receipt", Issuances - POST), and what is missing would
be short without a word. It waits for stock, and a person may choose otherwise.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from sync.outbox.machine import STOCK_WAIT, STOCK_WAIT_MAX
from sync.values.exception_kinds import AVAILABLE, FROM, KEEP, WAIT
from sync.values.money import fixed, plain
from sync.values.systems import MPSERVICES

NOT_ENOUGH_STOCK = "not_enough_stock"

TAKE, WAITS, SHORT = "take", "waits_by_word", "short"
"""In a push's facts: from where a person wants how much taken; that one has said to wait; what was short when it was
last looked at."""


@dataclass(frozen=True, slots=True)
class Take:
    """So much, above zero, of MPW's own unit from one warehouse."""

    warehouse: str
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Shortage:
    """What is short. `left`: what is still to be taken; `there`: what MPW has in those warehouses.

    `others`: what the other warehouses of the item have; None: that one could not be read.
    """

    left: tuple[Take, ...]
    there: Mapping[str, Decimal]
    others: Mapping[str, Decimal | None]

    @property
    def asked(self) -> Decimal:
        """How much is still to be taken."""
        return sum((take.quantity for take in self.left), Decimal(0))

    @property
    def within(self) -> tuple[Take, ...]:
        """What of it is there."""
        some = (Take(one.warehouse, min(one.quantity, self.there.get(one.warehouse, Decimal(0)))) for one in self.left)
        return tuple(one for one in some if one.quantity > 0)

    @property
    def missing(self) -> Decimal:
        """How much of it is not there."""
        return self.asked - sum((one.quantity for one in self.within), Decimal(0))

    def as_facts(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "left": [[take.warehouse, plain(take.quantity)] for take in self.left],
            "there": {name: plain(quantity) for name, quantity in self.there.items()},
            "others": {name: None if held is None else plain(held) for name, held in self.others.items()},
        }


def shortage_of(facts: Mapping[str, Any]) -> Shortage | None:
    """Return what was short when a push was last looked at, by its facts; None: MPW refused it, or nothing is."""
    known = facts.get(SHORT)
    if not known:
        return None
    return Shortage(
        tuple(Take(name, fixed(quantity)) for name, quantity in known["left"]),
        {name: fixed(quantity) for name, quantity in known["there"].items()},
        {name: None if held is None else fixed(held) for name, held in known["others"].items()},
    )


# --- from where how much is taken ---------------------------------------------------------


def takes_of(facts: Mapping[str, Any], warehouse: str, quantity: Decimal) -> tuple[Take, ...]:
    """Return from where how much is taken: all of it from its own warehouse, unless a person has chosen."""
    chosen = facts.get(TAKE)
    if not chosen:
        return (Take(warehouse, quantity),)
    return tuple(Take(name, fixed(number)) for name, number in chosen)


def total_of(takes: Sequence[Take]) -> Decimal:
    """Return how much is taken in all."""
    return sum((take.quantity for take in takes), Decimal(0))


def left_of(takes: Sequence[Take], done: Decimal) -> tuple[Take, ...]:
    """Return what is still to be taken when so much of it is there: the takes are done one after the other."""
    left = []
    for take in takes:
        gone = min(done, take.quantity)
        done -= gone
        if take.quantity > gone:
            left.append(Take(take.warehouse, take.quantity - gone))
    return tuple(left)


def taken_of(takes: Sequence[Take], done: Decimal) -> tuple[Take, ...]:
    """Return which of the takes are done when so much is there."""
    taken = []
    for take in takes:
        gone = min(done, take.quantity)
        done -= gone
        if gone > 0:
            taken.append(Take(take.warehouse, gone))
    return tuple(taken)


def is_short(left: Sequence[Take], there: Mapping[str, Decimal]) -> bool:
    """Tell whether any warehouse has less than is to be taken from it."""
    wanted: dict[str, Decimal] = {}
    for take in left:
        wanted[take.warehouse] = wanted.get(take.warehouse, Decimal(0)) + take.quantity
    return any(there.get(warehouse, Decimal(0)) < quantity for warehouse, quantity in wanted.items())


# --- what a person may choose -------------------------------------------------------------


def available(short: Shortage, *, fractions: bool) -> tuple[Take, ...]:
    """Return what of it can be posted now; MPW takes whole quantities only (Issuances - POST) without `fractions`."""
    if fractions:
        return short.within
    whole = (Take(one.warehouse, one.quantity.to_integral_value(ROUND_FLOOR)) for one in short.within)
    return tuple(one for one in whole if one.quantity > 0)


def taken_from(short: Shortage, warehouse: str, *, fractions: bool) -> tuple[Take, ...] | None:
    """Return what is there and, from another warehouse, all the rest; None where that one has less."""
    here = available(short, fractions=fractions)
    rest = short.asked - total_of(here)
    held = short.others.get(warehouse)
    return None if held is None or held < rest else (*here, Take(warehouse, rest))


def lenders(short: Shortage, *, fractions: bool) -> list[str]:
    """Return the other warehouses that have all the rest."""
    return [name for name in short.others if taken_from(short, name, fractions=fractions) is not None]


def choices_of(short: Shortage | None, *, fractions: bool, transfer: bool) -> list[tuple[str, str]]:
    """Return each option that can be chosen now, with what it does.

    A transfer stands in the books as the ERP has sent it: another quantity, or another warehouse, is another transfer.
    """
    found = []
    if short is not None and not transfer:
        here = available(short, fractions=fractions)
        rest = plain(short.asked - total_of(here))
        if here:
            found.append((AVAILABLE, f"{plain(total_of(here))} is posted, the rest is dropped"))
        found += [
            (f"{FROM} {shlex.quote(name)}", f"{rest} is taken from there")
            for name in lenders(short, fractions=fractions)
        ]
    found.append((KEEP, "nothing more of it is posted"))
    found.append((WAIT, "it goes when the stock is there"))
    return found


# --- words and times ----------------------------------------------------------------------


def told_at(facts: Mapping[str, Any], since: datetime, tell_after: timedelta) -> datetime | None:
    """Return when a person is told of a push that is short since then; None: a person has said to wait.

    Of a movement later: people often take a part before its receipt is keyed in.
    """
    if facts.get(WAITS):
        return None
    return since + tell_after if facts.get("origin") == MPSERVICES else since


def look_again_at(now: datetime, since: datetime) -> datetime:
    """Return when to look again if nothing tells us of stock sooner: as long again as it is short, within limits."""
    return now + min(max(now - since, STOCK_WAIT), STOCK_WAIT_MAX)


def said_of(short: Shortage, part: str, *, done: Decimal) -> str:
    """Say what is short, and who has it."""
    here = ", ".join(f"{plain(max(held, Decimal(0)))} in {name}" for name, held in short.there.items())
    posted = f"{plain(done)} of it is posted already, and nothing more" if done > 0 else "nothing was posted"
    said = f"it asks for {plain(short.asked)} of {part}, and MPW has {here}: {posted}"
    known = [f"{name} has {plain(held)}" for name, held in short.others.items() if held is not None]
    unread = [f"{name} could not be read" for name, held in short.others.items() if held is None]
    return "; ".join([said, *known, *unread])


def hint_of(short: Shortage | None, *, fractions: bool, transfer: bool) -> str:
    """Say what a person can do."""
    choices = choices_of(short, fractions=fractions, transfer=transfer)
    said = "; or ".join(f"`mpsync exceptions resolve ID {option} --why TEXT`: {does}" for option, does in choices)
    other = "; for another quantity or warehouse the ERP sends another transfer" if transfer else ""
    return f"receive in MPW what is missing, and it goes by itself; or {said}{other}"
