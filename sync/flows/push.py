"""Sending what is due: prepare, claim, call, record; no transaction is open across a call."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from sync.domain.backoff import backoff
from sync.domain.outbox import (
    BatchRefused,
    Delivered,
    NotSent,
    Outcome,
    Refused,
    Retrying,
    Transition,
    Unclear,
    after_answer,
    outcome_of,
)
from sync.errors import AuthError, RemoteError, RetryableError
from sync.flows.context import MPSERVICES, MPW, Context
from sync.flows.operations.base import AlreadyDone, GiveUp, Go, NotNow, Operation, Preparation, Withdraw
from sync.flows.operations.registry import operations
from sync.flows.settle import open_about, settle
from sync.flows.sweep import TELL_AFTER, sweep_once
from sync.store.facts import fact, forget_fact, set_fact
from sync.store.outbox import Push
from sync.store.outbox_work import Candidate, Claim, candidates, claim, lease_until, postpone, standing

log = structlog.get_logger()

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
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def note(self, state: str) -> None:
        """Count a row by its new state."""
        name = {"done": "done", "ready": "again", "unknown": "unknown", "dead": "dead"}.get(state, "withdrawn")
        setattr(self, name, getattr(self, name) + 1)


def push_once(ctx: Context, *, limit: int = 200, concurrency: int = 1) -> PushCounts:
    """Send what is due, at most one row per entity; several processes may do so at once.

    A system that is off or paused, or that asked to be left alone for a while, is passed over, and so
    is a route that is off: its rows stay ready, without attempts. What only the leader may send waits for it.
    """
    sweep_once(ctx)
    counts = PushCounts()
    for system in (MPW, MPSERVICES):
        if not ctx.stopping():
            counts.add(_push_system(ctx, system, limit=limit, concurrency=concurrency))
    if counts.moved:
        log.info("push.finished", **{field.name: getattr(counts, field.name) for field in fields(counts)})
    return counts


def resting_until(ctx: Context, system: str) -> datetime | None:
    """Return until when a system is to be left alone: it said 429, or could not be reached."""
    with ctx.read() as conn:
        value = fact(conn, _rest_fact(system))
    until = datetime.fromisoformat(value) if value else None
    return until if until is not None and until > ctx.clock.now() else None


def _push_system(ctx: Context, system: str, *, limit: int, concurrency: int) -> PushCounts:
    counts = PushCounts()
    if ctx.client_for(system) is None or resting_until(ctx, system) is not None:
        return counts
    leads = ctx.leads()
    known = {
        name: operation
        for name, operation in operations().items()
        if operation.system == system and (leads or not operation.leader_only)
    }
    with ctx.read() as conn:
        found = candidates(conn, list(known), now=ctx.clock.now(), limit=limit, off=ctx.policy.routes_off())
    calls = _calls(known, found)
    stop = threading.Event()
    if concurrency <= 1 or len(calls) <= 1:
        for operation, rows in calls:
            counts.add(_push_rows(ctx, operation, rows, stop))
        return counts
    with ThreadPoolExecutor(concurrency, thread_name_prefix="mpsync-push") as pool:
        for done in pool.map(lambda call: _push_rows(ctx, call[0], call[1], stop), calls):
            counts.add(done)
    return counts


def _calls(known: Mapping[str, Operation], found: Sequence[Candidate]) -> list[tuple[Operation, list[Push]]]:
    """Return which rows go in one call: up to the operation's batch, each alone that was refused with others."""
    calls: list[tuple[Operation, list[Push]]] = []
    open_batches: dict[str, list[Push]] = {}
    for candidate in found:
        operation = known[candidate.push.operation]
        batch = open_batches.get(operation.name)
        if candidate.alone or operation.batch == 1 or batch is None or len(batch) >= operation.batch:
            batch = [candidate.push]
            calls.append((operation, batch))
            if not candidate.alone:
                open_batches[operation.name] = batch
        else:
            batch.append(candidate.push)
    return calls


def _push_rows(ctx: Context, operation: Operation, rows: Sequence[Push], stop: threading.Event) -> PushCounts:
    """Take the rows of one call all the way; set `stop` where no other call to the system should follow."""
    counts = PushCounts()
    if stop.is_set() or ctx.stopping():
        return counts
    try:
        prepared = operation.prepare(ctx, rows)
    except RemoteError as error:
        _prepare_failed(ctx, operation, rows, error, stop, counts)
        return counts
    going = _settle_unsent(ctx, operation, rows, prepared, counts)
    claimed = _claim(ctx, operation, going, prepared)
    if not claimed or ctx.clock.now() >= _lease_end(claimed):
        return counts  # a machine that slept in between: the sweep makes these rows unknown
    counts.sent += len(claimed)
    failure, outcomes = _send(ctx, operation, claimed)
    _record(ctx, operation, claimed, outcomes, counts)
    effective = [row for row in claimed if isinstance(outcomes[row.id], Delivered | Unclear)]
    if effective and not ctx.stopping():
        operation.settled(ctx, effective)
    if isinstance(failure, AuthError):
        ctx.pause(operation.system, failure)
        stop.set()
    elif any(isinstance(outcome, NotSent) for outcome in outcomes.values()):
        stop.set()  # of a token that was refused too: no row after another logs in anew within one round
    return counts


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
            set_fact(conn, _rest_fact(operation.system), (now + pause).isoformat(), now=now)


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


def _claim(ctx: Context, operation: Operation, rows: Sequence[Push], prepared: Mapping[int, Preparation]) -> list[Push]:
    if not rows:
        return []
    now = ctx.clock.now()
    claims = {}
    for row in rows:
        decision = prepared.get(row.id, Go())
        assert isinstance(decision, Go)
        claims[row.id] = Claim(decision.before, decision.sent_key)
    with ctx.write() if operation.leader_only else ctx.store.write() as conn:
        claimed = claim(
            conn,
            rows,
            claims,
            owner=ctx.owner,
            now=now,
            lease_until=lease_until(now, request_timeout=ctx.policy.request_timeout),
            batch_id=str(UUID(int=ctx.random.getrandbits(128))) if operation.batch > 1 else None,
            off=ctx.policy.routes_off(),
        )
        for row in claimed:
            operation.claimed(conn, row, policy=ctx.policy, now=now)
    return claimed


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
    ctx: Context, operation: Operation, rows: Sequence[Push], outcomes: Mapping[int, Outcome], counts: PushCounts
) -> None:
    """Record the answer, whoever leads by now: it is the one thing nobody else can know.

    A system that could not be reached, that asked to wait, or that refuses even a new token is left alone until then.
    """
    now = ctx.clock.now()
    with ctx.store.write() as conn:
        for row in rows:
            outcome = outcomes[row.id]
            retrying = Retrying(ctx.policy.retry_base, ctx.random.random())
            to = after_answer(standing(conn, row, outcome), outcome, now=now, retrying=retrying)
            if not settle(conn, operation, row, to, policy=ctx.policy, now=now, ends_attempt=True):
                log.warning("push.dropped", outbox_id=row.id, api_key=row.api_key, fence=row.fence, outcome=to.outcome)
                continue  # our lease ran out while we waited or stood still: somebody else settles it
            counts.note(to.state)
            if isinstance(outcome, NotSent) and to.due_at is not None and (not outcome.at_once or to.due_at > now):
                set_fact(conn, _rest_fact(operation.system), to.due_at.isoformat(), now=now)
            elif to.state == "done":
                forget_fact(conn, _rest_fact(operation.system))


def _rest_fact(system: str) -> str:
    return f"rest_until.{system}"
