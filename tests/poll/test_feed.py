from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert, update

from sync.clients.mpservices.wire import Movement, read_movements
from sync.database.engine import Store
from sync.database.runs import Counts
from sync.database.schema import echoes, feeds, runs
from sync.learned.rows import learned, set_learned
from sync.learned.rules import FACTS
from sync.ledger.books import Books
from sync.ledger.coverage import MOVEMENTS, caught_up, close_gap, open_gaps
from sync.ledger.entries import last_seq
from sync.poll.feed.window import ingest_movements, poll_movements_once
from sync.work.context import Context
from tests.clocks import FakeClock
from tests.worlds.poll_world import NOON, PollWorld, line, movement, poll_world

ID = "612f8bdb-b42e-42ea-be45-5a7156dacdf5"
KEY = "mps-612f8bdbb42e42eabe455a7156dacdf5"


@pytest.fixture
def world(store: Store, clock: FakeClock) -> Iterator[PollWorld]:
    with poll_world(store, clock) as made:
        yield made


def _feed(world: PollWorld, *movements: object) -> Counts:
    world.vendors.feed = list(movements)
    return poll_movements_once(world.ctx)


def test_the_movement_that_the_document_prints_lands_as_it_means(world: PollWorld) -> None:
    world.clock.current = datetime(2023, 9, 20, tzinfo=UTC)
    printed = movement(ID, created_at=datetime(2023, 9, 19, 13, 54, 37, 187000, tzinfo=UTC))
    world.vendors.feed = printed  # type: ignore[assignment]  # one object, as printed

    counts = poll_movements_once(world.ctx)

    (entry,) = world.entries()
    assert (counts.seen, counts.added) == (1, 1)
    assert (entry.system, entry.kind, entry.api_key) == ("mpservices", "issuance", f"{KEY}-1")
    assert (entry.item, entry.quantity, entry.unit_cost, entry.amount) == ("1231232", -2, 25, -50)
    assert entry.occurred_at == datetime(2023, 9, 19, 13, 54, 37, 187000, tzinfo=UTC)
    assert entry.occurred_on == date(2023, 9, 19)


def test_an_entry_of_the_feed_names_the_reading_that_it_came_with(world: PollWorld) -> None:
    _feed(world, movement(ID))

    with world.store.read() as conn:
        reading = conn.execute(runs.select().where(runs.c.flow == "poll.mpservices.movements")).one()
    assert [row.run_id for row in world.entries()] == [reading.id]


def test_an_inbound_movement_counts_in(world: PollWorld) -> None:
    _feed(world, movement(ID, type="Inbound"))

    assert [(row.kind, row.quantity) for row in world.entries()] == [("receipt", 2)]


def test_a_cost_in_total_is_divided_by_the_quantity(world: PollWorld) -> None:
    world.set_policy(cost_is="total")

    _feed(world, movement(ID, line(quantity=3, cost="10"), line("x", quantity=0, cost="4")))

    assert [row.unit_cost for row in world.entries()] == [Decimal("3.33333"), Decimal(4)]  # the sixth is a mark's place


def test_the_day_of_a_movement_is_the_organisation_s(world: PollWorld) -> None:
    world.set_policy(timezone=ZoneInfo("America/Mexico_City"))
    world.clock.current = datetime(2023, 10, 1, 12, tzinfo=UTC)

    _feed(world, movement(ID, created_at=datetime.fromisoformat("2023-09-30T23:30:00-06:00")))

    assert world.entries()[0].occurred_on == date(2023, 9, 30)


def test_a_second_reading_of_the_same_feed_adds_nothing(world: PollWorld) -> None:
    _feed(world, movement(ID, line("a"), line("b")))

    counts = _feed(world, movement(ID, line("a"), line("b")))

    assert (counts.added, counts.changed, counts.unchanged) == (0, 0, 2)
    assert len(world.entries()) == 2


def test_a_reordered_answer_gives_the_same_keys_and_an_added_line_the_next(world: PollWorld) -> None:
    _feed(world, movement(ID, line("a"), line("b", quantity=5)))

    _feed(world, movement(ID, line("b", quantity=5), line("c"), line("a")))

    assert [(row.api_key, row.item) for row in world.entries()] == [
        (f"{KEY}-1", "a"),
        (f"{KEY}-2", "b"),
        (f"{KEY}-3", "c"),
    ]
    assert world.rows("select distinct single from movement_lines")[0][0] in (0, False)


def test_two_equal_lines_are_two_events(world: PollWorld) -> None:
    _feed(world, movement(ID, line("a"), line("a")))

    assert [row.api_key for row in world.entries()] == [f"{KEY}-1", f"{KEY}-2"]


def test_a_changed_line_is_a_reversal_and_an_original_and_an_exception(world: PollWorld) -> None:
    _feed(world, movement(ID, line("a", quantity=2), line("b")))
    world.add_push("post_issuance", f"{KEY}-1", state="done", kind="issuance", item="a")

    counts = _feed(world, movement(ID, line("a", quantity=3), line("b")))

    assert (counts.changed, counts.unchanged) == (1, 1)
    assert world.brief()[2:] == [("reversal", f"{KEY}-1", "2"), ("original", f"{KEY}-1", "-3")]
    assert [(row.kind, row.subject) for row in world.exceptions()] == [("movement_changed", ID)]


def test_a_renamed_item_changes_no_entry(world: PollWorld) -> None:
    _feed(world, movement(ID, line("a", item="old name")))

    counts = _feed(world, movement(ID, line("a", item="new name")))

    assert counts.changed == 0
    assert len(world.entries()) == 1
    assert world.exceptions() == []
    assert "new name" in world.document(ID).raw


def test_a_line_that_its_movement_no_longer_has_counts_no_more(world: PollWorld) -> None:
    _feed(world, movement(ID, line("a"), line("b")))
    world.add_push("post_issuance", f"{KEY}-1", state="done", kind="issuance", item="a")

    _feed(world, movement(ID, line("b")))

    assert sum(row.quantity for row in world.entries() if row.item == "a") == 0
    assert [row.kind for row in world.exceptions()] == ["movement_changed"]


def test_a_movement_that_left_the_window_is_no_delete(world: PollWorld) -> None:
    _feed(world, movement(ID, created_at=NOON - timedelta(hours=47)))
    world.clock.advance(hours=2)

    counts = _feed(world)

    assert counts.voided == 0
    assert len(world.entries()) == 1
    assert world.exceptions() == []


def test_an_item_without_external_id_goes_by_its_item_id_and_one_with_neither_is_quarantined(world: PollWorld) -> None:
    counts = _feed(
        world,
        movement("m-1", line(None)),
        movement("m-2", line(None, item_id=None)),
    )

    assert [row.item for row in world.entries()] == ["0000000000002"]
    assert counts.quarantined == 1
    assert [row.kind for row in world.exceptions()] == ["quarantined_row"]


def test_a_type_that_the_document_does_not_show_is_quarantined_and_reported(world: PollWorld) -> None:
    counts = _feed(world, movement("m-1", type="Adjustment"), movement("m-2"))

    assert [row.api_key for row in world.entries()] == ["mps-m2-1"]
    assert counts.quarantined == 1
    assert sorted(row.kind for row in world.exceptions()) == ["quarantined_row", "unknown_value"]


def test_a_quarantined_movement_settles_when_it_reads_well(world: PollWorld) -> None:
    _feed(world, movement("m-1", line(cost="free")))
    _feed(world, movement("m-1", line(cost="?")))

    _feed(world, movement("m-1"))

    assert world.exceptions() == []
    assert world.rows("select count(*) from quarantine where resolved_at is null") == [(0,)]
    assert len(world.entries()) == 1


def test_a_movement_that_comes_twice_with_different_content_is_reported_once_until_it_does_not(
    world: PollWorld,
) -> None:
    twice = [movement("m-1", line(quantity=1)), movement("m-1", line(quantity=2))]
    for _ in range(3):
        world.vendors.feed = twice
        poll_movements_once(world.ctx)
        world.clock.advance(minutes=5)
    told = world.rows("select count(*), count(resolved_at) from exceptions")
    kept = world.rows("select count(*), count(resolved_at) from quarantine")

    world.vendors.feed = twice[1:]
    poll_movements_once(world.ctx)

    assert told == [(1, 0)]
    assert kept == [(1, 0)]
    assert world.rows("select count(*), count(resolved_at) from exceptions") == [(1, 1)]
    assert world.rows("select count(*), count(resolved_at) from quarantine") == [(1, 1)]


def test_ids_that_differ_only_in_their_dashes_do_not_share_a_key(world: PollWorld) -> None:
    _feed(world, movement("ab-c"), movement("a-bc"))

    keys = [row.api_key for row in world.entries()]
    assert len(set(keys)) == 2
    assert "mps-abc-1" in keys


def test_a_movement_whose_id_is_shown_in_other_letters_is_the_same_and_not_missed(world: PollWorld) -> None:
    older = movement("0ld", created_at=NOON - timedelta(hours=9))
    _feed(world, movement(ID, created_at=NOON - timedelta(hours=1)), older)

    counts = _feed(world, movement(ID.upper(), created_at=NOON - timedelta(hours=1)), older)

    assert (counts.added, counts.changed, counts.unchanged) == (0, 0, 2)
    assert [row.api_key for row in world.entries()] == ["mps-0ld-1", f"{KEY}-1"]
    assert world.exceptions() == []


def test_the_feed_in_capitals_is_the_movement_that_was_imported(world: PollWorld) -> None:
    _import(world, movement(ID))

    counts = _feed(world, movement(ID.upper()))

    assert (counts.added, counts.changed, counts.unchanged) == (0, 0, 1)
    assert [row.api_key for row in world.entries()] == [f"{KEY}-1"]
    assert world.exceptions() == []


@pytest.mark.parametrize("first", [0, 187_000], ids=["whole seconds first", "a fraction first"])
def test_an_id_in_other_letters_and_a_time_without_its_fraction_are_the_same_movement(
    world: PollWorld, first: int
) -> None:
    at = NOON - timedelta(hours=1)
    _import(world, movement(ID, created_at=at.replace(microsecond=first)))

    counts = _feed(world, movement(ID.upper(), created_at=at.replace(microsecond=187_000 - first)))

    assert (counts.added, counts.changed) == (0, 0)
    assert [row.api_key for row in world.entries()] == [f"{KEY}-1"]
    assert world.exceptions() == []


def test_two_movements_whose_ids_differ_in_their_letters_are_two(world: PollWorld) -> None:
    _feed(world, movement("abC"))

    _feed(world, movement("abC"), movement("Abc"))
    _feed(world, movement("abC"), movement("Abc"), movement("abc", created_at=NOON - timedelta(hours=1)))

    assert len(world.entries()) == 3
    assert world.exceptions() == []


def test_equal_times_keep_the_feed_s_order_older_first(world: PollWorld) -> None:
    _feed(world, movement("m-2", line("a", quantity=2)), movement("m-1", line("a", quantity=1)))
    _feed(world, movement("m-3", line("a", quantity=3)), movement("m-2", line("a", quantity=2)))

    found = world.rows("select movement_id, place from movement_lines order by place")
    assert found == [("m-1", 0), ("m-2", 1), ("m-3", 2)]


def test_a_movement_dated_in_the_future_is_taken_in_like_any_other(world: PollWorld) -> None:
    _feed(world, movement(ID, created_at=NOON + timedelta(hours=30)))

    assert len(world.entries()) == 1


@pytest.mark.parametrize("body", [b"<html>", b'{"message":"no"}', b'[{"id":', b"7"])
def test_an_answer_that_is_not_whole_is_the_feed_s_error_and_advances_nothing(world: PollWorld, body: bytes) -> None:
    _feed(world, movement(ID))
    before = world.rows("select last_read_at from feeds")
    world.vendors.answers["FetchTenantsInventoryMovements"] = (200, body)
    world.clock.advance(minutes=5)

    poll_movements_once(world.ctx)

    assert world.rows("select last_read_at from feeds") == before
    assert world.rows("select count(*) from feeds where error is not null") == [(1,)]


# the window


def test_the_feed_begins_with_the_first_reading_and_no_gap_before_it(world: PollWorld) -> None:
    _feed(world)

    assert world.rows("select count(*) from gaps") == [(0,)]
    assert world.rows("select count(*) from exceptions") == [(0,)]


def test_silence_longer_than_the_window_is_a_gap_with_its_bounds(world: PollWorld) -> None:
    _feed(world)
    world.clock.advance(hours=50)

    _feed(world)

    with world.store.read() as conn:
        (gap,) = open_gaps(conn)
    assert (gap.gap_from, gap.gap_to) == (NOON, NOON + timedelta(hours=2))
    (exception,) = world.exceptions()
    assert (exception.kind, exception.subject) == ("gap", f"{MOVEMENTS} 2024-03-15T12:00:00Z")
    with world.store.write() as conn:
        assert close_gap(Books(conn, now=world.clock.now()), gap.id, note="imported") == 1
        assert open_gaps(conn) == []


def test_a_reading_by_a_wrong_clock_hides_no_gap_after_an_upgrade(
    world: PollWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    _feed(world)
    with world.store.write() as conn:
        conn.execute(update(feeds).values(vendor_read_at=None))  # as the release before it was noted has left it
    world.clock.advance(hours=50)
    with monkeypatch.context() as wrong:
        wrong.setattr(Context, "is_timely", lambda _: False)
        _feed(world)
    world.clock.advance(minutes=5)

    _feed(world)

    with world.store.read() as conn:
        (gap,) = open_gaps(conn)
    assert gap.gap_from == NOON


def test_silence_just_within_the_window_is_no_gap(world: PollWorld) -> None:
    _feed(world)
    world.clock.advance(hours=48)

    _feed(world)

    assert world.rows("select count(*) from gaps") == [(0,)]


def test_failed_readings_do_not_shorten_the_silence(world: PollWorld) -> None:
    _feed(world)
    world.vendors.answers["FetchTenantsInventoryMovements"] = (500, b"")
    for _ in range(5):
        world.clock.advance(hours=10)
        poll_movements_once(world.ctx)
    del world.vendors.answers["FetchTenantsInventoryMovements"]

    _feed(world)

    assert world.rows("select count(*) from gaps") == [(1,)]


def test_a_young_movement_that_the_answer_lacks_shows_that_the_feed_reaches_less_far(world: PollWorld) -> None:
    _feed(world, movement(ID, created_at=NOON - timedelta(hours=20)))
    world.clock.advance(hours=5)

    _feed(world)

    gap, short = world.exceptions()
    assert (gap.kind, (short.kind, short.subject)) == ("gap", ("short_window", MOVEMENTS))
    with world.store.read() as conn:
        (found,) = open_gaps(conn, MOVEMENTS)  # whatever came in these five hours may have gone, too
    assert (found.gap_from, found.gap_to) == (NOON, NOON + timedelta(hours=5))
    assert len(world.entries()) == 1


def test_days_are_covered_when_they_ended_and_lie_wholly_in_the_unbroken_stretch(world: PollWorld) -> None:
    _feed(world)
    early = world.rows("select day, complete from coverage order by day")
    world.clock.advance(hours=24)

    _feed(world)

    assert [(str(day), bool(done)) for day, done in early] == [("2024-03-14", True), ("2024-03-15", False)]
    late = world.rows("select day, complete from coverage order by day")
    assert [(str(day), bool(done)) for day, done in late][1:] == [("2024-03-15", True), ("2024-03-16", False)]


def test_stock_patches_wait_until_movements_were_read_within_the_window(world: PollWorld) -> None:
    world.set_policy(start_date=date(2024, 3, 15))
    with world.store.read() as conn:
        before = caught_up(conn, world.ctx.policy, world.clock.now())
    _feed(world)
    with world.store.read() as conn:
        after = caught_up(conn, world.ctx.policy, world.clock.now())
        late = caught_up(conn, world.ctx.policy, world.clock.now() + timedelta(hours=48))

    assert (before, after) == (False, True)
    assert not late


# what may be an echo


def test_a_line_of_an_item_with_an_expected_echo_is_undecided_and_others_are_events(world: PollWorld) -> None:
    outbox_id = world.add_push("patch_stock", "stock-1-1", state="unknown", kind=None, item="a")
    with world.store.write() as conn:
        cost, seq = {"new_cost": 3, "sent_cost": Decimal("3.000001")}, last_seq(conn)
        row = {"outbox_id": outbox_id, "n": 1, "external_id": "a", "new_stock": 7, **cost, "claimed_seq": seq}
        conn.execute(insert(echoes).values(**row))

    _feed(world, movement("m-1", line("a")), movement("m-2", line("b")))

    roles = dict(world.rows("select external_id, role from movement_lines"))
    assert roles["b"] == "event"
    assert roles["a"] in ("undecided", "event")  # settling may already have decided


# imports


def _import(world: PollWorld, *movements: dict[str, object], push: bool = False) -> Counts:
    import json

    parsed: list[Movement] = read_movements(json.dumps(list(movements)).encode()).rows
    with world.store.write() as conn:
        books = Books(conn, now=world.clock.now(), policy=world.ctx.policy)
        return ingest_movements(books, parsed, source="import", push=push).counts


def test_an_imported_movement_is_recorded_and_held_from_push(world: PollWorld) -> None:
    counts = _import(world, movement(ID))
    again = _import(world, movement(ID))

    assert (counts.added, again.added, again.unchanged) == (1, 0, 1)
    assert world.rows("select kind, api_key from unpushed") == [("issuance", f"{KEY}-1")]
    assert world.rows("select count(*) from parked") == [(0,)]


def test_the_feed_lets_an_imported_movement_go(world: PollWorld) -> None:
    _import(world, movement(ID, line(item="name in the export")))

    counts = _feed(world, movement(ID))

    assert (counts.added, counts.changed) == (0, 0)
    assert world.rows("select count(*) from unpushed") == [(0,)]
    assert world.rows("select kind, api_key from parked") == [("issuance", f"{KEY}-1")]
    assert world.exceptions() == []


def test_an_import_with_push_lets_an_earlier_import_go(world: PollWorld) -> None:
    _import(world, movement(ID))

    _import(world, movement(ID), push=True)

    assert world.rows("select count(*) from unpushed") == [(0,)]
    assert world.rows("select count(*) from parked") == [(1,)]


def test_an_import_changes_nothing_that_the_feed_has_shown(world: PollWorld) -> None:
    _feed(world, movement(ID, line(quantity=2)))

    counts = _import(world, movement(ID, line(quantity=9)), push=True)

    assert (counts.added, counts.changed) == (0, 0)
    assert world.brief() == [("original", f"{KEY}-1", "-2")]
    assert world.exceptions() == []


def test_imported_movements_are_not_missed_in_the_feed(world: PollWorld) -> None:
    _import(world, movement(ID, created_at=NOON - timedelta(hours=3)))

    _feed(world)

    assert world.exceptions() == []


# --- what the window is, as its readings show ---------------------------------------------


def _known(world: PollWorld, fact: str) -> str | None:
    with world.store.read() as conn:
        return learned(conn, "mpservices", fact)


def _days(world: PollWorld, days: float, *, hours: float) -> None:
    """Poll every half hour a feed with a movement every hour that shows the last `hours`."""
    begins = world.clock.now()
    made: dict[str, datetime] = {}
    while world.clock.now() < begins + timedelta(days=days):
        now = world.clock.now()
        if (now - begins) % timedelta(hours=1) == timedelta(0):
            made[f"m{len(made)}"] = now
        shown = [movement(id_, created_at=at) for id_, at in made.items() if at > now - timedelta(hours=hours)]
        _feed(world, *shown)
        world.clock.advance(minutes=30)


def test_a_window_shorter_than_set_is_learnt_with_the_row_that_shows_it_and_decides_what_is_a_gap(
    world: PollWorld,
) -> None:
    _days(world, 1.3, hours=20)
    hours = float(_known(world, "window_hours") or "nan")
    last_read = world.clock.now() - timedelta(minutes=30)

    world.clock.advance(hours=25)
    _feed(world, movement("after", created_at=world.clock.now()))

    assert 18.5 <= hours <= 20
    with world.store.read() as conn:
        [found] = open_gaps(conn, MOVEMENTS)
    assert found.gap_from == last_read
    assert found.gap_to == world.clock.now() - timedelta(hours=hours)


def test_once_the_reach_is_known_rows_beyond_it_are_no_short_window(world: PollWorld) -> None:
    _days(world, 1.5, hours=20)

    assert [row for row in world.exceptions() if row.kind == "short_window" and row.resolved_at is None] == []


def test_a_row_of_the_last_reading_that_is_shown_again_is_no_gap_however_long_the_silence(world: PollWorld) -> None:
    world.set_policy(window=timedelta(hours=24))
    row = movement(ID, created_at=NOON - timedelta(hours=1))
    _feed(world, row)
    world.clock.advance(hours=30)

    _feed(world, row)

    with world.store.read() as conn:
        assert open_gaps(conn, MOVEMENTS) == []


def test_a_person_s_word_on_the_reach_decides(world: PollWorld) -> None:
    _feed(world)
    with world.store.write() as conn:
        fact = FACTS["mpservices", "window_hours"]
        set_learned(conn, fact, "10", why="their support said so", by="ann", now=world.clock.now())
    world.clock.advance(hours=11)

    _feed(world)

    with world.store.read() as conn:
        [found] = open_gaps(conn, MOVEMENTS)
        assert not caught_up(conn, world.ctx.policy, world.clock.now() + timedelta(hours=10.5))
    assert found.gap_to == world.clock.now() - timedelta(hours=10)
