"""Movements that the feed lacks though they are young, and older ones, too: deleted, or the window is short (S2).

The feed does not say which of the two it is, so a person does. Until then nothing of them is sent: what is not posted
yet waits, what was posted stays, and their items get no stock patch. It ends by itself for those that the feed shows
again, and for those that the reach explains once it has been learnt.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from typing import Any

from sync.database.exceptions import open_facts
from sync.learned.rows import reach_of
from sync.ledger.books import Books
from sync.ledger.coverage import MOVEMENTS
from sync.ledger.documents import documents_by_remote_id
from sync.ledger.item_states import forget_bases
from sync.ledger.movement_lines import lines_of
from sync.outbox.corrections import hold, withdraw
from sync.poll.feed.reach_rules import TIGHT
from sync.reconcile.corrections import apply_deletion, lines_said, note_returned
from sync.values.subjects import Subject
from sync.values.systems import MPSERVICES

SHORT_WINDOW = "short_window"

NAMED = 3
"""Movements that the text names; the facts have them all."""

HINT = (
    "look in MPservices whether they are there. Where people deleted them: `mpsync exceptions resolve ID --apply --why "
    "TEXT`: what was posted to MPW for them is deleted there, and the rest is never posted. Where they are there: "
    "`--keep` in place of `--apply`: what waits is posted; the feed reaches less far than is believed then, so say how "
    "far, since a shorter outage may lose movements: `mpsync learned set window_hours HOURS --why TEXT`. Where only "
    "some were deleted: `--apply`, then `mpsync import FILE --type movement --push` with those that are there"
)


def report_short_window(books: Books, short: Collection[str], reach: timedelta) -> None:
    """Hold what these movements would post, and ask a person; each is asked about once."""
    told = _told(books)
    fresh = set(short) - told
    if not fresh:
        return
    lines = [line for found in lines_of(books.conn, fresh).values() for line in found]
    forget_bases(books, {line.external_id for line in lines})
    keys = {line.api_key for line in lines}
    withdraw(books, keys, why="the feed lacks its movement")
    hold(
        books.conn, keys, why="the feed lacks its movement, which was deleted or is beyond its window: a person decides"
    )
    _ask(books, told | fresh, reach)


def _told(books: Books) -> set[str]:
    return set(open_facts(books.conn, SHORT_WINDOW, Subject.source(MOVEMENTS)).get("movement_ids", ()))


def _ask(books: Books, movement_ids: Collection[str], reach: timedelta) -> None:
    known = lines_of(books.conn, movement_ids)
    ordered = sorted(known, key=lambda id_: (known[id_][0].created_at, id_))
    named = "; ".join(f"{id_} ({lines_said(known[id_])})" for id_ in ordered[:NAMED])
    more = f"; and {len(ordered) - NAMED} more" if len(ordered) > NAMED else ""
    books.open_exception(
        SHORT_WINDOW,
        about=Subject.source(MOVEMENTS),
        detail=f"the feed no longer shows {len(movement_ids)} movements that are younger than "
        f"{reach / timedelta(hours=1):g} hours, nor older ones: {named}{more}. Either people deleted them in "
        "MPservices, or the feed reaches less far than is believed. MPW keeps what was posted for them, what was not "
        "posted waits, and their items get no stock patch, until a person has decided",
        hint=HINT,
        facts={
            "movement_ids": sorted(movement_ids),
            "external_ids": sorted({line.external_id for lines in known.values() for line in lines}),
        },
    )


def take_off(books: Books, movement_ids: Iterable[str], *, why: str, let_go: bool) -> None:
    """Ask no more about these movements; with `let_go` what they hold goes on. Without others the question ends."""
    told = _told(books)
    off = told & set(movement_ids)
    if not off:
        return
    if let_go:
        _go_on(books, off, why=why)
    if off == told:
        books.resolve_exceptions(SHORT_WINDOW, about=Subject.source(MOVEMENTS), resolution=why)
    else:
        _ask(books, told - off, reach_of(books.conn, books.policy))


def take_off_explained(books: Books, *, ahead: timedelta, why: str) -> None:
    """Ask no more about those that are beyond the reach as it is known now; younger ones were deleted, it may be.

    `ahead`: by how much the vendor's clock, which createdAt is of, is ahead of ours.
    """
    told = _told(books)
    known = documents_by_remote_id(books.conn, MPSERVICES, "movement", told)
    lines = lines_of(books.conn, told)
    reach = reach_of(books.conn, books.policy) - TIGHT
    beyond = [
        id_
        for id_, document in known.items()
        if document.missing_since is not None
        and all(document.missing_since + ahead - line.created_at >= reach for line in lines.get(id_, ()))
    ]
    take_off(books, beyond, why=why, let_go=True)


def keep_absent(books: Books, facts: Mapping[str, Any]) -> None:
    """Let go what these movements hold: a person has found them in MPservices."""
    _go_on(books, facts.get("movement_ids", ()), why="a person found its movement in MPservices")


def _go_on(books: Books, movement_ids: Iterable[str], *, why: str) -> None:
    for movement_id in sorted(movement_ids):
        note_returned(books, movement_id, why=why)


def delete_absent(books: Books, facts: Mapping[str, Any]) -> None:
    """Take these movements back: a person says that they were deleted in MPservices."""
    for movement_id in facts.get("movement_ids", ()):
        apply_deletion(books, {"movement_id": movement_id})
