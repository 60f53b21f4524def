"""Telling the movements that our own stock patches make from those of people.

Called in the transaction that takes in movements, whenever a patch is recorded, and before items are
compared: whatever is known then is enough, and a second call with the same facts changes nothing.
The rule is `stock/echo/rules.py`; this module loads what it asks for, and writes down what it says.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from sync.ledger.books import Books
from sync.ledger.entries import entries_by_id, last_seq
from sync.ledger.item_states import beliefs, forget_base, mark_dirty, save_item_state, unfit_patches
from sync.ledger.movement_lines import lines_of
from sync.ledger.quarantine import concerns
from sync.ledger.rules import ADJUSTMENT
from sync.outbox.machine import WORKER_STOPPED
from sync.outbox.watch import check_now
from sync.stock.echo.lessons import Looks, knows, learn_from_echo, learn_from_silence, learn_from_word, looks
from sync.stock.echo.rows import (
    ABSENT,
    ASKING,
    FOUND,
    NO_MOVEMENT,
    SEVERAL,
    SILENT,
    UNSENT,
    Expected,
    act_again,
    ask_about,
    base_of,
    close_doubt,
    close_echo,
    doubtful_movements,
    doubts_decided_by_people,
    expectation,
    expectations,
    first_whole_read_after,
    follow_ups_in_a_row,
    hold_for,
    items_with_open_echoes,
    last_position,
    line_of,
    lines_to_settle,
    note_acted,
    open_doubts,
    people_moved_late,
    raw_movement,
    set_role,
    undecided_lines,
    whole_reads_after,
)
from sync.stock.echo.rules import (
    DRAINS_DUE,
    PROMPT,
    Ask,
    Attempt,
    Doubt,
    Found,
    Line,
    NoMovement,
    Silent,
    Told,
    Wait,
    Window,
    may_land_later,
    tell,
    window_of,
    window_unanswered,
)
from sync.stock.facts import ECHO_UNDECIDED
from sync.stock.rules import FOLLOW_UPS_MAX
from sync.values.marks import meaning_of
from sync.values.money import plain, times
from sync.values.policy import Policy
from sync.values.subjects import Subject

DRAIN_FLOW = "poll.mpservices.movements"
"""The flow whose runs are the whole reads of the feed."""

PLACE_MAX = 2**31 - 1
"""Behind all that bears the same stamp: the place of a movement that no table holds yet."""

STOCK_DRIFT = "stock_drift"
DID_NOTHING = frozenset({"not_sent", "429", "401", "rejected", "given_back"})
"""Outcomes of an attempt that provably did nothing."""


def settle_echoes(
    books: Books, external_ids: Iterable[str], *, strange: Mapping[str, Sequence[Line]] | None = None
) -> dict[str, Found]:
    """Decide what can be decided about these items' undecided movements.

    An echo is filed anew as an adjustment (reversal and original, same api_key) and fixes the item's
    base. A movement of people's becomes an event, which reconcile is told to look at (`parked`).
    `strange`: by item, movements of a type that we do not know, which no table holds; returned are those that are
    echoes, by their movement's id.
    """
    ids = sorted(set(external_ids))
    found: dict[str, Found] = {}
    known = expectations(books.conn, ids, since=books.now - books.policy.window)
    for item in ids:
        extra = (strange or {}).get(item, ())
        found |= _settle_item(books, item, known.get(item, []), extra)
    _explain_drifts(books, ids)
    return found


def settle_all(books: Books) -> None:
    """Settle every open expectation, and the doubts that people have decided."""
    settle_echoes(books, items_with_open_echoes(books.conn))
    for row in doubts_decided_by_people(books.conn):
        _settle_doubt(books, json.loads(row.facts))
        note_acted(books, row.id)


def close_absent(books: Books, outbox_id: int, *, unsent: bool) -> None:
    """Close the expectation of a patch that provably had no effect, or of which none was found in time.

    What may still be its echo goes on being held, and the next patch is its follow-up; the rest is people's.
    """
    expected = expectation(books.conn, outbox_id)
    if expected is None or expected.outcome is not None:
        return
    item = expected.external_id
    if not unsent:
        told, _ = _tell(books, item, [expected], ())
        finding = told.findings.get(expected.id)
        if isinstance(finding, Wait) and finding.lines:
            ask_about(books, expected.id, finding.lines, stock=expected.new_stock)
            return
    close_echo(books, expected.id, UNSENT if unsent else ABSENT)
    _settle_item(books, item, expectations(books.conn, [item], since=books.now - books.policy.window).get(item, []), ())


# --- one item ------------------------------------------------------------------------------


def _settle_item(books: Books, item: str, known: Sequence[Expected], strange: Sequence[Line]) -> dict[str, Found]:
    told, lines = _tell(books, item, known, strange)
    asking = {one.id for one in known if one.outcome == ASKING}
    if books.run_id is None and asking and (asking - {line.asked for line in lines} or concerns(books.conn, item)):
        return {}  # only a reading shows movements of types that no table holds
    echoes: dict[str, Found] = {}
    asked = any(one.outcome == "asking" and isinstance(told.findings.get(one.id), Found) for one in known)
    for expected in known:
        finding = told.findings.get(expected.id)
        if isinstance(finding, Found):
            echoes[finding.line.movement_id] = finding
        if finding is not None:
            _write(books, expected, finding, lines, proved=asked)
    if any(one.outcome == ASKING or isinstance(told.findings.get(one.id), Ask) for one in known):
        _end_question(books, item, told, [line for line in lines if line.movement_id not in echoes])
    ours = {line.api_key for line in lines if line.movement_id in echoes}
    free = [line for line in lines if line.undecided and line.api_key not in told.held | ours]
    _release(books, _not_in_doubt(books.conn, free))
    if lines:
        _take_late_ones(books, item, lines)
    return echoes


def _tell(books: Books, item: str, known: Sequence[Expected], strange: Sequence[Line]) -> tuple[Told, list[Line]]:
    base = base_of(books.conn, item)
    lines = [
        *lines_to_settle(books.conn, item, base, seen_after=min((one.claimed_seq for one in known), default=2**62))
    ]
    lines += strange
    if not known:
        return Told(), lines
    if any(one.outcome == ASKING for one in known):
        lines = _with_looks(books.conn, lines)
    asked = max((one.id for one in known if one.outcome == "asking"), default=0)
    silent = [one for one in known if one.outcome == NO_MOVEMENT]
    attempts = [
        _attempt(
            books,
            one,
            again=any(other.id < one.id and (other.outbox_id == one.outbox_id or other.id > asked) for other in silent),
        )
        for one in known
    ]
    return tell([one for one in attempts if one is not None], base, lines, knows(books.conn)), lines


def _with_looks(conn: Connection, lines: Sequence[Line]) -> list[Line]:
    """Say of the lines in question whether they look as proven echoes do; whose text is forgotten looks as nothing."""
    ours = looks(conn)
    return [
        replace(line, alike=ours.are_of(raw_movement(conn, line.movement_id)))
        if line.asked is not None and line.undecided and line.entry_id is not None and ours != Looks()
        else line
        for line in lines
    ]


def _attempt(books: Books, expected: Expected, *, again: bool) -> Attempt | None:
    """Return an expectation as the rules know it; None: it provably had no effect."""
    if expected.landed_as in DID_NOTHING:
        return None
    landed: bool | None = True if expected.landed_as in ("done", "landed") else None
    if landed is None and expected.is_last and expected.state == "done":
        landed = True  # by a person's word, or by its own evidence
    status = expected.http_status
    over = landed is None and status is not None and not may_land_later(status)
    reads, prompt = 0, False
    if expected.read_after is not None:
        reads = whole_reads_after(books.conn, DRAIN_FLOW, expected.read_after, run_id=books.run_id, limit=DRAINS_DUE)
        first = first_whole_read_after(books.conn, DRAIN_FLOW, expected.read_after, run_id=books.run_id)
        ended = _seen_to_end(expected, books.policy)
        prompt = first is not None and ended is not None and abs(first - ended) <= PROMPT
    return Attempt(
        id=expected.id,
        new_stock=expected.new_stock,
        sent_cost=expected.sent_cost,
        claimed=expected.claimed_seq,
        landed=landed,
        reads=reads,
        window=_window(expected, books, ended=bool(landed) or over),
        prompt=prompt,
        over=over,
        asks=expected.outcome == "asking",
        closed=expected.outcome in (SILENT, NO_MOVEMENT, ABSENT),
        absent=expected.outcome == ABSENT or (expected.outcome == "asking" and landed is None),
        again=again,
    )


def _seen_to_end(expected: Expected, policy: Policy) -> datetime | None:
    """Return when a call ended, if we saw it end: the sweep ends what a crash left open."""
    if expected.started_at is None or expected.ended_at is None or expected.error == WORKER_STOPPED:
        return None
    return expected.ended_at if expected.ended_at - expected.started_at <= policy.request_timeout else None


def _window(expected: Expected, books: Books, *, ended: bool) -> Window:
    """Return when the patch can have been made: up to its answer, where one came that ended it, were it unreadable."""
    started = expected.started_at or books.now
    if ended or expected.answered_at is not None:
        window = window_of(started, expected.ended_at, expected.answered_at)
        return window if ended else replace(window, last=None)
    return window_unanswered(started, call_max=books.policy.request_timeout, ahead=expected.ahead)


# --- writing it down ------------------------------------------------------------------------


def _write(
    books: Books,
    expected: Expected,
    finding: Found | Silent | NoMovement | Ask | Doubt | Wait,
    lines: Sequence[Line],
    *,
    proved: bool,
) -> None:
    """Write a finding down. `proved`: an echo in question is known now, so that a silent follow-up has proved it."""
    match finding:
        case Found():
            _write_found(books, expected, finding, lines)
        case Silent():
            close_echo(books, expected.id, SILENT)
            learn_from_silence(books, expected)
            if finding.stock is not None:
                _rebase(books, expected, finding.stock, lines, proved=proved)
            elif proved or expected.believed_quantity != expected.new_stock:
                forget_base(books, expected.external_id)
        case NoMovement():
            close_echo(books, expected.id, NO_MOVEMENT)
        case Ask():
            ask_about(books, expected.id, finding.lines, stock=finding.stock)
            mark_dirty(books, [expected.external_id])
        case Doubt():
            _ask_people(books, expected, finding)
        case Wait():
            hold_for(books.conn, expected.id, finding.lines)
            return
    check_now(books, expected.outbox_id)


def _write_found(books: Books, expected: Expected, finding: Found, lines: Sequence[Line]) -> None:
    line = finding.line
    drift = None if finding.expected is None else finding.expected - finding.quantity
    close_echo(
        books,
        expected.id,
        FOUND,
        movement_id=line.movement_id,
        line_n=line.n,
        quantity=finding.quantity,
        drift=drift or None,
    )
    if line.entry_id is not None:
        set_role(books.conn, line, "echo", entry_id=_file_as_adjustment(books, line.entry_id, finding.quantity))
    learn_from_echo(books, expected, finding)
    base = base_of(books.conn, expected.external_id)
    if expected.outcome != "asking" and (expected.is_last or base is None or line.position > base.position):
        _rebase(books, expected, finding.stock, lines, proved=True)
    if finding.expected is not None:  # a follow-up says nothing of fitting: it asks
        unfit = 0 if finding.explained else unfit_patches(books.conn, expected.external_id) + 1
        save_item_state(books.conn, expected.external_id, {"unfit_patches": unfit})
    if not finding.explained and drift:
        _tell_drift(books, expected, line, drift)


def _rebase(books: Books, expected: Expected, stock: Decimal, lines: Sequence[Line], *, proved: bool) -> None:
    """Believe in a stock from now on: all that is known so far is in it."""
    item = expected.external_id
    positions = [line.position if line.entry_id is not None else (line.created_at, PLACE_MAX) for line in lines]
    last = last_position(books.conn, item)
    at, place = max([*positions, *([last] if last else [])], default=(expected.started_at or books.now, 0))
    base = {
        "base_quantity": stock,
        "base_at": at,
        "base_place": place,
        "base_verified": proved,
        "base_seq": last_seq(books.conn),
        "base_cost": expected.sent_cost,
        "mps_unit_cost": expected.new_cost,
        "last_patched_at": expected.finalized_at or expected.last_sent_at or books.now,
    }
    save_item_state(books.conn, item, base)
    _note_belief(books.conn, item)
    mark_dirty(books, [item])


def _take_late_ones(books: Books, item: str, lines: Sequence[Line]) -> None:
    """Count what was shown late and provably came after the patch: it shows the patch's own mark."""
    base = base_of(books.conn, item)
    if base is None:
        return
    late = [line for line in lines if line.entry_id is not None and line.seen > base.seq and not line.ours]
    late = [line for line in late if line.position <= base.position]
    if not late:
        return
    marked = [line for line in late if base.cost is not None and meaning_of(line.shown, line.quantity, base.cost)]
    if marked:
        moved = sum((line.quantity for line in marked), Decimal(0))
        save_item_state(books.conn, item, {"base_quantity": base.quantity + moved, "base_seq": last_seq(books.conn)})
        _note_belief(books.conn, item)


def _explain_drifts(books: Books, items: Collection[str]) -> None:
    """Resolve each drift for which a movement of that size turned up: shown late, or without its external id before."""
    for facts in open_doubts(books.conn, STOCK_DRIFT, items):
        item, drift = facts["external_id"], Decimal(facts["drift"])
        if late := people_moved_late(books.conn, item, drift, shown_by=facts["movement"]):
            note = f"movement {late}, which the feed showed late or of another item before, explains it"
            books.resolve_exceptions(STOCK_DRIFT, about=Subject.stock_of(item), resolution=note)


def _tell_drift(books: Books, expected: Expected, line: Line, drift: Decimal) -> None:
    item, more = expected.external_id, "more" if drift > 0 else "less"
    books.open_exception(
        STOCK_DRIFT,
        about=Subject.stock_of(item),
        detail=f"MPservices had {plain(abs(drift))} {more} of {item} than its movements say, when patch"
        f" {expected.api_key} reached it: movement {line.movement_id} shows it. Nothing of it went to MPW, whose"
        " stock stands in both systems now",
        hint="find out who changed the stock of it without a movement, and count it; correct MPW if the count differs."
        " Then `mpsync exceptions resolve ID --why TEXT`. It resolves itself if a movement of that size turns up",
        facts={"external_id": item, "drift": plain(drift), "movement": line.movement_id},
    )


def _file_as_adjustment(books: Books, entry_id: int, quantity: Decimal) -> int:
    """File a movement's entry anew as an adjustment under the same key; return the new entry's id.

    `quantity`: what it moved, signed by what must hold.
    """
    old = entries_by_id(books.conn, [entry_id])[entry_id]
    return books.file_again(entry_id, kind=ADJUSTMENT, quantity=quantity, amount=times(quantity, old.unit_cost))


def _note_belief(conn: Connection, external_id: str) -> None:
    believed = beliefs(conn, [external_id])[external_id].quantity
    save_item_state(conn, external_id, {"mps_quantity": believed})


# --- a person's choice -----------------------------------------------------------------------


def _end_question(books: Books, item: str, told: Told, lines: Sequence[Line]) -> None:
    """Put a question to a person that as many follow-ups as may be sent did not settle, whatever the rules say of it.

    Where no movement is in question, there is none to name: a person says so, and the next patch starts afresh.
    """
    known = expectations(books.conn, [item], since=books.now).get(item, [])
    asking = [one for one in known if one.outcome == ASKING]
    sent = follow_ups_in_a_row(books.conn, [item]).get(item, 0)
    if not asking or sent < FOLLOW_UPS_MAX or any(one.closed_at is None for one in known):
        return
    reason = f"{sent} follow-up patches did not tell"
    doubts = {one.id: Doubt(_in_question(one, told, lines), reason) for one in asking}
    for one in asking:
        _ask_people(books, one, doubts[one.id])
        check_now(books, one.outbox_id)
    if not any(doubt.lines for doubt in doubts.values()):
        _open_doubt(books, asking[-1], doubts[asking[-1].id])


def _in_question(expected: Expected, told: Told, lines: Sequence[Line]) -> tuple[Line, ...]:
    finding = told.findings.get(expected.id)
    asked = finding.lines if isinstance(finding, Ask) else ()
    return tuple(line for line in lines if line.undecided and (line in asked or line.asked == expected.id))


def _ask_people(books: Books, expected: Expected, doubt: Doubt) -> None:
    """Leave the choice to a person: none of the movements is forwarded, and the item is not patched until then."""
    close_echo(books, expected.id, SEVERAL)
    hold_for(books.conn, expected.id, doubt.lines)
    if not doubt.lines:
        forget_base(books, expected.external_id)
        return
    _open_doubt(books, expected, doubt)


def _open_doubt(books: Books, expected: Expected, doubt: Doubt) -> None:
    told = "; ".join(
        f"{line.movement_id} of {line.created_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, "
        f"{plain(line.quantity)} at {plain(line.shown)}"
        for line in doubt.lines
    )
    books.open_exception(
        ECHO_UNDECIDED,
        about=Subject.event(expected.api_key if expected.is_last else f"{expected.api_key} attempt {expected.n}"),
        detail=f"our patch of {expected.external_id} to {plain(expected.new_stock)} at {plain(expected.new_cost)} made "
        f"a movement, and it is not clear which: {doubt.reason}. {told or 'No movement is in question any more'}",
        hint="look in MPservices which one is the stock update, then `mpsync exceptions resolve ID --echo MOVEMENT_ID"
        " --why TEXT`; or `--none` if people made all of them. The others go to MPW as people's"
        if doubt.lines
        else "`mpsync exceptions resolve ID --none --why TEXT`: the next patch starts from an unknown stock",
        facts={
            "external_id": expected.external_id,
            "outbox_id": expected.outbox_id,
            "echo_id": expected.id,
            "new_stock": plain(expected.new_stock),
            "sent_cost": plain(expected.sent_cost),
            "movements": [line.movement_id for line in doubt.lines],
        },
    )


def _settle_doubt(books: Books, facts: Mapping[str, Any]) -> None:
    """Act on a person's word: the movement it names is the echo, the others of the doubt are people's."""
    external_id, doubtful = str(facts["external_id"]), set(facts["movements"])
    lines = [line for line in undecided_lines(books.conn, external_id) if line.movement_id in doubtful]
    named = (facts.get("decision") or {}).get("echo")
    echo = next((line_of(row) for row in lines_of(books.conn, [named]).get(named, ())), None) if named else None
    open_still = "echo_id" in facts and close_doubt(books, int(facts["echo_id"]), named, echo)
    if not lines and not open_still:
        return  # settled before
    if echo is not None and echo.undecided and echo.entry_id is not None:
        set_role(books.conn, echo, "echo", entry_id=_file_as_adjustment(books, echo.entry_id, echo.quantity))
    if echo is not None and "sent_cost" in facts:
        learn_from_word(books, echo, Decimal(facts["sent_cost"]))
    _release(books, [line for line in lines if line.movement_id != named])
    _start_afresh(books, external_id, facts)


def _start_afresh(books: Books, external_id: str, facts: Mapping[str, Any]) -> None:
    forget_base(books, external_id)  # what there is now, the next patch shows
    save_item_state(books.conn, external_id, {"unfit_patches": 0})
    check_now(books, int(facts["outbox_id"]))


def _not_in_doubt(conn: Connection, lines: list[Line]) -> list[Line]:
    """Return the lines that no person has been asked about.

    One that a person has decided about, and that came up since (shown late, added, taken in again), goes the way of
    that decision: it is acted on once more.
    """
    if not lines:
        return lines
    doubtful = doubtful_movements(conn, ECHO_UNDECIDED)
    act_again(conn, {doubtful[line.movement_id] for line in lines if line.movement_id in doubtful})
    return [line for line in lines if line.movement_id not in doubtful]


def _release(books: Books, lines: Iterable[Line]) -> None:
    """Take lines for people's: reconcile, which may have passed over them, is to look at them.

    Those too that were taken back, which have no entry: nothing is left to decide about them.
    """
    released = list(lines)
    entries = entries_by_id(books.conn, [line.entry_id for line in released if line.entry_id is not None])
    for line in released:
        set_role(books.conn, line, "event")
    # reconcile may have passed over them while they were undecided
    books.look_again([(entry.kind, entry.api_key) for entry in entries.values()], reason="late decision")
