"""Our clock beside those of the vendors and of the database: what is told of them, learnt, and put right afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import Connection

from sync.ledger.books import Books
from sync.values.subjects import Subject
from sync.work.clock_rows import (
    bring_forward,
    first_run_is_right,
    known_skews,
    learn_skew,
    set_first_run_right,
    skews_among,
    skews_by_word,
)
from sync.work.clock_rules import DATABASE, WRONG, Verdict, noticed, told

if TYPE_CHECKING:
    from sync.work.context import Context

log = structlog.get_logger("mpsync.clock")

CLOCK_WRONG = "clock_wrong"


class Clocks:
    """What one process has learnt of clocks; the copies of a Context share it."""

    def __init__(self) -> None:
        self.known: Mapping[str, timedelta] | None = None
        self.words: frozenset[str] = frozenset()  # the vendors of which a person has said it
        self.moved: tuple[datetime, datetime] | None = None  # the instant of the first run, as it was and as it is
        self._noted: tuple[bool, bool, int, tuple[str, ...]] | None = None

    def load(self, conn: Connection) -> None:
        """Read the vendors' skews as they are known now."""
        self.known, self.words = known_skews(conn), skews_by_word(conn)

    def is_news(self, verdict: Verdict) -> bool:
        """Tell whether people were told something else, or this is the first that was learnt of any clock."""
        return bool(verdict.by) and self._noted != _summary(verdict)

    @property
    def was_wrong(self) -> bool:
        """Whether our clock was wrong when it was last compared, whoever has resolved the exception since."""
        return self._noted is not None and self._noted[0]

    def note(self, verdict: Verdict) -> None:
        """Remember that people were told."""
        self._noted = _summary(verdict)


def _summary(verdict: Verdict) -> tuple[bool, bool, int, tuple[str, ...]]:
    minutes = round(verdict.behind / timedelta(minutes=1)) if verdict.wrong else 0
    return verdict.wrong, verdict.halts, minutes, verdict.silent


def note_clocks(ctx: Context) -> Verdict:
    """Compare the clocks, learn the vendors' skews, and tell people of ours: costs nothing where nothing changed.

    Call it whenever a vendor has answered, and before work that rests on time.
    """
    verdict = ctx.clock_verdict()
    skews = noticed(verdict, ctx.skews())
    if skews or ctx.clocks.is_news(verdict):
        with ctx.anyone_writes() as books:
            _write(books, ctx, verdict, skews)
        ctx.clocks.note(verdict)
    ctx.follow_clocks()
    return verdict


def heed_learned(ctx: Context) -> None:
    """Go by the skews that are in the table now: a person may have set one while we ran."""
    if skews_among(ctx.due().learned) != ctx.skews():
        with ctx.read() as conn:
            ctx.clocks.load(conn)


def _write(books: Books, ctx: Context, verdict: Verdict, skews: Mapping[str, timedelta]) -> None:
    subject = Subject.source("clock", ctx.host)
    before = ctx.skews()
    for system, skew in skews.items():
        learn_skew(books, system, skew)
    ctx.clocks.load(books.conn)
    # A step of ours moves every vendor's skew: where another's stands, it is the vendor's clock that has moved.
    stepped = bool(skews) and set(skews) == set(verdict.skews)
    stepped = stepped and all(abs(skew - before.get(system, timedelta(0))) > WRONG for system, skew in skews.items())
    if verdict.by and verdict.certain and verdict.by != (DATABASE,):  # whose clock the first run's instant is of
        if verdict.wrong:
            ctx.clocks.moved = set_first_run_right(books, verdict.behind) or ctx.clocks.moved
        elif any(abs(ahead) <= WRONG for ahead in verdict.skews.values()):  # a lone vendor that differs shows nothing
            first_run_is_right(books)
    if verdict.wrong:
        if books.open_exception(CLOCK_WRONG, about=subject, detail=_detail(ctx, verdict), hint=_hint(ctx, verdict)):
            log.warning("clock.wrong", off=told(verdict.behind), certain=verdict.certain)
    elif verdict.asked and verdict.certain:
        resolution = "the clocks agree again"
        if books.resolve_exceptions(CLOCK_WRONG, about=subject, resolution=resolution) or ctx.clocks.was_wrong:
            stepped = True
            log.info("clock.right")
    if stepped and not verdict.wrong:
        bring_forward(books)


def _detail(ctx: Context, verdict: Verdict) -> str:
    off = told(verdict.behind)
    what = f"the clock of {ctx.host} is {off}, as {' and '.join(verdict.by)} show"
    if verdict.silent:
        silent = " and ".join(verdict.silent)
        what = (
            f"{' and '.join(verdict.by)} shows another time than {ctx.host}, whose clock would be {off}, and {silent} "
            "has not told its time yet, so that nobody can tell whose clock is wrong"
        )
    elif not verdict.certain:
        what = f"{' and '.join(verdict.by)} show other times than {ctx.host}, and than each other: by {off} at least"
    if not verdict.halts:
        return f"{what}; times that people see are wrong by as much"
    return (
        f"{what}; what is read is stored, and until it is right nothing is pushed or verified, no day is called "
        "complete, and nothing is voided, forgotten or recorded as a gap"
    )


def _hint(ctx: Context, verdict: Verdict) -> str:
    where = ctx.host if ctx.store.is_sqlite else f"{ctx.host} and of the database server"
    if verdict.silent:
        silent = " and ".join(verdict.silent)
        return (
            f"compare the clock of {where} with a watch: if it is wrong, set it by NTP (`timedatectl set-ntp true`); "
            f"if it is right, see to it that {silent} answers (`mpsync doctor` says why it does not): the exception "
            "resolves itself once it has told its time"
        )
    by_ntp = f"set the clock of {where} by NTP (`timedatectl set-ntp true`; a virtual machine: its host's too); "
    off = [
        f"`mpsync learned set clock_skew_seconds {round(ahead.total_seconds())} --system {system} --why TEXT`"
        for system, ahead in sorted(verdict.ahead.items())
    ]
    if not off:
        return f"{by_ntp}the exception resolves itself once the clocks agree"
    return (
        f"{by_ntp}the exception resolves itself once the clocks agree. If a watch shows that this clock is right, the "
        f"vendors' clocks are wrong: say by how much, {' and '.join(off)}"
    )
