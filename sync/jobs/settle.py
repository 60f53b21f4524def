"""A person's word that an event was dealt with by hand: it is never pushed, and no longer open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from sync.database.exceptions import close_by_person, open_exceptions
from sync.errors import ConfigError
from sync.ledger.books import Books
from sync.ledger.item_states import forget_bases
from sync.ledger.parked import Key, unpark
from sync.ledger.rules import ISSUANCE, RECEIPT
from sync.outbox.rows import Which, find_pushes
from sync.push.operator import discard_one
from sync.reconcile.rows import load_events
from sync.reconcile.rules import POSTS, Event, PushRow
from sync.reconcile.settlement_rows import kinds_under, note_settlement, owner_of_row
from sync.values.subjects import Subject
from sync.work.context import Context

WHY_NOT = {
    "sending": "it is on its way. See how it ends first (`mpsync outbox show {id}`)",
    "unknown": "it may have taken effect. `mpsync outbox resolve {id} --done` or `--not-done` says which; then "
    "drop it, or settle this",
    "done": "MPW has it by that push, and what was keyed in by hand would be there twice: delete one of the two in MPW",
}


@dataclass(frozen=True, slots=True)
class Settled:
    """What was settled: its kind and key, and the rows of the outbox that were dropped for it."""

    kind: str
    api_key: str
    dropped: tuple[int, ...]


def settle_event(
    ctx: Context, api_key: str, *, kind: str | None, why: str, by: str, mpw_id: str | None = None
) -> Settled:
    """Note that a person has dealt with an event by hand; what waited to be pushed of it is dropped.

    `mpw_id`: the id of MPW's row that it was keyed in as. Raises ConfigError, and changes nothing, where nothing is
    known under the key, where it names events of two kinds and `kind` does not say which, where a push of it is on its
    way or done, where MPW has the event under its own key, and where MPW's row is another event's.
    """
    with ctx.anyone_writes() as books:
        event = _event(books.conn, api_key, kind)
        key = (event.kind, event.api_key)
        _refuse(event)
        if mpw_id is not None:
            _check_row(books.conn, key, mpw_id)
        dropped = _drop(books, event, why=why, by=by)
        note_settlement(books, key, why=why, by=by, mpw_id=mpw_id)
        _end_what_was_asked(books, event, why=why, by=by)
        if event.item is not None:
            forget_bases(books, [event.item])  # it is compared again, now that MPW has what was keyed in
    return Settled(event.kind, event.api_key, dropped)


def _event(conn: Connection, api_key: str, kind: str | None) -> Event:
    kinds = kinds_under(conn, api_key)
    if not kinds:
        raise ConfigError(
            f"no event of MPservices' or the ERP's has the key {api_key}",
            hint="keys are exact: `mpsync outbox list`, `mpsync todo` and v_events show them",
        )
    if kind is None and len(kinds) > 1:
        raise ConfigError(f"{api_key} is the key of a {' and of a '.join(kinds)}", hint=f"add --kind {kinds[0]}")
    if kind is not None and kind not in kinds:
        raise ConfigError(f"{api_key} is the key of a {kinds[0]}, not of a {kind}", hint=f"say --kind {kinds[0]}")
    wanted = (kind or kinds[0], api_key)
    return load_events(conn, [wanted])[wanted]


def _refuse(event: Event) -> None:
    for push in _posts(event):
        if push.state in WHY_NOT:
            raise ConfigError(
                f"{event.kind} {event.api_key} is not settled by hand: push {push.id} of it is {push.state}",
                hint=WHY_NOT[push.state].format(id=push.id),
            )
        if push.state in ("held", "ready") and push.attempts:
            raise ConfigError(
                f"{event.kind} {event.api_key} is not settled by hand: push {push.id} of it was sent already, and is "
                "to be sent again",
                hint=f"`mpsync outbox show {push.id}` says how far it is; settle this once it is dead",
            )
    live = [row for row in event.mpw_rows if row.live]
    if live:
        raise ConfigError(
            f"MPW has {event.kind} {event.api_key} under that key already (id {live[0].remote_id})",
            hint="there is nothing to settle; where the two sides differ, `mpsync todo` asks which is right",
        )


def _posts(event: Event) -> Sequence[PushRow]:
    return [push for push in event.pushes if push.operation == POSTS[event.kind]]


def _check_row(conn: Connection, key: Key, mpw_id: str) -> None:
    """Refuse a row of MPW's that is another event's. One that no poll has shown yet is taken at the person's word."""
    if key[0] not in (RECEIPT, ISSUANCE):
        raise ConfigError("MPW shows no rows of transfers", hint="leave --mpw-id out")
    taken = owner_of_row(conn, key, mpw_id)
    if taken is not None:
        raise ConfigError(
            f"MPW's {key[0]} {mpw_id} is {taken} already", hint="name the row that was keyed in, or leave --mpw-id out"
        )


def _drop(books: Books, event: Event, *, why: str, by: str) -> tuple[int, ...]:
    """Drop what would still be sent of it. Raises ConfigError where a part of it has gone."""
    open_ = [push.id for push in _posts(event) if push.state in ("held", "ready", "dead")]
    dropped = []
    for row in find_pushes(books.conn, Which(ids=open_)) if open_ else ():
        if not discard_one(books, row, by=by, why=why):
            raise ConfigError(
                f"push {row.id} of it cannot be dropped: a part of it may be in MPW",
                hint=f"`mpsync outbox show {row.id}` shows its parts; where MPW has all of it `mpsync outbox resolve "
                f"{row.id} --done --why TEXT`",
            )
        dropped.append(row.id)
    return tuple(dropped)


def _end_what_was_asked(books: Books, event: Event, *, why: str, by: str) -> None:
    """End what people were asked about this event alone; what others wait for as well ends with the last of them."""
    subject = Subject.event(event.api_key, event.kind)
    for row in open_exceptions(books.conn):
        if (row.subject_type, row.subject) == (subject.type, subject.name) and row.kind != "echo_undecided":
            close_by_person(books.conn, row.id, why=why, by=by, now=books.now)
    unpark(books.conn, (event.kind, event.api_key))
