"""Who leads: one at a time, with a token that tells an old leader from a new one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select

from sync.database.engine import Store
from sync.database.leases import Lease, check_lease, release_lease, take_lease
from sync.database.schema import leases
from sync.errors import LeaseLostError
from tests.clocks import FakeClock

LASTS = timedelta(seconds=30)


def _take(store: Store, owner: str, clock: FakeClock) -> Lease | None:
    with store.write() as conn:
        return take_lease(conn, "leader", owner, now=clock.now(), lasts=LASTS)


def _taken(store: Store, owner: str, clock: FakeClock) -> Lease:
    lease = _take(store, owner, clock)
    assert lease is not None
    return lease


def _check(store: Store, lease: Lease) -> None:
    with store.write() as conn:
        check_lease(conn, lease)


def test_a_free_lease_is_taken_and_lasts(store: Store, clock: FakeClock) -> None:
    lease = _taken(store, "a", clock)

    assert (lease.owner, lease.token, lease.expires_at) == ("a", 1, clock.now() + LASTS)
    _check(store, lease)


def test_a_held_lease_is_refused_and_left_as_it_was(store: Store, clock: FakeClock) -> None:
    held = _taken(store, "a", clock)
    clock.advance(29)

    assert _take(store, "b", clock) is None
    with store.read() as conn:
        row = conn.execute(select(leases)).one()
    assert (row.owner, row.token, row.expires_at) == ("a", held.token, held.expires_at)


def test_renewing_keeps_the_token_and_moves_the_end(store: Store, clock: FakeClock) -> None:
    first = _taken(store, "a", clock)
    clock.advance(10)

    again = _taken(store, "a", clock)

    assert again.token == first.token
    assert again.expires_at == first.expires_at + timedelta(seconds=10)
    _check(store, first)


def test_a_lease_that_ran_out_goes_to_the_next_with_a_larger_token(store: Store, clock: FakeClock) -> None:
    first = _taken(store, "a", clock)
    clock.advance(30)

    second = _taken(store, "b", clock)

    assert second.token == first.token + 1
    with pytest.raises(LeaseLostError, match="leader"):
        _check(store, first)
    _check(store, second)


def test_who_comes_back_after_another_led_has_a_new_token(store: Store, clock: FakeClock) -> None:
    first = _taken(store, "a", clock)
    clock.advance(31)
    _taken(store, "b", clock)
    clock.advance(31)

    back = _taken(store, "a", clock)

    assert back.token == first.token + 2
    with pytest.raises(LeaseLostError):
        _check(store, first)


def test_a_lease_given_up_is_free_at_once(store: Store, clock: FakeClock) -> None:
    first = _taken(store, "a", clock)
    with store.write() as conn:
        release_lease(conn, first, now=clock.now())

    second = _take(store, "b", clock)

    assert second is not None
    assert second.token == 2


def test_an_old_leader_cannot_give_up_the_new_ones_lease(store: Store, clock: FakeClock) -> None:
    first = _taken(store, "a", clock)
    clock.advance(30)
    second = _taken(store, "b", clock)

    with store.write() as conn:
        release_lease(conn, first, now=clock.now())

    assert _take(store, "a", clock) is None
    _check(store, second)


def test_leases_of_different_names_do_not_meet(store: Store, clock: FakeClock) -> None:
    _taken(store, "a", clock)

    with store.write() as conn:
        assert take_lease(conn, "other", "b", now=clock.now(), lasts=LASTS) is not None


def test_a_lease_that_nobody_ever_took_is_not_ours(store: Store, clock: FakeClock) -> None:
    with pytest.raises(LeaseLostError):
        _check(store, Lease("leader", "a", 1, clock.now()))


@pytest.mark.parametrize("ran_out", [False, True])
def test_of_several_that_try_at_once_exactly_one_wins(store: Store, clock: FakeClock, ran_out: bool) -> None:
    if ran_out:
        _taken(store, "old", clock)
        clock.advance(31)
    together = threading.Barrier(4)

    def contend(owner: str) -> Lease | None:
        together.wait(10)
        return _take(store, owner, clock)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(contend, ["a", "b", "c", "d"]))

    (winner,) = [lease for lease in results if lease is not None]
    assert winner.token == (2 if ran_out else 1)
    _check(store, winner)


def test_a_checked_lease_stays_ours_until_the_transaction_ends(store: Store, clock: FakeClock) -> None:
    lease = _taken(store, "a", clock)
    clock.advance(31)
    checked, written = threading.Event(), threading.Event()
    order: list[str] = []

    def lead() -> None:
        with store.write() as conn:
            check_lease(conn, lease)
            checked.set()
            written.wait(10)
            order.append("old leader wrote")

    def follow() -> None:
        checked.wait(10)
        _take(store, "b", clock)
        order.append("new leader leads")

    threads = [threading.Thread(target=lead), threading.Thread(target=follow)]
    for thread in threads:
        thread.start()
    assert checked.wait(10)
    threads[1].join(0.2)
    written.set()
    for thread in threads:
        thread.join(10)

    assert order == ["old leader wrote", "new leader leads"]
