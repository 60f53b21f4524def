"""A split issuance without a marker in its description: "exists" about one part says nothing of the others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sync.database.engine import Store
from sync.push.operator import resolve_push
from tests.clocks import FakeClock
from tests.worlds.outbox_world import MAIN, TODAY, OutboxWorld, outbox_world


@pytest.fixture
def world(sqlite_store: Store, clock: FakeClock) -> Iterator[OutboxWorld]:
    with outbox_world(sqlite_store, clock) as made:
        yield made


@pytest.mark.parametrize("after", range(5))
@pytest.mark.parametrize("fault", ["lost_answer", "error_after"])
def test_a_part_that_exists_already_does_not_end_the_others(world: OutboxWorld, fault: str, after: int) -> None:
    world.sandbox.mpw.add_part("SPLIT", MAIN)
    for day, quantity in enumerate((4, 3, 5), start=1):
        world.sandbox.mpw.person_receives("SPLIT", MAIN, quantity, "5", f"2024-02-{day:02d}")
    push = world.issuance(part_number="SPLIT", quantity=10, marker=False)
    world.sandbox.faults.add("mpw.post_issuance", fault, 1, after)

    world.settle()

    issued = world.sandbox.mpw.issuance_by_id.values()
    assert world.state(push) == "done"
    assert sum(row.quantity for row in issued if row.part.part_number == "SPLIT") == 10
    assert world.sandbox.mpw.stock("SPLIT", MAIN) == 2


def test_a_person_s_word_that_a_lost_call_did_nothing_stands(world: OutboxWorld) -> None:
    mpw = world.sandbox.mpw
    mpw.add_part("SPLIT", MAIN)
    for day, quantity in enumerate((5, 4), start=1):
        mpw.person_receives("SPLIT", MAIN, quantity, "5", f"2024-02-{day:02d}")
    push = world.issuance(part_number="SPLIT", quantity=3, marker=False)
    mpw.person_issues("SPLIT", MAIN, 3, TODAY)
    world.sandbox.faults.add("mpw.post_issuance", "error_before", 1)
    world.settle()
    assert ("push_undecidable", str(push)) in world.told()
    assert mpw.stock("SPLIT", MAIN) == 6

    resolve_push(world.ctx, push, done=False, why="the other issuance is a colleague's", by="ann")
    world.settle()

    assert world.state(push) == "done"
    assert mpw.stock("SPLIT", MAIN) == 3
    assert world.told() == []
