"""Numbers as the vendors print them: exact, never through a float."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

from sync.values.money import plain

Number = Decimal | int | str


def exact(value: Number) -> Decimal:
    """Return `value` with every digit it has; ValueError for what is no finite number (a float has lost digits)."""
    if isinstance(value, bool) or not isinstance(value, (Decimal, int, str)):
        raise ValueError(f"not an exact number: {value!r}")
    try:
        result = Decimal(value)
    except ArithmeticError:
        raise ValueError(f"not a number: {value!r}") from None
    if not result.is_finite():
        raise ValueError(f"not a finite number: {value!r}")
    return result


@lru_cache(maxsize=65_536)
def decimal_number(value: Decimal) -> Decimal:
    """Return the number as MPW's samples print it, with at least one decimal place: 1 → 1.0, 9.990 → 9.99."""
    text = plain(value)
    return Decimal(text if "." in text else f"{text}.0")


def whole_or_decimal(value: Decimal) -> int | Decimal:
    """Return the number as MPservices' sample prints a quantity: 2, not 2.0; 2.5 stays."""
    return int(value) if value == value.to_integral_value() else Decimal(plain(value))
