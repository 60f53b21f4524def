"""`mpsync probe`: what an integrator would try by hand before the go-live, on an item set aside for it.

| step | what is written | what it may show |
|---|---|---|
| count, same | the item's stock in MPservices, twice as MPW has it | its movement, the mark, a patch of no change |
| uneven, back | `UNEVEN` more at `UNEVEN_COST`, and back | decimals that are kept, whether a cost is a total |
| receipt | a receipt of 1 | – |
| issuance, again | an issuance of 1, and one under the same key | the marker, the wording of "exists" |
| description | an issuance of 1 with `LONG` characters | how long a description may be |
| beyond | an issuance of one more than there is | the wording of "maximum" |
| fraction | an issuance of `FRACTION` | whether fractions are taken |

Each step stands in the outbox together with what takes it back (`outbox/probes.py`), is read back, and is taken back
before the next begins. Every setting of a route counts as off meanwhile, so that nothing else is sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import ROUND_FLOOR, Decimal
from uuid import uuid4

from sqlalchemy import Connection

from sync.errors import AuthError, ConfigError, RemoteError, RetryableError
from sync.jobs.probe_facts import Posted, learn_all, learn_paging, lessons_of
from sync.ledger.rules import ISSUANCE, RECEIPT
from sync.outbox.machine import PATCH_STOCK, PROBE_DELETE, PROBE_POST, NewPush
from sync.outbox.probes import KEY, OPEN, OWNER, PROBE, UNDOES, open_steps
from sync.outbox.rows import Push, Which, add_push, discard, find_pushes, push_by_id, unsettled_for_entity
from sync.poll.feed.window import drain_movements
from sync.push.operations.probe import MISSING, NO_TRACE, look
from sync.push.round import push_once
from sync.push.verify import verify_once
from sync.reconcile.item_rows import external_id_for, load_map
from sync.stock.echo.rows import expectation, last_attempts
from sync.stock.echo.tell import settle_all
from sync.stock.facts import item_facts, ledger_of
from sync.stock.mpw_stock import read_stock, summed
from sync.stock.rules import FOLLOWS, Target, cost_of, follow_up
from sync.values.factors import cost_in_mpservices, in_mpservices
from sync.values.marks import without_mark
from sync.values.money import plain
from sync.values.payloads import issuance_payload, receipt_payload
from sync.values.policy import ROUTES
from sync.work.clocks import note_clocks
from sync.work.context import Context

UNEVEN = Decimal("1.666667")
"""More than one, so that it moves stock at a vendor who keeps no decimals; cut and rounded it differs at each place."""

UNEVEN_COST = Decimal("1.66666")
"""And a cost that no movement of the item has shown, else it might be the one from before the patch."""

FRACTION = Decimal("0.5")
LONG = 300
NEEDED = Decimal(2)
"""What MPW must have of the part: two issuances of 1 may stand at once."""

LOOKS = (5.0, 60.0)
"""Seconds until the feed is read again: it may show a movement late, and after three reads there is none."""

LATE_SECONDS = 20.0
"""A movement that the feed shows so long after the answer is said to be late."""

PATIENCE_SECONDS = 600.0
"""How long the steps that are under way together are waited for."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a probe is about to do: the item, its part, and what MPW has of it now. `left`: an earlier probe's steps."""

    external_id: str
    part_number: str
    warehouse: str
    target: Target
    there: Decimal
    stock: Decimal
    cost: Decimal
    unit_cost: Decimal
    day: date
    left: int = 0

    @property
    def uneven_stock(self) -> Decimal:
        """The stock that shows how many decimals are kept."""
        return self.stock + UNEVEN

    @property
    def uneven_cost(self) -> Decimal:
        """The cost that shows how many decimals are kept."""
        return self.cost.to_integral_value(ROUND_FLOOR) + UNEVEN_COST

    def writes(self) -> list[str]:
        """Return what it will write, a sentence each."""
        stock, cost = plain(self.stock), plain(self.cost)
        uneven = f"stock {plain(self.uneven_stock)} and cost {plain(self.uneven_cost)}"
        return [
            *([f"take back {self.left} steps that an earlier probe left"] if self.left else []),
            f"MPservices: set {self.external_id} to stock {stock} and cost {cost}, twice; what stock and cost it has "
            "there now are overwritten",
            f"MPservices: set it to {uneven}, and back to {stock} and {cost}",
            f"MPW: a receipt of 1 {self.part_number} at {plain(self.unit_cost)} in {self.warehouse}, and delete it",
            "MPW: an issuance of 1, another of 1 under the same key, and delete both",
            f"MPW: an issuance of 1 with a description of {LONG} characters, and delete it",
            f"MPW: an issuance of {plain(self.there + 1)}, one more than there is, and delete it if it is taken",
            f"MPW: an issuance of {plain(FRACTION)}, and delete it if it is taken",
        ]


@dataclass(frozen=True, slots=True)
class StepTold:
    """What a step came to. `ok` False: it, or what takes it back, is not at its end, or could not be tried."""

    name: str
    what: str
    answer: str
    ok: bool


@dataclass(slots=True)
class Report:
    """What a probe came to. `open`: what is left to be taken back, and by when it may be."""

    steps: list[StepTold] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    stock_after: Decimal | None = None


Tell = Callable[[StepTold], None]


def plan_probe(
    ctx: Context, external_id: str, part_number: str, *, warehouse: str | None = None, cost: Decimal | None = None
) -> Plan:
    """Read what a probe of this item would do, and write nothing; raises ConfigError where it must not be done."""
    mpw_client = ctx.mpw_client()
    if mpw_client is None or ctx.mpservices_client() is None:
        raise ConfigError(
            "a probe needs both systems, and one of them is off or paused for refused credentials",
            hint="`mpsync doctor` says which",
        )
    with ctx.read() as conn:
        target, place = _target(conn, ctx, external_id, part_number, warehouse)
        left = open_steps(conn)
        _refuse_busy(conn, external_id, part_number)
    now = ctx.clock.now()
    try:
        reads = read_stock(mpw_client, target, now=now)
    except AuthError as error:
        ctx.pause("mpw", error)
        raise
    here = next(read for read in reads if read.warehouse == place)
    if not here.found:
        raise ConfigError(
            f"MPW does not know part {part_number} in {place}, and a receipt would create it for good",
            hint="name the part and the warehouse as MPW writes them: --part and --warehouse",
        )
    if here.quantity < NEEDED:
        raise ConfigError(
            f"MPW has {plain(here.quantity)} of {part_number} in {place}; a probe issues up to {plain(NEEDED)} of it",
            hint="receive some of it in MPW first, or set another part aside",
        )
    with ctx.read() as conn:
        item = replace(item_facts(conn, [external_id], policy=ctx.policy)[external_id], target=target)
        ledger = ledger_of(conn, target, since=now, gone_after=ctx.policy.void_after)
    unit_cost = cost if cost is not None else cost_of(item, summed(reads), ledger)
    if unit_cost is None or unit_cost <= 0:
        raise ConfigError(f"nothing says what {part_number} costs", hint="say it: --cost 12.50")
    return Plan(
        external_id=external_id,
        part_number=part_number,
        warehouse=place,
        target=target,
        there=here.quantity,
        stock=in_mpservices(summed(reads).quantity, target.factor),
        cost=without_mark(cost_in_mpservices(unit_cost, summed(reads).quantity, target.factor)),
        unit_cost=unit_cost,
        day=ctx.policy.day(now),
        left=len(left),
    )


def _target(
    conn: Connection, ctx: Context, external_id: str, part_number: str, warehouse: str | None
) -> tuple[Target, str]:
    mapped = load_map(conn, [external_id]).get(external_id)
    default = ctx.policy.warehouse
    if mapped is None:
        place = warehouse or default
        if place is None:
            raise ConfigError("in which warehouse is the part?", hint="add --warehouse, or set MPW_WAREHOUSE")
        owner = external_id_for(conn, part_number, place, default_warehouse=None)
        if owner is not None:
            raise ConfigError(
                f"{part_number} in {place} is {owner} by the item map, not {external_id}",
                hint="set another part aside, or name that item",
            )
        return Target(part_number, (place,), Decimal(1)), place
    if mapped.ignored:
        raise ConfigError(f"the item map ignores {external_id}", hint="set another item aside, or correct the map")
    places = tuple(mapped.warehouses) or ((default,) if default else ())
    place = warehouse or (places[0] if places else None)
    if mapped.part_number != part_number or place is None or place not in places:
        raise ConfigError(
            f"the item map has {external_id} as part {mapped.part_number} in {', '.join(places) or 'no warehouse'}",
            hint="name that part and that warehouse, or correct the map (`mpsync items import FILE`)",
        )
    return Target(part_number, places, mapped.factor, mapped=True), place


def _refuse_busy(conn: Connection, external_id: str, part_number: str) -> None:
    """Refuse an item that is not set aside: pushes of it are under way, or wait."""
    entities = (f"item:{part_number}", f"mps:{external_id}", f"product:{external_id}")
    busy = [row for entity in entities for row in unsettled_for_entity(conn, entity)]
    others = [row for row in busy if row.route != PROBE]
    dead = [row for row in busy if row.route == PROBE and row.state == "dead"]
    if others:
        raise ConfigError(
            f"the outbox has {len(others)} pushes of {external_id} or {part_number} that are not at their end",
            hint="set another item aside, or see to these first: "
            + ", ".join(f"`mpsync outbox show {row.id}`" for row in others[:3]),
        )
    if dead:
        raise ConfigError(
            f"an earlier probe could not take back {dead[0].api_key}: {dead[0].last_error}",
            hint=f"`mpsync exceptions list` says what to do about push {dead[0].id}",
        )


def probe_once(ctx: Context, plan: Plan, tell: Tell) -> Report:
    """Do what the plan says, step by step; `tell` is called with each that has ended.

    Raises RetryableError where our clock is wrong: nothing is sent then.
    """
    policy = replace(ctx.policy, routes=dict.fromkeys(ROUTES, "off"))
    return _Probe(replace(ctx, policy=policy), plan, tell).run()


class _Probe:
    """One probe under way."""

    def __init__(self, ctx: Context, plan: Plan, tell: Tell) -> None:
        self._ctx = ctx
        self._plan = plan
        self._tell = tell
        self._name = f"probe-{uuid4().hex[:10]}"
        self._report = Report()
        self._posted: dict[str, Posted] = {}

    def run(self) -> Report:
        note_clocks(self._ctx)
        if not self._ctx.is_timely():
            raise RetryableError("this machine's clock is wrong, and nothing is sent", hint="`mpsync doctor` shows it")
        if self._take_back() and self._patches():
            self._posts()
            learn_all(self._ctx, lessons_of(self._posted))
            self._note("page", "read purchase orders page by page", learn_paging(self._ctx), True)
        self._still_open()
        return self._report

    # ------------------------------------------------------------------ MPservices

    def _take_back(self) -> bool:
        """Take back what an earlier probe left, and say so; False where that cannot be done yet."""
        with self._ctx.read() as conn:
            left = [row.id for row in open_steps(conn)]
        if not left:
            return True
        done = self._settle(left)
        self._note(
            "earlier", f"take back {len(left)} steps that an earlier probe left", "done" if done else "not yet", done
        )
        if done:
            self._plan = self._read_again()
        return done

    def _read_again(self) -> Plan:
        """Return the plan by what MPW has now that nothing of a probe is in it."""
        plan = self._plan
        return plan_probe(self._ctx, plan.external_id, plan.part_number, warehouse=plan.warehouse, cost=plan.unit_cost)

    def _patches(self) -> bool:
        """Patch the item; False where a patch is under way still: MPW is left alone then."""
        plan, stock, uneven = self._plan, plain(self._plan.stock), plain(self._plan.uneven_stock)
        whole = True
        for name, what in (("count", f"set {plan.external_id} to {stock}"), ("same", f"set it to {stock} again")):
            (row,) = self._add(self._patch(name, plan.stock))
            whole = self._settle([row])
            if not self._told_of_patch(name, what, row) or not whole:
                return whole
        first, second = self._add(
            self._patch("uneven", plan.uneven_stock, cost=plan.uneven_cost),
            self._patch("back", plan.stock, undoes=[f"{self._name}-uneven"]),
        )
        whole = self._settle([first, second])
        self._told_of_patch("uneven", f"set it to {uneven}", first)
        self._told_of_patch("back", f"set it back to {stock}", second)
        return whole

    def _patch(
        self,
        name: str,
        stock: Decimal,
        *,
        cost: Decimal | None = None,
        undoes: Sequence[str] = (),
        follows: int | None = None,
    ) -> NewPush:
        item = self._plan.external_id
        new_cost = self._plan.cost if cost is None else cost
        fields = {"external_id": item, "new_stock": plain(stock), "new_cost": plain(new_cost)}
        facts: dict[str, object] = {OWNER: self._ctx.owner}
        if undoes:
            facts = {UNDOES: list(undoes)}
        if follows is not None:
            facts[FOLLOWS] = follows
        return NewPush(
            route=PROBE,
            operation=PATCH_STOCK,
            kind=None,
            api_key=f"{self._name}-{name}",
            entity_key=f"mps:{item}",
            item=item,
            payload=json.dumps(fields, ensure_ascii=False),
            reason=f"mpsync probe: {name}",
            state="ready",
            rank=0 if follows is not None else 8 if undoes else 5,
            facts=facts,
        )

    def _told_of_patch(self, name: str, what: str, outbox_id: int) -> bool:
        """Say what a patch came to; False where MPservices would not have it."""
        with self._ctx.read() as conn:
            row, expected = push_by_id(conn, outbox_id), expectation(conn, outbox_id)
        assert row is not None
        sent_twice = f"; it was sent {row.tries} times" if row.tries > 1 else ""
        if row.state != "done":
            self._note(name, what, f"{row.state}: {row.last_error or row.evidence}{sent_twice}", False)
            return False
        if expected is not None and expected.movement_id is not None:
            moved, answer = self._movement_told(row.api_key)
            if name == "same" and moved:
                told = f"{answer}, though nothing was to change: the patch before it did nothing, or people moved stock"
                self._note(name, what, told, False)
                return True
            if expected.closed_at is not None and expected.ended_at is not None:
                late = (expected.closed_at - expected.ended_at).total_seconds()
                answer += f"; the feed showed it {late:.0f} s after the answer" if late > LATE_SECONDS else ""
        else:
            answer = "taken; it made no movement"
        self._note(name, what, answer + sent_twice, True)
        return True

    def _movement_told(self, api_key: str) -> tuple[Decimal, str]:
        """Return what a patch's movement moved, and a text that says so."""
        with self._ctx.read() as conn:
            made = [one for one in last_attempts(conn, self._plan.external_id, limit=20) if one.api_key == api_key]
        if not made or made[-1].quantity is None:
            return Decimal(0), "its movement is known"
        moved: Decimal = made[-1].quantity
        return moved, f"its movement {made[-1].movement_id} moved {plain(moved)}"

    def _ask(self) -> list[int]:
        """Send the follow-up of a patch in question, if one is: the same stock again, at a cost of its own."""
        with self._ctx.read() as conn:
            facts = item_facts(conn, [self._plan.external_id], policy=self._ctx.policy)[self._plan.external_id]
        asked = follow_up(replace(facts, target=self._plan.target))
        waits = facts.patch is not None and facts.patch.state == "ready" and facts.patch.follows is not None
        if asked is None or facts.question is None or waits:
            return []
        name, follows = f"asks-{uuid4().hex[:6]}", facts.question.echo_id
        push = self._patch(name, asked.new_stock, cost=asked.new_cost, follows=follows)
        return self._add(replace(push, reason="mpsync probe: which movement did the last patch make?"))

    # ------------------------------------------------------------------ MPW

    def _posts(self) -> None:
        one, more = Decimal(1), self._plan.there + 1
        self._try(RECEIPT, {"receipt": (one, "a receipt of 1")})
        self._try(ISSUANCE, {"issuance": (one, "an issuance of 1"), "again": (one, "the same key again")})
        self._try(ISSUANCE, {"description": (one, f"an issuance with a description of {LONG} characters")})
        self._try(ISSUANCE, {"beyond": (more, f"an issuance of {plain(more)}, more than there is")})
        self._try(ISSUANCE, {"fraction": (FRACTION, f"an issuance of {plain(FRACTION)}")})
        known = self._ctx.mpw_client()
        if known is not None and not self._open():
            with suppress(RemoteError):  # what was deleted is known to be gone: this only says so once more
                reads = read_stock(known, self._plan.target, now=self._ctx.clock.now())
                here = [read.quantity for read in reads if read.warehouse == self._plan.warehouse]
                self._report.stock_after = here[0]

    def _try(self, kind: str, steps: Mapping[str, tuple[Decimal, str]]) -> None:
        """Post under one key, read it back, delete it; nothing is begun while an earlier step is under way."""
        if self._open():
            return
        first = next(iter(steps))
        key = f"{self._name}-{first}"
        posts = [
            NewPush(
                route=PROBE,
                operation=PROBE_POST,
                kind=kind,
                api_key=f"{self._name}-{name}",
                entity_key=f"item:{self._plan.part_number}",
                item=self._plan.part_number,
                payload=self._payload(kind, key, quantity, long=name == "description"),
                reason=f"mpsync probe: {what}",
                state="ready",
                rank=place,
                facts={OWNER: self._ctx.owner, KEY: key},
            )
            for place, (name, (quantity, what)) in enumerate(steps.items())
        ]
        delete = NewPush(
            route=PROBE,
            operation=PROBE_DELETE,
            kind=kind,
            api_key=key,
            entity_key=posts[0].entity_key,
            item=self._plan.part_number,
            payload="{}",
            reason=f"mpsync probe: takes back {' and '.join(steps)}",
            state="ready",
            rank=8,
            facts={KEY: key, UNDOES: [post.api_key for post in posts]},
        )
        ids = self._add(*posts, delete)
        self._settle(ids, names=dict(zip(ids, steps, strict=False)))
        self._told_of_posts(steps, ids)

    def _payload(self, kind: str, key: str, quantity: Decimal, *, long: bool) -> str:
        plan = self._plan
        if kind == RECEIPT:
            return receipt_payload(
                part_number=plan.part_number,
                warehouse=plan.warehouse,
                quantity=quantity,
                unit_cost=plan.unit_cost,
                created_on=plan.day,
                api_key=key,
            )
        said = "mpsync probe"
        if long:
            said = (said + " how long may a description be" * LONG)[: LONG - len(key) - 3].rstrip()
            said += "." * (LONG - len(key) - 3 - len(said))
        return issuance_payload(
            part_number=plan.part_number,
            warehouse=plan.warehouse,
            quantity=quantity,
            created_on=plan.day,
            api_key=key,
            description=said,
            marker=True,
        )

    def _told_of_posts(self, steps: Mapping[str, tuple[Decimal, str]], ids: Sequence[int]) -> None:
        with self._ctx.read() as conn:
            found = [push_by_id(conn, outbox_id) for outbox_id in ids]
        *posts, delete = [row for row in found if row is not None]
        made = False
        for post, (name, (_, what)) in zip(posts, steps.items(), strict=True):
            posted = self._posted.get(name, Posted(post))
            self._posted[name] = replace(posted, row=post)
            made = made or posted.made
            done = post.state == "done" and not (post.evidence or "").startswith((MISSING, NO_TRACE))
            self._note(name, what, (post.evidence if post.state == "done" else post.last_error) or post.state, done)
        if delete.state == "superseded":
            return  # there was nothing to delete
        gone = delete.state == "done"
        answer = "gone, as a reading shows" if gone else f"{delete.state}: {delete.last_error}"
        if gone and delete.tries > 1:
            answer += f"; it was deleted {delete.tries} times"
        self._note("delete", f"delete {' and '.join(steps)}", answer, gone)

    # ------------------------------------------------------------------ the outbox

    def _add(self, *pushes: NewPush) -> list[int]:
        """Write steps down, in one transaction, before any of them is sent."""
        with self._ctx.leader_writes() as books:
            ids = [add_push(books, push) for push in pushes]
        return [outbox_id for outbox_id in ids if outbox_id is not None]

    def _settle(self, ids: Sequence[int], *, names: Mapping[int, str] | None = None) -> bool:
        """Send and verify until these rows are at their end and their movements known; False where that takes too long.

        `names`: the steps that post, to be read back before they are deleted.
        """
        began, looked = self._ctx.clock.monotonic(), 0
        known = list(ids)
        while True:
            before = self._states(known)
            note_clocks(self._ctx)
            push_once(self._ctx)
            looked = self._wait_for_echo(known, 0 if self._states(known) != before else looked)
            verify_once(self._ctx)
            known += self._ask()
            with self._ctx.read() as conn:
                rows = find_pushes(conn, Which(ids=known))
            self._read_back(rows, names or {})
            self._give_up(rows)
            if not any(row.state in OPEN for row in rows) and not self._echo_is_open(known):
                return True
            spent = self._ctx.clock.monotonic() - began
            if self._states(known) != before and spent < PATIENCE_SECONDS:
                continue
            due = min((row.due_at for row in rows if row.state in OPEN), default=self._ctx.clock.now())
            wait = max(1.0, (due - self._ctx.clock.now()).total_seconds())
            if spent + wait > PATIENCE_SECONDS:
                return False
            self._ctx.clock.sleep(wait)

    def _states(self, ids: Sequence[int]) -> str:
        with self._ctx.read() as conn:
            return ", ".join(f"{row.id} {row.state} {row.tries}" for row in find_pushes(conn, Which(ids=ids)))

    def _echo_is_open(self, ids: Sequence[int]) -> bool:
        """Tell whether the movement of one of these patches is not known yet."""
        with self._ctx.read() as conn:
            found = [expectation(conn, row.id) for row in find_pushes(conn, Which(ids=ids, operation=PATCH_STOCK))]
        return any(one is not None and one.closed_at is None for one in found)

    def _wait_for_echo(self, ids: Sequence[int], looked: int) -> int:
        """Give the feed time to show a patch's movement, and read it; return how often it was waited for."""
        if not self._echo_is_open(ids):
            return looked
        self._ctx.clock.sleep(LOOKS[min(looked, len(LOOKS) - 1)])
        self._read_feed()
        return looked + 1

    def _read_feed(self) -> None:
        drain_movements(self._ctx)
        with self._ctx.leader_writes() as books:
            settle_all(books)

    def _read_back(self, rows: Sequence[Push], names: Mapping[int, str]) -> None:
        """Read what a post has made while it is there: its delete is the next to go."""
        for row in rows:
            name = names.get(row.id)
            if name is None or row.operation != PROBE_POST or name in self._posted or row.state != "done":
                continue
            posted = Posted(row)
            if posted.made:
                try:
                    posted = Posted(row, tuple(look(self._ctx, row)))
                except RemoteError as error:
                    posted = Posted(replace(row, evidence=f"{row.evidence}; not read again: {error.message}"))
            self._posted[name] = posted

    def _give_up(self, rows: Sequence[Push]) -> None:
        """Close what a refused experiment opened: it is told here, and nobody need see to it. A delete is kept."""
        dead = [row.id for row in rows if row.state == "dead" and row.operation != PROBE_DELETE]
        if dead:
            with self._ctx.leader_writes() as books:
                why = "the step was an experiment, and is told in the probe's report"
                discard(books, Which(ids=dead), by="mpsync probe", why=why)

    def _open(self) -> list[Push]:
        with self._ctx.read() as conn:
            return open_steps(conn)

    def _still_open(self) -> None:
        for row in self._open():
            when = f" at {row.due_at:%Y-%m-%d %H:%M}Z" if row.due_at > self._ctx.clock.now() else ""
            told = row.last_error or row.reason
            self._report.open.append(f"push {row.id} ({row.operation} {row.api_key}) is {row.state}{when}: {told}")
        with self._ctx.read() as conn:
            for row in find_pushes(conn, Which(route=PROBE, state="dead")):
                self._report.open.append(f"push {row.id} ({row.operation} {row.api_key}) is dead: {row.last_error}")

    def _note(self, name: str, what: str, answer: str, ok: bool) -> None:
        told = StepTold(name, what, answer, ok)
        self._report.steps.append(told)
        self._tell(told)
