"""Frozen payloads: read, compared, and, for the parts of a split issuance, changed in three fields."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from sync.clients.jsontext import decode
from sync.errors import InvariantError

_ENCODER = msgspec.json.Encoder(decimal_format="number")


def fields_of(payload: str) -> dict[str, object]:
    """Return a frozen payload's fields, numbers exact, in the order in which they are written."""
    value = decode(payload.encode())
    if not isinstance(value, dict):
        raise InvariantError("a frozen payload is no JSON object")
    return value


def frozen(fields: Mapping[str, object]) -> str:
    """Return fields as JSON text, Decimals as plain numbers."""
    return _ENCODER.encode(dict(fields)).decode()


def number(value: Decimal) -> int | Decimal:
    """Return a quantity as it is sent: a whole one as an integer (the document types it so, Issuances - POST)."""
    return int(value) if value == value.to_integral_value() else value.normalize()


def text(value: object) -> str:
    """Return a payload's text field; a missing one is empty."""
    return "" if value is None else str(value)
