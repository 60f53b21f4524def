"""Sending what is due: prepare, claim, call, record; no transaction is open across a call."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import Connection

from sync.domain.backoff import backoff
from sync.domain.outbox import (
    BatchRefused,
    Conflict,
    Delivered,
    More,
    NotSent,
    Outcome,
    Refused,
    Retrying,
    Standing,
    Transition,
    Unclear,
    after_answer,
    outcome_of,
)
from sync.errors import AuthError, RemoteError, RetryableError
from sync.flows.context import MPSERVICES, MPW, Context
from sync.flows.line import run_line
from sync.flows.operations.base import (
    AlreadyDone,
    GiveUp,
    Go,
    NotNow,
    Operation,
    Preparation,
    Withdraw,
    prepares,
    settles,
)
from sync.flows.operations.registry import operations
from sync.flows.settle import Settlement, open_about, settle, settle_all
from sync.flows.sweep import TELL_AFTER, sweep_once
from sync.store.facts import fact, set_fact
from sync.store.outbox import Push
from sync.store.outbox_work import (
    Candidate,
    Claim,
    call_time_max,
    candidates,
    claim,
    lease_until,
    postpone,
    standing,
    unclaim,
)

log = structlog.get_logger()

MPSERVICES_WIDTH = 1
"""Calls to MPservices go one after another: every stock patch reads the feed just before it, and its echo after it."""

AHEAD = 3
"""Claims that wait, for each worker: while one transaction is written so many calls end, and the next takes them all.

The lease covers one call before a claim's own; one that has waited too long for its call to end within its lease is
given back unsent, which happens where a vendor needs a whole timeout for each call, and nowhere else."""

PREPARE_AGAIN_MAX = timedelta(minutes=15)
"""A read that a push needs and that fails is tried again at least this often: it costs nobody anything."""


@dataclass(slots=True)
class PushCounts:
    """What became of the rows that a round took up. `sent`: given to a vendor."""

    sent: int = 0
    done: int = 0
    again: int = 0
    unknown: int = 0
    dead: int = 0
    withdrawn: int = 0
    postponed: int = 0

    @property
    def moved(self) -> int:
        """How many rows are not where they were: 0 means that another round would find nothing either."""
        return self.done + self.again + self.unknown + self.dead + self.withdrawn + self.postponed

    def add(self, other: PushCounts) -> None:
        """Add another's counts to these."""
        for name in (one.name for one in fields(self)):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def note(self, state: str) -> None:
        """Count a row by its new state."""
        name = {"done": "done", "ready": "again", "unknown": "unknown", "dead": "dead"}.get(state, "withdrawn")
        setattr(self, name, getattr(self, name) + 1)


def push_once(ctx: Context, *, limit: int = 200, concurrency: int | None = None) -> PushCounts:
    """Send what is due, at most one row per entity; several processes may do so at once.

    A system that is off or paused, or that asked to be left alone for a while, is passed over, and so
    is a route that is off: its rows stay ready, without attempts. What only the leader may send waits for it.
    `concurrency`: calls to MPW under way at once, else as the policy has it.
    """
    sweep_once(ctx)
    counts = PushCounts()
    widths = {MPW: ctx.policy.push_concurrency if concurrency is None else concurrency, MPSERVICES: MPSERVICES_WIDTH}
    for system, width in widths.items():
        if not ctx.stopping():
            counts.add(_push_system(ctx, system, limit=limit, width=max(width, 1)))
    if counts.moved:
        log.info("push.finished", **{one.name: getattr(counts, one.name) for one in fields(counts)})
    return counts


def resting_until(ctx: Context, system: str) -> datetime | None:
    """Return until when a system is to be left alone: it said 429, or could not be reached."""
    with ctx.read() as conn:
        value = fact(conn, _rest_fact(system))
    until = datetime.fromisoformat(value) if value else None
    return until if until is not None and until > ctx.clock.now() else None


def _push_system(ctx: Context, system: str, *, limit: int, width: int) -> PushCounts:
    if ctx.client_for(system) is None or resting_until(ctx, system) is not None:
        return PushCounts()
    leads = ctx.leads()
    known = {
        name: operation
        for name, operation in operations().items()
        if operation.system == system and (leads or not operation.leader_only)
    }
    with ctx.read() as conn:
        found = candidates(
            conn,
            list(known),
            now=ctx.clock.now(),
            limit=limit,
            off=ctx.policy.routes_off(),
            after=ctx.turns.get(system, ""),
        )
    ctx.turns[system] = found[-1].push.entity_key if len(found) == limit else ""
    calls = _calls(known, found)
    counts = PushCounts()
    for some, lanes in ((_in_line(calls), width), (_one_by_one(calls), 1)):
        if some and not ctx.stopping() and resting_until(ctx, system) is None:
            clerk = _Clerk(ctx, some, lanes)
            run_line(clerk.work, clerk.write, width=lanes, ahead=clerk.ahead)
            counts.add(clerk.counts)
    return counts


def _in_line(calls: Sequence[_Call]) -> list[_Call]:
    return [call for call in calls if not call.operation.one_by_one]


def _one_by_one(calls: Sequence[_Call]) -> list[_Call]:
    """Return calls that go right after their reads.

    An approval cannot be undone, and a transfer that a killed daemon had claimed is asked about, sent or not.
    """
    return [call for call in calls if call.operation.one_by_one]


@dataclass(slots=True)
class _Call:
    """One call on its way: `rows` are those that it (still) is for; no `outcomes`: it was not made."""

    operation: Operation
    rows: list[Push]
    stage: str = "prepare"  # send, settle
    prepared: Mapping[int, Preparation] | None = None
    failure: RemoteError | None = None
    outcomes: Mapping[int, Outcome] = field(default_factory=dict)
    effective: list[Push] = field(default_factory=list)


def _calls(known: Mapping[str, Operation], found: Sequence[Candidate]) -> list[_Call]:
    """Return which rows go in one call: up to the operation's batch, each alone that was refused with others."""
    calls: list[_Call] = []
    open_batches: dict[str, _Call] = {}
    for candidate in found:
        operation = known[candidate.push.operation]
        batch = open_batches.get(operation.name)
        if candidate.alone or operation.batch == 1 or batch is None or len(batch.rows) >= operation.batch:
            batch = _Call(operation, [candidate.push])
            calls.append(batch)
            if not candidate.alone:
                open_batches[operation.name] = batch
        else:
            batch.rows.append(candidate.push)
    return calls


def _stops(call: _Call) -> bool:
    """No other call to the system should follow: also after a token that was refused, lest every row logs in anew."""
    return isinstance(call.failure, AuthError) or any(isinstance(one, NotSent) for one in call.outcomes.values())


class _Clerk:
    """Takes a round's calls all the way: what needs the vendor in `work`, what needs the database in `write`.

    One transaction records all answers that came in and claims the rows of the calls that follow. A call
    that was claimed and turns out not to be made (a system that is to be left alone, an end of the program, a wait
    that was too long) gives its claim back.
    """

    def __init__(self, ctx: Context, calls: Sequence[_Call], width: int) -> None:
        self.ahead = AHEAD * width if width > 1 else 0  # claimed beyond those being sent
        self.counts = PushCounts()
        self._ctx = ctx
        self._waiting = deque(calls)
        self._stop = threading.Event()

    # at the vendor

    def work(self, call: _Call) -> _Call:
        """Do the call's next step; no transaction is open."""
        match call.stage:
            case "prepare":
                self._prepare(call)
            case "send":
                self._send(call)
            case _:
                call.operation.settled(self._ctx, call.effective)
        return call

    def _prepare(self, call: _Call) -> None:
        if not self._stopped():
            try:
                call.prepared = call.operation.prepare(self._ctx, call.rows)
            except RemoteError as error:
                call.failure = error

    def _send(self, call: _Call) -> None:
        """Send it, unless it should not be any more, or may not end within its lease."""
        latest = _lease_end(call.rows) - call_time_max(self._ctx.policy.request_timeout)
        if not self._stopped() and self._ctx.clock.now() <= latest:
            call.failure, call.outcomes = _send(self._ctx, call.operation, call.rows)
            if _stops(call):
                self._stop.set()

    def _stopped(self) -> bool:
        return self._stop.is_set() or self._ctx.stopping()

    # in the database

    def write(self, ended: Sequence[_Call], room: int) -> list[_Call]:
        """Write down what calls came to, and return those that go on or begin: at most `room` of them begin.

        Where that fails, what is claimed and not yet sent is not sent: its answer could not be written down either.
        """
        try:
            return self._write(ended, room)
        except BaseException:
            self._stop.set()
            raise

    def _write(self, ended: Sequence[_Call], room: int) -> list[_Call]:
        sent = [call for call in ended if call.stage == "send"]
        prepared = [call for call in ended if call.stage == "prepare"]
        following = [call for call in prepared if self._goes(call)][:room]
        begun: list[_Call] = []
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

    def _goes(self, call: _Call) -> bool:
        if isinstance(call.failure, RemoteError):
            _prepare_failed(self._ctx, call.operation, call.rows, call.failure, self._stop, self.counts)
            return False
        if call.prepared is None:
            return False
        call.rows = _settle_unsent(self._ctx, call.operation, call.rows, call.prepared, self.counts)
        return bool(call.rows)

    def _settles(self, call: _Call) -> bool:
        call.effective = [row for row in call.rows if isinstance(call.outcomes.get(row.id), Delivered | Unclear)]
        call.stage = "settle"
        return bool(call.effective) and settles(call.operation) and not self._ctx.stopping()

    def _record_and_claim(self, sent: Sequence[_Call], following: Sequence[_Call]) -> list[_Call]:
        """Write answers whoever leads by now: they are what nobody else can know. Claim in the same transaction."""
        ordinary = [call for call in following if not call.operation.leader_only]
        if sent or ordinary:
            with self._ctx.store.write() as conn:
                self._record(conn, sent)
                self._claim(conn, ordinary)
        for call in following:
            if call.operation.leader_only:
                with self._ctx.write() as conn:
                    self._claim(conn, [call])
        return [call for call in following if call.rows]

    def _record(self, conn: Connection, sent: Sequence[_Call]) -> None:
        answered: dict[str, list[tuple[Push, Outcome]]] = {}
        for call in sent:
            if call.outcomes:
                answered.setdefault(call.operation.name, []).extend((row, call.outcomes[row.id]) for row in call.rows)
            elif self._ctx.clock.now() < _lease_end(call.rows):
                self._give_back(conn, call)
            # else: the sweep makes these rows unknown, as every row whose lease ran out
        for name, rows in answered.items():
            _record(self._ctx, conn, operations()[name], rows, self.counts)

    def _give_back(self, conn: Connection, call: _Call) -> None:
        """Undo a claim, and let what was written with it follow: an order is not shown as sent, no echo is expected."""
        again = Transition("ready", "given_back", None)
        for row in call.rows:
            if unclaim(conn, row):
                call.operation.after(conn, row, again, policy=self._ctx.policy, now=self._ctx.clock.now())

    def _claim(self, conn: Connection, calls: Sequence[_Call]) -> None:
        """Claim calls of one row each together, and those of several rows each for itself: they share a batch id."""
        groups = [[call for call in calls if call.operation.batch == 1]]
        groups += [[call] for call in calls if call.operation.batch > 1]
        for group in groups:
            claimed = _claim(self._ctx, conn, group, ahead=self.ahead) if group else {}
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
    now = ctx.clock.now()
    asked = error.retry_after if isinstance(error, RetryableError) else None
    with ctx.store.write() as conn:
        for row in rows:
            wait = min(max(now - row.created_at, ctx.policy.retry_base), PREPARE_AGAIN_MAX)
            until = now + max(wait, asked or timedelta())
            counts.postponed += postpone(conn, row, until=_after(now, until), reason=error.message)
            if not isinstance(error, RetryableError) and now - row.created_at >= TELL_AFTER:
                detail = f"it waits, since what must be read before it is sent is refused: {error.message}"
                hint = error.hint or (
                    "see that the account may read what it names: it goes by itself once that can be read; "
                    f"if it is not wanted any more, `mpsync outbox discard {row.id}`"
                )
                open_about(conn, row, "push_undecidable", detail, now=now, hint=hint)
        if isinstance(error, RetryableError):
            stop.set()
            pause = backoff(1, base=ctx.policy.retry_base, random=ctx.random.random(), retry_after=asked)
            _rest(conn, operation.system, now + pause, now=now)


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
    now = ctx.clock.now()
    with ctx.store.write() as conn:
        for row in staying:
            decision = prepared[row.id]
            if isinstance(decision, NotNow):
                until = _after(now, decision.until)
                counts.postponed += postpone(conn, row, until=until, reason=decision.reason)
                continue
            to = _unsent(row, decision)
            if settle(conn, operation, row, to, policy=ctx.policy, now=now, ends_attempt=False):
                counts.note(to.state)
    return going


def _unsent(row: Push, decision: Preparation) -> Transition:
    match decision:
        case AlreadyDone():
            return Transition("done", "already_done", decision, evidence=decision.evidence)
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


def _claim(ctx: Context, conn: Connection, calls: Sequence[_Call], *, ahead: int) -> dict[int, Push]:
    """Claim the rows of calls, and return those that were free, as they are now, by their ids.

    A claim that may wait for a worker is longer by the one call that goes before it.
    """
    now = ctx.clock.now()
    batch_id = str(UUID(int=ctx.random.getrandbits(128))) if calls[0].operation.batch > 1 else None
    claimed = claim(
        conn,
        [row for call in calls for row in call.rows],
        {row.id: _claim_of(call, row) for call in calls for row in call.rows},
        owner=ctx.owner,
        now=now,
        lease_until=lease_until(now, request_timeout=ctx.policy.request_timeout, calls_before=1 if ahead else 0),
        batch_id=batch_id,
        off=ctx.policy.routes_off(),
    )
    known = operations()
    for row in claimed:
        known[row.operation].claimed(conn, row, policy=ctx.policy, now=now)
    return {row.id: row for row in claimed}


def _claim_of(call: _Call, row: Push) -> Claim:
    decision = (call.prepared or {}).get(row.id, Go())
    assert isinstance(decision, Go)
    return Claim(decision.before, decision.sent_key)


def _lease_end(rows: Sequence[Push]) -> datetime:
    return min(row.lease_until for row in rows if row.lease_until is not None)


def _send(ctx: Context, operation: Operation, rows: Sequence[Push]) -> tuple[RemoteError | None, dict[int, Outcome]]:
    try:
        outcomes = operation.send(ctx, rows)
    except RemoteError as error:
        shared = outcome_of(error)
        if isinstance(shared, Refused) and len(rows) > 1:
            shared = BatchRefused(shared.reason, status=shared.status, answered_at=shared.answered_at)
        return error, {row.id: shared for row in rows}
    nothing = Unclear("the answer says nothing of it")
    return None, {row.id: outcomes.get(row.id, nothing) for row in rows}


def _record(
    ctx: Context,
    conn: Connection,
    operation: Operation,
    answered: Sequence[tuple[Push, Outcome]],
    counts: PushCounts,
) -> None:
    """Record answers to calls of one operation.

    A system that could not be reached, that asked to wait, or that refuses even a new token is left alone until then.
    """
    now = ctx.clock.now()
    settlements = [Settlement(row, _decided(ctx, conn, row, outcome, now)) for row, outcome in answered]
    settled = settle_all(conn, operation, settlements, policy=ctx.policy, now=now, ends_attempt=True)
    for one in settled:
        counts.note(one.to.state)
    rests = [one.to.due_at for one in settled if _rests(one.to, now) and one.to.due_at is not None]
    if rests:
        _rest(conn, operation.system, max(rests), now=now)
    for row, to in ((one.row, one.to) for one in settlements if one not in settled):
        # our lease ran out while we waited or stood still: somebody else settles it
        log.warning("push.dropped", outbox_id=row.id, api_key=row.api_key, fence=row.fence, outcome=to.outcome)


def _decided(ctx: Context, conn: Connection, row: Push, outcome: Outcome, now: datetime) -> Transition:
    """Ask the rules. What the row has been through is only looked up for outcomes that depend on it."""
    plain = isinstance(outcome, Delivered | Refused | Conflict | More)
    known = (
        Standing(row.ambiguous, 1, None, row.last_sent_at, row.created_at) if plain else standing(conn, row, outcome)
    )
    return after_answer(known, outcome, now=now, retrying=Retrying(ctx.policy.retry_base, ctx.random.random()))


def _rests(to: Transition, now: datetime) -> bool:
    outcome = to.cause
    return isinstance(outcome, NotSent) and to.due_at is not None and (not outcome.at_once or to.due_at > now)


def _rest(conn: Connection, system: str, until: datetime, *, now: datetime) -> None:
    """Leave a system alone until then, or for longer where it asked for longer.

    No answer shortens that: those that come in meanwhile are to calls that were on their way already.
    """
    known = fact(conn, _rest_fact(system))
    if known is None or datetime.fromisoformat(known) < until:
        set_fact(conn, _rest_fact(system), until.isoformat(), now=now)


def _rest_fact(system: str) -> str:
    return f"rest_until.{system}"
