"""What must hold: after every commit, at every request, and at the end.

The ten rules of the outbox (ARCHITECTURE.md), and where each is checked:

 1. no write without a committed attempt    `before_write` (every request), `_claimed`
 2. one row of an entity in flight          `after_commit` (every commit, over all rows)
 3. fences                                  `_changed`: no fence goes back, no answer is recorded twice; `_claimed`
 4. a lease that ran out yields unknown     `_answered`: only its owner may settle a row, others rescue it, in time
 5. ambiguity is sticky                     `_answered`; `_found_absent`: ready only once nothing can land late
 6. no second transfer while ambiguous      `before_write`, `_found_absent`, `after_effect`
 7. only the unsent is superseded           `_changed`
 8. 429, 401, refused: no attempt used up   `_answered`; Retry-After: `may_call`, `_asked_to_wait`
 9. done carries evidence                   `_changed`: and the effect is truly there
10. keys and open rows are never pruned     `after_commit` (no row goes), `_rewritten`; `World` prunes early

Besides: one effect per event (`on_made`, `_events_left`), no echo forwarded (`on_made`), nothing of people's taken
for an echo (`final`), no mark of ours in MPW (`on_receipt`), nothing that feeds itself (`bounded`, `World._rests`),
stock equal at both (`unsettled`), MPservices' cost what MPW makes it (`costs_differ`), ledger sums equal the vendors'
truth (`_ledger_differs`), only the leader writes what leaders write (`_leads`), every exception and every dead row has
a cause (`Causes`), and what `Witness` holds.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import timedelta
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from sync.database.types import instant_text
from sync.sandbox.app import Call
from sync.values.money import plain
from tests.simulation.causes import Causes
from tests.simulation.costs import MILLIONTH, costs_differ, is_patched
from tests.simulation.kernel import Actor, SimClock, Violation
from tests.simulation.models import event_of
from tests.simulation.network import key_of
from tests.simulation.witness import Witness

if TYPE_CHECKING:
    from tests.simulation.world import World

LEGAL = {
    "held": {"ready", "dead", "superseded", "discarded"},
    "ready": {"ready", "sending", "done", "dead", "superseded", "discarded"},
    "sending": {"ready", "unknown", "done", "dead"},
    "unknown": {"unknown", "ready", "done", "dead", "discarded"},
    "dead": set(),
    "done": {"dead"},
    "superseded": set(),
    "discarded": set(),
}
"""The drawing in ARCHITECTURE.md, written down a second time on purpose."""

OPERATIONS = {
    "mpw.post_receipt": "post_receipt",
    "mpw.post_issuance": "post_issuance",
    "mpw.delete_receipt": "delete_receipt",
    "mpw.delete_issuance": "delete_issuance",
    "mpw.post_inventory": "post_inventory",
    "mpw.transfer": "post_transfer",
    "mpw.approve": "approve",
    "mpservices.patch_stock": "patch_stock",
    "mpservices.create_product": "create_product",
}
PROVABLY_NOTHING = {"not_sent", "429", "401"}
WATCHED = (
    "id, operation, entity_key, api_key, kind, state, attempts, tries, fence, ambiguous, last_sent_at, lease_owner, "
    "lease_until, evidence, payload, due_at"
)


ZERO = Decimal(0)

WRONG_SECONDS, TOLD_SECONDS = 660.0, 900.0
"""A clock that is off by more must stop its daemon from sending, so long after it went wrong, or its daemon began."""

FAR = 600
"""A vendor's clock that is off by so many seconds is off by far."""

PATCHES_MORE, PATCHES_EACH = 4, 3
"""An item is patched at most so often, and so often again for each thing that people did: nothing feeds itself."""


def cut(cost: Decimal) -> Decimal:
    """Return a cost without what its sixth decimal says: there a patch of ours is marked."""
    return cost.quantize(Decimal("0.00001"), ROUND_DOWN)


class Oracle:
    """Watches a world; raises `Violation` with what is wrong."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.reached: Counter[str] = Counter()
        self.operating = False
        self.edited_orders: set[str] = set()
        self._rows: dict[int, sqlite3.Row] = {}
        self._polls: tuple[Any, ...] = ()
        self._outcomes: dict[tuple[int, int], str | None] = {}
        self._denied: dict[tuple[str, str], float] = {}
        self._resting: dict[tuple[str, str], float] = {}
        self.pushes = 0
        self.witness = Witness(world)
        self.causes = Causes(world)
        world.mpw.on_made = self.on_made
        world.mpw.on_receipt = self.on_receipt
        self._quiet_since: Counter[str] | None = None
        self._patched_before: Counter[str] = Counter()

    def note_shape(self) -> None:
        """Count what sort of world this is."""
        world = self.world
        self.reached["two daemons"] += len(world.processes) > 1
        self.reached["a hold"] += bool(world.held)
        self.reached["burst"] += world.people.bursts
        if "skewed" in world.habits:
            self.reached["MPservices' clock off" if abs(world.skew) > FAR else "MPW's clock off"] += 1

    # ------------------------------------------------------------------ at every request

    def before_write(self, actor: Actor, name: str, call: Call) -> None:
        """Rule 1: no write leaves unless its attempt row is durably committed; and nothing but the frozen bytes."""
        self._clock_is_right(actor, name)
        for key in key_of(name, call):
            row = self._sending(OPERATIONS[name], name, key, call)
            if row is None:
                raise Violation(f"rule 1: {name} {key} is sent without a committed attempt")
            if row["n"] is None or row["outcome"] is not None:
                raise Violation(f"rule 1: {name} {key} is sent, but its attempt {row['n']} is {row['outcome']}")
            if row["operation"] == "post_transfer" and row["ambiguous"]:
                raise Violation(f"rule 6: transfer {row['api_key']} is sent again while nobody knows what became of it")
            self._asked_to_wait(name, key)
            if row["operation"] == "patch_stock":
                stock = Decimal(json.loads(row["payload"])["new_stock"])
                asks = self.witness.follows(key, stock, json.loads(row["facts"] or "{}").get("follows"))
                self.reached["follow-up patch"] += asks
                self.witness.before_patch(actor, key, stock, asks=asks)

    def _clock_is_right(self, actor: Actor, name: str) -> None:
        """Nothing is sent by a clock that is off by more than ten minutes, once the vendors could have told."""
        process, now = actor.process, self.world.kernel.time
        known = now - max(process.ahead_since, process.booted_at) > TOLD_SECONDS
        if abs(process.offset + process.ahead) > WRONG_SECONDS and known and "skewed" not in self.world.habits:
            raise Violation(
                f"{name} is sent by {actor.process.name}, whose clock is off by {process.ahead / 60:.0f} min"
            )

    def denied(self, actor: Actor, name: str, call: Call, seconds: float, *, write: bool) -> None:
        """Note that a vendor asked to wait: this hand with all it wants of it, and every hand with this very write."""
        until = self.world.kernel.time + seconds
        self._resting[actor.name, name.partition(".")[0]] = until
        for key in key_of(name, call) if write else ():
            self._denied[name, key] = until

    def may_call(self, actor: Actor, name: str) -> None:
        """Retry-After is obeyed by who was told, for reads as for writes."""
        left = self._resting.get((actor.name, name.partition(".")[0]), 0.0) - self.world.kernel.time
        if left > 0:
            raise Violation(f"{name} is called {left:.0f} s before Retry-After, by {actor.name}, who was asked to wait")

    def _asked_to_wait(self, name: str, key: str) -> None:
        """No other hand sends it either; a daemon whose clock is stepped forward cannot know better."""
        until = self._denied.get((name, key), 0.0)
        if self.world.kernel.time < until and not self.reached["clock_step"]:
            raise Violation(f"{name} {key} is sent again {until - self.world.kernel.time:.0f} s before Retry-After")

    def _sending(self, operation: str, name: str, key: str, call: Call) -> sqlite3.Row | None:
        query = (
            "select o.*, a.n, a.outcome, a.sent_key, e.sent_cost from outbox o "
            "left join attempts a on a.outbox_id = o.id and a.n = o.tries "
            "left join echoes e on e.outbox_id = o.id and e.n = o.tries "
            "where o.operation = ? and o.state in ('sending', 'unknown')"
        )
        for row in self.world.raw.execute(query, (operation,)):
            if operation == "patch_stock":
                fields = {k: str(v) for k, v in json.loads(row["payload"]).items()}
                sent = {k: v[0] for k, v in parse_qs(call.body.decode()).items()}
                cost = Decimal(sent["new_cost"])
                marked = row["sent_cost"] is not None and cost == Decimal(row["sent_cost"]).scaleb(-6)
                if (
                    marked
                    and cut(cost) == cut(Decimal(fields["new_cost"]))
                    and sent == fields | {"new_cost": plain(cost)}
                ):
                    return row  # type: ignore[no-any-return]
            elif operation == "approve":
                if json.loads(row["payload"])["purchase_order_number"] == key:
                    return row  # type: ignore[no-any-return]
            elif operation == "post_transfer":
                if row["payload"].encode() in call.body:
                    return row  # type: ignore[no-any-return]
            elif key in (row["sent_key"], row["api_key"]):
                return row  # type: ignore[no-any-return]
        return None

    def after_effect(self, name: str, call: Call, status: int) -> None:
        """Look at what a write did at the vendor."""
        if self.world.mpw.overwritten:
            raise Violation(f"a person's correction of {self.world.mpw.overwritten[0]} was overwritten")
        if status == 200 and name == "mpw.transfer":
            inner = json.loads(call.body)["inventory_transfer"]
            if self.world.mpw.transfers[str(inner["part_number"]), str(inner["quantity"])] > 1:
                raise Violation(f"a transfer took effect twice: {inner}")
        if status != 200 or name == "mpw.approve":
            self.causes.refused(name, call)
        self.reached[f"{name} {status}"] += 1

    def on_made(self, kind: str, key: str, quantity: Decimal) -> None:
        """One effect per event: nothing is made beyond what the event says, nor for what is not an event."""
        parent = key.rsplit("_s", 1)[0] if "_s" in key else key
        if parent in self.world.mps.echoes:
            raise Violation(f"an echo was forwarded to MPW as {kind} {key}")
        wanted = self.expected(kind, parent)
        if wanted is None:
            raise Violation(f"{kind} {key} was made in MPW, and there is no such event")
        made = self.made(kind, parent)
        if made > max(wanted, *self._said_before(kind, parent), wanted):
            raise Violation(f"{kind} {parent} took effect twice: {made} instead of {wanted}")

    def on_receipt(self, key: str, values: Mapping[str, object]) -> None:
        """MPW is told what people keyed in, and nothing of the marks by which we know our own patches."""
        line = self.world.mps.line_of(key)
        if line is None or (self.world.mps.total and self.world.policy.cost_is == "unit"):
            return  # where the setting is wrong, what people keyed in is misread until an echo shows it
        if key in self.world.misread:
            return  # it was sent while the setting was wrong, and is sent again as it was: a person is asked about it
        factor = self.world.people.factor(str(line.product.external_id))
        wanted, told = cut(self.world.mps.unit_cost_shown(line)) / factor, Decimal(str(values["unit_cost"]))
        if abs(told - wanted) > MILLIONTH * (1 if factor > 1 or self.world.mps.total else 0):
            raise Violation(f"a mark reached MPW: receipt {key} costs {told} instead of {wanted}")

    def _said_before(self, kind: str, key: str) -> list[Decimal]:
        """Return what a corrected movement said before, in MPW's units."""
        item = self.world.mps.events.get((kind, event_of(key)), ("", ZERO))[0]
        return [ZERO, *(old * self.world.people.factor(item) for old in self.world.mps.before[kind, event_of(key)])]

    def expected(self, kind: str, key: str) -> Decimal | None:
        """Return an event's quantity in MPW's units, None where nobody made such an event."""
        mps = self.world.mps
        found = mps.events.get((kind, event_of(key))) or mps.withdrawn.get((kind, event_of(key)))
        if found is not None:
            return found[1] * self.world.people.factor(found[0])
        fields = self.world.people.docs.get((kind, key))
        return None if fields is None else Decimal(fields["quantity_received" if kind == "receipt" else "quantity"])

    def made(self, kind: str, key: str) -> Decimal:
        """Return how much our calls ever made under an event's key and its parts' keys."""
        parts = (
            n
            for (k, name), n in self.world.mpw.made.items()
            if k == kind and (name == key or name.startswith(f"{key}_s"))
        )
        return sum(parts, Decimal(0))

    # ------------------------------------------------------------------ after every commit

    def after_commit(self, actor: Actor | None) -> None:
        """Hold every changed row to the drawing and the ten invariants."""
        flying: Counter[str] = Counter()
        rows = self.world.raw.execute(f"select {WATCHED} from outbox").fetchall()
        if lost := self._rows.keys() - {row["id"] for row in rows}:
            raise Violation(f"rule 10: the rows {sorted(lost)} of the outbox are gone")
        for row in rows:
            before = self._rows.get(row["id"])
            if row["state"] in ("sending", "unknown"):
                flying[row["entity_key"]] += 1
            if before is None:
                self.reached[f"new {row['operation']}"] += 1
                taken = row["api_key"] in self.world.people.taken.keys() | self.world.people.strangers
                if row["state"] not in ("held", "ready") and not (row["state"] == "dead" and taken):
                    self._fail(row, f"was born {row['state']}")
            elif tuple(before) != tuple(row):
                self._changed(actor, before, row)
            self._rows[row["id"]] = row
        for entity, count in flying.items():
            if count > 1:
                raise Violation(f"rule 2: {count} rows of {entity} are in flight")
        self.causes.look()
        self._leads(actor)
        self.witness.after_commit(operating=self.operating)

    def _changed(self, actor: Actor | None, before: sqlite3.Row, row: sqlite3.Row) -> None:
        was, now = before["state"], row["state"]
        attempt = self.world.raw.execute(
            "select * from attempts where outbox_id = ? and n = ?", (row["id"], row["tries"])
        ).fetchone()
        outcome = attempt["outcome"] if attempt is not None else None
        if was == now in ("ready", "unknown"):
            self.reached[f"{was}->{now}"] += 1
        if was != now:
            self.reached[f"{was}->{now} {outcome if was == 'sending' else ''}".strip()] += 1
            self.world.kernel.log(
                "   ", f"outbox {row['id']} {row['operation']} {row['api_key']}: {was} -> {now} ({outcome})"
            )
        if row["fence"] < before["fence"]:
            self._fail(row, "rule 3: the fence went back")
        told = self._outcomes.setdefault((row["id"], row["tries"]), outcome)
        if told is not None and outcome != told and "pruned_on" not in row["payload"]:
            self._fail(row, f"rule 3: its attempt {row['tries']} has ended as {told}, and now as {outcome}")
        self._outcomes[row["id"], row["tries"]] = outcome
        if before["tries"] and before["payload"] != row["payload"]:
            self._rewritten(row)
        if now == "dead" != was:
            self.causes.dead(row)
        if now == "done" and not row["evidence"]:
            self._fail(row, "rule 9: done without evidence")
        if now == "superseded" and row["tries"]:
            self._fail(row, "rule 7: superseded though it was sent")
        if self.operating:
            return
        if now == "done" != was and not self.truly_done(row):
            self._fail(row, f"rule 9: done, and its effect is not there: {row['evidence']}")
        may_rise = was == "dead" and (self._is_taken_back(row) or self._is_there_after_all(row))
        if was != now and now not in LEGAL[was] and not may_rise:
            self._fail(row, f"{was} -> {now} is not in the drawing")
        if now == was == "sending" and row["fence"] != before["fence"]:
            self._fail(row, "rule 3: claimed while somebody else is sending it")
        if now == "sending" and was == "ready":
            self.pushes += 1
            self.causes.claimed(row["id"])
            self._claimed(before, row, attempt)
        if was == "sending" and now != "sending":
            self._answered(actor, before, row, outcome)
        if was == "unknown" and now == "ready":
            self._found_absent(actor, before, row)

    def _is_taken_back(self, row: sqlite3.Row) -> bool:
        """A dead push is dropped, as a person would do, by the delete of its key that is done: nothing wants it."""
        query = "select 1 from outbox where operation = ? and api_key = ? and state = 'done'"
        delete = str(row["operation"]).replace("post_", "delete_")
        found = self.world.raw.execute(query, (delete, row["api_key"])).fetchone()
        return bool(row["state"] == "discarded" and delete != row["operation"] and found)

    def _is_there_after_all(self, row: sqlite3.Row) -> bool:
        """A dead post whose row a poll has seen later is done (ADR 0006): that very row stands in MPW under its key.

        So it is where MPW hid a warehouse, refused the receipt, and shows an equal one under its key afterwards.
        """
        kind = str(row["operation"]).removeprefix("post_")
        return row["state"] == "done" and kind in ("receipt", "issuance") and self._alive(kind, row["api_key"])

    def _rewritten(self, row: sqlite3.Row) -> None:
        """Rule 10: only a done row's payload is forgotten, its key and its evidence never are."""
        if row["state"] != "done" or "pruned_on" not in row["payload"]:
            self._fail(row, "rule 10: the payload of a sent row changed")
        if not row["api_key"] or not row["evidence"]:
            self._fail(row, "rule 10: a pruned row has lost its key or its evidence")

    def _claimed(self, before: sqlite3.Row, row: sqlite3.Row, attempt: sqlite3.Row | None) -> None:
        if row["fence"] != before["fence"] + 1 or row["tries"] != before["tries"] + 1:
            self._fail(row, "rule 3: a claim raises fence and tries by one")
        if attempt is None or attempt["fence"] != row["fence"] or attempt["outcome"] is not None:
            self._fail(row, "rule 1: claimed without an attempt row")

    def _answered(self, actor: Actor | None, before: sqlite3.Row, row: sqlite3.Row, outcome: str | None) -> None:
        now = row["state"]
        mine = actor is not None and before["lease_owner"] == self._owner(actor)
        if not mine and now != "unknown":
            self._fail(row, f"rule 4: sending -> {now} by somebody who did not send it")
        if not mine and actor is not None and before["lease_until"] > self._now(actor):
            self._fail(row, "rule 4: rescued before its lease ended")
        if not mine:
            self.reached["rescued"] += 1
        if now == "ready" and outcome in PROVABLY_NOTHING:
            if before["ambiguous"]:
                self._fail(row, f"rule 5: {outcome} cleared an ambiguity")
            if row["attempts"] != before["attempts"]:
                self._fail(row, f"rule 8: {outcome} used up an attempt")
        if now == "unknown" and not row["ambiguous"]:
            self._fail(row, "rule 5: unknown and not ambiguous")
        if now == "ready" and outcome in ("unknown", None):
            self._fail(row, "rule 4: an unclear call became ready")

    def _found_absent(self, actor: Actor | None, before: sqlite3.Row, row: sqlite3.Row) -> None:
        if row["operation"] == "post_transfer":
            self._fail(row, "rule 6: an ambiguous transfer became ready by itself")
        if row["operation"] not in ("post_receipt", "post_issuance", "patch_stock") or actor is None:
            return
        if row["remote_id"] if "remote_id" in row.keys() else None:  # noqa: SIM118
            return
        landed = "select 1 from attempts where outbox_id = ? and n = ? and outcome = 'landed'"
        if self.world.raw.execute(landed, (row["id"], row["tries"])).fetchone():
            return  # it was answered: nothing of it can land late
        parts = self.world.raw.execute(
            "select count(*) from issuance_parts where outbox_id = ? and state = 'done'", (row["id"],)
        ).fetchone()[0]
        if not parts and before["last_sent_at"] is not None:
            clock = SimClock(self.world.kernel, actor.process if len(self.world.processes) == 1 else None)
            sure = instant_text(clock.now() - self.world.policy.late_arrival)
            if before["last_sent_at"] > sure:
                self._fail(row, f"ready again {before['last_sent_at']}: a call of its own may still land")

    def _leads(self, actor: Actor | None) -> None:
        """What only the leader writes (runs, feeds, days) changes in a leader's transaction alone."""
        raw = self.world.raw
        polls = tuple(
            raw.execute(
                "select (select coalesce(max(id), 0) from runs), "
                "(select count(ended_at) from runs where error is null), "
                "(select max(last_read_at) from coverage)"
            ).fetchone()
        )
        if polls != self._polls and actor is not None and self._polls:
            lease = raw.execute("select * from leases where name = 'leader'").fetchone()
            if lease is None or lease["owner"] != self._owner(actor):
                raise Violation(f"{self._owner(actor)} wrote as leader, and {lease and lease['owner']} leads")
            if lease["expires_at"] <= self._now(actor) and len(self.world.processes) > 1:  # else a file's lock decides
                raise Violation(f"{self._owner(actor)} wrote as leader after its lease had ended")
        self._polls = polls

    def _owner(self, actor: Actor) -> str:
        return f"{actor.process.name}:{actor.epoch}"

    def _now(self, actor: Actor) -> str:
        """Return what its leases go by: the server's clock, on SQLite the machine's."""
        alone = len(self.world.processes) == 1
        return instant_text(SimClock(self.world.kernel, actor.process if alone else None).now())

    def _fail(self, row: sqlite3.Row, what: str) -> None:
        raise Violation(f"outbox {row['id']} {row['operation']} {row['api_key']}: {what}")

    # ------------------------------------------------------------------ what is there

    def has_vanished(self, kind: str, key: str) -> bool:
        """Tell whether MPW answered perfectly for it, or for a part of it, and did not keep that."""
        gone = [name for of, name in self.world.mpw.chronicle.vanished if of == kind]
        return any(name == key or name.startswith(f"{key}_s") for name in gone)

    def truly_done(self, push: sqlite3.Row) -> bool:
        """Tell whether a push took effect, as a person who looks would see it."""
        operation, key = push["operation"], push["api_key"]
        if operation == "post_transfer":
            fields = json.loads(push["payload"])
            return self.world.mpw.transfers[str(fields["part_number"]), str(fields["quantity"])] > 0
        if operation in ("post_receipt", "post_issuance"):
            kind = operation.removeprefix("post_")
            made, wanted = self.made(kind, key), self.expected(kind, key)
            if self.world.people.taken.get(key):
                return made == 0  # an equal one is there already
            if self.has_vanished(kind, key):
                return True  # as the answer said, which was perfect
            return made == wanted or made in self._said_before(kind, key)[1:]
        if operation == "post_inventory":
            return push["api_key"] in self.world.mpw.parts_by_key and key not in self.world.people.taken
        if operation == "approve":
            number = json.loads(push["payload"])["purchase_order_number"]
            order = self.world.mpw.orders[int(number)]
            return order.status == "Ordered" or self.world.mpw.approvals[number] > 0
        if operation in ("delete_receipt", "delete_issuance"):
            return not self._alive(operation.removeprefix("delete_"), key)
        if operation == "patch_stock":
            fields = json.loads(push["payload"])
            wanted = fields["external_id"], Decimal(fields["new_stock"]), cut(Decimal(fields["new_cost"]))
            if any((item, stock, cut(cost)) == wanted for item, stock, cost in self.world.mps.patched):
                return True
            nothing = any((item, stock, cut(cost)) == wanted for item, stock, cost in self.world.mps.did_nothing)
            return nothing and not self._had_to_move(push["id"], wanted[0])
        return True

    def _had_to_move(self, outbox_id: int, item: str) -> bool:
        """Tell whether a patch had to make a movement, by all that anybody knew: one that made none is not done.

        Nobody can tell where no stock was believed, or the one that it set, or where the item was moved meanwhile.
        """
        query = "select believed_quantity, new_stock, claimed_seq from echoes where outbox_id = ? order by n desc"
        last = self.world.raw.execute(query, (outbox_id,)).fetchone()
        if last is None or last["believed_quantity"] is None or self.world.mpw.chronicle.moved_oddly[item]:
            return False
        by = Decimal(abs(last["believed_quantity"] - last["new_stock"])).scaleb(-6)
        query = "select 1 from movement_lines where external_id = ? and seen_seq > ?"
        moved = self.world.raw.execute(query, (item, last["claimed_seq"])).fetchone()
        return moved is None and by > self.world.mps.keeps_stock.unit

    # ------------------------------------------------------------------ at the end

    def unsettled(self) -> list[str]:
        """Return what has not met yet."""
        world, left = self.world, []
        for row in world.raw.execute(
            "select * from outbox where state in ('held', 'ready', 'sending', 'unknown', 'dead')"
        ):
            left.append(
                f"outbox {row['id']} {row['operation']} {row['api_key']} is {row['state']}: {row['last_error']}"
            )
        for row in world.raw.execute("select * from exceptions where resolved_at is null"):
            if self.causes.may_stay(row):
                continue
            left.append(f"exception {row['kind']} {row['subject']}: {row['detail']}")
        theirs = world.mps.no_events()
        for row in world.raw.execute("select * from parked"):
            if row["api_key"] in theirs - world.mps.echoes:
                continue  # what no external id names waits for ever, and is told
            left.append(f"parked {row['kind']} {row['api_key']}: {row['reason']}")
        for row in world.raw.execute("select * from inbox where state not in ('accepted', 'rejected')"):
            left.append(f"inbox {row['document_type']} {row['api_key']} is {row['state']}")
        for item in world.people.items:
            here = sum((world.mpw.stock(item, name) for name in world.people.warehouses), Decimal(0))
            here, there = here / world.people.factor(item), world.mps.stock(item)
            rest = world.mps.keeps_stock.unit if "rounds_stock" in world.habits else MILLIONTH
            if is_patched(world, item) and abs(here - there) > (rest if here != int(here) or rest > 1 else 0):
                left.append(f"{item}: MPW has {here}, MPservices {there}")
        return left + self._events_left() + self._ledger_differs() + costs_differ(world)

    def _events_left(self) -> list[str]:
        left = []
        voided = {key for kind, key in self.world.people.docs if kind == "void"}
        for kind, key in self.world.mps.events:
            made, wanted = self.made_of_movement(kind, key), self.expected(kind, key)
            if made != wanted and (kind, key) not in self.world.people.kept:
                left.append(f"{kind} {key}: {made} of {wanted} reached MPW")
        for kind, key in self.world.mps.withdrawn:
            if self._alive(kind, key) and (kind, key) not in self.world.people.kept and not self._kept(kind, key):
                left.append(f"{kind} {key} was deleted at MPservices, and is in MPW")
        for (kind, key), _ in self.world.people.docs.items():
            if kind in ("receipt", "issuance"):
                made, wanted = self.made(kind, key), self.expected(kind, key)
                alive = self._alive(kind, key)
                if key in voided and alive and not self._kept(kind, key):
                    left.append(f"{kind} {key} was voided and is in MPW")
                taken = key in self.world.people.taken
                if key not in voided and made != (0 if taken else wanted):
                    left.append(f"{kind} {key}: {made} of {wanted} reached MPW")
            elif kind == "transfer":
                row = self.world.raw.execute(
                    "select * from outbox where operation = 'post_transfer' and api_key = ?", (key,)
                ).fetchone()
                if row is None:
                    left.append(f"transfer {key} was never derived")
            elif kind == "po_approval":
                number = self.world.people.docs[kind, key]["purchase_order_number"]
                status = self.world.mpw.orders[int(number)].status
                if self.world.mpw.approvals[number] > 1:
                    raise Violation(f"order {number} was approved twice")
                if status != "Ordered" and number not in self.edited_orders:
                    left.append(f"order {number} is {status}")
        return left

    def made_of_movement(self, kind: str, key: str) -> Decimal:
        """Return what MPW has of a movement; of a corrected one, what is left of it and of its later versions."""
        mpw = self.world.mpw
        if not self.world.mps.before[kind, key] or self._was_read_once(kind, key):
            return self._made_anew(key) if kind == "receipt" and self.world.restated else self._made_in_all(kind, key)
        if kind == "receipt":
            return sum((row.received for name, row in mpw.receipt_by_key.items() if event_of(name) == key), ZERO)
        rows = [row for name, rows in mpw.issuances_by_key.items() for row in rows if self._is_version(name, key)]
        return sum((row.quantity for row in rows), ZERO)

    def _made_in_all(self, kind: str, key: str) -> Decimal:
        """Return how much was made of an event under whatever key: what was taken back unsent goes as `key_c2`."""
        parents = {
            name.rsplit("_s", 1)[0] if "_s" in name else name for one, name in self.world.mpw.made if one == kind
        }
        return sum((self.made(kind, name) for name in {key, *parents} if event_of(name) == key), ZERO)

    def _was_read_once(self, kind: str, key: str) -> bool:
        """Tell whether a movement was read as one thing only: people corrected it before, or nobody has seen it yet."""
        filed = "select count(*) from ledger_entries where system = 'mpservices' and kind = ? and api_key = ?"
        return bool(self.world.raw.execute(filed, (kind, key)).fetchone()[0] == 1)

    def _made_anew(self, key: str) -> Decimal:
        """Return what we made of a receipt: where its cost was put right, as `key_c2`, and what is left of it before.

        Of the one before nothing may be left: a DELETE of ours took it back, or a person had deleted it already.
        """
        mpw = self.world.mpw
        made = [(name, of) for (kind, name), of in mpw.made.items() if kind == "receipt" and event_of(name) == key]
        last = max((name for name, _ in made), key=len, default=key)
        return sum((of for name, of in made if name == last or name in mpw.receipt_by_key), ZERO)

    @staticmethod
    def _is_version(name: str, key: str) -> bool:
        return event_of(name.rsplit("_s", 1)[0] if "_s" in name else name) == key

    def _alive(self, kind: str, key: str) -> bool:
        mpw = self.world.mpw
        if kind == "receipt":  # what another program has under the key, with other content, is not ours to take back
            others = self.world.people.taken.get(key) is False and not self.made(kind, key)
            return key in mpw.receipt_by_key and not others
        rows = [row for name, rows in mpw.issuances_by_key.items() if self.belongs(name, key) for row in rows]
        if key in self.world.people.strangers:
            rows = [row for row in rows if f"[{key}" in (row.description or "")]
        return bool(rows)

    @staticmethod
    def belongs(name: str, key: str) -> bool:
        """Tell whether a key is an issuance's own, or that of a part of it."""
        return name == key or name.startswith(f"{key}_s")

    def _kept(self, kind: str, key: str) -> bool:
        """A receipt of which parts are used cannot be deleted: MPW refuses, and a person was told."""
        receipt = self.world.mpw.receipt_by_key.get(key) if kind == "receipt" else None
        return receipt is not None and receipt.used

    def _ledger_differs(self) -> list[str]:
        raw, mpw, left = self.world.raw, self.world.mpw, []
        mine: dict[tuple[str, str], int] = defaultdict(int)
        for row in raw.execute(
            "select system, remote_id, kind, api_key, sum(quantity) as q from ledger_entries "
            "where system <> 'erp' group by 1, 2, 3, 4"
        ):
            name = f"{row['kind']} {row['remote_id']}" if row["system"] == "mpw" else str(row["api_key"])
            mine[row["system"], name] += row["q"]
        first = self.world.policy.start_date
        true: dict[tuple[str, str], int] = defaultdict(int)
        for receipt in mpw.receipt_by_id.values():
            if receipt.listed and receipt.created_on >= first:
                true["mpw", f"receipt {receipt.id}"] += int(receipt.received * 1_000_000)
        for issuance in mpw.issuance_by_id.values():
            if issuance.created_on >= first:
                true["mpw", f"issuance {issuance.id}"] -= int(issuance.quantity * 1_000_000)
        for (kind, key), (_, quantity) in self.world.mps.events.items():
            true["mpservices", key] += int(quantity * 1_000_000) * (1 if kind == "receipt" else -1)
        theirs = self.world.mps.no_events()
        names = {name for name in mine.keys() | true.keys() if name[1] not in theirs}
        for entry in sorted(names):
            if mine.get(entry, 0) != true.get(entry, 0):
                left.append(f"ledger {entry}: {mine.get(entry, 0) / 1e6:g}, truth {true.get(entry, 0) / 1e6:g}")
        return left

    # ------------------------------------------------------------------ nothing feeds itself

    def bounded(self) -> None:
        """The number of patches of an item is bounded by what people did to it, whatever is believed."""
        chronicle = self.world.mpw.chronicle
        for item in self.world.people.items:
            struck = len(chronicle.struck["mpservices.patch_stock", item])
            most = PATCHES_MORE + PATCHES_EACH * (chronicle.touched[item] + struck)
            if self._patches(item) > most:
                raise Violation(f"{item} feeds itself: {self._patches(item)} patches, and people did {most} things")
            if self._quiet_since is None:
                continue
            acts = chronicle.touched[item] - self._quiet_since[item] + self.world.people.resolutions
            late = self._patches(item) - self._patched_before[item]
            if late > PATCHES_MORE + PATCHES_EACH * acts:
                raise Violation(f"{item} feeds itself: {late} patches since people went home")

    def _patches(self, item: str) -> int:
        query = "select count(*) from outbox where operation = 'patch_stock' and item = ? and tries > 0"
        return int(self.world.raw.execute(query, (item,)).fetchone()[0])

    def people_go_home(self) -> None:
        """Count from now on what is patched though nobody does anything."""
        self._quiet_since = Counter(self.world.mpw.chronicle.touched)
        self._patched_before = Counter({item: self._patches(item) for item in self.world.people.items})

    def pushes_so_far(self) -> int:
        """Return the number of the last push."""
        return int(self.world.raw.execute("select coalesce(max(id), 0) from outbox").fetchone()[0])

    def waiting_items(self) -> set[str]:
        """Return the items that are to be compared again."""
        query = "select external_id from item_states where dirty_at is not null"
        return {row["external_id"] for row in self.world.raw.execute(query)}

    def pushed_since(self, after: int) -> set[str]:
        """Return the items whose stock patches were derived since, and the keys of any other push."""
        rows = self.world.raw.execute("select operation, item, api_key from outbox where id > ?", (after,))
        return {row["item"] if row["operation"] == "patch_stock" else row["api_key"] for row in rows}

    def newest(self, after: int) -> str:
        """Return what was derived since, for a person to read."""
        rows = self.world.raw.execute("select operation, api_key, reason from outbox where id > ?", (after,))
        return "; ".join(f"{row['operation']} {row['api_key']}: {row['reason']}" for row in rows)

    def final(self) -> None:
        """What is only looked at once all has met."""
        raw = self.world.raw
        self.bounded()
        if left := raw.execute("select count(*) from outbox where state in ('sending', 'unknown')").fetchone()[0]:
            raise Violation(f"{left} rows are in flight at the end")
        echoes = raw.execute("select api_key from movement_lines where role = 'echo'").fetchall()
        for row in echoes:
            if row["api_key"] not in self.world.mps.echoes:
                raise Violation(f"{row['api_key']} is taken for an echo, and a person made it")


__all__ = ["Oracle", "timedelta"]
