"""When rows that disappeared may be taken for deleted, and when a permission was more likely lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

SUSPICIOUS_ROWS_MIN = 5
"""Fewer rows than this may well be one person tidying up."""


@dataclass(frozen=True, slots=True)
class Presence:
    """How many rows were known, and how many of them the last reading lacked."""

    known: int
    gone: int


def suspicion(by_warehouse: Mapping[str | None, Presence], ratio: Decimal) -> str | None:
    """Say why a disappearance looks like a lost permission, or None: it looks like deletes.

    At least five rows and more than `ratio` of all rows, or of one warehouse, are gone. MPW shows
    an account only its own warehouses (Authentication), so one that vanishes vanishes whole.
    """
    total = Presence(sum(p.known for p in by_warehouse.values()), sum(p.gone for p in by_warehouse.values()))
    if _is_mass(total, ratio):
        return f"{total.gone} of {total.known} rows are gone"
    for warehouse, presence in sorted(by_warehouse.items(), key=lambda item: str(item[0])):
        if _is_mass(presence, ratio):
            return f"{presence.gone} of {presence.known} rows of {warehouse} are gone"
    return None


def _is_mass(presence: Presence, ratio: Decimal) -> bool:
    return presence.gone >= SUSPICIOUS_ROWS_MIN and presence.gone > ratio * presence.known
