"""POST /issuances: a key that exists is refused, and so is more than the current receipt holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from sqlalchemy import Connection

from sync.clients.written import Written
from sync.errors import InvariantError, RejectedError, RemoteError
from sync.ledger.books import Books
from sync.outbox.evidence import Proof, adds_up, differences
from sync.outbox.issuance_parts import Part, finish_part, oldest_remaining, parts, plan_part
from sync.outbox.machine import (
    POST_ISSUANCE,
    Absent,
    Conflict,
    Delivered,
    Later,
    More,
    NoStock,
    Outcome,
    Refused,
    Transition,
    Unclear,
    Verdict,
    absence_counts_at,
)
from sync.outbox.rows import DENIED_TRIES, Push, attempts_of
from sync.outbox.shortage import TAKE, Take, left_of, takes_of, total_of
from sync.outbox.shown import shown_rows
from sync.push.operations.base import AlreadyDone, GiveUp, Go, Operation, Preparation, TooLittle
from sync.push.operations.issuance_day import DaySeen, Wanted, judged, look, parts_there
from sync.push.operations.issuance_learnt import Refusal, learn_exists_said, learn_fraction, shows_markers
from sync.push.operations.payload_fields import fields_of, frozen, number, text
from sync.push.operations.posted_rows import claim_rows, judged_answer, mpw
from sync.push.operations.stock_first import too_little
from sync.push.refusals import maximum_in
from sync.values.keys import child_key
from sync.values.money import fixed, plain
from sync.values.systems import MPW
from sync.work.context import Context

PARTS_MAX = 100
"""More receipts than any issuance should need: past it something else is wrong, and a person looks."""


_SPLIT_BY_MPW = ("equipment_unit_number", "work_order_sequential_id")


@dataclass(frozen=True, slots=True)
class _Split:
    """What the next part is to be: planned in the transaction that records the refusal."""

    part: Part


@dataclass(frozen=True, slots=True)
class _PartDone:
    """A part that is there."""

    n: int


class PostIssuance(Operation):
    """An issuance in MPW (Issuances - POST), in parts where the current receipt does not hold it."""

    name = POST_ISSUANCE
    system = MPW

    def prepare(self, ctx: Context, rows: Sequence[Push]) -> dict[int, Preparation]:
        """Find which part is next."""
        (row,) = rows
        with ctx.read() as conn:
            shown = self.shown(conn, row) if row.tries else None
        if isinstance(shown, Delivered):
            return {row.id: AlreadyDone(shown.evidence, shown.remote_ids, shown.data)}
        part = _current(ctx, row)
        if part is None:
            return {row.id: AlreadyDone("all its parts are there")}
        if part.n > PARTS_MAX:
            return {
                row.id: GiveUp(f"more than {PARTS_MAX} parts", "push_dead", "enter the rest in MPW, then resolve it")
            }
        with ctx.read() as conn:
            known = parts(conn, row.id)
        unrecorded = None if known else _unrecorded_parts(ctx, row)
        short = None if unrecorded is not None else _too_little(ctx, row, part, known)
        return {row.id: unrecorded or short or Go(sent_key=part.api_key)}

    def claimed(self, books: Books, row: Push) -> None:
        """Have the part on record before it is sent."""
        part = _next(row, parts(books.conn, row.id))
        if part is not None and part.n > 0:
            plan_part(books.conn, row.id, part)

    def send(self, ctx: Context, rows: Sequence[Push]) -> dict[int, Outcome]:
        """Post the whole, or the part that is next."""
        (row,) = rows
        part = _current(ctx, row)
        if part is None:
            raise InvariantError(f"outbox {row.id}: no part is left to send")
        wanted = _wanted(ctx, row, part)
        try:
            written = mpw(ctx).post_issuance(_body(row, part, wanted))
        except RejectedError as error:
            return {row.id: _explained(ctx, row, part, wanted, error)}
        return {row.id: _accepted(ctx, row, part, wanted, written)}

    def shown(self, conn: Connection, row: Push) -> Delivered | Conflict | More | None:
        """Ask what the polls have seen under its key: what was known to be there, and the part in question."""
        known = parts(conn, row.id)
        part = _next(row, known)
        seen = shown_rows(conn, "issuance", row)
        if part is None or not seen:
            return None
        sent = fields_of(row.payload)
        there = _there(known)
        shown = [one.quantity for one in seen]
        if sum(shown, Decimal(0)) != there + part.quantity and (
            not adds_up(there + part.quantity, shown) or (there > 0 and adds_up(there, shown))
        ):
            return None  # also where a small part could hide in the rounding of those that were there before it
        but = ("quantity", "warehouse_name") if TAKE in row.facts else ("quantity",)
        if any(differences(self.name, sent, one.fields, but=but) for one in seen):
            return None
        ids = tuple(one.remote_id for one in seen)
        found = Delivered(f"a poll has seen it in MPW with equal fields, id {', '.join(ids)}", ids)
        return _progress(row, part, found, known)

    def verify(self, ctx: Context, row: Push) -> Verdict:
        """Look for its key in its day."""
        part = _current(ctx, row)
        if part is None:
            return Delivered("all its parts are there")
        wanted = _wanted(ctx, row, part)
        found = judged(look(ctx, wanted), wanted)
        if isinstance(found, Delivered):
            return _whole(ctx, row, part, found)
        if found is not None:
            return found
        sure_at = absence_counts_at(row.last_sent_at or row.created_at, ctx.policy.late_arrival)
        if ctx.clock.now() >= sure_at:
            if not shows_markers(ctx):
                return Absent("its day shows no key of ours: sent again under its key, MPW says whether that exists")
            return Absent(f"its day does not have {part.api_key}")
        return Later(sure_at, "not there yet; a late call may still land")

    def after(self, books: Books, row: Push, to: Transition) -> None:
        """Keep the parts, and know the rows as ours."""
        data = getattr(to.cause, "data", None)
        if isinstance(data, _Split):
            plan_part(books.conn, row.id, data.part)
        elif isinstance(data, _PartDone):
            finish_part(books.conn, row.id, data.n, to.remote_ids)
        if to.state == "done" and to.outcome == "verified" and isinstance(to.cause, Delivered) and to.remote_ids:
            learn_exists_said(books, row.api_key, to.cause.evidence)
        claim_rows(books, row, "issuance", to.remote_ids)


# --- parts --------------------------------------------------------------------------------


def _takes(row: Push) -> tuple[Take, ...]:
    fields = fields_of(row.payload)
    return takes_of(row.facts, text(fields.get("warehouse_name")), fixed(fields["quantity"]))


def _total(row: Push) -> Decimal:
    """Return how much of it is to be there: all, unless a person has said to post what there is."""
    return total_of(_takes(row))


def _there(known: Sequence[Part]) -> Decimal:
    return sum((part.quantity for part in known if part.state == "done"), Decimal(0))


def _next(row: Push, known: Sequence[Part]) -> Part | None:
    """Return what is to be sent: the whole (n = 0), the planned part, or a part for all that is left; None: nothing.

    A part is of one warehouse, and where a person has chosen what is taken from where, all of it goes in parts.
    """
    if not known and TAKE not in row.facts:
        return Part(0, row.api_key, _total(row), "planned")
    left = left_of(_takes(row), _there(known))
    if not left:
        return None
    planned = next((part for part in known if part.state == "planned"), None)
    if planned is not None:
        return replace(planned, quantity=min(planned.quantity, left[0].quantity))
    n = len(known) + 1
    return Part(n, child_key(row.api_key, n), left[0].quantity, "planned")


def _current(ctx: Context, row: Push) -> Part | None:
    with ctx.read() as conn:
        return _next(row, parts(conn, row.id))


def _wanted(ctx: Context, row: Push, part: Part) -> Wanted:
    """Return what a part is to be in MPW: the frozen fields, in the warehouse that it is taken from."""
    fields = fields_of(row.payload)
    if part.n > 0:
        with ctx.read() as conn:
            earlier = [one for one in parts(conn, row.id) if one.n < part.n]
        left = left_of(_takes(row), sum((one.quantity for one in earlier), Decimal(0)))
        if left:
            fields["warehouse_name"] = left[0].warehouse
    return Wanted(part.api_key, part.quantity, fields)


def _too_little(ctx: Context, row: Push, part: Part, known: Sequence[Part]) -> TooLittle | None:
    """Return what MPW lacks of all that is left; after a lost answer it is sent again first, since it may be there."""
    if _was_ambiguous(ctx, row, part):
        return None
    fields, there = fields_of(row.payload), _there(known)
    left = left_of(_takes(row), there)
    warehouse = text(fields.get("warehouse_name"))
    return too_little(ctx, row, text(fields.get("part_number")), left, warehouse=warehouse, done=there)


def _body(row: Push, part: Part, wanted: Wanted) -> str:
    """Return the bytes to post: the frozen ones, or for a part the same with what differs of it replaced."""
    if part.n == 0:
        return row.payload
    fields = {**wanted.fields, "api_key": part.api_key, "quantity": number(part.quantity)}
    if isinstance(fields.get("description"), str):
        fields["description"] = text(fields["description"]).replace(f"[{row.api_key}]", f"[{part.api_key}]")
    return frozen(fields)


def _whole(ctx: Context, row: Push, part: Part, found: Delivered) -> Delivered | More:
    """Return what a delivered part means for the whole."""
    with ctx.read() as conn:
        return _progress(row, part, found, parts(conn, row.id))


def _progress(row: Push, part: Part, found: Delivered, known: Sequence[Part]) -> Delivered | More:
    if part.n == 0:
        return found
    done = sum((other.quantity for other in known if other.state == "done" and other.n != part.n), Decimal(0))
    told: Any = {"status": found.status, "answered_at": found.answered_at, "sent_key": part.api_key}
    there, total = done + part.quantity, _total(row)
    if there >= total:
        whole = "what a person chose of it" if TAKE in row.facts else "all of it"
        evidence = f"{whole}, in {part.n} parts; the last: {found.evidence}"
        return Delivered(evidence, found.remote_ids, data=_PartDone(part.n), answered=found.answered, **told)
    reason = f"{plain(there)} of {plain(total)} are there"
    return More(reason, found.remote_ids, data=_PartDone(part.n), **told)


def _unrecorded_parts(ctx: Context, row: Push) -> AlreadyDone | GiveUp | None:
    """Judge parts that MPW shows and that we do not know of: the whole must not be issued on top of them."""
    found = parts_there(ctx, Wanted(row.api_key, _total(row), fields_of(row.payload)))
    if not found:
        return None
    ids, there = tuple(part.id for part in found), sum((part.quantity for part in found), Decimal(0))
    if adds_up(_total(row), [part.quantity for part in found]):
        return AlreadyDone(f"all of it is in MPW, in {len(ids)} parts that bear its key, id {', '.join(ids)}", ids)
    return GiveUp(
        f"MPW has {plain(there)} of {plain(_total(row))} in parts that bear its key (id {', '.join(ids)}), "
        "and we have no record of them",
        "push_conflict",
        "they were sent before the database was put back from a backup: issue the rest in MPW by hand, "
        "then resolve the push --done",
    )


# --- answers ------------------------------------------------------------------------------


def _accepted(ctx: Context, row: Push, part: Part, wanted: Wanted, written: Written) -> Outcome:
    """Judge the answer to a call that was accepted; rows that are ours and of another quantity are a person's."""
    sent = {**wanted.fields, "quantity": wanted.quantity}
    found = judged_answer(POST_ISSUANCE, sent, part.api_key, written)
    if isinstance(found, Delivered):
        learn_fraction(ctx, wanted, wanted.quantity, found.remote_ids)
        return _whole(ctx, row, part, found)
    shown = found.data
    if not isinstance(shown, Proof) or shown.answered_quantity is None:
        return found
    return Conflict(
        f"MPW answered {plain(shown.answered_quantity)} issued (id {', '.join(shown.ids)}), not "
        f"{plain(wanted.quantity)} as sent",
        kind="push_other_quantity",
        hint="look at these issuances in MPW, correct them there, then resolve the push",
        remote_ids=shown.ids,
        status=found.status,
        answered_at=found.answered_at,
        sent_key=part.api_key,
    )


def _explained(ctx: Context, row: Push, part: Part, wanted: Wanted, error: RejectedError) -> Outcome:
    """Find out what a refusal means: it is there already, it is too much, or it is wrong."""
    refusal = Refusal(ctx, row.api_key, part, wanted, error)
    exists = refusal.says_exists()
    short = not exists and refusal.says_short()
    ambiguous = _was_ambiguous(ctx, row, part)
    accepted = error.status is not None and error.status < 400  # a refusal in a 2xx is one only where it is not there
    if not short or ambiguous or accepted:
        try:
            seen = look(ctx, wanted)
        except RemoteError as failed:
            return Unclear(
                f"refused ({error.message}), and the look at its day failed: {failed.message}",
                status=error.status,
                answered_at=error.answered_at,
                sent_key=part.api_key,
            )
        found = judged(seen, wanted)
        if isinstance(found, Delivered):
            if not short:
                refusal.meant_exists(found.evidence)
            return _whole(ctx, row, part, found)
        if found is not None:
            return found
        if exists:
            marked = not _is_unmarked(ctx, row)
            stands = _exists_unmarked(part, wanted, seen, error, marked=marked, ambiguous=ambiguous)
            if ambiguous and isinstance(stands, Conflict):
                refusal.perhaps_meant_exists()
            return _whole(ctx, row, part, stands) if isinstance(stands, Delivered) else stands
        if ambiguous and _is_unmarked(ctx, row) and seen.unclaimed_twins:
            return _perhaps_ours(part, error, seen, short=short)
    if short:
        refusal.named_the_maximum()
        return _too_much(ctx, row, part, wanted, error)
    refusal.was_neither()
    return Refused(error.message, hint=error.hint, **_told(part, error))


def _exists_unmarked(
    part: Part, wanted: Wanted, seen: DaySeen, error: RejectedError, *, marked: bool, ambiguous: bool
) -> Delivered | Conflict:
    """Judge "exists" where no row of the day shows the key.

    A row with equal fields and no key is ours after a lost answer of ours, where we send no marker, or where the day
    shows no descriptions at all. Else it is a person's, and the key is somebody's for something else.
    """
    told = _told(part, error)
    ids = tuple(row.id for row in seen.unclaimed_twins)
    if ids and marked and not ambiguous and seen.descriptions_shown:
        return Conflict(
            f"MPW says that {part.api_key} exists ({error.message}), but no issuance of {wanted.day} shows this key; "
            f"id {', '.join(ids)} has equal fields, and no key in its description",
            hint="if that issuance is this push's, resolve the push --done; else find in MPW what has its key: another "
            "program's issuance, and this one is to be entered by hand, then resolve the push --done",
            **told,
        )
    if ids:
        known = ids if len(ids) == 1 else ()
        return Delivered(f"MPW says its key exists, and its day has it with equal fields, id {ids[0]}", known, **told)
    if ambiguous and not marked:
        return Delivered("MPW says its key exists, after a call of ours whose answer was lost", **told)
    return Conflict(
        f"MPW says that {part.api_key} exists ({error.message}), but {wanted.day} has no such issuance",
        hint="find the issuance in MPW: if it is this one resolve the push --done, else correct it there",
        **told,
    )


def _perhaps_ours(part: Part, error: RejectedError, seen: DaySeen, *, short: bool) -> Conflict | Unclear:
    """An equal issuance without a marker, after a lost answer: too much now may mean that it was not too much then."""
    ids = ", ".join(row.id for row in seen.unclaimed_twins)
    if not short:  # perhaps a cut "exists": the next try tells
        return Unclear(f"refused ({error.message}), but issuance {ids} of that day may be ours", **_told(part, error))
    return Conflict(
        f"refused ({error.message}) after a call whose answer was lost; issuance {ids} of that day may be that call's",
        kind="push_undecidable",
        hint="if that issuance is this push's, resolve it --done, else --not-done",
        **_told(part, error),
    )


def _too_much(ctx: Context, row: Push, part: Part, wanted: Wanted, error: RejectedError) -> More | NoStock:
    """Plan a part that fits: by the number in the error, else by what we know of the part's oldest receipt."""
    told = _told(part, error)
    fields = wanted.fields
    if any(fields.get(name) not in (None, "") for name in _SPLIT_BY_MPW):
        return NoStock(error.message, **told)  # MPW splits these itself: there is not enough in all receipts
    meant = ("part_number", "warehouse_name", "created_on", "description")
    ignore = [part.api_key, row.api_key, *(text(fields.get(name)) for name in meant)]
    maximum = maximum_in(error.message, wanted.quantity, ignore=ignore)
    if maximum is None:
        with ctx.read() as conn:
            known = oldest_remaining(conn, text(fields.get("part_number")), text(fields.get("warehouse_name")))
        maximum = known if known is not None and known < wanted.quantity else Decimal(0)
    if not ctx.policy.fractional_issuances:
        maximum = maximum.to_integral_value(ROUND_FLOOR)
    if maximum <= 0:
        return NoStock(error.message, **told)
    n = max(part.n, 1)
    planned = Part(n, child_key(row.api_key, n), maximum, "planned")
    return More(f"the current receipt holds {plain(maximum)} ({error.message})", data=_Split(planned), **told)


def _told(part: Part, error: RejectedError) -> Any:
    return {"status": error.status, "answered_at": error.answered_at, "sent_key": part.api_key}


def _was_ambiguous(ctx: Context, row: Push, part: Part) -> bool:
    with ctx.read() as conn:
        tries = attempts_of(conn, row.id)
    denied = int(str(row.facts.get(DENIED_TRIES, 0)))
    return any(one.outcome == "unknown" and one.sent_key == part.api_key and one.n > denied for one in tries)


def _is_unmarked(ctx: Context, row: Push) -> bool:
    """Tell whether MPW shows no key of this push: none was sent, or MPW keeps none."""
    return f"[{row.api_key}]" not in text(fields_of(row.payload).get("description")) or not shows_markers(ctx)
