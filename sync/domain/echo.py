"""Which movement of MPservices did our own stock patch make? (Update product stock and cost: "creates a movement".)

The document does not say how that movement looks, so it is known by what must hold of it: it has one
line, at the patched cost, and after it the running balance equals the patched stock. Its type is not
looked at: the sign of its quantity follows from the stock before, which somebody may just have changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sync.domain.money import QUANTUM, times

DRAINS = 2
"""Whole reads of the feed after the answer that must lack the echo before we say that there is none."""

DATE_RESOLUTION = timedelta(seconds=1)
"""A Date header names the second in which the answer was made."""

PROMPT = timedelta(seconds=5)
"""A read of the feed that begins so soon after the answer shows the echo, and hardly anything of people's
made since: what it shows at the patched cost is the echo, whatever the vendor's clocks say."""

REQUEST_TIMEOUT, BAD_GATEWAY = 408, 502

SYNCHRONOUS = timedelta(milliseconds=100)
"""How far two clocks may be apart that agree on the second, before the Date header alone must do."""

SKEW_MAX = timedelta(minutes=10)
"""Between our clock and a vendor's that sends no Date header; a lower bound needs no more: what the drain
before the patch showed is no candidate anyway."""

SLACK = timedelta(seconds=2)
"""Before the earliest moment at which the call can have arrived: stamps are cut to seconds or less."""


@dataclass(frozen=True, slots=True)
class Line:
    """A movement's line as the ledger holds it; the feed's order is (created_at, place)."""

    movement_id: str
    n: int
    api_key: str
    quantity: Decimal
    unit_cost: Decimal
    created_at: datetime
    place: int
    single: bool
    undecided: bool
    entry_id: int | None = None

    @property
    def position(self) -> tuple[datetime, int]:
        """Where it stands in the feed."""
        return self.created_at, self.place


@dataclass(frozen=True, slots=True)
class Base:
    """A known stock at a position of the feed; `trusted`: an echo proved it and no gap in the feed came after."""

    quantity: Decimal
    at: datetime
    place: int
    trusted: bool

    @property
    def position(self) -> tuple[datetime, int]:
        """Where it stands in the feed."""
        return self.at, self.place


@dataclass(frozen=True, slots=True)
class Window:
    """When, by the vendor's clock, the patch can have taken effect.

    Until `sure` it can, if both clocks agree on the second that the Date header names; after `last` it
    cannot. `last` None: no answer came, and it may still; `sure` is then when it should have been over.
    """

    first: datetime
    sure: datetime | None
    last: datetime | None

    def holds(self, instant: datetime, *, sure: bool) -> bool:
        """Tell whether the patch can have been made at that instant."""
        end = self.sure if sure else self.last
        return self.first <= instant and (end is None or instant <= end)


def window_of(started_at: datetime, ended_at: datetime | None, answered_at: datetime | None) -> Window:
    """Return the window of one call: begun and ended by our clock, answered by the vendor's (its Date header).

    The effect came before the answer, and the answer before the end of the second in its Date header.
    Where our clock agrees with that second, it says more exactly when within it.
    """
    if ended_at is None:
        return Window(started_at - SKEW_MAX, None, None)
    if answered_at is None:
        end = ended_at + SKEW_MAX
        return Window(started_at - SKEW_MAX, end, end)
    first = answered_at - max(ended_at - started_at, timedelta()) - SLACK
    last = answered_at + DATE_RESOLUTION
    return Window(first, min(last, max(ended_at, answered_at) + SYNCHRONOUS), last)


def window_unanswered(started_at: datetime, *, call_max: timedelta, ahead: timedelta | None) -> Window:
    """Return the window of a call without an answer: at once, or later where it, or its process, was held up.

    `ahead`: by how much the vendor's clock was ahead of ours just before, or up to a second more; None: unknown.
    """
    if ahead is None:
        return Window(started_at - SKEW_MAX, started_at + call_max + SKEW_MAX, None)
    begun = started_at + ahead
    return Window(begun - SLACK, begun + DATE_RESOLUTION + call_max + SLACK, None)


@dataclass(frozen=True, slots=True)
class Expectation:
    """What we expect of one patch.

    `landed`: True, the vendor said so; False, it certainly did not; None, unclear. `over`: unclear, but the
    vendor answered, so that nothing of it comes later. `waited`: unclear, and no call of ours can still
    land. `drains`: whole reads of the feed begun since the answer, or since none came. `prompt`: the first
    of them began at once (`PROMPT`). `base_quantity`: what MPservices had when it was sent, proved by an
    echo (None: nothing was); `believed_quantity`: what we believed, proved or not.
    """

    new_stock: Decimal
    new_cost: Decimal
    base_quantity: Decimal | None
    landed: bool | None
    waited: bool
    drains: int
    window: Window
    prompt: bool = False
    believed_quantity: Decimal | None = None
    over: bool = False

    @property
    def ended(self) -> bool:
        """Whether the call is over: its effect, if it had one, is in the feed or never will be."""
        return bool(self.landed) or self.over

    @property
    def read_at_once(self) -> bool:
        """Whether all that is known of the time after the call is what the read right after it showed."""
        return self.prompt and self.drains == 1


@dataclass(frozen=True, slots=True)
class StillOpen:
    """Nothing can be said yet but that `foreign` are people's."""

    foreign: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """`line` is the echo: the stock after it is the patched one. `foreign` are people's."""

    line: Line
    foreign: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Silent:
    """There is no echo; `foreign` are people's.

    `base`: what becomes of the believed stock. 'kept': it stands. 'patched': it is the patched stock,
    unverified. 'unknown': somebody moved stock just before or just after, nobody can say which.
    """

    foreign: tuple[Line, ...]
    base: str = "kept"


@dataclass(frozen=True, slots=True)
class Doubt:
    """One of `lines` may be the echo: a person decides, and none is forwarded. `foreign` are people's."""

    lines: tuple[Line, ...]
    foreign: tuple[Line, ...]
    reason: str


Finding = StillOpen | Found | Silent | Doubt


def find_echo(expected: Expectation, base: Base | None, lines: Sequence[Line], *, cost_is: str) -> Finding:
    """Decide which of the undecided lines of an item is the echo of its patch, if any.

    `lines`: the item's, in the feed's order; at least all after the base, and all that are undecided.
    """
    undecided = [line for line in lines if line.undecided]
    if expected.landed is False:
        return Silent(tuple(undecided))
    own_cost = [line for line in undecided if line.single and same_cost(line, expected.new_cost, cost_is=cost_is)]
    if base is not None and base.trusted and expected.base_quantity is not None:
        balances = running_balances(base, lines)
        at_balance = [line for line in own_cost if balances.get(line.api_key) == expected.new_stock]
        return _by_balance(expected, undecided, at_balance)
    return _by_cost(expected, undecided, own_cost)


def may_land_later(status: int) -> bool:
    """Tell whether a call that was answered so may take effect after the answer: a gateway gave up waiting for it."""
    return status == REQUEST_TIMEOUT or status >= BAD_GATEWAY


def late_echo(expected: Expectation, lines: Iterable[Line], *, cost_is: str) -> Line | None:
    """Return the echo of a patch that was taken for silent, should the feed have shown it late.

    The believed stock has been the patched one since, so only time and cost are left to know it by.
    """
    found = [
        line
        for line in lines
        if line.single
        and expected.window.holds(line.created_at, sure=True)
        and same_cost(line, expected.new_cost, cost_is=cost_is)
    ]
    return found[0] if len(found) == 1 else None


def running_balances(base: Base, lines: Iterable[Line]) -> dict[str, Decimal]:
    """Return the believed stock after each line that comes after the base, by the line's api_key."""
    balance, balances = base.quantity, {}
    for line in sorted(lines, key=lambda line: line.position):
        if line.position > base.position:
            balance += line.quantity
            balances[line.api_key] = balance
    return balances


def same_cost(line: Line, new_cost: Decimal, *, cost_is: str) -> bool:
    """Tell whether a line shows the patched cost, as far as its decimals (two at least) can show it.

    Where the vendor gives totals, the unit cost was computed from one: the totals are compared.
    """
    if line.unit_cost == new_cost:
        return True
    if cost_is == "total" and line.quantity:
        shown, ours = times(abs(line.quantity), line.unit_cost), times(abs(line.quantity), new_cost)
        return abs(shown - ours) <= Decimal("0.005") + QUANTUM * abs(line.quantity)
    decimals = max(-int(line.unit_cost.normalize().as_tuple().exponent), 2)
    return decimals < 6 and abs(line.unit_cost - new_cost) <= Decimal(5).scaleb(-decimals - 1)


def _by_balance(expected: Expectation, undecided: list[Line], at_balance: list[Line]) -> Finding:
    """Decide where the stock before the patch is known: the balance after the echo is the patched stock."""
    unclear = expected.landed is None
    timely = [line for line in at_balance if unclear or expected.window.holds(line.created_at, sure=False)]
    if timely:
        return _only_one(timely, undecided)
    several = tuple(line for line in undecided if not line.single)
    if expected.landed is None:
        return StillOpen(several)
    if expected.base_quantity == expected.new_stock:  # a patch that changes nothing: no echo is due
        if expected.drains >= DRAINS:
            return Silent(tuple(undecided))
        return StillOpen(tuple(line for line in undecided if not line.single or not _in_time(expected, line)))
    if expected.drains < DRAINS:
        return StillOpen(several)
    if at_balance:  # the vendor's Date header and its movements' stamps are not of one clock
        return _only_one(at_balance, undecided)
    singles = tuple(line for line in undecided if line.single)
    if singles:
        return Doubt(singles, several, "the patch changed the stock, and none of these fits its balance and cost")
    return Silent(several, "unknown" if several else "patched")


def _by_cost(expected: Expectation, undecided: list[Line], own_cost: list[Line]) -> Finding:
    """Decide where the stock before the patch is not proved.

    What confirms the believed stock is the echo. Else the only movement at that cost that the read right
    after the answer shows, or that was made in the window. Without an answer, and without such a read, it is the
    only one at all: one that was made later is as likely a person's as of a call that was held up.
    """
    several = tuple(line for line in undecided if not line.single)
    confirming = [line for line in own_cost if _confirms_belief(expected, line)]
    seen = expected.drains > 0 and (expected.ended or expected.read_at_once)
    if seen and len(confirming) == 1:
        return _only_one(confirming, undecided)
    timely = [line for line in own_cost if _in_time(expected, line)]
    if (seen or expected.waited) and timely:
        return _only_one(timely if seen or expected.ended else own_cost, undecided)
    unsure = tuple(line for line in own_cost if _perhaps_in_time(expected, line))
    if unsure and (seen or (expected.ended and expected.waited)):
        reason = "no readable answer came, and what is there at its cost was made in the second in which it ended"
        return Doubt(unsure, tuple(line for line in undecided if line not in unsure), reason)
    if not expected.ended and expected.waited and own_cost:
        reason = "no readable answer came, and what is there at its cost was made at another time"
        return Doubt(tuple(own_cost), tuple(line for line in undecided if line not in own_cost), reason)
    if not expected.ended or expected.drains == 0:
        return StillOpen(several)
    late = tuple(line for line in undecided if line.single and not _in_time(expected, line))
    if expected.drains < DRAINS:
        return StillOpen(several + late)
    left = tuple(line for line in undecided if line.single and _in_time(expected, line))
    if left:
        return Doubt(left, several + late, "made while the patch was under way, none of them at its cost")
    between = any(expected.window.holds(line.created_at, sure=False) for line in several)
    return Silent(several + late, "unknown" if between else "patched")


def _in_time(expected: Expectation, line: Line) -> bool:
    """Tell whether a line can be the echo by its time.

    What the read right after the call lacked must surely be in time; where the call may land later still,
    nothing can be sure of that.
    """
    if expected.read_at_once:
        return True
    if expected.prompt and not expected.ended:
        return False
    return expected.window.holds(line.created_at, sure=not expected.landed or expected.drains > 1)


def _perhaps_in_time(expected: Expectation, line: Line) -> bool:
    """Tell whether a line may have been made by a call without a readable answer, or just after it by a person."""
    return not expected.landed and not expected.prompt and expected.window.holds(line.created_at, sure=False)


def _confirms_belief(expected: Expectation, line: Line) -> bool:
    """Tell whether a line leads from the stock that we believed, though unproved, to the patched one."""
    believed = expected.believed_quantity
    return believed is not None and line.quantity != 0 and believed + line.quantity == expected.new_stock


def _only_one(candidates: list[Line], undecided: list[Line]) -> Finding:
    if len(candidates) > 1:
        others = tuple(line for line in undecided if line not in candidates)
        return Doubt(tuple(candidates), others, f"{len(candidates)} movements fit the patch equally well")
    return Found(candidates[0], tuple(line for line in undecided if line is not candidates[0]))
