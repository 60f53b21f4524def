"""Files for the ERP each day, by themselves: into a folder, under names that never repeat, up to yesterday."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import structlog

from sync.database.facts import fact
from sync.errors import SyncError
from sync.journal import batch_rows
from sync.journal.batches import export_again, export_journal
from sync.journal.formats.model import Options
from sync.journal.formats.registry import FORMATS
from sync.values.books import JournalTerms
from sync.values.subjects import Subject
from sync.work.context import Context

log = structlog.get_logger("mpsync.journal")

DELIVERED_ON = "journal_delivered_on"
"""The organisation's day for which the files were last written."""

JOURNAL_DELIVERY = "journal_delivery"
_SUBJECT = Subject.source("journal")


def deliver_if_due_once(ctx: Context) -> int:
    """Write what is new up to yesterday where the time has come and it was not done today; return how many files.

    What was cut before and not written comes first. Where it cannot be written, an exception says why, and the next
    call tries again. Call it as leader.
    """
    terms = ctx.policy.journal
    now = ctx.clock.now().astimezone(ctx.policy.timezone)
    if terms.starts_on is None or terms.deliver_at is None or terms.folder is None or now.time() < terms.deliver_at:
        return 0
    today = now.date()
    with ctx.read() as conn:
        if fact(conn, DELIVERED_ON) == today.isoformat():
            return 0
    try:
        files = _deliver(ctx, terms, terms.folder)
    except (SyncError, OSError) as error:
        _say(ctx, error)
        return 0
    with ctx.leader_writes() as books:
        books.note_fact(DELIVERED_ON, today.isoformat())
        books.resolve_exceptions(JOURNAL_DELIVERY, _SUBJECT, resolution="the files were written")
    if files:
        log.info("journal.delivered", files=files)
    return len(files)


def _deliver(ctx: Context, terms: JournalTerms, folder: Path) -> list[str]:
    """Finish what was cut, then give what is new; return the files' names."""
    files: list[str] = []
    with ctx.read() as conn:
        left = [batch for number in batch_rows.unwritten(conn) if (batch := batch_rows.batch_of(conn, number))]
    for batch in left:
        files += export_again(ctx, _free(ctx, folder, batch.id, batch.format), batch.id).files
    yesterday = ctx.policy.day(ctx.clock.now()) - timedelta(days=1)
    given = export_journal(
        ctx,
        lambda number: _free(ctx, folder, number, terms.format),
        format_=terms.format,
        mode=terms.mode,
        last=yesterday,
        options=options_of(terms.options),
        by="mpsync",
    )
    return [*files, *given.files]


def options_of(given: Mapping[str, str]) -> Options:
    """Return what a format is told, of SYNC_JOURNAL_OPTIONS."""
    dates, tax_rate, company, journal, tracking = (given.get(name, "") for name in _TOLD)
    return Options(dates=dates, tax_rate=tax_rate, company=company, journal=journal, tracking=tracking)


_TOLD = ("dates", "tax_rate", "company", "journal", "tracking")


def _free(ctx: Context, folder: Path, batch: int, format_: str) -> Path:
    """Return a name that no file in the folder has, whatever an older backup of the database numbers again."""
    day = ctx.policy.day(ctx.clock.now()).isoformat()
    stem, suffix = f"journal-{batch:06}-{day}", FORMATS[format_].suffix
    n, path = 1, folder / f"{stem}{suffix}"
    while any((folder / name).exists() for name in (path.name, f"{path.stem}-1{suffix}", f"{path.name}.control.json")):
        n += 1
        path = folder / f"{stem}_{n}{suffix}"
    return path


def _say(ctx: Context, error: SyncError | OSError) -> None:
    what = error.message if isinstance(error, SyncError) else str(error)
    hint = (
        error.hint if isinstance(error, SyncError) else None
    ) or "give SYNC_JOURNAL_DIR to mpsync's user, or make room"
    with ctx.leader_writes() as books:
        books.open_exception(
            JOURNAL_DELIVERY,
            about=_SUBJECT,
            detail=f"the ERP was not given the journal: {what}",
            hint=f"{hint}; it is tried again every minute, and nothing is lost",
        )
