"""Giving the journal away: cut a batch, commit, write its files whole, and write down that they are there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from sync.database.engine import lock_appends
from sync.errors import ConfigError, InvariantError
from sync.journal import batch_rows
from sync.journal.answers import lock_of
from sync.journal.batch_rows import Batch
from sync.journal.derive import terms_in_force, wanted_terms
from sync.journal.files import Parts, write_whole
from sync.journal.formats.model import Document, Format, Options, amount_text
from sync.journal.formats.registry import FORMATS
from sync.ledger.books import Books
from sync.work.context import Context

MODES = ("summary", "detail")


@dataclass(frozen=True, slots=True)
class Given:
    """What was written. `batch` None: nothing was there to give; `looked`: no batch was made."""

    batch: Batch | None
    files: tuple[str, ...] = ()
    first: str = ""
    last: str = ""
    first_day: date | None = None
    last_day: date | None = None
    control: str = ""
    looked: bool = False


def export_journal(
    ctx: Context,
    path: Path | Callable[[int], Path],
    *,
    format_: str,
    mode: str = "summary",
    last: date | None = None,
    options: Options | None = None,
    by: str,
    look: bool = False,
) -> Given:
    """Give all that may be given up to a posting date and was not given before, as files.

    `path` may be a function that names the file by the batch's number. With `look` nothing is written down: the files
    show what the next batch would be. Raises ConfigError where an earlier batch was cut and its files are not there, or
    where the format cannot hold a document.
    """
    made = FORMATS[format_]
    wanted = _options(ctx, options or Options())
    for name in made.needs:
        if not getattr(wanted, name):
            raise ConfigError(f"{format_} needs --{name.replace('_', '-')}", hint="mpsync export journal --help")
    with _cutting(ctx, keep=not look) as books:
        conn = books.conn
        if left := batch_rows.unwritten(conn):
            raise ConfigError(
                f"batch {left[0]} was cut and its files were never written: nothing new is given before that",
                hint=f"write them: mpsync export journal FILE --again {left[0]}",
            )
        batch = batch_rows.cut(
            books,
            format_=format_,
            mode=mode,
            options=wanted,
            last=last or date(9999, 12, 31),
            lock=lock_of(conn, books.lock_date),
            by=by,
        )
        if batch is None:
            return Given(None, looked=look)
        _refuse_too_long(conn, batch, made)
        if look:
            return replace(_write(conn, batch, made, _named(path, batch)), looked=True)
    with ctx.store.read() as conn:
        given = _write(conn, batch, made, _named(path, batch))
    _mark(ctx, batch, given)
    return given


def export_again(ctx: Context, path: Path, number: int) -> Given:
    """Write a batch's files once more, byte for byte; a batch whose files are not there yet is thereby given."""
    with ctx.store.read() as conn:
        batch = batch_rows.batch_of(conn, number)
        if batch is None:
            raise ConfigError(f"there is no batch {number}", hint="select * from v_journal_batches")
        given = _write(conn, batch, FORMATS[batch.format], path, digest=batch.digest)
    if batch.written_at is None:
        _mark(ctx, batch, given)
    return given


def _named(path: Path | Callable[[int], Path], batch: Batch) -> Path:
    return path if isinstance(path, Path) else path(batch.id)


def _options(ctx: Context, options: Options) -> Options:
    wanted = wanted_terms(ctx)
    if wanted is None:
        raise ConfigError("there is no journal", hint="set SYNC_JOURNAL_FROM, then see what `mpsync doctor` says")
    with ctx.store.read() as conn:
        terms = terms_in_force(conn, wanted)
    return replace(options, currency=terms.currency, decimals=terms.decimals)


@contextmanager
def _cutting(ctx: Context, *, keep: bool) -> Iterator[Books]:
    """Open a transaction in which nobody else appends; without `keep` all that was done in it is undone."""
    with ctx.store.engine.connect().execution_options(mpsync_write=True) as conn:
        transaction = conn.begin()
        try:
            lock_appends(conn)
            yield Books(conn, now=ctx.clock.now(), policy=ctx.policy)
        except BaseException:
            transaction.rollback()
            raise
        if keep:
            transaction.commit()
        else:
            transaction.rollback()


def _mark(ctx: Context, batch: Batch, given: Given) -> None:
    with ctx.anyone_writes() as books:
        batch_rows.mark_written(books, batch.id, digest=given.control, files=given.files)


def _refuse_too_long(conn: Connection, batch: Batch, made: Format) -> None:
    """Raise ConfigError where a number, an account or a document is longer than the format takes."""
    wrong = []
    for document in batch_rows.documents_of(conn, batch):
        if made.number_max and len(document.number) > made.number_max:
            wrong.append(f"{document.number} has more than {made.number_max} characters")
        if made.lines_max and len(document.lines) > made.lines_max:
            wrong.append(f"{document.number} has {len(document.lines)} lines, and a file takes {made.lines_max}")
        if made.account_max:
            wrong += [
                f"account {line.account} has more than {made.account_max} characters"
                for line in document.lines
                if len(line.account) > made.account_max
            ]
        if len(wrong) > 5:
            break
    if wrong:
        raise ConfigError(
            f"{made.name} cannot hold it: {'; '.join(dict.fromkeys(wrong))}; nothing was given",
            hint="use --mode detail for long documents, or shorter accounts",
        )


# --- files --------------------------------------------------------------------------------


def _write(conn: Connection, batch: Batch, made: Format, path: Path, *, digest: str | None = None) -> Given:
    """Write the files and their control file; raises InvariantError where they are not what they were."""
    first, last, first_day, last_day = batch_rows.bounds(conn, batch.id)
    with Parts(path) as parts:
        counted = _fill(parts, batch_rows.documents_of(conn, batch), made, batch.options)
        total = hashlib.sha256("".join(one["sha256"] for one in counted).encode()).hexdigest()
        if digest is not None and digest != total:
            raise InvariantError(f"batch {batch.id} no longer gives the bytes that it gave; nothing was written")
        _compare(batch, counted)
        names = parts.keep()
    control = {
        "batch": batch.id,
        "format": batch.format,
        "mode": batch.mode,
        "entries": batch.entries,
        "documents": batch.documents,
        "lines": batch.lines,
        "debit": amount_text(batch.debit, batch.options.decimals),
        "credit": amount_text(batch.debit, batch.options.decimals),
        "currency": batch.options.currency,
        "booked_from": first_day.isoformat(),
        "booked_to": last_day.isoformat(),
        "files": [{"name": name, **one} for name, one in zip(names, _told(counted, batch.options), strict=True)],
    }
    write_whole(path.with_name(f"{path.name}.control.json"), (json.dumps(control, indent=1) + "\n").encode())
    return Given(batch, tuple(names), first, last, first_day, last_day, total)


def _fill(parts: Parts, documents: Iterable[Document], made: Format, options: Options) -> list[dict[str, Any]]:
    """Write documents into as many files as the format's limits make; return what each holds."""
    counted: list[dict[str, Any]] = []
    for document in documents:
        size = len(document.lines)
        if sum(line.amount for line in document.lines):
            raise InvariantError(f"document {document.number} does not balance; nothing was written")
        last = counted[-1] if counted else None
        if (
            last is None
            or (made.lines_max and last["lines"] + size > made.lines_max)
            or (made.documents_max and last["documents"] == made.documents_max)
        ):
            if last is not None:
                last["sha256"] = parts.digest()
            counted.append({"documents": 0, "lines": 0, "debit": 0})
            parts.begin(made.head(options))
        parts.write(made.document(document, options))
        counted[-1]["documents"] += 1
        counted[-1]["lines"] += size
        counted[-1]["debit"] += sum(line.amount for line in document.lines if line.amount > 0)
    counted[-1]["sha256"] = parts.digest()
    return counted


def _compare(batch: Batch, counted: list[dict[str, Any]]) -> None:
    for name in ("documents", "lines", "debit"):
        if sum(one[name] for one in counted) != getattr(batch, name):
            raise InvariantError(f"batch {batch.id}: its files have other {name} than the batch; nothing was written")


def _told(counted: list[dict[str, Any]], options: Options) -> Iterator[dict[str, Any]]:
    for one in counted:
        yield one | {"debit": amount_text(one["debit"], options.decimals)}
