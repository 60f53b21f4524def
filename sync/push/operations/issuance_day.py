"""Finding an issuance of ours in its day: GET shows no api_key, so by the `[key]` in its description."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sync.clients.mpw.wire import Issuance, read_issuances
from sync.errors import MalformedResponseError
from sync.outbox.evidence import adds_up, differences, same_number
from sync.outbox.machine import POST_ISSUANCE, Conflict, Delivered
from sync.outbox.pushed import issuances_holding, keys_of_pushed_rows
from sync.push.operations.payload_fields import text
from sync.push.operations.posted_rows import mpw
from sync.values.keys import child_key, is_child_of, markers
from sync.work.context import Context


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was to be issued under one key: the event's, or a part's."""

    api_key: str
    quantity: Decimal
    fields: dict[str, object]

    @property
    def day(self) -> date:
        """The day to look at (Issuances - GET takes one date)."""
        return date.fromisoformat(text(self.fields["created_on"])[:10])


@dataclass(frozen=True, slots=True)
class DaySeen:
    """A day's issuances, as far as they concern one key."""

    marked: list[Issuance]
    unclaimed_twins: list[Issuance]
    """Equal in every field, without any key in the description, and not known to be another push's."""

    descriptions_shown: bool
    """Whether any issuance of the day has a description: then one that was posted with a marker would show it."""


def look(ctx: Context, wanted: Wanted) -> DaySeen:
    """Read the day; raises MalformedResponseError where a row that cannot be read may be the one."""
    parsed = read_issuances(mpw(ctx).issuances(wanted.day).body)
    marked = [row for row in parsed.rows if wanted.api_key in markers(row.description)]
    if not marked and any(f"[{wanted.api_key}]" in bad.raw for bad in parsed.bad):
        raise MalformedResponseError("a row of the day that holds its key cannot be read")
    twins = [row for row in parsed.rows if _equal(row, wanted) and same_number(wanted.quantity, row.quantity)]
    with ctx.read() as conn:
        ours = keys_of_pushed_rows(conn, "issuance", [row.id for row in twins])
    unclaimed = [row for row in twins if row.id not in ours and not markers(row.description)]
    return DaySeen(marked, unclaimed, any(row.description and row.description.strip() for row in parsed.rows))


def parts_there(ctx: Context, wanted: Wanted) -> list[Issuance]:
    """Return the parts of this issuance that the polls have shown in its day, from our own tables.

    Where no part is on record, they are the doing of a database that was put back from an older backup since.
    """
    with ctx.read() as conn:
        raws = issuances_holding(conn, wanted.day, f"[{child_key(wanted.api_key, 0)[:-1]}")
    found = read_issuances(("[" + ",".join(raws) + "]").encode()).rows if raws else []
    return [row for row in found if any(is_child_of(key, wanted.api_key) for key in markers(row.description))]


def judged(seen: DaySeen, wanted: Wanted) -> Delivered | Conflict | None:
    """Return what the marked rows prove: all of it is there, or something else; None: nothing of it."""
    if not seen.marked:
        return None
    ids = tuple(row.id for row in seen.marked)
    total = sum((row.quantity for row in seen.marked), Decimal(0))
    if adds_up(wanted.quantity, [row.quantity for row in seen.marked]) and all(
        _equal(row, wanted) for row in seen.marked
    ):
        return Delivered(
            f"read in MPW with its key and equal fields, id {', '.join(ids)}", ids, sent_key=wanted.api_key
        )
    return Conflict(
        f"MPW has {total} under {wanted.api_key} (id {', '.join(ids)}), not {wanted.quantity} as sent",
        hint="look at these issuances in MPW: correct them there or in the books, then resolve the push",
    )


def _equal(row: Issuance, wanted: Wanted) -> bool:
    shown = {"part_number": row.part_number, "warehouse_name": row.warehouse_name, "created_on": row.created_on}
    return not differences(POST_ISSUANCE, wanted.fields, shown)
