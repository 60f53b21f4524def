"""Whether MPW knows a part in a warehouse: a receipt for one that it does not know would create it for good."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from sync.clients.mpw.client import MpwClient
from sync.errors import AuthError, RejectedError, RemoteError
from sync.reconcile.rows import save_absent
from sync.reconcile.rules import Part
from sync.stock.mpw_stock import StockRead, read_stock, save_stock_reads
from sync.stock.rules import Target
from sync.values.systems import MPW
from sync.work.context import Context

Pair = tuple[str, str]
"""(warehouse, part number)"""

FAILURES_MAX = 3
"""So many reads in a row that failed, and MPW is left alone until the next pass."""


@dataclass(slots=True)
class Asked:
    """What MPW said about the pairs that it was asked for."""

    parts: dict[Pair, Part] = field(default_factory=dict)
    reads: list[StockRead] = field(default_factory=list)
    refused: list[Pair] = field(default_factory=list)


def ask_parts(ctx: Context, pairs: Iterable[Pair], *, store: bool = True) -> dict[Pair, Part]:
    """Ask MPW for each pair (Inventory - GET); remember the answers unless `store` is False.

    A network failure says nothing about a part: it is "failed". A refusal counts as absent, since the
    document does not say how an unknown warehouse is answered, and absence pushes nothing.
    """
    wanted = sorted(set(pairs))
    if not wanted:
        return {}
    asked = Asked()
    client = ctx.mpw_client()
    if client is None:
        return {pair: Part("failed", "MPW is off or paused") for pair in wanted}
    _ask_all(ctx, client, wanted, asked)
    if store and (asked.reads or asked.refused):
        with ctx.leader_writes() as books:
            save_stock_reads(books, asked.reads)
            save_absent(books, asked.refused)
    return {pair: asked.parts.get(pair, Part("failed", "not asked for yet")) for pair in wanted}


def _ask_all(ctx: Context, client: MpwClient, wanted: list[Pair], asked: Asked) -> None:
    failures = 0
    for pair in wanted:
        if failures >= FAILURES_MAX or ctx.stopping():
            return
        try:
            asked.parts[pair] = _ask(ctx, client, pair, asked)
            failures = 0
        except AuthError as error:
            ctx.pause(MPW, error)
            return
        except RemoteError as error:
            asked.parts[pair] = Part("failed", error.message)
            failures += 1


def _ask(ctx: Context, client: MpwClient, pair: Pair, asked: Asked) -> Part:
    warehouse, part_number = pair
    try:
        (read,) = read_stock(client, Target(part_number, (warehouse,), Decimal(1)), now=ctx.clock.now())
    except RejectedError as error:
        asked.refused.append(pair)
        return Part("absent", error.message)
    asked.reads.append(read)
    return Part("found" if read.found else "absent")
