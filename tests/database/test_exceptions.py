"""The queue of what needs a person: one open row per kind and subject."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from sync.database.engine import Store
from sync.database.exceptions import blocking, open_exceptions, subject_of
from sync.database.schema import exceptions
from sync.errors import InvariantError
from sync.ledger.books import Books
from sync.outbox.rows import close_exceptions, exceptions_about
from sync.values.subjects import SUBJECT_TYPES, Subject
from tests.clocks import START

EXT_9 = Subject.item("EXT-9")


def _open(store: Store, *, detail: str = "no mapping", now: datetime = START, **facts: object) -> bool:
    with store.write() as conn:
        return Books(conn, now=now).open_exception(
            "unmapped_item", about=EXT_9, detail=detail, hint="map it", facts=facts
        )


def _resolve(store: Store, *, now: datetime = START) -> int:
    with store.write() as conn:
        return Books(conn, now=now).resolve_exceptions("unmapped_item", about=EXT_9, resolution="mapped", by="ann")


def test_the_same_trouble_twice_is_one_open_row(store: Store) -> None:
    first = _open(store)
    second = _open(store, now=START + timedelta(hours=1))

    with store.read() as conn:
        (row,) = open_exceptions(conn)
    assert (first, second) == (True, False)
    assert (row.kind, row.subject, row.opened_at) == ("unmapped_item", "EXT-9", START)


def test_what_is_known_by_now_replaces_what_was_known(store: Store) -> None:
    _open(store, detail="seen once", seen=1)
    _open(store, detail="seen twice", seen=2, now=START + timedelta(hours=1))

    with store.read() as conn:
        (row,) = open_exceptions(conn)
    assert (row.detail, json.loads(row.facts), row.opened_at) == ("seen twice", {"seen": 2}, START)


def test_a_resolved_trouble_that_comes_back_is_a_new_row(store: Store) -> None:
    _open(store)
    _resolve(store)

    assert _open(store, now=START + timedelta(days=1))

    with store.read() as conn:
        rows = conn.execute(select(exceptions).order_by(exceptions.c.id)).all()
    assert [row.resolution for row in rows] == ["mapped", None]
    assert [row.opened_at for row in rows] == [START, START + timedelta(days=1)]


def test_resolving_says_who_when_and_why(store: Store) -> None:
    _open(store)

    assert _resolve(store, now=START + timedelta(hours=2)) == 1

    with store.read() as conn:
        row = conn.execute(select(exceptions)).one()
        assert open_exceptions(conn) == []
    assert (row.resolved_by, row.resolved_at, row.resolution) == ("ann", START + timedelta(hours=2), "mapped")


def test_resolving_what_is_not_open_changes_nothing(store: Store) -> None:
    _open(store)
    _resolve(store)

    assert _resolve(store, now=START + timedelta(hours=9)) == 0

    with store.read() as conn:
        assert conn.execute(select(exceptions.c.resolved_at)).scalar_one() == START


def test_resolving_one_leaves_its_neighbours_open(store: Store) -> None:
    with store.write() as conn:
        others = (("gap", Subject.source("EXT-9")), ("unmapped_item", Subject.item("EXT-8")))
        for kind, subject in (*others, ("unmapped_item", EXT_9)):
            Books(conn, now=START).open_exception(kind, about=subject, detail="d", hint="h")

    _resolve(store)

    with store.read() as conn:
        assert [(row.kind, row.subject) for row in open_exceptions(conn)] == [
            ("gap", "EXT-9"),
            ("unmapped_item", "EXT-8"),
        ]
        assert [row.subject for row in open_exceptions(conn, kind="unmapped_item")] == ["EXT-8"]


def test_the_database_itself_allows_one_open_row_per_kind_and_subject(store: Store) -> None:
    _open(store)
    subject = {"subject_type": "item", "subject": "EXT-9"}
    values = {"kind": "unmapped_item", **subject, "detail": "d", "hint": "h", "opened_at": START}

    with pytest.raises(IntegrityError), store.write() as conn:
        conn.execute(insert(exceptions).values(**values))


def test_the_database_itself_knows_the_types_of_subjects(store: Store) -> None:
    values = {"kind": "gap", "subject": "x", "detail": "d", "hint": "h", "opened_at": START}
    for type_ in SUBJECT_TYPES:
        with store.write() as conn:
            conn.execute(insert(exceptions).values(**values, subject_type=type_))

    for wrong in ("", "outbox", None):
        with pytest.raises(IntegrityError), store.write() as conn:
            conn.execute(insert(exceptions).values(**values, subject_type=wrong))


@pytest.mark.parametrize(
    ("kind", "subject"),
    [("no_such_kind", Subject.item("E")), ("order_unknown", Subject.order("1000")), ("push_dead", Subject.item("7"))],
)
def test_a_kind_that_is_not_registered_or_about_something_else_is_refused(
    store: Store, kind: str, subject: Subject
) -> None:
    with pytest.raises(InvariantError, match=kind), store.write() as conn:
        Books(conn, now=START).open_exception(kind, about=subject, detail="d", hint="h")

    with store.read() as conn:
        assert open_exceptions(conn) == []


def test_a_push_and_an_order_of_the_same_number_are_two_subjects(store: Store) -> None:
    with store.write() as conn:
        for subject in (Subject.push(1005), Subject.order("1005")):
            assert Books(conn, now=START).open_exception("order_changed", about=subject, detail="d", hint="h")

        assert exceptions_about(conn, [1005]) == {1005}
        assert close_exceptions(Books(conn, now=START), 1005, resolution="it is done") == 1
        assert exceptions_about(conn, [1005]) == set()
        assert [subject_of(row) for row in open_exceptions(conn)] == [Subject.order("1005")]
        assert Books(conn, now=START).resolve_exceptions("order_changed", about=Subject.push(1005), resolution="r") == 0
        assert (
            Books(conn, now=START).resolve_exceptions("order_changed", about=Subject.order("1005"), resolution="r") == 1
        )


def _blocked(store: Store, *items: str) -> dict[str, str]:
    with store.read() as conn:
        return {item: by.kind for item, by in blocking(conn, items or ("A", "B", "C")).items()}


def test_the_items_that_an_open_exception_names_are_stopped_until_it_is_resolved(store: Store) -> None:
    changed, facts = Subject.row("m-1"), {"external_ids": ["A", "B"]}
    with store.write() as conn:
        Books(conn, now=START).open_exception("movement_changed", about=changed, detail="d", hint="h", facts=facts)
        echo = Subject.event("k")
        Books(conn, now=START).open_exception(
            "echo_undecided", about=echo, detail="d", hint="h", facts={"external_id": "B"}
        )

    assert _blocked(store) == {"A": "movement_changed", "B": "movement_changed"}
    assert _blocked(store, "C") == {}

    with store.write() as conn:
        Books(conn, now=START).resolve_exceptions("movement_changed", about=changed, resolution="r")

    assert _blocked(store) == {"B": "echo_undecided"}


def test_what_an_exception_stops_is_what_is_known_by_now(store: Store) -> None:
    for items in (["A"], ["A", "C"], ["C"]):
        with store.write() as conn:
            facts = {"external_ids": items}
            Books(conn, now=START).open_exception(
                "movement_changed", about=Subject.row("m"), detail="d", hint="h", facts=facts
            )

        assert _blocked(store) == dict.fromkeys(items, "movement_changed")


def test_a_shortage_and_a_refused_document_stop_no_item(store: Store) -> None:
    with store.write() as conn:
        for kind in ("not_enough_stock", "push_dead"):
            facts = {"external_ids": ["A"]}
            Books(conn, now=START).open_exception(kind, about=Subject.push(7), detail="d", hint="h", facts=facts)

    assert _blocked(store) == {}
