"""How a command reports: tables on a terminal, aligned text in a pipe, one JSON object with --json."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeVar

import click

from sync.values.money import plain

F = TypeVar("F", bound=Callable[..., Any])
NOTHING = "–"
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ")


class Output:
    """Writes a report to stdout for people. Colour and frames only where a terminal shows them."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()

    def line(self, text: str = "") -> None:
        """Write one line of prose."""
        click.echo(_printable(text))

    def prose(self, text: str) -> None:
        """Write sentences: on a terminal in lines that fit, words whole."""
        for line in self._folded("", _printable(text)):
            click.echo(line)

    def heading(self, text: str) -> None:
        """Write a line that names what follows, after an empty one."""
        click.echo()
        click.secho(_printable(text), bold=True, color=self._terminal and _colour_wanted())

    def facts(self, facts: Mapping[str, object]) -> None:
        """Write names and values, one pair a line, the values below each other."""
        width = max((len(name) for name in facts), default=0)
        for name, value in facts.items():
            for line in self._folded(f"{name:<{width}}  ", cell(value)):
                click.echo(line)

    def _folded(self, name: str, text: str) -> list[str]:
        """Return a name and its value as one line; on a terminal prose goes on below its beginning, words whole."""
        return folded(name, text, terminal=self._terminal and _is_prose(text))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = "nothing") -> None:
        """Write rows below their columns' names; columns of numbers stand to the right; without rows, write `empty`."""
        values = [list(row) for row in rows]
        if not values:
            self.line(empty)
            return
        to_the_right = [_numeric(column) for column in zip(*values, strict=True)]
        cells = [[cell(value) for value in row] for row in values]
        if self._terminal:
            _terminal_table(columns, cells, to_the_right)
        else:
            _plain_table(columns, cells, to_the_right)

    def one_a_line(
        self, columns: Sequence[str], rows: Iterable[Sequence[object]], *, cut: Sequence[str], empty: str
    ) -> None:
        """Write one line a row; on a terminal the columns of `cut` are shortened, the first of them first."""
        cells = [[cell(value) for value in values] for values in rows]
        if not cells:
            self.line(empty)
            return
        if self._terminal:
            width = shutil.get_terminal_size().columns
            for name in cut:
                place = columns.index(name)
                others = [max(len(line[n]) for line in ([*columns], *cells)) for n in range(len(columns))]
                over = sum(others) + 2 * (len(columns) - 1) - width
                if over > 0:
                    room = max(others[place] - over, len(name), 10)
                    for row in cells:
                        row[place] = _cut(row[place], room)
        right = [name == "id" for name in columns]
        header, *lines = _aligned(columns, cells, right)
        click.secho(header, bold=self._terminal, color=self._terminal and _colour_wanted())
        for line in lines:
            click.echo(line)


def emit(data: object, as_json: bool, render: Callable[[Output], None]) -> None:
    """Report `data`: as one JSON object and nothing else, or as `render` writes it.

    In JSON Decimals are numbers with all their digits, days `YYYY-MM-DD`, instants end in `Z`.
    """
    if as_json:
        # As bytes: JSON is UTF-8, whatever the terminal's encoding.
        click.echo(as_json_object(data).encode())
    else:
        render(Output())


def as_json_object(data: object) -> str:
    """Return the JSON text of a mapping or dataclass. Raises TypeError for a list: scripts rely on an object."""
    import msgspec

    encoded = msgspec.json.Encoder(decimal_format="number", enc_hook=_encodable).encode(data)
    if not encoded.startswith(b"{"):
        raise TypeError(f"a report is one object, not {type(data).__name__}")
    return encoded.decode()


def json_option(command: F) -> F:
    """Give a command `--json`, as its parameter `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, nothing else.")(command)


def attention(reasons: Iterable[str], *, code: int = 1) -> None:
    """Name on stderr each thing that needs a person, and end with exit code 1, or `code`; without one, return."""
    named = list(reasons)
    for reason in named:
        said("attention", reason)
    if named:
        raise click.exceptions.Exit(code)


def said(name: str, text: str) -> None:
    """Write a line that begins with its name to stderr; on a terminal it goes on below, words whole."""
    for line in folded(f"{name}: ", _printable(text), terminal=sys.stderr.isatty()):
        click.echo(line, err=True)


def folded(name: str, text: str, *, terminal: bool) -> list[str]:
    """Return a name and its text as one line; on a terminal as lines that fit, the later ones below its beginning."""
    if not terminal:
        return [f"{name}{text}".rstrip()]
    columns = max(shutil.get_terminal_size().columns, len(name) + 20)
    return textwrap.wrap(
        text,
        columns,
        initial_indent=name,
        subsequent_indent=" " * len(name),
        break_long_words=False,
        break_on_hyphens=False,
    ) or [name.rstrip()]


def cell(value: object) -> str:
    """Return a value as people read it; what a vendor sent cannot steer their terminal."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return ", ".join(cell(part) for part in value) or NOTHING
    return _printable(str(value))


def _cut(text: str, room: int) -> str:
    """Shorten a text in its middle: keys begin alike, and end in what tells them apart."""
    if len(text) <= room:
        return text
    end = (room - 1) // 2
    return f"{text[: room - 1 - end]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - end :]}"


def _colour_wanted() -> bool:
    """Tell whether the user lets a terminal be coloured (no-color.org: any text in NO_COLOR says no)."""
    return not os.environ.get("NO_COLOR")


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _numeric(column: Sequence[object]) -> bool:
    known = [value for value in column if value is not None]
    return bool(known) and all(
        isinstance(value, (int, float, Decimal)) and not isinstance(value, bool) for value in known
    )


def _aligned(columns: Sequence[str], cells: list[list[str]], to_the_right: list[bool]) -> list[str]:
    """Return the lines of a table, the columns' names first, as wide as their longest texts."""
    lines = [list(columns), *cells]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    return [
        "  ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, to_the_right, strict=True)
        ).rstrip()
        for line in lines
    ]


def _plain_table(columns: Sequence[str], cells: list[list[str]], to_the_right: list[bool]) -> None:
    for line in _aligned(columns, cells, to_the_right):
        click.echo(line)


def _terminal_table(columns: Sequence[str], cells: list[list[str]], to_the_right: list[bool]) -> None:
    """Write rows so that keys stay whole: prose that does not fit beside them goes below its row."""
    from rich.cells import cell_len

    width = shutil.get_terminal_size().columns
    sentences = [
        place
        for place in range(len(columns))
        if any(_is_prose(line[place]) for line in cells) or all(line[place] == NOTHING for line in cells)
    ]
    for below in ([], sentences):
        beside = [place for place in range(len(columns)) if place not in below]
        rows = [[line[place] for place in beside] for line in cells]
        header, *lines = _aligned([columns[place] for place in beside], rows, [to_the_right[place] for place in beside])
        if beside and all(cell_len(line) <= width for line in (header, *lines)):
            click.secho(header, bold=True, color=_colour_wanted())
            click.echo("─" * max(cell_len(line) for line in (header, *lines)))
            for line, values in zip(lines, cells, strict=True):
                click.echo(line)
                for place in below:
                    _write_below(columns[place], values[place], width)
            return
    _rich_table(columns, cells, to_the_right)


def _is_prose(text: str) -> bool:
    return " " in text and len(text) > 18 and not _INSTANT.fullmatch(text)


def _write_below(name: str, text: str, width: int) -> None:
    if text == NOTHING:
        return
    for line in textwrap.wrap(
        f"{name}: {text}", max(width, 20), initial_indent="    ", subsequent_indent="      ", break_on_hyphens=False
    ):
        click.echo(line)


def _rich_table(columns: Sequence[str], cells: list[list[str]], to_the_right: list[bool]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="bold", show_edge=False)
    for name, right in zip(columns, to_the_right, strict=True):
        table.add_column(Text(name), justify="right" if right else "left", overflow="fold")
    for line in cells:
        table.add_row(*(Text(text) for text in line))
    Console(highlight=False, color_system="auto" if _colour_wanted() else None).print(table)


def _encodable(value: object) -> object:
    """Give msgspec what it can encode: rows of SQLAlchemy and other mappings become objects."""
    mapping = getattr(value, "_mapping", value)
    if isinstance(mapping, Mapping):
        return dict(mapping)
    raise TypeError(f"cannot write {type(value).__name__} as JSON")
