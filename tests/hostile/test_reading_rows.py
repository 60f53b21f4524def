"""Every list that is read of both vendors: the good rows land, each bad one is named, and nothing else happens."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.clients.mpservices import wire as mpservices
from sync.clients.mpw import wire as mpw
from sync.clients.rows import Parsed
from sync.errors import MalformedResponseError
from tests.hostile.profile import examples
from tests.hostile.samples import printed, rows_of
from tests.hostile.trees import Raw, Tree, dump, mangled, names_of, spoiled, tree_of

Reader = Callable[[bytes], Parsed[Any]]


@dataclass(frozen=True)
class Source:
    """A list of a vendor: how it is read, three good rows, and the text before and after them."""

    read: Reader
    rows: list[Tree]
    identity: str = "id"
    around: tuple[bytes, bytes] = (b"[", b"]")

    def body(self, rows: list[Tree]) -> bytes:
        """Return an answer that holds these rows."""
        return self.around[0] + b",".join(map(dump, rows)) + self.around[1]


def _paged(name: str) -> tuple[bytes, bytes]:
    return b'{"' + name.encode() + b'":[', b'],"pagination":{"page":1,"pageSize":100,"pageCount":1,"count":1}}'


SOURCES = {
    "issuances": Source(mpw.read_issuances, rows_of("mpw_issuances_get")),
    "receipts": Source(mpw.read_receipts, rows_of("mpw_receipts_get")),
    "inventories": Source(mpw.read_inventories, rows_of("mpw_inventories_get")),
    "equipment": Source(mpw.read_equipment, rows_of("mpw_gps_meter_updates_get")),
    "purchase orders": Source(
        lambda body: mpw.read_purchase_orders(body)[0],
        rows_of("mpw_purchase_orders_get", "purchase_orders", id_name="sequential_id"),
        "number",
        _paged("purchase_orders"),
    ),
    "work orders": Source(
        lambda body: mpw.read_work_orders(body)[0],
        rows_of("mpw_work_orders_get", "work_orders", id_name="sequential_id"),
        "number",
        _paged("work_orders"),
    ),
    "movements": Source(mpservices.read_movements, rows_of("mpservices_movement")),
    "MPservices' work orders": Source(mpservices.read_work_orders, rows_of("mpservices_work_order")),
}
EACH_SOURCE = pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
NO_FIELD = (
    "not an object",
    "nested deeper",
    "json is malformed",
    "the text is not utf-8",
    "a number has an impossible exponent",
    "integer value out of range",
    "input data was truncated",
)
NAMED = re.compile(r".+ is (nested deeper|unreadable)|.+ occurs twice")
"""How a reason begins where the whole element is not an object that could have fields."""


def storable(text: str) -> bool:
    """Tell whether both databases can keep a text: no NUL, no half of a surrogate pair."""
    return "\x00" not in text and text.encode("utf-8", "replace").decode() == text


def assert_values_fit(row: Any) -> None:
    """Every value of a row can be written down, exactly."""
    for one in fields(row):
        value = getattr(row, one.name)
        if isinstance(value, tuple):
            for part in value:
                assert_values_fit(part)
        elif isinstance(value, str):
            assert storable(value), one.name
        elif isinstance(value, Decimal):
            assert value.is_finite(), one.name
            assert value.as_tuple().exponent == -6, one.name
            assert abs(value.scaleb(6)) < 2**63, one.name
        elif isinstance(value, datetime):
            assert value.utcoffset() is not None, one.name
        else:
            assert value is None or isinstance(value, (bool, date)), one.name


def assert_named(parsed: Parsed[Any], rows: list[Tree]) -> None:
    """Each bad row has its text and a reason that says which field."""
    known = set().union(*map(names_of, rows))
    for bad in parsed.bad:
        assert bad.reason.strip()
        assert storable(bad.raw), bad.reason
        assert storable(bad.reason), bad.reason
        assert bad.remote_id is None or storable(bad.remote_id)
        reason = bad.reason.lower()
        assert any(name in reason for name in known if name) or reason.startswith(NO_FIELD) or NAMED.match(reason)


@EACH_SOURCE
@examples(60)
@given(data=st.data())
def test_a_bad_row_takes_no_good_row_with_it(source: Source, data: st.DataObject) -> None:
    good = [source.read(source.body([row])).rows[0] for row in source.rows]
    bad = data.draw(st.lists(spoiled(source.rows), min_size=1, max_size=3))
    rows = data.draw(st.permutations([*source.rows, *bad]))

    parsed = source.read(source.body(rows))

    ids = {getattr(row, source.identity): row for row in parsed.rows}
    assert len(ids) == len(parsed.rows), "an id is there once"
    for row in good:
        identity = getattr(row, source.identity)
        assert identity in ids, "a good row is there, or one that came under its id"
        assert ids[identity] == row or any(bad.remote_id == identity for bad in parsed.bad) or _same(ids[identity], row)
    assert len(parsed.rows) + len(parsed.bad) <= len(rows)
    for row in parsed.rows:
        assert_values_fit(row)
    assert_named(parsed, rows)


def read_or_refused(read: Reader, body: bytes) -> Parsed[Any] | MalformedResponseError:
    """Return what was read, or the one error that a reader may raise."""
    try:
        return read(body)
    except MalformedResponseError as error:
        return error


def _same(one: Any, other: Any) -> bool:
    """Two texts of one row: only what no digest covers differs."""
    return not hasattr(one, "digest") or bool(one.digest == other.digest)


@EACH_SOURCE
@examples(60)
@given(data=st.data())
def test_an_answer_is_read_or_refused_as_not_what_the_document_describes(source: Source, data: st.DataObject) -> None:
    body = data.draw(mangled(source.body(source.rows[:2])))

    parsed = read_or_refused(source.read, body)

    if isinstance(parsed, MalformedResponseError):
        assert storable(parsed.body or "")
        assert storable(parsed.message)
        return
    for row in parsed.rows:
        assert_values_fit(row)
    for bad in parsed.bad:
        assert bad.reason
        assert storable(bad.raw)


@EACH_SOURCE
@pytest.mark.parametrize("cut", [1, 2, 5, 40])
def test_a_cut_answer_is_never_taken_for_a_shorter_one(source: Source, cut: int) -> None:
    with pytest.raises(MalformedResponseError):
        source.read(source.body(source.rows)[:-cut])


@examples(200)
@given(spoiled(SOURCES["purchase orders"].rows[:1], times=6))
def test_an_order_with_a_bad_line_is_bad_as_a_whole(order: Tree) -> None:
    parsed = read_or_refused(SOURCES["purchase orders"].read, SOURCES["purchase orders"].body([order]))

    for row in [] if isinstance(parsed, MalformedResponseError) else parsed.rows:
        assert len(row.items) == len(_items(order)), "no line is left out"


def _items(order: Tree) -> list[Tree]:
    value = json.loads(dump(order))
    lines = next((item for name, item in value.items() if name.lower() == "items"), None)
    return lines or []


@examples(150)
@given(st.data())
def test_a_pagination_is_read_or_the_answer_is_refused(data: st.DataObject) -> None:
    pagination = data.draw(spoiled([tree_of(printed("mpw_work_orders_get")["pagination"])]))
    body = b'{"work_orders":[],"pagination":' + dump(pagination) + b"}"

    try:
        parsed, page = mpw.read_work_orders(body)
    except MalformedResponseError:
        return
    assert parsed.rows == []
    assert page is None or all(isinstance(getattr(page, one.name), int) for one in fields(page))


@pytest.mark.parametrize("odd", [Raw(b"[" * 100_000 + b"]" * 100_000), Raw(b'{"a":' * 600 + b"1" + b"}" * 600)])
@EACH_SOURCE
def test_brackets_without_end_are_one_bad_row_and_named(source: Source, odd: Raw) -> None:
    deep, *others = source.rows
    spoiled_row = type(deep)([*deep.pairs, ["custom", odd]])

    parsed = source.read(source.body([spoiled_row, *others]))

    assert len(parsed.rows) == len(others)
    (bad,) = parsed.bad
    assert bad.reason == "custom is nested deeper than 100 levels"
    assert bad.remote_id is not None, "the row's id is readable all the same"
