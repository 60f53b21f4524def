"""MPSERVICES_COST_IS was corrected: movements that were filed under its other meaning are filed again.

The setting says whether a movement's cost is a piece's or the line's (edge case S6). What a line costs is read again
from its movement's raw text, line by line, so that doing it twice changes nothing; a movement whose raw text was
forgotten (SYNC_KEEP_RAW_DAYS) keeps the cost that it was filed at. Receipts that MPW has at the other cost are a
person's to decide: one exception names them all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NoReturn

import structlog
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from sync.clients.mpservices.wire import MovementLine, read_movements
from sync.database.exceptions import open_facts
from sync.database.facts import fact, forget_fact
from sync.errors import ConfigError, RemoteError
from sync.ledger.books import Books
from sync.ledger.movement_lines import filed_lines, update_line
from sync.ledger.movement_rules import file_line
from sync.ledger.rules import RECEIPT, NewEntry, new_entry
from sync.outbox.corrections import is_held_from_push, withdraw
from sync.reconcile.corrections import apply_correction
from sync.reconcile.item_rows import resolve_items
from sync.reconcile.rows import load_events
from sync.reconcile.rules import costs_otherwise
from sync.values.policy import Policy
from sync.values.subjects import Subject
from sync.values.systems import MPSERVICES
from sync.work.context import Context

log = structlog.get_logger("mpsync.movements")

COST_RESTATED = "cost_restated"
ABOUT = Subject.setting("MPSERVICES_COST_IS")
COSTS_FILED_AS = "costs_filed_as"
"""The meaning that all costs are filed at, by `facts`; `UNDER_WAY` while they are being filed again."""

SETTINGS_DIFFER = "settings_differ"
"""The exception that says so, and the fact that it is open."""

UNDER_WAY = "under way"
BATCH = 500
"""Lines that one transaction looks at."""

HINT = (
    "`mpsync exceptions resolve ID --apply --why TEXT` has each of these receipts deleted in MPW and posted again at "
    "the right cost; `--keep` in place of `--apply` leaves them. Those that you have put right in MPW by hand are left "
    "alone in either case"
)
UNFIT_HINT = (
    "of the lines that stay as filed nothing can be posted: look in MPservices what each piece cost, put that right in "
    "MPW by hand, or correct the movement in MPservices, then `mpsync exceptions resolve ID --keep --why TEXT`"
)


@dataclass(slots=True)
class _Restated:
    """What one transaction files again: entries to reverse, entries in their place, and what does not fit."""

    rows: list[Row[Any]] = field(default_factory=list)
    entries: list[NewEntry] = field(default_factory=list)
    unfit: list[str] = field(default_factory=list)


def note_cost_meaning(ctx: Context) -> int:
    """File again whatever is filed at the other meaning of the setting; return how many lines.

    Call it before anything is read or derived under the settings of today. What was derived and never tried is taken
    back, to be derived again. It costs nothing where the setting is the one that all is filed at.

    Raises ConfigError where another instance has filed all that this one had filed, or found so, at its own setting: of
    two that take turns in leading, each would file all again for ever.
    """
    known = ctx.agenda.known(ctx)
    if known is not None:
        filed_as, differ = known.facts.get(COSTS_FILED_AS), SETTINGS_DIFFER in known.facts
    else:
        with ctx.read() as conn:
            filed_as, differ = fact(conn, COSTS_FILED_AS), fact(conn, SETTINGS_DIFFER) is not None
    if filed_as == ctx.policy.cost_is:
        ctx.filed_as[ABOUT.name] = filed_as
        if differ:
            _agree(ctx)
        return 0
    with ctx.leader_writes() as books:
        filed_as = fact(books.conn, COSTS_FILED_AS)  # as it is now: another thread may have filed all meanwhile
        if filed_as == books.policy.cost_is:
            return 0
        refused = ctx.filed_as.get(ABOUT.name) == books.policy.cost_is and filed_as == _other(books.policy.cost_is)
        if not refused:
            books.note_fact(COSTS_FILED_AS, UNDER_WAY)
            _ask(books, (), None)  # what did not fit before may fit now
    if refused:
        _refuse(ctx, filed_as)
    ctx.filed_as.pop(ABOUT.name, None)
    done, after = 0, None
    while True:
        if ctx.stopping():
            return done  # it is under way: the next call begins again
        with ctx.leader_writes() as books:
            rows = filed_lines(books.conn, after=after, limit=BATCH)
            if not rows:
                _ask(books, (), ())
                books.note_fact(COSTS_FILED_AS, books.policy.cost_is)
                break
            after = (rows[-1].movement_id, rows[-1].n)
            done += _file_again(books, rows)
    ctx.filed_as[ABOUT.name] = ctx.policy.cost_is
    if done:
        log.info("movements.costs_restated", lines=done, cost_is=ctx.policy.cost_is)
    return done


def _refuse(ctx: Context, filed_as: str | None) -> NoReturn:
    """Say that another instance has another setting, and do nothing until they agree."""
    detail = (
        f"MPSERVICES_COST_IS is {ctx.policy.cost_is} for the mpsync that leads now, and another one on this database "
        f"has filed all movements at its own setting since ({filed_as}). This one reads no movements and pushes nothing"
    )
    hint = "give all instances on this database the same MPSERVICES_COST_IS, and restart those whose setting changed"
    with ctx.leader_writes() as books:
        books.open_exception(SETTINGS_DIFFER, about=ABOUT, detail=detail, hint=hint)
        if fact(books.conn, SETTINGS_DIFFER) is None:
            books.note_fact(SETTINGS_DIFFER, books.policy.cost_is)
    raise ConfigError(detail, hint=hint)


def _agree(ctx: Context) -> None:
    with ctx.leader_writes() as books:
        forget_fact(books.conn, SETTINGS_DIFFER)
        resolution = f"an instance leads whose setting is the one that all is filed at ({books.policy.cost_is})"
        books.resolve_exceptions(SETTINGS_DIFFER, about=ABOUT, resolution=resolution)


def _file_again(books: Books, rows: Sequence[Row[Any]]) -> int:
    """Reverse the entries of lines that are filed at the other meaning, and append others under the same keys."""
    found = _restated(rows, books.policy)
    books.reverse([row.entry_id for row in found.rows])
    ids = books.append(found.entries)
    reached = []
    for row, entry, entry_id in zip(found.rows, found.entries, ids, strict=True):
        update_line(books.conn, row.movement_id, row.n, unit_cost=entry.unit_cost, entry_id=entry_id)
        if row.kind != RECEIPT or is_held_from_push(books.conn, [row.api_key]):
            continue  # what an issuance costs is MPW's to say; of what is recorded only, nothing goes to MPW
        if withdraw(books, [row.api_key], why="MPSERVICES_COST_IS was corrected"):
            reached.append(row.api_key)
    if reached or found.unfit:
        _ask(books, reached, found.unfit)
    return len(found.rows)


def _restated(rows: Sequence[Row[Any]], policy: Policy) -> _Restated:
    found = _Restated()
    lines: dict[str, dict[str, list[MovementLine]]] = {}
    for row in rows:
        if row.movement_id not in lines:
            lines[row.movement_id] = _as_shown(row.raw)
        shown = lines[row.movement_id].get(row.digest)
        if not shown:
            continue
        line = shown.pop()
        try:
            cost = _unit_cost(row, line, policy.cost_is)
            if row.unit_cost == cost or row.unit_cost != _unit_cost(row, line, _other(policy.cost_is)):
                continue
            entry = _entry(row, cost, policy)
        except ValueError:
            found.unfit.append(row.api_key)
            continue
        found.rows.append(row)
        found.entries.append(entry)
    return found


def _as_shown(raw: str) -> dict[str, list[MovementLine]]:
    """Return a movement's lines by their digest; none where its raw text was forgotten."""
    found: dict[str, list[MovementLine]] = defaultdict(list)
    try:
        movements = read_movements(raw.encode()).rows
    except RemoteError:
        return {}
    for movement in movements:
        for line in movement.lines:
            found[line.digest].append(line)
    return found


def _unit_cost(row: Row[Any], line: MovementLine, cost_is: str) -> Decimal:
    filed = file_line(
        row.kind,
        row.external_id,
        line.quantity,
        line.cost or Decimal(0),
        cost_is=cost_is,
        created_at=row.created_at,
        digest=line.digest,
    )
    return filed.unit_cost


def _other(cost_is: str) -> str:
    return "unit" if cost_is == "total" else "total"


def _entry(row: Row[Any], cost: Decimal, policy: Policy) -> NewEntry:
    return new_entry(
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


# --- what MPW has at the other cost -------------------------------------------------------


def _ask(books: Books, keys: Iterable[str], unfit: Iterable[str] | None) -> None:
    """Ask about the receipts that MPW has at another cost, those asked about before included; about none: no more.

    `unfit`: lines whose cost does not fit, beside those told of before; None: of those no more.
    """
    before = open_facts(books.conn, COST_RESTATED, ABOUT)
    left = _at_another_cost(books.conn, {*keys, *before.get("keys", ())}, books.policy)
    odd = [] if unfit is None else sorted({*unfit, *before.get("unfit", ())})
    if not left and not odd:
        resolution = "MPW has no receipt at the cost of the other meaning any more"
        books.resolve_exceptions(COST_RESTATED, about=ABOUT, resolution=resolution)
        return
    books.open_exception(
        COST_RESTATED,
        about=ABOUT,
        detail=f"MPSERVICES_COST_IS is now {books.policy.cost_is}. {_told(left, odd)}",
        hint="; ".join(([HINT] if left else []) + ([UNFIT_HINT] if odd else [])),
        facts={"keys": left, "unfit": odd},
    )


def _told(left: Sequence[str], odd: Sequence[str]) -> str:
    told = []
    if left:
        told.append(
            f"MPW has receipts at the cost of the other meaning, or may get them ({len(left)}): {_some(left)}. "
            "The ledger has their right cost"
        )
    if odd:
        told.append(f"These stay as filed: their right cost does not fit the ledger ({len(odd)}): {_some(odd)}")
    return "; ".join(told)


def _some(keys: Sequence[str]) -> str:
    return f"{', '.join(keys[:10])}{' and others' if len(keys) > 10 else ''}"


def _at_another_cost(conn: Connection, keys: Iterable[str], policy: Policy) -> list[str]:
    events = load_events(conn, [(RECEIPT, key) for key in sorted(set(keys))])
    items = {event.origin.item for event in events.values() if event.origin is not None}
    mappings = resolve_items(conn, items, default_warehouse=policy.warehouse)
    return [event.api_key for event in events.values() if costs_otherwise(event, policy=policy, mappings=mappings)]


def apply_restated(books: Books, facts: Mapping[str, Any]) -> None:
    """Have MPW corrected where it still has a receipt at another cost. Raises ConfigError where it may not delete.

    Also where nothing but lines that do not fit are left: there is nothing that it could do about them.
    """
    left = _at_another_cost(books.conn, [str(key) for key in facts.get("keys", ())], books.policy)
    if facts.get("unfit") and not left:
        raise ConfigError(f"there is nothing to correct in MPW. {_told((), facts['unfit'])}", hint=UNFIT_HINT)
    apply_correction(books, {"keys": left})


def tell_unfit(books: Books, facts: Mapping[str, Any]) -> None:
    """Ask anew about the lines that do not fit, once the rest is applied and its question closed."""
    if facts.get("unfit"):
        _ask(books, (), facts["unfit"])
