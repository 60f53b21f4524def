"""Which movement of MPservices did our own stock patch make? (Update product stock and cost: "creates a movement".)

The document says nothing of that movement's type, sign, reference or cost, and has no call that reads a stock. What we
believe of the stock is an opinion; what the vendor shows is evidence. So the rule is a table (ADR 0004). An attempt's
*candidates* are the single-line movements first seen after its claim that show its marked cost. Where it is not known
that the mark survives, those too that were made while the call was under way, or that a call without an answer may have
made until it is closed. Of these:

| branch | what there is | what follows |
|---|---|---|
| 1 | a candidate that moved nothing, and none at the mark that fits | it is the echo: the stock was the patched one |
| 2 | one whose quantity leads from a possible stock to the patched one | it is the echo |
| 3 | a single one, no stock was believed, and the vendor makes a movement for every patch | it is the echo |
| 4 | any other | undecided: a follow-up patch to the same stock asks the vendor (branch 8) |
| 5 | none, it had to move stock, and three reads lack it | no movement: the patch is sent once more |
| 6 | none, and two reads lack it | silent: it changed nothing |
| 7 | none, or not all is known yet | wait |
| 8 | the follow-up of a patch in question moved q | the candidate whose absence from people's movements explains q |
| 9 | nothing explains q, or several do, or four attempts in a row are in question | a person is asked |

A vendor, or what stands between, may apply a patch twice: then a movement that fits is followed by one of nothing, and
the follow-up tells (branch 4).
A possible stock is the believed one, with or without each movement that was shown late with an earlier createdAt.
Branch 2 needs a cost that the echo may show; at another, people moved as much just then, and it is branch 4. It needs
more of a line that a call without an answer may have made late: a cost that only the patch can have brought. Where the
decimals of cost that the vendor keeps are learnt, what shows the sent cost with so many comes before all other
candidates, and nothing else is late.
Branch 8 tries the candidates at the mark first. Of several that explain q, the only one is the echo that shows the type
or the reference that every proven echo showed. What people moved in between ends at the follow-up's movement; what
bears the stamp of a patch's movement came before it or after.
What is not a candidate is people's, and goes to MPW.
However this table is read, one question is asked `FOLLOW_UPS_MAX` times at most (`stock/rules.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import combinations

from sync.values.marks import decimals_of, mark_of, meaning_of, resembles

DRAINS = 2
"""Whole reads of the feed after the answer that must lack a movement before we say that there is none."""

DRAINS_DUE = 3
"""The same, where the patch had to make one."""

ASKING_MAX = 3
"""Attempts in a row that may be in question, before a person is asked."""

LATE_MAX = 6
"""Late movements, and candidates, of which every combination is looked at; beyond, all of them or none."""

DATE_RESOLUTION = timedelta(seconds=1)
"""A Date header names the second in which the answer was made."""

CENTS = 2
"""Decimals of a cost in which a change shows at most vendors, where it is not known how many one keeps."""

PROMPT = timedelta(seconds=5)
"""A read of the feed that begins so soon after the answer shows hardly anything of people's made since."""

REQUEST_TIMEOUT, BAD_GATEWAY = 408, 502

SYNCHRONOUS = timedelta(milliseconds=100)
"""How far two clocks may be apart that agree on the second, before the Date header alone must do."""

SKEW_MAX = timedelta(minutes=10)
"""Between our clock and a vendor's that sends no Date header."""

SLACK = timedelta(seconds=2)
"""Before the earliest moment at which the call can have arrived: stamps are cut to seconds or less."""


@dataclass(frozen=True, slots=True)
class Line:
    """A movement's line as the ledger holds it; the feed's order is (created_at, place).

    `shown`: its cost as it was shown, mark included. `seen`: the ledger's number at which it was first seen: a line is
    newer than a call where that is larger than the call's. `signed`: its type is one that we know, so that the sign of
    its quantity is the vendor's word. `asked`: the attempt in question that it may be the echo of. `ours`: it is one.
    `alike`: it shows the type or the reference that every proven echo showed, and that people's need not show.
    """

    movement_id: str
    n: int
    api_key: str
    quantity: Decimal
    shown: Decimal
    created_at: datetime
    place: int
    single: bool
    undecided: bool
    seen: int
    entry_id: int | None = None
    signed: bool = True
    asked: int | None = None
    ours: bool = False
    alike: bool = False

    @property
    def position(self) -> tuple[datetime, int]:
        """Where it stands in the feed."""
        return self.created_at, self.place


@dataclass(frozen=True, slots=True)
class Base:
    """A stock that was known when all up to a position of the feed was.

    `trusted`: an echo proved it, and no gap in the feed came after. `seq`: the ledger's number at that time: a line
    seen later at an earlier position was shown late. `cost`: what the patch that it rests on sent.
    """

    quantity: Decimal
    at: datetime
    place: int
    trusted: bool
    seq: int = 0
    cost: Decimal | None = None

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
    if ended_at + SYNCHRONOUS < answered_at:  # our clock is behind the vendor's, and says nothing about its second
        return Window(first, last, last)
    return Window(first, min(last, max(ended_at, answered_at) + SYNCHRONOUS), last)


def window_unanswered(started_at: datetime, *, call_max: timedelta, ahead: timedelta | None) -> Window:
    """Return the window of a call without an answer: at once, or later where it, or its process, was held up.

    `ahead`: by how much the vendor's clock was ahead of ours just before, or up to a second more; None: unknown.
    """
    if ahead is None:
        return Window(started_at - SKEW_MAX, started_at + call_max + SKEW_MAX, None)
    begun = started_at + ahead
    return Window(begun - SLACK, begun + DATE_RESOLUTION + call_max + SLACK, None)


def may_land_later(status: int) -> bool:
    """Tell whether a call that was answered so may take effect after the answer: a gateway gave up waiting for it."""
    return status == REQUEST_TIMEOUT or status >= BAD_GATEWAY


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of a patch whose own movement is not known.

    `sent_cost` carries its mark, if any. `claimed`: the ledger's number at its claim. `landed`: True, the vendor said
    so; None, unclear. `over`: unclear, but the vendor answered, so that nothing of it comes later. `reads`: whole
    reads of the feed begun since the call ended; `prompt`: the first of them began at once. `asks`: it is in question,
    and a follow-up is to tell. `closed`: it was taken for one without a movement; `absent`: and without an effect.
    `again`: the same patch, or another that asked the same, was sent before and made no movement.
    """

    id: int
    new_stock: Decimal
    sent_cost: Decimal
    claimed: int
    landed: bool | None
    reads: int
    window: Window
    prompt: bool = False
    over: bool = False
    asks: bool = False
    closed: bool = False
    absent: bool = False
    again: bool = False

    @property
    def marked(self) -> bool:
        """Whether its cost carries a mark."""
        return mark_of(self.sent_cost) != 0

    @property
    def ended(self) -> bool:
        """Whether the call is over: its effect, if it had one, is in the feed or never will be."""
        return bool(self.landed) or self.over


@dataclass(frozen=True, slots=True)
class Knows:
    """What has been learnt of the vendor; None: nothing yet.

    `mark_survives`: the echo shows the sixth decimal. `zero_echo`: a patch that changes nothing makes a movement.
    `stock_decimals`: how many decimals of a stock it keeps. `signed`: its echo's type tells whether it came or went.
    `cost_decimals`: how many of a cost: then its echo has been seen to show the patched cost, with so many of them.
    """

    mark_survives: bool | None = None
    zero_echo: bool | None = None
    stock_decimals: int | None = None
    signed: bool | None = None
    cost_decimals: int | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Branch 7: nothing can be said yet, of `lines` neither."""

    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """Branches 1 to 3, and 8: `line` is the echo.

    `quantity`: what the patch moved, signed by what must hold. `stock`: what there is now, after all that is known.
    `expected`: what it should have moved by what was believed (None: nothing was); `explained`: it did, or
    the vendor's rounding or a late movement explains the difference, or there was nothing to differ from.
    """

    line: Line
    quantity: Decimal
    stock: Decimal
    expected: Decimal | None
    explained: bool


@dataclass(frozen=True, slots=True)
class Silent:
    """Branch 6, and 8: it made no movement. `stock`: what there is now; None: what was believed stands, if anything."""

    stock: Decimal | None = None


@dataclass(frozen=True, slots=True)
class NoMovement:
    """Branch 5: it had to make a movement, and there is none."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Branch 4: `lines` may be the echo; the follow-up sets `stock`."""

    lines: tuple[Line, ...]
    stock: Decimal


@dataclass(frozen=True, slots=True)
class Doubt:
    """Branch 9: a person says which of `lines` is the echo."""

    lines: tuple[Line, ...]
    reason: str


Finding = Wait | Found | Silent | NoMovement | Ask | Doubt


@dataclass(slots=True)
class Told:
    """What was found of each attempt, by its id, and the lines (api_keys) that are held back until more is known."""

    findings: dict[int, Finding] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Case:
    """All that is known of an item."""

    base: Base | None
    lines: tuple[Line, ...]
    knows: Knows
    doubted: bool  # what there is now is not believed: an attempt is in question
    lost: tuple[Attempt, ...] = ()  # those without an answer
    taken: set[str] = field(default_factory=set)  # movements that were found to be an attempt's: they are no other's
    settled: set[int] = field(default_factory=set)  # attempts in question that a follow-up has just told of

    def after_base(self) -> list[Line]:
        if self.base is None:
            return []
        return [line for line in self.lines if line.position > self.base.position]

    def late(self) -> list[Line]:
        """Return the movements that were shown late, with a createdAt before the base: they came before it or after.

        Our own are left out: a base rests on them, and one of an unknown type enters the ledger after its base.
        """
        base = self.base
        if base is None:
            return []
        seen_since = [line for line in self.lines if line.seen > base.seq and not line.ours]
        return [line for line in seen_since if line.position <= base.position]


def tell(attempts: Sequence[Attempt], base: Base | None, lines: Iterable[Line], knows: Knows) -> Told:
    """Decide what can be decided of the attempts (oldest first) of one item.

    `lines`: the item's, at least all after the base, all seen after the oldest attempt, and all that are undecided.
    """
    doubted = any(attempt.asks for attempt in attempts)
    lost = tuple(attempt for attempt in attempts if not attempt.landed)
    case, told = _Case(base, tuple(sorted(lines, key=lambda line: line.position)), knows, doubted, lost), Told()
    asking: list[Attempt] = []
    for attempt in _as_they_landed(case, attempts):
        candidates = _candidates(case, attempt)
        before = asking[-1] if asking else None
        finding: Finding
        if attempt.asks:
            finding = Ask(tuple(candidates), _followed(case, attempt, candidates))
        else:
            finding = _judge(case, attempt, before, candidates)
        if isinstance(finding, Found | Silent) and asking:
            finding = _answer(case, asking, attempt, finding, told)
            asking = []
        told.findings[attempt.id] = finding
        if isinstance(finding, Found):
            case.taken.add(finding.line.movement_id)
        if isinstance(finding, Ask):
            asking.append(attempt)
            if len(asking) > ASKING_MAX:
                case.taken.clear()
                _give_up(case, asking, told, "the follow-up patches are in question themselves")
                asking = []
        if isinstance(finding, Wait | Ask):
            told.held.update(line.api_key for line in finding.lines)
    for one in told.findings.values():
        if isinstance(one, Doubt):
            told.held.update(line.api_key for line in one.lines)
        elif isinstance(one, Found):
            told.held.discard(one.line.api_key)
    return told


def _as_they_landed(case: _Case, attempts: Sequence[Attempt]) -> list[Attempt]:
    """Return the attempts in the order in which they took effect: one that was taken for lost may have come later."""
    order = list(attempts)
    for late in [attempt for attempt in attempts if attempt.absent]:
        mine = [line.position for line in _candidates(case, late) if _shows_mark(case, late, line)]
        for other in attempts[attempts.index(late) + 1 :]:
            theirs = [line.position for line in _candidates(case, other)]
            if mine and theirs and max(theirs) < min(mine):
                order.remove(late)
                order.insert(order.index(other) + 1, late)
    return order


# --- candidates ---------------------------------------------------------------------------


def _candidates(case: _Case, attempt: Attempt, *, shared: bool = False) -> list[Line]:
    """Return the undecided lines that can be the attempt's echo, in the feed's order.

    `shared`: with those at its mark that are asked about as a later attempt's, which may be that one's at the old cost.
    """
    fresh = [
        line
        for line in case.lines
        if line.undecided
        and line.single
        and line.seen > attempt.claimed
        and (line.asked in (None, attempt.id) or (shared and _shows_mark(case, attempt, line)))
        and line.movement_id not in case.taken
    ]
    ours = [line for line in fresh if _is_asked_of(attempt, line) or _shows_mark(case, attempt, line)]
    if attempt.asks:
        return ours
    if attempt.closed and attempt.landed:  # people move at the marked cost from then on
        ours = [line for line in ours if attempt.window.holds(line.created_at, sure=False)]
    if attempt.marked and case.knows.mark_survives:
        if ours or attempt.closed or not attempt.landed:
            return ours
        # Nothing shows the mark, and a vendor may change its ways: what looks like the echo is not people's yet.
        due = _due_at_claim(case, attempt)
        return [
            line
            for line in fresh
            if _timely(case, attempt, line) and (due or line.quantity == 0 or _resembles(attempt, line))
        ]
    found = [
        line for line in fresh if line in ours or _timely(case, attempt, line) or _may_be_late(case, attempt, line)
    ]
    return [line for line in found if _shows_kept_cost(case, attempt, line)] or found


def _is_asked_of(attempt: Attempt, line: Line) -> bool:
    """Tell whether a line was asked about as the attempt's echo.

    No table holds a line of an unknown type: all that is known is which attempt came before it. It must be timely too.
    """
    return line.asked == attempt.id and (line.signed or attempt.window.holds(line.created_at, sure=False))


def _may_be_late(case: _Case, attempt: Attempt, line: Line) -> bool:
    """Tell whether a line can be the echo of a call that nobody answered, which may land until it is closed.

    One that shows the mark of another call without an answer is asked about as that one's: it must have landed first.
    """
    if attempt.ended or attempt.closed or not attempt.window.holds(line.created_at, sure=False):
        return False
    if any(other is not attempt and _shows_mark(case, other, line) for other in case.lost):
        return False
    return case.knows.cost_decimals is None or _shows_kept_cost(case, attempt, line)


def _shows_kept_cost(case: _Case, attempt: Attempt, line: Line) -> bool:
    """Tell whether a line shows the sent cost as the vendor is known to keep it."""
    kept = case.knows.cost_decimals
    return kept is not None and resembles(line.shown, line.quantity, attempt.sent_cost, decimals=kept)


def _due_at_claim(case: _Case, attempt: Attempt) -> bool:
    """Tell whether the patch had to move stock, by what was known when it was claimed."""
    if case.base is None or case.doubted:
        return False
    known = [line.quantity for line in case.after_base() if line.seen <= attempt.claimed]
    return attempt.new_stock not in _with_late(case, [sum(known, case.base.quantity)])


def _resembles(attempt: Attempt, line: Line) -> bool:
    return resembles(line.shown, line.quantity, attempt.sent_cost)


def _is_ours(case: _Case, line: Line) -> bool:
    return line.ours or line.movement_id in case.taken


def _shows_mark(case: _Case, attempt: Attempt, line: Line) -> bool:
    if not attempt.marked or case.knows.mark_survives is False:
        return False
    return meaning_of(line.shown, line.quantity, attempt.sent_cost) is not None


def _timely(case: _Case, attempt: Attempt, line: Line) -> bool:
    """Tell whether a line can be the echo by its time, where nothing else tells."""
    if attempt.closed:  # shown late: then its quantity and its cost must fit as well
        fits = _fitting(case, attempt, [line])
        timely = attempt.window.holds(line.created_at, sure=True)
        return bool(fits) and timely and _resembles(attempt, line)
    if attempt.prompt and attempt.reads == 1:
        return True
    if attempt.prompt and not attempt.ended:
        return False
    return attempt.window.holds(line.created_at, sure=not attempt.landed or attempt.reads > 1)


def _tells_by_cost(case: _Case, attempt: Attempt, line: Line) -> bool:
    """Tell whether a line shows a cost that the product can only have by the attempt: it can be the sent one, and new.

    People move at the product's cost, so that theirs shows what the last patch sent.
    """
    before = None if case.base is None else case.base.cost
    return (
        before is not None
        and _resembles(attempt, line)
        and not resembles(line.shown, line.quantity, before)
        and not any(one.shown == line.shown for one in case.lines if one.seen <= attempt.claimed)
    )


def _known_by_fit(case: _Case, attempt: Attempt, line: Line) -> bool:
    """Tell whether a line that moved what the patch had to is the echo for that.

    One at a cost that the echo cannot show is not: people moved as much just then. Of what a call without an answer may
    have made, people may have moved as much: then its cost must tell, or its time where the cost can tell nothing.
    """
    if _shows_mark(case, attempt, line):
        return True
    if not _may_show(case, attempt, line):
        return False
    if attempt.landed or _tells_by_cost(case, attempt, line):
        return True
    return not _shows_cost_before(case, attempt, line) and (attempt.ended or _timely(case, attempt, line))


def _may_show(case: _Case, attempt: Attempt, line: Line) -> bool:
    """Tell whether a line without the mark shows a cost that the attempt's echo may show.

    That is the sent one, as far as the vendor keeps it. The one before, with its own mark, is what people move at;
    where the mark is known not to survive, it is the echo's too. Where an echo has shown neither, no cost tells.
    """
    if case.knows.mark_survives is False and case.knows.cost_decimals is None:
        return True
    before = None if case.base is None else case.base.cost
    if before is not None and mark_of(before) and line.shown == before != attempt.sent_cost:
        return case.knows.mark_survives is False
    return resembles(line.shown, line.quantity, attempt.sent_cost, decimals=case.knows.cost_decimals or 0)


def _shows_cost_before(case: _Case, attempt: Attempt, line: Line) -> bool:
    """Tell whether a line shows what the product cost before the patch, which sent a cost that is another in cents."""
    before = None if case.base is None else case.base.cost
    if before is None or not resembles(line.shown, line.quantity, before):
        return False
    decimals = max(case.knows.cost_decimals or 0, CENTS)
    return round(before, decimals) != round(attempt.sent_cost, decimals)


# --- the table ----------------------------------------------------------------------------


def _judge(case: _Case, attempt: Attempt, asking: Attempt | None, candidates: list[Line]) -> Finding:
    believed = case.base is not None and asking is None and not case.doubted
    nothing = [line for line in candidates if line.quantity == 0]
    fitting = [one for one in _fitting(case, attempt, candidates) if believed and _known_by_fit(case, attempt, one[0])]
    twice = bool(nothing) and any(_shows_mark(case, attempt, line) for line, _ in fitting)
    if nothing and not twice:  # branch 1
        return _found(case, attempt, nothing[0], Decimal(0), believed=believed)
    if (
        twice
    ):  # what fits may be people's after a patch that changed nothing, or ours, of a patch that was applied twice
        fitting = []
    if len({quantity for _, quantity in fitting}) > 1:  # people moved just before it
        fitting = [one for one in fitting if _tells_by_cost(case, attempt, one[0])] or fitting
    if len({quantity for _, quantity in fitting}) == 1:  # branch 2
        return _found(case, attempt, *fitting[0], believed=believed)
    proved = [line for line in candidates if _shows_mark(case, attempt, line)]
    if case.knows.mark_survives:  # else a vendor may show the old cost: then people move at the mark, and the echo not
        candidates = proved or candidates
    if len(candidates) == 1 and not believed and case.knows.zero_echo and attempt.landed and attempt.reads:  # branch 3
        return _found(case, attempt, candidates[0], candidates[0].quantity, believed=believed)
    if candidates:  # branch 4
        enough = DRAINS if attempt.marked and case.knows.mark_survives else 1  # the one at the mark may come late
        if proved or (attempt.ended and attempt.reads >= enough) or attempt.absent:
            return Ask(tuple(candidates), _followed(case, attempt, candidates))
        return Wait(tuple(candidates))
    if attempt.closed or not attempt.landed:
        return Wait()
    if asking is not None:
        still = _explaining(case, asking, attempt, Decimal(0), without=None)
        likely = [one for one in still if one is None or _shows_mark(case, asking, one) or _may_show(case, asking, one)]
        must_move = not attempt.again and (bool(case.knows.zero_echo) or not likely)  # asked once more, never for ever
    elif not believed:
        must_move = bool(case.knows.zero_echo)  # this vendor makes a movement for every patch
    else:
        must_move = Decimal(0) not in _expectations(case, attempt, None)
    if attempt.reads >= (DRAINS_DUE if must_move else DRAINS):  # branches 5 and 6
        return NoMovement() if must_move else Silent(_stock_of_silent(case, attempt, asking))
    return Wait()


def _found(case: _Case, attempt: Attempt, line: Line, quantity: Decimal, *, believed: bool) -> Found:
    expected: Decimal | None = None
    before = _before(case, attempt, line)
    explained = True
    if believed and case.base is not None:
        expected = attempt.new_stock - case.base.quantity - _total(before)
        explaining = [one for one in _orders(case, attempt, line) if _explains(case, attempt, one, quantity)]
        before, explained = (explaining[0], True) if explaining else (before, False)
    return Found(line, quantity, _stock_now(case, attempt, line, before), expected, explained)


def _explains(case: _Case, attempt: Attempt, before: Sequence[Line], quantity: Decimal) -> bool:
    assert case.base is not None
    stocks = _with_late(case, [case.base.quantity + _total(before)])
    return any(_equal(quantity, attempt.new_stock - one, case, attempt) for one in stocks)


def _fitting(case: _Case, attempt: Attempt, candidates: Sequence[Line]) -> list[tuple[Line, Decimal]]:
    """Return the candidates that moved what the patch had to move, with what they moved.

    Nobody documents the sign of an echo. Where its type is one that we do not know, or the vendor has been seen to show
    echoes with the other sign, only the quantity must fit.
    """
    found = []
    lonely = len(candidates) == 1 and case.knows.signed is False
    for line in candidates:
        wanted = [one for one in _expectations(case, attempt, line) if one != 0]
        if any(_equal(line.quantity, one, case, attempt) for one in wanted):
            found.append((line, line.quantity))
        elif (lonely or not line.signed) and any(_equal(-line.quantity, one, case, attempt) for one in wanted):
            found.append((line, -line.quantity))
    return found


def _expectations(case: _Case, attempt: Attempt, line: Line | None) -> list[Decimal]:
    """Return what the patch may have had to move; empty where no stock is believed."""
    if case.base is None:
        return []
    stocks = [case.base.quantity + _total(before) for before in _orders(case, attempt, line)]
    return [attempt.new_stock - one for one in _with_late(case, stocks)]


def _before(case: _Case, attempt: Attempt, line: Line | None) -> list[Line]:
    """Return what came after the base and before the patch, by the feed's order.

    What shows the attempt's own mark came after it, whatever its stamp.
    """
    return [
        one
        for one in case.after_base()
        if one is not line and not _shows_mark(case, attempt, one) and (line is None or one.position < line.position)
    ]


def _orders(case: _Case, attempt: Attempt, line: Line | None) -> list[list[Line]]:
    """Return what may have come before the patch, the feed's order first: of what bears the same stamp, any part."""
    before = _before(case, attempt, line)
    if line is None:
        return [before]
    same = [
        one
        for one in case.after_base()
        if one is not line and one.created_at == line.created_at and not _shows_mark(case, attempt, one)
    ][:LATE_MAX]
    fixed = [one for one in before if one not in same]
    return [before, *([*fixed, *pick] for pick in _picks(same) if [*fixed, *pick] != before)]


def _picks(lines: Sequence[Line]) -> list[list[Line]]:
    """Return every selection, none first."""
    return [list(pick) for size in range(len(lines) + 1) for pick in combinations(lines, size)]


def _balances(case: _Case, attempt: Attempt) -> list[Decimal]:
    """Return the stock that there was after all that is known; empty where none is believed."""
    if case.base is None:
        return []
    return [case.base.quantity + _total(_before(case, attempt, None))]


def _with_late(case: _Case, balances: Sequence[Decimal]) -> list[Decimal]:
    late = [line.quantity for line in case.late()]
    return list(dict.fromkeys(balance + some for some in _sums(late) for balance in balances))


def _sums(quantities: Sequence[Decimal]) -> list[Decimal]:
    """Return the sum of every selection, none first."""
    if len(quantities) > LATE_MAX:
        return [Decimal(0), sum(quantities, Decimal(0))]
    picks = (pick for size in range(len(quantities) + 1) for pick in combinations(quantities, size))
    return list(dict.fromkeys(sum(pick, Decimal(0)) for pick in picks))


def _equal(moved: Decimal, wanted: Decimal, case: _Case, attempt: Attempt) -> bool:
    """Tell whether a movement is the wanted one, as far as the decimals of stock that the vendor keeps can show."""
    if moved == wanted:
        return True
    kept = case.knows.stock_decimals
    kept = decimals_of(moved) if kept is None else kept
    believed = Decimal(0) if case.base is None else case.base.quantity
    finer = decimals_of(attempt.new_stock) > kept or decimals_of(believed) > kept
    return finer and abs(moved - wanted) < Decimal(1).scaleb(-kept)


def _stock_now(case: _Case, attempt: Attempt, line: Line, before: Sequence[Line]) -> Decimal:
    """Return what there is now: the patched stock, and what came after the echo."""
    others = [
        one
        for one in case.lines
        if one is not line
        and one.signed  # of a type that we do not know: it is an attempt's own, or blocks the item
        and one.seen > attempt.claimed
        and not _is_ours(case, one)
        and one not in before
    ]
    after = [
        one
        for one in others
        if _shows_mark(case, attempt, one) or one.position > line.position or one.created_at == line.created_at
    ]
    return attempt.new_stock + _total(after)


def _stock_of_silent(case: _Case, attempt: Attempt, asking: Attempt | None) -> Decimal | None:
    """Return what there is after a patch without a movement; None: the belief stands, or nothing can be said."""
    if case.base is not None and asking is None and attempt.new_stock in _balances(case, attempt):
        return None
    since = [
        line for line in case.lines if line.seen > attempt.claimed and not _is_ours(case, line) and line.asked is None
    ]
    after = [line for line in since if _shows_mark(case, attempt, line)]
    loose = [line for line in since if line not in after]
    if asking is None:
        return None if loose else attempt.new_stock + _total(after)
    first, last = attempt.window.first, attempt.window.last
    later = [line for line in loose if last is not None and line.created_at > last]
    if all(line in later or line.created_at < first for line in loose):
        return attempt.new_stock + _total([*after, *later])
    return None  # whether it was before the patch or after it, nobody can say


# --- the follow-up ------------------------------------------------------------------------


def _followed(case: _Case, attempt: Attempt, candidates: Sequence[Line]) -> Decimal:
    """Return what the follow-up sets: the same stock, and what people are known to have moved since."""
    last = max((line.position for line in candidates), default=None)
    since = [
        line
        for line in case.lines
        if line not in candidates
        and not _is_ours(case, line)
        and line.signed
        and line.seen > attempt.claimed
        and (last is None or line.position > last)
    ]
    return sum((line.quantity for line in since if not _shows_mark(case, attempt, line)), attempt.new_stock)


def _explaining(
    case: _Case,
    asked: Attempt,
    follow_up: Attempt,
    moved: Decimal,
    *,
    without: Line | None,
    survives: bool = False,
) -> list[Line | None]:
    """Return the candidates, and None for no movement at all, of which each explains what the follow-up moved.

    `without`: the follow-up's own. It is no candidate, though a vendor that shows the old cost shows it at the mark of
    the attempt before. `survives`: the follow-up has shown that the mark does.
    """
    candidates = [line for line in _candidates(case, asked, shared=True) if line is not without]
    at_mark = [line for line in candidates if _shows_mark(case, asked, line)]
    found: list[Line | None] = []
    if survives:
        candidates = at_mark
        if not at_mark:
            return [None]
    if at_mark:
        found = _explained_by(case, asked, follow_up, moved, at_mark, without=without)
    if len(at_mark) < len(candidates) and not any(found):  # where the mark survives, what is at it explains all
        found += _explained_by(case, asked, follow_up, moved, candidates, without=without)
    if candidates and not found and not at_mark and not asked.landed:
        return [None]  # it was lost: then they are people's, whatever stock there was
    return found


def _explained_by(
    case: _Case, asked: Attempt, follow_up: Attempt, moved: Decimal, candidates: Sequence[Line], *, without: Line | None
) -> list[Line | None]:
    """Return those of some candidates, and None for no movement, of which each explains what the follow-up moved.

    That the vendor took the patch and did nothing explains only what nothing else does.
    """
    marked = any(_shows_mark(case, asked, line) for line in candidates)
    betweens = _betweens(case, asked, follow_up, candidates, without=without)
    for stocks in (_hypotheses(case, asked, candidates), [] if marked else _never_landed(case, asked, candidates)):
        for alike in betweens:
            wanted = [
                (echo, follow_up.new_stock - stock - _total(between)) for between in alike for echo, stock in stocks
            ]
            found = [echo for echo, one in wanted if moved == one] or [
                echo for echo, one in wanted if _equal(moved, one, case, follow_up)
            ]
            if found:
                return found
    return []


def _betweens(
    case: _Case, asked: Attempt, follow_up: Attempt, candidates: Sequence[Line], *, without: Line | None
) -> list[list[list[Line]]]:
    """Return what people may have moved between the two at a cost of their own, the likelier first, the alike together.

    What came after the follow-up is not in what it found; of what bears its movement's stamp, any part may have come
    before it. Where the first patch's mark tells of its candidates, the rest came before that patch, or after it.
    """
    first = min((line.position for line in candidates), default=None)
    loose = _loose(case, asked, follow_up, candidates)
    same: list[Line] = []
    last = follow_up.window.last
    if without is not None:
        same = [line for line in loose if line.created_at == without.created_at][:LATE_MAX]
        earlier = [line for line in loose if line.created_at < without.created_at]
        loose = [*earlier, *(line for line in same if line.position < without.position)]
    else:
        earlier = loose = [line for line in loose if last is None or line.created_at <= last]
    after = [line for line in loose if first is None or line.position > first]
    kept = [line for line in earlier if line in after]
    found = [[[*kept, *pick] for pick in _picks(same)]]
    if any(_shows_mark(case, asked, line) for line in candidates):
        found = [[after], *found, [[]], [loose]]
    return found


def _loose(case: _Case, asked: Attempt, follow_up: Attempt, candidates: Sequence[Line]) -> list[Line]:
    """Return what people moved since the patch in question was claimed, at a cost of their own."""
    return [
        line
        for line in case.lines
        if line not in candidates
        and not _is_ours(case, line)
        and line.seen > asked.claimed
        and (line.asked in (None, asked.id) or line.asked in case.settled)
        and not _shows_mark(case, asked, line)
        and not _shows_mark(case, follow_up, line)
    ]


def _hypotheses(case: _Case, asked: Attempt, candidates: Sequence[Line]) -> list[tuple[Line | None, Decimal]]:
    """Return for each candidate, and for none, the stock after all of them if that was the echo.

    All that shows the mark came after the patch. Where there is no mark, the feed's order tells; and it may be that the
    patch never took effect.
    """
    marked = [_shows_mark(case, asked, line) for line in candidates]
    found: list[tuple[Line | None, Decimal]] = []
    for at, echo in enumerate(candidates):
        after = [line for n, line in enumerate(candidates) if n > at or (n < at and marked[n])]
        same = [
            line
            for n, line in enumerate(candidates)
            if n != at and not marked[n] and line.created_at == echo.created_at
        ][:LATE_MAX]
        kept = [line for line in after if line not in same]
        found += [(echo, asked.new_stock + _total(one)) for one in (after, *([*kept, *pick] for pick in _picks(same)))]
    if not all(marked) and asked.landed and case.knows.zero_echo:
        return found  # it makes a movement for every patch
    if not any(marked) and asked.marked and case.knows.mark_survives:  # they may all have come before it
        found.append((None, asked.new_stock))
    if asked.landed or any(marked):
        found.append((None, asked.new_stock + _total(candidates)))
        if not any(marked):
            found += _changed_nothing(case, asked, candidates)
    else:
        found += _never_landed(case, asked, candidates)
    return found


def _changed_nothing(case: _Case, asked: Attempt, candidates: Sequence[Line]) -> list[tuple[Line | None, Decimal]]:
    """Return the stock after all candidates if the first of them had made the stock what the patch set.

    Only what shows a cost that no echo shows makes one think of it: what fits is else the echo.
    """
    found: list[tuple[Line | None, Decimal]] = []
    for count in range(1, len(candidates) + 1):
        if _may_show(case, asked, candidates[count - 1]):
            break
        before = _never_landed(case, asked, candidates[:count])
        if any(stock == asked.new_stock for _, stock in before):
            found.append((None, asked.new_stock + _total(candidates[count:])))
    return found


def _never_landed(case: _Case, asked: Attempt, candidates: Sequence[Line]) -> list[tuple[Line | None, Decimal]]:
    """Return the stock after all candidates if the patch never took effect: the believed one, and what people moved."""
    if case.base is None:
        return []
    first = min((line.position for line in candidates), default=None)
    before = [
        line
        for line in case.after_base()
        if line not in candidates and (line.seen <= asked.claimed if first is None else line.position < first)
    ]
    return [(None, one + _total(candidates)) for one in _with_late(case, [case.base.quantity + _total(before)])]


def _total(lines: Iterable[Line]) -> Decimal:
    return sum((line.quantity for line in lines), Decimal(0))


def _answer(case: _Case, asking: Sequence[Attempt], follow_up: Attempt, finding: Found | Silent, told: Told) -> Finding:
    """Settle the attempts in question, newest first, by what the follow-up moved (branch 8); else ask (branch 9)."""
    moved = finding.quantity if isinstance(finding, Found) else Decimal(0)
    later, line = follow_up, finding.line if isinstance(finding, Found) else None
    survives = False
    told.findings[follow_up.id] = finding
    if line is not None:
        survives = line.quantity == 0 and _shows_mark(case, follow_up, line)  # nobody else moves nothing
        case.taken.add(line.movement_id)
    for asked in reversed(asking):
        candidates = _candidates(case, asked)
        told_by = {
            one: _explaining(case, asked, later, one, without=line, survives=survives)
            for one in _ways(case, line, moved)
        }
        explaining = _by_looks(_rather_of_nothing([one for found in told_by.values() for one in found]))
        if len({None if one is None else one.quantity for one in explaining}) != 1:
            which, doubtful = "several", asking[: asking.index(asked) + 1]
            if not explaining:  # then what was found of those after it is in question again
                which, doubtful = "none", asking
                case.taken.clear()
                case.settled.clear()
            reason = f"the follow-up patch moved {moved.normalize():f}, which explains {which} of them"
            _give_up(case, doubtful, told, reason)
            break
        echo = explaining[0]
        if isinstance(of_later := told.findings[later.id], Found):
            moved = next(one for one, found in told_by.items() if echo in found)
            told.findings[later.id] = replace(of_later, quantity=moved)
        told.held.difference_update(one.api_key for one in candidates)
        if echo is None:
            told.findings[asked.id] = Silent()
            case.settled.add(asked.id)
            if not asked.landed:
                continue  # it changed nothing: what the one after it moved, the one before it explains
            moved = Decimal(0)
        else:
            believed = asked is asking[0]  # before the first of them, there was something to believe in
            moved = _as_it_must(case, asked, echo) if believed else echo.quantity
            told.findings[asked.id] = _found(case, asked, echo, moved, believed=believed)
            case.taken.add(echo.movement_id)
            case.settled.add(asked.id)
        later, line = asked, echo
    return told.findings[follow_up.id]


def _rather_of_nothing(explaining: list[Line | None]) -> list[Line | None]:
    """Leave out that there was no echo where a movement of nothing explains as much: nobody else moves nothing."""
    return [one for one in explaining if one] if any(one and one.quantity == 0 for one in explaining) else explaining


def _by_looks(explaining: list[Line | None]) -> list[Line | None]:
    """Return, of several movements that explain the follow-up alike, the only one that looks as proven echoes do.

    Looks decide nothing that quantity, mark and time do not leave open, and nothing where there may have been no echo.
    """
    alike = {one.movement_id: one for one in explaining if one is not None and one.alike}
    return explaining if None in explaining or len(alike) != 1 else [*alike.values()]


def _ways(case: _Case, line: Line | None, moved: Decimal) -> list[Decimal]:
    """Return what a follow-up may have moved: either way, where its movement's type does not tell the sign."""
    unsigned = line is not None and (not line.signed or case.knows.signed is False)
    return list(dict.fromkeys([moved, -moved])) if unsigned else [moved]


def _as_it_must(case: _Case, attempt: Attempt, echo: Line) -> Decimal:
    """Return what an echo moved: with the other sign than it is shown with, where only that fits what was believed."""
    wanted = _expectations(case, attempt, echo)
    if any(_equal(echo.quantity, one, case, attempt) for one in wanted):
        return echo.quantity
    return -echo.quantity if any(_equal(-echo.quantity, one, case, attempt) for one in wanted) else echo.quantity


def _give_up(case: _Case, asking: Sequence[Attempt], told: Told, reason: str) -> None:
    for asked in asking:
        told.findings[asked.id] = Doubt(tuple(_candidates(case, asked)), reason)
