"""Bugs to plant in the real code: each a few lines that a careless engineer would have written.

A plant that finds no place any more (the code was renamed) fails with an AttributeError: move it along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, update
from sqlalchemy import delete as delete_from

from sync.database.schema import attempts, outbox
from sync.errors import RejectedError
from sync.jobs import compare_stock
from sync.ledger.books import Books
from sync.ledger.coverage import save_days
from sync.outbox import claims as outbox_claims
from sync.outbox import pushed
from sync.outbox.machine import (
    FINAL,
    Absent,
    Delivered,
    Later,
    NotSent,
    Outcome,
    Refused,
    Retrying,
    Standing,
    Transition,
    Unclear,
    Verdict,
    absence_counts_at,
    after_answer,
    is_legal,
)
from sync.outbox.rows import Push, push_by_id
from sync.poll.days import filing as day_filing
from sync.poll.days import read as days
from sync.poll.days import voids
from sync.poll.feed.window import drain_movements
from sync.push import answers, settle, sweep
from sync.push import calls as push_calls
from sync.push.operations import approval, delete, issuance, receipt
from sync.push.operations import stock as stock_operation
from sync.push.operations.base import Go, Preparation
from sync.push.operations.receipt import PostReceipt
from sync.push.operations.stock import PatchStock
from sync.push.operations.transfer import PostTransfer
from sync.push.refusals import says_exists
from sync.stock import rules as stock_rules
from sync.stock.rules import ItemFacts
from sync.work.context import Context

Plant = Callable[[], Any]
"""Opens a context in which the bug is in the code."""


@contextmanager
def swapped(*swaps: tuple[Any, str, Any]) -> Iterator[None]:
    """Put other values in the places of names of modules or classes, and back at the end."""
    with ExitStack() as back:
        for owner, name, new in swaps:
            back.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, new)
        yield


# ------------------------------------------------------------------ the outbox


def _answered(judge: Callable[[Transition, Outcome], Transition]) -> Any:
    def careless(row: Standing, outcome: Outcome, *, now: datetime, retrying: Retrying) -> Transition:
        return judge(after_answer(row, outcome, now=now, retrying=retrying), outcome)

    return swapped((answers, "after_answer", careless))


def blind_retry() -> Any:
    """A call without an answer is simply due again."""
    return _answered(lambda to, outcome: replace(to, state="ready") if isinstance(outcome, Unclear) else to)


def too_many_counts() -> Any:
    """Every answer but success counts as an attempt, 429 included."""
    return _answered(lambda to, outcome: replace(to, counts=True) if isinstance(outcome, NotSent) else to)


def refusal_clears_ambiguity() -> Any:
    """A call that provably did nothing makes its row ready, whatever the calls before it did."""
    return _answered(
        lambda to, outcome: replace(to, state="ready", ambiguous=False) if isinstance(outcome, NotSent) else to
    )


def rescue_to_ready() -> Any:
    """A row whose worker died is put back in the queue."""

    def ready(*, now: datetime) -> Transition:
        return Transition("ready", "not_sent", NotSent("the worker stopped"), due_at=now)

    return swapped((sweep, "after_lease_ran_out", ready))


def no_attempt_row() -> Any:
    """The attempt is written down with its answer, not before the call."""
    real = outbox_claims.claim

    def claim(books: Books, rows: Sequence[Push], *args: Any, **kwargs: Any) -> list[Push]:
        claimed = real(books, rows, *args, **kwargs)
        for row in claimed:
            books.conn.execute(delete_from(attempts).where(attempts.c.outbox_id == row.id, attempts.c.n == row.tries))
        return claimed

    return swapped((push_calls, "claim", claim))


def no_fence() -> Any:
    """The answer is written to the row by its id, whoever has it by now."""
    real = outbox_claims.move

    def move(books: Books, row: Push, to: Transition, *, sent_at: datetime | None = None) -> bool:
        current = push_by_id(books.conn, row.id) or row
        if not is_legal(current.state, to.state):
            ended = {"finalized_at": books.now if to.state in FINAL else None, "lease_owner": None, "lease_until": None}
            books.conn.execute(update(outbox).where(outbox.c.id == row.id).values(state=to.state, **ended))
            return True
        return real(books, replace(row, state=current.state, fence=current.fence), to, sent_at=sent_at)

    return swapped((settle, "move", move))


def supersede_in_flight() -> Any:
    """Newer values replace an older patch, wherever that is on its way."""
    real = stock_rules._waiting

    def waiting(item: ItemFacts) -> Any:
        return real(replace(item, patch=None, undecided=False, echo_open=False))

    def supersede(books: Books, item: ItemFacts, *, why: str) -> None:
        if item.patch is not None and item.patch.state in ("held", "ready", "sending", "unknown"):
            where = outbox.c.id == item.patch.outbox_id
            values = {"state": "superseded", "finalized_at": books.now, "last_error": why}
            books.conn.execute(update(outbox).where(where).values(**values))

    return swapped((stock_rules, "_waiting", waiting), (compare_stock, "_supersede", supersede))


# ------------------------------------------------------------------ operations


def _exists(outcome: Callable[..., Outcome]) -> Any:
    real = issuance._explained

    def explained(ctx: Context, row: Push, part: Any, wanted: Any, error: RejectedError) -> Outcome:
        if says_exists(error.message, error.status):
            return outcome(ctx, row, part, error)
        return real(ctx, row, part, wanted, error)

    return swapped((issuance, "_explained", explained))


def exists_is_an_error() -> Any:
    """A 4xx is a refusal, "exists" included."""
    return _exists(lambda ctx, row, part, error: Refused(error.message, **issuance._told(part, error)))


def exists_is_done() -> Any:
    """ "Exists" means that it is there: whose it is, and of what quantity, is not looked at."""

    def done(ctx: Context, row: Push, part: Any, error: RejectedError) -> Outcome:
        told = issuance._told(part, error)
        return issuance._whole(ctx, row, part, Delivered("MPW says that it exists", **told))

    return _exists(done)


def batch_all_or_nothing() -> Any:
    """The call was answered, so all its orders are approved."""

    def settled(row: Push, result: Any, order: Any, told: dict[str, Any]) -> Outcome:
        return Delivered(f"answered {told['status']}", (approval._number(row),), **told)

    return swapped((approval, "_settled", settled))


def transfer_sent_again() -> Any:
    """An unclear transfer is given time, and then sent again like everything else."""

    def verify(self: PostTransfer, ctx: Context, row: Push) -> Verdict:
        return _waited(ctx, row)

    return swapped((PostTransfer, "verify", verify))


def upsert_without_a_look() -> Any:
    """A receipt is an upsert, so it is posted again without looking at what is there."""
    real = PostReceipt.prepare

    def prepare(self: PostReceipt, ctx: Context, rows: Sequence[Push]) -> dict[int, Preparation]:
        (row,) = rows
        return {row.id: Go()} if row.ambiguous else real(self, ctx, rows)

    def verify(self: PostReceipt, ctx: Context, row: Push) -> Verdict:
        return _waited(ctx, row)

    return swapped((PostReceipt, "prepare", prepare), (PostReceipt, "verify", verify))


def _waited(ctx: Context, row: Push) -> Verdict:
    sure_at = absence_counts_at(row.last_sent_at or row.created_at, ctx.policy.late_arrival)
    return Absent() if ctx.clock.now() >= sure_at else Later(sure_at, "a late call may still land")


def late_calls_forgotten() -> Any:
    """What is not there right after the call never will be."""

    def at_once(last_sent_at: datetime, late_arrival: Any) -> datetime:
        return last_sent_at

    return swapped(*((module, "absence_counts_at", at_once) for module in (issuance, receipt, stock_operation)))


def gone_is_an_error() -> Any:
    """404 to a DELETE is a refusal."""
    return swapped((delete, "says_absent", lambda message, status: False))


# ------------------------------------------------------------------ stock


def patch_without_drain() -> Any:
    """A patch goes out on what the last poll showed."""

    def prepare(self: PatchStock, ctx: Context, rows: Sequence[Push]) -> dict[int, Preparation]:
        now = ctx.clock.now()
        with ctx.read() as conn:
            return {row.id: stock_operation._judge(conn, row, policy=ctx.policy, now=now, ahead=None) for row in rows}

    return swapped((PatchStock, "prepare", prepare))


def patch_whatever_moved() -> Any:
    """The feed is drained before a patch, and the patch goes out as it was derived."""

    def prepare(self: PatchStock, ctx: Context, rows: Sequence[Push]) -> dict[int, Preparation]:
        drain_movements(ctx)
        return {row.id: Go({"seen": row.facts.get("seen")}) for row in rows}

    return swapped((PatchStock, "prepare", prepare))


# ------------------------------------------------------------------ reading


def equal_body_hides_an_absence() -> Any:
    """A day whose body is the one we know is done with, also when rows of it are missing."""

    def unchanged(read: Any, known: Any) -> bool:
        return known is not None and known.digest == read.body_digest

    return swapped((days, "is_unchanged", unchanged))


def posted_again() -> Any:
    """What we posted and is gone from MPW is put in the queue again."""
    real = pushed.sent_and_not_deleted

    def again(conn: Connection, post: str, delete: str, keys: Any) -> set[str]:
        ours = real(conn, post, delete, keys)
        where = outbox.c.operation == post, outbox.c.api_key.in_(sorted(ours))
        conn.execute(update(outbox).where(*where).values(state="ready", finalized_at=None))
        return set()

    return swapped((voids, "sent_and_not_deleted", again))


def void_on_one_absence() -> Any:
    """A row that its day does not show is gone."""
    real = day_filing._mark_missing

    def mark(conn: Connection, arrivals: Any, of_days: Any, seen: Any, filing: Any, policy: Any) -> None:
        real(conn, arrivals, of_days, seen, filing, policy)
        filing.due.extend(row.id for row in of_days if row.voided_at is None and row.remote_id not in seen)

    return swapped((day_filing, "_mark_missing", mark))


def void_on_mass_absence() -> Any:
    """Gone is gone, however many they are."""
    return swapped((voids, "suspicion", lambda by_warehouse, ratio: None))


def watermark_by_a_failed_window() -> Any:
    """A day is ticked off when it was asked for."""

    def ticked_off(books: Books, source: str, days: Sequence[date], error: str) -> None:
        at = {"last_read_at": books.now, "fetch_began_at": books.now}
        read: Mapping[str, Any] = {"complete": True, "rows": 0, **at}
        save_days(books.conn, [{"source": source, "day": day, **read} for day in days])

    return swapped((days, "record_day_error", ticked_off))


def lease_trusted_after_its_end() -> Any:
    """Who became leader writes as leader."""
    return swapped((Context, "assert_lead", lambda self, conn: None))
