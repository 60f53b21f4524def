"""The queue of what needs a person: one open row per kind and subject."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from sync.store.engine import Store
from sync.store.exceptions import open_exception, open_exceptions, resolve_exceptions
from sync.store.schema import exceptions
from tests.clocks import START


def _open(store: Store, *, detail: str = "no mapping", now: datetime = START, **facts: object) -> bool:
    with store.write() as conn:
        return open_exception(conn, "unmapped_item", "EXT-9", detail=detail, hint="map it", now=now, facts=facts)


def _resolve(store: Store, *, now: datetime = START) -> int:
    with store.write() as conn:
        return resolve_exceptions(conn, "unmapped_item", "EXT-9", resolution="mapped", now=now, by="ann")


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
        for kind, subject in (("gap", "EXT-9"), ("unmapped_item", "EXT-8"), ("unmapped_item", "EXT-9")):
            open_exception(conn, kind, subject, detail="d", hint="h", now=START)

    _resolve(store)

    with store.read() as conn:
        assert [(row.kind, row.subject) for row in open_exceptions(conn)] == [
            ("gap", "EXT-9"),
            ("unmapped_item", "EXT-8"),
        ]
        assert [row.subject for row in open_exceptions(conn, kind="unmapped_item")] == ["EXT-8"]


def test_the_database_itself_allows_one_open_row_per_kind_and_subject(store: Store) -> None:
    _open(store)
    values = {"kind": "unmapped_item", "subject": "EXT-9", "detail": "d", "hint": "h", "opened_at": START}

    with pytest.raises(IntegrityError), store.write() as conn:
        conn.execute(insert(exceptions).values(**values))
