"""One whole cycle: poll what is due, take in the inbox, then derive, push and verify until nothing is due."""

from __future__ import annotations

from dataclasses import dataclass, field

from sync.database.runs import Counts
from sync.inbox.take_in import inbox_once
from sync.jobs.compare_stock import stock_once
from sync.journal.answers import answers_once
from sync.journal.deliver import deliver_if_due_once
from sync.journal.derive import journal_once
from sync.ledger.parked import due_parked
from sync.poll.schedule import poll_due_once
from sync.push.proofs import look_for_deleted
from sync.push.round import push_once
from sync.push.sweep import sweep_once
from sync.push.verify import verify_once
from sync.reconcile.derive import reconcile_once
from sync.work.clocks import heed_learned, note_clocks
from sync.work.context import Context

ROUNDS_MAX = 100
"""End of a cycle that keeps finding work: what is left is taken up by the next one."""

READ_BACK_MAX = 5
"""How often one cycle reads back what it pushed: each reading may show work that a person made meanwhile."""


@dataclass(slots=True)
class CycleReport:
    """What a cycle did."""

    polled: Counts = field(default_factory=Counts)
    inbox: Counts = field(default_factory=Counts)
    derived: int = 0
    pushed: int = 0
    verified: int = 0
    booked: int = 0

    @property
    def settled(self) -> int:
        """How many times this cycle called a vendor to write or to verify."""
        return self.pushed + self.verified


def cycle_once(ctx: Context) -> CycleReport:
    """Do what is due now, and what that makes due, and nothing twice.

    What was pushed is read back in the same cycle, so that an event's two sides meet in the
    ledger at once and a reader of the views does not see it half done.
    """
    report = CycleReport()
    sweep_once(ctx)  # before anything that may fail: a poll that raises ends the cycle
    report.polled.add(poll_due_once(ctx))
    for _ in range(READ_BACK_MAX):
        if not work_until_idle(ctx, report) or ctx.stopping():
            break
        report.polled.add(poll_due_once(ctx))
    deliver_if_due_once(ctx)
    return report


def work_until_idle(ctx: Context, report: CycleReport) -> int:
    """Take in the inbox, reconcile, push and verify until nothing is due; return how much was pushed or verified."""
    before = report.settled
    for _ in range(ROUNDS_MAX):
        if ctx.stopping() or not (work_once(ctx, report) or _decided_late(ctx)):
            break
    return report.settled - before


def _decided_late(ctx: Context) -> bool:
    """Tell whether reconcile has something to look at that came up after it had looked, such as a settled echo."""
    with ctx.read() as conn:
        return bool(due_parked(conn, now=ctx.clock.now(), limit=1))


def work_once(ctx: Context, report: CycleReport) -> bool:
    """One round of everything but polling; True when it found anything to do."""
    note_clocks(ctx)
    with ctx.agenda.round():
        heed_learned(ctx)
        sweep_once(ctx)
        undone = look_for_deleted(ctx)
        inbox = inbox_once(ctx)
        reconciled = reconcile_once(ctx)
        stock = stock_once(ctx)
        pushed = push_once(ctx)
        verified = verify_once(ctx)
        booked = journal_once(ctx)
        answers_once(ctx)
    report.inbox.add(inbox)
    report.derived += reconciled.added + stock.added
    report.pushed += pushed.sent
    report.verified += verified.checked
    report.booked += booked.added
    moved = pushed.moved - pushed.postponed
    return bool(inbox.seen or reconciled.added or stock.added or moved or verified.settled or undone)
