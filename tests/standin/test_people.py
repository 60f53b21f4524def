"""Section 3: what people do stands until a person has said what is to become of it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.standin.mpservices import Movement
from tests.standin.mpw import DELETE_ISSUANCE, DELETE_RECEIPT, ISSUANCE, RECEIPT
from tests.standin.world import MAIN, PART, World

CYCLES = 4


def left_alone(world: World, theirs: Any) -> None:
    """Run cycles with a change in MPW: what people left in MPservices is not patched away."""
    before = world.patches()
    world.mpw.receives(PART, 2, 10, MAIN)
    for _ in range(CYCLES):
        world.cycle()
        assert world.mps.stock(PART) == theirs
    assert world.patches() == before
    assert world.view("v_stock", external_id=PART)[0]["blocked_reason"]
    assert world.status()


def moved_and_corrected(world: World, change: int, corrected: int) -> str:
    """A movement reaches MPW, and then a person corrects it."""
    id_ = world.mps.moves(PART, change)
    world.rests()
    assert world.mpw.stock(PART, MAIN) == 100 + change
    world.mps.corrects(id_, corrected)
    world.cycle()
    return id_


@pytest.mark.parametrize(("change", "corrected"), [(50, 5), (-50, -5), (5, 50), (5, -5)])
def test_a_corrected_movement_blocks_its_item(world: World, change: int, corrected: int) -> None:
    moved_and_corrected(world, change, corrected)

    left_alone(world, 100 + corrected)
    assert "movement_changed" in world.told()


@pytest.mark.parametrize(("change", "corrected"), [(50, 5), (-50, -5), (5, 50)])
def test_applied_a_correction_deletes_the_counterpart_and_posts_it_as_corrected(
    world: World, change: int, corrected: int
) -> None:
    moved_and_corrected(world, change, corrected)
    world.resolve("movement_changed", "--apply")
    world.rests()

    assert world.stocks() == (100 + corrected, 100 + corrected)
    post, delete = (RECEIPT, DELETE_RECEIPT) if change > 0 else (ISSUANCE, DELETE_ISSUANCE)
    assert world.pushed() == [post, delete, post]
    rows = world.mpw.receipts if change > 0 else world.mpw.issuances
    assert str(rows[-1].api_key).endswith("_c2")
    assert world.told() == []
    assert all(row["matched"] for row in world.view("v_events", voided=0) if row["kind"] != "adjustment")


def test_a_createdat_that_loses_its_fraction_of_a_second_corrects_nothing(world: World) -> None:
    world.mps.moves(PART, -4)
    world.rests()
    with world.mps.lock:
        for movement in world.mps.movements:
            movement.created_at = movement.created_at.replace(microsecond=0)
    world.rests()

    assert world.stocks() == (96, 96)
    assert world.pushed() == [ISSUANCE]
    assert world.ever_told() == []


def test_a_second_correction_is_posted_under_the_next_key(world: World) -> None:
    id_ = moved_and_corrected(world, 50, 5)
    world.resolve("movement_changed", "--apply")
    world.rests()
    world.mps.corrects(id_, 8)
    world.cycle()
    world.resolve("movement_changed", "--apply")
    world.rests()

    assert world.stocks() == (108, 108)
    assert str(world.mpw.receipts[-1].api_key).endswith("_c3")
    assert len(world.mpw.receipts) == 2
    assert world.told() == []


def test_kept_a_correction_leaves_both_sides_and_goes_on_from_there(world: World) -> None:
    moved_and_corrected(world, 50, 5)
    world.resolve("movement_changed", "--keep")
    world.rests()
    world.mps.moves(PART, -1)
    world.rests()

    ours, theirs = world.stocks()
    assert ours == theirs == 149
    assert world.pushed() == [RECEIPT, ISSUANCE]
    assert world.told() == []


def test_a_refused_delete_of_a_correction_is_an_exception_and_posts_nothing_twice(world: World) -> None:
    moved_and_corrected(world, 50, 5)
    world.mpw.issues(PART, 120, MAIN)
    world.resolve("movement_changed", "--apply")
    world.cycle(CYCLES)

    assert world.mpw.stock(PART, MAIN) == 30
    assert world.pushed().count(RECEIPT) == 1
    assert world.mps.stock(PART) == 105
    assert world.told()


@pytest.mark.parametrize("change", [50, -50])
def test_a_deleted_movement_blocks_its_item(world: World, change: int) -> None:
    world.mps.moves(PART, -1)
    world.rests()
    id_ = world.mps.moves(PART, change)
    world.rests()
    world.mps.deletes(id_)
    world.cycle()

    left_alone(world, 99)
    assert "movement_deleted" in world.told()


@pytest.mark.parametrize("change", [50, -50])
def test_applied_a_deletion_takes_the_counterpart_back(world: World, change: int) -> None:
    world.mps.moves(PART, -1)
    world.rests()
    id_ = world.mps.moves(PART, change)
    world.rests()
    world.mps.deletes(id_)
    world.cycle(2)
    world.resolve("movement_deleted", "--apply")
    world.rests()

    assert world.stocks() == (99, 99)
    assert world.told() == []


def test_kept_a_deletion_leaves_the_counterpart(world: World) -> None:
    world.mps.moves(PART, -1)
    world.rests()
    id_ = world.mps.moves(PART, 50)
    world.rests()
    world.mps.deletes(id_)
    world.cycle(2)
    world.resolve("movement_deleted", "--keep")
    world.rests()

    assert world.stocks() == (149, 149)
    assert world.pushed() == [ISSUANCE, RECEIPT]
    assert world.told() == []


def test_movements_that_all_fell_out_of_the_window_early_are_a_short_window(world: World) -> None:
    world.mps.moves(PART, -1)
    world.rests()
    world.mps.habits.reach = timedelta(hours=1)
    for _ in range(4):
        world.cycle(minutes=30)

    assert "short_window" in world.told()
    assert "movement_deleted" not in world.ever_told()
    assert world.pushed() == [ISSUANCE]


@pytest.mark.parametrize("type", ["Merma", "Transfer", "return"])
def test_a_movement_of_an_unknown_type_blocks_its_item_until_a_person_has_settled_it(world: World, type: str) -> None:
    world.mps.moves(PART, -4, type=type)
    world.cycle()
    left_alone(world, 96)

    for kind in world.told():
        world.resolve(kind)
    world.rests()
    ours, theirs = world.stocks()
    assert ours == theirs
    assert world.pushed() == []
    assert world.told() == []


def test_an_item_that_only_a_movement_of_an_unknown_type_names_is_set_to_mpws_stock_once_that_is_settled(
    world: World,
) -> None:
    world.mps.add("P-9", 50, 3)
    world.mpw.adds("P-9", MAIN, 12, 3)
    world.mps.moves("P-9", -4, type="Merma")
    world.cycle()
    assert world.stocks("P-9") == (12, 46)

    for kind in world.told():
        world.resolve(kind)
    world.rests()
    assert world.stocks("P-9") == (12, 12)
    assert world.told() == []


@pytest.mark.parametrize("garbled", [{"quantity": "two"}, {"quantity": None}, {"cost": "x"}], ids=str)
def test_a_line_that_cannot_be_read_blocks_its_item(world: World, garbled: dict[str, Any]) -> None:
    world.mps.moves(PART, 4, garbled=garbled)
    world.cycle()

    left_alone(world, 104)
    assert world.view("v_quarantine", resolved_at=None)


@pytest.mark.parametrize("cost", [None, ""])
def test_an_outbound_without_a_cost_is_issued_all_the_same(world: World, cost: Any) -> None:
    world.mps.moves(PART, -4, garbled={"cost": cost})
    world.rests()

    assert world.stocks() == (96, 96)
    assert world.pushed() == [ISSUANCE]
    assert world.told() == []


def test_an_inbound_without_a_cost_is_a_persons_matter_and_is_not_erased(world: World) -> None:
    world.mps.moves(PART, 4, garbled={"cost": None})
    world.cycle()

    left_alone(world, 104)


@pytest.mark.parametrize("key", ["GR-1_c2", "GR-1_c13"])
def test_an_erps_key_that_ends_as_a_corrections_is_refused(world: World, key: str) -> None:
    world.erp_receipt(key)
    world.cycle()

    assert [row["state"] for row in world.view("v_inbox")] == ["rejected"]
    assert world.pushed() == []


def test_a_rejected_document_does_not_freeze_its_item(world: World) -> None:
    world.erp_receipt("GR-1", "many")
    world.cycle()
    world.mpw.receives(PART, 5, 10, MAIN)
    world.rests()

    assert world.stocks() == (105, 105)


def test_a_shortage_of_what_people_took_in_mpservices_still_holds_its_patches(world: World) -> None:
    world.mps.moves(PART, -120)
    world.cycle(CYCLES)
    waiting = [row for row in world.view("v_outbox", operation="post_issuance") if row["state"] == "ready"]

    assert len(waiting) == 1
    assert world.mps.stock(PART) == -20, "a patch would erase what people took and MPW lacks"

    world.mpw.receives(PART, 50, 10, MAIN)
    world.rests()
    assert world.stocks() == (30, 30)


def test_a_shortage_does_not_freeze_its_item(world: World) -> None:
    world.erp_issuance("IS-1", 500)
    world.cycle(2)
    world.mpw.receives(PART, 5, 10, MAIN)
    world.cycle(CYCLES)

    assert world.mps.stock(PART) == world.mpw.stock(PART, MAIN)
    assert world.mpw.stock(PART, MAIN) in (105, 5, 0)


def test_a_row_of_ours_that_vanishes_and_returns_leaves_nothing_for_a_person(world: World) -> None:
    world.mps.moves(PART, 5)
    world.rests()
    (ours,) = [row for row in world.mpw.receipts if row.api_key is not None]
    ours.hidden = True
    world.cycle(10, minutes=20)
    told = world.told()
    ours.hidden = False
    world.rests()

    assert told == ["deleted_in_mpw"]
    assert world.told() == []
    assert world.stocks() == (105, 105)
    assert len(world.pushed()) == 1


# --- gone, with all that is older: deleted, or beyond a window that is short -----------------


def vanished(world: World, *, held: bool, deleted: bool = True) -> list[Movement]:
    """The feed lacks what people moved first, and shows one that is newer: they deleted both, or it reaches no further.

    With `held` nothing of it has been posted yet.
    """
    if held:
        world.restart(SYNC_ROUTE_ISSUANCES="hold", SYNC_ROUTE_RECEIPTS="hold")
    world.mps.add("P-2", 5, 10)
    world.mpw.adds("P-2", MAIN, 5, 10)
    world.cycle(3, minutes=20 * 60)  # the feed shows nothing of before any more
    gone = [world.mps._movement(world.mps.moves(PART, change)) for change in (50, -3)]
    world.rests()
    world.mps.moves("P-2", 1)
    world.rests()
    assert world.pushed() == ([] if held else [RECEIPT, ISSUANCE, RECEIPT])
    for one in gone:
        if deleted:
            world.mps.deletes(one.id)
        else:
            world.mps.movements.remove(one)
    world.cycle(2)
    assert world.told() == ["short_window"]
    return gone


def released(world: World) -> None:
    """A person lets all go that is held for review."""
    world.rests()
    code, said = world.mpsync("outbox", "release", "--all")
    assert code == 0, said
    world.rests()


def of_part(world: World) -> list[str]:
    """Return what MPW has of the part that the vanished movements are about."""
    rows = [*world.mpw.receipts, *world.mpw.issuances]
    return [str(row.api_key) for row in rows if row.part == PART and row.api_key is not None]


@pytest.mark.parametrize("held", [True, False])
def test_of_a_short_window_nothing_is_sent_until_a_person_has_decided(world: World, held: bool) -> None:
    vanished(world, held=held)
    before, patches = of_part(world), world.patches()

    released(world)
    world.cycle(CYCLES)

    assert (of_part(world), world.patches(), world.mps.stock(PART)) == (before, patches, 100)
    assert len(before) == (0 if held else 2)
    (asks,) = world.query("select * from v_todo where kind = 'short_window'")
    assert all(choice in str(asks["choices"]) for choice in ("--apply", "--keep"))


@pytest.mark.parametrize("held", [True, False])
def test_of_a_short_window_what_was_deleted_is_taken_back_or_never_posted(world: World, held: bool) -> None:
    vanished(world, held=held)

    world.follows("short_window", "--apply")
    released(world)

    assert (world.stocks(), of_part(world)) == ((100, 100), [])
    deleted = [DELETE_ISSUANCE, DELETE_RECEIPT]
    assert sorted(set(world.pushed()) & set(deleted)) == ([] if held else deleted)
    assert world.told() == []


@pytest.mark.parametrize("held", [True, False])
def test_of_a_short_window_what_is_there_is_posted_once(world: World, held: bool) -> None:
    vanished(world, held=held, deleted=False)

    world.follows("short_window", "--apply", **{"--apply": "--keep"})
    world.mpsync("learned", "set", "window_hours", "1", "--why", "looked")
    released(world)

    assert (world.stocks(), len(of_part(world))) == ((147, 147), 2)
    assert world.told() == []


@pytest.mark.parametrize("held", [True, False])
def test_what_a_short_window_lacks_and_is_shown_again_goes_on_by_itself(world: World, held: bool) -> None:
    gone = vanished(world, held=held, deleted=False)

    world.mps.movements.insert(0, gone[1])  # the first one is still away
    world.cycle(2)
    (asks,) = world.view("v_exceptions", resolved_at=None)
    assert (gone[0].id in asks["detail"], gone[1].id in asks["detail"]) == (True, False)
    world.mps.movements.insert(0, gone[0])
    world.rests()
    assert world.told() == []
    released(world)

    assert (world.stocks(), len(of_part(world))) == ((147, 147), 2)


def test_of_a_short_window_that_lacks_a_deleted_one_and_one_that_is_there_both_are_put_right(
    world: World, tmp_path: Path
) -> None:
    there, _ = vanished(world, held=True)
    world.mps.products[PART].stock += 50  # the second one only was deleted

    world.follows("short_window", "--apply")
    world.cycle()
    head = {"id": there.id, "type": there.type, "createdAt": there.created_at.isoformat()}
    fields = head | {"item_external_id": PART, "quantity": 50, "cost": 10}
    file = tmp_path / "there.csv"
    file.write_text(f"{','.join(fields)}\n{','.join(str(value) for value in fields.values())}\n")
    code, said = world.mpsync("import", str(file), "--type", "movement", "--push")
    assert code == 0, said
    world.rests()
    released(world)

    assert (world.stocks(), len(of_part(world))) == ((150, 150), 1)
    assert world.told() == []


def test_what_is_older_than_the_window_after_an_outage_is_no_short_window(world: World) -> None:
    for change in (50, -3):
        world.mps.moves(PART, change)
    world.rests()

    world.cycle(minutes=3 * 24 * 60)
    world.mps.moves(PART, 1)
    world.cycle(2)

    assert world.told() == ["gap"]
    assert world.query("select * from unpushed") == []
