"""Coverage as a calendar: a column a week, a row a weekday, a cell a day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sync.jobs.reports import Record
from sync.web.html import Html, element, join

WEEKS = 26
SYMBOLS = {"fail": "!", "miss": "·"}
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
LEGEND = (
    ("c0", "complete, no rows"),
    ("c1", "complete, few rows"),
    ("c4", "complete, many rows"),
    ("part", "not over yet"),
    ("miss", "not complete"),
    ("fail", "the last reading failed"),
)


@dataclass(frozen=True, slots=True)
class Calendar:
    """A source's days. `expected_from`: from this day on a day without a row is missing; None: it is not."""

    source: str
    rows: Mapping[date, Record]
    today: date
    expected_from: date | None


def first_day(today: date) -> date:
    """Return the Monday that the calendar begins with."""
    monday = today - timedelta(days=today.weekday())
    return monday - timedelta(weeks=WEEKS - 1)


def heat_map(calendar: Calendar) -> Html:
    """Return a source's calendar with a sentence that says the same, for those who cannot see it."""
    first = first_day(calendar.today)
    days = [first + timedelta(days=number) for number in range(WEEKS * 7)]
    kinds = {day: _kind(calendar, day) for day in days}
    many = max((row["rows"] for row in calendar.rows.values()), default=0)
    cells: list[Html] = []
    for day, kind in kinds.items():
        if day.weekday() == 0:
            cells.append(_month(day))
        row = calendar.rows.get(day)
        cells.append(_cell(day, _shade(kind, row, many), row))
    sentence = _sentence(kinds)
    return join(
        [
            element("h3", calendar.source),
            element("div", cells, class_="heat", role="img", aria_label=f"{calendar.source}: {sentence}"),
            element("p", sentence, class_="soft"),
            _trouble(calendar, [day for day, kind in kinds.items() if kind in SYMBOLS]),
        ]
    )


def legend() -> Html:
    """Return what the colours mean."""
    return element(
        "p",
        [
            element("span", element("span", element("i", SYMBOLS.get(kind, ""), class_=kind), class_="heat"), meaning)
            for kind, meaning in LEGEND
        ],
        class_="legend",
    )


def _kind(calendar: Calendar, day: date) -> str:
    """Return what is to be said of a day: none, complete, part, miss or fail."""
    row = calendar.rows.get(day)
    if row is None:
        expected = calendar.expected_from is not None and calendar.expected_from <= day < calendar.today
        return "miss" if expected else "none"
    if row["error"]:
        return "fail"
    if row["complete"]:
        return "complete"
    return "part" if day >= calendar.today else "miss"


def _shade(kind: str, row: Record | None, many: int) -> str:
    if kind != "complete" or row is None:
        return kind
    return "c0" if not row["rows"] else f"c{min(4, 1 + 4 * row['rows'] // (many + 1))}"


def _month(monday: date) -> Html:
    """Return what stands above a week: its month's name where the month begins in it."""
    sunday = monday + timedelta(days=6)
    return element("b", MONTHS[sunday.month - 1] if sunday.day <= 7 else "")


def _cell(day: date, kind: str, row: Record | None) -> Html:
    if kind == "none":
        return element("i")
    said = "not read" if row is None else f"{row['rows']} rows" + (f", {row['error']}" if row["error"] else "")
    return element("i", SYMBOLS.get(kind, ""), class_=kind, title=f"{day.isoformat()}: {said}")


def _sentence(kinds: Mapping[date, str]) -> str:
    counts = {kind: list(kinds.values()).count(kind) for kind in ("complete", "miss", "fail")}
    said = f"{counts['complete']} days complete"
    said += f", {counts['miss']} not" if counts["miss"] else ""
    return said + (f", {counts['fail']} failing" if counts["fail"] else "")


def _trouble(calendar: Calendar, days: Sequence[date]) -> Html | None:
    """Name the days that are not as they should be: nobody can point at a cell on a phone."""
    if not days:
        return None
    names = ", ".join(day.isoformat() for day in days[-5:])
    more = f" and {len(days) - 5} earlier" if len(days) > 5 else ""
    error = next((row["error"] for day in reversed(days) if (row := calendar.rows.get(day)) and row["error"]), None)
    return element("p", f"{names}{more}" + (f": {error}" if error else ""), class_="warn-text")
