"""Reading a list whose elements all look like the first: one pass of the decoder instead of a look at every field.

It takes only what is beyond doubt: every element has exactly the first one's names, none of them twice,
and each value is of the plainest type that the document describes. For anything else it returns None, and
the careful reader (`rows.py`), which finds the bad row among good ones, reads the whole. Where both read,
they give the same (tests compare them).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from operator import is_
from typing import Any, NamedTuple, TypeVar, cast

import msgspec

from sync.clients.jsontext import decode
from sync.values.money import fixed, to_micros

ID = int
TEXT = str | None
WORD = str | int | None
"""A text that some answers give as a number."""
NUMBER = msgspec.Raw
"""Read by `exact`: its digits, not a float of them."""
FLAG = bool | None

_OTHER = str | int | float | bool | None
_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
_NAMES = msgspec.json.Decoder(dict[str, msgspec.Raw])

A = TypeVar("A")
B = TypeVar("B")

Form = Mapping[str, Any]
"""The fields to read, in lower case, each with one of the types above; all but those marked `?` must be there."""


class Exact(NamedTuple):
    """A number as it is written, and in millionths."""

    value: Decimal
    micros: int


class NotUniformError(ValueError):
    """A value of one element is not of the plainest kind: the careful reader must look."""


def uniform_elements(body: bytes, form: Form) -> tuple[list[Any], list[str]] | None:
    """Return the elements, their fields as attributes, and their exact texts; None where they are not all alike."""
    if b"\\u0000" in body:
        return None
    try:
        texts = _ELEMENTS.decode(body)
        names = tuple(_NAMES.decode(texts[0])) if texts else ()
        decoder = _decoder(names, tuple(form.items()))
        if decoder is None or not _names_are_counted(body, len(names) * len(texts)):
            return None
        return decoder.decode(body), [str(text, "utf-8") for text in texts]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError):
        return None


def _names_are_counted(body: bytes, names: int) -> bool:
    """Tell whether so many names stand in a body, if there are no fewer: then none of them is repeated.

    Each has its colon. Where texts hold more colons, the names are counted by their ends, `":`, if all end so.
    """
    if body.count(b":") == names:
        return True
    blank = any(blank_colon in body for blank_colon in (b" :", b"\t:", b"\n:", b"\r:"))
    return not blank and body.count(b'":') == names


@lru_cache(maxsize=16)
def _decoder(names: tuple[str, ...], form: tuple[tuple[str, Any], ...]) -> msgspec.json.Decoder[list[Any]] | None:
    """Return what reads elements with exactly these names, None where it would have to guess which is meant."""
    lowered = [name.lower() for name in names]
    if len(set(lowered)) < len(lowered) or not {name for name, _ in form if not name.endswith("?")} <= set(lowered):
        return None
    wanted = {name.rstrip("?"): type_ for name, type_ in form}
    attributes = [name if name in wanted else f"other_{n}" for n, name in enumerate(lowered)]
    element = msgspec.defstruct(
        "Element",
        [(attribute, wanted.get(attribute, _OTHER)) for attribute in attributes],
        rename=dict(zip(attributes, names, strict=True)),
        forbid_unknown_fields=True,
        gc=False,
    )
    return msgspec.json.Decoder(list[element])  # type: ignore[valid-type]


def each(values: list[A], read: Callable[[A], B]) -> list[B]:
    """Return what `read` makes of each value; of equal ones, which most are, it is asked once."""
    distinct = list(set(values))
    made = list(map(read, distinct))
    if all(map(is_, distinct, made)):
        return cast("list[B]", values)
    return list(map(dict(zip(distinct, made, strict=True)).__getitem__, values))


def filled(text: str | None) -> str:
    """Return a text that must be there; NotUniformError where it is null or blank."""
    if text is None or not text.strip():
        raise NotUniformError
    return text


def optional(text: str | int | None) -> str | None:
    """Return a text or number as text, None where it is null or blank."""
    if text is None:
        return None
    text = text if isinstance(text, str) else str(text)
    return text if text.strip() else None


def exact(raw: msgspec.Raw) -> Exact:
    """Return a number from its digits; ValueError where it is none, or null."""
    return _exact(bytes(raw))


def number_or_none(raw: msgspec.Raw) -> Exact | None:
    """Return a number from its digits, None for null."""
    text = bytes(raw)
    return None if text == b"null" else _exact(text)


@lru_cache(maxsize=16384)
def _exact(text: bytes) -> Exact:
    value = fixed(decode(text))
    return Exact(value, to_micros(value))
