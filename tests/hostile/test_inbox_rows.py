"""Rows that an ERP's program inserts with plain SQL: each is answered in its own row, and none stops the others."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import event, text

from sync.inbox.take_in import inbox_once
from tests.hostile.profile import examples
from tests.hostile.test_reading_rows import storable
from tests.hostile.trees import dump, mangled, spoiled, tree_of
from tests.hostile.worlds import Fresh, nets
from tests.worlds.poll_world import MAIN, PollWorld

DOCUMENTS: dict[str, dict[str, Any]] = {
    "receipt": {
        "part_number": "P-1",
        "warehouse_name": MAIN,
        "quantity_received": 2,
        "unit_cost": "9.99",
        "created_on": "2024-03-15",
    },
    "issuance": {"part_number": "P-1", "warehouse_name": MAIN, "quantity": 1, "created_on": "2024-03-15"},
    "transfer": {"part_number": "P-1", "warehouse_name": MAIN, "destination_warehouse_name": "WH2", "quantity": 1},
    "inventory": {"part_number": "P-1", "warehouse_name": MAIN, "tracking_enabled": True, "quantity": 0},
    "po_approval": {"purchase_order_number": "1000", "approved_by": "Ann", "expected_total": "585.00"},
    "stock_cost": {"external_id": "E-1", "new_stock": "5", "new_cost": "2.5"},
    "product": {"bar_code": "1", "product_name": "Oil", "product_unit": "l", "external_id": "E-1", "min_stock": 1},
    "void": {"kind": "receipt"},
}
GOOD = ("receipt", "good-1", json.dumps(DOCUMENTS["receipt"]))
WORDS = st.none() | st.sampled_from(
    [
        "",
        " ",
        "receipt",
        "RECEIPT ",
        "nothing",
        "'; DROP TABLE inbox; --",
        "k-1",
        "good-1",
        "a/b#c?d",
        "👩‍🔧",
        "k_s1",
        "mps-1",
    ]
)
STORABLE_TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=30)
ANYTHING = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=30)
    | st.sampled_from(
        ["a\x00b", "received", "accepted ", "Received", "done", "zzz", "\ud7ff", "yesterday", "2024-13-45"]
    )
    | STORABLE_TEXT
)


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    """A document's payload, spoiled as a tree or as text."""
    tree = tree_of(draw(st.sampled_from(list(DOCUMENTS.values()))))
    return draw(spoiled([tree]).map(dump) | mangled(dump(tree)) | st.just(dump(tree)))


def storable_payloads() -> st.SearchStrategy[str]:
    """Payloads that PostgreSQL's text can hold."""
    return payloads().map(lambda raw: raw.decode("utf-8", "replace").replace("\x00", ""))


def insert(world: PollWorld, *rows: tuple[Any, Any, Any]) -> None:
    with world.store.write() as conn:
        for document_type, api_key, payload in rows:
            conn.execute(
                text("insert into inbox (document_type, api_key, payload) values (:t, :k, :p)"),
                {"t": document_type, "k": api_key, "p": payload},
            )


def assert_all_answered(world: PollWorld, rows: int) -> None:
    answers = world.rows("select state, error from v_inbox")
    assert len(answers) == rows
    for state, error in answers:
        assert state in ("accepted", "rejected")
        assert state == "accepted" or error, "a rejection has its reason"
        assert error is None or storable(error)


@examples(15)
@given(kind=WORDS | st.sampled_from(list(DOCUMENTS)), key=WORDS | STORABLE_TEXT, payload=storable_payloads())
@example(kind="receipt", key="k-1", payload="[" * 100_000 + "]" * 100_000)
@example(kind="receipt", key="k-1", payload='{"receipt":' * 600 + "1" + "}" * 600)
@example(kind="receipt", key="k" * 5000, payload="{}")
@example(kind="po_approval", key="k-1", payload='{"purchase_order_number":1e400,"approved_by":"a"}')
@example(kind="issuance", key="k-1", payload='{"quantity":1e-400,"work_order_sequential_id":' + "9" * 5000 + "}")
def test_a_document_that_is_no_document_is_answered_and_the_next_is_taken_in(
    fresh: Fresh, kind: str | None, key: str | None, payload: str
) -> None:
    check_documents(fresh, kind, key, payload)


@examples(4)
@given(kind=st.sampled_from(list(DOCUMENTS)), key=st.sampled_from(["k-1", "k-2"]), payload=storable_payloads())
@example(kind="receipt", key="k-1", payload='{"part_number":"\\u0000"}')
@example(kind="receipt", key="k-1", payload=json.dumps(DOCUMENTS["receipt"] | {"quantity_received": 9e15}))
@example(kind="product", key="k-1", payload=json.dumps(DOCUMENTS["product"] | {"min_stock": 2**63}))
@example(kind="receipt", key="k-1", payload='{"part_number":"\\ud800"}')
def test_a_document_that_is_no_document_is_answered_on_each_database(
    fresh_on_each: Fresh, kind: str, key: str, payload: str
) -> None:
    check_documents(fresh_on_each, kind, key, payload)


def check_documents(fresh: Fresh, kind: str | None, key: str | None, payload: str) -> None:
    with fresh() as world:
        insert(world, (kind, key, payload), GOOD, (kind, key, payload))

        inbox_once(world.ctx)

        assert_all_answered(world, 3)
        (first,), (good,), (second,) = world.rows("select state from v_inbox order by id")
        assert good == "accepted" or key == "good-1"
        assert first == second, "the same document twice has the same answer"
        before = len(world.entries())
        inbox_once(world.ctx)
        assert len(world.entries()) == before, "and is taken in once"


@examples(18)
@given(
    values=st.fixed_dictionaries(
        {"document_type": ANYTHING, "api_key": ANYTHING, "payload": ANYTHING | payloads()},
        optional={"state": ANYTHING, "error": ANYTHING, "received_at": ANYTHING, "digest": ANYTHING},
    )
)
@example(values={"document_type": "receipt", "api_key": b"\xff", "payload": b"\x00"})
@example(values={"document_type": b"receipt", "api_key": 7, "payload": 1.5, "state": b"\xff", "received_at": b"x"})
def test_a_row_of_other_types_through_sqlite_itself_is_answered(fresh: Fresh, values: Mapping[str, Any]) -> None:
    with fresh() as world:
        path = str(world.store.engine.url.database)
        with closing(sqlite3.connect(path)) as conn, conn:
            marks = ", ".join("?" for _ in values)
            conn.execute(f"insert into inbox ({', '.join(values)}) values ({marks})", tuple(values.values()))
            conn.execute("insert into inbox (document_type, api_key, payload) values (?, ?, ?)", GOOD)

        inbox_once(world.ctx)

        for state, error, document_type, received_at in world.rows(
            "select state, error, document_type, received_at from v_inbox"
        ):
            assert state in ("accepted", "rejected")
            assert state == "accepted" or error
            assert document_type is None or isinstance(document_type, str)
            assert received_at
        assert nets(world).get("good-1") == Decimal(2) or values["api_key"] == "good-1"


@pytest.mark.parametrize("state", ["new", "RECEIVED", "", " ", "zz", "b", "recover", "rejected ", "Ä"])
def test_whatever_state_the_erp_writes_a_row_is_answered(fresh_on_each: Fresh, state: str) -> None:
    with fresh_on_each() as world:
        with world.store.write() as conn:
            conn.execute(
                text("insert into inbox (document_type, api_key, payload, state) values (:t, :k, :p, :s)"),
                {"t": GOOD[0], "k": GOOD[1], "p": GOOD[2], "s": state},
            )

        inbox_once(world.ctx)

        assert world.rows("select state from v_inbox") == [("accepted",)]
        assert nets(world) == {"good-1": Decimal(2)}


def test_rows_with_an_odd_state_are_found_by_an_index(fresh: Fresh) -> None:
    with fresh() as world:
        with world.store.write() as conn:
            conn.execute(
                text("insert into inbox (document_type, api_key, payload, state) values (:t, :k, :p, 'new')"),
                {"t": GOOD[0], "k": GOOD[1], "p": GOOD[2]},
            )
        statements: list[tuple[str, Any]] = []
        event.listen(world.store.engine, "before_cursor_execute", lambda *seen: statements.append(seen[2:4]))

        inbox_once(world.ctx)

        asked = [one for one in statements if one[0].startswith("SELECT") and "FROM inbox" in one[0]]
        assert [one for one in asked if "UNION ALL" in one[0]]
        path = str(world.store.engine.url.database)
        with closing(sqlite3.connect(path)) as conn:
            for statement, values in asked:
                plan = conn.execute(f"explain query plan {statement}", values).fetchall()
                assert not [step[3] for step in plan if step[3].startswith("SCAN inbox")]


@pytest.mark.parametrize("state", ["accepted", "rejected"])
def test_a_row_that_says_it_is_decided_is_left_alone(fresh: Fresh, state: str) -> None:
    with fresh() as world:
        with world.store.write() as conn:
            conn.execute(
                text("insert into inbox (document_type, api_key, payload, state) values (:t, :k, :p, :s)"),
                {"t": GOOD[0], "k": GOOD[1], "p": GOOD[2], "s": state},
            )

        inbox_once(world.ctx)

        assert world.rows("select state from v_inbox") == [(state,)]
        assert world.entries() == []
