"""What answers to issuances, and the days that show them, teach of MPW; and what that then decides."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert, text

from sync.clients.mpw.client import MpwClient
from sync.database.engine import Store
from sync.database.exceptions import open_exceptions
from sync.database.schema import pushed_rows
from sync.errors import RejectedError
from sync.learned.rows import learn, learned
from sync.ledger.books import Books
from sync.ledger.coverage import ISSUANCES
from sync.ledger.documents import insert_documents
from sync.ledger.rules import new_entry
from sync.poll.schedule import poll_days_once
from tests.clocks import FakeClock
from tests.worlds.outbox_world import MAIN, PART, TODAY, OutboxWorld, outbox_world
from tests.worlds.poll_world import TODAY as POLL_TODAY
from tests.worlds.poll_world import PollWorld, issuance, poll_world


@pytest.fixture
def world(store: Store, clock: FakeClock) -> Iterator[OutboxWorld]:
    with outbox_world(store, clock) as made:
        yield made


@pytest.fixture
def polls(store: Store, clock: FakeClock) -> Iterator[PollWorld]:
    with poll_world(store, clock) as made:
        yield made


Words = Callable[[RejectedError], RejectedError | None]


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> Callable[[Words], None]:
    """Let MPW refuse issuances in other words."""
    real = MpwClient.post_issuance

    def in_other_words(other: Words) -> None:
        def post(self: MpwClient, body: str) -> object:
            try:
                return real(self, body)
            except RejectedError as error:
                raise other(error) or error from error

        monkeypatch.setattr(MpwClient, "post_issuance", post)

    return in_other_words


def known(store: Store, fact: str) -> str | None:
    with store.read() as conn:
        return learned(conn, "mpw", fact)


def evidence(store: Store, fact: str) -> str:
    with store.read() as conn:
        return str(conn.execute(text("select evidence from v_learned where fact = :fact"), {"fact": fact}).scalar())


# --- wordings -----------------------------------------------------------------------------


def test_the_wording_of_exists_is_kept_with_the_row_that_proved_it(world: OutboxWorld) -> None:
    push = world.issuance()
    world.push()
    with world.store.write() as conn:  # a backup from before the call was put back
        conn.execute(text("delete from attempts"))
        conn.execute(text("delete from pushed_rows"))
        conn.execute(text("update outbox set state = 'ready', tries = 0, attempts = 0, finalized_at = null"))

    world.push()

    assert world.state(push) == "done"
    assert known(world.store, "exists_words") == "an issuance with api_key … already exists."
    assert "erp-i-1" in evidence(world.store, "exists_words")


def test_words_for_exists_that_we_do_not_know_are_believed_when_two_keys_have_proved_them(
    world: OutboxWorld, words: Callable[[Words], None]
) -> None:
    words(lambda error: RejectedError(f"Posting no. {world.clock.now():%H%M} of this reference was booked", status=422)
          if "exists" in error.message else None)  # fmt: skip
    known_after = []
    for key in ("erp-i-1", "erp-i-2"):
        push = world.issuance(key)
        world.push()
        with world.store.write() as conn:
            conn.execute(text(f"update outbox set state = 'ready', finalized_at = null where id = {push}"))
            conn.execute(text("update attempts set outcome = 'unknown'"))  # the answer was lost
        world.push()
        assert world.state(push) == "done"
        known_after.append(known(world.store, "exists_words"))
        world.clock.advance(minutes=10)
        world.settle()

    assert known_after == [None, "posting no. # of this reference was booked"]


def test_learnt_words_for_exists_are_looked_into_and_not_taken_for_a_refusal(
    world: OutboxWorld, words: Callable[[Words], None]
) -> None:
    words(lambda _error: RejectedError("This reference was booked", status=422))
    with world.store.write() as conn:
        learn(conn, "mpw", "exists_words", "this reference was booked", evidence="x", now=world.clock.now())
    assert world.ctx.mpw is not None
    push = world.issuance()
    fields = {"part_number": PART, "warehouse_name": MAIN, "quantity": 7, "created_on": "2024-03-01"}
    world.ctx.mpw.post_issuance(json.dumps(fields | {"api_key": "erp-i-1"}))  # another program has our key

    world.push()

    assert world.told() == [("push_conflict", str(push))]
    assert "says that erp-i-1 exists" in world.detail("push_conflict")


def receipts_known(world: OutboxWorld, part: str, remaining: int) -> None:
    """The last polls have shown one receipt of a part."""
    now = world.clock.now()
    day = now.date()
    with world.store.write() as conn:
        values: dict[str, Any] = {"item": part, "warehouse": MAIN, "quantity": Decimal(9), "unit_cost": Decimal(1)}
        Books(conn, now=now).append(
            [new_entry("mpw", "receipt", f"k-{part}", part, occurred_on=day, **values)],
        )  # fmt: skip
        document: dict[str, Any] = {"system": "mpw", "type": "receipt", "remote_id": part, "source": "mpw.receipts"}
        document |= {"raw": "{}", "digest": "d", "item": part, "warehouse": MAIN, "remaining": remaining, "day": day}
        insert_documents(conn, [document | {"first_seen_at": now, "last_seen_at": now}])


def test_the_wording_of_the_maximum_is_kept_where_it_names_what_we_know_remains(world: OutboxWorld) -> None:
    world.sandbox.mpw.add_part("FEW", MAIN)
    world.sandbox.mpw.person_receives("FEW", MAIN, 4, "5", "2024-02-01")
    world.sandbox.mpw.person_receives("FEW", MAIN, 90, "5", "2024-02-02")
    receipts_known(world, "FEW", 4)
    world.issuance(part_number="FEW", quantity=6)

    world.push()

    assert known(world.store, "maximum_words") == "the maximum quantity available for this issuance is #."


def test_words_for_the_maximum_that_we_do_not_know_split_the_third_issuance(
    world: OutboxWorld, words: Callable[[Words], None]
) -> None:
    def other(error: RejectedError) -> RejectedError | None:
        number = error.message.rpartition(" ")[2].rstrip(".")
        return RejectedError(f"Layer cap {number}", status=422) if "maximum" in error.message else None

    words(other)
    pushes = []
    for n in (1, 2, 3):
        part = f"FEW-{n}"
        world.sandbox.mpw.add_part(part, MAIN)
        world.sandbox.mpw.person_receives(part, MAIN, 3 + n, "5", "2024-02-01")
        world.sandbox.mpw.person_receives(part, MAIN, 90, "5", "2024-02-02")
        receipts_known(world, part, 3 + n)
        pushes.append(world.issuance(f"erp-i-{n}", part_number=part, quantity=10))
        world.settle()

    assert [world.state(push) for push in pushes] == ["dead", "dead", "done"]
    assert known(world.store, "maximum_words") == "layer cap #"


# --- fractions ----------------------------------------------------------------------------


def test_a_refused_fraction_is_learnt_and_another_refusal_of_one_is_not(
    world: OutboxWorld, words: Callable[[Words], None]
) -> None:
    words(lambda _error: RejectedError("Warehouse is closed for stocktaking", status=422))
    world.issuance("erp-i-1", quantity=2.5)
    world.push()
    before = known(world.store, "fractions_taken")

    words(lambda _error: RejectedError("quantity must be an integer", status=422))
    world.issuance("erp-i-2", quantity=2.5, part_number=PART)
    world.settle()

    assert before is None
    assert known(world.store, "fractions_taken") == "no"
    assert "erp-i-2" in evidence(world.store, "fractions_taken")


# --- markers ------------------------------------------------------------------------------


def pushed(polls: PollWorld, remote_id: int, key: str, description: str) -> None:
    """An answer has told that a row is ours."""
    outbox_id = polls.add_push("post_issuance", key, payload=json.dumps({"description": description}))
    with polls.store.write() as conn:
        row = {"type": "issuance", "remote_id": str(remote_id), "api_key": key, "outbox_id": outbox_id}
        conn.execute(insert(pushed_rows).values(**row))


@pytest.mark.parametrize(
    ("sent", "shown", "survives", "longest"),
    [
        ("Folio-1 [erp-1]", "Folio-1 [erp-1]", "yes", None),
        ("Folio-1 [erp-1]", "Folio-1 [erp-1_s2]", "yes", None),
        ("Folio-1 [erp-1]", "Folio-1", None, None),
        ("Folio-1 [erp-1]", None, "no", None),
        ("Folio-1 [erp-1]", "FOLIO", "no", None),
        ("Folio-1 and so on [erp-1]", "Folio-1 and so", None, "14"),
        ("Folio-1", None, None, None),
    ],
)
def test_whether_a_description_comes_back_is_learnt_from_our_own_rows(
    polls: PollWorld, sent: str, shown: str | None, survives: str | None, longest: str | None
) -> None:
    pushed(polls, 1, "erp-1", sent)
    polls.put("issuances", issuance(1, description=shown), issuance(2, description=None))

    poll_days_once(polls.ctx, ISSUANCES, (POLL_TODAY,))

    assert (known(polls.store, "marker_survives"), known(polls.store, "description_max")) == (survives, longest)
    if survives or longest:
        assert "issuance 1 of erp-1" in evidence(polls.store, "marker_survives" if survives else "description_max")


def test_a_longer_description_that_is_shown_whole_corrects_the_maximum(polls: PollWorld) -> None:
    with polls.store.write() as conn:
        learn(conn, "mpw", "description_max", "9", evidence="a row that a person had shortened", now=polls.clock.now())
    pushed(polls, 1, "erp-1", "Folio-1 [erp-1]")
    polls.put("issuances", issuance(1, description="Folio-1 [erp-1]"))

    poll_days_once(polls.ctx, ISSUANCES, (POLL_TODAY,))

    assert known(polls.store, "description_max") == "15"
    with polls.store.read() as conn:
        assert open_exceptions(conn, kind="learned_contradicted") == []


def test_what_people_keyed_in_teaches_nothing_of_markers(polls: PollWorld) -> None:
    polls.put("issuances", issuance(1, description=None), issuance(2, description="cut"))

    poll_days_once(polls.ctx, ISSUANCES, (POLL_TODAY,))

    assert known(polls.store, "marker_survives") is None


def test_one_description_that_a_person_edited_does_not_turn_over_what_was_learnt(polls: PollWorld) -> None:
    rows = []
    for n in range(1, 4):
        pushed(polls, n, f"erp-{n}", f"Folio [erp-{n}]")
        rows.append(issuance(n, description="Joe's" if n == 3 else f"Folio [erp-{n}]"))
    polls.put("issuances", *rows)

    for _ in range(5):
        poll_days_once(polls.ctx, ISSUANCES, (POLL_TODAY,))

    assert known(polls.store, "marker_survives") == "yes"
    with polls.store.read() as conn:
        assert [row.subject for row in open_exceptions(conn, kind="learned_contradicted")] == ["mpw marker_survives"]


@pytest.mark.parametrize("fault", ["lost_answer", "lost_request"])
def test_where_mpw_drops_descriptions_a_lost_answer_still_has_one_effect(world: OutboxWorld, fault: str) -> None:
    with world.store.write() as conn:
        learn(conn, "mpw", "marker_survives", "no", evidence="x", now=world.clock.now())
    world.sandbox.mpw.person_issues(PART, MAIN, 1, TODAY, description="shop")
    push = world.issuance()
    world.sandbox.faults.add("mpw.post_issuance", fault, 1)
    world.push()
    for row in world.sandbox.mpw.issuance_by_id.values():
        if row.api_key == "erp-i-1":
            world.sandbox.mpw.person_edits_issuance(row.id, description="")

    world.settle()

    assert world.state(push) == "done"
    assert [row.api_key for row in world.sandbox.mpw.issuance_by_id.values()].count("erp-i-1") == 1
    assert world.told() == []
