"""What people do in MPservices after we read it: a movement corrected or deleted there, and what becomes of it in MPW.

The item's stock in MPservices is then no longer what we believe: its base is dropped. Where nothing of the movement can
be in MPW yet, what was derived is taken back and derived anew, and the next patch, which rests on MPW's stock with the
corrected movement in it, is right. Otherwise a person decides: MPW's side stays as it is, and the item gets no patch,
until `exceptions resolve --apply` or `--keep`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Row

from sync.database.exceptions import is_open, open_facts
from sync.errors import ConfigError
from sync.ledger.books import Books
from sync.ledger.documents import documents_by_remote_id, update_documents
from sync.ledger.item_states import forget_bases
from sync.ledger.movement_lines import EVENT, KEPT_BY, lines_of, take_back
from sync.ledger.movement_rules import Line
from sync.outbox.corrections import KINDS, add_correction, hold, is_held_from_push, let_go, withdraw
from sync.outbox.rows import Which, discard
from sync.reconcile.item_rows import resolve_items
from sync.reconcile.rows import load_events
from sync.reconcile.rules import Event, differs_from_posted, is_before_cut, standing
from sync.values.money import plain
from sync.values.policy import Policy
from sync.values.subjects import Subject
from sync.values.systems import MPSERVICES

MOVEMENT_CHANGED = "movement_changed"
MOVEMENT_DELETED = "movement_deleted"

CHANGED_HINT = (
    "compare with MPservices; `mpsync explain KEY` tells the story of a line. Then `mpsync exceptions resolve ID "
    "--apply --why TEXT`: what was posted to MPW is deleted there and posted as it is now; or `--keep` in place of "
    "`--apply`: both stay as they are"
)
DELETED_HINT = (
    "ask who deleted it. Then `mpsync exceptions resolve ID --apply --why TEXT`: what was posted to MPW for it is "
    "deleted there; or `--keep` in place of `--apply`: it stays in MPW"
)


def note_correction(
    books: Books,
    movement_id: str,
    *,
    changed: Sequence[tuple[Row[Any], Line]],
    redated: Sequence[tuple[Row[Any], Line]],
    gone: Sequence[Row[Any]],
    added: Mapping[str, Line],
    stored: Sequence[Row[Any]],
    created_at: datetime,
) -> set[str]:
    """Act on a movement that came back with other lines than before; return the keys whose events a person decides.

    In the transaction that takes it in, before its entries are replaced. `stored` are all lines that are known of it,
    `added` new ones by the keys that they get: what a person decides about waits as a whole, since a line that names
    another item than before is one line gone and one added. `redated` lines say what they said, of another day: no
    stock is in doubt, and their items are not stopped.
    """
    items = {old.external_id for old in gone} | {one.external_id for pair in changed for one in pair}
    changed = [*changed, *redated]
    touched = [old for old, _ in changed] + list(gone)
    items |= {line.external_id for line in added.values()}
    forget_bases(books, items)
    keys = {old.api_key for old in touched}
    held_before = is_held_from_push(books.conn, keys)
    reached = withdraw(books, keys, why="its movement was corrected") if keys else was_sent(books.conn, stored)
    moments = [old.created_at for old in touched] + [new.created_at for _, new in changed]
    by_itself = (
        not reached
        and not held_before
        and all(old.role == EVENT for old in touched)
        and all(moment >= books.policy.push_from_there for moment in moments)
    )
    if by_itself:
        return set()
    keys |= set(added)
    hold(books.conn, keys, why=f"movement {movement_id} was corrected: a person decides")
    before = open_facts(books.conn, MOVEMENT_CHANGED, Subject.row(movement_id))
    told = [f"{old.api_key}: {_said(old)} is now {_said(new)}" for old, new in changed]
    told += [f"{old.api_key}: {_said(old)} is not in it any more" for old in gone]
    told += [f"{key}: {_said(line)} was added" for key, line in added.items()]
    items |= set(before.get("external_ids", ()))
    stopped = ", and these items get no stock patch" if items else ""
    books.open_exception(
        MOVEMENT_CHANGED,
        about=Subject.row(movement_id),
        detail=f"movement {movement_id} of {created_at:%Y-%m-%d %H:%M} UTC is no longer what it was when it was first "
        f"read: {'; '.join(told)}. MPW keeps what was posted for it{stopped}, until a person has decided",
        hint=CHANGED_HINT,
        facts={
            "movement_id": movement_id,
            "keys": sorted(keys | set(before.get("keys", ()))),
            "external_ids": sorted(items),
        },
    )
    return keys


def was_sent(conn: Connection, lines: Sequence[Row[Any]]) -> bool:
    """Tell whether anything of a movement may be in MPW."""
    events = load_events(conn, [(kind, line.api_key) for line in lines for kind in KINDS])
    return any(event.mpw_ever or any(not row.unsent for row in event.pushes) for event in events.values())


def _said(line: Row[Any] | Line) -> str:
    return f"{plain(line.quantity)} {line.external_id} at {plain(line.unit_cost)}, {line.created_at:%Y-%m-%d %H:%M} UTC"


def lines_said(lines: Iterable[Row[Any] | Line]) -> str:
    """Return a movement's lines as a person reads them."""
    return "; ".join(_said(line) for line in lines)


def note_deleted(books: Books, movement_id: str) -> None:
    """Act on a movement that the feed lacks though it shows older ones: somebody deleted it in MPservices."""
    lines = lines_of(books.conn, [movement_id]).get(movement_id, [])
    keys, items = {line.api_key for line in lines}, {line.external_id for line in lines}
    forget_bases(books, items)
    withdraw(books, keys, why="its movement was deleted")
    hold(books.conn, keys, why=f"movement {movement_id} was deleted: a person decides")
    books.open_exception(
        MOVEMENT_DELETED,
        about=Subject.row(movement_id),
        detail=f"movement {movement_id} ({lines_said(lines)}) is gone from the feed, which "
        "shows older ones: somebody deleted it in MPservices. MPW keeps what was posted for it, and these items get no "
        "stock patch, until a person has decided",
        hint=DELETED_HINT,
        facts={"movement_id": movement_id, "keys": sorted(keys), "external_ids": sorted(items)},
    )


def note_returned(books: Books, movement_id: str, *, why: str = "the feed shows its movement again") -> None:
    """Let a movement's events go again that was taken for deleted: it is there.

    Where it came back with other lines, a person decides that first.
    """
    if is_open(books.conn, MOVEMENT_CHANGED, Subject.row(movement_id)):
        return
    lines = lines_of(books.conn, [movement_id]).get(movement_id, [])
    let_go(books, [line.api_key for line in lines], why=why)


def apply_correction(books: Books, facts: Mapping[str, Any]) -> None:
    """Have MPW corrected: what differs is deleted there and posted again under a key of its own; what is gone, deleted.

    Reconcile derives both, the post once the delete is done. Raises ConfigError, and changes nothing, where MPW's side
    is not ours to correct.
    """
    keys = [str(key) for key in facts.get("keys", ())]
    events = load_events(books.conn, [(kind, key) for key in keys for kind in KINDS])
    items = {event.origin.item for event in events.values() if event.origin is not None}
    mappings = resolve_items(books.conn, items, default_warehouse=books.policy.warehouse)
    for event in events.values():
        _refuse_what_is_not_ours(event, books.policy)
    for event in events.values():
        if event.role not in (None, EVENT) or event.origin is None:
            continue  # an echo of ours was never in MPW; what has no origin is deleted by reconcile
        there = standing(event)
        if there is not None and not differs_from_posted(event, there, policy=books.policy, mappings=mappings):
            continue
        current = [row for row in event.pushes if row.api_key == event.pushed_key]
        if all(row.unsent for row in current) and (event.corrections or not event.mpw_live):
            continue  # nothing of it was ever sent: it is derived as it is now
        if there is not None and books.policy.route("voids") == "off":
            raise ConfigError(
                f"{event.kind} {event.api_key} has to be deleted in MPW first, and the route voids is off",
                hint="set SYNC_ROUTE_VOIDS to push, or to hold, and restart; or resolve the exception with --keep",
            )
        dead = [row.id for row in current if row.state == "dead"]
        discard(books, Which(ids=dead), by="mpsync", why="its movement was corrected since")
        add_correction(books, event.kind, event.api_key)
    let_go(books, keys, why="a person had it corrected", even_kept=True)


def _refuse_what_is_not_ours(event: Event, policy: Policy) -> None:
    origin = event.origin
    if origin is None or event.role not in (None, EVENT) or event.pushes or event.mpw_ever:
        return
    if is_before_cut(origin, policy):
        raise ConfigError(
            f"{event.kind} {event.api_key} is older than SYNC_PUSH_FROM: people have keyed it into MPW by hand",
            hint="correct it in MPW by hand, then resolve the exception with --keep",
        )


def apply_deletion(books: Books, facts: Mapping[str, Any]) -> None:
    """Take a deleted movement back: its entries are reversed, and reconcile deletes what was posted to MPW for it."""
    movement_id = str(facts["movement_id"])
    lines = lines_of(books.conn, [movement_id]).get(movement_id, [])
    live = [line.entry_id for line in lines if line.entry_id is not None]
    books.reverse(live)
    for line in lines:
        take_back(books.conn, line)
    known = documents_by_remote_id(books.conn, MPSERVICES, "movement", [movement_id])
    update_documents(  # without its digest it is read anew, were it to come back
        books.conn, [{"id": row.id, "digest": "", "voided_at": row.voided_at or books.now} for row in known.values()]
    )
    let_go(books, [line.api_key for line in lines], why="its movement was deleted", even_kept=True)


def keep_both(conn: Connection, facts: Mapping[str, Any], *, by: str) -> None:
    """Leave MPW's side as it is, for good: nothing of these events is posted or deleted any more."""
    hold(conn, [str(key) for key in facts.get("keys", ())], why=f"{KEPT_BY}{by}: both stay as they are")


def facts_of(row: Row[Any]) -> dict[str, Any]:
    """Return what an exception keeps for the program."""
    found: dict[str, Any] = json.loads(row.facts)
    return found


def items_of(facts: Mapping[str, Any]) -> list[str]:
    """Return the items that an exception names."""
    one = [facts["external_id"]] if facts.get("external_id") else []
    return [str(item) for item in (*facts.get("external_ids", ()), *one)]
