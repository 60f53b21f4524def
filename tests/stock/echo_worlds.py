"""One item, its patches, and every interleaving of a small world, told by the real rules.

The vendor here keeps a stock and the last cost that it was told, makes a movement for every patch (or none for one that
changes nothing), and shows people's movements at the product's current cost. People move at six moments, the shown
stamps may lie, the stock may be other than we believe, calls may be lost, answered late, or cut off by a crash.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product

from sync.stock.echo.rules import Ask, Attempt, Base, Doubt, Found, Knows, Line, NoMovement, Silent, Wait, Window, tell
from sync.values.marks import marked

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
BELIEVED = Decimal(100)
COST = Decimal("7.25")


@dataclass(frozen=True)
class World:
    """What is drawn. `people`: what they move at each moment; `late`: the second of them is stamped too early."""

    wanted: int
    drift: int
    silent: bool
    call: str  # answered, lost answer, lost request, killed, resent
    people: tuple[int, ...]  # before the patch, right after it, after the first read, around the follow-up (two)
    late: bool
    known: bool = True  # a stock is believed
    survives: bool | None = True  # what we know of the mark
    zero: bool | None = None  # what we know of movements of nothing
    old_cost: bool = False  # the vendor shows the cost before the patch
    rounds: int | None = None  # decimals of cost that the vendor keeps


@dataclass
class Shown:
    """A movement at the vendor; `ours`: a patch made it."""

    line: Line
    ours: bool
    state: tuple[object, ...] = ()  # what the line was last made from: most readings change nothing of it

    def as_seen(self, seen: int, undecided: bool, asked: int | None, ours: bool) -> Line:
        """Return the line as the ledger has it."""
        if self.state != (seen, undecided, asked, ours):
            self.state = seen, undecided, asked, ours
            self.line = replace(self.line, seen=seen, undecided=undecided, asked=asked, ours=ours)
        return self.line


@dataclass
class Play:
    """One world, played to its end."""

    world: World
    real: Decimal = BELIEVED
    cost: Decimal = COST
    clock: int = 0
    made: list[Shown] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    decided: dict[str, str] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    base: Base | None = None
    seq: int = 0
    asks: int = 0
    persons: int = 0
    sent: int = 0
    why: str = ""

    # ------------------------------------------------------------------ the vendor

    def person(self, quantity: int, *, back: float = 0) -> None:
        """Let people move stock at the product's current cost."""
        if quantity:
            self.real += quantity
            self._show(Decimal(quantity), self.cost, ours=False, back=back)

    def patch(self, stock: Decimal, cost: Decimal) -> None:
        """Let a patch take effect."""
        moved, before = stock - self.real, self.cost
        self.real, self.cost = stock, cost if self.world.rounds is None else round(cost, self.world.rounds)
        if moved or not self.world.silent:
            self._show(moved, before if self.world.old_cost else self.cost, ours=True)

    def _show(self, quantity: Decimal, cost: Decimal, *, ours: bool, back: float = 0) -> None:
        self.clock += 1
        at = NOON + timedelta(seconds=self.clock - back)
        key = f"m{len(self.made)}"
        line = Line(key, 1, key, quantity, cost, at, 0, True, True, 0)
        self.made.append(Shown(line, ours))

    # ------------------------------------------------------------------ mpsync

    def send(self, stock: Decimal, *, lands: bool = True, landed: bool | None = True) -> Decimal:
        """Claim an attempt and let it land, or not yet."""
        self.sent += 1
        cost = marked(COST, self.sent)
        first = NOON + timedelta(seconds=self.clock + 0.5)
        made = Attempt(self.sent, stock, cost, self.seq, landed, 0, Window(first, None, None))
        if lands:
            self.patch(stock, cost)
        if landed:
            last = NOON + timedelta(seconds=self.clock + 0.5)
            made = replace(made, window=Window(first, last, last))
        self.attempts.append(made)
        return cost

    def read(self, *, prompt: bool = False) -> None:
        """Read the feed whole, and decide what can be decided."""
        for shown in self.made:
            if shown.line.api_key not in self.seen:
                self.seq += 1
                self.seen[shown.line.api_key] = self.seq
        first = [one.reads == 0 for one in self.attempts]
        self.attempts = [
            replace(one, reads=one.reads + 1, prompt=one.prompt or (prompt and at))
            for one, at in zip(self.attempts, first, strict=True)
        ]
        self._settle()

    def lines(self) -> list[Line]:
        """Return what has been seen, as the ledger has it."""
        return [
            one.as_seen(self.seen[key], key not in self.decided, self.asked.get(key), self.decided.get(key) == "echo")
            for one in self.made
            if (key := one.line.api_key) in self.seen
        ]

    def _settle(self) -> None:
        lines = self.lines()
        knows = Knows(self.world.survives, self.world.zero)
        told = tell(self.attempts, self.base, lines, knows)
        left = []
        for attempt in self.attempts:
            match told.findings[attempt.id]:
                case Found(line, _, stock, _, _):
                    self.decided[line.api_key] = "echo"
                    self._rebase(stock, lines, attempt)
                case Silent(stock):
                    left.append(replace(attempt, closed=True, asks=False))
                    if stock is not None:
                        self._rebase(stock, lines, attempt)
                case Ask(held, _):
                    self.asked.update({line.api_key: attempt.id for line in held})
                    left.append(replace(attempt, asks=True))
                case NoMovement():
                    left.append(replace(attempt, closed=True))
                case Doubt(held, why):
                    self.why = why
                    self.persons += 1
                    self.decided.update({line.api_key: "person" for line in held})
                case Wait(held):
                    self.asked.update({line.api_key: attempt.id for line in held})
                    left.append(attempt)
        self.attempts = left
        for line in lines:
            if line.api_key not in told.held and line.api_key not in self.decided:
                self.decided[line.api_key] = "people"

    def _rebase(self, stock: Decimal, lines: list[Line], attempt: Attempt) -> None:
        last = max((line.position for line in lines), default=(NOON, 0))
        self.base = Base(stock, *last, trusted=True, seq=self.seq, cost=attempt.sent_cost)

    # ------------------------------------------------------------------ the story

    def play(self) -> Play:
        """Patch once, and follow up while anything is in question."""
        world = self.world
        before, right_after, later, around, at_last = world.people
        self.real += world.drift
        if world.known:
            self.base = Base(BELIEVED, NOON, 0, trusted=True)
        wanted, back = Decimal(world.wanted), 1.5 if world.late else 0
        self.person(before)
        match world.call:
            case "answered":
                self.send(wanted)
                self.person(right_after, back=back)
                self.read(prompt=True)
                self.person(later)
            case "lost answer":
                self.send(wanted, landed=None)
                self.person(right_after, back=back)
                self.read(prompt=True)
                self.person(later)
            case "lost request":
                self.send(wanted, lands=False, landed=None)
                self.person(right_after)
                self.read(prompt=True)
                self.person(later)
                self.read()
                self._resend(wanted)
            case "killed":
                self.send(wanted, landed=None)
                self.person(right_after, back=back)
                self.person(later)
            case _:  # the first lands after the second
                cost = self.send(wanted, lands=False, landed=None)
                self.person(right_after)
                self.read(prompt=True)
                self._resend(wanted)
                self.person(later)
                self.patch(wanted, cost)
        self.read()
        for _ in range(6):
            asking = [one for one in self.attempts if one.asks]
            unclear = [one for one in self.attempts if one.landed is None and not one.asks and not one.closed]
            if not asking and not unclear:
                break
            if unclear and not asking:
                self._resend(wanted)
            else:
                self._follow_up(asking[-1], around, at_last)
                around = at_last = 0
            self.read(prompt=True)
            self.read()
            self.read()
        self.read()
        return self

    def _resend(self, wanted: Decimal) -> None:
        """Take the unclear one for absent, and send again."""
        lines = self.lines()
        told = tell(self.attempts, self.base, lines, Knows(self.world.survives, self.world.zero))
        unclear = self.attempts[-1] if self.attempts else None
        if unclear is not None and isinstance(told.findings[unclear.id], Wait):
            held = [line for line in lines if line.undecided and line.api_key in told.held]
            self.asked.update({line.api_key: unclear.id for line in held})
            self.attempts[-1] = replace(unclear, absent=True, closed=not held, asks=bool(held))
        self.send(wanted)

    def _follow_up(self, asking: Attempt, between: int, after: int) -> None:
        lines = self.lines()
        finding = tell(self.attempts, self.base, lines, Knows(self.world.survives, self.world.zero)).findings[asking.id]
        assert isinstance(finding, Ask)
        self.asks += 1
        self.person(between)
        self.send(finding.stock)
        self.person(after)

    # ------------------------------------------------------------------ what came of it

    def swallowed(self) -> list[str]:
        """Return people's movements that were taken for ours."""
        return [one.line.api_key for one in self.made if not one.ours and self.decided.get(one.line.api_key) == "echo"]

    def forwarded(self) -> list[str]:
        """Return movements of ours that were taken for people's, those that moved nothing aside."""
        return [
            one.line.api_key
            for one in self.made
            if one.ours and one.line.quantity and self.decided.get(one.line.api_key) == "people"
        ]

    def undecided(self) -> list[str]:
        """Return what has been seen, and is in nobody's hands at the end."""
        return [key for key in self.seen if key not in self.decided]

    def believed(self) -> Decimal | None:
        """Return what we believe at the end."""
        if self.base is None:
            return None
        after = [line for line in self.lines() if line.position > self.base.position]
        return sum((line.quantity for line in after), self.base.quantity)


def worlds(**fixed: object) -> Iterator[World]:
    """Yield every world; `fixed` are what all of them share."""
    people = tuple(product((0, 3), (0, -4), (0, -1), (0, 2), (0, -5)))
    calls = ("answered", "lost answer", "lost request", "killed", "resent")
    drawn = {"wanted": (100, 105), "drift": (0, -2, 2, 5), "silent": (False, True), "call": calls, "people": people}
    drawn["late"] = (False, True)
    names = [name for name in drawn if name not in fixed]
    for values in product(*(drawn[name] for name in names)):
        world = World(**{**dict(zip(names, values, strict=True)), **fixed})  # type: ignore[arg-type]
        if world.late and not (world.people[1] and world.call in ("answered", "lost answer", "killed")):
            continue
        yield world
