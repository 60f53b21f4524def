"""Reading the fields of a request as strictly as the vendors' tables of parameters are written."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from sync.sandbox.answers import Refusal
from sync.sandbox.numbers import exact


def parse_day(text: str, name: str) -> date:
    """Return a date written exactly `YYYY-MM-DD`; Refusal 422 otherwise."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise Refusal(422, f"{name} must be a date in ISO YYYY-MM-DD format") from None
    if day.isoformat() != text:
        raise Refusal(422, f"{name} must be a date in ISO YYYY-MM-DD format")
    return day


class Fields:
    """One JSON object that was posted; every getter refuses with 422 what the table does not allow.

    MPW, Receipts - POST: "quoted strings above should be sent as strings, while numeric values should
    not be quoted and should be sent as integer or floating point values".
    """

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def has(self, name: str) -> bool:
        """Return whether the field was sent with a value; null counts as absent."""
        return self._values.get(name) is not None

    def raw(self, name: str) -> object:
        """Return the value as it came, None when absent."""
        return self._values.get(name)

    def optional_text(self, name: str) -> str | None:
        """Return a string or None; a number in its place is refused."""
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise Refusal(422, f"{name} must be a String")
        return value

    def text(self, name: str) -> str:
        """Return a required string that is not blank."""
        value = self.optional_text(name)
        if value is None or not value.strip():
            raise Refusal(422, f"{name} is required")
        return value

    def day(self, name: str) -> date:
        """Return a required date."""
        return parse_day(self.text(name), name)

    def optional_number(self, name: str) -> Decimal | None:
        """Return a JSON number or None; a quoted number is refused."""
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
            raise Refusal(422, f"{name} must be an Integer or Float")
        return exact(value)

    def number(self, name: str) -> Decimal:
        """Return a required JSON number."""
        value = self.optional_number(name)
        if value is None:
            raise Refusal(422, f"{name} is required")
        return value

    def quantity(self, name: str, *, fractions: bool) -> Decimal:
        """Return a required number above zero, whole unless `fractions`; 1.00 is whole, as in the samples."""
        return counted(self.number(name), name, fractions=fractions)


def counted(value: Decimal, name: str, *, fractions: bool) -> Decimal:
    """Return a number above zero, whole unless `fractions`; Refusal 422 otherwise."""
    if value <= 0:
        raise Refusal(422, f"{name} must be greater than 0")
    if not fractions and value != value.to_integral_value():
        raise Refusal(422, f"{name} must be an Integer")
    return value
