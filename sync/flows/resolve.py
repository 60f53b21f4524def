"""A person's word on an exception: it is closed, and what it stood for is done."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update
from sqlalchemy.engine import Row

from sync.domain.reconcile import OUR_EXCEPTIONS, waits_for
from sync.domain.stock import FUSE
from sync.errors import ConfigError
from sync.flows.context import CREDENTIALS, Context
from sync.flows.voids import MASS_DISAPPEARANCE, void_disappeared
from sync.store.coverage import close_gap
from sync.store.exceptions import subject_of
from sync.store.item_states import forget_base, save_item_state
from sync.store.learned import CONTRADICTED, overrule
from sync.store.pauses import unpause_system
from sync.store.reconcile import look_at_parked
from sync.store.schema import exceptions, quarantine

GAP = "gap"
QUARANTINED_ROW = "quarantined_row"


def resolve_by_person(
    ctx: Context,
    *,
    ids: Sequence[int] = (),
    kind: str | None = None,
    subject: str | None = None,
    why: str,
    by: str,
    void: bool = False,
    dry_run: bool = False,
) -> int:
    """Resolve the open exceptions that are meant; return how many.

    A gap is closed with `why` as its note, a quarantined row is taken for dealt with, a system that
    was paused for its credentials is tried again, and with `void` what a mass_disappearance holds
    back is reversed. Raises ConfigError for `void` on anything else. A cause that still holds opens
    its exception again.
    """
    with ctx.store.write() as conn:
        found = _meant(conn, ids=ids, kind=kind, subject=subject)
        other = [row for row in found if row.kind != MASS_DISAPPEARANCE]
        if void and other:
            raise ConfigError(
                f"--void is for {MASS_DISAPPEARANCE}, exception {other[0].id} is {other[0].kind}",
                hint="resolve it without --void",
            )
        if not dry_run:
            now = ctx.clock.now()
            for row in found:
                _act(conn, ctx, row, why=why, void=void, now=now)
                _close(conn, row, why=why, by=by, now=now)
    return len(found)


def _meant(conn: Connection, *, ids: Sequence[int], kind: str | None, subject: str | None) -> list[Row[Any]]:
    query = select(exceptions).where(exceptions.c.resolved_at.is_(None)).order_by(exceptions.c.id)
    if ids:
        query = query.where(exceptions.c.id.in_(list(ids)))
    if kind is not None:
        query = query.where(exceptions.c.kind == kind)
    if subject is not None:
        query = query.where(exceptions.c.subject == subject)
    return list(conn.execute(query))


def _act(conn: Connection, ctx: Context, row: Row[Any], *, why: str, void: bool, now: datetime) -> None:
    facts = json.loads(row.facts)
    if row.kind == MASS_DISAPPEARANCE and void:
        void_disappeared(conn, row, lock_date=ctx.policy.lock_date, now=now)
    elif row.kind == GAP and "gap_id" in facts:
        close_gap(conn, int(facts["gap_id"]), note=why, now=now)
    elif row.kind == FUSE:
        save_item_state(conn, str(facts["external_id"]), {"unfit_patches": 0})
        forget_base(conn, str(facts["external_id"]), now=now)
    elif row.kind == CREDENTIALS:
        unpause_system(conn, row.subject)
    elif row.kind == CONTRADICTED and "fact" in facts:
        overrule(conn, facts["system"], facts["fact"])
    elif row.kind in OUR_EXCEPTIONS:
        look_at_parked(conn, waits_for(row.kind, subject_of(row)), now=now)
    elif row.kind == QUARANTINED_ROW and "digest" in facts:
        conn.execute(
            update(quarantine)
            .where(quarantine.c.digest == facts["digest"], quarantine.c.resolved_at.is_(None))
            .values(resolved_at=now)
        )


def _close(conn: Connection, row: Row[Any], *, why: str, by: str, now: datetime) -> None:
    conn.execute(
        update(exceptions).where(exceptions.c.id == row.id).values(resolved_at=now, resolved_by=by, resolution=why)
    )
