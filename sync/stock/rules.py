"""Does a product's stock or cost in MPservices differ from MPW's, and may we say so now? Levels, not changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, localcontext

from sync.values.factors import cost_in_mpservices, in_mpservices
from sync.values.marks import without_mark
from sync.values.money import fixed, plain, times
from sync.values.names import shown


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now; `until` None: as soon as something changed."""

    reason: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Blocked:
    """Not before a person acted. `kind` None: an exception about the cause is open already."""

    reason: str
    kind: str | None
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Equal:
    """MPservices has what MPW has, as far as anyone can know."""


@dataclass(frozen=True, slots=True)
class Patch:
    """What MPservices should be told, absolute values in its units."""

    new_stock: Decimal
    new_cost: Decimal
    reason: str


Decision = Wait | Blocked | Equal | Patch


@dataclass(frozen=True, slots=True)
class Target:
    """Where an MPservices item's stock is kept in MPW; MPW quantity = MPservices quantity × factor."""

    part_number: str
    warehouses: tuple[str, ...]
    factor: Decimal
    mapped: bool = field(default=False, compare=False)  # by the item map, not by its own name in MPW_WAREHOUSE


@dataclass(frozen=True, slots=True)
class PatchRow:
    """The item's newest stock patch in the outbox. `after_product`: its product was created since."""

    outbox_id: int
    state: str
    tries: int
    erp: bool
    new_stock: Decimal
    new_cost: Decimal
    seen: str
    after_product: bool = False
    follows: int | None = None  # the attempt in question that it is the follow-up of


FOLLOWS = "follows"
"""In a patch's facts: the expectation in question that it is the follow-up of."""

UNFIT_MAX = 2
"""The fuse: after so many patches in a row whose own movement surprised us, an item stops."""

FOLLOW_UPS_MAX = 4
"""Follow-ups in a row that may be sent for one question, whatever the rules of the echo say; then a person is asked.

The rules need as many as `ASKING_MAX`, and one that makes no movement is sent once more."""


@dataclass(frozen=True, slots=True)
class Question:
    """A patch of which nobody knows which movement it made; a follow-up to `stock` at `cost` is to tell.

    `follow_ups`: how many the vendor was sent in a row already.
    """

    echo_id: int
    stock: Decimal
    cost: Decimal
    follow_ups: int = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """How MPservices keeps what it is sent, as far as that is learnt: decimals, and whether the rest is cut off.

    None: all six decimals.
    """

    stock_decimals: int | None = None
    stock_cut: bool = False
    cost_decimals: int | None = None
    cost_cut: bool = False

    def same_stock(self, one: Decimal, other: Decimal) -> bool:
        """Tell whether two stocks cannot be told apart there."""
        return _alike(one, other, self.stock_decimals, cut=self.stock_cut)

    def same_cost(self, one: Decimal, other: Decimal) -> bool:
        """Tell whether two costs cannot be told apart there."""
        return _alike(one, other, self.cost_decimals, cut=self.cost_cut)


def _alike(one: Decimal, other: Decimal, decimals: int | None, *, cut: bool) -> bool:
    if one == other or decimals is None:
        return one == other
    unit = Decimal(1).scaleb(-decimals)
    return abs(one - other) < unit if cut else abs(one - other) <= unit / 2


@dataclass(frozen=True, slots=True)
class CostWord:
    """A person's word on one cost, of MPservices' unit: it is sent, or the old one is kept while MPW's stays this."""

    cost: Decimal
    sent: bool


@dataclass(frozen=True, slots=True)
class ItemFacts:
    """What our tables say of one item; two equal ones mean that nothing of it changed in between.

    `seen` names everything a decision rested on: the believed stock, the last movement, the last push to MPW.
    """

    external_id: str
    target: Target | None
    dirty_at: datetime | None
    believed: Decimal | None
    cost: Decimal | None
    seen: str
    pushes: tuple[tuple[str, str, str], ...]  # (state, operation, api_key) of the item's open pushes to MPW
    products: tuple[str, ...]  # states of its create_product pushes, where open or dead; unknown: a patch tells
    unreconciled: bool
    parked: str | None
    route_off: str | None
    undecided: bool
    doubtful: bool
    echo_open: bool
    patch: PatchRow | None
    patches: int
    line_cost: Decimal | None  # of the last movement
    read_quantity: Decimal | None  # MPW's, as it was when this item was last compared
    read_unit_cost: Decimal | None
    lines_after_base: bool
    ignored: bool = False  # the item map says that MPW is never to have it
    nameless: bool = False  # no movement gave its external id
    part_missing: bool = False  # MPW was asked for its part, and last seen to have it in none of its warehouses
    gone: bool = False  # the movements that showed it show another item by now
    blocker: str | None = None  # what an open exception says that makes a stock unknown
    question: Question | None = None
    unfit: int = 0
    cost_contradicted: bool = False  # an echo showed that MPSERVICES_COST_IS is wrong
    kept: Kept = field(default_factory=Kept)
    only_created: bool = False  # we created its product; no movement names it, and the map does not either
    gap: Decimal | None = None  # by how much MPW's stock was more than its ledger's when both were last believed
    gap_since: datetime | None = None  # since when they differ by anything else
    cost_word: CostWord | None = None  # what a person has said last of a cost that jumped
    cost_asked: Decimal | None = None  # the cost that a person is asked about


@dataclass(frozen=True, slots=True)
class Ledger:
    """What our ledger says of a part in its warehouses.

    `last_cost`: what the newest receipt that shows a cost says; where none does, the newest issuance, which MPW prices
    itself. `unread`: (kind, created_on) of our own pushes that MPW took and no poll has shown yet.
    `settled`: it differs from MPW's stock by what it always did, or its days were read again since it did not.
    """

    quantity: Decimal
    value: Decimal
    last_cost: Decimal | None
    unread: tuple[tuple[str, date], ...] = ()
    settled: bool = True


@dataclass(frozen=True, slots=True)
class MpwStock:
    """What MPW says now, summed over the item's warehouses; `missing`: those that do not know the part."""

    quantity: Decimal
    unit_cost: Decimal | None
    missing: tuple[str, ...] = ()


FUSE = "patch_fuse"
COST_JUMP = "cost_jump"
COST_JUMP_RATIO = Decimal(3)

OPEN = ("held", "ready", "sending", "unknown")
"""States in which a push may still take effect."""


def readiness(item: ItemFacts) -> Wait | Blocked | None:
    """Say what stands against comparing an item now, from our own tables alone; None: nothing.

    A patch sets an absolute stock: whatever people did in MPservices that MPW does not know yet would be erased.
    """
    if item.ignored:
        return Blocked("ignored: the item map says so", None)
    if item.target is None:
        return Blocked("no part of MPW is known for it: map it, or set MPW_WAREHOUSE", None)
    if item.nameless and item.part_missing and not item.target.mapped:
        return Blocked("MPservices' movements show it without an external id, and MPW has no part of its own id", None)
    if item.nameless:
        return Blocked(
            "MPservices' movements show it without an external id, which is what a patch names it by",
            "stock_blocked",
            "give the product an external id in MPservices, and map that; where that cannot be, keep its stock there "
            "by hand, and `mpsync exceptions resolve ID --why TEXT`",
        )
    if item.cost_contradicted:
        return Blocked("MPSERVICES_COST_IS is not what MPservices' movements show", None)
    if item.doubtful:
        return Blocked("a person must say which movement our last patch made", None)
    if item.unfit >= UNFIT_MAX:
        return Blocked(
            f"the last {item.unfit} patches made unexpected movements: MPservices' stock no longer matches its"
            " movements. Nothing is patched, and nothing of it went to MPW",
            FUSE,
            "`mpsync explain` of the patches shows the chain; find out what changes its stock without a movement, then"
            " `mpsync exceptions resolve ID --why TEXT`: the next patch starts from an unknown stock",
        )
    if item.blocker is not None:
        return Blocked(item.blocker, None)
    for state, operation, api_key in item.pushes:
        if state == "dead":
            return Blocked(
                f"{operation} {api_key} to MPW failed for good: a patch would erase what people did",
                "stock_blocked",
                f"`mpsync explain {api_key}` says why; with the cause gone `mpsync outbox retry --key {api_key}`; if it"
                f" shall not be in MPW, `mpsync outbox discard --key {api_key}`",
            )
    if item.route_off:
        return Blocked(
            f"route {item.route_off} is off while MPW lacks a movement of it: a patch would erase what people did",
            "stock_blocked",
            f"set SYNC_ROUTE_{item.route_off.upper()} to hold or push",
        )
    return _waiting(item)


def _waiting(item: ItemFacts) -> Wait | Blocked | None:
    if item.unreconciled:
        return Wait("its newest movements are not reconciled yet")
    if item.parked:
        return Wait(f"a movement of it waits: {item.parked}")
    if item.pushes:
        state, operation, api_key = item.pushes[0]
        return Wait(f"{operation} {api_key} to MPW is {state}")
    if item.undecided or item.echo_open or item.question is not None:
        return Wait("the movement of its last patch is not known yet")
    if "dead" in item.products:
        return Blocked("its product could not be created in MPservices", None)
    if any(state != "unknown" for state in item.products):
        return Wait("its product is being created in MPservices")
    patch = item.patch
    if patch is not None and (patch.state in ("sending", "unknown") or (patch.state == "ready" and patch.tries)):
        return Wait("its last patch is under way")
    if patch is not None and patch.erp and patch.state in ("held", "ready"):
        return Wait("a patch of it that the ERP or a probe asked for waits to be sent")
    return None


def follow_up(item: ItemFacts) -> Patch | None:
    """Return the patch that asks the vendor which movement was ours, or None: nothing is in question, or it is asked.

    Nothing else stands against it: it sets what the patch in question set, and what people moved since. That makes it
    the one patch that could feed itself: it is counted, and that count rests on nothing but what was sent.
    """
    asked, patch = item.question, item.patch
    if asked is None or item.doubtful or item.echo_open or asked.follow_ups >= FOLLOW_UPS_MAX:
        return None
    if (patch is not None and patch.state in ("sending", "unknown")) or item.target is None:
        return None
    if patch is not None and patch.state == "dead" and patch.follows == asked.echo_id and not patch.after_product:
        return None  # it was refused, and an exception says so: a person sends it again
    reason = "it is not clear which movement the last patch made: the same stock again, at a cost of its own, tells"
    return Patch(max(asked.stock, Decimal(0)), asked.cost, reason)


def decide(item: ItemFacts, mpw: MpwStock, ledger: Ledger, *, jump_ratio: Decimal = COST_JUMP_RATIO) -> Decision:
    """Compare an item that nothing stands against (`readiness`) with what MPW says of it now.

    While the ledger lacks something of MPW's stock the last known cost stands, and so it does where MPW's is a jump
    that nobody has confirmed (`cost_jump`): the stock is told all the same.
    """
    assert item.target is not None
    part, factor = item.target.part_number, item.target.factor
    if mpw.missing and (item.only_created or item.gone):
        return Equal()  # an ERP may well create products that MPW has no part of
    if mpw.missing:
        return Blocked(
            f"MPW does not know part {shown(part)} in {', '.join(mpw.missing)}",
            "unknown_part",
            "create the part in MPW, or correct the item map (mpsync items import)",
        )
    if mpw.quantity < 0:
        return Blocked(
            f"MPW has {plain(mpw.quantity)} of {part}: MPservices is not told a stock below zero",
            "negative_stock",
            "correct the stock in MPW (an overdraft, or a receipt that is missing)",
        )
    cost = cost_of(item, mpw, ledger)
    if cost is None and item.only_created and in_mpservices(mpw.quantity, factor) == (item.believed or 0):
        return Equal()  # a new part: what it costs is known with its first receipt
    if cost is None:
        return Blocked(
            f"nothing says what {part} costs: MPW shows no unit cost, and no receipt or issuance with one is known",
            "unknown_cost",
            "set the part's unit cost in MPW, or receive some of it",
        )
    stock = in_mpservices(mpw.quantity, factor)
    new_cost = without_mark(cost_in_mpservices(cost, mpw.quantity, factor))
    if ledger.unread and item.believed is not None and item.kept.same_stock(item.believed, stock):
        same = item.cost is not None and item.kept.same_cost(item.cost, new_cost)
        return Equal() if same else Wait("its cost is taken when MPW's own record of our last pushes is read")
    if item.cost is not None and (not ledger.settled or _is_kept(item, new_cost, jump_ratio)):
        new_cost = item.cost
    return _compared(item, mpw, stock, new_cost)


def cost_jump(item: ItemFacts, mpw: MpwStock, ledger: Ledger, *, ratio: Decimal) -> Decimal | None:
    """Return MPW's cost, of MPservices' unit, where it is so far from the last one that a person is asked; else None.

    Each cost is asked about once. A first cost, and one after a cost of zero, is no jump.
    """
    cost = None if mpw.missing or mpw.quantity < 0 or not ledger.settled else cost_of(item, mpw, ledger)
    if cost is None or item.target is None:
        return None
    new = without_mark(cost_in_mpservices(cost, mpw.quantity, item.target.factor))
    decided = item.cost_word is not None and item.cost_word.cost == new
    return new if _jumps(item.cost, new, ratio) and not decided else None


def _is_kept(item: ItemFacts, new: Decimal, ratio: Decimal) -> bool:
    """Tell whether a cost that jumped stays away: nobody has said that it is right, or somebody that it is not."""
    confirmed = item.cost_word is not None and item.cost_word.sent and item.cost_word.cost == new
    return _jumps(item.cost, new, ratio) and not confirmed


def _jumps(old: Decimal | None, new: Decimal, ratio: Decimal) -> bool:
    return old is not None and old > 0 and (new > old * ratio or new * ratio < old)


def gap_of(mpw: MpwStock, ledger: Ledger) -> Decimal:
    """Return by how much MPW's stock is more than its ledger: what was there before the ledger, or what it lacks."""
    return mpw.quantity - ledger.quantity


def cost_of(item: ItemFacts, mpw: MpwStock, ledger: Ledger) -> Decimal | None:
    """Return MPW's unit cost: the ledger's where it accounts for MPW's stock, else MPW's, else the last row's.

    MPW's own `unit_cost` is a baseline (Inventory - POST), so it comes second, and only above zero. Where
    MPW says nothing at all, what MPservices itself last said stays.
    """
    if ledger.quantity == mpw.quantity and ledger.quantity > 0 and ledger.value > 0:
        return over(ledger.value, ledger.quantity)
    if mpw.unit_cost is not None and mpw.unit_cost > 0:
        return mpw.unit_cost
    if ledger.last_cost is not None:
        return ledger.last_cost
    said = item.cost if item.cost is not None else item.line_cost
    return None if said is None or item.target is None else over(said, item.target.factor)


def over(value: Decimal, divisor: Decimal) -> Decimal:
    """Return value ÷ divisor, rounded half-even to six decimals once."""
    with localcontext() as context:
        context.prec = 60
        return fixed(value / divisor)


def _compared(item: ItemFacts, mpw: MpwStock, stock: Decimal, cost: Decimal) -> Decision:
    same_stock = item.believed is not None and item.kept.same_stock(item.believed, stock)
    if same_stock and item.cost is not None and item.kept.same_cost(item.cost, cost):
        return Equal()
    patch = item.patch
    if patch is not None and _stands(item, patch, mpw):
        return Equal()
    if patch is not None and (patch.new_stock, patch.new_cost) == (stock, cost) and patch.seen == item.seen:
        if patch.state == "dead" and not patch.after_product:
            return Blocked("MPservices refused this very patch", None)
        if patch.state == "discarded":
            return Blocked("an operator discarded this very patch", None)
    return Patch(stock, cost, _reason(item, mpw, stock, cost))


def _stands(item: ItemFacts, patch: PatchRow, mpw: MpwStock) -> bool:
    """Tell whether the ERP's own patch was the last word: nothing of the item has moved since, on either side."""
    unchanged = (item.read_quantity, item.read_unit_cost) == (mpw.quantity, mpw.unit_cost)
    return patch.erp and patch.state == "done" and unchanged and not item.lines_after_base


def _reason(item: ItemFacts, mpw: MpwStock, stock: Decimal, cost: Decimal) -> str:
    assert item.target is not None
    part, factor = item.target.part_number, item.target.factor
    as_it_is = stock == stock.to_integral_value() or times(stock, factor) == mpw.quantity
    exact = "" if as_it_is else f" (rounded: {plain(mpw.quantity)} ÷ {plain(factor)})"
    if item.believed is None:
        return f"what MPservices has of {item.external_id} is not known; MPW has {plain(mpw.quantity)} of {part}{exact}"
    if not item.kept.same_stock(item.believed, stock):
        return f"MPservices has {plain(item.believed)}, MPW has {plain(mpw.quantity)} of {part}{exact}"
    was = "unknown" if item.cost is None else plain(item.cost)
    return f"the cost is {was} in MPservices and {plain(cost)} by MPW"
