"""Text in a CSV cell: what a spreadsheet would run as a formula is marked, and the mark is taken off again.

A number is written so that it can be read in one way only.
"""

from __future__ import annotations

import re
from decimal import Decimal

from sync.values.money import plain

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_MARKED = re.compile(r"'+[=+\-@\t\r]")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?|-?\.[0-9]+", re.ASCII)


def neutralised(text: str) -> str:
    """Return a text as a CSV cell shows it: an apostrophe before = + - @ tab or CR, so that it is no formula (M51).

    Numbers stay numbers. A text that looks marked already gets one more, so that `as_written` gives back every text.
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def as_written(cell: str) -> str:
    """Return the text that a cell stands for: what `neutralised` marked, without its mark."""
    return cell[1:] if _MARKED.match(cell) else cell


def number_cell(number: Decimal) -> str:
    """Return a number as a cell that says by itself that its point is for decimals: 1.125 as 1.1250."""
    text = plain(number)
    return f"{text}0" if re.fullmatch(r"-?[1-9][0-9]{0,2}\.[0-9]{3}", text) else text
