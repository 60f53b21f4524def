"""Reading what MPW has before anything is taken from it: where that is less than asked, nothing is posted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from sync.errors import RemoteError
from sync.outbox.rows import Push
from sync.outbox.shortage import Shortage, Take, is_short, said_of
from sync.outbox.shortage_rows import known_stock, other_places
from sync.push.operations.base import TooLittle
from sync.push.operations.posted_rows import mpw
from sync.stock.mpw_stock import StockRead, read_stock
from sync.stock.rules import Target
from sync.work.context import Context


def too_little(
    ctx: Context,
    row: Push,
    part_number: str,
    left: Sequence[Take],
    *,
    warehouse: str,
    done: Decimal = Decimal(0),
    seen: Mapping[str, Decimal] | None = None,
) -> TooLittle | None:
    """Return what is short of what is left to be taken, None where nothing is.

    `warehouse`: the push's own; `done`: what is there of it. MPW is not asked about a stock that it has just told, nor
    about one in `seen`, and about other warehouses only where something is short. Of
    a part that it does not know in a warehouse its own refusal says more. A RemoteError of a needed read is raised:
    while a stock cannot be read, nothing is taken from it.
    """
    there: dict[str, Decimal] = dict(seen or {})
    reads: list[StockRead] = []
    for name in dict.fromkeys(take.warehouse for take in left):
        if name in there:
            continue
        with ctx.read() as conn:
            known = known_stock(conn, part_number, name, now=ctx.clock.now())
        if known is None:
            read = _read(ctx, part_number, name)
            if not read.found:
                return None
            reads.append(read)
            known = read.quantity
        there[name] = known
    if not is_short(left, there):
        return None
    short = Shortage(tuple(left), there, _others(ctx, part_number, warehouse, there, reads))
    return TooLittle(short, said_of(short, row.item or part_number, done=done), tuple(reads))


def _others(
    ctx: Context, part_number: str, warehouse: str, there: dict[str, Decimal], reads: list[StockRead]
) -> dict[str, Decimal | None]:
    """Return what the other warehouses of the item have; None: that one cannot be read."""
    with ctx.read() as conn:
        places = other_places(conn, part_number, warehouse)
    found: dict[str, Decimal | None] = {}
    for name in places:
        if name in there:
            continue
        try:
            read = _read(ctx, part_number, name)
        except RemoteError:
            found[name] = None
            continue
        reads.append(read)
        found[name] = read.quantity
    return found


def _read(ctx: Context, part_number: str, warehouse: str) -> StockRead:
    (read,) = read_stock(mpw(ctx), Target(part_number, (warehouse,), Decimal(1)), now=ctx.clock.now())
    return read
