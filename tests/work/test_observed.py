"""A run ends, whatever ends it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from sync.database.engine import Store
from sync.database.leases import Lease, take_lease
from sync.database.runs import start_run
from sync.errors import InvariantError, LeaseLostError
from sync.jobs.due import an_agenda
from sync.jobs.reports import Record, view
from sync.ledger.coverage import RECEIPTS, feed
from sync.ledger.parked import park
from sync.reconcile import derive as reconcile
from sync.values.policy import Policy
from sync.values.systems import MPW
from sync.work.context import Context
from sync.work.observed import Outcome, observe
from tests.clocks import FakeClock


@pytest.fixture
def ctx(store: Store, clock: FakeClock) -> Context:
    return Context(store=store, clock=clock, policy=Policy(), agenda=an_agenda())


def runs(ctx: Context) -> list[Record]:
    with ctx.read() as conn:
        return view(conn, "v_runs")


def run(ctx: Context, work: object) -> Outcome:
    return observe(ctx, "poll.mpw.receipts", source=RECEIPTS, system=MPW, work=work)  # type: ignore[arg-type]


def test_a_database_error_ends_the_run_as_failed_and_goes_on(ctx: Context) -> None:
    def work(_run_id: int) -> Outcome:
        with ctx.leader_writes() as books:
            books.conn.execute(text("select * from no_such_table"))
        return Outcome()

    with pytest.raises(SQLAlchemyError, match="no_such_table"):
        run(ctx, work)

    [row] = runs(ctx)
    assert (row["outcome"], row["ended_at"]) == ("failed", ctx.clock.now())
    assert "no_such_table" in row["error"]
    with ctx.read() as conn:
        assert feed(conn, RECEIPTS) is None  # the vendor did nothing wrong


@pytest.mark.parametrize(
    "error", [InvariantError("our bug"), LeaseLostError("another leads"), ValueError("odd"), KeyboardInterrupt()]
)
def test_every_error_ends_the_run_as_failed_and_goes_on(ctx: Context, error: BaseException) -> None:
    def work(_run_id: int) -> Outcome:
        raise error

    with pytest.raises(type(error)):
        run(ctx, work)

    [row] = runs(ctx)
    assert row["outcome"] == "failed"
    assert type(error).__name__ in row["error"]


def test_a_run_that_a_kill_left_open_is_ended_by_the_leader_s_next(
    ctx: Context, store: Store, clock: FakeClock
) -> None:
    with store.write() as conn:
        start_run(conn, "poll.mpw.receipts", now=clock.now())
        start_run(conn, "poll.mpw.issuances", now=clock.now())
        lease = take_lease(conn, "leader", "us", now=clock.now(), lasts=timedelta(seconds=20))
    assert isinstance(lease, Lease)
    ctx.lease = lambda: lease

    run(ctx, lambda _run_id: Outcome())

    assert [(row["flow"], row["outcome"]) for row in runs(ctx)] == [
        ("poll.mpw.receipts", "failed"),
        ("poll.mpw.issuances", None),
        ("poll.mpw.receipts", "ok"),
    ]


def test_a_backfill_ends_no_run_of_another_backfill(ctx: Context, store: Store, clock: FakeClock) -> None:
    with store.write() as conn:
        start_run(conn, "poll.mpw.receipts", now=clock.now())

    run(ctx, lambda _run_id: Outcome())

    assert [row["outcome"] for row in runs(ctx)] == [None, "ok"]


def test_a_pass_of_reconcile_that_fails_ends_its_run(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(ctx: Context, work: reconcile._Pass) -> None:
        with ctx.leader_writes() as books:
            reconcile._begin(books, work, 1)
        raise InvariantError("our bug")

    monkeypatch.setattr(reconcile, "_reconcile_parked", fails)
    with ctx.store.write() as conn:
        park(conn, ("receipt", "R-1"), reason="something", due_at=ctx.clock.now())

    with pytest.raises(InvariantError):
        reconcile.reconcile_once(ctx)

    [row] = runs(ctx)
    assert (row["flow"], row["outcome"]) == ("reconcile", "failed")
