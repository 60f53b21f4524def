"""Exact numbers: quantities, costs and amounts with six decimals, never a float."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation

SCALE = 6
QUANTUM = Decimal(1).scaleb(-SCALE)
_EXACT = Context(prec=80, rounding=ROUND_HALF_EVEN)
_LIMIT = Decimal(2**63 - 1).scaleb(-SCALE)
_ONE = 10**SCALE
_PRODUCT_LIMIT = (2**63 - 1) * _ONE


def fixed(value: object) -> Decimal:
    """Return `value` as a Decimal rounded half-even to six decimals.

    Takes what the wire gives: Decimal, int, or a string with a number in it ("25", " 2.0 ").
    Raises ValueError for a float (its digits are already wrong), a bool, NaN, infinity,
    anything unreadable, and numbers a 64-bit scaled integer cannot hold.
    """
    if isinstance(value, bool) or not isinstance(value, (Decimal, int, str)):
        raise ValueError(f"not a number: {value!r} ({type(value).__name__})")
    if isinstance(value, str) and ("_" in value or len(value) > 60):
        raise ValueError(f"not a number: {value[:60]!r}")
    try:
        number = Decimal(value.strip() if isinstance(value, str) else value)
    except InvalidOperation:
        raise ValueError(f"not a number: {value!r}") from None
    if not number.is_finite():
        raise ValueError(f"not a finite number: {value!r}")
    if number.adjusted() > 13 or abs(number) > _LIMIT:
        raise ValueError(f"too large: {value!r}")
    if number.adjusted() < -60:
        return Decimal("0.000000")
    return _EXACT.quantize(number, QUANTUM) + 0


def agrees(exact: Decimal, given: Decimal) -> bool:
    """Tell whether an amount is the one that was given, at the decimals given, two at least: 33.3333 is 33.33."""
    exponent = given.as_tuple().exponent
    decimals = max(2, -exponent if isinstance(exponent, int) else 0)
    return abs(_EXACT.subtract(exact, given)) * 2 <= Decimal(1).scaleb(-decimals)


def times(quantity: Decimal, unit_cost: Decimal) -> Decimal:
    """Return quantity × unit cost, rounded half-even to six decimals; ValueError where that is too large."""
    return fixed(exactly_times(quantity, unit_cost))


def exactly_times(quantity: Decimal, unit_cost: Decimal) -> Decimal:
    """Return quantity × unit cost with all its decimals: what was rounded may be either neighbour of it."""
    return _EXACT.multiply(quantity, unit_cost)


def to_micros(value: object) -> int:
    """Return a number as the scaled integer of millionths that the books hold: 1.25 → 1250000; see `fixed`."""
    return int(fixed(value).scaleb(SCALE))


def from_micros(value: int | Decimal) -> Decimal:
    """Return the number of a scaled integer: 1250000 → 1.250000."""
    return Decimal(int(value)).scaleb(-SCALE)


def times_micros(quantity: int, unit_cost: int) -> int:
    """Return what `times` does, of scaled integers: millionths, rounded half-even.

    Raises ValueError where the ledger cannot hold the exact product.
    """
    product = quantity * unit_cost
    if not -_PRODUCT_LIMIT <= product <= _PRODUCT_LIMIT:
        raise ValueError(f"too large: {Decimal(product).scaleb(-2 * SCALE)!r}")
    whole: int = product // _ONE
    rest = product - whole * _ONE
    up = rest * 2 > _ONE or (rest * 2 == _ONE and whole % 2 == 1)
    return whole + 1 if up else whole


def plain(value: Decimal) -> str:
    """Return the shortest plain text of a number: 2.000000 → "2", 1.250000 → "1.25"; never an exponent."""
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text
