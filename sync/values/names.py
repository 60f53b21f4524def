"""Names that people take for the same one: compared to the letter, shown so that the difference is seen."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

ALIKE = 0.85
"""From this likeness on a name is offered for another one."""

_COMBINING = ("Mn", "Mc", "Me", "Cf", "Cc", "Zl", "Zp")


def shown(name: str) -> str:
    """Return a name as it is where nothing in it is unseen; else in quotes, with spaces of other kinds and combining
    marks as escapes: `'51503 '`, `'51503\\u00a0'`, `'A\\u0308'`.
    """
    text = "".join(_visible(character) for character in name)
    return text if text == name == name.strip() else f"'{text}'"


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in _COMBINING or (category == "Zs" and character != " "):
        return f"\\u{ord(character):04x}"
    return character


def folded(name: str) -> str:
    """Return what two names share that look the same: without case, spaces, and the ways to compose a letter."""
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())


def nearest(name: str, others: Iterable[str]) -> str | None:
    """Return the one among others that is taken for a name, or is most like it; None where none is. Never itself."""
    by_folded = {folded(other): other for other in others if other != name}
    found = difflib.get_close_matches(folded(name), list(by_folded), n=1, cutoff=ALIKE)
    return by_folded[found[0]] if found else None
