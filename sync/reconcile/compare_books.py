"""Comparing the books of an event as reconcile looks at it, and a person's word on which side is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from sync.database.exceptions import is_settled_so
from sync.errors import ConfigError
from sync.ledger.books import Books
from sync.ledger.parked import Key
from sync.outbox.corrections import add_correction
from sync.reconcile.book_rows import (
    BOOKS_DIFFER,
    Noted,
    forget_difference,
    note_difference,
    noted,
    told_of,
    waiting_events,
)
from sync.reconcile.book_rules import Finding, Told, difference, finding
from sync.reconcile.item_map import ItemMapping
from sync.reconcile.item_rows import resolve_items
from sync.reconcile.rows import load_events
from sync.reconcile.rules import Decision, Event, cannot_be_posted
from sync.values.subjects import Subject
from sync.values.systems import name_of

__all__ = ["BOOKS_DIFFER", "is_to_note", "look_at_books", "note_books", "put_right", "waiting_events"]


@dataclass(frozen=True, slots=True)
class Apart:
    """What the books of an event say now, and what is noted of them."""

    event: Event
    found: Finding
    noted: Noted
    kept: bool  # a person was asked about exactly this


def look_at_books(
    conn: Connection,
    events: Mapping[Key, Event],
    decisions: Mapping[Key, Decision],
    mappings: Mapping[str, ItemMapping],
) -> dict[Key, Apart]:
    """Compare the books of events. Nearly all agree: what else is known is asked for about the others alone."""
    differing = [key for key, event in events.items() if difference(event, mappings) is not None]
    before, told = noted(conn, list(events)), told_of(conn, differing)
    found: dict[Key, Apart] = {}
    for key, event in events.items():
        one = finding(event, decision=decisions[key], mappings=mappings, told=told.get(key, Told()))
        kept = one.ask and is_settled_so(conn, BOOKS_DIFFER, _subject(event), _facts(event, one))
        found[key] = Apart(event, one, before.get(key, Noted()), kept)
    return found


def is_to_note(apart: Apart) -> bool:
    """Tell whether anything has to be written down: what differs, who is asked."""
    found, before = apart.found, apart.noted
    if (found.difference, found.waits) != (before.difference, before.waits):
        return True
    if found.ask and not apart.kept:
        return before.asked != _facts(apart.event, found)
    return before.asked is not None and _is_answered(apart)


def note_books(books: Books, apart: Mapping[Key, Apart]) -> None:
    """Write down what differs, ask a person where one has to be asked, and ask no more where the books agree."""
    for key, one in apart.items():
        if not is_to_note(one):
            continue
        if one.found.difference is None:
            forget_difference(books, key)
        else:
            note_difference(books, key, one.found.difference, waits=one.found.waits)
        if one.found.ask and not one.kept:
            _ask(books, one.event, one.found)
        elif one.noted.asked is not None and _is_answered(one):
            books.resolve_exceptions(BOOKS_DIFFER, about=_subject(one.event), resolution=one.found.why)


def put_right(books: Books, facts: Mapping[str, Any]) -> None:
    """Have MPW say what the other system does: its row is deleted, and the event posted again under a key of its own.

    Reconcile derives both, the post once the delete is done. Raises ConfigError, and changes nothing, where the event
    could not be posted again.
    """
    kind, api_key = str(facts["kind"]), str(facts["api_key"])
    event = load_events(books.conn, [(kind, api_key)])[kind, api_key]
    items = {event.origin.item} if event.origin is not None and event.origin.system != "erp" else set()
    mappings = resolve_items(books.conn, items, default_warehouse=books.policy.warehouse)
    why = cannot_be_posted(event, policy=books.policy, mappings=mappings)
    if why is not None:
        raise ConfigError(
            f"{kind} {api_key} cannot be posted to MPW again: {why}",
            hint="correct it in MPW by hand, which ends the exception; or resolve it with --keep",
        )
    add_correction(books, kind, api_key)
    books.look_again([(kind, api_key)], reason="a person had MPW put right")


def _ask(books: Books, event: Event, found: Finding) -> None:
    who = name_of(event.origin.system) if event.origin is not None else "the other system"
    books.open_exception(
        BOOKS_DIFFER,
        about=_subject(event),
        detail=f"{who} and MPW do not say the same of {event.kind} {event.api_key}: {found.difference}",
        hint=f"find out which side is right. Where it is {who}: `mpsync exceptions resolve ID --apply --why TEXT` has "
        "it deleted in MPW and posted again; where it is MPW, or both shall stay: `--keep` in place of `--apply`. "
        "Where MPW does not let it be deleted, since it was issued from, correct it there by hand: this ends by itself "
        "once both agree",
        facts=_facts(event, found),
    )


def _is_answered(apart: Apart) -> bool:
    """Tell whether nobody is to be asked any more: while it waits for a push, the question stays."""
    return not apart.found.ask and not apart.found.waits


def _subject(event: Event) -> Subject:
    return Subject.event(event.api_key, event.kind)


def _facts(event: Event, found: Finding) -> dict[str, Any]:
    """Return what a question was about: asked once a person has answered it, it is the same while nothing happened."""
    return {
        "kind": event.kind,
        "api_key": event.api_key,
        "difference": found.difference,
        "seq": event.last_seq,
    }
