"""Who leads."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from sync.database.engine import Store
from sync.database.facts import fact
from sync.errors import LeaseHeldError, LeaseLostError
from sync.jobs.due import an_agenda
from sync.work.context import Context
from sync.work.lead import LASTS, TRUSTED, Leadership
from tests.clocks import FakeClock


def test_a_second_instance_is_refused_while_the_first_leads(store: Store, clock: FakeClock) -> None:
    first, second = Leadership(store, clock, "a"), Leadership(store, clock, "b")
    first.take_or_refuse()

    with pytest.raises(LeaseHeldError):
        second.take_or_refuse()

    assert first.held
    assert not second.held
    first.release()


def test_a_second_instance_is_refused_also_where_it_names_the_same_file_by_a_link(
    sqlite_store: Store, clock: FakeClock, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "books.db"
    link.symlink_to(str(sqlite_store.url.database))
    first, second = Leadership(sqlite_store, clock, "a"), Leadership(Store(f"sqlite:///{link}"), clock, "b")

    assert first.take()
    with pytest.raises(LeaseHeldError):
        second.take_or_refuse()

    assert first.take()
    assert list(link.parent.iterdir()) == [link]
    first.release()


def test_leadership_that_was_given_up_is_free_at_once(store: Store, clock: FakeClock) -> None:
    first, second = Leadership(store, clock, "a"), Leadership(store, clock, "b")
    first.take_or_refuse()
    first.release()

    second.take_or_refuse()

    assert second.held
    second.release()


def test_the_successor_of_a_dead_process_on_sqlite_need_not_wait(sqlite_store: Store, clock: FakeClock) -> None:
    dead = Leadership(sqlite_store, clock, "dead")
    dead.take_or_refuse()
    dead.drop_file()  # what the kernel does when a process ends

    successor = Leadership(sqlite_store, clock, "next")

    assert successor.take()
    assert successor.current().token == 2
    successor.release()


def test_the_successor_of_a_dead_process_on_postgresql_waits_for_the_lease_to_end(
    postgres_url: str, clock: FakeClock
) -> None:
    store = Store(postgres_url)
    dead, successor = Leadership(store, clock, "dead"), Leadership(store, clock, "next")
    dead.take_or_refuse()

    assert not successor.take()
    clock.advance(LASTS.total_seconds() + 1)
    assert successor.take()
    store.close()


def test_a_leader_trusts_itself_for_less_time_than_its_lease_lasts(sqlite_store: Store, clock: FakeClock) -> None:
    leader = Leadership(sqlite_store, clock, "a")
    leader.take_or_refuse()

    clock.advance(TRUSTED.total_seconds() + 0.1)

    margin = LASTS - TRUSTED
    assert margin > timedelta(seconds=1)
    assert not leader.held
    leader.release()


def test_a_leader_that_was_replaced_writes_nothing(postgres_url: str, clock: FakeClock) -> None:
    store = Store(postgres_url)
    from sync.values.policy import Policy

    frozen, other = Leadership(store, clock, "frozen"), Leadership(store, clock, "other")
    frozen.take_or_refuse()
    lease = frozen.current()
    clock.advance(LASTS.total_seconds() + 1)
    assert other.take()
    context = Context(store=store, clock=clock, policy=Policy(), lease=frozen.current, agenda=an_agenda())

    with pytest.raises(LeaseLostError), context.leader_writes() as books:
        books.note_fact("written", "by a leader of the past")
    clock.current -= LASTS  # even where its own clock says that it still leads, the row decides
    with pytest.raises(LeaseLostError), context.leader_writes() as books:
        books.note_fact("written", "by a leader of the past")

    with store.read() as conn:
        assert fact(conn, "written") is None
    assert lease.token == 1
    store.close()


def test_a_lease_that_cannot_be_given_up_runs_out_and_the_file_lock_is_let_go(
    sqlite_url: str, sqlite_store: Store, clock: FakeClock
) -> None:
    impatient = Store(sqlite_url, busy_timeout_seconds=0.05)
    first, second = Leadership(impatient, clock, "a"), Leadership(sqlite_store, clock, "b")
    first.take_or_refuse()

    with sqlite_store.write():
        first.release()

    assert not first.held
    second.take_or_refuse()
    assert second.held
    second.release()
    impatient.close()


def test_an_instance_that_cannot_reach_the_lease_keeps_no_other_from_it(
    sqlite_url: str, sqlite_store: Store, clock: FakeClock
) -> None:
    impatient = Store(sqlite_url, busy_timeout_seconds=0.05)
    first, second = Leadership(impatient, clock, "a"), Leadership(sqlite_store, clock, "b")

    with sqlite_store.write(), pytest.raises(OperationalError):
        first.take_or_refuse()

    second.take_or_refuse()
    assert second.held
    second.release()
    impatient.close()
