"""MPservices' two-day window: the one place where data can be lost for good."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Row

from sync.clients.mpservices.client import MpservicesClient
from sync.clients.mpservices.named_items import named_items
from sync.clients.mpservices.wire import Movement, read_movements
from sync.clients.rows import BadRow
from sync.database.engine import lock_appends
from sync.database.exceptions import settled_by_people
from sync.database.runs import Counts, newest_run
from sync.learned.rows import reach_of
from sync.ledger.books import Books
from sync.ledger.coverage import MOVEMENTS, feed, is_feed_outdated, note_feed_read, open_gap, rows_by_day, save_days
from sync.ledger.documents import documents_by_remote_id, update_documents
from sync.ledger.item_states import begin_to_manage
from sync.ledger.movement_lines import lines_of, recent_movements, young_movements
from sync.ledger.quarantine import quarantine_rows, release_remote_ids
from sync.poll.feed.lines import Ingested, as_known, ingest_movements
from sync.poll.feed.reach import LOOK_BACK, learn_reach
from sync.poll.feed.reach_rules import gap_after
from sync.poll.feed.short_window import SHORT_WINDOW, report_short_window, take_off
from sync.reconcile.corrections import MOVEMENT_DELETED, note_deleted, note_returned
from sync.reconcile.cost_meaning import note_cost_meaning
from sync.values.dates import days_between, has_ended
from sync.values.policy import Policy
from sync.values.subjects import Subject
from sync.values.systems import MPSERVICES
from sync.work.clocks import note_clocks
from sync.work.context import Context
from sync.work.observed import Outcome, observe

__all__ = ["FeedRead", "Ingested", "as_known", "ingest_movements", "poll_movements_once", "take_movements"]

LONG_AGO = datetime.min.replace(tzinfo=UTC)

SKEW = timedelta(minutes=5)
"""By how much the feed's end may lie off its setting before we say that it reaches less far."""

TRIES = 3
"""How often the feed is read again at once where another reading was taken in meanwhile, that may be newer or older."""


@dataclass(frozen=True, slots=True)
class FeedRead:
    """When the feed was read: by our clock (`began_at`), and by the vendor's (`there`), which its createdAt is of.

    `timely` False: our clock is wrong.
    """

    began_at: datetime
    there: datetime
    timely: bool = True


def poll_movements_once(ctx: Context) -> Counts:
    """Read the feed once ("drain") and take in what is new; nothing where MPservices is off or paused."""
    return drain_movements(ctx).counts


def drain_movements(ctx: Context) -> Outcome:
    """Read the feed once; the outcome's error tells that it could not be read."""
    client = ctx.mpservices_client()
    if client is None:
        return Outcome(error="MPservices is off or paused")
    note_cost_meaning(ctx)
    for _ in range(TRIES):
        outcome = observe(
            ctx,
            "poll.mpservices.movements",
            source=MOVEMENTS,
            system=MPSERVICES,
            work=lambda run_id: _drain(ctx, client, run_id),
        )
        if not outcome.dropped:
            return outcome
    outcome.error = "other readings of the feed were taken in meanwhile: it is read again soon"
    return outcome


def _drain(ctx: Context, client: MpservicesClient, run_id: int) -> Outcome:
    began_at = ctx.clock.now()
    answer = client.movements()
    ahead = answer.answered_at - ctx.clock.now() if answer.answered_at is not None else None
    parsed = read_movements(answer.body)
    there = began_at + ctx.vendor_ahead(MPSERVICES) if answer.answered_at is None else answer.answered_at
    note_clocks(ctx)  # what this answer tells of the vendor's clock counts for its movements
    read = FeedRead(began_at, there, ctx.is_timely())
    with ctx.leader_writes(run_id=run_id) as books:  # the number was drawn before the feed was asked for
        counts = take_movements(books, parsed.rows, parsed.bad, read=read)
    return Outcome(counts or Counts(), ahead=ahead, dropped=counts is None)


def take_movements(
    books: Books, movements: Sequence[Movement], bad: Sequence[BadRow], *, read: FeedRead
) -> Counts | None:
    """Take in one whole answer: lines, gap, short window, coverage.

    None where it is dropped: another one, which may be newer, was taken in since this one's run began. Where our
    clock is wrong the lines are taken in, and nothing that rests on time is concluded.
    """
    lock_appends(books.conn)
    known = feed(books.conn, MOVEMENTS)
    if is_feed_outdated(known, books.run):
        return None
    read_no = max(books.run, newest_run(books.conn))
    reach = reach_of(books.conn, books.policy)
    before = recent_movements(books.conn, MOVEMENTS, read.there - LOOK_BACK)
    movements = as_known(books.conn, movements, known=before)
    shown = {movement.id: movement.created_at for movement in movements}
    done = ingest_movements(books, movements, source="feed", push=True)
    unreadable = [*bad, *done.bad]
    done.counts.seen += len(bad)
    about = _items_of_unreadable(books.conn, unreadable)
    done.counts.quarantined = quarantine_rows(
        books, MOVEMENTS, None, unreadable, items=lambda row: about.get(row.raw, set())
    )
    release_remote_ids(books, MOVEMENTS, done.readable, bad=unreadable)
    begin_to_manage(books, done.named)  # once a person has settled what they moved, MPW's stock is theirs
    last = _last_read_there(known) if known is not None else None
    if not read.timely:
        unbroken = last is not None and last >= read.there - reach
        note_feed_read(
            books.conn,
            MOVEMENTS,
            run_id=books.run,
            began_at=read.began_at,
            vendor_read_at=read.there if unbroken else last,  # the hole begins where it began
            read_no=read_no,
        )
        return done.counts
    covered_from = _covered_from(books, known, read, shown, before, reach)
    _check_presence(books, movements, unreadable, read=read, reach=reach)
    if not unreadable:  # a row that cannot be read is there, and may be the oldest
        learn_reach(books, shown, before, at=read.there, ahead=read.there - read.began_at)
    note_feed_read(
        books.conn,
        MOVEMENTS,
        run_id=books.run,
        began_at=read.began_at,
        covered_from=covered_from,
        vendor_read_at=read.there,
        read_no=read_no,
    )
    _cover(books, covered_from, read, read_no)
    return done.counts


def _last_read_there(known: Row[Any]) -> datetime | None:
    """Return when the feed was last read whole, by the vendor's clock; by ours where that was before it was noted."""
    return known.vendor_read_at or known.last_read_at  # type: ignore[no-any-return]


def _covered_from(
    books: Books,
    known: Row[Any] | None,
    read: FeedRead,
    shown: Mapping[str, datetime],
    before: Mapping[str, datetime],
    reach: timedelta,
) -> datetime:
    """Return where the unbroken stretch that this reading ends begins; a hole before it is recorded."""
    last = _last_read_there(known) if known is not None else None
    if known is None or last is None or known.covered_from is None:
        return read.there - reach
    reaches = gap_after(last, read.there, reach=reach, shown=shown, known=before)
    if reaches is None:
        return min(known.covered_from, read.there)  # type: ignore[no-any-return]
    gap_id = open_gap(books, MOVEMENTS, last, reaches)
    bounds = f"{_text(last)} to {_text(reaches)}"
    books.open_exception(
        "gap",
        about=Subject.source(MOVEMENTS, _text(last)),
        detail=f"movements created from {bounds} were never read: the feed shows the last "
        f"{(read.there - reaches) / timedelta(hours=1):g} hours only",
        hint="export them from MPservices' screens, `mpsync import FILE --type movement`, "
        "then resolve this exception, saying what you did",
        facts={"gap_id": gap_id, "source": MOVEMENTS},
    )
    return reaches


def _items_of_unreadable(conn: Connection, unreadable: Sequence[BadRow]) -> dict[str, set[str]]:
    """Return which items movements are about that cannot be read, by their text: as they say now, and said before."""
    known = lines_of(conn, (row.remote_id for row in unreadable if row.remote_id is not None))
    return {
        row.raw: named_items(row.raw) | {line.external_id for line in known.get(row.remote_id or "", ())}
        for row in unreadable
    }


def _check_presence(
    books: Books, movements: Sequence[Movement], unreadable: Sequence[BadRow], *, read: FeedRead, reach: timedelta
) -> None:
    """Report stored movements younger than the window that the answer lacks, and take back what is shown again.

    Where the feed shows older ones, somebody deleted the movement; else the feed reaches less far than is believed
    (edge case S2). Each is reported once: what a person has decided of it stands while it stays away.
    """
    shown = {movement.id for movement in movements} | {row.remote_id for row in unreadable if row.remote_id}
    _take_back(books, shown)
    lacking = young_movements(books.conn, MOVEMENTS, read.there - reach + SKEW)
    lacking = {movement_id: at for movement_id, at in lacking.items() if movement_id not in shown}
    if not lacking:
        return
    oldest = min((movement.created_at for movement in movements), default=None)
    known = documents_by_remote_id(books.conn, MPSERVICES, "movement", lacking)
    settled = _settled_absences(books.conn)
    short: list[str] = []
    for movement_id, created_at in sorted(lacking.items()):
        document = known[movement_id]
        if document.voided_at is not None:
            continue  # taken for deleted before, and reported then
        if document.missing_since is not None and document.missing_since <= settled.get(movement_id, LONG_AGO):
            continue  # a person has settled it, and it has not been shown since
        deleted = oldest is not None and oldest < created_at
        marks = {"missing_since": document.missing_since or read.began_at, "voided_at": books.now if deleted else None}
        update_documents(books.conn, [{"id": document.id, **marks}])
        if deleted:
            take_off(books, [movement_id], why="the feed shows older ones: they were deleted", let_go=False)
            note_deleted(books, movement_id)
        else:
            short.append(movement_id)
    if short:
        report_short_window(books, short, reach)


def _take_back(books: Books, shown: Collection[str]) -> None:
    """End what was said of movements that the feed lacked and shows again."""
    found = documents_by_remote_id(books.conn, MPSERVICES, "movement", shown)
    back = [row for row in found.values() if row.missing_since is not None]
    for row in back:
        update_documents(books.conn, [{"id": row.id, "missing_since": None, "voided_at": None}])
        again = "the feed shows it again"
        books.resolve_exceptions(MOVEMENT_DELETED, about=Subject.row(row.remote_id), resolution=again)
        if row.voided_at is not None:
            note_returned(books, row.remote_id)
    take_off(books, (row.remote_id for row in back), why="the feed shows them again", let_go=True)


def _settled_absences(conn: Connection) -> dict[str, datetime]:
    """Return when people last settled that movements are away, by the movements' ids."""
    found: dict[str, datetime] = {}
    for one in settled_by_people(conn, SHORT_WINDOW):
        for movement_id in one.facts.get("movement_ids", ()):
            found[movement_id] = max(one.at, found.get(movement_id, LONG_AGO))
    return found


def _cover(books: Books, covered_from: datetime, read: FeedRead, read_no: int) -> None:
    """Note the days of the last window that lie wholly in the unbroken stretch, and today."""
    ended_by = min(read.began_at, read.there)
    today = books.policy.day(ended_by)
    first = books.policy.day(max(covered_from, read.there - books.policy.window - timedelta(days=1)))
    days = [day for day in days_between(first, today) if _starts_at(day, books.policy) >= covered_from]
    counts = rows_by_day(books.conn, MOVEMENTS, days)
    save_days(
        books.conn,
        [
            {
                "source": MOVEMENTS,
                "day": day,
                "complete": has_ended(day, ended_by, books.policy),
                "rows": counts.get(day, 0),
                "last_read_at": books.now,
                "fetch_began_at": read.began_at,
                "began_no": books.run,
                "read_no": read_no,
            }
            for day in days
        ],
    )


def _starts_at(day: date, policy: Policy) -> datetime:
    return datetime.combine(day, time(), tzinfo=policy.timezone).astimezone(UTC)


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
