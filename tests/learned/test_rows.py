"""What is learnt is kept with the row that showed it; what contradicts it is said, and a person's word stands."""

from __future__ import annotations

import pytest

from sync.database.engine import Store
from sync.database.exceptions import open_exceptions
from sync.errors import InvariantError
from sync.jobs.due import an_agenda
from sync.jobs.reports import view
from sync.jobs.resolve import resolve_by_person
from sync.learned.rows import CONTRADICTED, all_learned, forget_learned, learn, learned, set_learned
from sync.learned.rules import FACTS
from sync.values.policy import Policy
from sync.work.context import Context
from tests.clocks import FakeClock

PAGES = FACTS["mpw", "page_honoured"]
SURVIVES = FACTS["mpw", "marker_survives"]


def show(store: Store, clock: FakeClock, value: str, evidence: str, *, fact: str = "marker_survives") -> bool:
    with store.write() as conn:
        return learn(conn, "mpw", fact, value, evidence=evidence, now=clock.now())


def known(store: Store) -> dict[str, object]:
    with store.read() as conn:
        [row] = view(conn, "v_learned", order="system, fact")
        return row


def contradictions(store: Store) -> list[tuple[str, str]]:
    with store.read() as conn:
        return [(row.subject, row.detail) for row in open_exceptions(conn, kind=CONTRADICTED)]


def test_what_was_learnt_is_shown_with_the_row_and_the_time(store: Store, clock: FakeClock) -> None:
    assert show(store, clock, "yes", "issuance 1")
    first = clock.now()
    clock.advance(60)

    assert not show(store, clock, "yes", "issuance 2")

    row = known(store)
    assert (row["value"], row["evidence"], row["seen_at"], row["set_by"]) == ("yes", "issuance 1", first, None)
    assert contradictions(store) == []


def test_an_odd_row_opens_one_exception_with_both_values_and_changes_nothing(store: Store, clock: FakeClock) -> None:
    show(store, clock, "yes", "issuance 1")

    for _ in range(3):
        assert not show(store, clock, "no", "issuance 2")

    assert known(store)["value"] == "yes"
    [(subject, detail)] = contradictions(store)
    assert subject == "mpw marker_survives"
    assert "issuance 1" in detail
    assert "issuance 2" in detail


def test_enough_rows_are_believed_and_the_exception_ends_by_itself(store: Store, clock: FakeClock) -> None:
    show(store, clock, "yes", "issuance 1")

    assert [show(store, clock, "no", f"issuance {n}") for n in (2, 3, 4)] == [False, False, True]

    assert known(store)["value"] == "no"
    assert contradictions(store) == []


@pytest.mark.parametrize("chosen", ["yes", "no"])
def test_setting_either_value_ends_the_contradiction_for_good(store: Store, clock: FakeClock, chosen: str) -> None:
    show(store, clock, "yes", "issuance 1")
    show(store, clock, "no", "issuance 2")

    with store.write() as conn:
        set_learned(conn, SURVIVES, chosen, why="I looked", by="ann", now=clock.now())
    for n in range(3, 12):
        show(store, clock, "no" if n % 2 else "yes", f"issuance {n}")

    assert contradictions(store) == []
    row = known(store)
    assert (row["value"], row["evidence"], row["set_by"]) == (chosen, "I looked", "ann")


def test_what_a_person_set_is_contradicted_aloud_and_stands(store: Store, clock: FakeClock) -> None:
    with store.write() as conn:
        set_learned(conn, SURVIVES, "yes", why="their support said so", by="ann", now=clock.now())

    for n in range(10):
        assert not show(store, clock, "no", f"issuance {n}")

    assert known(store)["value"] == "yes"
    [(_, detail)] = contradictions(store)
    assert "as ann set it (their support said so)" in detail


def test_a_contradiction_that_a_person_resolved_stays_resolved(store: Store, clock: FakeClock) -> None:
    with store.write() as conn:
        set_learned(conn, SURVIVES, "yes", why="x", by="ann", now=clock.now())
    show(store, clock, "no", "issuance 1")

    resolve_by_person(
        Context(
            store=store,
            clock=clock,
            policy=Policy(),
            agenda=an_agenda(),
        ),
        kind=CONTRADICTED,
        why="odd row",
        by="ann",
    )
    show(store, clock, "no", "issuance 2")

    assert contradictions(store) == []
    assert known(store)["value"] == "yes"


def test_what_is_forgotten_is_learnt_from_the_next_row_again(store: Store, clock: FakeClock) -> None:
    show(store, clock, "yes", "issuance 1")
    show(store, clock, "no", "issuance 2")

    with store.write() as conn:
        assert forget_learned(conn, SURVIVES, by="ann", now=clock.now())
        assert not forget_learned(conn, PAGES, by="ann", now=clock.now())

    assert contradictions(store) == []
    with store.read() as conn:
        assert learned(conn, "mpw", "marker_survives") is None
        assert all_learned(conn) == {}
    assert show(store, clock, "no", "issuance 3")


def test_what_is_not_registered_or_cannot_be_is_our_bug(store: Store, clock: FakeClock) -> None:
    for fact, value in (("nonsense", "yes"), ("page_honoured", "perhaps")):
        with pytest.raises(InvariantError):
            show(store, clock, value, "x", fact=fact)
