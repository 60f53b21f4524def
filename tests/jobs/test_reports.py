"""What needs a person, in a line each."""

from __future__ import annotations

from datetime import UTC, datetime

from sync.database import schema
from sync.database.engine import Store
from sync.jobs.reports import needs_a_person
from sync.ledger.parked import park
from tests.views.story import add, push

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_an_event_that_mpw_gives_no_answer_about_is_told_and_one_that_waits_for_a_delete_is_not(store: Store) -> None:
    with store.write() as conn:
        park(conn, ("receipt", "k-1"), reason="MPW could not be asked: expected an array, got an object", due_at=NOW)
        park(conn, ("receipt", "k-2"), reason="the delete of the one before it is not done", due_at=NOW)

    with store.read() as conn:
        (line,) = needs_a_person(conn)

    assert line.startswith("1 events wait: MPW could not be asked: expected an array, got an object")


def test_pushes_that_a_refused_read_holds_up_are_told_once_and_not_while_mpw_is_paused(store: Store) -> None:
    refused = "waiting: MPW refuses the read that must come before this push: HTTP 400"
    with store.write() as conn:
        add(conn, schema.outbox, push("k-1", last_error=refused), push("k-2", last_error=refused))
    with store.read() as conn:
        (line,) = needs_a_person(conn)
    assert line.startswith(f"2 pushes wait: {refused}")

    with store.write() as conn:
        add(conn, schema.pauses, {"system": "mpw", "fingerprint": "f", "reason": "HTTP 401", "since": NOW})
    with store.read() as conn:
        (line,) = needs_a_person(conn)
    assert line.startswith("mpw is paused: HTTP 401")
