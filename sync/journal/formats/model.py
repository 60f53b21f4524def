"""What a format is given: documents with their lines, and how the books are set. Amounts are millionths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import NamedTuple


class Line(NamedTuple):
    """A line of a document; debit positive. What is only known of one entry is None in a summary."""

    account: str
    amount: int
    cost_center: str | None
    api_key: str | None = None
    kind: str | None = None
    item: str | None = None
    warehouse: str | None = None
    quantity: int | None = None
    vendor: str | None = None
    purchase_order: str | None = None
    invoice: str | None = None
    equipment: str | None = None
    work_order: str | None = None


class Document(NamedTuple):
    """What the ERP books at once: its lines sum to 0. `booked_on` is YYYY-MM-DD."""

    number: str
    booked_on: str
    text: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Options:
    """All that a file's bytes depend on besides its documents; kept with the batch.

    `accounts` give each account its use and its name. `first_day` is the earliest day of the batch.
    """

    currency: str = "USD"
    decimals: int = 2
    accounts: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    first_day: str = ""
    dates: str = ""
    tax_rate: str = ""
    company: str = ""
    journal: str = ""
    tracking: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return it as the batch keeps it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Format:
    """How a file is made: `head` once a file, `document` for each.

    `lines_max` and `documents_max` are of one file, which is split there; `document_lines_max` cannot be. `number_max`
    and `account_max` are characters. `needs` are options that must be given. 0: no limit.
    """

    name: str
    suffix: str
    head: Callable[[Options], str]
    document: Callable[[Document, Options], str]
    lines_max: int = 0
    documents_max: int = 0
    number_max: int = 0
    account_max: int = 0
    needs: tuple[str, ...] = ()


def amount_text(millionths: int, decimals: int) -> str:
    """Return a plain decimal of so many places: -1234.50. Entries are whole in the smallest unit."""
    whole = abs(millionths) // 10 ** (6 - decimals)
    sign = "-" if millionths < 0 and whole else ""
    units, rest = divmod(whole, 10**decimals)
    return f"{sign}{units}.{rest:0{decimals}d}" if decimals else f"{sign}{units}"


def sides(line: Line, options: Options, *, nothing: str = "") -> tuple[str, str]:
    """Return debit and credit, one of them `nothing`."""
    text = amount_text(abs(line.amount), options.decimals)
    return (text, nothing) if line.amount > 0 else (nothing, text)


def printable(text: str | None, longest: int = 0) -> str:
    """Return a text without control characters, at most so many characters; 0: as long as it is."""
    shown = "".join(sign if sign.isprintable() else " " for sign in text or "")
    return shown[:longest].rstrip() if longest else shown


def day_as(day: str, form: str) -> str:
    """Return YYYY-MM-DD in a form such as MM/DD/YYYY."""
    year, month, of_month = day.split("-")
    return form.replace("YYYY", year).replace("MM", month).replace("DD", of_month)
