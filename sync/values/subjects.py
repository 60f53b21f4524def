"""What an exception is about: a push, an order, an item and so on, each named in its own way.

A name alone does not say what it names: push 1005 and order 1005 are two things. The names are what `v_exceptions`
has shown from the first version on, since scripts compare them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

SubjectType = Literal["push", "order", "item", "event", "day", "source", "setting", "row"]
SUBJECT_TYPES: tuple[SubjectType, ...] = get_args(SubjectType)


@dataclass(frozen=True, slots=True)
class Subject:
    """What an exception is about. Made by one of the constructors below, or from a row of the table.

    Raises ValueError for a type that is not one of `SUBJECT_TYPES`.
    """

    type: SubjectType
    name: str

    def __post_init__(self) -> None:
        """Refuse a type that nobody looks for."""
        if self.type not in SUBJECT_TYPES:
            raise ValueError(f"{self.type!r} is not a type of subject")

    @classmethod
    def push(cls, outbox_id: int) -> Subject:
        """Return the subject of one row of the outbox."""
        return cls("push", str(outbox_id))

    @classmethod
    def order(cls, number: str) -> Subject:
        """Return the subject of a purchase order of MPW's."""
        return cls("order", number)

    @classmethod
    def item(cls, name: str) -> Subject:
        """Return the subject of an item, as the one who asks names it: an external_id, or `PART in WAREHOUSE`."""
        return cls("item", name)

    @classmethod
    def stock_of(cls, external_id: str) -> Subject:
        """Return the subject of an item's stock in MPservices: the item again, named apart since the start."""
        return cls("item", f"mps:{external_id}")

    @classmethod
    def event(cls, api_key: str, kind: str | None = None) -> Subject:
        """Return the subject of an event: `KIND KEY`, or the key alone where it is that of a stock patch."""
        return cls("event", f"{kind} {api_key}" if kind else api_key)

    @classmethod
    def day(cls, source: str, day: date) -> Subject:
        """Return the subject of one day of a source."""
        return cls("day", f"{source} {day.isoformat()}")

    @classmethod
    def source(cls, name: str, what: str | None = None) -> Subject:
        """Return the subject of a source or a system; `what`: of one thing that it says."""
        return cls("source", f"{name} {what}" if what else name)

    @classmethod
    def setting(cls, variable: str) -> Subject:
        """Return the subject of a setting, by its variable."""
        return cls("setting", variable)

    @classmethod
    def row(cls, name: str) -> Subject:
        """Return the subject of one row of a vendor's answer or of the inbox, by its source and id."""
        return cls("row", name)
