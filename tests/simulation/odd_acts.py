"""What people do that the documents leave out, where a seed's habits have it: each act notes its cause."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING

from sync.sandbox.mpservices import INBOUND, OUTBOUND, Movement
from tests.simulation.models import UNKNOWN_TYPES

if TYPE_CHECKING:
    from tests.simulation.people import People

Act = Callable[[Random], None]

LATE_MINUTES = (1, 30)
"""A movement shows up, or is stamped, at most so late: faults are over for 15 minutes before all has to meet."""

AHEAD = {"2 h": 2 * 3600.0, "a day": 86400.0, "ten days": 864000.0}
OFF = (-3600.0, -900.0, -300.0, 300.0, 900.0, 3600.0)
SKEWED = {"MPservices": (-7200.0, -900.0, 900.0, 7200.0, 86400.0), "MPW": (-7200.0, -900.0, 900.0, 7200.0)}
UNDONE_MAX = 6
LONG_AGO = timedelta(days=60)


class OddActs:
    """The acts of people's habits; `acts` by name, with their weights."""

    def __init__(self, people: People) -> None:
        self.people, self.world = people, people.world
        every: dict[str, tuple[str, Act, int]] = {
            "mps_drifts": ("drift", self._drifts, 3),
            "mps_adjusts": ("unknown_type", self._adjusts, 2),
            "mps_late": ("late", self._late, 4),
            "mps_nameless": ("nameless", self._nameless, 2),
            "mps_corrects": ("corrects", self._corrects, 3),
            "mps_withdraws": ("withdraws", self._withdraws, 2),
            "mpw_transfers": ("transfers", self._transfers, 3),
            "receipt_key_taken": ("taken", self._receipt_key_taken, 3),
            "inventory_key_taken": ("taken", self._inventory_key_taken, 1),
            "row_undone": ("undo", self._undoes_row, 8),
            "approval_undone": ("undo", self._undoes_approval, 4),
        }
        self.every = {name: (act, weight) for name, (_, act, weight) in every.items()}
        self.habit_of = {name: habit for name, (habit, _, _) in every.items()}

    def choices(self) -> dict[str, tuple[Act, int]]:
        """Return those that the world's habits have."""
        return {name: one for name, one in self.every.items() if self.habit_of[name] in self.world.habits}

    # ------------------------------------------------------------------ MPservices' users

    def _drifts(self, random: Random) -> None:
        item = self.people.an_item(random)
        by = random.choice((-3, -2, -1, 1, 2, 5))
        self.world.mps.person_drifts(item, by)
        self._odd(item, "drift")

    def _adjusts(self, random: Random) -> None:
        item = self.people.an_item(random)
        cost = self.people.cost_at_mps(random, item)
        self.world.mps.person_adjusts(random.choice(UNKNOWN_TYPES), item, random.choice((-2, -1, 1, 3)), cost)
        self._odd(item, "movement of unknown type")

    def _late(self, random: Random) -> None:
        """Move stock as people do; it is stamped earlier than now, or shown later."""
        item, minutes = self.people.an_item(random), random.randint(*LATE_MINUTES)
        type, quantity = random.choice((INBOUND, OUTBOUND)), random.randint(1, 6)
        cost, mps = self.people.cost_at_mps(random, item), self.world.mps
        if random.random() < 0.5:
            mps.person_moves(type, item, quantity, cost, created_at=mps.clock.now() - timedelta(minutes=minutes))
            self._odd(item, "movement stamped earlier")
        else:
            made = mps.person_moves(type, item, quantity, cost)
            mps.visible_at[made] = self.world.kernel.time + minutes * 60
            self._odd(item, "movement shown late")

    def _nameless(self, random: Random) -> None:
        """Move stock by a screen that gives the feed no external id."""
        item = self.people.an_item(random)
        made = self.world.mps.person_moves(
            random.choice((INBOUND, OUTBOUND)), item, random.randint(1, 3), self.people.cost_at_mps(random, item)
        )
        self.world.mps.person_forgets_the_name(made)
        self._odd(item, "movement without external id")

    def _corrects(self, random: Random) -> None:
        """Correct how many; often ten times as many were keyed in."""
        if movement := self._movement(random):
            line = movement.lines[0]
            wanted = line.quantity + random.choice((-1, 1, 4)) or line.quantity + 1
            self.world.mps.person_corrects(movement.id, wanted)
            self._odd(self._touched(line.product.external_id), "movement corrected")

    def _withdraws(self, random: Random) -> None:
        if movement := self._movement(random):
            self.world.mps.person_withdraws(movement.id)
            self._odd(self._touched(movement.lines[0].product.external_id), "movement deleted")

    def _movement(self, random: Random) -> Movement | None:
        mps = self.world.mps
        plain = [
            one
            for one in mps.all_movements
            if not one.by_patch
            and len(one.lines) == 1
            and one.type in (INBOUND, OUTBOUND)
            and one.id not in mps.nameless
        ]
        return random.choice(plain) if plain else None

    def _touched(self, item: str | None) -> str:
        self.world.mpw.chronicle.touched[str(item)] += 1
        return str(item)

    def _odd(self, item: str, what: str) -> None:
        """Note that an item's stock at MPservices is no longer what its movements made it, as we know them."""
        self.world.mpw.chronicle.moved_oddly[item].append(what)
        self.world.oracle.reached[what] += 1

    # ------------------------------------------------------------------ MPW's users, and other programs

    def _transfers(self, random: Random) -> None:
        item = self.people.an_item(random)
        available = self.world.mpw.parts["Main", item].available
        if available >= 2 and not self.world.mpw.warehouses["Main"].hidden:
            quantity = min(Decimal(random.randint(1, 4)), available)
            self.world.mpw.person_transfers(item, "Main", "Depot", quantity)
            self.world.mpw.chronicle.transferred.add(item)
            self.world.oracle.reached["transfer by people"] += 1

    def _receipt_key_taken(self, random: Random) -> None:
        """Another program has a receipt under the key that the ERP's next document comes with."""
        people, mpw = self.people, self.world.mpw
        people.serial += 1
        key, item = f"GR-{people.serial}", people.an_item(random)
        equal, today, cost = random.random() < 0.3, mpw.today(), people.cost()
        quantity = Decimal(random.randint(2, 9))
        day = today if equal else random.choice((today, today - LONG_AGO))
        mpw.stranger_receives(item, "Main", quantity, Decimal(cost), day, key)
        people.taken[key] = equal
        wanted = quantity if equal else quantity + random.randint(1, 5)
        fields = {"part_number": item, "warehouse_name": "Main", "quantity_received": str(wanted)}
        people.document("receipt", key, fields | {"unit_cost": cost, "created_on": today.isoformat()})
        self.world.oracle.reached["receipt's key taken by its equal" if equal else "receipt's key taken"] += 1

    def _inventory_key_taken(self, random: Random) -> None:
        """Another program has a part under the key that the ERP's next part comes with."""
        people = self.people
        people.serial += 1
        key, number = f"IN-{people.serial}", f"N-{people.serial}"
        self.world.mpw.add_part(f"X-{people.serial}", "Main", name="theirs", api_key=key)
        people.taken[key] = False
        people.document("inventory", key, {"part_number": number, "warehouse_name": "Main", "inventory_name": number})
        self.world.oracle.reached["inventory's key taken"] += 1

    def undoes_at_once(self, random: Random) -> None:
        """Undo what there is to undo just now."""
        if self.people.deleted_rows < UNDONE_MAX:
            self._undoes_row(random)
            self._undoes_approval(random)

    def _undoes_row(self, random: Random) -> None:
        """Delete what we posted before we know that it is there: our own books have seen it under its key."""
        world, mpw = self.world, self.world.mpw
        rows = [("receipt", row) for row in mpw.receipt_by_id.values() if row.listed and not row.used]
        if world.policy.description_marker:
            rows += [("issuance", row) for row in mpw.issuance_by_id.values()]  # type: ignore[misc]
        ours = [
            (kind, row)
            for kind, row in rows
            if row.api_key
            and row.api_key not in self.people.strangers | self.people.taken.keys()
            and "_s" not in row.api_key
            and not self.people.is_settled(row.api_key)
            and self._is_known(kind, row.id)
        ]
        if not ours:
            return
        kind, row = random.choice(ours)
        self.people.deleted_rows += 1
        self.people.deleted_keys.add(str(row.api_key))
        world.oracle.reached["row undone"] += 1
        world.mpw.chronicle.touched[row.part.part_number] += 1
        if kind == "receipt":
            mpw.person_deletes_receipt(row.id)
        else:
            mpw.person_deletes_issuance(row.id)

    def _is_known(self, kind: str, remote_id: int) -> bool:
        query = "select 1 from documents where system = 'mpw' and type = ? and remote_id = ? and missing_since is null"
        return self.world.raw.execute(query, (kind, str(remote_id))).fetchone() is not None

    def _undoes_approval(self, random: Random) -> None:
        """Withdraw an order that we approved before we know that we did: our own books have seen it ordered."""
        world = self.world
        query = (
            "select payload from outbox where operation = 'approve' and tries > 0 "
            "and state in ('sending', 'unknown', 'ready')"
        )
        open_ = {json.loads(row["payload"])["purchase_order_number"] for row in world.raw.execute(query)}
        seen = {
            str(row["number"])
            for row in world.raw.execute("select number from purchase_orders where lower(status) = 'ordered'")
        }
        ours = [number for number in sorted(open_ & seen) if world.mpw.approvals[number]]
        if ours:
            number = random.choice(ours)
            world.mpw.person_edits_order(int(number), status="Rejected")
            world.oracle.edited_orders.add(number)
            world.oracle.reached["approval undone"] += 1

    # ------------------------------------------------------------------ clocks

    def upset_clocks(self, seconds: float) -> None:
        """Let a daemon's clock be ahead for a while, or off all the time."""
        world = self.world
        if "off" in world.habits:
            random = world.habits.random("off")
            process = world.processes[0]
            process.ahead = random.choice(OFF)
            self._clock_is_off("clock off")
        if "ahead" in world.habits:
            random = world.habits.random("ahead")
            name, ahead = random.choice(list(AHEAD.items()))
            process = random.choice(world.processes)
            begin, lasts = random.uniform(0, seconds * 0.7), random.uniform(300, 3600)

            def jump(by: float) -> None:
                process.ahead, process.ahead_since = by, world.kernel.time
                self._clock_is_off(f"clock ahead by {name}" if by else "clock right again")

            world.kernel.at(begin, lambda: jump(ahead))
            world.kernel.at(begin + lasts, lambda: jump(0.0))

    def _clock_is_off(self, how: str) -> None:
        self.world.oracle.reached[how] += 1
        self.world.upset()
        self.world.mpw.chronicle.off_clocks.append(self.world.kernel.time)
        self.world.kernel.log(how)
