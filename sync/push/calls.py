"""A round's calls on their way: what each needs of the vendor, and what of the database."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sync.errors import AuthError, RemoteError, RetryableError
from sync.ledger.books import Books
from sync.outbox.asking import open_about
from sync.outbox.claims import Claim, call_time_max, claim, lease_until, postpone, unclaim
from sync.outbox.machine import TELL_AFTER, Delivered, NotSent, Outcome, Transition, Unclear
from sync.outbox.rows import Push
from sync.outbox.shortage_rows import await_stock
from sync.push.answers import PushCounts, record, send
from sync.push.operations.base import (
    AlreadyDone,
    GiveUp,
    Go,
    NotNow,
    Operation,
    Preparation,
    TooLittle,
    Withdraw,
    prepares,
    settles,
)
from sync.push.operations.registry import operations
from sync.push.settle import settle
from sync.stock.mpw_stock import save_stock_reads
from sync.values.backoff import backoff
from sync.values.systems import name_of
from sync.values.todo_kinds import READ_REFUSED
from sync.work.context import Context
from sync.work.cooldowns import rest

AHEAD = 3
"""Claims that wait, for each worker: while one transaction is written so many calls end, and the next takes them all.

The lease covers one call before a claim's own; one that has waited too long for its call to end within its lease is
given back unsent, which happens where a vendor needs a whole timeout for each call, and nowhere else."""

PREPARE_AGAIN_MAX = timedelta(minutes=15)
"""A read that a push needs and that fails is tried again at least this often: it costs nobody anything."""


@dataclass(slots=True)
class Call:
    """One call on its way: `rows` are those that it (still) is for; no `outcomes`: it was not made."""

    operation: Operation
    rows: list[Push]
    stage: str = "prepare"  # send, settle
    prepared: Mapping[int, Preparation] | None = None
    failure: RemoteError | None = None
    outcomes: Mapping[int, Outcome] = field(default_factory=dict)
    effective: list[Push] = field(default_factory=list)


def _stops(call: Call) -> bool:
    """No other call to the system should follow: also after a token that was refused, lest every row logs in anew."""
    return isinstance(call.failure, AuthError) or any(isinstance(one, NotSent) for one in call.outcomes.values())


class CallsUnderWay:
    """Takes a round's calls all the way: what needs the vendor in `work`, what needs the database in `write`.

    One transaction records all answers that came in and claims the rows of the calls that follow. A call
    that was claimed and turns out not to be made (a system that is to be left alone, an end of the program, a wait
    that was too long) gives its claim back.
    """

    def __init__(self, ctx: Context, calls: Sequence[Call], width: int) -> None:
        self.ahead = AHEAD * width if width > 1 else 0  # claimed beyond those being sent
        self.counts = PushCounts()
        self._ctx = ctx
        self._waiting = deque(calls)
        self._stop = threading.Event()

    # at the vendor

    def work(self, call: Call) -> Call:
        """Do the call's next step; no transaction is open."""
        match call.stage:
            case "prepare":
                self._prepare(call)
            case "send":
                self._send(call)
            case _:
                call.operation.settled(self._ctx, call.effective)
        return call

    def _prepare(self, call: Call) -> None:
        if not self._stopped():
            try:
                call.prepared = call.operation.prepare(self._ctx, call.rows)
            except RemoteError as error:
                call.failure = error

    def _send(self, call: Call) -> None:
        """Send it, unless it should not be any more, or may not end within its lease."""
        latest = _lease_end(call.rows) - call_time_max(self._ctx.policy.request_timeout)
        if not self._stopped() and self._ctx.clock.now() <= latest:
            call.failure, call.outcomes = send(self._ctx, call.operation, call.rows)
            if _stops(call):
                self._stop.set()

    def _stopped(self) -> bool:
        return self._stop.is_set() or self._ctx.stopping() or not self._ctx.is_timely()

    # in the database

    def write(self, ended: Sequence[Call], room: int) -> list[Call]:
        """Write down what calls came to, and return those that go on or begin: at most `room` of them begin.

        Where that fails, what is claimed and not yet sent is not sent: its answer could not be written down either.
        """
        try:
            return self._write(ended, room)
        except BaseException:
            self._stop.set()
            raise

    def _write(self, ended: Sequence[Call], room: int) -> list[Call]:
        sent = [call for call in ended if call.stage == "send"]
        prepared = [call for call in ended if call.stage == "prepare"]
        following = [call for call in prepared if self._goes(call)][:room]
        begun: list[Call] = []
        while room > len(following) + len(begun) and self._waiting and not self._stopped():
            call = self._waiting.popleft()
            (begun if prepares(call.operation) else following).append(call)
        claimed = self._record_and_claim(sent, [] if self._stopped() else following)
        self.counts.sent += sum(len(call.rows) for call in sent if call.outcomes)
        for call in sent:
            if isinstance(call.failure, AuthError):
                self._ctx.pause(call.operation.system, call.failure)
        going = [*(call for call in sent if self._settles(call)), *claimed, *begun]
        if following and not going and self._waiting:  # others took all of them: no reason to end the round
            return self._write([], room)
        return going

    def _goes(self, call: Call) -> bool:
        if isinstance(call.failure, RemoteError):
            _prepare_failed(self._ctx, call.operation, call.rows, call.failure, self._stop, self.counts)
            return False
        if call.prepared is None:
            return False
        call.rows = _settle_unsent(self._ctx, call.operation, call.rows, call.prepared, self.counts)
        return bool(call.rows)

    def _settles(self, call: Call) -> bool:
        call.effective = [row for row in call.rows if isinstance(call.outcomes.get(row.id), Delivered | Unclear)]
        call.stage = "settle"
        return bool(call.effective) and settles(call.operation) and not self._ctx.stopping()

    def _record_and_claim(self, sent: Sequence[Call], following: Sequence[Call]) -> list[Call]:
        """Write answers whoever leads by now: they are what nobody else can know. Claim in the same transaction."""
        ordinary = [call for call in following if not call.operation.leader_only]
        if sent or ordinary:
            with self._ctx.anyone_writes() as books:
                self._record(books, sent)
                self._claim(books, ordinary)
        for call in following:
            if call.operation.leader_only:
                with self._ctx.leader_writes() as books:
                    self._claim(books, [call])
        return [call for call in following if call.rows]

    def _record(self, books: Books, sent: Sequence[Call]) -> None:
        answered: dict[str, list[tuple[Push, Outcome]]] = {}
        for call in sent:
            if call.outcomes:
                answered.setdefault(call.operation.name, []).extend((row, call.outcomes[row.id]) for row in call.rows)
            elif books.now < _lease_end(call.rows):
                self._give_back(books, call)
            # else: the sweep makes these rows unknown, as every row whose lease ran out
        for name, rows in answered.items():
            record(self._ctx, books, operations()[name], rows, self.counts)

    def _give_back(self, books: Books, call: Call) -> None:
        """Undo a claim, and let what was written with it follow: an order is not shown as sent, no echo is expected."""
        again = Transition("ready", "given_back", None)
        for row in call.rows:
            if unclaim(books.conn, row):
                call.operation.after(books, row, again)

    def _claim(self, books: Books, calls: Sequence[Call]) -> None:
        """Claim calls of one row each together, and those of several rows each for itself: they share a batch id."""
        groups = [[call for call in calls if call.operation.batch == 1]]
        groups += [[call] for call in calls if call.operation.batch > 1]
        for group in groups:
            claimed = _claim(self._ctx, books, group, ahead=self.ahead) if group else {}
            for call in group:
                call.rows = [claimed[row.id] for row in call.rows if row.id in claimed]
                call.prepared, call.failure, call.stage = None, None, "send"


def _prepare_failed(
    ctx: Context,
    operation: Operation,
    rows: Sequence[Push],
    error: RemoteError,
    stop: threading.Event,
    counts: PushCounts,
) -> None:
    if isinstance(error, AuthError):
        ctx.pause(operation.system, error)
        stop.set()
        return
    asked = error.retry_after if isinstance(error, RetryableError) else None
    refused = f"{READ_REFUSED.format(system=name_of(operation.system))} that must come before this push: "
    passing = isinstance(error, RetryableError)
    reason = error.message if passing else refused + error.message
    with ctx.anyone_writes() as books:
        for row in rows:
            wait = min(max(books.now - row.created_at, books.policy.retry_base), PREPARE_AGAIN_MAX)
            until = books.now + max(wait, asked or timedelta())
            waits = postpone(books.conn, row, until=_after(books.now, until), reason=reason)
            counts.postponed += waits
            again = (row.last_error or "").startswith(refused)  # of an old row the first one may be the last, too
            if waits and again and not passing and books.now - row.created_at >= TELL_AFTER:
                hint = error.hint or (
                    "see that the account may read what it names: it goes by itself once that can be read; "
                    f"if it is not wanted any more, `mpsync outbox discard {row.id}`"
                )
                open_about(books, row, "push_undecidable", reason, hint=hint)
        if isinstance(error, RetryableError):
            stop.set()
            pause = backoff(1, base=books.policy.retry_base, random=ctx.random.random(), retry_after=asked)
            rest(books, operation.system, books.now + pause)


def _settle_unsent(
    ctx: Context,
    operation: Operation,
    rows: Sequence[Push],
    prepared: Mapping[int, Preparation],
    counts: PushCounts,
) -> list[Push]:
    """Write down what is not sent after all; return the rows that go."""
    going = [row for row in rows if isinstance(prepared.get(row.id, Go()), Go)]
    staying = [row for row in rows if not isinstance(prepared.get(row.id, Go()), Go)]
    if not staying:
        return going
    with ctx.anyone_writes() as books:
        for row in staying:
            decision = prepared[row.id]
            if isinstance(decision, NotNow):
                until = _after(books.now, decision.until)
                waits = postpone(books.conn, row, until=until, reason=decision.reason)
                counts.postponed += waits
                if waits and decision.tell is not None:  # it may have been discarded meanwhile
                    kind, hint = decision.tell
                    open_about(books, row, kind, decision.reason, hint=hint)
                continue
            if isinstance(decision, TooLittle):
                save_stock_reads(books, decision.reads)
                counts.postponed += await_stock(books, row, decision.short, why=decision.reason)
                continue
            to = _unsent(row, decision)
            if settle(books, operation, row, to, ends_attempt=False):
                counts.note(to.state)
    return going


def _unsent(row: Push, decision: Preparation) -> Transition:
    match decision:
        case AlreadyDone():
            return Transition(
                "done", "already_done", decision, evidence=decision.evidence, remote_ids=decision.remote_ids
            )
        case GiveUp():
            return Transition("dead", "given_up", decision, last_error=decision.reason)
        case Withdraw():
            state = "superseded" if row.tries == 0 else "discarded"
            return Transition(state, "withdrawn", decision, last_error=decision.reason)
        case _:
            raise AssertionError(decision)


def _after(now: datetime, until: datetime) -> datetime:
    """A row that waits is not due this instant, or one round would follow another for ever."""
    return max(until, now + timedelta(seconds=1))


def _claim(ctx: Context, books: Books, calls: Sequence[Call], *, ahead: int) -> dict[int, Push]:
    """Claim the rows of calls, and return those that were free, as they are now, by their ids.

    A claim that may wait for a worker is longer by the one call that goes before it.
    """
    batch_id = str(UUID(int=ctx.random.getrandbits(128))) if calls[0].operation.batch > 1 else None
    claimed = claim(
        books,
        [row for call in calls for row in call.rows],
        {row.id: _claim_of(call, row) for call in calls for row in call.rows},
        owner=ctx.owner,
        lease_until=lease_until(
            books.now, request_timeout=books.policy.request_timeout, calls_before=1 if ahead else 0
        ),
        batch_id=batch_id,
        off=books.policy.routes_off(),
    )
    known = operations()
    for row in claimed:
        known[row.operation].claimed(books, row)
    return {row.id: row for row in claimed}


def _claim_of(call: Call, row: Push) -> Claim:
    decision = (call.prepared or {}).get(row.id, Go())
    assert isinstance(decision, Go)
    return Claim(decision.before, decision.sent_key)


def _lease_end(rows: Sequence[Push]) -> datetime:
    return min(row.lease_until for row in rows if row.lease_until is not None)
