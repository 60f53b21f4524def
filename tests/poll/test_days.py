from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert

from sync.database.engine import Store
from sync.database.exceptions import open_exceptions
from sync.database.schema import issuance_parts, pushed_rows
from sync.ledger.books import Books
from sync.ledger.coverage import ISSUANCES, RECEIPTS, covered_days
from sync.ledger.rules import new_entry
from sync.poll.days.read import read_day, take_days
from sync.poll.schedule import poll_days_once
from tests.clocks import FakeClock
from tests.worlds.poll_world import MAIN, TODAY, PollWorld, issuance, poll_world, receipt

YESTERDAY = TODAY - timedelta(days=1)


@pytest.fixture
def world(store: Store, clock: FakeClock) -> Iterator[PollWorld]:
    with poll_world(store, clock) as made:
        yield made


def _read(world: PollWorld, source: str = RECEIPTS, *days: date):
    return poll_days_once(world.ctx, source, days or (TODAY,))


def test_the_issuance_that_the_document_prints_lands_as_it_means(world: PollWorld) -> None:
    world.put("issuances", issuance())

    counts = _read(world, ISSUANCES)

    (entry,) = world.entries()
    assert (counts.seen, counts.added) == (1, 1)
    assert (entry.system, entry.kind, entry.api_key, entry.remote_id) == ("mpw", "issuance", "mpw-i-43381", "43381")
    assert (entry.item, entry.warehouse, entry.occurred_on) == ("091843", MAIN, TODAY)
    assert (entry.quantity, entry.unit_cost, entry.amount) == (Decimal(-1), Decimal("9.99"), Decimal("-9.99"))


def test_a_receipt_of_people_has_a_key_from_its_id_and_counts_in(world: PollWorld) -> None:
    world.put("receipts", receipt(quantity_received=1.25, unit_cost=1.99))

    _read(world)

    (entry,) = world.entries()
    assert (entry.kind, entry.api_key) == ("receipt", "mpw-r-236252")
    assert (entry.quantity, entry.amount) == (Decimal("1.25"), Decimal("2.4875"))


def test_an_equal_body_is_neither_parsed_nor_written_beside_its_coverage(world: PollWorld) -> None:
    world.put("receipts", receipt())
    _read(world)
    before = world.document("236252")
    writes = world.count_writes()

    counts = _read(world)

    assert (counts.seen, counts.unchanged, counts.added, counts.changed) == (1, 1, 0, 0)
    assert world.document("236252") == before
    assert {statement.split()[2 if statement.startswith("INSERT") else 1] for statement in writes} <= {
        "runs",
        "coverage",
        "feeds",
    }


def test_the_day_is_complete_only_when_it_was_read_after_it_ended_where_the_organisation_is(world: PollWorld) -> None:
    world.set_policy(timezone=ZoneInfo("America/Mexico_City"))
    world.clock.current = world.clock.now().replace(hour=3)  # still the 14th in Mexico

    _read(world, RECEIPTS, YESTERDAY)
    with world.store.read() as conn:
        early = covered_days(conn, RECEIPTS, [YESTERDAY])[YESTERDAY]
    world.clock.advance(hours=4)
    _read(world, RECEIPTS, YESTERDAY)
    with world.store.read() as conn:
        late = covered_days(conn, RECEIPTS, [YESTERDAY])[YESTERDAY]

    assert (early.complete, late.complete) == (False, True)


def test_an_edited_cost_is_a_reversal_and_a_new_original_under_the_same_key(world: PollWorld) -> None:
    world.put("receipts", receipt(quantity_received=10))
    _read(world)
    world.put("receipts", receipt(quantity_received=9))

    counts = _read(world)

    assert counts.changed == 1
    assert world.brief() == [
        ("original", "mpw-r-236252", "10"),
        ("reversal", "mpw-r-236252", "-10"),
        ("original", "mpw-r-236252", "9"),
    ]
    assert world.entries()[1].reverses_id == world.entries()[0].id


def test_an_invoice_number_filled_in_later_is_a_new_version_and_no_entry(world: PollWorld) -> None:
    world.put("receipts", receipt())
    _read(world)
    world.put("receipts", receipt(invoice_number="INV-7"))

    counts = _read(world)

    assert counts.changed == 1
    assert "INV-7" in world.document("236252").raw
    assert len(world.entries()) == 1


def test_what_remains_of_a_receipt_is_stored_and_makes_no_version(world: PollWorld) -> None:
    world.put("receipts", receipt(quantity_remaining=1.0))
    _read(world)
    digest = world.document("236252").digest
    world.put("receipts", receipt(quantity_remaining=0.25))

    counts = _read(world)

    assert (counts.changed, counts.unchanged) == (0, 1)
    assert world.document("236252").remaining == Decimal("0.25")
    assert world.document("236252").digest == digest
    assert len(world.entries()) == 1


def test_a_row_that_moved_to_another_day_is_one_reversal_and_one_original_and_no_void(world: PollWorld) -> None:
    world.put("receipts", receipt(), day=TODAY)
    _read(world, RECEIPTS, TODAY, YESTERDAY)
    world.put("receipts", day=TODAY)
    world.put("receipts", receipt(created_on=YESTERDAY.isoformat()), day=YESTERDAY)

    for _ in range(3):
        world.clock.advance(hours=2)
        _read(world, RECEIPTS, TODAY, YESTERDAY)

    assert [(row.entry_type, row.occurred_on) for row in world.entries()] == [
        ("original", TODAY),
        ("reversal", TODAY),
        ("original", YESTERDAY),
    ]
    assert world.document("236252").day == YESTERDAY
    assert world.document("236252").voided_at is None


def test_a_moved_row_is_not_moved_back_by_a_reading_that_began_before(world: PollWorld) -> None:
    world.put("receipts", receipt(), day=TODAY)
    _read(world, RECEIPTS, TODAY)
    mpw = world.ctx.mpw
    assert mpw is not None
    world.put("receipts", receipt(), receipt(9, part_number="X"), day=TODAY)
    world.clock.advance(minutes=1)
    old = read_day(mpw, RECEIPTS, TODAY, clock=world.clock)
    world.put("receipts", receipt(created_on=YESTERDAY.isoformat()), day=YESTERDAY)
    world.clock.advance(minutes=1)
    _read(world, RECEIPTS, YESTERDAY)

    with world.store.write() as conn:
        take_days(Books(conn, now=world.clock.now(), policy=world.ctx.policy, run_id=1), [old])

    assert world.document("236252").day == YESTERDAY
    assert world.document("9").day == TODAY
    with world.store.read() as conn:
        assert covered_days(conn, RECEIPTS, [TODAY])[TODAY].unclean


def test_a_fetch_that_began_before_the_stored_one_is_dropped(world: PollWorld) -> None:
    mpw = world.ctx.mpw
    assert mpw is not None
    world.put("receipts", receipt(quantity_received=1))
    old = read_day(mpw, RECEIPTS, TODAY, clock=world.clock)
    world.clock.advance(minutes=1)
    world.put("receipts", receipt(quantity_received=2))
    _read(world)

    with world.store.write() as conn:
        taken = take_days(Books(conn, now=world.clock.now(), policy=world.ctx.policy, run_id=1), [old])

    assert taken.counts.seen == 0
    assert world.brief() == [("original", "mpw-r-236252", "2")]


def test_a_day_of_a_closed_period_is_posted_on_the_first_open_day(world: PollWorld) -> None:
    world.put("receipts", receipt(created_on="2024-02-20"), day=date(2024, 2, 20))
    _read(world, RECEIPTS, date(2024, 2, 20))
    world.set_policy(lock_date=date(2024, 2, 29))
    world.put("receipts", receipt(created_on="2024-02-20", unit_cost=12), day=date(2024, 2, 20))

    _read(world, RECEIPTS, date(2024, 2, 20))

    assert [(row.entry_type, row.occurred_on, row.posted_on) for row in world.entries()] == [
        ("original", date(2024, 2, 20), date(2024, 2, 20)),
        ("reversal", date(2024, 2, 20), date(2024, 3, 1)),
        ("original", date(2024, 2, 20), date(2024, 3, 1)),
    ]


# keys


def test_a_receipt_posted_with_a_key_keeps_it_and_one_with_an_odd_key_goes_on_under_its_id(world: PollWorld) -> None:
    world.put("receipts", receipt(1, api_key="12ABC"), receipt(2, api_key="a key/with signs"))

    _read(world)

    assert [row.api_key for row in world.entries()] == ["12ABC", "mpw-r-2"]


def test_a_marker_in_a_description_counts_only_if_our_outbox_has_that_key(world: PollWorld) -> None:
    world.add_push("post_issuance", "mps-1-1", state="unknown", lease_until=None)
    world.put(
        "issuances",
        issuance(1, description="Folio-198 [mps-1-1]"),
        issuance(2, description="[urgent]"),
        issuance(3, description="[mps-2-1]"),
    )

    _read(world, ISSUANCES)

    assert [row.api_key for row in world.entries()] == ["mps-1-1", "mpw-i-2", "mpw-i-3"]


def test_the_parts_of_a_split_issuance_are_one_event(world: PollWorld) -> None:
    outbox_id = world.add_push("post_issuance", "mps-1-1")
    with world.store.write() as conn:
        for n in (1, 2):
            part = {"outbox_id": outbox_id, "n": n, "api_key": f"mps-1-1_s{n}", "quantity": 4, "state": "done"}
            conn.execute(insert(issuance_parts).values(**part))
    world.put(
        "issuances",
        issuance(1, quantity=4, description="[mps-1-1_s1]"),
        issuance(2, quantity=3, description="[mps-1-1_s2]"),
    )

    _read(world, ISSUANCES)

    assert world.brief() == [("original", "mps-1-1", "-4"), ("original", "mps-1-1", "-3")]


def test_a_row_that_an_answer_of_ours_named_is_filed_under_its_event(world: PollWorld) -> None:
    outbox_id = world.add_push("post_issuance", "mps-1-1")
    with world.store.write() as conn:
        row = {"type": "issuance", "remote_id": "43381", "api_key": "mps-1-1", "outbox_id": outbox_id}
        conn.execute(insert(pushed_rows).values(**row))
    world.put("issuances", issuance(description=None))

    _read(world, ISSUANCES)

    assert world.brief() == [("original", "mps-1-1", "-1")]


def test_a_marker_that_a_person_deletes_does_not_make_another_event(world: PollWorld) -> None:
    world.add_push("post_issuance", "mps-1-1")
    world.put("issuances", issuance(description="[mps-1-1]"))
    _read(world, ISSUANCES)
    world.put("issuances", issuance(description="tidied up"))

    _read(world, ISSUANCES)

    assert world.brief() == [("original", "mps-1-1", "-1")]


def test_rekeying_files_a_row_under_its_event_once(world: PollWorld) -> None:
    world.put("issuances", issuance())
    _read(world, ISSUANCES)

    for _ in range(2):
        with world.store.write() as conn:
            Books(conn, now=world.clock.now()).refile("mpw", "issuance", "43381", "mps-1-1")

    assert world.brief() == [
        ("original", "mpw-i-43381", "-1"),
        ("reversal", "mpw-i-43381", "1"),
        ("original", "mps-1-1", "-1"),
    ]


# answers that are not whole, rows that are not good


@pytest.mark.parametrize(
    "body",
    [
        b"<html>log in</html>",
        b'[{"id":1,"part_nu',
        b'{"message":"Something went wrong"}',
        b'{"id":1}',
        b"",
        b"null",
    ],
)
def test_an_answer_that_is_not_whole_changes_nothing_but_the_day_s_error(world: PollWorld, body: bytes) -> None:
    world.put("receipts", receipt())
    _read(world)
    before = world.rows("select complete, rows, digest, last_read_at from coverage")
    world.vendors.answers["receipts"] = (200, body)
    world.clock.advance(hours=2)

    for _ in range(2):
        world.clock.advance(hours=2)
        _read(world)

    assert len(world.entries()) == 1
    assert world.document("236252").missing_since is None
    assert world.rows("select complete, rows, digest, last_read_at from coverage") == before
    assert world.rows("select count(*) from coverage where error is not null") == [(1,)]
    assert world.rows("select outcome from runs order by id") == [("ok",), ("failed",), ("failed",)]


def test_the_error_of_a_day_is_gone_with_the_next_good_reading(world: PollWorld) -> None:
    world.vendors.answers["receipts"] = (500, b"oops")
    _read(world)
    del world.vendors.answers["receipts"]

    _read(world)

    assert world.rows("select error from coverage") == [(None,)]
    assert world.rows("select error, failing_since from feeds") == [(None, None)]


def test_a_bad_row_is_quarantined_and_the_others_land(world: PollWorld) -> None:
    world.put("receipts", receipt(1), receipt(2, unit_cost="abc"), "no object", receipt(3))

    counts = _read(world)

    assert (counts.seen, counts.added, counts.quarantined) == (4, 2, 2)
    assert [row.remote_id for row in world.entries()] == ["1", "3"]
    assert sorted(row.subject[:14] for row in world.exceptions("quarantined_row"))[0] == "mpw.receipts 2"
    assert world.rows("select count(*) from quarantine where resolved_at is null and raw like '%abc%'") == [(1,)]


def test_a_quarantined_row_is_counted_and_reported_once_and_settles_when_the_day_reads_well(world: PollWorld) -> None:
    world.put("receipts", receipt(1), receipt(2, unit_cost="abc"))
    _read(world)
    again = _read(world)
    world.put("receipts", receipt(1), receipt(2))

    fixed = _read(world)

    assert again.quarantined == 0
    assert (fixed.added, fixed.unchanged) == (1, 1)
    assert world.exceptions() == []
    assert world.rows("select count(*) from quarantine where resolved_at is null") == [(0,)]


def test_a_row_that_can_no_longer_be_read_does_not_count_as_deleted(world: PollWorld) -> None:
    world.put("receipts", receipt(1), receipt(2))
    _read(world)
    world.put("receipts", receipt(1, created_on=None), receipt(2))

    for _ in range(3):
        world.clock.advance(hours=2)
        _read(world)

    assert world.document("1").voided_at is None
    assert world.document("1").missing_since is None


def test_an_amount_that_the_ledger_cannot_hold_is_a_bad_row(world: PollWorld) -> None:
    world.put("receipts", receipt(1, quantity_received=9000000000, unit_cost=9000000000), receipt(2))

    counts = _read(world)

    assert (counts.added, counts.quarantined) == (1, 1)


def test_a_day_that_an_older_parser_read_is_parsed_again(world: PollWorld) -> None:
    world.put("receipts", receipt())
    _read(world)
    with world.store.write() as conn:
        conn.exec_driver_sql("update coverage set parser = 0")

    _read(world)

    assert world.rows("select parser from coverage") == [(1,)]
    assert len(world.entries()) == 1


def test_wrong_credentials_pause_mpw_after_one_login_and_are_said_once(world: PollWorld) -> None:
    world.vendors.answers["authentication"] = (401, b'{"message":"Unauthorized"}')

    for _ in range(3):
        _read(world)
        _read(world, ISSUANCES)

    assert len(world.vendors.asked("authentication")) == 1
    assert [row.kind for row in world.exceptions()] == ["credentials"]
    assert "welcome" not in str(world.rows("select * from runs")) + str(world.exceptions())


# deletes


def _two_readings_apart(world: PollWorld, source: str = RECEIPTS, *days: date) -> int:
    voided = _read(world, source, *days).voided
    world.clock.advance(minutes=61)
    return voided + _read(world, source, *days).voided


def test_a_row_absent_from_two_readings_an_hour_apart_is_voided_by_a_reversal(world: PollWorld) -> None:
    world.put("receipts", receipt(1), receipt(2))
    _read(world)
    world.put("receipts", receipt(2))

    first = _read(world)
    world.clock.advance(minutes=59)
    early = _read(world)
    world.clock.advance(minutes=2)
    late = _read(world)

    assert (first.voided, early.voided, late.voided) == (0, 0, 1)
    assert world.brief() == [
        ("original", "mpw-r-1", "1"),
        ("original", "mpw-r-2", "1"),
        ("reversal", "mpw-r-1", "-1"),
    ]
    assert world.document("1").entry_id is None
    assert world.exceptions() == []


def test_the_only_row_of_a_day_can_be_deleted_too(world: PollWorld) -> None:
    world.put("issuances", issuance())
    _read(world, ISSUANCES)
    world.put("issuances")

    assert _two_readings_apart(world, ISSUANCES) == 1


def test_a_row_that_is_back_in_time_was_never_gone(world: PollWorld) -> None:
    world.put("receipts", receipt(1), receipt(2))
    _read(world)
    world.put("receipts", receipt(2))
    _read(world)
    world.clock.advance(hours=2)
    world.put("receipts", receipt(1), receipt(2))
    _read(world)
    world.put("receipts", receipt(2))
    world.clock.advance(hours=2)

    counts = _read(world)

    assert counts.voided == 0
    assert len(world.entries()) == 2


def test_a_voided_row_that_comes_back_gets_a_new_original(world: PollWorld) -> None:
    world.put("receipts", receipt(1), receipt(2))
    _read(world)
    world.put("receipts", receipt(2))
    _two_readings_apart(world)
    world.put("receipts", receipt(1), receipt(2))

    counts = _read(world)

    assert counts.added == 1
    assert [row[0] for row in world.brief() if row[1] == "mpw-r-1"] == ["original", "reversal", "original"]


def test_five_of_six_rows_gone_at_once_is_an_exception_and_no_delete(world: PollWorld) -> None:
    world.put("receipts", *(receipt(n) for n in range(1, 7)))
    _read(world)
    world.put("receipts", receipt(6))

    voided = _two_readings_apart(world)

    (exception,) = world.exceptions()
    assert voided == 0
    assert (exception.kind, exception.subject) == ("mass_disappearance", RECEIPTS)
    assert "5 of 6" in exception.detail
    assert len(world.entries()) == 6


def test_four_of_four_rows_gone_are_deletes(world: PollWorld) -> None:
    world.put("receipts", *(receipt(n) for n in range(1, 5)))
    _read(world)
    world.put("receipts")

    assert _two_readings_apart(world) == 4


def test_all_rows_of_one_warehouse_gone_is_an_exception_however_many_others_there_are(world: PollWorld) -> None:
    lost = [receipt(n, warehouse_name="WH2") for n in range(1, 6)]
    kept = [receipt(n) for n in range(100, 130)]
    world.put("receipts", *lost, *kept)
    _read(world)
    world.put("receipts", *kept)

    voided = _two_readings_apart(world)

    assert voided == 0
    assert "5 of 5 rows of WH2" in world.exceptions("mass_disappearance")[0].detail


def test_many_small_passes_do_not_void_what_one_large_pass_would_hold_back(world: PollWorld) -> None:
    days = [TODAY - timedelta(days=n) for n in range(4)]
    for n, day in enumerate(days):
        world.put("receipts", receipt(n * 2, warehouse_name="WH2"), receipt(n * 2 + 1, warehouse_name="WH2"), day=day)
    _read(world, RECEIPTS, *days)
    for day in days:
        world.put("receipts", day=day)
    _read(world, RECEIPTS, *days)
    world.clock.advance(hours=2)

    counts = _read(world, RECEIPTS, days[0])

    assert counts.voided == 0
    assert [row.kind for row in world.exceptions()] == ["mass_disappearance"]


def test_what_an_exception_holds_back_stays_held_back_and_settles_when_it_returns(world: PollWorld) -> None:
    world.put("receipts", *(receipt(n) for n in range(1, 7)))
    _read(world)
    world.put("receipts", receipt(6))
    _two_readings_apart(world)
    world.put("receipts", *(receipt(n) for n in range(1, 7)))

    world.clock.advance(hours=2)
    _read(world)

    assert world.exceptions() == []
    assert len(world.entries()) == 6


def test_an_operator_who_says_that_they_are_gone_voids_them(world: PollWorld) -> None:
    from sync.poll.days.voids import void_disappeared

    world.put("receipts", *(receipt(n) for n in range(1, 7)))
    _read(world)
    world.put("receipts", receipt(6))
    _two_readings_apart(world)

    with world.store.write() as conn:
        (exception,) = open_exceptions(conn)
        voided = void_disappeared(Books(conn, now=world.clock.now()), exception)

    assert voided == 5
    assert sum(row.quantity for row in world.entries()) == 1


def test_what_a_person_deletes_of_ours_is_reversed_and_reported(world: PollWorld) -> None:
    world.add_push("post_receipt", "mps-1-1")
    world.put("receipts", receipt(1, api_key="mps-1-1"), receipt(2))
    _read(world)
    world.put("receipts", receipt(2))

    _two_readings_apart(world)

    (exception,) = world.exceptions()
    assert (exception.kind, exception.subject) == ("deleted_in_mpw", "receipt mps-1-1")
    assert world.brief()[-1] == ("reversal", "mps-1-1", "-1")


def test_a_delete_of_our_own_is_no_exception(world: PollWorld) -> None:
    world.add_push("post_receipt", "mps-1-1")
    world.add_push("delete_receipt", "mps-1-1")
    world.put("receipts", receipt(1, api_key="mps-1-1"), receipt(2))
    _read(world)
    world.put("receipts", receipt(2))

    assert _two_readings_apart(world) == 1
    assert world.exceptions() == []


@pytest.mark.parametrize(("state", "tries"), [("ready", 1), ("ready", 0), ("dead", 1), ("discarded", 1)])
def test_a_delete_of_our_own_whose_call_came_late_or_is_yet_to_go_is_no_exception_either(
    world: PollWorld, state: str, tries: int
) -> None:
    world.add_push("post_receipt", "mps-1-1")
    world.add_push("delete_receipt", "mps-1-1", state=state, tries=tries)
    world.put("receipts", receipt(1, api_key="mps-1-1"), receipt(2))
    _read(world)
    world.put("receipts", receipt(2))

    assert _two_readings_apart(world) == 1
    assert world.exceptions() == []


@pytest.mark.parametrize("state", ["superseded", "discarded"])
def test_a_delete_that_was_withdrawn_before_it_went_explains_nothing(world: PollWorld, state: str) -> None:
    world.add_push("post_receipt", "mps-1-1")
    world.add_push("delete_receipt", "mps-1-1", state=state, tries=0)
    world.put("receipts", receipt(1, api_key="mps-1-1"), receipt(2))
    _read(world)
    world.put("receipts", receipt(2))

    _two_readings_apart(world)

    assert [row.kind for row in world.exceptions()] == ["deleted_in_mpw"]


def test_one_delete_that_removes_all_rows_of_a_key_reverses_all_of_them(world: PollWorld) -> None:
    world.add_push("post_issuance", "mps-1-1", state="unknown")
    world.put("issuances", issuance(1, description="[mps-1-1]"), issuance(2, description="[mps-1-1]"))
    _read(world, ISSUANCES)
    world.put("issuances")

    _two_readings_apart(world, ISSUANCES)

    assert sum(row.quantity for row in world.entries()) == 0
    assert len(world.entries()) == 4


def test_the_amount_of_an_entry_is_rounded_half_even_to_six_decimals() -> None:
    made = [
        new_entry(
            "mpw",
            "receipt",
            "k",
            "1",
            item="a",
            warehouse=None,
            quantity=Decimal("0.5"),
            unit_cost=Decimal(cost),
            occurred_on=TODAY,
        ).amount
        for cost in ("0.000001", "0.000003")
    ]

    assert made == [Decimal("0.000000"), Decimal("0.000002")]
