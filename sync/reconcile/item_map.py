"""The item map: which MPW part, in which warehouses, an MPservices item is."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from sync.inbox.files.columns import Columns
from sync.values.cells import number_cell
from sync.values.money import fixed

COLUMNS = ("external_id", "part_number", "warehouses", "factor", "ignore")
FILE_COLUMNS = Columns(
    "the item map",
    {"external_id": "text", "part_number": "text", "warehouses": "text", "factor": "number", "ignore": "text"},
    ("external_id", "part_number"),
)
NAME_CHARACTERS_MAX = 500
IGNORED = "ignored: the item map says so"
"""Why nothing of an item is pushed or patched that MPW is never to have."""

_YES, _NO = ("yes", "y", "true", "1"), ("", "no", "n", "false", "0")
_CONTROLS = ("Cc", "Cs")
"""What no name holds. No-break spaces and the joiners inside an emoji may be part of one, and names match exactly."""


@dataclass(frozen=True, slots=True)
class ItemMapping:
    """One item of the map, or the default that stands in for it.

    MPW quantity = MPservices quantity × `factor`. The first warehouse takes the pushes. `ignored`: MPW is never to have
    it; part and warehouses may be empty then.
    """

    external_id: str
    part_number: str
    warehouses: tuple[str, ...]
    factor: Decimal = Decimal(1)
    ignored: bool = False

    def as_row(self) -> dict[str, str]:
        """Return it as a line of the CSV file."""
        return {
            "external_id": self.external_id,
            "part_number": self.part_number,
            "warehouses": ";".join(self.warehouses),
            "factor": number_cell(self.factor) if self.part_number else "",
            "ignore": "yes" if self.ignored else "",
        }


@dataclass(slots=True)
class ReadMap:
    """A map as it was read: the good lines, and the number and reason of each bad one.

    `odd`: names that begin or end with a space, each with its line's number; they are kept so. `open`: items that have
    no part yet, and nothing else either: they stay unmapped.
    """

    mappings: list[ItemMapping] = field(default_factory=list)
    errors: list[tuple[int, str]] = field(default_factory=list)
    odd: list[tuple[int, str]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)


def read_map(
    rows: Iterable[tuple[int, Mapping[str, str | None]]], *, default_warehouse: str | None, word: str = "line"
) -> ReadMap:
    """Check (line number, fields) rows of a map file, one by one and against each other. `word`: what is numbered.

    No warehouse means MPW_WAREHOUSE, no factor means 1. A part in a warehouse belongs to one external_id.
    """
    read = ReadMap()
    items: dict[str, int] = {}
    places: dict[tuple[str, str], int] = {}
    for line, row in rows:
        filled = [name for name in COLUMNS if (row.get(name) or "").strip()]
        if filled == ["external_id"] or (filled == ["external_id", "ignore"] and _says_no(row)):
            read.open.append(str(row["external_id"]))
            continue
        try:
            mapping = _mapping(row, default_warehouse)
            _claim(mapping, line, items, places, word)
        except ValueError as error:
            read.errors.append((line, str(error)))
        else:
            read.mappings.append(mapping)
            names = (mapping.external_id, mapping.part_number)
            read.odd += [(line, name) for name in names if name != name.strip()]
    return read


def _mapping(row: Mapping[str, str | None], default_warehouse: str | None) -> ItemMapping:
    ignored = _ignored(row)
    external_id = _name(row, "external_id")
    part_number = "" if ignored and not (row.get("part_number") or "").strip() else _name(row, "part_number")
    named = [name.strip() for name in (row.get("warehouses") or "").split(";") if name.strip()]
    warehouses = tuple(named or ([default_warehouse] if default_warehouse and not ignored else []))
    if named and not part_number:
        raise ValueError("warehouses are named, and part_number is empty")
    if not warehouses and not ignored:
        raise ValueError("warehouses is empty, and MPW_WAREHOUSE is not set")
    if len(set(warehouses)) < len(warehouses):
        raise ValueError("warehouses names one twice")
    try:
        factor = fixed((row.get("factor") or "1").strip() or "1")
    except ValueError as error:
        raise ValueError(f"factor: {error}") from None
    if factor <= 0:
        raise ValueError("factor must be above 0 (MPW quantity = MPservices quantity × factor)")
    return ItemMapping(external_id, part_number, warehouses, factor, ignored)


def _ignored(row: Mapping[str, str | None]) -> bool:
    text = (row.get("ignore") or "").strip().casefold()
    if text not in (*_YES, *_NO):
        raise ValueError(f"ignore is {text!r}: write yes, or leave it empty")
    return text in _YES


def _says_no(row: Mapping[str, str | None]) -> bool:
    return (row.get("ignore") or "").strip().casefold() in _NO


def _name(row: Mapping[str, str | None], column: str) -> str:
    text = row.get(column) or ""
    if not text.strip():
        raise ValueError(f"{column} is empty")
    if len(text) > NAME_CHARACTERS_MAX or any(unicodedata.category(character) in _CONTROLS for character in text):
        raise ValueError(f"{column} is too long or holds control characters")
    return text


def _claim(
    mapping: ItemMapping, line: int, items: dict[str, int], places: dict[tuple[str, str], int], word: str
) -> None:
    if mapping.external_id in items:
        raise ValueError(f"external_id {mapping.external_id} is in {word} {items[mapping.external_id]} already")
    for warehouse in mapping.warehouses:
        other = places.get((mapping.part_number, warehouse))
        if other is not None:
            raise ValueError(f"part {mapping.part_number} in {warehouse} belongs to {word} {other} already")
    items[mapping.external_id] = line
    places.update({(mapping.part_number, warehouse): line for warehouse in mapping.warehouses})
