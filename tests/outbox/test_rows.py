"""The outbox in the database: claims, fences, queues and the operator's verbs."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from sync.database.engine import Store
from sync.database.schema import inventories, outbox
from sync.errors import InvariantError
from sync.ledger.books import Books
from sync.outbox import queue as outbox_queue
from sync.outbox.claims import Claim, claim, end_attempt, lease_until, move, move_all, postpone, standing, unclaim
from sync.outbox.machine import Absent, Delivered, NewPush, NoStock, NotSent, Transition, Unclear, rank_of
from sync.outbox.queue import candidates
from sync.outbox.rows import (
    Push,
    Which,
    add_push,
    attempts_of,
    cancel,
    count_for,
    discard,
    find_pushes,
    push_by_id,
    push_exists,
    release,
    resolve,
    retry,
    supersede_unsent,
    unsettled_for_entity,
)
from sync.outbox.watch import leases_that_ran_out, make_due, stock_grew_for, unknown_due, waiting_for_stock
from tests.clocks import START

NOW = START
OPERATIONS = ["post_receipt", "post_issuance", "approve", "delete_receipt", "post_transfer"]


def add(store: Store, api_key: str, operation: str = "post_receipt", item: str = "P-1", **fields: Any) -> int:
    values: dict[str, Any] = {
        "route": "receipts",
        "operation": operation,
        "kind": "receipt",
        "api_key": api_key,
        "entity_key": f"item:{item}",
        "item": item,
        "payload": '{"quantity_received":1}',
        "reason": "",
        "state": "ready",
        "rank": rank_of(operation),
    } | fields
    with store.write() as conn:
        added = add_push(Books(conn, now=NOW), NewPush(**values))
    assert added is not None
    return added


def row(store: Store, outbox_id: int) -> Push:
    with store.read() as conn:
        found = push_by_id(conn, outbox_id)
    assert found is not None
    return found


def heads(store: Store, now: datetime = NOW) -> list[int]:
    with store.read() as conn:
        return [found.push.id for found in candidates(conn, OPERATIONS, now=now, limit=100)]


def take(store: Store, *ids: int, owner: str = "a", now: datetime = NOW) -> list[Push]:
    rows = [row(store, outbox_id) for outbox_id in ids]
    with store.write() as conn:
        return claim(Books(conn, now=now), rows, {}, owner=owner, lease_until=now + timedelta(minutes=2), batch_id="b")


def end(store: Store, push: Push, to: Transition, now: datetime = NOW) -> bool:
    with store.write() as conn:
        moved = move(Books(conn, now=now), push, to)
        if moved and push.state == "sending":
            end_attempt(Books(conn, now=now), push, to)
        return moved


UNKNOWN = Transition("unknown", "unknown", Unclear("timed out"), due_at=NOW, ambiguous=True, counts=True)
DONE = Transition("done", "done", Delivered("answered"), evidence="answered", counts=True, remote_ids=("7",))


def test_an_operation_and_key_has_one_row_whatever_became_of_it(store: Store) -> None:
    first = add(store, "k-1")
    with store.write() as conn:
        again = NewPush("receipts", "post_receipt", "receipt", "k-1", "item:P-1", "P-1", "{}", "", "ready")
        assert add_push(Books(conn, now=NOW), again) is None
        assert push_exists(conn, "receipt", "k-1")
        assert not push_exists(conn, "issuance", "k-1")

    assert row(store, first).payload == '{"quantity_received":1}'


# --- the ten invariants, as far as the database keeps them -------------------------------


def test_invariant_1_a_claim_and_its_attempt_row_are_committed_together(store: Store) -> None:
    push = add(store, "k-1")

    class CrashError(Exception):
        pass

    def crash_before_the_commit() -> None:
        with store.write() as conn:
            claim(Books(conn, now=NOW), [row(store, push)], {}, owner="a", lease_until=NOW, batch_id=None)
            raise CrashError

    with pytest.raises(CrashError):
        crash_before_the_commit()

    with store.read() as conn:
        assert attempts_of(conn, push) == []
    assert row(store, push).state == "ready"
    (claimed,) = take(store, push)
    with store.read() as conn:
        (attempt,) = attempts_of(conn, push)
    assert (claimed.state, attempt.n, attempt.fence, attempt.outcome) == ("sending", 1, claimed.fence, None)


def test_invariant_2_an_entity_has_one_row_in_flight(store: Store) -> None:
    first, second = add(store, "k-1"), add(store, "k-2")
    other = add(store, "k-3", item="P-2")
    (claimed,) = take(store, first)

    assert take(store, second) == []
    assert [push.id for push in take(store, other)] == [other]
    assert end(store, claimed, UNKNOWN)
    assert take(store, second) == []
    assert heads(store) == []
    with pytest.raises(IntegrityError), store.write() as conn:
        conn.execute(outbox.update().where(outbox.c.id == second).values(state="unknown"))


def test_invariant_3_an_answer_under_an_old_fence_changes_nothing(store: Store) -> None:
    push = add(store, "k-1")
    (old,) = take(store, push)
    assert end(store, old, UNKNOWN)
    assert end(store, row(store, push), Transition("ready", "absent", Absent(), due_at=NOW))
    (new,) = take(store, push)

    assert not end(store, old, DONE)

    assert row(store, push).state == "sending"
    assert new.fence == old.fence + 1
    assert end(store, new, DONE)
    assert not end(store, new, DONE)


def test_invariant_4_a_lease_that_ran_out_is_found_and_no_other(store: Store) -> None:
    first, second = add(store, "k-1"), add(store, "k-2", item="P-2")
    take(store, first)
    take(store, second, now=NOW + timedelta(minutes=1))

    with store.read() as conn:
        lost = leases_that_ran_out(conn, now=NOW + timedelta(minutes=2))

    assert [push.id for push in lost] == [first]


def test_invariant_7_only_what_was_never_sent_is_superseded(store: Store) -> None:
    tried, untried = add(store, "k-1"), add(store, "k-2")
    (claimed,) = take(store, tried)
    end(store, claimed, Transition("ready", "429", NotSent("slow"), due_at=NOW))

    with store.write() as conn:
        assert supersede_unsent(Books(conn, now=NOW), [tried, untried], why="newer") == 1

    assert (row(store, tried).state, row(store, untried).state) == ("ready", "superseded")
    with pytest.raises(IntegrityError), store.write() as conn:
        conn.execute(outbox.update().where(outbox.c.id == tried).values(state="superseded", finalized_at=NOW))


def test_invariant_8_what_was_not_sent_uses_no_attempt_but_leaves_its_row(store: Store) -> None:
    push = add(store, "k-1")
    (claimed,) = take(store, push)

    end(store, claimed, Transition("ready", "429", NotSent("slow", status=429), due_at=NOW, last_error="slow"))

    after = row(store, push)
    assert (after.attempts, after.tries, after.first_sent_at, after.last_sent_at) == (0, 1, None, None)
    with store.read() as conn:
        (attempt,) = attempts_of(conn, push)
    assert (attempt.outcome, attempt.http_status, attempt.error) == ("429", 429, "slow")


def test_invariant_9_done_without_evidence_is_refused_by_the_database(store: Store) -> None:
    push = add(store, "k-1")
    (claimed,) = take(store, push)

    with pytest.raises(IntegrityError):
        end(store, claimed, Transition("done", "done", Delivered("")))

    assert row(store, push).state == "sending"


def test_invariant_10_a_key_is_refused_however_long_ago_its_row_was_settled(store: Store) -> None:
    push = add(store, "k-1")
    (claimed,) = take(store, push)
    end(store, claimed, DONE)
    years_later = NOW + timedelta(days=3650)

    with store.write() as conn:
        again = NewPush("receipts", "post_receipt", "receipt", "k-1", "item:P-1", "P-1", "{}", "", "ready")
        assert add_push(Books(conn, now=years_later), again) is None

    assert heads(store, years_later) == []


def test_a_move_that_the_machine_does_not_have_is_our_bug(store: Store) -> None:
    push = add(store, "k-1")

    with pytest.raises(InvariantError):
        end(store, row(store, push), UNKNOWN)


# --- the queue ----------------------------------------------------------------------------


def test_receipts_of_an_item_go_before_its_issuances(store: Store) -> None:
    issuance = add(store, "i-1", "post_issuance")
    receipt = add(store, "r-1")

    assert heads(store) == [receipt]
    assert take(store, issuance) == []


def test_a_receipt_that_backs_off_keeps_its_issuances_behind_it(store: Store) -> None:
    receipt, issuance = add(store, "r-1"), add(store, "i-1", "post_issuance")
    elsewhere = add(store, "i-2", "post_issuance", item="P-2")
    with store.write() as conn:
        assert postpone(conn, row(store, receipt), until=NOW + timedelta(hours=1), reason="later")

    assert heads(store) == [elsewhere]
    assert take(store, issuance) == []
    assert sorted(heads(store, NOW + timedelta(hours=1))) == [receipt, elsewhere]


def test_held_and_dead_rows_keep_nobody_back(store: Store) -> None:
    add(store, "r-1", state="held")
    issuance = add(store, "i-1", "post_issuance")

    assert heads(store) == [issuance]


def no_stock(store: Store, *ids: int, now: datetime = NOW) -> None:
    due = now + timedelta(minutes=15)
    for claimed in take(store, *ids, now=now):
        end(store, claimed, Transition("ready", "no_stock", NoStock("none"), due_at=due, counts=True), now)


def test_an_issuance_that_waits_for_stock_keeps_nobody_back(store: Store) -> None:
    waiting = add(store, "i-1", "post_issuance")
    no_stock(store, waiting)
    later, delete = add(store, "i-2", "post_issuance"), add(store, "d-1", "delete_receipt")

    assert heads(store) == [delete]
    assert take(store, delete)
    assert heads(store) == []
    assert end(store, row(store, delete), DONE)
    assert heads(store) == [later]


def test_an_issuance_that_waits_is_woken_by_stock_and_by_nothing_older(store: Store) -> None:
    waiting = add(store, "i-1", "post_issuance")
    no_stock(store, waiting)

    def read(quantity: int, at: datetime) -> None:
        with store.write() as conn:
            conn.execute(inventories.delete())
            conn.execute(
                inventories.insert().values(warehouse="W", part_number="P-1", found=True, quantity=quantity, read_at=at)
            )

    for quantity, minutes, woken in ((5, -1, []), (0, 1, []), (5, 1, [waiting])):
        read(quantity, NOW + timedelta(minutes=minutes))
        with store.read() as conn:
            assert stock_grew_for(conn, now=NOW) == woken
    with store.write() as conn:
        assert make_due(Books(conn, now=NOW), [waiting]) == 1
    assert heads(store) == [waiting]


def test_the_wait_for_stock_is_counted_from_its_first_try(store: Store) -> None:
    waiting = add(store, "i-1", "post_issuance")
    for hours in range(3):
        no_stock(store, waiting, now=NOW + timedelta(hours=hours))

    with store.read() as conn:
        ((push, since),) = waiting_for_stock(conn, since=NOW)
        assert waiting_for_stock(conn, since=NOW - timedelta(seconds=1)) == []
        third = standing(conn, push, NoStock("none"))

    assert (push.id, since, third.failures) == (waiting, NOW, 3)


def test_failures_are_counted_back_to_the_last_success(store: Store) -> None:
    push = add(store, "k-1")
    later = NOW
    for outcome in ("not_sent", "partial", "429", "unknown"):
        later += timedelta(hours=1)
        (claimed,) = take(store, push, now=later)
        state = "unknown" if outcome == "unknown" else "ready"
        end(store, claimed, Transition(state, outcome, Unclear(""), due_at=NOW), later)

    with store.read() as conn:
        found = standing(conn, row(store, push))

    assert found.failures == 2
    assert found.failing_since == later


def test_two_workers_that_claim_at_once_share_nothing(store: Store) -> None:
    ids = [add(store, f"k-{n}", item=f"P-{n}") for n in range(20)]
    got: dict[str, list[int]] = {}
    barrier = threading.Barrier(4)

    def work(owner: str) -> None:
        rows = [row(store, outbox_id) for outbox_id in ids]
        barrier.wait()
        with store.write() as conn:
            taken = claim(Books(conn, now=NOW), rows, {}, owner=owner, lease_until=NOW, batch_id=None)
        got[owner] = [push.id for push in taken]

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(one for taken in got.values() for one in taken) == ids
    with store.read() as conn:
        assert all(len(attempts_of(conn, outbox_id)) == 1 for outbox_id in ids)


def test_two_workers_that_claim_two_rows_of_an_item_get_one(store: Store) -> None:
    first, second = add(store, "t-1", "post_transfer"), add(store, "t-2", "post_transfer")
    barrier = threading.Barrier(2)
    got: list[int] = []

    def work(outbox_id: int) -> None:
        known = row(store, outbox_id)
        barrier.wait()
        with store.write() as conn:
            taken = claim(Books(conn, now=NOW), [known], {}, owner="w", lease_until=NOW, batch_id=None)
        got.extend(push.id for push in taken)

    threads = [threading.Thread(target=work, args=(outbox_id,)) for outbox_id in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert got == [first]


def test_what_a_claim_saw_stands_with_its_attempt(store: Store) -> None:
    push = add(store, "k-1")
    with store.write() as conn:
        claims = {push: Claim({"stock": "3"}, "k-1_s2")}
        claim(Books(conn, now=NOW), [row(store, push)], claims, owner="a", lease_until=NOW, batch_id="b-1")

    with store.read() as conn:
        (attempt,) = attempts_of(conn, push)
    assert (attempt.before, attempt.sent_key, attempt.batch_id) == ('{"stock": "3"}', "k-1_s2", "b-1")


def test_a_lease_outlasts_a_call_and_the_reads_that_explain_its_answer() -> None:
    assert lease_until(NOW, request_timeout=timedelta(seconds=30)) - NOW > 4 * timedelta(seconds=30)


def test_unknown_rows_are_verified_when_they_are_due(store: Store) -> None:
    push = add(store, "k-1")
    (claimed,) = take(store, push)
    later = NOW + timedelta(minutes=5)
    end(store, claimed, Transition("unknown", "unknown", Unclear(""), due_at=later, ambiguous=True))

    with store.read() as conn:
        assert unknown_due(conn, OPERATIONS, now=NOW, limit=10) == []
        assert [one.id for one in unknown_due(conn, OPERATIONS, now=later, limit=10)] == [push]


# --- the operator's verbs -----------------------------------------------------------------


def dead(store: Store, api_key: str, *, ambiguous: bool = False, item: str = "P-1") -> int:
    push = add(store, api_key, item=item)
    (claimed,) = take(store, push)
    assert end(store, claimed, Transition("dead", "rejected", Unclear(""), ambiguous=ambiguous or None, counts=True))
    return push


def states(store: Store) -> list[str]:
    with store.read() as conn:
        return list(conn.execute(select(outbox.c.state).order_by(outbox.c.id)).scalars())


def test_release_lets_held_rows_go_by_filter_and_a_dry_run_only_counts(store: Store) -> None:
    for n in range(3):
        add(store, f"k-{n}", item=f"P-{n}", state="held", route="receipts" if n else "voids")
    which = Which(route="receipts")
    with store.write() as conn:
        assert count_for(conn, which, "release") == 2
    assert states(store) == ["held"] * 3

    with store.write() as conn:
        assert release(Books(conn, now=NOW), which) == 2
        assert release(Books(conn, now=NOW), which) == 0

    assert states(store) == ["held", "ready", "ready"]


def test_filters_narrow_together(store: Store) -> None:
    wanted = add(store, "k-1", item="P-7")
    add(store, "k-2", item="P-7", operation="delete_receipt")
    add(store, "k-3")
    with store.read() as conn:
        for which in (
            Which(item="P-7", operation="post_receipt"),
            Which(ids=[wanted]),
            Which(api_key="k-1"),
            Which(item="P-7", state="ready", operation="post_receipt", created_before=NOW + timedelta(1)),
        ):
            assert [push.id for push in find_pushes(conn, which)] == [wanted]
        assert find_pushes(conn, Which(created_before=NOW)) == []
        assert len(find_pushes(conn, Which(), limit=2)) == 2


def test_discard_drops_what_no_vendor_saw_and_what_is_dead_and_nothing_in_between(store: Store) -> None:
    held, ready = add(store, "k-1", item="P-1", state="held"), add(store, "k-2", item="P-2")
    sending, unknown = add(store, "k-3", item="P-3"), add(store, "k-4", item="P-4")
    take(store, sending)
    (claimed,) = take(store, unknown)
    end(store, claimed, UNKNOWN)
    gone = dead(store, "k-5", item="P-5")
    part = add(store, "k-6", "post_issuance", item="P-6")
    no_stock(store, part)

    with store.write() as conn:
        assert count_for(conn, Which(), "discard") == 3
        assert discard(Books(conn, now=NOW), Which(), by="ann", why="doubled") == 3

    assert states(store) == ["discarded", "discarded", "sending", "unknown", "discarded", "ready"]
    assert row(store, held).evidence == "discarded by ann: doubled"
    assert {row(store, one).finalized_at for one in (held, ready, gone)} == {NOW}


def test_a_dead_row_that_was_ever_ambiguous_is_verified_before_it_is_sent_again(store: Store) -> None:
    clear, unclear = dead(store, "k-1", item="P-1"), dead(store, "k-2", ambiguous=True, item="P-2")

    with store.write() as conn:
        assert retry(Books(conn, now=NOW), Which(), by="ann") == 2

    assert (row(store, clear).state, row(store, unclear).state) == ("ready", "unknown")
    assert row(store, clear).finalized_at is None


def test_a_retry_that_would_put_two_rows_of_an_item_in_flight_waits(store: Store) -> None:
    first = dead(store, "k-1", ambiguous=True)
    second = add(store, "k-2")
    take(store, second)

    with store.write() as conn:
        assert retry(Books(conn, now=NOW), Which(ids=[first]), by="ann") == 0

    assert states(store) == ["dead", "sending"]


@pytest.mark.parametrize(("done", "state"), [(True, "done"), (False, "ready")])
def test_resolve_settles_an_unknown_row_with_a_person_s_word(store: Store, done: bool, state: str) -> None:
    push = add(store, "k-1")
    (claimed,) = take(store, push)
    end(store, claimed, UNKNOWN)

    with store.write() as conn:
        assert resolve(Books(conn, now=NOW), push, done=done, why="seen on screen", by="ann")
        assert not resolve(Books(conn, now=NOW), push, done=done, why="again", by="bob")

    settled = row(store, push)
    assert (settled.state, settled.evidence) == (state, "operator ann: seen on screen")
    assert settled.ambiguous is done
    assert not end(store, claimed, DONE)


def test_resolve_leaves_what_is_not_in_question(store: Store) -> None:
    ready, held = add(store, "k-1"), add(store, "k-2", state="held")

    with store.write() as conn:
        assert not resolve(Books(conn, now=NOW), ready, done=True, why="x", by="ann")
        assert not resolve(Books(conn, now=NOW), held, done=True, why="x", by="ann")

    assert states(store) == ["ready", "held"]


def test_cancel_takes_back_what_has_not_moved_on(store: Store) -> None:
    push = add(store, "k-1")
    known = row(store, push)
    take(store, push)

    with store.write() as conn:
        assert not cancel(Books(conn, now=NOW), known, why="deleted")

    assert states(store) == ["sending"]


def test_unsettled_rows_of_an_entity_are_listed(store: Store) -> None:
    done, ready = add(store, "k-1"), add(store, "k-2", state="held")
    (claimed,) = take(store, done)
    end(store, claimed, DONE)

    with store.read() as conn:
        assert [push.id for push in unsettled_for_entity(conn, "item:P-1")] == [ready]


def test_where_very_many_are_due_each_entity_has_its_turn_and_none_goes_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_queue, "DUE_MANY", 5)
    ids = {item: [add(store, f"{item}-{n}", item=item) for n in range(3)] for item in "ABCDE"}
    take(store, ids["B"][0])
    turns: list[str] = []
    after = ""
    for _ in range(4):
        with store.read() as conn:
            found = [one.push for one in candidates(conn, OPERATIONS, now=NOW, limit=2, after=after)]
        assert [push.id for push in found] == [ids[str(push.item)][0] for push in found]
        turns += [str(push.item) for push in found]
        after = found[-1].entity_key

    assert turns == ["A", "C", "D", "E", "A", "C", "D", "E"]


def test_where_very_many_are_due_the_turn_goes_round_and_ends(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_queue, "DUE_MANY", 5)
    for item in "ABC":
        for n in range(3):
            add(store, f"{item}-{n}", item=item)

    with store.read() as conn:
        found = candidates(conn, OPERATIONS, now=NOW, limit=100, after="item:B")
        nobody = candidates(conn, OPERATIONS, now=NOW - timedelta(hours=1), limit=100, after="item:B")

    assert [one.push.item for one in found] == ["C", "A", "B"]
    assert nobody == []


def test_a_claim_that_is_given_back_leaves_no_trace_but_its_fence(store: Store) -> None:
    push = add(store, "k-1")
    before = row(store, push)
    (claimed,) = take(store, push)

    with store.write() as conn:
        assert unclaim(conn, claimed)
        assert not unclaim(conn, claimed)
        assert attempts_of(conn, push) == []

    assert replace(row(store, push), fence=0) == before
    assert not end(store, claimed, DONE)
    assert heads(store) == [push]


def test_several_rows_move_each_under_its_own_fence(store: Store) -> None:
    first, second = take(store, add(store, "k-1", item="A"), add(store, "k-2", item="B"))
    with store.write() as conn:
        ours = move_all(Books(conn, now=NOW), [(first, DONE), (replace(second, fence=second.fence - 1), DONE)])

    assert ours == {first.id}
    assert [row(store, one.id).state for one in (first, second)] == ["done", "sending"]
