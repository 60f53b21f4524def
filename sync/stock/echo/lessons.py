"""What proven echoes teach of MPservices: its decimals, the mark, its movements of nothing, what a cost means."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

from sqlalchemy import Connection

from sync.learned.rows import learn, learned, learned_of
from sync.learned.rules import BETWEEN
from sync.ledger.books import Books
from sync.stock.echo.rows import ASKING, Expected, raw_movement, was_shown
from sync.stock.echo.rules import Found, Knows, Line
from sync.values.marks import decimals_of, mark_of, meaning_of, resembles
from sync.values.money import SCALE, exactly_times, plain
from sync.values.subjects import Subject
from sync.values.systems import MPSERVICES

MARK_SURVIVES, ZERO_ECHO = "mark_survives", "zero_echo"
STOCK_DECIMALS, STOCK_CUT = "stock_decimals", "stock_cut"
COST_DECIMALS, COST_CUT = "cost_decimals", "cost_cut"
ECHO_SIGN, SIGNED, UNSIGNED = "echo_sign", "signed", "unsigned"
ECHO_TYPE, ECHO_REFERENCE, COST_IS = "echo_type", "echo_reference", "cost_is"
YES, NO = "yes", "no"
CUT, ROUNDED = "cut", "rounded"
COST_IS_WRONG = "cost_is_wrong"

NO_REFERENCE = "none"
"""What is learnt of an echo without a reference: then a reference tells nothing."""

PLAIN_TYPES = frozenset({"inbound", "outbound"})
"""Types that every movement of people's has: they tell nothing."""

WORDS = {"unit": "one unit", "total": "the whole line"}

Note = Callable[[str, str], None]
"""Writes a fact and its value down."""


def knows(conn: Connection) -> Knows:
    """Return what the echo's rules ask of it."""
    known = learned_of(conn, MPSERVICES)
    decimals, of_cost, sign = known.get(STOCK_DECIMALS), known.get(COST_DECIMALS), known.get(ECHO_SIGN)
    return Knows(
        mark_survives=_flag(known.get(MARK_SURVIVES)),
        zero_echo=_flag(known.get(ZERO_ECHO)),
        stock_decimals=None if decimals is None else int(decimals),
        signed=None if sign is None else sign == SIGNED,
        cost_decimals=None if of_cost is None else int(of_cost),
    )


def learn_from_echo(books: Books, expected: Expected, found: Found) -> None:
    """Write down what an echo shows that is known by more than its mark: it moved what it had to, or nothing."""
    moved, shown, sent = found.quantity, found.line.shown, expected.sent_cost
    proved = _is_proved(found)
    meaning = meaning_of(shown, moved, sent)
    evidence = f"movement {found.line.movement_id}, made by {expected.api_key}"

    def note(fact: str, value: str) -> None:
        learn(books.conn, MPSERVICES, fact, value, evidence=evidence, now=books.now)

    if moved == 0:
        note(ZERO_ECHO, YES)
    elif expected.outcome == ASKING and meaning is None and mark_of(sent):
        _note_unmarked(books, evidence)
    if not proved and meaning is None:
        return
    if mark_of(sent) and not (moved == 0 and shown == 0) and proved:
        note(MARK_SURVIVES, YES if meaning is not None else NO)
    if moved != 0 and found.line.signed and proved:
        signed = moved == found.line.quantity
        if (
            not signed or learned(books.conn, MPSERVICES, ECHO_SIGN) is None
        ):  # one that always says Outbound is right at times
            note(ECHO_SIGN, SIGNED if signed else UNSIGNED)
    _learn_stock(books.conn, expected, found, note)
    # A vendor may show the cost from before the patch: that says nothing of how it keeps ours.
    ours = meaning is not None or not was_shown(books.conn, expected, shown)
    if proved and meaning is None and ours and not (moved == 0 and shown == 0) and resembles(shown, moved, sent):
        _learn_cost(books.conn, shown, moved, sent, note)
    elif proved and meaning is not None:
        _learn_all_kept(books.conn, COST_DECIMALS, sent, note)
    _learn_looks(books.conn, found.line.movement_id, note)
    if moved not in (0, 1, -1) and ours and expected.claimed_seq > 0:
        _learn_meaning(books, shown, moved, sent, meaning, note)


def learn_from_silence(books: Books, expected: Expected) -> None:
    """Write down that a patch which changed nothing made no movement."""
    if expected.believed_quantity == expected.new_stock and learned(books.conn, MPSERVICES, ZERO_ECHO) is None:
        evidence = f"no movement of {expected.api_key} in two reads of the feed"
        learn(books.conn, MPSERVICES, ZERO_ECHO, NO, evidence=evidence, now=books.now)


def learn_from_word(books: Books, line: Line, sent: Decimal) -> None:
    """Write down that the mark is lost, where a person named an echo without it: else each patch is asked about."""
    if mark_of(sent) and meaning_of(line.shown, line.quantity, sent) is None:
        _note_unmarked(books, f"movement {line.movement_id}, which a person named")


def _note_unmarked(books: Books, evidence: str) -> None:
    """Write down that the mark is lost, where an echo without it was told by other means and nothing else is known."""
    if learned(books.conn, MPSERVICES, MARK_SURVIVES) is None:
        learn(books.conn, MPSERVICES, MARK_SURVIVES, NO, evidence=evidence, now=books.now)


def _learn_stock(conn: Connection, expected: Expected, found: Found, note: Note) -> None:
    """A stock with more decimals than its movement shows was rounded or cut."""
    kept = decimals_of(found.quantity)
    wanted = expected.new_stock
    known = learned(conn, MPSERVICES, STOCK_DECIMALS)
    if found.expected is None or not found.explained:
        return
    if found.quantity == found.expected:
        _learn_all_kept(conn, STOCK_DECIMALS, found.quantity, note)  # only the difference is shown, not the stock
        return
    was = wanted - found.expected
    if decimals_of(wanted) <= kept:
        return
    uneven = known is not None and decimals_of(was) > int(known)  # what the vendor had of it before is not known
    if known is not None and int(known) >= kept and (uneven or _kept_with(int(known), found.quantity + was, [wanted])):
        return
    if _may_end_with_zeros(kept, found.quantity + was, [wanted]):
        return
    note(STOCK_DECIMALS, str(kept))
    quantum = Decimal(1).scaleb(-kept)
    cut, rounded = wanted.quantize(quantum, ROUND_DOWN), wanted.quantize(quantum, ROUND_HALF_EVEN)
    if cut != rounded and expected.believed_quantity is not None and decimals_of(expected.believed_quantity) <= kept:
        note(STOCK_CUT, CUT if found.quantity == cut - was else ROUNDED)


def _kept_with(decimals: int, shown: Decimal, sent: Sequence[Decimal]) -> bool:
    """Tell whether a shown number is one of those sent, cut or rounded to so many decimals (zeros at its end count)."""
    unit = Decimal(1).scaleb(-decimals)
    return any(shown in (one.quantize(unit, ROUND_DOWN), *_rounded(one, unit)) for one in sent)


def _may_end_with_zeros(decimals: int, shown: Decimal, sent: Sequence[Decimal]) -> bool:
    """Tell whether a vendor that keeps more decimals than a number needs would show just that number.

    5.1 is what 5.109606 becomes with one decimal, and with two where the vendor cuts: such a number teaches nothing.
    """
    return any(_kept_with(more, shown, sent) for more in range(decimals + 1, SCALE))


def _rounded(number: Decimal, unit: Decimal) -> tuple[Decimal, Decimal]:
    """Return a number rounded, in either way that a vendor may treat a half."""
    return number.quantize(unit, ROUND_HALF_EVEN), number.quantize(unit, ROUND_HALF_UP)


def _learn_all_kept(conn: Connection, fact: str, sent: Decimal, note: Note) -> None:
    """A number that is shown as it was sent contradicts that fewer of its decimals are kept."""
    known = learned(conn, MPSERVICES, fact)
    if known is not None and decimals_of(sent) > int(known):
        note(fact, str(decimals_of(sent)))


def _learn_cost(conn: Connection, shown: Decimal, moved: Decimal, sent: Decimal, note: Note) -> None:
    kept = decimals_of(shown)
    known = learned(conn, MPSERVICES, COST_DECIMALS)
    unit_and_total = [sent, exactly_times(abs(moved), sent)]
    if known is not None and int(known) > kept and _kept_with(int(known), shown, unit_and_total):
        return  # it ends with zeros
    if _may_end_with_zeros(kept, shown, unit_and_total):
        return
    note(COST_DECIMALS, str(kept))
    quantum = Decimal(1).scaleb(-kept)
    for ours in unit_and_total:
        cut, rounded = ours.quantize(quantum, ROUND_DOWN), ours.quantize(quantum, ROUND_HALF_EVEN)
        if cut != rounded and shown in (cut, rounded):
            note(COST_CUT, CUT if shown == cut else ROUNDED)


def learn_from_strange_type(books: Books, found: Found) -> None:
    """Write down how an echo of an unknown type looks: its text is kept only once it is known to be one."""
    evidence = f"movement {found.line.movement_id}, which a patch of ours made"

    def note(fact: str, value: str) -> None:
        learn(books.conn, MPSERVICES, fact, value, evidence=evidence, now=books.now)

    if _is_proved(found):
        _learn_looks(books.conn, found.line.movement_id, note)


def _is_proved(found: Found) -> bool:
    """Tell whether an echo is known by more than its mark: it moved what it had to, or nothing."""
    return found.quantity == 0 or (found.expected is not None and found.explained)


def _learn_looks(conn: Connection, movement_id: str, note: Note) -> None:
    """Its type and its reference, which are in no document: further evidence (`Looks`)."""
    raw = raw_movement(conn, movement_id)
    if raw is None:
        return
    type_, reference = _looks_of(raw)
    if type_:
        note(ECHO_TYPE, type_)
    note(ECHO_REFERENCE, reference or NO_REFERENCE)


@dataclass(frozen=True, slots=True)
class Looks:
    """The one type, and the one reference, that all proven echoes showed; None: they differ, or tell nothing.

    Where two proven echoes differ, one of them may have been people's: then neither is evidence.
    """

    type: str | None = None
    reference: str | None = None

    def are_of(self, raw: str | None) -> bool:
        """Tell whether a movement, as it came, shows either."""
        if raw is None or not (self.type or self.reference):
            return False
        type_, reference = _looks_of(raw)
        return (self.type is not None and type_ == self.type) or (
            self.reference is not None and reference == self.reference
        )


def looks(conn: Connection) -> Looks:
    """Return how all proven echoes looked."""
    known = learned_of(conn, MPSERVICES)
    type_, reference = known.get(ECHO_TYPE), known.get(ECHO_REFERENCE)
    return Looks(
        None if type_ is None or BETWEEN in type_ or type_.lower() in PLAIN_TYPES else type_,
        None if reference is None or BETWEEN in reference or reference == NO_REFERENCE else reference,
    )


def _looks_of(raw: str) -> tuple[str, str]:
    """Return a movement's type and reference, as they are learnt; empty: it shows none."""
    fields = {str(key).lower(): value for key, value in json.loads(raw).items()}
    values = (fields.get("type"), fields.get("reference"))
    type_, reference = (value.strip()[:80] if isinstance(value, str) else "" for value in values)
    return type_, reference


def _learn_meaning(
    books: Books, shown: Decimal, moved: Decimal, sent: Decimal, meaning: str | None, note: Note
) -> None:
    """Tell a unit's cost from a total, which only a quantity other than 0 and 1 can tell apart."""
    unit, total = resembles(shown, Decimal(1), sent), resembles(shown, Decimal(1), exactly_times(abs(moved), sent))
    if meaning is None and unit != total:
        meaning = "unit" if unit else "total"
    if meaning is None:
        return
    note(COST_IS, meaning)
    if meaning != books.policy.cost_is:
        books.open_exception(
            COST_IS_WRONG,
            about=Subject.setting("MPSERVICES_COST_IS"),
            detail=f"MPservices shows {plain(shown)} for a movement of {plain(abs(moved))} at a cost of {plain(sent)}:"
            f" a movement's cost is that of {WORDS[meaning]}, and MPSERVICES_COST_IS says {books.policy.cost_is}."
            " Nothing is patched until that is right; receipts that were posted from movements carry a wrong cost",
            hint=f"put MPSERVICES_COST_IS={meaning} into the settings and restart: the exception resolves itself, and"
            " one about the receipts in MPW that carry a wrong cost asks whether to correct them",
        )


def _flag(value: str | None) -> bool | None:
    return None if value is None else value == YES
