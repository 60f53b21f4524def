"""From MPservices' units to MPW's and back: what is whole within the rounding of a number that was given is whole.

A box of 12 has the factor 1/12, and an item map can say 0.083333 only. Twelve pieces are one box, not 0.999996: a
number that is a fraction rounded, or cut, at its last decimal is taken for that fraction where the result is whole
then. The value stays the same on both sides.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from sync.values.money import SCALE, fixed, times

_ROUNDED_AWAY = Fraction(1, 100)
"""A fraction n/d is what was meant only where the rounding of d of them is less than this: 0.33 is 33/100, not 1/3."""


@lru_cache(maxsize=1024)
def meant(value: Decimal) -> Fraction:
    """Return the fraction that a number above zero is the rounding of, else the number itself.

    It is the simplest fraction that is nearer to it than one in its last decimal: 0.083333 and 0.0833 are 1/12,
    0.666667 and 0.666666 are 2/3; 0.25, 0.99 and 0.001 are themselves.
    """
    given, last = Fraction(value), _last_place(value)
    if last == 1 or given <= last:
        return given
    simple = _simplest_between(given - last, given + last)
    return simple if simple.denominator * last < _ROUNDED_AWAY else given


def in_mpw(quantity: Decimal, factor: Decimal) -> Decimal:
    """Return an MPservices quantity in MPW's units, quantity × factor: whole where it is meant so, else as multiplied.

    Raises ValueError where it is too large.
    """
    product = times(quantity, factor)
    if quantity == 0 or product == product.to_integral_value():
        return product
    for size in (Fraction(abs(quantity)), meant(abs(quantity))):
        whole = size * meant(factor)
        if whole.denominator == 1:
            return fixed(whole.numerator if quantity > 0 else -whole.numerator)
    return product


def in_mpservices(quantity: Decimal, factor: Decimal) -> Decimal:
    """Return an MPW quantity in MPservices' units, quantity ÷ factor.

    By a rounded factor each of them may be off by one in the factor's last decimal: a count within that, and within
    a hundredth, is whole.
    """
    quotient = _rounded(Fraction(quantity) / Fraction(factor))
    if meant(factor) == Fraction(factor):
        return quotient
    whole = round(Fraction(quantity) / meant(factor))
    off = abs(Fraction(quantity) - whole * meant(factor))
    return fixed(whole) if off <= min(abs(whole) * _last_place(factor), _ROUNDED_AWAY) else quotient


def cost_in_mpw(unit_cost: Decimal, quantity: Decimal, factor: Decimal) -> Decimal:
    """Return what one of MPW's units costs, where `quantity` is MPservices': the whole costs the same on both sides.

    Raises ValueError where it is too large.
    """
    there = in_mpw(quantity, factor)
    if there == times(quantity, factor):
        return _rounded(Fraction(unit_cost) / Fraction(factor))
    return _rounded(Fraction(unit_cost) * Fraction(quantity) / Fraction(there))


def cost_in_mpservices(unit_cost: Decimal, quantity: Decimal, factor: Decimal) -> Decimal:
    """Return what one of MPservices' units costs, where `quantity` is MPW's: the whole costs the same on both sides.

    Raises ValueError where it is too large.
    """
    here = in_mpservices(quantity, factor)
    if here == _rounded(Fraction(quantity) / Fraction(factor)):
        return times(unit_cost, factor)
    return _rounded(Fraction(unit_cost) * Fraction(quantity) / Fraction(here))


def _last_place(value: Decimal) -> Fraction:
    """Return one in the last decimal that is given; trailing zeros are not."""
    exponent = value.normalize().as_tuple().exponent
    return Fraction(1, 10 ** max(0, -exponent)) if isinstance(exponent, int) else Fraction(1)


def _simplest_between(low: Fraction, high: Fraction) -> Fraction:
    """Return the fraction of the smallest denominator that lies between two positive ones, neither included."""
    whole = low.numerator // low.denominator
    if whole + 1 < high:
        return Fraction(whole + 1)
    if low == whole:  # 0 < high - whole <= 1: one more than what is left out of it
        rest = 1 / (high - whole)
        return whole + Fraction(1, rest.numerator // rest.denominator + 1)
    return whole + 1 / _simplest_between(1 / (high - whole), 1 / (low - whole))


def _rounded(value: Fraction) -> Decimal:
    """Return a fraction rounded half-even to six decimals; ValueError where it is too large."""
    return fixed(Decimal(round(value * 10**SCALE)).scaleb(-SCALE))
