"""A split issuance without a marker in its description: "exists" about one part says nothing of the others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sync.store.engine import Store
from tests.clocks import FakeClock
from tests.flows.outbox_world import MAIN, OutboxWorld, outbox_world


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
