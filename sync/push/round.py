"""Sending what is due: prepare, claim, call, record; no transaction is open across a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

import structlog

from sync.outbox.queue import Candidate, candidates
from sync.push.answers import PushCounts
from sync.push.calls import Call, CallsUnderWay
from sync.push.operations.base import Operation
from sync.push.operations.registry import operations
from sync.push.sweep import sweep_once
from sync.values.systems import MPSERVICES, MPW
from sync.work.context import Context
from sync.work.cooldowns import resting_until
from sync.work.workers import run_workers

log = structlog.get_logger()

MPSERVICES_WIDTH = 1
"""Calls to MPservices go one after another: every stock patch reads the feed just before it, and its echo after it."""


def push_once(ctx: Context, *, limit: int = 200, concurrency: int | None = None) -> PushCounts:
    """Send what is due, at most one row per entity; several processes may do so at once.

    A system that is off or paused, or that asked to be left alone for a while, is passed over, and so
    is a route that is off: its rows stay ready, without attempts. What only the leader may send waits for it.
    Nothing is sent while our clock is wrong.
    `concurrency`: calls to MPW under way at once, else as the policy has it.
    """
    sweep_once(ctx)
    counts = PushCounts()
    if not ctx.is_timely():  # what is due, and whether a lost call can still land, is asked of the clock
        return counts
    widths = {MPW: ctx.policy.push_concurrency if concurrency is None else concurrency, MPSERVICES: MPSERVICES_WIDTH}
    for system, width in widths.items():
        if ctx.due().ready and not ctx.stopping():
            counts.add(_push_system(ctx, system, limit=limit, width=max(width, 1)))
    if counts.moved:
        log.info("push.finished", **{one.name: getattr(counts, one.name) for one in fields(counts)})
    return counts


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
            under_way = CallsUnderWay(ctx, some, lanes)
            run_workers(under_way.work, under_way.write, width=lanes, ahead=under_way.ahead)
            counts.add(under_way.counts)
    return counts


def _in_line(calls: Sequence[Call]) -> list[Call]:
    return [call for call in calls if not call.operation.one_by_one]


def _one_by_one(calls: Sequence[Call]) -> list[Call]:
    """Return calls that go right after their reads.

    An approval cannot be undone, and a transfer that a killed daemon had claimed is asked about, sent or not.
    """
    return [call for call in calls if call.operation.one_by_one]


def _calls(known: Mapping[str, Operation], found: Sequence[Candidate]) -> list[Call]:
    """Return which rows go in one call: up to the operation's batch, each alone that was refused with others."""
    calls: list[Call] = []
    open_batches: dict[str, Call] = {}
    for candidate in found:
        operation = known[candidate.push.operation]
        batch = open_batches.get(operation.name)
        if candidate.alone or operation.batch == 1 or batch is None or len(batch.rows) >= operation.batch:
            batch = Call(operation, [candidate.push])
            calls.append(batch)
            if not candidate.alone:
                open_batches[operation.name] = batch
        else:
            batch.rows.append(candidate.push)
    return calls
