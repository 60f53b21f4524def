"""Looking for evidence of what became of unknown rows. The leader's work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from sync.errors import AuthError, RemoteError, RetryableError
from sync.outbox.claims import standing
from sync.outbox.machine import Later, Retrying, Verdict, after_verification, check_again_at
from sync.outbox.rows import Push
from sync.outbox.watch import unknown_due
from sync.push.operations.base import Operation
from sync.push.operations.registry import operations
from sync.push.proofs import SHOWN_SEQ, look_for_done, settle_shown
from sync.push.settle import settle
from sync.values.systems import MPSERVICES, MPW
from sync.work.context import Context
from sync.work.cooldowns import resting_until

log = structlog.get_logger()

FAILURES_MAX = 3
"""So many checks in a row that could not reach the system: the others wait for the next round."""


@dataclass(slots=True)
class VerifyCounts:
    """How many rows were looked at, and how many are not unknown any more."""

    checked: int = 0
    settled: int = 0


def verify_once(ctx: Context, *, limit: int = 200) -> VerifyCounts:
    """Look at the unknown rows that are due; one whose check fails stays unknown, and is due later.

    Our own tables are asked first: what a poll saw needs no vendor, and holds also where it is gone by now.
    """
    counts = VerifyCounts()
    if not ctx.leads() or not ctx.is_timely():  # absence counts only once no call can still land
        return counts
    counts.settled += settle_shown(ctx) if ctx.due().shown or ctx.due().behind(SHOWN_SEQ) else 0
    counts.settled += look_for_done(ctx) if ctx.due().unseen else 0
    for system in (MPW, MPSERVICES) if ctx.due().unknown else ():
        if not ctx.stopping() and ctx.client_for(system) is not None and resting_until(ctx, system) is None:
            _verify_system(ctx, system, limit, counts)
    if counts.settled:
        log.info("verify.finished", checked=counts.checked, settled=counts.settled)
    return counts


def _verify_system(ctx: Context, system: str, limit: int, counts: VerifyCounts) -> None:
    known = {name: operation for name, operation in operations().items() if operation.system == system}
    with ctx.read() as conn:
        due = unknown_due(conn, known, now=ctx.clock.now(), limit=limit)
    failures = 0
    for operation, rows in _checks(known, due):
        if ctx.stopping() or failures >= FAILURES_MAX:
            return
        try:
            verdicts: Mapping[int, Verdict] = operation.verify_rows(ctx, rows)
            failures = 0
        except AuthError as error:
            ctx.pause(system, error)
            return
        except RemoteError as error:
            failures += isinstance(error, RetryableError)
            verdicts = _failed(ctx, rows, error)
        _record(ctx, operation, rows, verdicts, counts)


def _checks(known: Mapping[str, Operation], due: Sequence[Push]) -> list[tuple[Operation, list[Push]]]:
    checks: list[tuple[Operation, list[Push]]] = []
    for name, operation in known.items():
        rows = [row for row in due if row.operation == name]
        checks += [(operation, rows[at : at + operation.batch]) for at in range(0, len(rows), operation.batch)]
    return checks


def _failed(ctx: Context, rows: Sequence[Push], error: RemoteError) -> dict[int, Verdict]:
    now = ctx.clock.now()
    verdicts: dict[int, Verdict] = {}
    with ctx.read() as conn:
        for row in rows:
            retrying = Retrying(ctx.policy.retry_base, ctx.random.random())
            until = check_again_at(standing(conn, row), now=now, retrying=retrying)
            if isinstance(error, RetryableError) and error.retry_after is not None:
                until = max(until, now + error.retry_after)
            verdicts[row.id] = Later(until, f"the check failed: {error.message}")
    return verdicts


def _record(
    ctx: Context, operation: Operation, rows: Sequence[Push], verdicts: Mapping[int, Verdict], counts: VerifyCounts
) -> None:
    with ctx.leader_writes() as books:
        for row in rows:
            verdict = verdicts.get(row.id)
            if verdict is None:
                continue
            counts.checked += 1
            retrying = Retrying(books.policy.retry_base, ctx.random.random())
            to = after_verification(standing(books.conn, row), verdict, now=books.now, retrying=retrying)
            moved = settle(books, operation, row, to, ends_attempt=False)
            counts.settled += moved and to.state != "unknown"
