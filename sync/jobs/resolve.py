"""A person's word on an exception: it is closed, and what it stood for is done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Row

from sync.database.exceptions import close_by_person, open_exceptions, open_meant, subject_of
from sync.database.pauses import unpause_system
from sync.errors import ConfigError
from sync.inbox.refusal_rows import INBOX_REJECTED, set_aside
from sync.learned.rows import CONTRADICTED, overrule
from sync.ledger.books import Books
from sync.ledger.coverage import close_gap
from sync.ledger.item_states import forget_base, forget_bases, mark_dirty, save_item_state
from sync.ledger.movement_lines import KEPT_BY
from sync.ledger.quarantine import settle_rows
from sync.outbox.machine import POST_TRANSFER
from sync.outbox.rows import Push
from sync.outbox.shortage import (
    NOT_ENOUGH_STOCK,
    Shortage,
    Take,
    available,
    choices_of,
    taken_from,
    taken_of,
    takes_of,
)
from sync.outbox.shortage_rows import drop_rest, let_wait, posted_of, seen_of, take, waiting
from sync.poll.days.voids import MASS_DISAPPEARANCE, void_disappeared
from sync.poll.feed.lines import UNKNOWN_VALUE, take_named
from sync.poll.feed.short_window import SHORT_WINDOW, delete_absent, keep_absent
from sync.reconcile.commands import CONFIRMED, DECIDED, LEFT, ORDER_UNPRICED
from sync.reconcile.compare_books import BOOKS_DIFFER, put_right
from sync.reconcile.corrections import (
    MOVEMENT_CHANGED,
    MOVEMENT_DELETED,
    apply_correction,
    apply_deletion,
    items_of,
    keep_both,
)
from sync.reconcile.cost_meaning import COST_RESTATED, apply_restated, tell_unfit
from sync.reconcile.date_rules import ODD_DATE
from sync.reconcile.rows import confirm_date, leave_parked, load_events
from sync.reconcile.rules import OUR_EXCEPTIONS, waits_for
from sync.stock.facts import JUMP_DECIDED
from sync.stock.rules import COST_JUMP, FUSE
from sync.values.exception_kinds import APPLY, AVAILABLE, ECHO, FROM, KEEP, KINDS, NONE, VOID, WAIT
from sync.values.money import fixed
from sync.work.clock_rows import bring_forward
from sync.work.clocks import CLOCK_WRONG
from sync.work.context import CREDENTIALS, Context

GAP = "gap"
QUARANTINED_ROW = "quarantined_row"
MUST_CHOOSE = {APPLY, KEEP, ECHO, NONE, WAIT}
"""Of a kind that takes one of these, a person must say one: what stands behind it does not end with a word alone.

Not of those that something waits for (`OUR_EXCEPTIONS`, but for an odd date): without one they are looked at again at
once."""

UNKNOWN_STOCK = (MOVEMENT_CHANGED, MOVEMENT_DELETED, QUARANTINED_ROW, SHORT_WINDOW)
"""Kinds after which the stock of their items in MPservices is not known: the next patch finds it out."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person wants done beside closing an exception: one of `exception_kinds`' options.

    `name`: of the movement where the option is `--echo`, of the warehouse where it is `--from`.
    """

    option: str
    name: str | None = None


def resolve_by_person(
    ctx: Context,
    *,
    ids: Sequence[int] = (),
    kind: str | None = None,
    subject: str | None = None,
    why: str,
    by: str,
    choice: Choice | None = None,
    dry_run: bool = False,
) -> int:
    """Resolve the open exceptions that are meant; return how many.

    A gap is closed with `why` as its note, a quarantined row is taken for dealt with, and so are those that
    hold the movements of an unknown type with the exception about that type; a system that
    was paused for its credentials is tried again, and `choice` says what is to be done where a kind has
    one: it is refused for any other kind, and asked for where a person must choose. Raises ConfigError for
    that, and then resolves nothing. A cause that still holds opens its exception again.
    """
    with ctx.anyone_writes() as books:
        found = open_meant(books.conn, ids=ids, kind=kind, subject=subject)
        for row in found:
            _check(row, choice, alone=len(found) == 1)
            if row.kind == NOT_ENOUGH_STOCK:
                _check_shortage(books, row, choice)
        if not dry_run:
            for row in found:
                _act(books, ctx, row, why=why, by=by, choice=choice)
                _close(books, row, why=why, by=by, choice=choice)
                if row.kind == COST_RESTATED and choice is not None and choice.option == APPLY:
                    tell_unfit(books, json.loads(row.facts))
    return len(found)


def _check(row: Row[Any], choice: Choice | None, *, alone: bool) -> None:
    """Refuse a choice that an exception does not have, and none where it needs one."""
    kind = KINDS.get(row.kind)
    has = kind.choices if kind is not None else ()
    if choice is not None and choice.option not in has:
        kinds = ", ".join(one.name for one in KINDS.values() if choice.option in one.choices)
        raise ConfigError(
            f"{choice.option} is for {kinds}, exception {row.id} is {row.kind}",
            hint=f"resolve it with {' or '.join(has)}" if has else f"resolve it without {choice.option}",
        )
    if choice is None and set(has) & MUST_CHOOSE and (row.kind not in OUR_EXCEPTIONS or row.kind == ODD_DATE):
        raise ConfigError(
            f"exception {row.id} ({row.kind}: {row.subject}) has to be told what to do",
            hint=f"resolve it with {' or '.join(has)}: {row.hint}",
        )
    if choice is not None and choice.option == ECHO:
        movements = json.loads(row.facts).get("movements", [])
        if not alone or choice.name not in movements:
            raise ConfigError(
                f"{choice.name!r} is not one of the movements that exception {row.id} is about"
                if alone
                else "--echo names one movement, and so settles one exception at a time",
                hint=f"name one of {', '.join(movements)}, or resolve it with {NONE}",
            )


def _act(books: Books, ctx: Context, row: Row[Any], *, why: str, by: str, choice: Choice | None) -> None:
    facts = json.loads(row.facts)
    option = choice.option if choice is not None else None
    if row.kind == MOVEMENT_CHANGED and option == APPLY:
        apply_correction(books, facts)
    elif row.kind == COST_RESTATED:
        if option == APPLY:
            apply_restated(books, facts)
    elif row.kind == ODD_DATE and option == APPLY:
        kind, api_key = row.subject.split(" ", 1)
        for one in load_events(books.conn, [(kind, api_key)]).values():
            if one.origin is not None:
                confirm_date(books, kind, api_key, one.origin.occurred_on)
        books.look_again_for(waits_for(row.kind, subject_of(row)))
    elif row.kind == BOOKS_DIFFER:
        if option == APPLY:
            put_right(books, facts)
    elif row.kind == MOVEMENT_DELETED and option == APPLY:
        apply_deletion(books, facts)
    elif row.kind == SHORT_WINDOW and option == APPLY:
        delete_absent(books, facts)
    elif row.kind == SHORT_WINDOW:
        keep_absent(books, facts)
    elif row.kind == NOT_ENOUGH_STOCK:
        _answer_shortage(books, row, choice, why=why, by=by)
    elif row.kind == COST_JUMP:
        mark_dirty(books, [str(facts["external_id"])])
    elif row.kind == ORDER_UNPRICED:
        pass  # what a person says of it is kept with it, and the next pass goes by that
    elif option == KEEP and row.kind in OUR_EXCEPTIONS:
        told = f"{KEPT_BY}{by}: {why}"
        left = leave_parked(books, waits_for(row.kind, subject_of(row)), why=told)
        forget_bases(books, left)
    elif option == KEEP:
        keep_both(books.conn, facts, by=by)
    elif choice is not None and choice.option == ECHO and choice.name is not None:
        take_named(books, choice.name)
    if row.kind in UNKNOWN_STOCK:
        forget_bases(books, items_of(facts))
    if row.kind == MASS_DISAPPEARANCE and option == VOID:
        void_disappeared(books, row)
    elif row.kind == GAP and "gap_id" in facts:
        close_gap(books, int(facts["gap_id"]), note=why)
    elif row.kind == FUSE:
        save_item_state(books.conn, str(facts["external_id"]), {"unfit_patches": 0})
        forget_base(books, str(facts["external_id"]))
    elif row.kind == CLOCK_WRONG:
        bring_forward(books)  # what the wrong clock has put off
    elif row.kind == CREDENTIALS:
        unpause_system(books.conn, row.subject)
    elif row.kind == CONTRADICTED and "fact" in facts:
        overrule(books.conn, facts["system"], facts["fact"])
    elif row.kind in OUR_EXCEPTIONS and option is None:
        books.look_again_for(waits_for(row.kind, subject_of(row)))
    elif row.kind == UNKNOWN_VALUE:
        for held in _rows_of_type(books.conn, facts):
            _act(books, ctx, held, why=why, by=by, choice=None)
            _close(books, held, why=why, by=by, choice=None)
    elif row.kind == INBOX_REJECTED:
        set_aside(books, [subject_of(row)], (), why=why, by=by)
    elif row.kind == QUARANTINED_ROW and "digest" in facts:
        settle_rows(books, facts["digest"])


def _short(books: Books, row: Row[Any]) -> tuple[Push, Shortage | None]:
    """Return the push that an exception says is short; raises ConfigError where it is so no more."""
    push = waiting(books.conn, int(row.subject))
    if push is None:
        raise ConfigError(
            f"push {row.subject} waits for stock no more", hint=f"`mpsync outbox show {row.subject}` says where it is"
        )
    return push, seen_of(push)


def _check_shortage(books: Books, row: Row[Any], choice: Choice | None) -> None:
    """Refuse a choice that the stock, as it was last read, does not allow."""
    push, short = _short(books, row)
    fractions, transfer = books.policy.fractional_issuances, push.operation == POST_TRANSFER
    option = choice.option if choice is not None else None
    can = [known for known, _ in choices_of(short, fractions=fractions, transfer=transfer)]
    hint = f"resolve it with {' or '.join(can)}"
    if option in (AVAILABLE, FROM) and transfer:
        raise ConfigError(
            f"push {push.id} is a transfer, and goes as the ERP has sent it, or not at all",
            hint=f"have the ERP send another one, and resolve this with {KEEP}",
        )
    if option == AVAILABLE and AVAILABLE not in can:
        raise ConfigError(f"MPW has nothing there that push {push.id} could take", hint=hint)
    if option == FROM and (
        short is None or taken_from(short, str(choice and choice.name), fractions=fractions) is None
    ):
        raise ConfigError(
            f"{choice and choice.name!r} is no other warehouse of its item that has all that push {push.id} lacks",
            hint=hint,
        )


def _answer_shortage(books: Books, row: Row[Any], choice: Choice | None, *, why: str, by: str) -> None:
    """Do with a push that is short what a person has chosen (`_check_shortage` has let it pass)."""
    push, short = _short(books, row)
    option, fractions = choice.option if choice is not None else None, books.policy.fractional_issuances
    if option == KEEP:
        drop_rest(books, push, by=by, why=why)
    elif option == WAIT:
        let_wait(books, push)
    elif short is not None and choice is not None:
        done = posted_of(books.conn, push)
        fields = json.loads(push.payload, parse_float=Decimal)
        takes = takes_of(push.facts, str(fields.get("warehouse_name")), fixed(fields["quantity"]))
        rest: Sequence[Take] | None = available(short, fractions=fractions)
        if option == FROM:
            rest = taken_from(short, str(choice.name), fractions=fractions)
        take(books, push, [*taken_of(takes, done), *(rest or ())])


def _rows_of_type(conn: Connection, facts: Mapping[str, Any]) -> list[Row[Any]]:
    """Return the open exceptions about the rows of the movements that one about their type was told for."""
    digests = set(facts.get("digests", ()))
    rows = open_exceptions(conn, kind=QUARANTINED_ROW) if digests else []
    return [row for row in rows if json.loads(row.facts).get("digest") in digests]


def _close(books: Books, row: Row[Any], *, why: str, by: str, choice: Choice | None) -> None:
    facts = None
    if choice is not None and choice.option in (ECHO, NONE):
        facts = json.loads(row.facts) | {"decision": {"echo": choice.name}}
    elif choice is not None and row.kind == ORDER_UNPRICED:
        facts = json.loads(row.facts) | {DECIDED: CONFIRMED if choice.option == APPLY else LEFT}
    elif choice is not None and row.kind == COST_JUMP:
        facts = json.loads(row.facts) | {JUMP_DECIDED: choice.option == APPLY}
    close_by_person(books.conn, row.id, why=why, by=by, now=books.now, facts=facts)
