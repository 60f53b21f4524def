"""The mark by which a movement of our own stock patch is known, as a pushed issuance is by its `[api_key]`.

The call Update product stock and cost carries no key, and the movement that it makes shows none. What the movement
does show is a cost. So every attempt sends the wanted cost cut to five decimals, with a digit of its own in the sixth.
The digit is taken off the cost of every movement at the door, people's included: they move at the product's current
cost, which is the marked one. Nothing that we keep, push or compare ever holds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import ROUND_DOWN, Decimal

from sync.values.money import QUANTUM, exactly_times, fixed

MARKED_FROM = Decimal("0.01")
"""A smaller cost is sent as it is: a digit in its sixth decimal would be more than a hundredth of a percent of it."""

_FIVE = Decimal("0.00001")
_DIGITS = range(1, 10)


def without_mark(cost: Decimal) -> Decimal:
    """Return a cost cut to five decimals; one below 0.01 as it is, since it never carries a mark.

    It is cut and never rounded: a rounded digit would come back as a cost that nobody paid.
    """
    return cost if abs(cost) < MARKED_FROM else cost.quantize(_FIVE, rounding=ROUND_DOWN) + 0


def marked(cost: Decimal, digit: int) -> Decimal:
    """Return the cost that an attempt sends: the wanted one, cut, with its digit; digit 0: no mark."""
    bare = without_mark(cost)
    return bare if bare < MARKED_FROM else bare + digit * QUANTUM


def per_unit(shown: Decimal, quantity: Decimal, *, cost_is: str) -> Decimal:
    """Return what a movement cost per unit, mark included; `cost_is`: whether the shown cost is `unit` or `total`.

    Raises ValueError where that does not fit the ledger.
    """
    return fixed(shown / abs(quantity)) if cost_is == "total" and quantity != 0 else shown


def mark_of(cost: Decimal) -> int:
    """Return the digit in the sixth decimal of a cost as it was shown or sent; 0: it carries no mark."""
    return 0 if abs(cost) < MARKED_FROM else int(abs(cost) / QUANTUM) % 10


def next_mark(shown: Iterable[Decimal], sent: Sequence[Decimal]) -> int:
    """Return the digit of the next attempt of an item.

    `shown`: the costs of its movements in the feed's window, as shown. `sent`: the costs of its attempts, oldest
    first. A digit that neither has comes first; else the one that was sent longest ago.
    """
    seen = {mark_of(cost) for cost in shown}
    used = [mark_of(cost) for cost in sent]
    last = {digit: max((at for at, one in enumerate(used) if one == digit), default=-1) for digit in _DIGITS}
    return min(_DIGITS, key=lambda digit: (digit in seen, last[digit], digit))


def meaning_of(shown: Decimal, quantity: Decimal, sent: Decimal) -> str | None:
    """Return how a movement shows exactly the cost that was sent: as `unit`, as `total`, or None: it does not.

    The total of a broken quantity has more decimals than six: 0.25 at 61.150802 are 15.2877005, which one vendor rounds
    up, one to the even digit, and one cuts. Each of them shows the mark.
    """
    if shown == sent:
        return "unit"
    total = exactly_times(abs(quantity), sent)
    if quantity not in (0, 1, -1) and -QUANTUM / 2 <= total - shown < QUANTUM:
        return "total"
    return None


def resembles(shown: Decimal, quantity: Decimal, sent: Decimal, *, decimals: int = 0) -> bool:
    """Tell whether a shown cost can be the sent one, rounded or cut to the decimals that it shows.

    10.1 is what becomes of 10.05 to 10.1999, by the one or the other; 10.0 it cannot have been. `decimals`: so many are
    kept at least, whatever zeros it ends with.
    """
    unit = Decimal(1).scaleb(-max(decimals_of(shown), decimals))
    return any(-unit / 2 <= ours - shown < unit for ours in (sent, exactly_times(abs(quantity), sent)))


def decimals_of(number: Decimal) -> int:
    """Return how many decimals a number needs: 3.330000 needs 2, 100 needs none."""
    return max(-int(number.normalize().as_tuple().exponent), 0)
