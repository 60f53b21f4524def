"""Opens a file that a person hands in, finds out how it is written, and reads it line by line."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from sync.clients.jsontext import decode
from sync.errors import FileNotTakenError
from sync.inbox.files.columns import Columns, Header, read_header
from sync.inbox.files.conventions import (
    DATES,
    NUMBERS,
    Dates,
    Numbers,
    Seen,
    date_way,
    iso_date,
    number_way,
    plain_number,
)
from sync.inbox.files.kinds import kind_of
from sync.inbox.files.text import UTF_8, Encoding, encoding_of
from sync.inbox.files.workbook import sheets_of
from sync.values.cells import as_written

HEADER_WITHIN = 50
"""Lines from the top in which the header is looked for: above it stand titles."""

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_UNREADABLE = ("\x00", "\ufffd", *map(chr, range(0xDC80, 0xDD00)))
"""What stands for bytes that are no text in the file's encoding."""

_DIGITS_OF_A_SHEET = 15
"""A spreadsheet keeps no more digits of a number than these; what is longer has lost its end."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the file: its fields by the columns' names, or why it has none."""

    number: int
    fields: Mapping[str, object]
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What a person says of a file, where it does not tell by itself."""

    numbers: Numbers | None = None
    dates: Dates | None = None
    sheet: str | None = None


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file of which it is known how it is written. `found`: that, by what it is, for people to read.

    `numbered`: what its numbers count. `unknown`: columns that it has beside those that are read.
    """

    path: Path
    found: Mapping[str, str]
    read: Callable[[], Iterator[Line]]
    numbered: str = "line"
    unknown: tuple[str, ...] = ()

    def lines(self) -> Iterator[Line]:
        """Yield its lines in their order, numbered as an editor does; empty ones are passed over."""
        return self.read()


def open_file(path: Path, columns: Columns, told: Told | None = None, *, may_be_bare: bool = False) -> OpenedFile:
    """Find out how a file is written, by reading it once through. `may_be_bare`: a header alone is enough.

    Raises FileNotTakenError where it is something else, has no header, cannot be read in one way only or holds nothing,
    and ConfigError where it is not there or may not be read.
    """
    told = told or Told()
    kind = kind_of(path)
    if kind == "json":
        return _open_json(path, columns, told)
    if kind == "workbook":
        return _open_workbook(path, columns, told, may_be_bare=may_be_bare)
    return _open_text(path, columns, told, may_be_bare=may_be_bare)


# --- tables: text and workbooks -----------------------------------------------------------

Row = tuple[int, Sequence[object] | str]
"""A row's number, and its cells, or why it has none."""


@dataclass(frozen=True, slots=True)
class _Ways:
    numbers: Numbers
    dates: Dates


@dataclass(slots=True)
class _Table:
    """Rows below a header."""

    path: Path
    columns: Columns
    header: Header
    rows: Callable[[], Iterator[Row]]
    ways: _Ways = field(default_factory=lambda: _Ways("point", "ymd"))

    def settle_ways(self, told: Told, word: str, *, may_be_bare: bool) -> None:
        """Find out how it writes numbers and dates."""
        numbers, dates, holds = Seen(), Seen(), False
        kinds = [self.columns.kinds.get(name) for name in self.header.names]
        for number, cells in self.rows():
            holds = True
            if isinstance(cells, str):
                continue
            for kind, cell in zip(kinds, cells, strict=False):
                if kind == "number" and isinstance(cell, str):
                    numbers.add(number_way(cell), number, cell)
                elif kind == "date":
                    dates.add("ymd" if isinstance(cell, date) else date_way(str(cell)), number, str(cell))
        if not holds and not may_be_bare:
            raise FileNotTakenError(f"{self.path} has a header, and nothing below it: nothing is taken")
        self.ways = _Ways(
            told.numbers or _numbers_of(self.path, numbers, word), told.dates or _dates_of(self.path, dates, word)
        )

    def lines(self) -> Iterator[Line]:
        for number, cells in self.rows():
            if isinstance(cells, str):
                yield Line(number, {}, cells)
                continue
            try:
                yield Line(number, self._fields(cells))
            except ValueError as error:
                yield Line(number, {}, str(error))

    def _fields(self, cells: Sequence[object]) -> dict[str, object]:
        names = self.header.names
        filled = [n for n, cell in enumerate(cells) if not _blank(cell)]
        if filled and filled[-1] >= len(names):
            raise ValueError(f"{filled[-1] + 1} values under {len(names)} columns")
        fields: dict[str, object] = {}
        for n in filled:
            if not names[n]:
                raise ValueError(f"{str(cells[n])[:40]!r} is in column {n + 1}, which has no name")
            try:
                fields[names[n]] = _value(cells[n], self.columns.kinds.get(names[n], "text"), self.ways)
            except ValueError as error:
                raise ValueError(f"{names[n]}: {error}") from None
        return fields


def _blank(cell: object) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _value(cell: object, kind: str, ways: _Ways) -> object:
    """Return a cell's value as the documents' readers take it: texts, in the ERP's own form."""
    if isinstance(cell, str):
        if any(mark in cell for mark in _UNREADABLE):
            raise ValueError("it holds bytes that are no text")
        if kind == "number":
            return plain_number(cell, ways.numbers)
        return iso_date(cell, ways.dates) if kind == "date" else as_written(cell)
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, (int, float)):
        if kind == "date":
            raise ValueError(f"{cell:g} is a number in the sheet, not a date: format the column as date")
        if abs(cell) >= 10**_DIGITS_OF_A_SHEET:
            raise ValueError(f"{cell:g} is a number too long for a sheet, which has cut it: format the column as text")
        exact = Decimal(f"{cell:.{_DIGITS_OF_A_SHEET}g}")
        return f"{exact:f}"
    if isinstance(cell, (date, datetime)):
        if kind != "date":
            raise ValueError(f"{cell} is a date in the sheet, which may have made it of something else: format as text")
        return cell.isoformat()
    if isinstance(cell, (time, timedelta)):
        raise ValueError(f"{cell} is a time in the sheet: format the column as text")
    return str(cell)


def _numbers_of(path: Path, seen: Seen, word: str) -> Numbers:
    told = [way for way in NUMBERS if way in seen.told]
    if len(told) > 1:
        (one, first), (other, second) = seen.told["point"], seen.told["comma"]
        raise FileNotTakenError(
            f"{path} writes numbers in two ways ({word} {one}: {first!r}, {word} {other}: {second!r}): "
            "nothing is taken",
            hint="look where they come from; with --numbers point or --numbers comma one of the ways is taken, and "
            "lines that are written in the other are rejected",
        )
    if not told and seen.either is not None:
        at, text = seen.either
        raise FileNotTakenError(
            f"{path}, {word} {at}: {text!r} has either decimals or thousands, and no other number of the file tells "
            "which: nothing is taken",
            hint="--numbers point: its sign for decimals is a point; --numbers comma: it is a comma",
        )
    return told[0] if told else "point"


def _dates_of(path: Path, seen: Seen, word: str) -> Dates:
    told = [way for way in DATES if way in seen.told]
    vague = seen.either or seen.told.get("same")
    if len(told) > 1 or ("ymd" in told and vague is not None):
        shown = [seen.told[way] for way in told] + ([vague] if vague is not None and len(told) == 1 else [])
        (one, first), (other, second) = shown[:2]
        raise FileNotTakenError(
            f"{path} writes dates in two ways ({word} {one}: {first!r}, {word} {other}: {second!r}): nothing is taken",
            hint="a spreadsheet may have swapped day and month in some of them: look where they come from; "
            "--dates ymd, dmy or mdy takes one way, and rejects what cannot be read so",
        )
    if not told and seen.either is not None:
        at, text = seen.either
        raise FileNotTakenError(
            f"{path}, {word} {at}: in {text!r} the day may come first or the month, and no other date of the file "
            "tells which: nothing is taken",
            hint="--dates dmy: the day comes first; --dates mdy: the month does",
        )
    return told[0] if told else "dmy" if vague is not None else "ymd"


def _header_in(
    path: Path, columns: Columns, candidates: Iterable[tuple[int, Sequence[object]]], word: str
) -> tuple[int, Header, Sequence[object]] | None:
    """Return the row that names the most columns, with its number, None where no row names any."""
    best: tuple[int, Sequence[object]] | None = None
    most = 0
    for number, cells in candidates:
        known = columns.known_in(cells)
        if known > most:
            best, most = (number, cells), known
    if best is None:
        return None
    number, cells = best
    return number, _read_header(path, columns, number, cells, word), cells


def _read_header(path: Path, columns: Columns, number: int, cells: Sequence[object], word: str) -> Header:
    try:
        return read_header(columns, cells)
    except ValueError as error:
        raise FileNotTakenError(
            f"{path}, {word} {number}: the header is not right: {error}; nothing is taken", hint=_hint(columns)
        ) from None


def _no_header(path: Path, columns: Columns, first: Sequence[object] | None, word: str) -> FileNotTakenError:
    near = [(str(cell), columns.near(str(cell), list(columns.kinds))) for cell in first or () if not _blank(cell)]
    offered = "; ".join(f"is {cell[:40]!r} meant for {name}?" for cell, name in near if name is not None)
    return FileNotTakenError(
        f"{path} has no header: none of its first {HEADER_WITHIN} {word}s names a column of {columns.what}"
        + (f" ({offered})" if offered else "")
        + "; nothing is taken",
        hint=_hint(columns),
    )


def _hint(columns: Columns) -> str:
    others = [name for name in columns.kinds if name not in columns.required]
    return f"it needs {', '.join(columns.required)}" + (f"; it may have {', '.join(others)}" if others else "")


# --- text ---------------------------------------------------------------------------------


def _open_text(path: Path, columns: Columns, told: Told, *, may_be_bare: bool) -> OpenedFile:
    encoding = encoding_of(path)
    with _opened(path, encoding) as source:
        top = list(islice(source, HEADER_WITHIN))
    found = None
    for delimiter in DELIMITERS:
        candidates = [(n, cells) for n, text in enumerate(top, 1) if (cells := _cells(text, delimiter)) is not None]
        one = max(((columns.known_in(cells), -n) for n, cells in candidates), default=(0, 0))
        if one[0] and (found is None or one > found[0]):
            found = one, delimiter, candidates
    if found is None:
        first = next((cells for text in top if (cells := _cells(text, ",")) and not all(map(_blank, cells))), None)
        raise _no_header(path, columns, first, "line")
    _, delimiter, candidates = found
    header = _header_in(path, columns, candidates, "line")
    assert header is not None
    number = header[0]
    table = _Table(path, columns, header[1], lambda: _text_rows(path, encoding, delimiter, number))
    table.settle_ways(told, "line", may_be_bare=may_be_bare)
    facts = {"encoding": encoding.title, "separator": DELIMITERS[delimiter], "header": f"line {number}"}
    return OpenedFile(path, facts | _ways(table), table.lines, unknown=header[1].unknown)


def _ways(table: _Table) -> dict[str, str]:
    used = {table.columns.kinds.get(name) for name in table.header.names}
    numbers = {"numbers": table.ways.numbers} if "number" in used else {}
    return numbers | ({"dates": table.ways.dates} if "date" in used else {})


def _opened(path: Path, encoding: Encoding) -> TextIO:
    errors = "replace" if encoding.title == "UTF-16" else "surrogateescape"
    return path.open(encoding=encoding.name, errors=errors, newline="")


def _cells(text: str, delimiter: str) -> list[str] | None:
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True), None)
    except csv.Error:
        return None


def _text_rows(path: Path, encoding: Encoding, delimiter: str, header: int) -> Iterator[Row]:
    """Read CSV to the letter: a quote that is never closed would else swallow the documents behind it."""
    with _opened(path, encoding) as source:
        for _ in islice(source, header):
            pass
        reader = csv.reader(source, delimiter=delimiter, strict=True)
        end = header
        while True:
            number = end + 1
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                end = header + reader.line_num
                rest = f"; nothing up to line {end} was read" if end > number else ""
                yield number, f"no CSV: {error}{rest}"
                continue
            end = header + reader.line_num
            if any(cell.strip() for cell in row):
                yield number, row


# --- workbooks ----------------------------------------------------------------------------


def _open_workbook(path: Path, columns: Columns, told: Told, *, may_be_bare: bool) -> OpenedFile:
    sheets = sheets_of(path, told.sheet)
    named = {name: max(columns.known_in(row) for row in rows[:HEADER_WITHIN]) for name, rows in sheets.items() if rows}
    most = max(named.values(), default=0)
    if not most:
        if not any(not _blank(cell) for rows in sheets.values() for row in rows for cell in row):
            raise FileNotTakenError(f"{path} is an empty workbook: nothing is taken")
        first = next((row for rows in sheets.values() for row in rows if not all(map(_blank, row))), None)
        raise _no_header(path, columns, first, "row")
    best = [name for name, known in named.items() if known == most]
    if len(best) > 1:
        raise FileNotTakenError(
            f"{path} has a header of {columns.what} on several sheets ({', '.join(best)}): nothing is taken",
            hint="--sheet NAME says which one",
        )
    rows = sheets[best[0]]
    header = _header_in(path, columns, enumerate(rows[:HEADER_WITHIN], 1), "row")
    assert header is not None
    number = header[0]

    def below() -> Iterator[Row]:
        for n, row in enumerate(rows[number:], number + 1):
            if not all(map(_blank, row)):
                yield n, row

    table = _Table(path, columns, header[1], below)
    table.settle_ways(told, "row", may_be_bare=may_be_bare)
    facts = {"sheet": best[0], "header": f"row {number}"} | _ways(table)
    return OpenedFile(path, facts, table.lines, "row", header[1].unknown)


# --- JSON ---------------------------------------------------------------------------------


def _open_json(path: Path, columns: Columns, told: Told) -> OpenedFile:
    try:
        encoding = encoding_of(path)
    except FileNotTakenError:
        encoding = UTF_8  # what is no text in it spoils its own line

    def converted(lines: Iterable[Line]) -> Iterator[Line]:
        return (_converted(line, columns, told) for line in lines)

    facts = {"encoding": encoding.title}
    if not _is_lines(path, encoding):
        whole = _whole(path, encoding)
        if whole is not None:
            if not whole:
                raise FileNotTakenError(f"{path} is JSON that holds no document: nothing is taken")
            lines = [
                Line(n, one) if isinstance(one, dict) else Line(n, {}, "no JSON object")
                for n, one in enumerate(whole, 1)
            ]
            return OpenedFile(path, facts | {"form": "one list"}, lambda: converted(lines), "element")
    return OpenedFile(path, facts | {"form": "an object a line"}, lambda: converted(_json_lines(path, encoding)))


def _is_lines(path: Path, encoding: Encoding) -> bool:
    with _opened(path, encoding) as source:
        first = next((text for text in source if text.strip()), "")
    try:
        value = decode(first.encode("utf-8", "surrogateescape"))
    except ValueError:
        return False
    return isinstance(value, dict) and _listed(value) is None


def _listed(value: dict[str, Any]) -> list[Any] | None:
    """Return the list that an object is nothing but the envelope of."""
    only = next(iter(value.values())) if len(value) == 1 else None
    return only if isinstance(only, list) else None


def _whole(path: Path, encoding: Encoding) -> list[Any] | None:
    """Return the documents of a file that is one JSON value; None where it is not."""
    with _opened(path, encoding) as source:
        text = source.read()
    try:
        value = decode(text.encode("utf-8", "surrogateescape"))
    except ValueError:
        return None
    if isinstance(value, dict):
        listed = _listed(value)
        return [value] if listed is None else listed
    return value if isinstance(value, list) else None


def _json_lines(path: Path, encoding: Encoding) -> Iterator[Line]:
    with _opened(path, encoding) as source:
        for number, text in enumerate(source, start=1):
            if not text.strip():
                continue
            try:
                value = decode(text.encode("utf-8", "surrogateescape"))
            except ValueError as error:
                yield Line(number, {}, f"no JSON: {error}")
                continue
            yield Line(number, value) if isinstance(value, dict) else Line(number, {}, "no JSON object")


def _converted(line: Line, columns: Columns, told: Told) -> Line:
    """Return a line whose texts are read as a person said; JSON else has one way only: points, and years first."""
    if told.numbers is None and told.dates is None:
        return line
    fields = dict(line.fields)
    for name, value in fields.items():
        kind = columns.kinds.get(columns.known(str(name)) or "", "text")
        try:
            if isinstance(value, str) and kind == "number" and told.numbers is not None:
                fields[name] = plain_number(value, told.numbers)
            elif isinstance(value, str) and kind == "date" and told.dates is not None:
                fields[name] = iso_date(value, told.dates)
        except ValueError as error:
            return Line(line.number, {}, f"{name}: {error}")
    return Line(line.number, fields, line.error)
