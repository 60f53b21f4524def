"""What a movement's cost means was put right: movements that were filed under the other meaning are filed anew.

MPSERVICES_COST_IS says whether a movement's cost is a piece's or the line's (edge case S6). What was shown is kept with
each line, so that the cost per piece is computed again when the setting changes. A movement whose receipt may be in MPW
already, at the other cost, is a person's to decide: one exception names them all.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from sync.domain.ledger import RECEIPT, new_entry
from sync.domain.marks import per_unit, without_mark
from sync.domain.policy import Policy
from sync.domain.subjects import Subject
from sync.flows.context import MPSERVICES, Context
from sync.store.corrections import is_held_from_push, withdraw
from sync.store.exceptions import open_exception, open_facts
from sync.store.ledger import append_entries, reverse_entries
from sync.store.movements import lines_with_a_cost, update_line

log = structlog.get_logger("mpsync.movements")

COST_RESTATED = "cost_restated"
ABOUT = Subject.setting("MPSERVICES_COST_IS")
BATCH = 500
"""Lines that one transaction looks at."""

HINT = (
    "`mpsync exceptions resolve ID --apply --why TEXT` has each of these receipts deleted in MPW and posted again at "
    "the right cost; where you have put their costs right in MPW by hand, `--keep` in place of `--apply`"
)


def restate_costs(ctx: Context) -> int:
    """File anew, at what their cost means now, all lines since the go-live that were filed at the other meaning.

    Return how many. What was derived of them and never sent is taken back, to be derived anew. Doing it twice does
    nothing: a line that is filed rightly is left alone.
    """
    done, after = 0, None
    while not ctx.stopping():
        with ctx.write() as conn:
            rows = lines_with_a_cost(conn, since=ctx.policy.push_from_there, after=after, limit=BATCH)
            if not rows:
                break
            after = (rows[-1].movement_id, rows[-1].n)
            restated = [(row, cost) for row in rows if (cost := _restated(row, ctx.policy.cost_is)) is not None]
            if restated:
                _file_anew(conn, restated, policy=ctx.policy, now=ctx.clock.now())
            done += len(restated)
    if done:
        log.info("movements.costs_restated", lines=done, cost_is=ctx.policy.cost_is)
    return done


def _restated(row: Row[Any], cost_is: str) -> Decimal | None:
    """Return what a line costs per piece, where it was filed at the other meaning; else None."""
    other = "unit" if cost_is == "total" else "total"
    right, wrong = (without_mark(per_unit(row.shown_cost, row.quantity, cost_is=one)) for one in (cost_is, other))
    return right if row.unit_cost == wrong != right else None


def _file_anew(conn: Connection, restated: list[tuple[Row[Any], Decimal]], *, policy: Policy, now: datetime) -> None:
    """Reverse the entries and append new ones under the same keys; ask about those that may be in MPW."""
    told: dict[str, str] = {}
    for row, cost in restated:
        entry = new_entry(
            MPSERVICES,
            row.kind,
            row.api_key,
            row.movement_id,
            item=row.external_id,
            warehouse=None,
            quantity=row.quantity,
            unit_cost=cost,
            occurred_on=policy.day(row.created_at),
            occurred_at=row.created_at,
        )
        reverse_entries(conn, [row.entry_id], lock_date=policy.lock_date, now=now, run_id=None)
        [entry_id] = append_entries(conn, [entry], lock_date=policy.lock_date, now=now, run_id=None)
        update_line(conn, row.movement_id, row.n, unit_cost=cost, entry_id=entry_id)
        if row.kind != RECEIPT or is_held_from_push(conn, [row.api_key]):
            continue  # what an issuance costs is MPW's to say; of what is recorded only, nothing goes to MPW
        if withdraw(conn, [row.api_key], why="MPSERVICES_COST_IS was put right", now=now):
            told[row.api_key] = row.external_id
    if told:
        _ask(conn, told, policy=policy, now=now)


def _ask(conn: Connection, told: dict[str, str], *, policy: Policy, now: datetime) -> None:
    keys = sorted(told.keys() | set(open_facts(conn, COST_RESTATED, ABOUT).get("keys", ())))
    open_exception(
        conn,
        COST_RESTATED,
        ABOUT,
        detail=f"MPSERVICES_COST_IS is now {policy.cost_is}. Before that, receipts were posted to MPW, or "
        f"may have been, at the cost of the other meaning ({len(keys)}): {', '.join(keys[:10])}"
        f"{' and others' if len(keys) > 10 else ''}. The ledger has their right cost now, MPW has not",
        hint=HINT,
        now=now,
        facts={"keys": keys},
    )
