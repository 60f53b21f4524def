"""People at both vendors and at the ERP, who work while everything fails; and the operator, who puts things right."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import text

from sync.jobs.due import an_agenda
from sync.jobs.resolve import Choice, resolve_by_person
from sync.learned.rows import set_learned
from sync.learned.rules import FACTS
from sync.ledger.books import Books
from sync.outbox.rows import Which, discard, release, retry
from sync.push.operator import resolve_push
from sync.reconcile.item_map import ItemMapping
from sync.sandbox.mpservices import INBOUND, OUTBOUND
from sync.sandbox.mpw_state import Issuance, Receipt
from sync.values.exception_kinds import APPLY, ECHO, KEEP, NONE, VOID, WAIT
from sync.work.context import Context
from tests.simulation.kernel import SimClock
from tests.simulation.models import event_of
from tests.simulation.odd_acts import OddActs

if TYPE_CHECKING:
    from tests.simulation.world import World

MAIN, DEPOT = "Main", "Depot"
R = TypeVar("R", bound=Receipt | Issuance)
ITEMS = ("P-1", "P-2", "P-3")
ENOUGH = 400
STRANGE = 13
DOZEN = 12
CORRECTIONS = 0.25
"""So often a cost is corrected once all has met: it takes a cycle or two more."""

SLIPS_MAX = 40
"""Acts between two requests may make for more requests, and those for more acts: there is an end."""
LONG_FEED = 0.8
"""So often the feed shows something older than what is deleted of it: else nobody can tell that from a short window."""

UNDONE = 0.3
"""So often people look, before a request of ours, whether there is anything to undo, where that is their habit."""

KEEPS = 0.4
"""So often a person lets MPW stay as it is, where a movement was corrected or deleted in MPservices."""

SEEN = (
    "unknown_value",
    "quarantined_row",
    "stock_drift",
    "patch_without_echo",
    "patch_fuse",
    "push_not_there",
    "key_taken",
    "learned_contradicted",
    "gap",
)
"""What a person has seen to once he has looked, where no push of it waits."""

NOT_MISSED = ("delete_receipt", "delete_issuance", "patch_stock")
"""What a person calls done once it is refused: a used receipt stays, and the next comparison patches anew."""


class People:
    """Everybody who is not us."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.acts: Counter[str] = Counter()
        self.busy = True
        self.serial = 0
        self.docs: dict[tuple[str, str], dict[str, Any]] = {}
        self.deleted_keys: set[str] = set()
        self.deleted_rows = 0
        self.lost_permission = False
        self.mapped = False
        self.corrected = False
        self.slipped_in = 0
        self.strangers: set[str] = set()
        self.taken: dict[str, bool] = {}
        """Keys under which another program had a receipt, or a part, before the ERP's document came: equal to it?"""
        self.dozens: set[str] = set()
        """Items of which MPservices counts dozens."""
        shape = Random(f"people {world.seed}")
        self.items = ITEMS[: shape.choice((1, 1, 2, 3))]
        self.interrupts = shape.choice((0.0, 0.03, 0.08))
        self.every: dict[str, tuple[Callable[[Random], None], int]] = {
            "mps_in": (self._mps_in, 4),
            "mps_out": (self._mps_out, 5),
            "mps_lines": (self._mps_lines, 1),
            "mpw_receives": (self._receives, 3),
            "mpw_issues": (self._issues, 4),
            "mpw_edits": (self._edits, 2),
            "mpw_deletes": (self._deletes, 2),
            "mpw_moves_day": (self._moves_day, 2),
            "permission": (self._permission, 1),
            "erp_receipt": (self._erp_receipt, 2),
            "erp_issuance": (self._erp_issuance, 2),
            "erp_void": (self._erp_void, 1),
            "erp_transfer": (self._erp_transfer, 2),
            "erp_approval": (self._erp_approval, 2),
            "order_edited": (self._order_edited, 1),
            "order_withdrawn": (self._order_withdrawn, 1),
            "key_taken": (self._key_taken, 1),
            "operator": (self._operator, 2),
            "mps_returns": (self._mps_returns, 0),
        }
        self.choices = {name: act for name, act in self.every.items() if shape.random() < 0.7 or name == "mps_out"}
        self.count = shape.randint(6, 26)
        self.bursts = shape.random() < 0.6
        habits = Random(f"people's habits {world.seed}")
        self.same_cost = habits.choice((0.0, 0.0, 0.5))
        self.warehouses = (MAIN, DEPOT) if habits.random() < 0.3 else (MAIN,)
        self.every["mpw_overdraws"] = (self._overdraws, 1)
        if habits.random() < 0.2:
            self.choices["mpw_overdraws"] = self.every["mpw_overdraws"]
        self.retried: set[int] = set()
        self.odd = OddActs(self)
        self.every |= self.odd.every
        self.choices |= self.odd.choices()
        self.resolutions = 0
        self.kept: set[tuple[str, str]] = set()
        """Movements that were changed or deleted, and of which a person said that MPW shall stay as it is."""

    # ------------------------------------------------------------------ the setting

    def furnish(self) -> None:
        """Fill both systems, and the item map."""
        if "dozens" in self.world.habits:
            self.dozens = {self.world.habits.random("dozens").choice(self.items)}
            self.world.oracle.reached["factor of 12"] += 1
        world, shape = self.world, Random(f"furnish {self.world.seed}")
        world.mpw.add_warehouse(MAIN)
        world.mpw.add_warehouse(DEPOT)
        long_ago = world.mpw.today() - timedelta(days=60)
        for item in self.items:
            stock = shape.choice((0, 12, 40))
            world.mpw.add_part(item, MAIN, name=item)
            world.mpw.add_part(item, DEPOT, name=item)
            if stock:
                world.mpw.person_receives(item, MAIN, stock, "10", long_ago)
            there = stock if shape.random() < 0.7 else stock + 3
            world.mps.add_product(item, stock=there // self.factor(item), cost="10")
        if "withdraws" in world.habits and world.habits.random("withdraws").random() < LONG_FEED:
            day_before = world.mps.clock.now() - timedelta(hours=30)
            world.mps.person_moves(INBOUND, self.items[0], 1, "10", created_at=day_before)
        self.mapped = shape.random() < 0.5 or len(self.warehouses) > 1 or bool(self.dozens)
        if self.mapped:
            mappings = [ItemMapping(item, item, self.warehouses, Decimal(self.factor(item))) for item in self.items]
            world.map_items(mappings)

    def begin(self, seconds: float) -> None:
        """Put people's acts on the agenda: spread, or in bursts."""
        random = Random(f"agenda {self.world.seed}")
        hot = [random.uniform(60, seconds * 0.9) for _ in range(3)] if self.bursts else None
        for number in range(self.count):
            when = random.choice(hot) + random.uniform(0, 600) if hot else random.uniform(60, seconds)
            about = f"act {number}"
            if not self.world.plan.pick("skip", about, lambda _: False, False):
                self.world.kernel.at(when, lambda about=about: self.act(about))  # type: ignore[misc]

    def step_clocks(self, seconds: float) -> None:
        """Step the daemons' clocks now and then."""
        random = Random(f"steps {self.world.seed}")
        for process in self.world.processes:
            for number in range(random.choice((0, 0, 1, 3))):
                step = self.world.plan.pick(
                    "step", f"{process.name}{number}", lambda plan: plan.choice((0, -60, -20, -5, 3, 20, 60)), 0
                )
                when = random.uniform(0, seconds)
                if step:
                    self.world.kernel.at(when, lambda p=process, s=step: self._step(p, s))  # type: ignore[misc]

    def _step(self, process: Any, seconds: float) -> None:
        self.world.oracle.reached["clock_step"] += 1
        self.world.upset()
        process.offset = max(-60.0, min(60.0, process.offset + seconds))

    def act(self, about: str) -> None:
        """Do one thing."""
        if not self.busy:
            return
        random = Random(f"{self.world.seed} {about}")
        names = list(self.choices)
        name = random.choices(names, [self.choices[n][1] for n in names])[0]
        self.acts[name] += 1
        self.world.kernel.log("PEOPLE", name)
        self.choices[name][0](random)

    def may_act(self, about: str) -> None:
        """Somebody may do something just now, between a read of ours and our write."""
        if self.busy and "undo" in self.world.habits and self.world.plan.chance("undo", about, UNDONE):
            self.odd.undoes_at_once(Random(f"{self.world.seed} undo {about}"))
        if (
            self.busy
            and self.interrupts
            and self.slipped_in < SLIPS_MAX
            and self.world.plan.chance("slip", about, self.interrupts)
        ):
            self.slipped_in += 1
            self.act(f"slip {about} {self.slipped_in}")

    def calm_down(self) -> None:
        """Go home: what was hidden shows again, and every shelf is filled, so that what waits for stock can go."""
        self.busy = False
        world = self.world
        world.mpw.show_warehouse(MAIN)
        for item in self.items:
            self.serial += 1
            world.mpw.person_receives(item, MAIN, ENOUGH * self.factor(item), self.cost(), world.mpw.today())
            world.mpw.chronicle.touched[item] += 1

    def corrects_a_cost(self) -> bool:
        """Correct what the last receipt of an item cost, in some worlds, once: nothing else differs by then."""
        random = Random(f"correction {self.world.seed}")
        if self.corrected or random.random() >= CORRECTIONS:
            return False
        self.corrected = True
        item = self.an_item(random)
        last = max((row for row in self._receipts() if row.part.part_number == item), key=lambda row: row.id)
        self.world.mpw.person_edits_receipt(last.id, unit_cost=self.cost())
        if last.api_key:
            self.world.mpw.edited.add(last.api_key)
        self.world.oracle.reached["cost corrected"] += 1
        return True

    def cost(self) -> str:
        self.serial += 1
        return f"{5 + self.serial * 0.0137:.4f}"

    def cost_at_mps(self, random: Random, item: str) -> str:
        """Return a cost as MPservices' people key it in: often the item's own, which a patch of ours may have set."""
        if random.random() < self.same_cost:
            self.world.oracle.reached["same cost"] += 1
            return str(self.world.mps.product(item).cost)
        return self.cost()

    def an_item(self, random: Random) -> str:
        """Return an item to do something with: whoever does gives us something to do about it."""
        item = random.choice(self.items)
        self.world.mpw.chronicle.touched[item] += 1
        return item

    def factor(self, item: str) -> int:
        """Return how many pieces at MPW are one at MPservices."""
        return DOZEN if item in self.dozens else 1

    # ------------------------------------------------------------------ MPservices' users

    def _mps_in(self, random: Random) -> None:
        item = self.an_item(random)
        self.world.mps.person_moves(INBOUND, item, random.randint(1, 9), self.cost_at_mps(random, item))

    def _mps_out(self, random: Random) -> None:
        item, quantity = self.an_item(random), random.randint(1, 6)
        self.world.mps.person_moves(OUTBOUND, item, quantity, self.cost_at_mps(random, item), "Folio-1")

    def _mps_lines(self, random: Random) -> None:
        lines = [(self.an_item(random), random.randint(1, 4), self.cost()) for _ in range(2)]
        self.world.mps.person_moves_lines(random.choice((INBOUND, OUTBOUND)), lines)

    def _mps_returns(self, random: Random) -> None:
        """Take some out and put them back, at the item's cost as it stands."""
        item, quantity = self.an_item(random), random.randint(1, 6)
        cost = self.world.mps.product(item).cost
        self.world.mps.person_moves(OUTBOUND, item, quantity, cost)
        self.world.mps.person_moves(INBOUND, item, quantity, cost)

    # ------------------------------------------------------------------ MPW's users

    def _receives(self, random: Random) -> None:
        day = self.world.mpw.today() - timedelta(days=random.choice((0, 0, 0, 1)))
        where = random.choice(self.warehouses)
        if not self.world.mpw.warehouses[where].hidden:
            self.world.oracle.reached["several warehouses"] += where != MAIN
            self.world.mpw.person_receives(self.an_item(random), where, random.randint(1, 12), self.cost(), day)

    def _issues(self, random: Random) -> None:
        item = self.an_item(random)
        part = self.world.mpw.parts[MAIN, item]
        if part.available >= 1:
            quantity = min(Decimal(random.randint(1, 6)), part.available)
            self.world.mpw.person_issues(
                item, MAIN, quantity, self.world.mpw.today() - timedelta(days=random.choice((0, 0, 1)))
            )

    def _overdraws(self, random: Random) -> None:
        """Take more than there is, as a setting of MPW's allows: its stock goes below zero until some is received."""
        item = self.an_item(random)
        quantity = self.world.mpw.parts[MAIN, item].available + random.randint(1, 3)
        self.world.mpw.person_issues(item, MAIN, quantity, self.world.mpw.today(), overdraft=True)

    def _edits(self, random: Random) -> None:
        rows = [row for row in self._receipts() if not row.used and row.api_key not in self.taken]
        if rows:
            row = self._touched(random.choice(rows))
            if random.random() < 0.6:
                self.world.mpw.person_edits_receipt(row.id, quantity=row.received + random.randint(1, 3))
            else:
                self.world.mpw.person_edits_receipt(row.id, unit_cost=self.cost())
            if row.api_key:
                self.world.mpw.edited.add(row.api_key)

    def _deletes(self, random: Random) -> None:
        """Delete a row; one of ours only once we know that it is there."""
        rows: list[Receipt | Issuance] = [row for row in self._receipts() if not row.used]
        rows += [row for row in self.world.mpw.issuance_by_id.values() if row.receipt is not None]
        rows = [row for row in rows if row.api_key is None or self.is_settled(row.api_key)]
        rows = [row for row in rows if row.api_key not in self.taken]
        if rows and self.deleted_rows < 4:
            row = self._touched(random.choice(rows))
            self.deleted_rows += 1
            if row.api_key:
                self.deleted_keys.add(row.api_key)
            if isinstance(row, Receipt):
                self.world.mpw.person_deletes_receipt(row.id)
            else:
                self.world.mpw.person_deletes_issuance(row.id)

    def _moves_day(self, random: Random) -> None:
        day = self.world.mpw.today() - timedelta(days=random.choice((0, 1)))
        if random.random() < 0.5 and (rows := self._receipts()):
            row = self._touched(random.choice(rows))
            self.world.mpw.person_edits_receipt(row.id, created_on=day)
            if row.api_key:
                self.world.mpw.edited.add(row.api_key)
        elif issuances := [
            r for r in self.world.mpw.issuance_by_id.values() if not r.api_key or self.is_settled(r.api_key)
        ]:
            self.world.mpw.person_edits_issuance(random.choice(issuances).id, created_on=day)

    def _permission(self, random: Random) -> None:
        """Lose the permission to see a warehouse for a while."""
        if self.world.mpw.warehouses[MAIN].hidden:
            return
        self.lost_permission = True
        self.world.oracle.reached["permission lost"] += 1
        self.world.mpw.hide_warehouse(MAIN)
        self.world.mpw.chronicle.touched.update(self.items)
        back = self.world.kernel.time + random.randint(5, 200) * 60
        self.world.kernel.at(back, lambda: self.world.mpw.show_warehouse(MAIN))

    def _touched(self, row: R) -> R:
        self.world.mpw.chronicle.touched[row.part.part_number] += 1
        return row

    def _receipts(self) -> list[Receipt]:
        first = self.world.policy.start_date
        return [row for row in self.world.mpw.receipt_by_id.values() if row.listed and row.created_on >= first]

    def is_settled(self, key: str) -> bool:
        parent = key.rsplit("_s", 1)[0] if "_s" in key else key
        query = "select count(*) from outbox where api_key in (?, ?) and operation like 'post%' and state <> 'done'"
        return bool(self.world.raw.execute(query, (key, parent)).fetchone()[0] == 0)

    # ------------------------------------------------------------------ the ERP

    def document(self, kind: str, key: str, payload: dict[str, Any]) -> None:
        self.docs[kind, key] = payload
        with self.world.inner.write() as conn:
            conn.execute(
                text("insert into inbox (document_type, api_key, payload) values (:t, :k, :p)"),
                {"t": kind, "k": key, "p": json.dumps(payload)},
            )

    def _erp_receipt(self, random: Random) -> None:
        self.serial += 1
        day = (self.world.mpw.today() - timedelta(days=random.choice((0, 0, 1)))).isoformat()
        quantity = str(random.randint(1, 9))
        fields = {"part_number": self.an_item(random), "warehouse_name": MAIN, "quantity_received": quantity}
        self.document("receipt", f"GR-{self.serial}", fields | {"unit_cost": self.cost(), "created_on": day})

    def _erp_issuance(self, random: Random) -> None:
        self.serial += 1
        fields = {"part_number": self.an_item(random), "warehouse_name": MAIN, "quantity": str(random.randint(1, 5))}
        self.document("issuance", f"GI-{self.serial}", fields | {"created_on": self.world.mpw.today().isoformat()})

    def _erp_void(self, random: Random) -> None:
        kinds = [(kind, key) for kind, key in self.docs if kind in ("receipt", "issuance")]
        kinds = [(kind, key) for kind, key in kinds if ("void", key) not in self.docs]
        if kinds:
            kind, key = random.choice(kinds)
            self.document("void", key, {"kind": kind})

    def _erp_transfer(self, random: Random) -> None:
        """Each with a quantity of its own: that is the only thing to tell two of them apart."""
        self.serial += 1
        item = self.an_item(random)
        quantity = 1 + sum(1 for kind, _ in self.docs if kind == "transfer")
        fields = {"part_number": item, "warehouse_name": MAIN, "destination_warehouse_name": DEPOT}
        self.document("transfer", f"TR-{self.serial}", fields | {"quantity": str(quantity)})

    def _erp_approval(self, random: Random) -> None:
        self.serial += 1
        order = self.world.mpw.add_order(
            vendor_name="Bosch", warehouse_name=MAIN, lines=[(self.an_item(random), random.randint(1, 5), "10")]
        )
        self.document(
            "po_approval", f"AP-{self.serial}", {"purchase_order_number": str(order.number), "approved_by": "Ann"}
        )

    def _order_edited(self, random: Random) -> None:
        if self.world.mpw.orders:
            number = random.choice(list(self.world.mpw.orders))
            self.world.mpw.person_edits_order(number, quantity=random.randint(6, 9))
            self.world.oracle.edited_orders.add(str(number))

    def _order_withdrawn(self, random: Random) -> None:
        """Take back an order that was perhaps approved in the ERP already; or approve it by hand."""
        open_ = [number for number, order in self.world.mpw.orders.items() if order.status.casefold() == "requisition"]
        if open_:
            number = random.choice(open_)
            self.world.mpw.person_edits_order(number, status=random.choice(("Rejected", "Rejected", "Ordered")))
            self.world.oracle.edited_orders.add(str(number))

    def _key_taken(self, random: Random) -> None:
        """Another program has issued something else under the key of a document of the ERP's.

        Of a quantity that nobody else issues, nor any part of theirs has: an unmarked issuance that equals the
        document would be taken for it.
        """
        item = self.an_item(random)
        available = self.world.mpw.parts[MAIN, item].available
        if not self.world.policy.description_marker or available < STRANGE + 1:
            return  # without a marker nothing tells the two apart once an answer of ours was lost
        self.serial += 1
        key, fields = f"GI-{self.serial}", {"part_number": item, "warehouse_name": MAIN, "quantity": str(STRANGE)}
        self.strangers.add(key)
        self.world.mpw.stranger_issues(item, MAIN, Decimal(STRANGE - 1), key)
        self.document("issuance", key, fields | {"created_on": self.world.mpw.today().isoformat()})

    # ------------------------------------------------------------------ the operator

    def _operator(self, random: Random) -> None:
        """Let what is held go; now and then drop a patch or a transfer of it."""
        now = SimClock(self.world.kernel).now()
        self.world.oracle.operating = True
        with self.world.inner.write() as conn:
            if random.random() < 0.3:
                for route in sorted({"stock_cost", "transfers"} & set(self.world.held)):
                    discard(Books(conn, now=now), Which(state="held", route=route), by="sim", why="not wanted")
            release(Books(conn, now=now), Which(state="held"))
        self.world.oracle.after_commit(None)
        self.world.oracle.operating = False

    def operate(self) -> None:
        """Do what the open exceptions ask for, knowing the truth."""
        world, oracle = self.world, self.world.oracle
        ctx = Context(world.inner, SimClock(world.kernel), world.policy, agenda=an_agenda())
        oracle.operating = True
        try:
            with world.inner.write() as conn:
                release(Books(conn, now=ctx.clock.now()), Which(state="held"))
            for row in world.raw.execute("select * from exceptions where resolved_at is null").fetchall():
                world.kernel.log("operator", row["kind"], row["subject"], row["detail"])
                self._put_right(ctx, row)
        finally:
            oracle.after_commit(None)
            oracle.operating = False

    def _put_right(self, ctx: Context, row: Any) -> None:
        kind, facts = row["kind"], json.loads(row["facts"])
        if kind == "credentials":
            self.world.rotate_credentials()
        elif kind == "echo_undecided":
            echo = [movement for movement in facts["movements"] if self._is_patch(movement)]
            choice = Choice(ECHO, echo[0]) if echo else Choice(NONE)
            self._resolve(ctx, row, "looked", choice=choice)
        elif kind == "mass_disappearance":
            missing = self._missing(facts["source"], facts["remote_ids"])
            if not any(self._exists(facts["source"], int(name)) for name in missing):
                resolve_by_person(ctx, ids=[row["id"]], why="they are gone", by="sim", choice=Choice(VOID))
        elif kind == "deleted_in_mpw":
            self._resolve(ctx, row, "yes, that was me")
        elif kind == "order_changed" and "outbox_id" not in facts:
            self._resolve(ctx, row, "seen")
        elif kind == "cost_jump":
            self._resolve(ctx, row, "MPW is right", choice=Choice(APPLY))
        elif kind == "not_enough_stock":
            self._answer_a_shortage(ctx, row, facts)
        elif kind in ("movement_changed", "movement_deleted"):
            self._decide_about_a_movement(ctx, row)
        elif kind == "short_window":
            self._decide_about_a_window(ctx, row, facts["movement_ids"])
        elif kind == "cost_is_wrong":
            self.world.put_cost_right()
            self._resolve(ctx, row, "a movement's cost is its total: the setting says so now")
        elif kind == "books_differ":  # who edits a row of ours in MPW means it: an invoice said otherwise
            self.world.oracle.reached["a person keeps books"] += 1
            self.kept.add((facts["kind"], event_of(facts["api_key"])))
            self._resolve(ctx, row, "that is what the invoice says", choice=Choice(KEEP))
        elif kind == "cost_restated":
            self._decide_about_costs(ctx, row, facts["keys"])
        elif kind == "clock_wrong":
            self._look_at_a_watch(ctx, row)
            self._resolve(ctx, row, "seen")
        elif kind in SEEN and "outbox_id" not in facts and not self.world.oracle.causes.may_stay(row):
            self._resolve(ctx, row, "seen")
        elif "outbox_id" in facts:
            self._drop_strangers(str(facts.get("api_key")))
            self._settle_push(ctx, int(facts["outbox_id"]))
            if kind == "order_changed":
                resolve_by_person(ctx, kind=kind, subject=row["subject"], why="seen", by="sim")

    def _answer_a_shortage(self, ctx: Context, row: Any, facts: dict[str, Any]) -> None:
        """Say of a transfer that it is not wanted any more, and of an issuance that it waits for what is keyed in."""
        transfer = facts["operation"] == "post_transfer"
        self._resolve(ctx, row, "looked", choice=Choice(KEEP if transfer else WAIT))

    def _resolve(self, ctx: Context, row: Any, why: str, **choice: Any) -> None:
        self.resolutions += 1
        resolve_by_person(ctx, ids=[row["id"]], why=why, by="sim", **choice)

    def _look_at_a_watch(self, ctx: Context, row: Any) -> None:
        """Where the clock is right, say how far the vendors' are off, as the hint names it."""
        if any(abs(process.offset + process.ahead) > 60 for process in self.world.processes):
            return
        for name, value, system in re.findall(r"learned set (\S+) (\S+) --system (\S+)", row["hint"] or ""):
            with ctx.anyone_writes() as books:
                set_learned(books.conn, FACTS[system, name], value, why="a watch", by="sim", now=books.now)
            self.world.oracle.reached["a person looks at a watch"] += 1

    def _decide_about_a_movement(self, ctx: Context, row: Any) -> None:
        """Have done what is right about a movement that was corrected or deleted, or say that MPW stays as it is."""
        mps, events = self.world.mps, [*self.world.mps.before, *self.world.mps.withdrawn]
        meant = [one for one in events if self.world.oracle.causes.is_of(one[1], row["subject"])]
        keep = Random(f"keep {self.world.seed} {row['subject']}").random() < KEEPS
        if keep:
            self.kept.update(meant)
        for _, key in meant:
            if line := mps.line_of(key):
                self.world.mpw.chronicle.touched[str(line.product.external_id)] += 1
        self.world.oracle.reached["a person keeps" if keep else "a person applies"] += 1
        self._resolve(ctx, row, "looked", choice=Choice(KEEP if keep else APPLY))

    def _decide_about_a_window(self, ctx: Context, row: Any, movements: list[str]) -> None:
        """Say whether the movements that the feed lacks were deleted, or are there."""
        mps, is_of = self.world.mps, self.world.oracle.causes.is_of
        gone = [key for _, key in mps.withdrawn if any(is_of(key, name) for name in movements)]
        for key in gone:
            if line := mps.line_of(key):
                self.world.mpw.chronicle.touched[str(line.product.external_id)] += 1
        self.world.oracle.reached["a person says deleted" if gone else "a person says there"] += 1
        self._resolve(ctx, row, "looked", choice=Choice(APPLY if gone else KEEP))

    def _decide_about_costs(self, ctx: Context, row: Any, keys: list[str]) -> None:
        """Have receipts posted again at their right cost, or put the costs right in MPW by hand and keep them."""
        mps, mpw = self.world.mps, self.world.mpw
        keep = Random(f"keep costs {self.world.seed}").random() < KEEPS
        for key in keys:
            line, receipt = mps.line_of(key), mpw.receipt_by_key.get(key)
            if line is None:
                continue
            item = str(line.product.external_id)
            mpw.chronicle.touched[item] += 1
            if keep and receipt is not None:
                cost = mps.unit_cost_shown(line) / self.factor(item)
                mpw.person_edits_receipt(receipt.id, unit_cost=str(round(cost, 6)))
                mpw.edited.add(key)
        self.world.oracle.reached["a person keeps costs" if keep else "a person applies costs"] += 1
        self._resolve(ctx, row, "looked", choice=Choice(KEEP if keep else APPLY))

    def _settle_push(self, ctx: Context, outbox_id: int) -> None:
        """A person looks at the vendor and says what is there."""
        world = self.world
        push = world.raw.execute("select * from outbox where id = ?", (outbox_id,)).fetchone()
        if push["state"] not in ("unknown", "dead"):
            return
        done = world.oracle.truly_done(push) or push["operation"] in NOT_MISSED
        event = str(push["operation"]).removeprefix("post_"), str(push["api_key"])
        if world.oracle.has_vanished(*event) and world.oracle.made(*event) != world.oracle.expected(*event):
            done = False  # its answer was perfect; who looks now sees that nothing is there
        if self._corrects_a_used_receipt(push):
            with world.inner.write() as conn:  # MPW lets nobody delete it: what it says stands, and nothing follows it
                discard(Books(conn, now=ctx.clock.now()), Which(ids=[outbox_id]), by="sim", why="it is used, and stays")
            self.kept.add(("receipt", event_of(push["api_key"])))
            return
        hopeless = {"approve": "changed", "post_transfer": "maximum"}.get(push["operation"])
        unwanted = bool(hopeless and hopeless in push["last_error"]) or self._is_unwanted(push)
        if push["state"] == "dead" and not done and unwanted:
            with world.inner.write() as conn:  # it would be refused for ever: nobody wants it any more
                discard(Books(conn, now=ctx.clock.now()), Which(ids=[outbox_id]), by="sim", why="not wanted any more")
        elif push["state"] == "dead" and not done and outbox_id not in self.retried:
            self.retried.add(outbox_id)
            with world.inner.write() as conn:
                retry(Books(conn, now=ctx.clock.now()), Which(ids=[outbox_id]), by="sim")
        elif push["state"] == "dead" or push["operation"] == "post_transfer":
            resolve_push(ctx, outbox_id, done=done, why="looked", by="sim")

    def _corrects_a_used_receipt(self, push: Any) -> bool:
        """Tell whether it is the refused delete of what a corrected movement, or a right cost, is to replace."""
        if push["state"] != "dead" or push["operation"] != "delete_receipt":
            return False
        receipt = self.world.mpw.receipt_by_key.get(push["api_key"])
        key = "receipt", event_of(push["api_key"])
        replaced = bool(self.world.mps.before[key]) or push["api_key"] in self.world.misread
        return receipt is not None and receipt.used and replaced

    def _is_unwanted(self, push: Any) -> bool:
        """Tell whether its order was taken back, or its document voided, meanwhile."""
        if push["operation"] == "approve":
            order = self.world.mpw.orders[int(json.loads(push["payload"])["purchase_order_number"])]
            return order.status == "Rejected"
        if self.taken.get(push["api_key"]) is False:
            return True  # the key is another program's: the ERP has to choose one of its own
        return push["api_key"] in self.strangers and ("void", push["api_key"]) in self.docs

    def _drop_strangers(self, key: str) -> None:
        """Delete what another program issued under a key of ours."""
        if key in self.strangers:
            ours = f"[{key}]"
            rows = self.world.mpw.issuances_by_key.get(key, [])
            for row in [row for row in rows if ours not in (row.description or "")]:
                self.deleted_rows += 1
                self.world.mpw.person_deletes_issuance(row.id)

    def _is_patch(self, movement_id: str) -> bool:
        return any(m.id == movement_id and m.by_patch for m in self.world.mps.all_movements)

    def _missing(self, source: str, remote_ids: list[str]) -> list[str]:
        """Return those of an exception's rows that our books still miss: the others came back meanwhile."""
        kind = source.removeprefix("mpw.").removesuffix("s")
        query = "select remote_id from documents where type = ? and missing_since is not null and voided_at is null"
        missing = {row["remote_id"] for row in self.world.raw.execute(query, (kind,))}
        return [name for name in remote_ids if name in missing]

    def _exists(self, source: str, remote_id: int) -> bool:
        mpw = self.world.mpw
        return remote_id in (mpw.receipt_by_id if source == "mpw.receipts" else mpw.issuance_by_id)
