"""What a person corrects: openings and counts, entries on other accounts, and what is kept out of batches.

Each is an entry of its own, or a row of its own, with who and why; nothing that was booked is changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection

from sync.database.engine import lock_appends
from sync.errors import ConfigError
from sync.journal import rows as stored
from sync.journal.account_rows import load_rules
from sync.journal.accounts import Accounts
from sync.journal.derive import JOURNAL_TERMS, OPENING_SEQ, Fixed, terms_in_force, wanted_terms
from sync.journal.rules import ADJUST, ADJUSTMENT, EXPENSED, MPSYNC, OPENING, RECLASS, Entry, Facts, Place, Position
from sync.ledger.books import Books
from sync.ledger.entries import last_seq
from sync.values.money import fixed, to_micros
from sync.work.context import Context

USES = ("opening", "variance")
ADJUST_COLUMNS = ("item", "warehouse", "quantity", "value")
RECLASS_COLUMNS = ("entry_id", "item", "warehouse", "account")
Lines = Sequence[tuple[int, Mapping[str, str]]]
Errors = list[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Corrected:
    """How many entries were made, or what is wrong, line by line: then none was."""

    entries: int
    errors: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Words:
    """What a person said."""

    on: date
    why: str
    by: str


def adjust(ctx: Context, lines: Lines, *, use: str, on: date, why: str, by: str, deliver: bool = False) -> Corrected:
    """Book quantities and values onto positions, against the account of a use; whole or not at all.

    An opening is in the ERP's books already: it is given only with `deliver`. What it counted is remembered: a later
    reversal of something older than it is then booked.
    """
    terms = _terms(ctx)
    with ctx.anyone_writes() as books:
        conn = books.conn
        lock_appends(conn)
        terms = terms_in_force(conn, terms)
        version, rules = load_rules(conn)
        read, errors = _read_adjustments(lines, terms)
        chart = Accounts(rules, version)
        positions = stored.positions_of(conn, {item for _, (item, _), _, _ in read})
        made: list[Entry] = []
        next_id = stored.next_entry_id(conn)
        for line, place, quantity, value in read:
            facts = Facts(part=place[0], warehouse=place[1] or None)
            inventory, counter = (chart.find(one, facts, on.isoformat()) for one in ("inventory", use))
            if place not in positions and inventory is not None:
                positions[place] = Position(inventory.account)
            if counter is None or place not in positions:
                errors.append((line, f"no rule of accounts says where its {use if counter is None else 'stock'} goes"))
                continue
            if positions[place].account == EXPENSED:
                errors.append((line, f"{place[0]} is expensed when it is received: it has no value in stock"))
                continue
            booked_by = OPENING if use == "opening" and not deliver else MPSYNC
            amount = positions[place].take(quantity, value, terms.unit)
            rounding = value - amount
            rounding_to = chart.find("rounding", facts, on.isoformat())
            made.append(
                _entry(
                    next_id + len(made),
                    ADJUST,
                    place,
                    quantity,
                    account=positions[place].account,
                    amount=amount,
                    counter_account=counter.account,
                    counter_amount=-value,
                    rounding_account=rounding_to.account if rounding and rounding_to else None,
                    rounding_amount=rounding,
                    words=_Words(on, why, by),
                    booked_by=booked_by,
                    version=version,
                )
            )
        if errors:
            return Corrected(0, tuple(sorted(errors)))
        _append(books, made, positions, {place for _, place, _, _ in read})
        books.note_fact(JOURNAL_TERMS, terms.text())
        if use == "opening":
            books.note_fact(OPENING_SEQ, str(last_seq(conn)))
    return Corrected(len(made))


def _read_adjustments(lines: Lines, terms: Fixed) -> tuple[list[tuple[int, Place, int, int]], Errors]:
    read: list[tuple[int, Place, int, int]] = []
    errors: Errors = []
    for line, row in lines:
        try:
            quantity, value = (to_micros(fixed(row.get(name) or "0")) for name in ("quantity", "value"))
        except ValueError as error:
            errors.append((line, str(error)))
            continue
        if not row.get("item"):
            errors.append((line, "no item"))
        elif value % terms.unit:
            errors.append((line, f"value has more than {terms.decimals} decimals, and accounts have no more"))
        else:
            read.append((line, (row["item"], row.get("warehouse") or ""), quantity, value))
    return read, errors


def reclass(ctx: Context, lines: Lines, *, on: date, why: str, by: str) -> Corrected:
    """Book the counter line of entries, or whole positions, on other accounts; whole or not at all.

    A line names an entry_id and its new account, or an item, its warehouse and the new account.
    """
    _terms(ctx)
    words = _Words(on, why, by)
    with ctx.anyone_writes() as books:
        conn = books.conn
        lock_appends(conn)
        version, _ = load_rules(conn)
        of_entries = [(line, row) for line, row in lines if row.get("entry_id")]
        of_positions = [(line, row) for line, row in lines if not row.get("entry_id")]
        made: list[Entry] = []
        errors: Errors = [(line, "no account") for line, row in lines if not row.get("account")]
        next_id = stored.next_entry_id(conn)
        _move_entries(conn, of_entries, made, errors, next_id, words, version)
        positions = stored.positions_of(conn, {row.get("item", "") for _, row in of_positions})
        touched = _move_positions(of_positions, positions, made, errors, next_id, words, version)
        if errors:
            return Corrected(0, tuple(sorted(set(errors))))
        _append(books, made, positions, touched)
    return Corrected(len(made))


def _move_entries(
    conn: Connection, lines: Lines, made: list[Entry], errors: Errors, next_id: int, words: _Words, version: int
) -> None:
    """Take each entry back and book it again with another counter account: two entries, whose sum moves the line."""
    ids = {int(row["entry_id"]) for _, row in lines if row["entry_id"].isdecimal()}
    known = stored.entries_by_id(conn, ids)
    moved = stored.moved_counters(conn, known)
    taken_back = stored.taken_back(conn, known)
    for line, row in lines:
        entry = known.get(int(row["entry_id"])) if row["entry_id"].isdecimal() else None
        if entry is None or entry.origin not in ("ledger", ADJUST):
            errors.append((line, f"{row['entry_id']}: there is no such entry of a movement"))
        elif entry.booked_by != MPSYNC:
            errors.append((line, f"{entry.id}: the ERP has it in its own books, and moves it there"))
        elif entry.id in taken_back:
            errors.append((line, f"{entry.id}: it was taken back or handed over, so there is nothing to move"))
        elif entry.counter_warehouse is not None:
            errors.append((line, f"{entry.id}: a transfer's accounts are those of its positions; move these"))
        else:
            for sign, account in ((-1, moved.get(entry.id, entry.counter_account)), (1, row["account"])):
                made.append(
                    entry._replace(
                        id=next_id + len(made),
                        ledger_id=None,
                        reverses_id=entry.id,
                        origin=RECLASS,
                        quantity=sign * entry.quantity,
                        occurred_on=min(entry.occurred_on, words.on.isoformat()),
                        posted_on=words.on.isoformat(),
                        amount=sign * entry.amount,
                        counter_account=account,
                        counter_amount=sign * entry.counter_amount,
                        rounding_amount=sign * entry.rounding_amount,
                        why=words.why,
                        made_by=words.by,
                        rules_version=version,
                    )
                )


def _move_positions(
    lines: Lines,
    positions: Mapping[Place, Position],
    made: list[Entry],
    errors: Errors,
    next_id: int,
    words: _Words,
    version: int,
) -> set[Place]:
    """Move what an account holds of a position to another, where it stays from then on."""
    touched: set[Place] = set()
    for line, row in lines:
        place = (row.get("item", ""), row.get("warehouse", ""))
        position = positions.get(place)
        if position is None or position.account == EXPENSED or row.get("account") == EXPENSED:
            errors.append((line, f"{place[0]} in {place[1] or 'no warehouse'} has no account of stock to move"))
            continue
        made.append(
            _entry(
                next_id + len(made),
                RECLASS,
                place,
                position.quantity,
                account=row.get("account", ""),
                amount=position.booked,
                counter_account=position.account,
                counter_amount=-position.booked,
                rounding_account=None,
                rounding_amount=0,
                words=words,
                booked_by=MPSYNC,
                version=version,
            )._replace(counter_warehouse=place[1], counter_quantity=-position.quantity)
        )
        position.account = row.get("account", "")
        touched.add(place)
    return touched


def set_held(ctx: Context, entry_ids: Sequence[int], *, held: bool, why: str, by: str) -> int:
    """Keep entries out of batches, or let them go; raises ConfigError, and does nothing, for one that was given."""
    with ctx.anyone_writes() as books:
        conn = books.conn
        lock_appends(conn)
        known = stored.entries_by_id(conn, entry_ids)
        given = stored.in_batches(conn, entry_ids)
        wrong = [f"{one}: there is no such entry" for one in entry_ids if one not in known]
        wrong += [f"{one}: the ERP was given it already, in {given[one]}" for one in entry_ids if one in given]
        if wrong:
            raise ConfigError(f"nothing was changed; {'; '.join(wrong)}", hint="`mpsync journal show KEY` has the ids")
        stored.note_holds(books, entry_ids, held=held, why=why, by=by)
    return len(known)


def _terms(ctx: Context) -> Fixed:
    wanted = wanted_terms(ctx)
    if wanted is None:
        raise ConfigError("there is no journal", hint="set SYNC_JOURNAL_FROM, then see what `mpsync doctor` says")
    return wanted


def _append(books: Books, made: list[Entry], positions: Mapping[Place, Position], touched: set[Place]) -> None:
    stored.append(books, made)
    stored.save_positions(books.conn, positions, touched)


def _entry(
    id_: int,
    origin: str,
    place: Place,
    quantity: int,
    *,
    account: str,
    amount: int,
    counter_account: str,
    counter_amount: int,
    rounding_account: str | None,
    rounding_amount: int,
    words: _Words,
    booked_by: str,
    version: int,
) -> Entry:
    day = words.on.isoformat()
    return Entry(
        id=id_,
        ledger_id=None,
        reverses_id=None,
        origin=origin,
        kind=ADJUSTMENT,
        api_key=f"mpsync-{origin[0]}-{id_}",
        item=place[0],
        warehouse=place[1] or None,
        quantity=quantity,
        counter_warehouse=None,
        counter_quantity=None,
        occurred_on=day,
        posted_on=day,
        account=account,
        amount=amount,
        counter_account=counter_account,
        counter_amount=counter_amount,
        rounding_account=rounding_account,
        rounding_amount=rounding_amount,
        cost_center=None,
        vendor=None,
        purchase_order=None,
        invoice=None,
        equipment=None,
        work_order=None,
        why=words.why,
        made_by=words.by,
        booked_by=booked_by,
        rules_version=version,
    )
