"""What MPW's refusals say. The document words one of them only, so all is read tolerantly, and never trusted alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal

from sync.values.money import fixed

_NOT_THERE = re.compile(r"(does|do|did)(n['’]t| not) exist|no longer exists?|not exist|existing (stock|quantity)", re.I)
_ABSENT = re.compile(
    r"\b(not found|no such|(could|can)(n['’]t|not| not) (be found|find)|(does|do|did)(n['’]t| not) exist)\b",
    re.I,
)
_EXISTS = re.compile(
    r"\b(already|exists|duplicated?|duplicates|taken|not unique|must be unique|existing (issuance|api.?key))\b", re.I
)
_SHORT = re.compile(
    r"\b(max|maximum|available|availability|exceeds?|exceeded|exceeding|current receipt|insufficient|enough|stock"
    r"|on hand|remaining|remains?|at most|up to|(more|greater) than|cannot issue|only)\b",
    re.I,
)
_NUMBER = re.compile(r"(?<![\w.\-/\[#])(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?(?![\w\-/\]])", re.A)
_NEAR = re.compile(
    r"\b(max|maximum|available|only|exceeds?|exceeding|remaining|remains?|at most|up to|limit|left|hand)\b", re.I
)


_WHOLE = re.compile(r"\b(integers?|whole (numbers?|units?|quantit\w+)|fractions?|fractional|decimals?)\b", re.I)
_KEPT_CHARACTERS_MAX = 200


def wording(text: str, *, ignore: Iterable[str] = ()) -> str:
    """Return a refusal without what differs from one to the next: the texts in `ignore`, and every number.

    Two refusals of one kind have one wording; it can be kept (`v_learned`), and is no word that only we would write.
    """
    for known in sorted((word for word in ignore if word), key=len, reverse=True):
        text = text.replace(known, "…")
    text = re.sub(r"\d+(?:[.,]\d+)*", "#", text).replace("|", "/")
    return " ".join(text.casefold().split())[:_KEPT_CHARACTERS_MAX].rstrip()


def says_whole(text: str) -> bool:
    """Tell whether a refusal says that the quantity must be a whole number (Issuances - POST: "quantity Integer")."""
    return _WHOLE.search(text) is not None


def says_exists(text: str, status: int | None = None) -> bool:
    """Tell whether a refusal says that the key is there ("If an issuance with an existing api_key is found …")."""
    return status == 409 or _EXISTS.search(_NOT_THERE.sub(" ", text)) is not None


def says_absent(text: str, status: int | None = None) -> bool:
    """Tell whether the refusal of a delete says that nothing is there; the document words none and names no status."""
    return status in (404, 410) or _ABSENT.search(text) is not None


def says_no_product(text: str, status: int | None = None) -> bool:
    """Tell whether MPservices refused a stock patch because it has no such product; the document words no refusal."""
    said = text.casefold()
    words = ("not found", "not exist", "no product", "unknown product")
    return status == 404 or any(one in said for one in words)


def says_short(text: str) -> bool:
    """Tell whether a refusal is about too large a quantity ("a message indicating the maximum quantity available")."""
    return _SHORT.search(text) is not None


def maximum_in(text: str, requested: Decimal, *, ignore: Iterable[str] = ()) -> Decimal | None:
    """Return the maximum that a refusal names: the number below the requested one nearest to a word such as maximum.

    `ignore` holds texts of the request (part number, warehouse, dates) whose digits mean something else.
    """
    for known in sorted((word for word in ignore if word), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(known)}(?!\w)", " ", text)
    words = [match.start() for match in _NEAR.finditer(text)]
    found = []
    for match in _NUMBER.finditer(text):
        value = fixed(match.group(0).replace(",", ""))
        if value < requested:
            distance = min((abs(match.start() - word) for word in words), default=0)
            found.append((distance, value))
    return min(found)[1] if found else None
