"""What takes effect after we have looked, and what a delete leaves: MPW's own list has the last word."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.standin.mpw import DELETE_ISSUANCE, DELETE_RECEIPT, ISSUANCE, RECEIPT
from tests.standin.server import Reply
from tests.standin.world import MAIN, PART, World

LATE = 1500.0
"""Longer than SYNC_LATE_ARRIVAL_SECONDS: the verifier has said by then that it is not there."""


def names(change: int) -> tuple[str, str]:
    """Return the calls that post and delete a movement's counterpart."""
    return (RECEIPT, DELETE_RECEIPT) if change > 0 else (ISSUANCE, DELETE_ISSUANCE)


def late_after_a_delete(world: World, change: int, what: str) -> None:
    """A post is held up, its movement is corrected or deleted, its delete is done, and then the post lands."""
    post, _ = names(change)
    world.mpw.goes_wrong(post, effect=LATE, answer="lost")
    id_ = world.mps.moves(PART, change)
    world.cycle()
    if what == "movement_changed":
        world.mps.corrects(id_, change // 10)
    else:
        world.mps.deletes(id_)
    world.cycle(minutes=0.1)
    world.resolve(what, "--apply")
    world.cycle(8)


@pytest.mark.parametrize("what", ["movement_changed", "movement_deleted"])
@pytest.mark.parametrize("change", [50, -50])
def test_a_post_that_lands_after_its_delete_is_told_and_taken_back(world: World, change: int, what: str) -> None:
    late_after_a_delete(world, change, what)
    due = 100 + (change // 10 if what == "movement_changed" else 0)
    assert world.stocks() == (due + change, due), "a patch would carry the double effect into MPservices"
    assert "push_not_there" in world.told()
    assert world.status()

    (told,) = world.view("v_exceptions", kind="push_not_there", resolved_at=None)
    code, said = world.mpsync("outbox", "retry", told["subject"])
    assert code == 0, said
    world.rests()

    assert world.stocks() == (due, due)
    assert world.told() == []


@pytest.mark.parametrize("change", [50, -50])
def test_what_landed_after_its_delete_may_stay(world: World, change: int) -> None:
    late_after_a_delete(world, change, "movement_deleted")
    (told,) = world.view("v_exceptions", kind="push_not_there", resolved_at=None)
    code, said = world.mpsync("outbox", "discard", told["subject"])
    assert code == 0, said
    world.rests()

    assert world.stocks() == (100 + change, 100 + change)
    assert world.told() == []


@pytest.mark.parametrize("change", [50, -50])
def test_a_delete_that_says_it_is_done_and_did_nothing_is_told(world: World, change: int) -> None:
    _, delete = names(change)
    world.mps.moves(PART, -1)  # older than what is deleted: the feed is not short
    id_ = world.mps.moves(PART, change)
    world.rests()
    row: Any = (world.mpw.receipts if change > 0 else world.mpw.issuances)[-1]
    world.mpw.goes_wrong(delete, effect="never", answer=Reply(200, {"api_key": row.api_key}))
    world.mps.deletes(id_)
    world.cycle(2)
    world.resolve("movement_deleted", "--apply")
    world.cycle(4)
    assert "push_not_there" in world.told()
    assert world.status()

    world.mpw.deletes(row)
    world.cycle()
    assert world.told() == []
    world.cycle(5, minutes=20)

    assert world.stocks() == (99, 99)
    assert world.told() == []


@pytest.mark.parametrize("change", [5, -5])
@pytest.mark.parametrize("at_once", [True, False])
def test_what_a_person_keyed_in_again_under_our_key_is_not_asked_for(world: World, change: int, at_once: bool) -> None:
    world.mps.moves(PART, change)
    world.rests()
    ours: Any = (world.mpw.receipts if change > 0 else world.mpw.issuances)[-1]
    world.mpw.deletes(ours)
    if not at_once:
        world.cycle(5, minutes=20)
        assert world.told() == ["deleted_in_mpw"]
    new: Any = world.mpw.receives(PART, 5, 10, MAIN) if change > 0 else world.mpw.issues(PART, 5, MAIN)[0]
    new.api_key = ours.api_key
    if change < 0:
        new.description = ours.description
    world.cycle(5, minutes=20)

    assert world.stocks() == (100 + change, 100 + change)
    assert len(world.pushed()) == 1
    assert world.told() == [], "its hint would have it keyed in a second time"


def test_a_drift_ends_once_the_line_that_had_no_external_id_gets_it(world: World) -> None:
    id_ = world.mps.moves(PART, -2, external=False)
    world.mpw.receipts[0].cost = Decimal(12)  # a patch follows, and finds two less
    world.cycle(4)
    assert {"unknown_part", "stock_drift"} <= set(world.told())  # MPW has no part of the name that the line shows

    movement = next(one for one in world.mps.movements if one.id == id_)
    (line,) = movement.lines
    movement.lines = (replace(line, external_id=PART),)
    world.cycle(6)

    assert world.stocks() == (98, 98)
    assert world.told() == []


@pytest.mark.parametrize("sent", ["together", "one after the other"])
@pytest.mark.parametrize("choice", ["retry", "discard"])
def test_a_void_of_what_was_never_sent_takes_no_other_program_s_row(world: World, choice: str, sent: str) -> None:
    void_of_what_was_never_sent(world, sent, quantity=9)
    assert "key_taken" in world.told()
    assert world.stocks()[0] == 109

    world.follows("key_taken", choice)
    world.rests()

    assert world.told() == []
    assert world.stocks() == ((100, 100) if choice == "retry" else (109, 109))


@pytest.mark.parametrize("sent", ["together", "one after the other"])
def test_a_void_takes_back_what_a_lost_database_had_posted(world: World, sent: str) -> None:
    void_of_what_was_never_sent(world, sent, quantity=5)
    world.rests()

    assert world.told() == []
    assert world.stocks() == (100, 100)


def void_of_what_was_never_sent(world: World, sent: str, *, quantity: int) -> None:
    """MPW has a receipt of so many under a key; the ERP sends one of five under it, and voids it before it went."""
    if sent != "together":
        world.restart(SYNC_ROUTE_RECEIPTS="hold")
        world.erp_receipt("GR-1", 5)
        world.cycle()
    world.mpw.receives(PART, quantity, 10, MAIN).api_key = "GR-1"
    if sent == "together":
        world.erp_receipt("GR-1", 5)
    world.erp("void", "GR-1", kind="receipt")
    world.cycle(4)
