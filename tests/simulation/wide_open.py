"""A round in which every pass runs, whatever the agenda says: it finds nothing after one that found nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace

from sync.database.facts import RECONCILED_SEQ
from sync.jobs.compare_stock import STOCK_SEQ
from sync.jobs.cycle import CycleReport, work_once
from sync.jobs.due import ask
from sync.work.agenda import Agenda, Due
from sync.work.context import Context

GATES = [one.name for one in fields(Due) if one.type in (bool, "bool")]


class WideOpen(Agenda):
    """Says of everything that it is due."""

    @contextmanager
    def round(self) -> Iterator[None]:
        """Keep nothing."""
        yield

    def known(self, ctx: Context) -> Due | None:
        """Know nothing."""
        return None

    def due(self, ctx: Context) -> Due:
        """Open every gate."""
        return replace(super().due(ctx), last_seq=2**62, **dict.fromkeys(GATES, True))


def finds_more(ctx: Context) -> bool:
    """Where nothing is due, run a round with every gate open; tell whether it found anything to do.

    Something may be due by now: people do things while the last round's calls are under way.
    """
    due = ctx.due()
    if any(getattr(due, name) for name in GATES) or due.behind(RECONCILED_SEQ) or due.behind(STOCK_SEQ):
        return False
    agenda, ctx.agenda = ctx.agenda, WideOpen(ask)
    try:
        return work_once(ctx, CycleReport())
    finally:
        ctx.agenda = agenda
