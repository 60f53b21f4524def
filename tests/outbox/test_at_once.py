"""Two processes, or two threads of one, that write the same small thing for the first time at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import Connection

from sync.database.engine import Store
from sync.database.exceptions import open_exceptions
from sync.database.facts import fact
from sync.database.pauses import pause_reason, pause_system
from sync.ledger.books import Books
from sync.values.subjects import Subject
from tests.clocks import START

MPW = Subject.source("mpw")


def _at_once(store: Store, write: Callable[[Connection, str], object]) -> list[BaseException]:
    """Have a second transaction begin its write while the first has written and not committed; return what failed."""
    failed: list[BaseException] = []

    def second() -> None:
        try:
            with store.write() as conn:
                write(conn, "second")
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=second)
    with store.write() as conn:
        write(conn, "first")
        thread.start()
        thread.join(0.3)
    thread.join(30)
    return failed


def test_a_fact_set_first_by_two_has_the_later_value(store: Store) -> None:
    failed = _at_once(store, lambda conn, who: Books(conn, now=START).note_fact("rest_until.mpw", who))

    with store.read() as conn:
        value = fact(conn, "rest_until.mpw")
    assert (failed, value) == ([], "second")


def test_an_exception_opened_by_two_is_one(store: Store) -> None:
    failed = _at_once(
        store,
        lambda conn, who: Books(conn, now=START).open_exception("credentials", about=MPW, detail=who, hint="h"),
    )

    with store.read() as conn:
        kinds = [row.kind for row in open_exceptions(conn)]
    assert (failed, kinds) == ([], ["credentials"])


@pytest.mark.parametrize("fingerprints", [("a", "a"), ("a", "b")])
def test_a_refusal_noted_by_two_pauses_the_system(store: Store, fingerprints: tuple[str, str]) -> None:
    by = dict(zip(("first", "second"), fingerprints, strict=True))
    failed = _at_once(
        store, lambda conn, who: pause_system(conn, "mpw", fingerprint=by[who], reason="wrong password", now=START)
    )

    with store.read() as conn:
        reason = pause_reason(conn, "mpw", fingerprint=by["second"])
    assert (failed, reason) == ([], "wrong password")
