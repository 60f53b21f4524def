"""One seed's world: both vendors, the database, up to two daemons, people, and the oracle that watches."""

from __future__ import annotations

import atexit
import gc
import itertools
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from sync.clients.mpservices import client as mpservices_client
from sync.clients.mpservices.client import MpservicesClient
from sync.clients.mpw import client as mpw_client
from sync.clients.mpw.client import MpwClient
from sync.clock import Clock, SharedClock
from sync.database.engine import Store
from sync.errors import LeaseLostError, StoreError
from sync.jobs.cycle import CycleReport, cycle_once, work_once
from sync.jobs.due import an_agenda
from sync.jobs.prune import prune_once
from sync.ledger.books import Books
from sync.poll.schedule import poll_due_once, poll_movements_once
from sync.push.round import push_once
from sync.reconcile.item_map import ItemMapping
from sync.reconcile.item_rows import import_items
from sync.values.policy import ROUTES, Policy
from sync.work.context import Context
from sync.work.lead import Leadership
from tests.databases import migrated_sqlite
from tests.simulation.counters import listen
from tests.simulation.habits import Habits
from tests.simulation.kernel import RENEW_SECONDS, START, Actor, Kernel, Killed, Process, SimClock, Violation
from tests.simulation.models import TrueMps, TrueMpw
from tests.simulation.network import TIMEOUT_SECONDS, Network, Vendors
from tests.simulation.odd_acts import SKEWED
from tests.simulation.oracle import Oracle
from tests.simulation.people import DEPOT, MAIN, People
from tests.simulation.plan import Key, Plan
from tests.simulation.wide_open import finds_more

QUIET_CYCLES = 14
"""After the last fault all must meet within so many cycles."""

PACES = (4, 12, 30)
"""A daemon rests at most so many minutes between two cycles: odd habits show where much is pushed while they last."""

CALM = (0.0, 0.15, 0.15, 0.5, 1.0)
"""The share of its faults that a world of odd habits has: where every second call fails little else happens."""

NO_OPS, VANISHES = 0.25, 0.15
"""How often a vendor of that habit does nothing, or keeps nothing, of what it answered for."""

COMMIT_SECONDS = 0.002
"""A commit takes its time: what follows an answer begins after it, as a read of the feed right after a patch does."""

# The fingerprint of credentials is slow on purpose; the same ones give the same.
gc.set_threshold(50_000, 20, 50)  # much is made and dropped here, and hardly any of it refers to itself
for _client in (mpw_client, mpservices_client):
    if not hasattr(_client.fingerprint, "cache_info"):
        _client.fingerprint = cache(_client.fingerprint)  # type: ignore[attr-defined]
structlog.configure(
    processors=[structlog.processors.KeyValueRenderer()], logger_factory=structlog.ReturnLoggerFactory()
)


@dataclass(frozen=True, slots=True)
class Result:
    """What a seed came to."""

    seed: int
    minutes: float
    commits: int
    crashes: int
    hits: Mapping[str, int]
    reached: Mapping[str, int]
    acts: Mapping[str, int]
    quiet_cycles: int
    pushes: int
    events: int


class SimStore(Store):
    """The real store; each commit may be the last thing its process does."""

    def __init__(self, inner: Store, world: World, actor: Actor | None) -> None:
        self.url, self.engine = inner.url, inner.engine
        self.writes, self._numbers = 0, itertools.count(1)
        self._world, self._actor = world, actor

    def clock_for(self, machine: Clock) -> Clock:
        """Return the server's clock where there is one, as on PostgreSQL."""
        if isinstance(machine, SharedClock) or getattr(machine, "server", None) is None:
            return machine
        shared = SharedClock(machine)
        shared.set(machine.server.now(), asked=machine.monotonic(), answered=machine.monotonic())  # type: ignore[attr-defined]
        return shared

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Look at the database, as long as the process lives."""
        if self._actor is not None:
            self._actor.check()
        with super().read() as conn:
            yield conn

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction; the plan may crash it before or after its commit, or stall it before it begins."""
        world, actor = self._world, self._actor
        crash = ""
        if actor is not None:
            actor.check()
            world.commits += 1
            about = f"{actor.process.name}"
            if world.plan.chance("stall", about, world.plan.stall):
                world.freeze(actor.process, world.plan.number("stall_minutes", about, 1, 60) * 60)
                actor.wait(0.01)
            crash = world.plan.pick("crash", about, lambda random: _crash(random, world.plan.crash), "")
        with super().write() as conn:
            yield conn
            if crash == "before":
                world.plan.hits["crash_before_commit"] += 1
                assert actor is not None
                actor.crash()
        world.oracle.after_commit(actor)
        if crash == "after":
            world.plan.hits["crash_after_commit"] += 1
            assert actor is not None
            actor.crash()
        if actor is not None:
            actor.wait(COMMIT_SECONDS)


def _crash(random: Random, rate: float) -> str:
    x = random.random()
    return "before" if x < rate / 2 else "after" if x < rate else ""


class SimLeadership(Leadership):
    """The lease alone decides, as on PostgreSQL: two daemons on one SQLite file would be refused."""

    renewed_at = -1e9
    alone = False

    def _lock_file(self) -> bool:
        if self.alone:
            self._file = -1  # the file's lock proves that whoever held the lease is gone
        return True


WAITING_CYCLES = 3
"""How many cycles the costs of items may come in that waited for what MPW has of our pushes."""


class World:
    """Everything of one seed."""

    def __init__(
        self,
        seed: int,
        *,
        given: Mapping[Key, Any] | None = None,
        trace: bool = False,
        busy_hours: float | None = None,
        habits: Collection[str] | None = None,
    ) -> None:
        """Furnish it. `habits`: None, those that the seed draws; else for certain these (see `Habits`)."""
        self.seed = seed
        self.kernel = Kernel()
        self.kernel.trace = [] if trace else None
        self.plan = Plan(seed, given)
        self.habits = Habits(seed, self.plan, habits)
        shape = Random(f"world {seed}")
        self.skew = shape.choice((0.0, 0.0, 2.5, -3.0, 120.0, -120.0))
        mpw_skew = shape.choice((0.0, 40.0))
        if "skewed" in self.habits:
            self.skew, mpw_skew = self._skews(mpw_skew)
        self.mpw = TrueMpw(SimClock(self.kernel, offset=mpw_skew), password="secret-1")
        self.mps = TrueMps(SimClock(self.kernel, offset=self.skew), token="token-1", seed=seed)
        self.mps.take_habits(self.habits)
        self.mps.sleeps = lambda item: "no_op" in self.habits and self.plan.chance("no_op", item, NO_OPS)
        self.mpw.forgets = lambda key: "vanish" in self.habits and self.plan.chance("vanish", key, VANISHES)
        self.kernel.upset = self.upset
        self.vendors = Vendors(self)
        self.commits = 0
        habits = Random(f"habits {seed}")
        hours = habits.choice((0.75, 1, 1, 1.5, 3))  # acts close together find more than hours without any
        self.busy_seconds = (hours if busy_hours is None else busy_hours) * 3600
        held = habits.choice((("stock_cost",), ("transfers", "receipts"), ("issuances",)))
        self.held: tuple[str, ...] = held if habits.random() < 0.2 else ()
        self.prunes = habits.random() < 0.5
        self.tokens = 1
        self.misread: set[str] = set()
        """Keys of receipts that were claimed before MPSERVICES_COST_IS was put right: MPW may have the wrong cost."""
        self.restated = 0
        """How often it was put right."""
        self.policy = Policy(
            warehouse=MAIN,
            start_date=START.date() - timedelta(days=1),
            push_from=START - timedelta(days=2),
            routes=dict.fromkeys(ROUTES, "push") | dict.fromkeys(self.held, "hold"),
            keep_done=timedelta(minutes=30),
            retry_base=timedelta(seconds=shape.choice((5, 15))),
            void_after=timedelta(minutes=shape.choice((30, 60))),
            late_arrival=timedelta(minutes=15),
            poll_orders=timedelta(hours=6),
            request_timeout=timedelta(seconds=TIMEOUT_SECONDS),
            description_marker=shape.random() < 0.85,
            create_product_path="/CreateProduct",
            cost_is="total" if "cost_is_total" in self.habits else "unit",
        )
        self.folder = tempfile.mkdtemp(prefix="mpsim-", dir=_ram())
        shutil.copyfile(_template(), f"{self.folder}/sim.db")
        self.inner = Store(f"sqlite:///{self.folder}/sim.db")
        self.raw = sqlite3.connect(f"{self.folder}/sim.db", isolation_level=None, check_same_thread=False)
        self.raw.row_factory = sqlite3.Row
        self.people = People(self)
        self.oracle = Oracle(self)
        self.mps.reached = self.oracle.reached
        self.mpw.on_forgotten = lambda: self.oracle.reached.update(("row vanished",))
        self.people.furnish()
        listen(self.oracle.reached)
        self.processes = [
            Process(self.kernel, name, self._start, reboot_after=self._reboot_after)
            for name in ("A", "B")[: 2 if shape.random() < 0.5 else 1]
        ]
        self.threads = 2 if shape.random() < 0.4 else 1
        self.rest_minutes = PACES[-1]
        if self.habits.names:
            pace = self.habits.random("pace")
            self.rest_minutes = pace.choice(PACES)
            self.plan.calm(pace.choice(CALM))
        self.quiet_cycles = 0
        self.oracle.note_shape()

    def _skews(self, mpw_skew: float) -> tuple[float, float]:
        """Draw which vendor's clock is off by far, and by how much: MPservices', MPW's."""
        random = self.habits.random("skewed")
        if random.random() < 0.6:
            return random.choice(SKEWED["MPservices"]), mpw_skew
        return self.skew, random.choice(SKEWED["MPW"])

    # ------------------------------------------------------------------ the run

    def run(self) -> Result:
        """Let it all happen, end the faults, and demand that everything meets."""
        listen(self.oracle.reached)
        try:
            for process in self.processes:
                self.kernel.at(0.0, process.boot)
            self.people.begin(self.busy_seconds)
            self.people.step_clocks(self.busy_seconds)
            self.people.odd.upset_clocks(self.busy_seconds)
            self.kernel.run(self.busy_seconds)
            self._quiet()
            return Result(
                self.seed,
                self.kernel.time / 60,
                self.commits,
                sum(process.deaths for process in self.processes),
                self.plan.hits,
                self.oracle.reached,
                self.people.acts,
                self.quiet_cycles,
                self.oracle.pushes,
                len(self.mps.events) + len(self.people.docs),
            )
        finally:
            self.close()

    def close(self) -> None:
        """End every thread and remove the database."""
        self.kernel.close()
        self.raw.close()
        self.inner.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _quiet(self) -> None:
        """No more faults, no more acts: one daemon goes on alone; all must meet within `QUIET_CYCLES`."""
        self.kernel.log("--- faults off")
        self.plan.active = False
        self.people.calm_down()
        for process in self.processes:
            process.reboot_after = lambda: 1e9
            process.die()
        self.kernel.run(self.kernel.time + 15 * 60)  # what was sent late has landed
        last = self.processes[0]
        last.offset = last.ahead = 0.0
        last.epoch += 1
        self.oracle.people_go_home()
        for cycle in range(QUIET_CYCLES):
            self.people.operate()
            self._cycle(last, 600 if cycle in (0, 1) else 65 * 60)
            self.quiet_cycles = cycle + 1
            left = self.oracle.unsettled()
            self.kernel.log("quiet cycle", cycle, left)
            if not left and not self.people.corrects_a_cost():
                break
        else:
            raise Violation(f"did not converge within {QUIET_CYCLES} cycles: {'; '.join(left)}")
        self._rests(last)
        self.oracle.final()

    def _rests(self, last: Process) -> None:
        """Where all has met a further cycle sends nothing, but the patch of an item whose new cost has waited."""
        for _ in range(WAITING_CYCLES):
            before, waiting = self.oracle.pushes_so_far(), self.oracle.waiting_items()
            self._cycle(last, 65 * 60)
            if self.oracle.pushed_since(before) - waiting or self.oracle.unsettled():
                raise Violation(f"it does not rest: {self.oracle.newest(before)} {'; '.join(self.oracle.unsettled())}")
            if self.oracle.pushes_so_far() == before:
                return
        raise Violation(f"it does not rest: {self.oracle.newest(before)}")

    def _cycle(self, last: Process, seconds: float) -> None:
        """Let one daemon run a whole cycle, and time pass."""
        done: list[bool] = []
        last.state.clear()
        last.epoch += 1
        last.spawn("quiet", lambda actor: self._one_cycle(actor, done))
        self.kernel.run(self.kernel.time + seconds)
        if not done:
            raise Violation("a cycle without faults did not end")
        self.oracle.bounded()

    def _one_cycle(self, actor: Actor, done: list[bool]) -> None:
        ctx, leadership = self._context(actor)
        if not leadership.take():
            raise Violation("nobody can lead: a lease stands though its holder is gone")
        cycle_once(ctx)
        done.append(True)

    # ------------------------------------------------------------------ daemons

    def _reboot_after(self) -> float:
        return 5.0 + self.plan.number("reboot", "any", 0, 200)

    def _start(self, process: Process) -> None:
        process.state.clear()
        process.spawn("work", self._works)
        if self.threads > 1:
            process.spawn("poll", self._polls)

    def _context(self, actor: Actor) -> tuple[Context, SimLeadership]:
        store = SimStore(self.inner, self, actor)
        clock = SimClock(self.kernel, actor.process)
        if len(self.processes) > 1:  # as on PostgreSQL: two daemons go by one server's clock
            clock.server = SimClock(self.kernel)
        owner = f"{actor.process.name}:{actor.process.epoch}"
        leadership = actor.process.state.get("lead")
        if leadership is None:
            leadership = SimLeadership(store, clock, owner)
            leadership.alone = len(self.processes) == 1
            actor.process.state["lead"] = leadership
        ctx = Context(
            store=store,
            clock=clock,
            policy=self.policy,
            mpw=MpwClient(
                "http://localhost",
                "sandbox@example.com",
                self.mpw.password,
                clock=clock,
                timeout_seconds=TIMEOUT_SECONDS,
                max_requests_per_second=0,
                concurrency=0,
                transport=Network(self, actor, "mpw"),
            ),
            mpservices=MpservicesClient(
                "http://localhost",
                f"token-{self.tokens}",
                clock=clock,
                timeout_seconds=TIMEOUT_SECONDS,
                max_requests_per_second=0,
                concurrency=0,
                work_orders_path="",
                create_product_path="/CreateProduct",
                transport=Network(self, actor, "mpservices"),
            ),
            lease=leadership.current,
            owner=owner,
            random=Random(f"{self.seed} {actor.name}"),
            leads=lambda: leadership.held,
            agenda=an_agenda(),
        )
        ctx.forget_old_pauses()
        return ctx, leadership

    def _works(self, actor: Actor) -> None:
        ctx, leadership = self._context(actor)
        while True:
            self._guarded(actor, lambda: self._work(actor, ctx, leadership))
            actor.wait(20 + 60 * self._rest("rest", actor, self.rest_minutes))

    def _rest(self, what: str, actor: Actor, most: int) -> int:
        """Draw how many minutes to rest; off the plan at most ten, so that a plan played back rests too."""
        return int(self.plan.pick(what, actor.process.name, lambda random: random.randint(0, most), min(10, most)))

    def _work(self, actor: Actor, ctx: Context, leadership: SimLeadership) -> None:
        leadership.take()
        leadership.renewed_at = self.kernel.time
        if not leadership.held:
            push_once(ctx)
            return
        if self.prunes and self.plan.chance("prune", actor.process.name, 0.3):
            self.oracle.reached["pruned"] += prune_once(ctx).pushes
        if self.threads == 1 or self.plan.chance("whole", actor.process.name, 0.3):
            cycle_once(ctx)
        else:
            report = CycleReport()
            for _ in range(20):
                if not work_once(ctx, report):
                    if finds_more(ctx):
                        raise Violation("a round found nothing to do, and one with every gate open did")
                    break

    def _polls(self, actor: Actor) -> None:
        ctx, leadership = self._context(actor)
        while True:
            actor.wait(15 + 60 * self._rest("poll_rest", actor, min(25, self.rest_minutes)))
            if not leadership.held:
                continue
            if self.plan.chance("feed_only", actor.process.name, 0.4):
                self._guarded(actor, lambda: poll_movements_once(ctx))
            else:
                self._guarded(actor, lambda: poll_due_once(ctx))

    def _guarded(self, actor: Actor, work: Callable[[], object]) -> None:
        """As the daemon does: a lost lease ends the job, an error is said, and the next run tries again."""
        try:
            work()
        except LeaseLostError:
            self.oracle.reached["lease_lost"] += 1
        except StoreError:
            raise
        except SQLAlchemyError as error:
            raise Violation(f"the database refused: {error}") from error
        if not actor.alive:
            raise Killed

    def renew(self, actor: Actor) -> None:
        """Renew the lead, as the daemon's own job for it does every few seconds while calls are under way."""
        leadership = actor.process.state.get("lead")
        if leadership is not None and leadership.held and self.kernel.time - leadership.renewed_at >= RENEW_SECONDS:
            leadership.renewed_at = self.kernel.time
            leadership.take()

    def freeze(self, process: Process, seconds: float) -> None:
        """Stop a whole process for a while; the world goes on."""
        process.frozen_until = max(process.frozen_until, self.kernel.time + seconds)
        self.upset()
        self.mpw.chronicle.upheavals.append(process.frozen_until)
        self.oracle.reached["freeze"] += 1
        self.kernel.log("freeze", process.name, f"{seconds / 60:.0f} min")

    def upset(self) -> None:
        """Note that a daemon was upset just now: what it was doing may be unclear."""
        self.mpw.chronicle.upheavals.append(self.kernel.time)

    def rotate_credentials(self) -> None:
        """An operator sets new credentials and restarts everything."""
        self.tokens += 1
        self.mps.token = f"token-{self.tokens}"
        self.mpw.password = f"secret-{self.tokens}"
        for process in self.processes:
            process.die()

    def put_cost_right(self) -> None:
        """An operator sets what a movement's cost means, and restarts everything."""
        sent = "select api_key from outbox where operation = 'post_receipt' and tries > 0"
        self.misread |= {row["api_key"] for row in self.raw.execute(sent)}
        self.restated += 1
        self.policy = replace(self.policy, cost_is="total")
        for process in self.processes:
            process.die()

    def map_items(self, mappings: list[ItemMapping]) -> None:
        """Give the item map."""
        with self.inner.write() as conn:
            import_items(Books(conn, now=START), mappings)


def _ram() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


@cache
def _template() -> Path:
    """Return a migrated database, made once a process."""
    from sync.database.migrate import upgrade

    folder = Path(tempfile.mkdtemp(prefix="mpsim-template-", dir=_ram()))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return migrated_sqlite(folder / "template.db", upgrade)


__all__ = ["DEPOT", "MAIN", "Result", "World"]
