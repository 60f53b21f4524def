"""Reading a list that somebody else wrote: the good rows land, each bad one is kept with its reason."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Generic, TypeVar

import msgspec

from sync.clients.jsontext import ERROR_KEYS, complaint, decode, lower_keys
from sync.clients.redact import AnswerRedactor
from sync.clients.split import DEPTH_MAX, is_deep, member_of, parts_of
from sync.errors import MalformedResponseError
from sync.values.money import fixed

BAD_RAW_CHARACTERS_MAX = 64 * 1024
BAD_ROWS_MAX = 5_000
"""In one answer: each is kept and shown to a person; an answer with more is not the list that it should be."""

_RAW_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_ENCODER = msgspec.json.Encoder()
_RAW_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_REDACTOR = AnswerRedactor(tuple)
_BOM = b"\xef\xbb\xbf"
_SURROGATE = re.compile(rb"(?i)\\ud[89ab][0-9a-f]{2}(?!\\ud[c-f])|(?<!\\ud[89ab][0-9a-f]{2})\\ud[c-f][0-9a-f]{2}")

T = TypeVar("T")
Fields = dict[str, object]


@dataclass(frozen=True, slots=True)
class BadRow:
    """An element that could not be read: its exact text (cut at 64 KiB), why, and its id where that was readable."""

    raw: str
    reason: str
    remote_id: str | None


@dataclass(slots=True)
class Parsed(Generic[T]):
    """The rows of one answer, in its order, and those that could not be read."""

    rows: list[T] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Shape(Generic[T]):
    """How rows of one kind are read.

    `names` are the fields read, in lower case; `build` makes a row of them or raises ValueError;
    `identity` is what a row is recognised by and `digest` what makes two of them the same.
    """

    names: tuple[str, ...]
    build: Callable[[Fields, str], T]
    id_name: str
    identity: Callable[[T], str]
    digest: Callable[[T], str]


def read_list(elements: Iterable[bytes], shape: Shape[T]) -> Parsed[T]:
    """Read every element; one that occurs twice with different content is kept as it came last, the other is bad.

    Raises MalformedResponseError where more than `BAD_ROWS_MAX` are bad.
    """
    parsed: Parsed[T] = Parsed()
    place: dict[str, int] = {}
    texts: list[str] = []
    tokens = quoted(shape.names)
    for element in elements:
        fields: Fields = {}
        try:
            fields = fields_of(element, tokens)
            text = element.decode()
            row = shape.build(fields, text)
        except ValueError as error:
            fields = fields or _legible(element)
            _set_aside(parsed.bad, BadRow(shown(element), str(error), _id_or_none(fields, shape.id_name)))
            continue
        identity = shape.identity(row)
        index = place.setdefault(identity, len(parsed.rows))
        if index == len(parsed.rows):
            parsed.rows.append(row)
            texts.append(text)
            continue
        if shape.digest(parsed.rows[index]) != shape.digest(row):
            reason = f"id {identity} occurs twice with different content; the last one counts"
            _set_aside(parsed.bad, BadRow(texts[index][:BAD_RAW_CHARACTERS_MAX], reason, identity))
        parsed.rows[index], texts[index] = row, text
    return parsed


def _set_aside(bad: list[BadRow], row: BadRow) -> None:
    if len(bad) == BAD_ROWS_MAX:
        reason = f"more than {BAD_ROWS_MAX} of its rows cannot be read, the first because {bad[0].reason}"
        raise MalformedResponseError(reason, status=200, body=bad[0].raw[:2000])
    bad.append(row)


def list_of(body: bytes, what: str) -> list[bytes]:
    """Return the elements of a body that must be a JSON array, each as its exact text.

    Raises MalformedResponseError for everything else: a cut text, HTML, an object with an error message.
    """
    elements = _elements(body.removeprefix(_BOM))
    if elements is None:
        raise not_as_documented(body, what)
    return elements


def object_of(body: bytes, what: str) -> dict[str, bytes]:
    """Return the fields of a body that must be a JSON object (names in lower case), each as its exact text.

    Raises MalformedResponseError for everything else.
    """
    fields = _fields(body.removeprefix(_BOM))
    if fields is None:
        raise not_as_documented(body, what)
    return {key.lower(): raw for key, raw in fields.items()}


def not_as_documented(body: bytes, what: str) -> MalformedResponseError:
    """Return the error for an answer that is not `what` the document describes, with what it said instead."""
    start = _REDACTOR.body(body)
    try:
        value = decode(body.removeprefix(_BOM))
    except ValueError as error:
        kind = "an HTML page" if start.lstrip().startswith("<") else f"no whole JSON ({error})"
        return MalformedResponseError(f"expected {what}, got {kind}", status=200, body=start)
    said = complaint(value)
    kind = f"an object that says: {_REDACTOR.text(said)[:500]}" if said else _kind_of(value)
    return MalformedResponseError(f"expected {what}, got {kind}", status=200, body=start)


def fields_of(element: bytes, tokens: tuple[tuple[str, bytes], ...]) -> Fields:
    """Return an element's fields, the wanted ones under their lower-case names.

    Raises ValueError for what is not an object, and where a wanted name occurs twice: which one is meant
    is not ours to guess. Where a field makes the element unreadable, the error names it.
    """
    if is_deep(element):
        raise ValueError(_blamed(element, f"nested deeper than {DEPTH_MAX} levels"))
    try:
        value = decode(element)
    except ValueError as error:
        raise ValueError(_blamed(element, str(error))) from None
    if not isinstance(value, dict):
        raise ValueError(f"not an object but {_kind_of(value)}")
    lowered = element.lower()
    if b"\\u" in element:
        return _folded(value, element, tokens)
    for name, token in tokens:
        count = lowered.count(token)
        if count > 1 or (count == 1 and name not in value):
            return _folded(value, element, tokens)
    return value


@lru_cache(maxsize=64)
def quoted(names: tuple[str, ...]) -> tuple[tuple[str, bytes], ...]:
    """Return each name with the text that it has in JSON."""
    return tuple((name, f'"{name}"'.encode()) for name in names)


def shown(element: bytes) -> str:
    """Return an element's text for keeping: exact where it is UTF-8, escaped where not, cut at 64 KiB."""
    return element.decode("utf-8", "backslashreplace").replace("\x00", "\\u0000")[:BAD_RAW_CHARACTERS_MAX]


def digest_of(*values: object) -> str:
    """Return 32 hex digits that are equal exactly when these already normalised values are."""
    return hashlib.sha256(msgspec.json.encode(values)).hexdigest()[:32]


def digests_of(rows: Iterable[tuple[object, ...]]) -> list[str]:
    """Return for each row what `digest_of` does; a text's line breaks are escaped, so that a line is a row."""
    lines = _ENCODER.encode_lines(list(rows)).split(b"\n")
    return [hashlib.sha256(line).hexdigest()[:32] for line in lines[:-1]]


def content_digest(fields: Fields) -> str:
    """Return 32 hex digits of a whole object: field order, the case of its names and 1 or 1.0 make no difference."""
    text = json.dumps(_canonical(lower_keys(fields)), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def need_id(fields: Fields, name: str) -> str:
    """Return a required identifier as text: 43381, "43381" and 43381.0 are the same one."""
    value = fields.get(name)
    if (
        isinstance(value, Decimal)
        and value.is_finite()
        and value == value.to_integral_value()
        and value.adjusted() < 40
    ):
        value = int(value)
    text = value if isinstance(value, str) else str(value) if type(value) is int else ""
    text = text.strip()
    if not text or "\x00" in text:
        raise ValueError(f"{name} is {_problem(fields, name)}")
    return text


def need_text(fields: Fields, name: str) -> str:
    """Return a required text exactly as it is written, spaces included: names and part numbers are keys."""
    text = text_of(fields, name)
    if text is None:
        raise ValueError(f"{name} is {_problem(fields, name)}")
    return text


def text_of(fields: Fields, name: str) -> str | None:
    """Return a text or number as text; None where it is missing, null or blank."""
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, str):
        if "\x00" in value:
            raise ValueError(f"{name} holds a NUL character")
        return value if value.strip() else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Decimal)):
        if isinstance(value, Decimal) and abs(value.adjusted()) > 60:
            raise ValueError(f"{name} is out of range")
        return format(value, "f") if isinstance(value, Decimal) else str(value)
    raise ValueError(f"{name} is not a text but {_kind_of(value)}")


def need_number(fields: Fields, name: str) -> Decimal:
    """Return a required number, exact, with six decimals; a string with a number in it will do."""
    value = fields.get(name)
    if value is None or value == "":
        raise ValueError(f"{name} is {_problem(fields, name)}")
    try:
        return _fixed(value) if type(value) is Decimal else fixed(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


_fixed = lru_cache(maxsize=16384)(fixed)
"""Quantities and prices repeat; remembering them halves the time that a row takes."""


def number_of(fields: Fields, name: str) -> Decimal | None:
    """Return a number, None where it is missing, null or blank."""
    value = fields.get(name)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    return need_number(fields, name)


@lru_cache(maxsize=4096)
def day_from(text: str) -> date:
    """Return a date written YYYY-MM-DD, or the date part of a timestamp as it is written; ValueError for others."""
    match = re.fullmatch(r"(\d{4}-\d{2}-\d{2})(?:[T ]\S.*)?", text.strip(), re.ASCII)
    if match is None:
        raise ValueError(f"no date YYYY-MM-DD: {text[:60]!r}")
    return date.fromisoformat(match[1])


def need_day(fields: Fields, name: str) -> date:
    """Return a required date written YYYY-MM-DD, or the date part of a timestamp as it is written."""
    value = day_of(fields, name)
    if value is None:
        raise ValueError(f"{name} is {_problem(fields, name)}")
    return value


def day_of(fields: Fields, name: str) -> date | None:
    """Return a date, None where it is missing, null or blank."""
    value = fields.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ValueError(f"{name} is not a date but {_kind_of(value)}")
    try:
        return day_from(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def need_instant(fields: Fields, name: str) -> datetime:
    """Return a required ISO timestamp in UTC; one without a zone is taken as UTC."""
    value = instant_of(fields, name)
    if value is None:
        raise ValueError(f"{name} is {_problem(fields, name)}")
    return value


def instant_of(fields: Fields, name: str) -> datetime | None:
    """Return an ISO timestamp in UTC, None where it is missing, null or blank."""
    value = fields.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not re.match(r"\d{4}-\d{2}-\d{2}[T ]\d", value, re.ASCII):
        raise ValueError(f"{name} is not a timestamp: {str(value)[:60]!r}")
    try:
        at = datetime.fromisoformat(value.strip())
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{name} is not a timestamp: {value[:60]!r}") from None


def flag_of(fields: Fields, name: str) -> bool | None:
    """Return true or false, also from "true"/"false" and 1/0; None where it is missing, null or blank."""
    value = fields.get(name)
    if value is None or isinstance(value, bool):
        return value
    known = {"true": True, "1": True, "false": False, "0": False, "": None}
    text = str(value).strip().lower()
    if text not in known:
        raise ValueError(f"{name} is neither true nor false: {text[:60]!r}")
    return known[text]


def _elements(body: bytes) -> list[bytes] | None:
    try:
        return [bytes(raw) for raw in _RAW_LIST.decode(body)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _parts_of_odd_json(body)


def _fields(body: bytes) -> dict[str, bytes] | None:
    try:
        return {key: bytes(raw) for key, raw in _RAW_OBJECT.decode(body).items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _members_of_odd_json(body)


def _parts_of_odd_json(body: bytes) -> list[bytes] | None:
    """Split a list that is whole and yet no JSON to the letter; None where it is none.

    Where not one part is an object of `"name": value` or else what JSON knows, the whole is something
    else: a message in brackets, or a document's print, is not a list with bad rows.
    """
    parts = parts_of(body, b"[")
    return parts if parts is not None and any(map(_is_part, parts)) else None


def _is_part(part: bytes) -> bool:
    if part.startswith(b"{"):
        members = parts_of(part, b"{")
        return members is not None and all(map(member_of, members))
    try:
        json.loads(part, parse_int=str)
    except RecursionError:
        return True
    except ValueError:
        return False
    return True


def _members_of_odd_json(body: bytes) -> dict[str, bytes] | None:
    """Split an object as `_parts_of_odd_json` does a list; None where a name in it is unreadable."""
    fields: dict[str, bytes] = {}
    for part in parts_of(body, b"{") or ():
        member = member_of(part)
        if member is None:
            return None
        try:
            fields[str(decode(member[0]))] = member[1]
        except ValueError:
            return None
    return fields or None


class _Pairs(list[tuple[str, object]]):
    """The fields of one object in their order, repeated ones included."""


def _folded(value: Fields, element: bytes, tokens: tuple[tuple[str, bytes], ...]) -> Fields:
    """Return the fields under lower-case names, after a look at every name as it was written."""
    wanted = {name for name, _ in tokens}
    seen: set[str] = set()
    pairs = json.loads(element, object_pairs_hook=_Pairs, parse_float=str, parse_int=str)
    for key, _ in pairs:
        name = key.lower()
        if name in wanted and name in seen:
            raise ValueError(f"{name} occurs twice in one object")
        seen.add(name)
    return lower_keys(value)


def _legible(element: bytes) -> Fields:
    """Return those fields of an unreadable element that are readable each by itself; a name that repeats is none."""
    fields: Fields = {}
    repeated: set[str] = set()
    for name, raw in _named_parts(element):
        if name in fields:
            repeated.add(name)
        with contextlib.suppress(ValueError):
            fields[name] = None if is_deep(raw) else decode(raw)
    return {name: value for name, value in fields.items() if name not in repeated}


def _blamed(element: bytes, problem: str) -> str:
    """Return a problem with the fields that have it in front, where it is theirs."""
    found = []
    for name, raw in _named_parts(element):
        name = name.strip() or "a field without a name"
        try:
            if is_deep(raw):
                found.append(f"{name} is nested deeper than {DEPTH_MAX} levels")
            else:
                decode(raw)
        except ValueError as error:
            reason = "half a surrogate pair" if _SURROGATE.search(raw) else str(error)
            found.append(f"{name} is unreadable: {reason}")
    return "; ".join(found[:5]) or problem


def _named_parts(element: bytes) -> Iterator[tuple[str, bytes]]:
    for part in parts_of(element, b"{") or ():
        member = member_of(part)
        if member is not None:
            with contextlib.suppress(ValueError):
                yield str(decode(member[0])).lower(), member[1]


def _canonical(value: object) -> object:
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, Decimal) or type(value) is int:
        sign, digits, exponent = Decimal(value).as_tuple()
        text = "".join(map(str, digits)).lstrip("0")
        short = text.rstrip("0")
        return ["number", sign, short, int(exponent) + len(text) - len(short)] if short else ["number", 0, "", 0]
    return value


def _problem(fields: Fields, name: str) -> str:
    if name not in fields:
        return "missing"
    value = fields[name]
    return "null" if value is None else "empty" if value == "" else f"not usable: {str(value)[:60]!r}"


def _id_or_none(fields: Fields, name: str) -> str | None:
    try:
        return need_id(fields, name)
    except ValueError:
        return None


def _kind_of(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def is_complaint(fields: dict[str, bytes]) -> bool:
    """Tell whether an object carries a non-empty message, error or errors."""
    empty = (b"null", b'""', b"[]", b"{}", b"false")
    return any(key in fields and fields[key].strip() not in empty for key in ERROR_KEYS)
