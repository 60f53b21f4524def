"""Whatever a vendor answers, a poll ends, the good rows land, the bad are named, and a sane answer mends it all."""

from __future__ import annotations

import copy
import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.clients.mpservices.wire import read_movements
from sync.clients.mpw.wire import read_issuances, read_receipts
from sync.clients.rows import Parsed
from sync.errors import MalformedResponseError
from sync.jobs.cycle import cycle_once
from sync.ledger.coverage import covered_days
from sync.poll.schedule import poll_days_once, poll_movements_once
from tests.hostile.profile import examples
from tests.hostile.samples import printed
from tests.hostile.trees import Tree, dump, mangled, spoiled, tree_of
from tests.hostile.worlds import Fresh, nets, quarantined
from tests.worlds.poll_world import TODAY, PollWorld, issuance, line, movement, order, receipt

YESTERDAY = TODAY - timedelta(days=1)
DAYS: dict[str, tuple[Any, list[dict[str, Any]], list[Decimal]]] = {
    "issuances": (
        read_issuances,
        [issuance(id=number, created_on=YESTERDAY.isoformat(), quantity=number) for number in (1, 2, 3)],
        [Decimal(-1), Decimal(-2), Decimal(-3)],
    ),
    "receipts": (
        read_receipts,
        [receipt(id=number, created_on=YESTERDAY.isoformat(), quantity_received=number) for number in (1, 2, 3)],
        [Decimal(1), Decimal(2), Decimal(3)],
    ),
}
MOVEMENTS = [movement(f"m-{number}", line("A", number), line("B", 10 * number)) for number in (1, 2, 3)]


def body_of(rows: list[Tree]) -> bytes:
    return b"[" + b",".join(map(dump, rows)) + b"]"


def parsed_or_none(read: Any, body: bytes) -> Parsed[Any] | None:
    try:
        parsed: Parsed[Any] = read(body)
    except MalformedResponseError:
        return None
    return parsed


def read_day(world: PollWorld, source: str) -> None:
    poll_days_once(world.ctx, f"mpw.{source}", [YESTERDAY])


def is_complete(world: PollWorld, source: str) -> bool:
    with world.store.read() as conn:
        row = covered_days(conn, f"mpw.{source}", [YESTERDAY]).get(YESTERDAY)
    return row is not None and bool(row.complete)


def recover(world: PollWorld, source: str, rows: list[dict[str, Any]]) -> None:
    """Let the vendor answer sanely, and read until what vanished may be voided."""
    world.vendors.answers.clear()
    world.put(source, *rows, day=YESTERDAY)
    for _ in range(3):
        world.clock.advance(hours=2)
        read_day(world, source)


@pytest.mark.parametrize("source", DAYS)
@examples(12)
@given(data=st.data())
def test_a_day_with_bad_rows_keeps_its_good_ones_and_heals(fresh: Fresh, source: str, data: st.DataObject) -> None:
    check_day(fresh, source, data)


@pytest.mark.parametrize("source", DAYS)
@examples(3)
@given(data=st.data())
def test_a_day_with_bad_rows_heals_on_each_database(fresh_on_each: Fresh, source: str, data: st.DataObject) -> None:
    check_day(fresh_on_each, source, data)


def check_day(fresh: Fresh, source: str, data: st.DataObject) -> None:
    read, rows, quantities = DAYS[source]
    trees = [tree_of(row) for row in rows]
    bad = data.draw(st.lists(spoiled(trees), min_size=1, max_size=3))
    body = body_of(data.draw(st.permutations([*trees, *bad])))
    parsed = parsed_or_none(read, body)
    assert parsed is not None
    with fresh() as world:
        world.vendors.answers[f"{source} {YESTERDAY}"] = (200, body)

        read_day(world, source)

        known = {document for (document,) in world.rows("select remote_id from documents")}
        named = {row.remote_id for row in parsed.bad}
        assert {"1", "2", "3"} <= known | named
        assert {raw for raw, _ in quarantined(world)} >= {row.raw for row in parsed.bad}
        assert len(world.exceptions("quarantined_row")) == len(open_subjects(parsed, quarantined(world)))

        recover(world, source, rows)

        truth = dict(zip(("1", "2", "3"), quantities, strict=True))
        assert nets(world) == truth, "no row is lost, doubled or left over"
        assert quarantined(world) == []
        assert world.exceptions("quarantined_row") == []
        assert is_complete(world, source)


def open_subjects(parsed: Parsed[Any], kept: list[tuple[str, str]]) -> set[str]:
    """Return under how many names the exceptions stand: by id where it is readable, else by the text."""
    ids = {row.raw: row.remote_id for row in parsed.bad}
    return {ids.get(raw) or raw for raw, _ in kept}


@pytest.mark.parametrize("source", DAYS)
@examples(12)
@given(data=st.data())
def test_a_day_whose_answer_is_not_whole_is_not_read(fresh: Fresh, source: str, data: st.DataObject) -> None:
    read, rows, quantities = DAYS[source]
    body = data.draw(mangled(body_of([tree_of(row) for row in rows])))
    with fresh() as world:
        world.vendors.answers[f"{source} {YESTERDAY}"] = (200, body)

        read_day(world, source)

        if parsed_or_none(read, body) is None:
            assert world.entries() == []
            assert not is_complete(world, source)
            ((error,),) = world.rows(f"select error from v_coverage where source = 'mpw.{source}'")
            assert error

        recover(world, source, rows)

        assert nets(world) == dict(zip(("1", "2", "3"), quantities, strict=True))


@examples(8)
@given(data=st.data())
def test_a_feed_with_bad_movements_keeps_its_good_ones_and_heals(fresh: Fresh, data: st.DataObject) -> None:
    check_feed(fresh, data)


@examples(3)
@given(data=st.data())
def test_a_feed_with_bad_movements_heals_on_each_database(fresh_on_each: Fresh, data: st.DataObject) -> None:
    check_feed(fresh_on_each, data)


def check_feed(fresh: Fresh, data: st.DataObject) -> None:
    trees = [tree_of(row) for row in MOVEMENTS]
    bad = data.draw(st.lists(spoiled(trees), min_size=1, max_size=3))
    body = body_of(data.draw(st.permutations([*trees, *bad])))
    parsed = parsed_or_none(read_movements, body)
    assert parsed is not None
    with fresh() as world:
        world.vendors.answers["FetchTenantsInventoryMovements"] = (200, body)

        poll_movements_once(world.ctx)

        known = {document for (document,) in world.rows("select remote_id from documents")}
        named = {row.remote_id for row in parsed.bad}
        kept = [raw for raw, _ in quarantined(world)]
        assert {"m-1", "m-2", "m-3"} <= known | named | {row.id for row in parsed.rows if row.raw in kept}
        assert {row.id for row in parsed.rows if row.raw not in kept} == known

        world.vendors.answers.clear()
        world.vendors.feed = MOVEMENTS
        world.clock.advance(minutes=5)
        poll_movements_once(world.ctx)

        for number in (1, 2, 3):
            assert nets(world)[f"m-{number}"] == Decimal(-11 * number)
        assert not [row for row in world.exceptions("quarantined_row") if row.subject.rsplit(" ")[-1] in good_ids()]


def good_ids() -> set[str]:
    return {f"m-{number}" for number in (1, 2, 3)}


def test_two_bad_movements_of_one_id_are_both_kept_and_released_together(fresh: Fresh) -> None:
    one, other = movement("m-1", line(quantity="few")), movement("m-1", line(quantity="many"))
    with fresh() as world:
        for feed in ([one, other, one], [other, one], [one, other]):
            world.vendors.feed = feed
            world.clock.advance(minutes=5)
            poll_movements_once(world.ctx)

            reasons = sorted(reason for _, reason in quarantined(world))
            assert reasons == ["quantity: not a number: 'few'", "quantity: not a number: 'many'"]
            assert len(world.exceptions("quarantined_row")) == 2
        assert world.rows("select count(*) from v_quarantine") == [(2,)], "the same texts are kept once"

        world.vendors.feed = [movement("m-1", line(quantity=2))]
        world.clock.advance(minutes=5)
        poll_movements_once(world.ctx)

        assert quarantined(world) == []
        assert world.exceptions("quarantined_row") == []


ANSWERS: dict[str, tuple[Any, Any]] = {
    "purchase_orders": (
        {"purchase_orders": [order(1, TODAY), order(2, YESTERDAY)], "pagination": {"page": 1, "pageSize": 100}},
        printed("mpw_purchase_orders_get"),
    ),
    "work_orders": (printed("mpw_work_orders_get"), printed("mpw_work_orders_get")),
    "gps_meter_updates": (printed("mpw_gps_meter_updates_get"), printed("mpw_gps_meter_updates_get")),
    "work": (printed("mpservices_work_order"), [printed("mpservices_work_order")]),
    "inventories": (printed("mpw_inventories_get"), printed("mpw_inventories_get")),
    "issuances": ([issuance()], [issuance()]),
    "receipts": ([receipt()], [receipt()]),
    "FetchTenantsInventoryMovements": (MOVEMENTS, MOVEMENTS),
    "authentication": ({"access_token": "a.b.c"}, {"access_token": "a.b.c"}),
}


@examples(8)
@given(data=st.data())
def test_a_whole_cycle_ends_whatever_everybody_answers(fresh: Fresh, data: st.DataObject) -> None:
    check_cycle(fresh, data)


@examples(3)
@given(data=st.data())
def test_a_whole_cycle_ends_on_each_database(fresh_on_each: Fresh, data: st.DataObject) -> None:
    check_cycle(fresh_on_each, data)


def check_cycle(fresh: Fresh, data: st.DataObject) -> None:
    with fresh() as world:
        for path, answers in ANSWERS.items():
            trees = [tree_of(copy.deepcopy(answer)) for answer in answers]
            body = data.draw(spoiled(trees, times=4).map(dump) | mangled(dump(trees[0])), label=path)
            world.vendors.answers[path] = (data.draw(st.sampled_from([200] * 8 + [201, 400, 404, 500])), body)

        cycle_once(world.ctx)
        world.clock.advance(hours=1)
        cycle_once(world.ctx)

        for view in ("v_ledger", "v_events", "v_coverage", "v_exceptions", "v_quarantine", "v_runs", "v_stock"):
            world.rows(f"select * from {view}")
        for raw, reason in quarantined(world):
            assert raw
            assert reason
        for name, detail, hint in world.rows("select subject, detail, hint from v_exceptions"):
            assert name, "an exception says what it is about"
            assert detail
            assert hint


def test_an_answer_that_is_too_deep_for_its_list_is_quarantined_and_read_when_it_is_mended(fresh: Fresh) -> None:
    deep = json.dumps(issuance(id=1, created_on=YESTERDAY.isoformat()))[:-1] + ',"x":' + "[" * 9999 + "]" * 9999 + "}"
    with fresh() as world:
        sane = issuance(id=2, created_on=YESTERDAY.isoformat())
        world.vendors.answers[f"issuances {YESTERDAY}"] = (200, f"[{deep},{json.dumps(sane)}]".encode())

        read_day(world, "issuances")

        assert nets(world) == {"2": Decimal(-1)}
        assert [reason for _, reason in quarantined(world)] == ["x is nested deeper than 100 levels"]
        assert [row.subject for row in world.exceptions("quarantined_row")] == ["mpw.issuances 1"]

        recover(world, "issuances", [issuance(id=1, created_on=YESTERDAY.isoformat()), sane])

        assert nets(world) == {"1": Decimal(-1), "2": Decimal(-1)}
        assert world.exceptions("quarantined_row") == []
