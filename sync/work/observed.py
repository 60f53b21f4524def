"""A run of a polling flow: its row, its error, its log line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError

from sync.database.engine import lock_appends
from sync.database.runs import Counts, end_cut_off_runs, end_run, start_run
from sync.errors import AuthError, RemoteError, SyncError
from sync.ledger.coverage import note_feed_error, note_feed_read
from sync.work.clocks import note_clocks
from sync.work.context import Context

ERROR_CHARACTERS_MAX = 2000

log = structlog.get_logger("mpsync.poll")


@dataclass(slots=True)
class Outcome:
    """What a flow did, and the first thing that went wrong (None: nothing did).

    `ahead`: by how much the vendor's clock was ahead of ours when it answered, or up to a second more; None: its
    answer bore no date. `dropped`: another run's answer, which may be newer, was taken in while this one was fetched.
    """

    counts: Counts = field(default_factory=Counts)
    error: str | None = None
    ahead: timedelta | None = None
    dropped: bool = False


def observe(ctx: Context, flow: str, *, source: str, system: str, work: Callable[[int], Outcome]) -> Outcome:
    """Run a flow as a row of `runs`; a vendor's error is recorded and goes no further.

    Any other error ends the run as failed, and goes on. Wrong credentials pause the system. A source that
    stays down is logged when it breaks and when it recovers, not in between.
    """
    began_at = ctx.clock.now()
    with ctx.leader_writes() as books:
        run_id = start_run(books.conn, flow, now=began_at)
        if ctx.lease is not None:  # a leader's flow runs once at a time: an earlier run that is open was cut off
            end_cut_off_runs(books.conn, flow, before=run_id, now=began_at)
    with run_ends(ctx, lambda: run_id):
        try:
            outcome = work(run_id)
            if outcome.error is None:
                ctx.resume(system)
        except AuthError as error:
            ctx.pause(system, error)
            outcome = Outcome(error=error.message)
        except RemoteError as error:
            outcome = Outcome(error=error.message)
        with ctx.leader_writes() as books:
            lock_appends(books.conn)  # one at a time: a source's first two readers would both insert its row
            end_run(
                books.conn, run_id, now=books.now, counts=outcome.counts, error=outcome.error, dropped=outcome.dropped
            )
            if outcome.error is not None:
                turned = note_feed_error(books, source, outcome.error)
            else:
                turned = not outcome.dropped and note_feed_read(books.conn, source, run_id=run_id, began_at=began_at)
    _log(flow, source, outcome, turned=turned)
    note_clocks(ctx)
    return outcome


@contextmanager
def run_ends(ctx: Context, run_id: Callable[[], int | None]) -> Iterator[None]:
    """End a run as failed where its flow is left by an error, which goes on; `run_id` gives None where none was begun.

    Where the database is what failed, this may fail too: then the flow's next run ends this one.
    """
    try:
        yield
    except BaseException as error:
        begun = run_id()
        if begun is not None:
            with (
                suppress(SQLAlchemyError),
                ctx.anyone_writes() as books,
            ):  # not as leader: the lead may be what was lost
                said = error.message if isinstance(error, SyncError) else str(error)
                text = f"{type(error).__name__}: {said}"[:ERROR_CHARACTERS_MAX]
                end_run(books.conn, begun, now=books.now, counts=Counts(), error=text)
        raise


def _log(flow: str, source: str, outcome: Outcome, *, turned: bool) -> None:
    if turned and outcome.error is not None:
        log.warning("source.failed", source=source, error=outcome.error)
    elif turned:
        log.info("source.recovered", source=source)
    counts = outcome.counts
    if counts.added or counts.changed or counts.voided or counts.quarantined:
        log.info("poll.finished", flow=flow, **counts.as_dict())
