"""How a file writes numbers and dates: one way a file, told by its own cells, or by a person.

`1.250` may be one and a quarter or one thousand two hundred and fifty, and 03/04/2024 may be in March or in April.
Where no other cell of the file tells, nothing is taken; nor where its cells contradict each other, since then a
program has already changed some of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

Numbers = Literal["point", "comma"]
Dates = Literal["ymd", "dmy", "mdy"]
NUMBERS: tuple[Numbers, ...] = ("point", "comma")
DATES: tuple[Dates, ...] = ("ymd", "dmy", "mdy")

_GROUPING = "[ '\u2019\u00a0\u2009\u202f]"
_NUMBER = re.compile(rf"([+-]?)([0-9][0-9.,]*(?:{_GROUPING}[0-9.,]+)*|[.,][0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_DATE = re.compile(r"([0-9]{1,4})([./-])([0-9]{1,2})\2([0-9]{1,4})(?:(?:T|,? +)(.*))?", re.ASCII)
_COMPACT = re.compile(r"(19|20)[0-9]{6}", re.ASCII)
_TIME = re.compile(
    r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(\.[0-9]+)?)? ?([AaPp])?\.?[Mm]?\.?(Z|[+-][0-9:]+)?", re.ASCII
)


@dataclass(slots=True)
class Seen:
    """What the cells of a file tell of its way: by way, the first cell that shows it, with its place.

    `either`: the first cell that may be read in more than one way.
    """

    told: dict[str, tuple[int, str]] = field(default_factory=dict)
    either: tuple[int, str] | None = None

    def add(self, way: str | None, place: int, text: str) -> None:
        """Note what a cell tells."""
        if way == "either":
            self.either = self.either or (place, text)
        elif way is not None:
            self.told.setdefault(way, (place, text))


def number_way(text: str) -> str | None:
    """Return which way a number is written: point, comma, either, or None where it is the same in both, or no number.

    A separator that stands more than once, or before the other one, separates thousands. One with three digits behind
    it and one to three before it (the first of them not 0) may do either.
    """
    found = _NUMBER.fullmatch(text.strip())
    if found is None:
        return None
    body, exponent = found[2], found[3]
    grouped = re.search(_GROUPING, body) is not None
    points, commas = body.count("."), body.count(",")
    if not points and not commas:
        return None
    if points and commas:
        return "point" if body.rfind(".") > body.rfind(",") else "comma"
    if points + commas > 1:
        return "comma" if points else "point"
    before, after = re.split("[.,]", body)
    own: Numbers = "point" if points else "comma"
    ambiguous = len(after) == 3 and 1 <= len(before) <= 3 and before[0] != "0" and not grouped and not exponent
    return "either" if ambiguous else own


def plain_number(text: str, numbers: Numbers) -> str:
    """Return a number with a point and no thousands separators; text that is not a number comes back as it is.

    Raises ValueError for a number that is written in another way than the file's.
    """
    found = _NUMBER.fullmatch(text.strip())
    if found is None:
        return text
    point, group = (".", ",") if numbers == "point" else (",", ".")
    groups = rf"(?:{re.escape(group)}|{_GROUPING})"
    exact = re.fullmatch(rf"([0-9]+|[0-9]{{1,3}}(?:{groups}[0-9]{{3}})+)?(?:{re.escape(point)}([0-9]*))?", found[2])
    if exact is None:
        raise ValueError(f"{text[:40]!r} is not a number with a decimal {numbers}")
    whole = re.sub(groups, "", exact[1] or "0")
    return found[1] + whole + (f".{exact[2]}" if exact[2] else "") + (found[3] or "")


def date_way(text: str) -> str | None:
    """Return which way a date is written: ymd, dmy, mdy, either, same (day and month agree), or None: no date.

    With points the day comes first: no country writes the month first and points between (Unicode CLDR).
    """
    text = text.strip()
    if _COMPACT.fullmatch(text):
        return "ymd"
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    if len(found[1]) == 4:
        return "ymd"
    if len(found[4]) != 4:
        return None
    first, second = int(found[1]), int(found[3])
    if second > 12 >= first:
        return "mdy"
    if found[2] == "." or first > 12 >= second:
        return "dmy"
    return "same" if first == second else "either"


def iso_date(text: str, dates: Dates) -> str:
    """Return a date, and its time where it has one, as ISO 8601 has it; what is no date comes back as it is.

    Raises ValueError for a date that is not written in the file's way, has a year of two digits, or does not exist.
    """
    text = text.strip()
    if _COMPACT.fullmatch(text):
        text = f"{text[:4]}-{text[4:6]}-{text[6:]}"
    found = _DATE.fullmatch(text)
    if found is None:
        return text
    first, second, third = int(found[1]), int(found[3]), int(found[4])
    if len(found[1]) == 4:
        year, month, day = first, second, third
    elif len(found[4]) != 4:
        raise ValueError(f"{text[:40]!r} has no year of four digits")
    elif dates == "ymd":
        raise ValueError(f"{text[:40]!r} does not begin with the year")
    else:
        year, month, day = (third, second, first) if dates == "dmy" else (third, first, second)
    try:
        on = date(year, month, day).isoformat()
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no date ({dates})") from None
    return f"{on}T{_time(found[5])}" if found[5] else on


def _time(text: str) -> str:
    found = _TIME.fullmatch(text.strip())
    if found is None:
        return text
    hour = int(found[1])
    if found[5]:
        hour = hour % 12 + (12 if found[5].lower() == "p" else 0)
    return f"{hour:02}:{found[2]}:{found[3] or '00'}{found[4] or ''}{found[6] or ''}"
