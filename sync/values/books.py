"""What the settings say of the journal, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time
from pathlib import Path


@dataclass(frozen=True, slots=True)
class JournalTerms:
    """How the journal is kept. `starts_on` None: there is none.

    `decimals` of the currency are what entries are rounded to. `erp_books`: kinds of events that the ERP books itself
    where it sent them in. `holds_late`: what is dated in a closed period waits for a person.
    `deliver_at` and `folder`: when and where files are written by themselves each day, in `format` and `mode`, with
    `options` of the format.
    """

    starts_on: date | None = None
    currency: str = "USD"
    decimals: int = 2
    erp_books: frozenset[str] = frozenset({"receipt", "issuance", "transfer"})
    holds_late: bool = False
    deliver_at: time | None = None
    folder: Path | None = None
    format: str = "csv"
    mode: str = "summary"
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def unit(self) -> int:
        """The currency's smallest unit in millionths: 10000 is a cent."""
        return unit_of(self.decimals)


def unit_of(decimals: int) -> int:
    """Return the smallest unit of a currency of so many decimals, in millionths."""
    return int(10 ** (6 - decimals))
