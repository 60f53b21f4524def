"""Deriving the journal from the ledger: once each, in commit order, a few thousand entries a transaction."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import structlog
from sqlalchemy import Connection

from sync.database.engine import lock_appends
from sync.database.facts import fact
from sync.database.runs import Counts, end_run, start_run
from sync.journal import rows as stored
from sync.journal.account_rows import ACCOUNTS_VERSION, load_rules
from sync.journal.accounts import Accounts
from sync.journal.rules import (
    ERP,
    ISSUANCE,
    LATE,
    MPW,
    RECEIPT,
    TRANSFER,
    TRANSFER_PENDING,
    TWIN,
    UNMAPPED,
    Desk,
    LedgerRow,
    arrivals,
)
from sync.ledger.books import Books
from sync.values.books import unit_of
from sync.values.money import from_micros, plain
from sync.values.subjects import Subject
from sync.work.context import Context

log = structlog.get_logger("mpsync.journal")

BATCH = 5_000
"""Ledger entries in one transaction: for so long others wait for the right to append."""

JOURNAL_SEQ = "journal_seq"
"""The newest ledger entry that the journal has looked at."""

JOURNAL_TERMS = "journal_terms"
"""Currency, decimals and first day: fixed as soon as there is an entry."""

JOURNAL_ACCOUNTS = "journal_accounts"
"""The version of the rules that the held entries were last asked by."""

JOURNAL_TRANSFERS = "journal_transfers"
"""There was a transfer of the ERP's: until then nobody looks for one."""

OPENING_SEQ = "journal_opening_seq"
"""The newest ledger entry that the opening balance counted."""

_SUBJECT = Subject.source("journal")


@dataclass(frozen=True, slots=True)
class Fixed:
    """What the journal's entries were and are made by. `unit` in millionths."""

    starts_on: date
    currency: str
    decimals: int

    @property
    def unit(self) -> int:
        """The smallest unit of the currency, in millionths."""
        return unit_of(self.decimals)

    def text(self) -> str:
        """Return it as its fact has it."""
        return json.dumps([self.starts_on.isoformat(), self.currency, self.decimals])


def fixed_of(text: str) -> Fixed:
    """Return the terms of a fact."""
    starts_on, currency, decimals = json.loads(text)
    return Fixed(date.fromisoformat(starts_on), currency, decimals)


def wanted_terms(ctx: Context) -> Fixed | None:
    """Return the terms that the settings ask for; None: they ask for no journal."""
    terms = ctx.policy.journal
    return None if terms.starts_on is None else Fixed(terms.starts_on, terms.currency, terms.decimals)


def journal_once(ctx: Context) -> Counts:
    """Book what the ledger has that the journal has not looked at, and what was held and may go.

    `added` counts journal entries, `quarantined` what is newly held. A second pass gives none. Nothing is done, and
    nothing asked, until SYNC_JOURNAL_FROM and rules of accounts are there. Call it as leader.
    """
    total = Counts()
    wanted = wanted_terms(ctx)
    if wanted is None:
        return total
    while not ctx.stopping():
        known = ctx.due().facts
        if ACCOUNTS_VERSION not in known:
            break
        if known.get(JOURNAL_TERMS) is None or ctx.due().behind(JOURNAL_SEQ) or _other_terms(ctx, wanted, known):
            work: Callable[[Books, Fixed], Counts] = _next
        elif known.get(JOURNAL_ACCOUNTS) != known[ACCOUNTS_VERSION]:
            work = _mapped_since
        else:
            break
        with ctx.leader_writes() as books:
            total.add(work(books, wanted))
    if ctx.due().transfers:
        total.add(_done_since(ctx, wanted))
    if total.added or total.quarantined:
        log.info("journal.derived", entries=total.added, held=total.quarantined)
    return total


def _other_terms(ctx: Context, wanted: Fixed, known: Any) -> bool:
    """Tell whether the settings were changed while there is no entry yet; once there is one, its terms stand."""
    return known[JOURNAL_TERMS] != wanted.text() and not ctx.due().journal


def terms_in_force(conn: Connection, wanted: Fixed) -> Fixed:
    """Return the terms of the entries that there are, else those that the settings ask for."""
    known = fact(conn, JOURNAL_TERMS)
    return fixed_of(known) if known is not None and stored.has_entries(conn) else wanted


def _next(books: Books, wanted: Fixed) -> Counts:
    """Look at the next ledger entries."""
    conn = books.conn
    lock_appends(conn)
    terms = terms_in_force(conn, wanted)
    same = fact(conn, JOURNAL_TERMS) == terms.text()
    seq = int(fact(conn, JOURNAL_SEQ) or 0) if same else 0
    ledger = stored.ledger_after(conn, seq, BATCH)
    desk = open_desk(books, ledger, terms)
    before = set(desk.held)
    for row in ledger:
        desk.take(row)
    counts = keep(books, desk, before)
    if not same:
        books.note_fact(JOURNAL_TERMS, terms.text())
    books.note_fact(JOURNAL_SEQ, str(ledger[-1].id if ledger else seq))
    if any(reason == TRANSFER_PENDING for reason, _ in desk.held.values()):
        books.note_fact(JOURNAL_TRANSFERS, "1")
    return counts


def _mapped_since(books: Books, wanted: Fixed) -> Counts:
    """Let go what no rule of accounts covered and one may cover now."""
    lock_appends(books.conn)
    version, _ = load_rules(books.conn)
    total, after = Counts(), 0
    while ids := stored.held_for(books.conn, UNMAPPED, after=after, limit=BATCH):
        total.add(release(books, wanted, ids))
        after = ids[-1]
    books.note_fact(JOURNAL_ACCOUNTS, str(version))
    return total


def _done_since(ctx: Context, wanted: Fixed) -> Counts:
    """Book transfers whose push is done by now."""
    with ctx.leader_writes() as books:
        lock_appends(books.conn)
        return release(books, wanted, stored.held_transfers_done(books.conn, BATCH))


def release(
    books: Books, wanted: Fixed, ids: Sequence[int], *, why: str | None = None, by: str | None = None
) -> Counts:
    """Book what was held, with the reversals that wait for it; what still cannot go stays.

    Call it under `lock_appends`. `why` and `by`: a person's words, where a person lets it go.
    """
    conn = books.conn
    ledger = stored.ledger_rows(conn, {*ids, *stored.held_with(conn, ids)})
    desk = open_desk(books, ledger, terms_in_force(conn, wanted))
    going = {row.id for row in ledger}
    desk.held = {id_: why for id_, why in desk.held.items() if id_ not in going}
    before = set(desk.held)
    receiving = stored.receiving_legs(conn, [row.api_key for row in ledger if row.kind == TRANSFER])
    for row in ledger:
        if row.kind == TRANSFER:
            if row.api_key in receiving:
                desk.transfer(row, receiving[row.api_key])
        else:
            desk.take(row, released=True)
    desk.entries = [one._replace(why=why, made_by=by) for one in desk.entries]
    stored.let_go(conn, going - set(desk.held))
    return keep(books, desk, before, released=going)


def open_desk(books: Books, ledger: Sequence[LedgerRow], terms: Fixed) -> Desk:
    """Load all that these ledger entries touch."""
    conn, policy = books.conn, books.policy.journal
    version, rules = load_rules(conn)
    ours = [row for row in ledger if row.system == MPW and row.kind in (RECEIPT, ISSUANCE)]
    the_erps = [row for row in ledger if row.system == ERP and row.entry_type == "original"]
    starts_on = terms.starts_on.isoformat()
    originals = [row for row in ours if row.entry_type == "original" and row.occurred_on >= starts_on]
    taken_back = {row.reverses_id for row in ours if row.reverses_id is not None}
    came = {(row.kind, row.api_key) for row in the_erps if row.kind in policy.erp_books and row.kind != TRANSFER}
    by_ledger = stored.entries_by_ledger(conn, taken_back)
    keys = {row.api_key for row in ours if not row.api_key.startswith(("mpw-", "mps-"))} | {key for _, key in came}
    return Desk(
        chart=Accounts(rules, version),
        unit=terms.unit,
        starts_on=starts_on,
        next_id=stored.next_entry_id(conn),
        holds_late=policy.holds_late,
        counted_to=int(fact(conn, OPENING_SEQ) or 0),
        erp_books=policy.erp_books,
        facts=stored.facts_of(conn, originals),
        positions=stored.positions_of(conn, {row.item for row in (*ours, *the_erps)}),
        by_ledger=by_ledger,
        given=stored.given_to_deliver(conn, came),
        erp_first=stored.erp_first(conn, keys),
        moved_to=stored.moved_counters(conn, [one.id for one in by_ledger.values()]),
        twins=_twins(conn, originals),
        held=stored.held_among(conn, taken_back),
    )


def _twins(conn: Connection, originals: Iterable[LedgerRow]) -> frozenset[int]:
    """Return receipts of people's that look like the arrival of a transfer; nobody looks before there was one."""
    if fact(conn, JOURNAL_TRANSFERS) is None:
        return frozenset()
    keyless = [row for row in originals if row.kind == RECEIPT and row.api_key.startswith("mpw-")]
    return arrivals(keyless, stored.transfers_done(conn, {row.item for row in keyless}))


def keep(books: Books, desk: Desk, before: set[int], *, released: Collection[int] = ()) -> Counts:
    """Write down what a desk made, in a run of its own where it made anything; `before`: what was held already."""
    held = {id_: why for id_, why in desk.held.items() if id_ not in before}
    counts = Counts(added=len(desk.entries), quarantined=sum(id_ not in released for id_ in held))
    if desk.entries:
        run_id = start_run(books.conn, "journal", now=books.now)
        stored.append(books.of_run(run_id), desk.entries)
        stored.save_positions(books.conn, desk.positions, desk.touched)
        end_run(books.conn, run_id, now=books.now, counts=counts)
    if held:
        stored.hold(books, held)
    if held or released:
        tell(books)
    return counts


# --- what needs a person ------------------------------------------------------------------


def tell(books: Books) -> None:
    """Open, refresh or resolve an exception for each reason that a person can end."""
    waiting = stored.waiting(books.conn)
    for reason, say in _SAID.items():
        kind, hint = say
        one = waiting.get(reason)
        if one is None:
            books.resolve_exceptions(kind, _SUBJECT, resolution="nothing waits for it any more")
            continue
        many = "1 ledger entry is" if one.entries == 1 else f"{one.entries} ledger entries are"
        detail = f"{many} in no account, {plain(from_micros(one.amount))} in all: {one.detail}; as {one.example} is"
        books.open_exception(kind, about=_SUBJECT, detail=detail, hint=hint)


JOURNAL_UNMAPPED, JOURNAL_LATE, JOURNAL_TWIN = "journal_unmapped", "journal_late", "journal_twin"
_SAID = {
    UNMAPPED: (
        JOURNAL_UNMAPPED,
        "add a rule to the accounts file, then `mpsync accounts import FILE`: they are booked by themselves",
    ),
    LATE: (
        JOURNAL_LATE,
        "look at `mpsync journal held`, and book what is right with `mpsync journal post SEQ --why TEXT`",
    ),
    TWIN: (
        JOURNAL_TWIN,
        "look in MPW whether a person received it: if so, `mpsync journal post SEQ --why TEXT`; if the transfer brought"
        " it, `mpsync journal drop SEQ --why TEXT`",
    ),
}
