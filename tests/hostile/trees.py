"""JSON as a tree that can hold what JSON cannot, and strategies that spoil a valid one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy


@dataclass(frozen=True)
class Raw:
    """A piece of text that is written as it stands, JSON or not."""

    text: bytes


@dataclass
class Pairs:
    """An object as [name, value] pairs: names may repeat."""

    pairs: list[list[Any]] = field(default_factory=list)


Tree = Any
"""Pairs, a list of trees, Raw, or a plain text, number, truth value or null."""

ODD_NUMBERS = (
    b"NaN Infinity -Infinity 1e400 -1e400 1e-400 1e99999999999999999999 -0 -0.0 01 +1 .5 1. 1e 0x10 1_000 "
    b"9223372036854.775807 9223372036854.775808 9223372036854775807 9223372036854775808 -1 -1.0000005 0.0000005 "
    b"99999999999999999999999999999999999999999 1.5 true false null undefined"
).split()
ODD_TEXTS = (
    b'"\\ud800"',
    b'"a\\udc00\\ud800b"',
    b'"\\u0000"',
    b'"a\\u0000b"',
    b'"\x00"',
    b'"\x01\x1f"',
    b'"\xff\xfe"',
    b'"\xe9"',
    '"\u202egnp.exe"'.encode(),
    '"\u200b"'.encode(),
    '"👩‍🔧 #1/2"'.encode(),
    '"\u0663"'.encode(),
    b'""',
    b'" "',
    b'"NaN"',
    b'"1e5"',
    b'"1_000"',
    b'"-Infinity"',
    b'"1,5"',
    b'" 2.0 "',
    b"\"=cmd|'/C calc'!A0\"",
    b'"\'; DROP TABLE ledger_entries; --"',
    b'"<script>alert(1)</script>"',
    b'"%00/../..?a=b&c#d"',
    b'"2024-02-30"',
    b'"0000-00-00"',
    b'"0001-01-01"',
    b'"9999-12-31"',
    b'"10000-01-01"',
    b'"2024-03-15T25:00:00Z"',
    b'"0001-01-01T00:00:00+14:00"',
    b'"9999-12-31T23:59:59.999999-12:00"',
    b'"2024-03-15T12:00:00"',
    b"'single'",
    b'"' + b"x" * 70_000 + b'"',
    b'"' + b'\\"' * 999 + b'"',
)
ODD_SHAPES = (
    b"[]",
    b"{}",
    b"[[]]",
    b'[{"id":1}]',
    b'{"":null}',
    b'{"id":1,"ID":2}',
    b"[" * 101 + b"]" * 101,
    b"[" * 600 + b"]" * 600,
    b'{"a":' * 600 + b"1" + b"}" * 600,
    b"[" * 100_000 + b"]" * 100_000,
    b"9" * 5_000,
    b"0." + b"1" * 5_000,
)
ODD = tuple(map(Raw, (*ODD_NUMBERS, *ODD_TEXTS, *ODD_SHAPES)))


def tree_of(value: Any) -> Tree:
    """Return a value as `json.loads` gives it as a tree."""
    if isinstance(value, dict):
        return Pairs([[name, tree_of(item)] for name, item in value.items()])
    return [tree_of(item) for item in value] if isinstance(value, list) else value


def dump(tree: Tree) -> bytes:
    """Return a tree's text."""
    if isinstance(tree, Raw):
        return tree.text
    if isinstance(tree, Pairs):
        return b"{" + b",".join(dump(name) + b":" + dump(value) for name, value in tree.pairs) + b"}"
    if isinstance(tree, list):
        return b"[" + b",".join(map(dump, tree)) + b"]"
    return json.dumps(tree).encode()


def names_of(tree: Tree) -> set[str]:
    """Return every field name that occurs in a tree, in lower case."""
    if isinstance(tree, Pairs):
        return {str(name).lower() for name, _ in tree.pairs}.union(*(names_of(value) for _, value in tree.pairs))
    return set().union(*map(names_of, tree)) if isinstance(tree, list) else set()


def values() -> SearchStrategy[Tree]:
    """Anything at all in place of a value: what is known to hurt, and what Hypothesis thinks of."""
    plain = st.none() | st.booleans() | st.integers() | st.text(max_size=20)
    number = st.decimals(allow_nan=False, allow_infinity=False).map(lambda value: Raw(str(value).encode()))
    return st.sampled_from(ODD) | plain | number | st.lists(plain, max_size=3)


@st.composite
def spoiled(draw: DrawFn, rows: list[Tree], *, times: int = 3) -> Tree:
    """One of `rows` with one to `times` of its parts replaced, removed, repeated, renamed, wrapped or exchanged."""
    tree = copy.deepcopy(draw(st.sampled_from(rows)))
    if draw(st.integers(0, 19)) == 0:
        return draw(values())
    for _ in range(draw(st.integers(1, times))):
        places = list(_places(tree))
        if not places:
            break
        container, index = draw(st.sampled_from(places))
        draw(st.sampled_from(_CHANGES))(draw, container, index, places)
    return tree


Place = tuple[list[Any], int]


def _places(tree: Tree) -> Iterator[Place]:
    """Yield every part as (the list it is in, where)."""
    if isinstance(tree, Pairs):
        tree = tree.pairs
        for index, (_, value) in enumerate(tree):
            yield tree, index
            yield from _places(value)
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield tree, index
            yield from _places(value)


def _is_pair(container: list[Any], index: int) -> bool:
    part = container[index]
    return isinstance(part, list) and len(part) == 2 and isinstance(part[0], str)


def _replace(draw: DrawFn, container: list[Any], index: int, places: list[Place]) -> None:
    value = draw(values())
    container[index] = [container[index][0], value] if _is_pair(container, index) else value


def _remove(draw: DrawFn, container: list[Any], index: int, places: list[Place]) -> None:
    del container[index]


def _repeat(draw: DrawFn, container: list[Any], index: int, places: list[Place]) -> None:
    part = copy.deepcopy(container[index])
    if _is_pair(container, index) and draw(st.booleans()):
        part[1] = draw(values())
    container.insert(draw(st.integers(0, len(container))), part)


def _rename(draw: DrawFn, container: list[Any], index: int, places: list[Place]) -> None:
    if _is_pair(container, index):
        name = container[index][0]
        odd = draw(st.sampled_from([name.upper(), name.title(), f" {name}", f"{name}\u200b", "", "id", "message"]))
        container[index] = [draw(st.just(odd) | st.text(max_size=5)), container[index][1]]


def _wrap(draw: DrawFn, container: list[Any], index: int, places: list[Place]) -> None:
    if _is_pair(container, index):
        name, value = container[index]
        container[index] = [name, draw(st.sampled_from([[value], Pairs([[name, value]]), json.dumps(str(value))]))]
    else:
        container[index] = [container[index]]


def _exchange(draw: DrawFn, container: list[Any], index: int, places: list[Place]) -> None:
    other = draw(st.integers(0, len(container) - 1))
    if _is_pair(container, index) and _is_pair(container, other):
        one, two = container[index][1], container[other][1]
        container[index], container[other] = [container[index][0], two], [container[other][0], one]


_CHANGES: tuple[Callable[[DrawFn, list[Any], int, list[Place]], None], ...] = (
    _replace,
    _replace,
    _replace,
    _remove,
    _repeat,
    _rename,
    _wrap,
    _exchange,
)


@st.composite
def mangled(draw: DrawFn, body: bytes) -> bytes:
    """A whole answer spoiled as bytes: cut, with bytes changed, in another encoding, in or under something else."""
    how = draw(st.sampled_from(["cut", "flip", "insert", "encode", "wrap", "other"]))
    at = draw(st.integers(0, max(0, len(body) - 1)))
    if how == "cut":
        return body[:at]
    if how == "flip":
        return body[:at] + bytes([draw(st.integers(0, 255))]) + body[at + 1 :]
    if how == "insert":
        return body[:at] + draw(st.binary(min_size=1, max_size=4)) + body[at:]
    if how == "encode":
        encoding = draw(st.sampled_from(["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-7"]))
        return body.decode("utf-8", "replace").encode(encoding)
    if how == "wrap":
        before, after = draw(
            st.sampled_from(
                [
                    (b"", b","),
                    (b"", b"]"),
                    (b"[", b"]"),
                    (b'{"data":', b"}"),
                    (b'{"message":', b"}"),
                    (b'{"error":"no","data":', b"}"),
                    (b")]}',\n", b""),
                    (b"<pre>", b"</pre>"),
                    (b"\xef\xbb\xbf\xef\xbb\xbf", b""),
                    (b" \n", b"\n\n% "),
                    (b"", body),
                ]
            )
        )
        return before + body + after
    return draw(
        st.sampled_from(
            [b"", b" ", b"null", b"[]", b"{}", b'""', b"0", b"true", b"<html><body>It works!</body></html>", b"\x00"]
        )
        | st.sampled_from(ODD).map(lambda raw: raw.text)
        | st.binary(max_size=40)
    )
