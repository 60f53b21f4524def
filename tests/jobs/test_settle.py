"""A person keyed an event in by hand: it is never pushed, no longer open, and who said so and why is kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import insert

from sync.__main__ import main
from sync.database.engine import Store
from sync.database.schema import documents
from sync.errors import ConfigError
from sync.jobs.settle import settle_event
from tests.clocks import FakeClock
from tests.worlds.reconcile_world import RECEIPT, World, keys, make_world


@pytest.fixture
def world(store: Store, clock: FakeClock) -> World:
    return make_world(store, clock)


def settle(world: World, key: str = "mps-m1-1", **values: Any) -> None:
    settle_event(world.ctx, key, **{"kind": None, "why": "keyed in by hand", "by": "ann", **values})


def rows(world: World, query: str) -> list[tuple[Any, ...]]:
    with world.store.read() as conn:
        return [tuple(row) for row in conn.exec_driver_sql(query)]


def test_what_waits_for_a_quantity_is_settled_and_stays_so(world: World) -> None:
    world.move("Outbound", ("P-1", "1.5", "1"))
    world.reconcile()
    before = world.told()

    settle(world, mpw_id="77")

    assert before == [("fractional_issuance", "issuance mps-m1-1")]
    assert (world.told(), world.waiting()) == ([], [])
    world.rules(fractional_issuances=True)
    world.reconcile()
    world.reconcile()
    assert (world.told(), world.waiting(), world.pushes()) == ([], [], [])
    assert rows(world, "select settled, matched from v_events") == [(1, 0)]
    who = rows(world, "select who, action, subject, why from v_actions order by action desc")
    assert who == [
        ("ann", "exceptions resolve", "fractional_issuance issuance mps-m1-1", "keyed in by hand"),
        ("ann", "events settle", "issuance mps-m1-1", "keyed in by hand"),
    ]


def test_one_of_two_that_wait_for_a_part_leaves_the_other_waiting(world: World) -> None:
    world.rules(warehouse=None)
    world.move("Inbound", ("X", "1", "1"), ("X", "2", "1"))
    world.reconcile()

    settle(world)
    world.reconcile()
    after_one = (world.told(), world.waiting())
    settle(world, "mps-m1-2")
    world.reconcile()

    assert after_one == ([("unmapped_item", "X")], [("receipt", "mps-m1-2")])
    assert (world.told(), world.waiting()) == ([], [])


@pytest.mark.parametrize("state", ["held", "ready", "dead"])
def test_what_was_not_sent_is_dropped(world: World, state: str) -> None:
    world.move("Inbound", ("P-1", "2", "1"))
    world.reconcile()
    if state == "dead":
        world.set_push(world.push().id, state="dead", tries=1, attempts=1, finalized_at=world.clock.now())
    else:
        world.set_push(world.push().id, state=state)

    settle(world)
    world.reconcile()
    world.rules(create_parts=True)
    world.reconcile()

    assert keys(world.pushes()) == [("post_receipt", "mps-m1-1", "discarded")]


@pytest.mark.parametrize("state", ["sending", "unknown", "done"])
def test_a_push_in_flight_or_done_refuses_it_with_the_reason(world: World, state: str) -> None:
    world.move("Inbound", ("P-1", "2", "1"))
    world.reconcile()
    world.done(world.push().id)
    if state != "done":
        lease = {"lease_owner": "o", "lease_until": world.clock.now()} if state == "sending" else {}
        world.set_push(world.push().id, state=state, finalized_at=None, ambiguous=state == "unknown", **lease)

    with pytest.raises(ConfigError, match=f"push {world.push().id} of it is {state}"):
        settle(world)

    assert rows(world, "select settled from v_events") == [(0,)]


def test_what_mpw_has_under_its_own_key_needs_no_settling(world: World) -> None:
    world.move("Inbound", ("P-1", "5", "9.99"))
    world.mpw_entry("receipt", "mps-m1-1")

    with pytest.raises(ConfigError, match="under that key already"):
        settle(world)


def test_a_key_that_is_not_known_or_means_two_is_refused(world: World) -> None:
    world.erp("receipt", "K-1", RECEIPT)
    world.erp(
        "issuance",
        "K-1",
        {"part_number": "P-1", "warehouse_name": "Warehouse #1", "quantity": 1, "created_on": "2024-03-15"},
    )
    world.reconcile()

    with pytest.raises(ConfigError, match="has the key nobody"):
        settle(world, "nobody")
    with pytest.raises(ConfigError, match="issuance and of a receipt"):
        settle(world, "K-1")
    with pytest.raises(ConfigError, match="not of a transfer"):
        settle(world, "K-1", kind="transfer")
    settle(world, "K-1", kind="issuance")
    assert rows(world, "select kind, settled from v_events order by kind") == [("issuance", 1), ("receipt", 0)]


def test_the_row_in_mpw_is_one_that_is_nobody_else_s(world: World) -> None:
    seen = datetime(2024, 3, 15, 12, tzinfo=UTC)
    row = {"system": "mpw", "type": "receipt", "source": "mpw.receipts", "raw": "{}", "digest": "d"}
    with world.store.write() as conn:
        for number, key in (("5", "mpw-r-5"), ("6", "mps-other-1")):
            values = {"remote_id": number, "api_key": key, "first_seen_at": seen, "last_seen_at": seen}
            conn.execute(insert(documents).values(row | values))
    world.rules(warehouse=None)
    world.move("Inbound", ("X", "1", "1"), ("X", "2", "1"))
    world.reconcile()

    with pytest.raises(ConfigError, match="is mps-other-1 already"):
        settle(world, mpw_id="6")
    settle(world, mpw_id="5")
    with pytest.raises(ConfigError, match="is mps-m1-1 already"):
        settle(world, "mps-m1-2", mpw_id="5")


def test_a_movement_that_is_deleted_later_is_not_deleted_in_mpw(world: World) -> None:
    world.erp("receipt", "K-1", RECEIPT | {"part_number": "P-9"})
    world.reconcile()
    settle(world, "K-1")
    world.erp("void", "K-1", {"kind": "receipt"})

    world.reconcile()

    assert world.pushes() == []


def test_the_command_settles_and_explain_tells_who_and_why(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database_url: str
) -> None:
    world.move("Outbound", ("P-1", "1.5", "1"))
    world.reconcile()
    world.store.close()
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("MPW_WAREHOUSE", "Warehouse #1")

    assert main(["events", "settle", "mps-m1-1", "--why", "keyed in", "--mpw-id", "77", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    main(["explain", "mps-m1-1"])
    told = capsys.readouterr().out
    assert main(["events", "settle", "nobody", "--why", "w"]) == 2

    assert said == {"kind": "issuance", "api_key": "mps-m1-1", "mpw_id": "77", "dropped": []}
    assert "keyed in" in told
    assert "settled by hand: keyed in" in told
    assert "77" in told
