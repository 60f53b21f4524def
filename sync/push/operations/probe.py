"""The steps of `mpsync probe` in MPW: a row posted to see what MPW does with it, and its delete.

| step | what came of the call | what follows |
|---|---|---|
| post | nothing was sent: its key has a row of another's | dead (`key_taken`); its delete is withdrawn |
| post | a refusal, and no row of ours | done, "refused: …"; its delete is withdrawn |
| post | a row of ours is read | done, "made: …"; its delete goes |
| post | a 2xx, and no row of ours | done, "missing: …"; its delete goes |
| post | no answer, no row, and no call can still land | done, "no trace: …"; its delete goes |
| delete | nothing of ours is read any more | done |
| delete | it is still there | sent again, `DELETES_MAX` times; then a person is told |

A post is sent once, by the process that asked for it. Its delete is sent by whoever leads then.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sync.clients.mpw.wire import read_issuances, read_receipts
from sync.errors import MalformedResponseError, OutcomeUnknownError, RejectedError, RemoteError
from sync.ledger.books import Books
from sync.ledger.rules import RECEIPT
from sync.outbox.evidence import same_name
from sync.outbox.machine import (
    POST_ISSUANCE,
    POST_RECEIPT,
    PROBE_DELETE,
    PROBE_POST,
    Absent,
    Delivered,
    Landed,
    Later,
    Outcome,
    Refused,
    Transition,
    Unclear,
    Undecidable,
    Verdict,
    absence_counts_at,
)
from sync.outbox.probes import KEY, UNDOES, abandoned
from sync.outbox.rows import Push, attempts_of, push_of_key
from sync.push.operations.base import GiveUp, Go, NotNow, Operation, Preparation, Withdraw
from sync.push.operations.payload_fields import fields_of, text
from sync.push.operations.posted_rows import claim_rows_of, judged_answer, mpw, under_key
from sync.push.refusals import says_absent
from sync.values.keys import markers
from sync.values.money import plain
from sync.values.systems import MPW
from sync.work.context import Context

MADE, REFUSED, MISSING, NO_TRACE = "made: ", "refused: ", "missing: ", "no trace: "
"""How the evidence of a post begins, by the table above."""

DELETES_MAX = 3
LANDED = "landed"


@dataclass(frozen=True, slots=True)
class Shown:
    """A row of MPW's that a probe made, as GET shows it."""

    id: str
    quantity: Decimal
    unit_cost: Decimal | None
    description: str | None


class ProbePost(Operation):
    """POST /receipts or /issuances, to see what MPW does with it (Receipts - POST, Issuances - POST)."""

    name = PROBE_POST
    system = MPW
    leader_only = True
    one_by_one = True

    def prepare(self, ctx: Context, rows: Sequence[Push]) -> dict[int, Preparation]:
        """Note what is there before, so that a row without our key can be told; never overwrite another's receipt."""
        (row,) = rows
        with ctx.read() as conn:
            left = abandoned(conn, row, owner=ctx.owner)
        if left is not None or row.tries:
            return {row.id: Withdraw(left or "a step is sent once")}
        there = _there(ctx, row)
        if row.kind == RECEIPT and there:
            told = f"MPW has a receipt under {_key(row)} already, and nothing was sent: it would have been overwritten"
            hint = f"look who uses keys that begin with probe- in MPW; then `mpsync outbox discard {row.id}`"
            return {row.id: GiveUp(told, "key_taken", hint)}
        return {row.id: Go({"ids": [one.id for one in there]}, _key(row))}

    def send(self, ctx: Context, rows: Sequence[Push]) -> dict[int, Outcome]:
        """Post it. A 2xx proves nothing here: what it made is read. Nor does a refusal prove that nothing was made."""
        (row,) = rows
        client = mpw(ctx)
        try:
            post = client.post_receipt if row.kind == RECEIPT else client.post_issuance
            written = post(row.payload)
        except OutcomeUnknownError as error:
            if error.status is None or not 200 <= error.status < 300:
                raise
            told: Any = {"status": error.status, "answered_at": error.answered_at, "sent_key": _key(row)}
            return {row.id: Landed(error.message, **told)}
        except RejectedError as error:
            told = {"status": error.status, "answered_at": error.answered_at, "sent_key": _key(row)}
            try:
                made = look(ctx, row)
            except RemoteError as read_error:
                return {row.id: Unclear(f"refused ({error.message}), and not read: {read_error.message}", **told)}
            if made:
                return {row.id: Unclear(f"refused ({error.message}), and yet it is there", **told)}
            return {row.id: Delivered(REFUSED + error.message, **told)}
        told = {"status": written.answer.status, "answered_at": written.answer.answered_at, "sent_key": _key(row)}
        operation = POST_RECEIPT if row.kind == RECEIPT else POST_ISSUANCE
        judged = judged_answer(operation, fields_of(row.payload), _key(row), written)
        reason = judged.evidence if isinstance(judged, Delivered) else judged.reason
        return {row.id: Landed(reason, **told)}

    def verify(self, ctx: Context, row: Push) -> Verdict:
        """Read what it made; a lost call is waited for until it cannot land any more, since its delete must be last."""
        made = look(ctx, row)
        with ctx.read() as conn:
            last = attempts_of(conn, row.id)[-1]
        if made:
            shown = ", ".join(f"id {one.id}, quantity {plain(one.quantity)}" for one in made)
            return Delivered(f"{MADE}{shown} ({last.error})", tuple(one.id for one in made))
        if last.outcome == LANDED:
            return Delivered(f"{MISSING}MPW does not show it ({last.error})")
        sure_at = absence_counts_at(row.last_sent_at or row.created_at, ctx.policy.late_arrival)
        if ctx.clock.now() < sure_at:
            return Later(sure_at, "not there yet; a call whose answer was lost may still land")
        return Delivered(f"{NO_TRACE}{last.error or 'no answer'}, and MPW does not show it")

    def after(self, books: Books, row: Push, to: Transition) -> None:
        """Know the rows as ours: a poll files them under the step's key, and not as people's."""
        if row.kind is not None:
            pushed = [(row, remote_id) for remote_id in to.remote_ids]
            claim_rows_of(books, row.kind, pushed)


class ProbeDelete(Operation):
    """DELETE /receipt/KEY or /issuance/KEY of what steps posted (Receipts - DELETE, Issuances - DELETE)."""

    name = PROBE_DELETE
    system = MPW
    leader_only = True

    def prepare(self, ctx: Context, rows: Sequence[Push]) -> dict[int, Preparation]:
        """Wait for the steps that it takes back; where none of them can have made anything, their key is another's."""
        (row,) = rows
        posts = _posts(ctx, row)
        waits = next((one for one in posts if one.state in ("held", "ready", "sending", "unknown")), None)
        if waits is not None:
            return {row.id: NotNow(waits.due_at, f"step {waits.api_key} is {waits.state}")}
        if not row.tries and not any(_may_have_made(one) for one in posts):
            return {row.id: Withdraw("what it was to delete was never made")}
        return {row.id: Go(sent_key=_key(row))}

    def send(self, ctx: Context, rows: Sequence[Push]) -> dict[int, Outcome]:
        """Delete it; whatever the answer, what is there is read."""
        (row,) = rows
        client = mpw(ctx)
        try:
            delete = client.delete_receipt if row.kind == RECEIPT else client.delete_issuance
            answer = delete(_key(row)).answer
        except RejectedError as error:
            told: Any = {"status": error.status, "answered_at": error.answered_at, "sent_key": _key(row)}
            if says_absent(error.message, error.status):
                return {row.id: Landed(f"MPW has nothing under its key ({error.message})", **told)}
            return {row.id: Refused(error.message, hint=_by_hand(row), **told)}
        told = {"status": answer.status, "answered_at": answer.answered_at, "sent_key": _key(row)}
        return {row.id: Landed(f"answered {answer.status}", **told)}

    def verify(self, ctx: Context, row: Push) -> Verdict:
        """Read whether anything of it is left; to delete again harms nothing."""
        left = [one for post in _posts(ctx, row) for one in look(ctx, post)]
        if not left:
            return Delivered("MPW does not show it any more")
        ids = ", ".join(dict.fromkeys(one.id for one in left))
        if row.tries >= DELETES_MAX:
            return Undecidable(f"deleted {row.tries} times, and MPW still shows id {ids}", _by_hand(row))
        return Absent(f"MPW still shows id {ids}; to delete it again is safe")


def look(ctx: Context, row: Push) -> list[Shown]:
    """Return what a post has made, as MPW shows it now; raises MalformedResponseError where a bad row may be it."""
    with ctx.read() as conn:
        tries = attempts_of(conn, row.id)
    before = set(json.loads(tries[-1].before)["ids"]) if tries and tries[-1].before else set()
    return [one for one in _there(ctx, row) if one.id not in before]


def _there(ctx: Context, row: Push) -> list[Shown]:
    """Return the rows that may be a step's: by its key, else those of its part, day and quantity that nobody marked."""
    fields, key = fields_of(row.payload), _key(row)
    if row.kind == RECEIPT:
        parsed = read_receipts(mpw(ctx).receipts(api_key=key).body)
        _whole(parsed.bad, key)
        found = under_key(parsed.rows, key)
        return [Shown(one.id, one.quantity_received, one.unit_cost, one.description) for one in found]
    day = read_issuances(mpw(ctx).issuances(date.fromisoformat(text(fields["created_on"])[:10])).body)
    _whole(day.bad, key)
    return [
        Shown(one.id, one.quantity, one.unit_cost, one.description)
        for one in day.rows
        if key in markers(one.description)
        or (
            same_name(fields["part_number"], one.part_number)
            and same_name(fields["warehouse_name"], one.warehouse_name)
            and _may_be_cut(text(fields.get("description")), one.description)
        )
    ]


def _whole(bad: Sequence[Any], key: str) -> None:
    if any(key.casefold() in one.raw.casefold() for one in bad):
        raise MalformedResponseError("the row that a step of the probe made cannot be read")


def _may_be_cut(sent: str, shown: str | None) -> bool:
    """Tell whether a description may be what MPW keeps of the one that was sent: nothing, or its beginning."""
    return sent.startswith((shown or "").strip())


def _posts(ctx: Context, row: Push) -> list[Push]:
    with ctx.read() as conn:
        found = [push_of_key(conn, PROBE_POST, key) for key in row.facts[UNDOES]]
    return [one for one in found if one is not None]


def _may_have_made(post: Push) -> bool:
    return post.tries > 0 and not (post.evidence or "").startswith(REFUSED)


def _key(row: Push) -> str:
    return str(row.facts[KEY])


def _by_hand(row: Push) -> str:
    return (
        f"delete the {row.kind} {_key(row)} of {row.item} in MPW by hand; then "
        f"`mpsync outbox resolve {row.id} --done --why TEXT`"
    )
