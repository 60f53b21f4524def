"""HTML that cannot be steered by what a vendor sent: text is escaped unless it was made here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from html import escape

from sync.values.money import plain

NOTHING = "–"
VOID = frozenset({"br", "input", "link", "meta"})


class Html(str):
    """Markup that was made here; every other text is escaped when it is put into it."""

    __slots__ = ()


def element(name: str, /, *content: object, **attributes: str | int | bool | None) -> Html:
    """Return an element. `class_` is class, `_` in a name is `-`; None or False leaves an attribute out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_safe("" if value is True else str(value))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(content)}</{name}>")


def join(content: Iterable[object]) -> Html:
    """Return contents one after the other; lists are gone into, None is nothing."""
    parts: list[str] = []
    for one in content:
        if isinstance(one, Html):
            parts.append(one)
        elif isinstance(one, (list, tuple)):
            parts.append(join(one))
        elif one is not None:
            parts.append(_safe(str(one)))
    return Html("".join(parts))


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> Html:
    """Return a table that scrolls sideways by itself where the screen is narrow; numbers stand to the right."""
    if not rows:
        return element("p", empty, class_="none")
    right = [any(_is_number(row[place]) for row in rows) for place in range(len(columns))]
    head = element(
        "tr",
        [
            element("th", name, scope="col", class_="number" if numbers else None)
            for name, numbers in zip(columns, right, strict=True)
        ],
    )
    body = [element("tr", [_cell(value) for value in row]) for row in rows]
    return element("div", element("table", element("thead", head), element("tbody", body)), class_="wide", tabindex=0)


def shown(value: object) -> object:
    """Return a value as people read it: decimals without noughts, instants to the second in UTC."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return element("time", value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ"), datetime=value.isoformat())
    if isinstance(value, date):
        return value.isoformat()
    return value


def ago(seconds: float) -> str:
    """Return a length of time in one unit, as people say it."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(int(seconds), 0)} s"


def _cell(value: object) -> Html:
    return element("td", shown(value), class_="number" if _is_number(value) else None)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def _safe(text: str) -> str:
    """Escape, and show control characters as what they are: something odd."""
    return escape("".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text))
