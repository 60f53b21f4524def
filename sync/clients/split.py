"""Taking a JSON list or object apart without reading what is in it.

The strict reader refuses a whole text for one bad place in it: a NaN, half a surrogate pair, a control
character in a text, brackets nested a hundred thousand deep. One bad row must not sink its window, so
a text that is whole is cut at its own commas, and each part is read strictly when its turn comes.
"""

from __future__ import annotations

import re

DEPTH_MAX = 100
"""Levels of nesting in a row that is read; a vendor's row has three."""

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+(?P<end>"?)|[\[{]++|[\]}]++|,', re.S)
_MEMBER = re.compile(rb'\s*+("(?:[^"\\]|\\.)*+")\s*+:(.*)', re.S)
_QUOTE, _COMMA = b'",'
_BLANK = b" \t\r\n"
_CLOSING = {b"[": b"]", b"{": b"}"}


def parts_of(text: bytes, opening: bytes) -> list[bytes] | None:
    """Return the parts of a list (`[`) or object (`{`) between its own commas, None where it is not whole.

    Brackets are counted and not matched by kind: a part in which they do not fit is no JSON by itself.
    """
    body = text.strip(_BLANK)
    if not body.startswith(opening) or not body.endswith(_CLOSING[opening]):
        return None
    parts: list[bytes] = []
    depth = start = 0
    for token in _TOKEN.finditer(body):
        mark = body[token.start()]
        if mark == _QUOTE:
            if not token["end"]:
                return None
        elif mark == _COMMA:
            if depth == 1:
                parts.append(body[start : token.start()].strip(_BLANK))
                start = token.end()
        elif mark in b"[{":
            start = start or token.start() + 1
            depth += token.end() - token.start()
        else:
            depth -= token.end() - token.start()
            if depth <= 0 and (depth < 0 or token.end() < len(body)):
                return None
    if depth:
        return None
    last = body[start:-1].strip(_BLANK)
    if parts or last:
        parts.append(last)
    return parts if all(parts) else None


def member_of(part: bytes) -> tuple[bytes, bytes] | None:
    """Return the name of an object's part, in its quotes, and its value; None where it is not `"name": value`."""
    match = _MEMBER.fullmatch(part)
    return (match[1], match[2].strip(_BLANK)) if match else None


def is_deep(element: bytes) -> bool:
    """Tell whether an element is nested deeper than `DEPTH_MAX`; what reads it needs a stack frame a level."""
    if element.count(b"[") + element.count(b"{") <= DEPTH_MAX:
        return False
    depth = 0
    for token in _TOKEN.finditer(element):
        mark = element[token.start()]
        if mark in b"[{":
            depth += token.end() - token.start()
            if depth > DEPTH_MAX:
                return True
        elif mark in b"]}":
            depth -= token.end() - token.start()
    return False
