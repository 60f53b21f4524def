"""POST /inventory_transfers: no key and no way to read one back, so one call, and after a lost answer a person."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sync.clients.mpw.wire import read_inventories
from sync.errors import RejectedError, RemoteError
from sync.outbox.machine import POST_TRANSFER, NoStock, Outcome, Unclear, Undecidable, Verdict
from sync.outbox.rows import Push, attempts_of
from sync.outbox.shortage import Take
from sync.push.operations.base import Go, Operation, Preparation, TooLittle
from sync.push.operations.payload_fields import fields_of, text
from sync.push.operations.posted_rows import ANSWERED, judged_answer, mpw
from sync.push.operations.stock_first import too_little
from sync.push.refusals import says_short
from sync.values.money import fixed, plain
from sync.values.systems import MPW
from sync.work.context import Context

_SIDES = ("warehouse_name", "destination_warehouse_name")


class PostTransfer(Operation):
    """Stock moved between two MPW warehouses (Inventory Transfers - POST)."""

    name = POST_TRANSFER
    system = MPW
    one_by_one = True

    def prepare(self, ctx: Context, rows: Sequence[Push]) -> dict[int, Preparation]:
        """Read the stock of both warehouses: whether there is enough, and what to compare should the answer be lost."""
        return {row.id: self._prepared(ctx, row) for row in rows}

    def _prepared(self, ctx: Context, row: Push) -> Preparation:
        before = _stocks(ctx, row)
        return _too_little(ctx, row, before) or Go(before)

    def send(self, ctx: Context, rows: Sequence[Push]) -> dict[int, Outcome]:
        """Move it; a refusal ("an error message will specify this maximum amount") is final, unless stock just went.

        One that comes in a 2xx is not: it may have moved something, and what it says is shown with the stocks.
        """
        (row,) = rows
        try:
            written = mpw(ctx).post_transfer(row.payload)
        except RejectedError as error:
            if error.status is None or error.status >= 400:
                if says_short(error.message) and _is_gone(ctx, row):
                    told: Any = {"status": error.status, "answered_at": error.answered_at}
                    return {row.id: NoStock(error.message, **told)}
                raise
            why = f"{ANSWERED}{error.status}, and says: {error.message}"
            return {row.id: Unclear(why, status=error.status, answered_at=error.answered_at)}
        return {row.id: judged_answer(self.name, fields_of(row.payload), row.api_key, written)}

    def verify(self, ctx: Context, row: Push) -> Verdict:
        """Show a person the stocks before and now, and what they suggest; never send again by itself."""
        now = _stocks(ctx, row)
        before = _before(ctx, row)
        quantity = fixed(fields_of(row.payload)["quantity"])
        seen = f"stock before: {_shown(before)}; now: {_shown(now)}; {_hint(before, now, quantity)}"
        return Undecidable(
            f"{_why(ctx, row)}; {seen}",
            f"look in MPW whether the transfer is there, then `mpsync outbox resolve {row.id} --done --why …`, "
            "or --not-done, which sends it again",
        )


def _too_little(ctx: Context, row: Push, before: Mapping[str, str | None]) -> TooLittle | None:
    """Judge the stock that was just read; of a part that MPW does not know there its own refusal says more."""
    fields = fields_of(row.payload)
    take = Take(text(fields.get("warehouse_name")), fixed(fields["quantity"]))
    there = before.get(take.warehouse)
    if there is None or Decimal(there) >= take.quantity:
        return None
    part = text(fields.get("part_number"))
    return too_little(ctx, row, part, [take], warehouse=take.warehouse, seen={take.warehouse: Decimal(there)})


def _is_gone(ctx: Context, row: Push) -> bool:
    """Tell whether a refused transfer is of more than there is now; where that cannot be read, it is not known."""
    try:
        return _too_little(ctx, row, _stocks(ctx, row)) is not None
    except RemoteError:
        return False


def _why(ctx: Context, row: Push) -> str:
    """Return what is known of the call: what the last answer to it said, if there was one."""
    with ctx.read() as conn:
        tries = attempts_of(conn, row.id)
    said = next((one.error for one in reversed(tries) if one.outcome == "unknown"), None) or ""
    return said if said.startswith(ANSWERED) else "the answer was lost"


def _stocks(ctx: Context, row: Push) -> dict[str, str | None]:
    fields = fields_of(row.payload)
    found: dict[str, str | None] = {}
    for side in _SIDES:
        warehouse, part = text(fields.get(side)), text(fields.get("part_number"))
        rows = read_inventories(mpw(ctx).inventories(warehouse_name=warehouse, part_number=part).body).rows
        mine = [one for one in rows if one.part_number == part and one.warehouse_name == warehouse]
        found[warehouse] = plain(mine[0].quantity) if mine else None
    return found


def _before(ctx: Context, row: Push) -> Mapping[str, str | None]:
    with ctx.read() as conn:
        tries = attempts_of(conn, row.id)
    text_ = next((one.before for one in reversed(tries) if one.before), None)
    return json.loads(text_) if text_ else {}


def _shown(stocks: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name} {'none' if value is None else value}" for name, value in stocks.items()) or "not known"


def _hint(before: Mapping[str, str | None], now: Mapping[str, str | None], quantity: Decimal) -> str:
    if before.keys() != now.keys() or len(now) != len(_SIDES):
        return "they say nothing"
    moved = [Decimal(now[name] or 0) - Decimal(before[name] or 0) for name in now]
    names = list(now)
    if moved == [-quantity, quantity]:
        return f"both moved by exactly {plain(quantity)}, as if it had taken effect"
    if not any(moved):
        return f"neither {names[0]} nor {names[1]} moved, as if it had not taken effect"
    return "other movements came between"
