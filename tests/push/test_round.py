"""The pusher: what leaves, what waits, and what a crash, a pause or another worker does to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, update

from sync.clients.mpw.client import MpwClient
from sync.database.engine import Store
from sync.database.schema import documents, ledger_entries, outbox
from sync.errors import RejectedError, RetryableError
from sync.ledger.books import Books
from sync.ledger.documents import insert_documents
from sync.ledger.rules import new_entry
from sync.outbox.machine import Outcome
from sync.outbox.queue import Candidate, candidates
from sync.outbox.rows import Push, attempts_of
from sync.push import calls as push_calls
from sync.push.operations.receipt import PostReceipt
from sync.push.operations.registry import operations
from sync.push.round import push_once
from sync.push.sweep import sweep_once
from sync.push.verify import verify_once
from sync.work.context import Context
from sync.work.cooldowns import resting_until
from tests.clocks import FakeClock
from tests.worlds.outbox_world import MAIN, PART, OutboxWorld, outbox_world


@pytest.fixture
def world(store: Store, clock: FakeClock) -> Iterator[OutboxWorld]:
    with outbox_world(store, clock) as made:
        yield made


@pytest.fixture
def lone_world(sqlite_store: Store, clock: FakeClock) -> Iterator[OutboxWorld]:
    """On SQLite only: for the long tables of faults, which are about the vendor and not about the database."""
    with outbox_world(sqlite_store, clock) as made:
        yield made


class KilledError(BaseException):
    """The process ends here."""


class CrashingStore:
    """A store whose n-th commit never happens, or is the last thing that does."""

    def __init__(self, store: Store, *, at: int, after: bool) -> None:
        self._store = store
        self._left = at
        self._after = after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        self._left -= 1
        with self._store.write() as conn:
            yield conn
            if self._left == 0 and not self._after:
                raise KilledError
        if self._left == 0:
            raise KilledError


def finish_after_crashes(world: OutboxWorld, *, at: int, after: bool) -> None:
    crashing: Any = CrashingStore(world.store, at=at, after=after)
    doomed = replace(world.ctx, store=crashing)

    def work_until_killed() -> None:
        for _ in range(20):
            push_once(doomed)
            verify_once(doomed)
            world.clock.advance(minutes=10)

    with pytest.raises(KilledError):
        work_until_killed()
    world.clock.advance(minutes=10)
    world.settle()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [1, 2])
def test_a_crash_before_or_after_any_commit_leaves_one_effect(world: OutboxWorld, at: int, after: bool) -> None:
    receipt = world.receipt()

    finish_after_crashes(world, at=at, after=after)

    assert world.state(receipt) == "done"
    assert world.sandbox.mpw.stock(PART, MAIN) == 105


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, 9))
def test_a_crash_in_the_middle_of_a_split_issuance_leaves_one_effect(
    lone_world: OutboxWorld, at: int, after: bool
) -> None:
    lone_world.sandbox.mpw.add_part("SPLIT", MAIN)
    for quantity in (4, 3, 5):
        lone_world.sandbox.mpw.person_receives("SPLIT", MAIN, quantity, "5", "2024-02-01")
    issuance = lone_world.issuance(part_number="SPLIT", quantity=10)

    finish_after_crashes(lone_world, at=at, after=after)

    assert lone_world.state(issuance) == "done"
    assert lone_world.sandbox.mpw.stock("SPLIT", MAIN) == 2


def test_invariant_1_nothing_leaves_before_its_attempt_row_is_committed(
    world: OutboxWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = world.receipt()
    seen: list[int] = []
    real = MpwClient.post_receipt

    def spying(self: MpwClient, receipt: str) -> object:
        with world.store.read() as conn:
            seen.append(len(attempts_of(conn, push)))
        return real(self, receipt)

    monkeypatch.setattr(MpwClient, "post_receipt", spying)
    world.push()

    assert seen == [1]


def test_invariant_4_a_lease_that_ran_out_yields_unknown_never_ready(world: OutboxWorld) -> None:
    push = world.receipt()
    finish: Any = CrashingStore(world.store, at=2, after=False)
    with pytest.raises(KilledError):
        push_once(replace(world.ctx, store=finish))
    assert world.state(push) == "sending"

    assert sweep_once(world.ctx).rescued == 0
    world.clock.advance(minutes=2)
    assert sweep_once(world.ctx).rescued == 1

    row = world.row(push)
    assert (row.state, row.ambiguous, row.attempts) == ("unknown", True, 1)
    assert world.outcomes(push) == ["unknown"]
    world.settle()
    assert world.requests("mpw.post_receipt") == 1


@pytest.mark.parametrize("fault", ["too_many", "unauthorized"])
def test_invariant_5_a_row_that_was_ever_ambiguous_is_never_ready_after_a_refusal(
    world: OutboxWorld, fault: str
) -> None:
    push = world.receipt()
    world.sandbox.faults.add("mpw.post_receipt", "lost_request")
    world.push()
    world.clock.advance(minutes=16)
    world.verify()
    world.sandbox.faults.add("mpw.post_receipt", fault, retry_after=1)

    world.push()

    row = world.row(push)
    assert (row.state, row.ambiguous, row.attempts) == ("unknown", True, 1)
    world.settle()
    assert world.sandbox.mpw.stock(PART, MAIN) == 105


def test_a_408_to_a_write_is_ambiguous(world: OutboxWorld) -> None:
    push = world.receipt()
    world.sandbox.faults.add("mpw.post_receipt", "error_after", status=408)

    world.push()

    assert world.state(push) == "unknown"
    world.settle()
    assert world.sandbox.mpw.stock(PART, MAIN) == 105
    assert world.requests("mpw.post_receipt") == 1


def test_invariant_8_an_unreachable_system_uses_up_no_attempt(lone_world: OutboxWorld) -> None:
    pushes = [lone_world.receipt(f"k-{n}", part_number=f"Q-{n}") for n in range(5)]
    lone_world.sandbox.stop()

    for _ in range(15):
        lone_world.push()
        lone_world.clock.advance(hours=5)

    assert {lone_world.state(push) for push in pushes} == {"ready"}
    assert {lone_world.row(push).attempts for push in pushes} == {0}
    lone_world.sandbox.start()
    lone_world.clock.advance(hours=2)
    lone_world.settle()
    assert {lone_world.state(push) for push in pushes} == {"done"}


def test_429_rests_the_whole_system_until_retry_after(world: OutboxWorld) -> None:
    for n in range(5):
        world.receipt(f"k-{n}", part_number=f"Q-{n}")
    world.sandbox.faults.add("mpw.post_receipt", "too_many", retry_after=100)

    assert world.push().sent == 1
    world.clock.advance(seconds=99)
    assert world.push().sent == 0
    world.clock.advance(seconds=2)
    assert world.push().sent == 5

    assert not world.unsettled()


def test_an_answer_that_comes_after_a_429_does_not_end_the_rest_that_it_asked_for(
    world: OutboxWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(5):
        world.receipt(f"k-{n}", part_number=f"Q-{n}")
    real: Callable[[PostReceipt, Context, Sequence[Push]], dict[int, Outcome]] = PostReceipt.send
    under_way = threading.Event()

    def send(self: PostReceipt, ctx: Context, rows: Sequence[Push]) -> dict[int, Outcome]:
        if rows[0].api_key == "k-0":
            assert under_way.wait(10)
            raise RetryableError("slow down", status=429, retry_after=timedelta(seconds=100))
        if rows[0].api_key == "k-1":
            under_way.set()
            assert _comes_true(lambda: resting_until(world.ctx, "mpw") is not None)
        return real(self, ctx, rows)

    monkeypatch.setattr(PostReceipt, "send", send)
    world.push(concurrency=2)
    monkeypatch.undo()

    assert world.outcomes(1) == ["429"]
    assert world.outcomes(2) == ["done"]
    world.clock.advance(seconds=99)
    assert world.push().sent == 0
    world.clock.advance(seconds=2)
    world.push()
    assert not world.unsettled()


def _comes_true(condition: Callable[[], bool]) -> bool:
    return any(condition() or threading.Event().wait(0.01) for _ in range(1000))


def test_a_row_that_another_worker_took_does_not_end_the_round(
    lone_world: OutboxWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, other = lone_world.receipt("k-0", part_number="Q-0"), lone_world.receipt("k-1", part_number="Q-1")
    with lone_world.store.write() as conn:
        conn.execute(update(outbox).where(outbox.c.id == taken).values(fence=7))
    real = candidates

    def outdated(*args: Any, **more: Any) -> list[Candidate]:
        return [replace(one, push=replace(one.push, fence=one.push.fence % 7)) for one in real(*args, **more)]

    monkeypatch.setattr("sync.push.round.candidates", outdated)

    assert lone_world.push().sent == 1
    assert (lone_world.state(taken), lone_world.state(other)) == ("ready", "done")


def test_what_is_claimed_is_not_sent_once_an_answer_could_not_be_written_down(
    world: OutboxWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(20):
        world.receipt(f"k-{n}", part_number=f"Q-{n}")
    real: Callable[[PostReceipt, Context, Sequence[Push]], dict[int, Outcome]] = PostReceipt.send
    write, failed = push_calls.CallsUnderWay.write, threading.Event()

    def send(self: PostReceipt, ctx: Context, rows: Sequence[Push]) -> dict[int, Outcome]:
        assert rows[0].api_key == "k-0" or failed.wait(10)
        return real(self, ctx, rows)

    def fails_once(under_way: Any, ended: Any, room: int) -> Any:
        if any(call.outcomes for call in ended) and not failed.is_set():
            monkeypatch.setattr(under_way, "_record", _disk_full)
        try:
            return write(under_way, ended, room)
        finally:
            if any(call.outcomes for call in ended) and not failed.is_set():
                monkeypatch.delattr(under_way, "_record")
                failed.set()

    monkeypatch.setattr(PostReceipt, "send", send)
    monkeypatch.setattr(push_calls.CallsUnderWay, "write", fails_once)
    with pytest.raises(OSError, match="no space"):
        world.push(concurrency=2)
    monkeypatch.undo()

    with world.store.read() as conn:
        rows = {row.api_key: (row.state, row.tries) for row in conn.execute(outbox.select())}
    sent = world.requests("mpw.post_receipt")
    assert sent <= 3
    assert rows.pop("k-0") == ("sending", 1)
    assert sorted(rows.values()) == [("done", 1)] * (sent - 1) + [("ready", 0)] * (20 - sent)
    world.clock.advance(hours=1)
    world.settle()
    assert world.requests("mpw.post_receipt") == 20


def _disk_full(*_: object) -> None:
    raise OSError("no space")


def test_a_burst_of_429_settles(world: OutboxWorld) -> None:
    pushes = [world.receipt(f"k-{n}", part_number=f"Q-{n}") for n in range(5)]
    world.sandbox.faults.add("mpw.*", "too_many", 20, retry_after=2)

    world.settle()

    assert {world.state(push) for push in pushes} == {"done"}
    assert {world.row(push).attempts for push in pushes} == {1}


def test_a_login_whose_tokens_are_all_refused_is_not_hammered(lone_world: OutboxWorld) -> None:
    pushes = [lone_world.receipt(f"k-{n}", part_number=f"Q-{n}") for n in range(20)]
    lone_world.sandbox.faults.add("mpw.post_receipt", "unauthorized", 1000)

    for _ in range(60):
        lone_world.push()

    assert lone_world.requests("mpw.login") <= 3
    assert {lone_world.state(push) for push in pushes} == {"ready"}
    assert {lone_world.row(push).attempts for push in pushes} == {0}
    lone_world.sandbox.faults.clear()
    lone_world.settle()
    assert {lone_world.state(push) for push in pushes} == {"done"}


def test_a_token_that_ran_out_costs_a_row_one_round_and_no_wait(lone_world: OutboxWorld) -> None:
    pushes = [lone_world.receipt(f"k-{n}", part_number=f"Q-{n}") for n in range(3)]
    lone_world.sandbox.faults.add("mpw.post_receipt", "unauthorized", 1)

    lone_world.push()
    lone_world.push()

    assert {lone_world.state(push) for push in pushes} == {"done"}


def test_wrong_credentials_pause_the_system_once_and_cost_no_attempt(world: OutboxWorld) -> None:
    wrong = MpwClient(world.sandbox.mpw_url, world.sandbox.email, "wrong", clock=world.clock, max_requests_per_second=0)
    world.ctx.mpw, right = wrong, world.ctx.mpw
    pushes = [world.receipt(f"k-{n}", part_number=f"Q-{n}") for n in range(3)]

    for _ in range(3):
        world.push()
        world.clock.advance(hours=1)

    assert {world.state(push) for push in pushes} == {"ready"}
    assert {world.row(push).attempts for push in pushes} == {0}
    assert world.requests("mpw.login") == 1
    assert world.told() == [("credentials", "mpw")]
    wrong.close()
    world.ctx.mpw = right
    world.ctx.forget_old_pauses()
    world.settle()
    assert {world.state(push) for push in pushes} == {"done"}
    assert world.told() == []


def test_held_rows_and_systems_that_are_off_send_nothing(world: OutboxWorld) -> None:
    held = world.add("post_receipt", "k-1", {"part_number": PART}, state="held")
    off = world.receipt("k-2", part_number="P-9")
    ctx = replace(world.ctx, mpw=None)

    assert push_once(ctx).moved == 0

    assert (world.state(held), world.state(off)) == ("held", "ready")
    assert list(world.sandbox.requests.all()) == []


def test_a_route_that_was_switched_off_sends_nothing_and_keeps_nothing_back(world: OutboxWorld) -> None:
    receipt, issuance = world.receipt(), world.issuance()
    with world.store.write() as conn:
        conn.execute(update(outbox).where(outbox.c.id == receipt).values(route="receipts"))
    world.with_policy(routes={"receipts": "off", "issuances": "push"})

    for _ in range(3):
        world.push()

    assert (world.state(receipt), world.state(issuance)) == ("ready", "done")
    assert world.row(receipt).tries == 0
    assert world.requests("mpw.post_receipt") == 0
    world.with_policy(routes={"receipts": "hold", "issuances": "push"})
    world.push()
    assert world.state(receipt) == "done"


def test_the_frozen_bytes_are_what_every_attempt_sends(world: OutboxWorld) -> None:
    world.receipt(description="näh #1 % 😀")
    world.sandbox.faults.add("mpw.post_receipt", "lost_request", 2)

    world.settle()

    bodies = {seen.body for seen in world.sandbox.requests.all() if seen.endpoint == "mpw.post_receipt"}
    assert len(bodies) == 1


def test_only_the_leader_sends_what_only_the_leader_may(world: OutboxWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    push = world.receipt()
    monkeypatch.setattr(PostReceipt, "leader_only", True)
    world.ctx.leads = lambda: False

    assert world.push().moved == 0
    assert world.verify().checked == 0
    world.ctx.leads = lambda: True
    assert world.push().sent == 1

    assert world.state(push) == "done"


def test_several_at_once_send_each_row_once(world: OutboxWorld) -> None:
    pushes = [world.receipt(f"k-{n}", part_number=f"Q-{n}") for n in range(30)]

    counts = world.push(concurrency=4)

    assert (counts.sent, counts.done) == (30, 30)
    assert {world.state(push) for push in pushes} == {"done"}
    assert world.requests("mpw.post_receipt") == 30


def test_an_answer_that_comes_after_the_lease_ran_out_is_dropped(
    world: OutboxWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = world.receipt()
    real: Callable[[PostReceipt, Context, Sequence[Push]], dict[int, Outcome]] = PostReceipt.send

    def slow(self: PostReceipt, ctx: Context, rows: Sequence[Push]) -> dict[int, Outcome]:
        outcomes = real(self, ctx, rows)
        world.clock.advance(minutes=30)
        sweep_once(world.another("b"))
        return outcomes

    monkeypatch.setattr(PostReceipt, "send", slow)
    counts = world.push()

    assert (counts.sent, counts.done) == (1, 0)
    assert world.state(push) == "unknown"
    monkeypatch.undo()
    world.settle()
    assert world.state(push) == "done"
    assert world.requests("mpw.post_receipt") == 1


def test_a_worker_that_slept_through_its_lease_does_not_send(
    world: OutboxWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = world.receipt()
    monkeypatch.setattr(PostReceipt, "claimed", lambda *_args, **_more: world.clock.advance(hours=1), raising=True)

    assert world.push().sent == 0

    assert world.requests("mpw.post_receipt") == 0
    sweep_once(world.ctx)
    assert world.state(push) == "unknown"


def test_a_row_that_a_poll_saw_first_is_filed_under_its_event(world: OutboxWorld) -> None:
    push = world.issuance(marker=False)
    world.sandbox.faults.add("mpw.post_issuance", "lost_answer")
    world.push()
    (made,) = world.sandbox.mpw.issuance_by_id.values()
    now = world.clock.now()
    with world.store.write() as conn:
        entry = new_entry(
            "mpw", "issuance", f"mpw-i-{made.id}", str(made.id), item=PART, warehouse=MAIN, quantity=Decimal(-2),
            unit_cost=Decimal(10), occurred_on=now.date(),
        )  # fmt: skip
        (entry_id,) = Books(conn, now=now).append([entry])
        document = {"system": "mpw", "type": "issuance", "remote_id": str(made.id), "source": "mpw.issuances"}
        document |= {"raw": "{}", "digest": "d", "api_key": entry.api_key, "item": PART, "entry_id": entry_id}
        insert_documents(conn, [document | {"first_seen_at": now, "last_seen_at": now}])

    world.settle()

    assert world.state(push) == "done"
    with world.store.read() as conn:
        entries = [(row.api_key, row.entry_type) for row in conn.execute(ledger_entries.select())]
        filed = conn.execute(documents.select()).one()
    assert entries == [
        (f"mpw-i-{made.id}", "original"),
        (f"mpw-i-{made.id}", "reversal"),
        ("erp-i-1", "original"),
    ]
    assert filed.api_key == "erp-i-1"


def test_a_person_is_told_of_a_push_that_is_unknown_for_a_day_and_no_more_once_it_is_settled(
    world: OutboxWorld,
) -> None:
    push = world.receipt()
    world.sandbox.faults.add("mpw.post_receipt", "lost_answer")
    reads_fail = world.sandbox.faults.add("mpw.receipts", "error_before", None, after=1)  # the look before it is sent
    for _ in range(26):
        world.push()
        world.verify()
        world.clock.advance(hours=1)
    world.push()
    assert world.told() == [("push_unknown", str(push))]
    assert world.state(push) == "unknown"
    assert world.requests("mpw.post_receipt") == 1
    assert reads_fail.hits < 40

    world.sandbox.faults.clear()
    world.clock.advance(hours=2)
    world.settle()

    assert world.state(push) == "done"
    assert world.told() == []


def test_no_route_of_time_makes_a_row_of_a_dead_vendor_dead(lone_world: OutboxWorld) -> None:
    push = lone_world.receipt()
    lone_world.sandbox.faults.add("mpw.post_receipt", "error_before", None)
    for _ in range(40):
        lone_world.push()
        lone_world.verify()
        lone_world.clock.advance(hours=1)

    assert lone_world.state(push) in ("ready", "unknown")


def test_after_a_week_of_calls_without_an_effect_a_person_is_asked(lone_world: OutboxWorld) -> None:
    push = lone_world.receipt()
    lone_world.sandbox.faults.add("mpw.post_receipt", "error_before", None)
    for _ in range(9 * 4):
        lone_world.push()
        lone_world.verify()
        lone_world.clock.advance(hours=6)

    assert lone_world.state(push) == "dead"
    assert lone_world.told() == [("push_dead", str(push))]
    assert lone_world.sandbox.mpw.stock(PART, MAIN) == 100


def test_a_round_finds_nothing_where_nothing_is_due(world: OutboxWorld) -> None:
    assert world.push().moved == 0
    assert world.verify().checked == 0
    assert list(world.sandbox.requests.all()) == []


def test_every_operation_is_known_by_its_name_and_only_approvals_go_together(world: OutboxWorld) -> None:
    assert {name: operation.name for name, operation in operations().items()} == {name: name for name in operations()}
    assert {name for name, operation in operations().items() if operation.batch > 1} == {"approve"}
    assert len(operations()) == 11


def test_a_push_whose_read_before_fails_waits_without_an_attempt(world: OutboxWorld) -> None:
    payload = {"part_number": PART, "warehouse_name": MAIN, "destination_warehouse_name": "WH2", "quantity": 3}
    push = world.add("post_transfer", "t-1", payload)
    world.sandbox.mpw.add_part(PART, "WH2")
    world.sandbox.faults.add("mpw.inventories", "error_before", 3)

    world.push()
    assert world.outcomes(push) == []
    assert world.state(push) == "ready"
    world.settle()

    assert world.state(push) == "done"
    assert world.sandbox.mpw.stock(PART, "WH2") == 3


def test_transfers_go_one_by_one_and_none_is_claimed_before_its_turn(lone_world: OutboxWorld) -> None:
    lone_world.sandbox.mpw.add_part(PART, "WH2")
    for n in range(6):
        payload = {"part_number": PART, "warehouse_name": MAIN, "destination_warehouse_name": "WH2", "quantity": 1}
        lone_world.add("post_transfer", f"t-{n}", payload, entity_key=f"item:{n}")
    in_flight: list[int] = []

    def count(_: object) -> bool:
        with lone_world.store.read() as conn:
            query = select(func.count()).select_from(outbox).where(outbox.c.state == "sending")
            in_flight.append(int(conn.execute(query).scalar_one()))
        return True

    lone_world.sandbox.faults.add("mpw.transfer", "slow", times=6, seconds=0, match=count)

    assert lone_world.push(concurrency=4).done == 6
    assert in_flight == [1] * 6
    assert lone_world.sandbox.mpw.stock(PART, "WH2") == 6


def test_a_person_is_told_of_a_push_whose_read_before_is_refused_for_a_day(
    lone_world: OutboxWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_client: object, **_: object) -> None:
        raise RejectedError("you may not see this warehouse", status=403)

    payload = {"part_number": PART, "warehouse_name": MAIN, "destination_warehouse_name": "WH2", "quantity": 3}
    push = lone_world.add("post_transfer", "t-1", payload)
    lone_world.sandbox.mpw.add_part(PART, "WH2")
    with monkeypatch.context() as patch:
        patch.setattr(MpwClient, "inventories", refused)
        lone_world.push()
        assert lone_world.told() == []
        lone_world.clock.advance(hours=25)
        lone_world.push()
        assert lone_world.told() == [("push_undecidable", str(push))]
    assert "you may not see this warehouse" in lone_world.detail("push_undecidable")

    lone_world.settle()

    assert (lone_world.state(push), lone_world.told()) == ("done", [])


def test_two_pushers_on_one_database_leave_one_effect_each(world: OutboxWorld) -> None:
    pushes = [world.receipt(f"k-{n}", part_number=f"Q-{n % 7}") for n in range(40)]
    workers = [
        threading.Thread(target=lambda owner=owner: [push_once(world.another(owner)) for _ in range(12)])  # type: ignore[misc]
        for owner in ("a", "b")
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    world.clock.advance(minutes=5)
    world.settle()

    assert {world.state(push) for push in pushes} == {"done"}
    assert world.requests("mpw.post_receipt") == 40
    with world.store.read() as conn:
        assert {row.tries for row in conn.execute(outbox.select())} == {1}


def test_a_lead_that_was_lost_does_not_keep_the_answer_from_being_recorded(world: OutboxWorld) -> None:
    world.with_policy(late_arrival=timedelta(0))
    push = world.receipt()

    def lost() -> Any:
        raise AssertionError("recording an answer asks nobody who leads")

    world.ctx.lease = lost
    world.push()

    assert world.state(push) == "done"
