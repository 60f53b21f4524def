"""Every exception, and every dead row, has a cause that the model put there, about that very subject.

What counts as one is looked up in the model's own record (`Chronicle`, the documents of the ERP, the acts of people) at
the commit that opens the exception; of the program's word only the subject is taken.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from sync.database.schema import ledger_entries
from sync.sandbox.app import Call
from sync.sandbox.mpservices import INBOUND, OUTBOUND
from sync.values.keys import movement_key
from tests.simulation.kernel import Violation
from tests.simulation.models import event_of
from tests.simulation.network import key_of

if TYPE_CHECKING:
    import sqlite3

    from tests.simulation.chronicle import Row
    from tests.simulation.world import World

NAMES = {
    "post_receipt": "mpw.post_receipt",
    "post_issuance": "mpw.post_issuance",
    "delete_receipt": "mpw.delete_receipt",
    "delete_issuance": "mpw.delete_issuance",
    "post_inventory": "mpw.post_inventory",
    "post_transfer": "mpw.transfer",
    "approve": "mpw.approve",
    "patch_stock": "mpservices.patch_stock",
    "create_product": "mpservices.create_product",
}
FATAL: Mapping[str, set[str]] = defaultdict(set) | {
    "post_receipt": {"hidden"},
    "post_issuance": {"hidden"},
    "post_transfer": {"hidden", "short"},
    "post_inventory": {"hidden"},
    "delete_receipt": {"used"},
    "approve": {"hidden", "withdrawn"},
}
"""Why a vendor may refuse each operation for good; all else goes by itself, or has an exception of another kind."""

MASS = 5
"""So many rows must be gone at once before anyone speaks of a lost permission (edge cases, "deletes")."""


class Causes:
    """Judges exceptions as they are opened, and again when what they say changes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._judged: set[tuple[int, str]] = set()
        self._claimed: dict[int, float] = {}
        self._first_claimed: dict[int, float] = {}
        self._blamed: set[str] = set()
        """Items that a dead push with a cause is about: a patch of them has to wait."""
        self._denied: dict[str, int] = {}
        self._moved: set[str] = set()
        """Items of which a movement was shown: it says a cost."""
        self._least: dict[str, Decimal] = {}
        """The least that MPW has ever shown of a part in a warehouse."""
        self._received: dict[str, set[int]] = defaultdict(set)
        """Receipts that were shown, by their item: each says a cost."""

    # ------------------------------------------------------------------ what is noted

    def claimed(self, outbox_id: int) -> None:
        """Note the moment of a row's last claim: only what happens after it makes that try unclear."""
        self._claimed[outbox_id] = self.world.kernel.time
        self._first_claimed.setdefault(outbox_id, self.world.kernel.time)

    def struck(self, name: str, call: Call, fault: str, *, write: bool) -> None:
        """Note a fault."""
        chronicle, now = self.world.mpw.chronicle, self.world.kernel.time
        if fault == "unauthorized":
            chronicle.unauthorized[name.partition(".")[0]].append(now)
        if fault and write:
            for key in self.keys(name, call):
                chronicle.struck[name, key].append(now)
                if fault == "cut_body":
                    chronicle.cut.add((name, key))

    def answered(self, name: str, call: Call) -> None:
        """Note what a whole answer showed of costs."""
        if name == "mpservices.movements":
            shown = self.world.mps.shown  # a late one says nothing yet
            lines = [line for move in self.world.mps.all_movements if move.id in shown for line in move.lines]
            self._moved.update(str(line.product.external_id) for line in lines)
        elif name == "mpw.inventories" and "part_number" in call.query:
            part, warehouse = str(call.query["part_number"]), str(call.query["warehouse_name"])
            if (warehouse, part) in self.world.mpw.parts:
                held = self.world.mpw.stock(part, warehouse)
                self._least[part] = min(held, self._least.get(part, held))
        elif name == "mpw.receipts" and "date" in call.query:
            day = self.world.mpw.receipts_by_day.get(date.fromisoformat(call.query["date"]), {})
            for receipt in day.values():
                if receipt.unit_cost > 0 and not receipt.part.warehouse.hidden:
                    self._received[receipt.part.part_number].add(receipt.id)

    def refused(self, name: str, call: Call) -> None:
        """Note why a call had to be refused, as the model stands: a refusal has changed nothing."""
        for key in self.keys(name, call):
            if why := self._why(name, key, call):
                self.world.mpw.chronicle.refused[name, key].add(why)

    @staticmethod
    def keys(name: str, call: Call) -> list[str]:
        """Return the events that a write is about; of a transfer, which has no key, part and quantity."""
        if name == "mpw.transfer":
            inner = json.loads(call.body)["inventory_transfer"]
            return [_transfer(inner)]
        return [key.rsplit("_s", 1)[0] if "_s" in key else key for key in key_of(name, call)]

    def _why(self, name: str, key: str, call: Call) -> str:
        mpw = self.world.mpw
        if name == "mpw.approve":
            order = mpw.orders[int(key)]
            hidden = order.warehouse is not None and order.warehouse.hidden
            return "hidden" if hidden else "withdrawn" if key in self.world.oracle.edited_orders else ""
        if name == "mpw.delete_receipt":
            receipt = mpw.receipt_by_key.get(key)
            return "used" if receipt is not None and receipt.used else ""
        if name not in ("mpw.post_receipt", "mpw.post_issuance", "mpw.transfer", "mpw.post_inventory"):
            return ""
        inner = next(iter(json.loads(call.body).values()))
        if name == "mpw.post_inventory":  # its part is not there yet
            return "hidden" if mpw.warehouses[str(inner["warehouse_name"])].hidden else ""
        part = mpw.parts.get((str(inner["warehouse_name"]), str(inner["part_number"])))
        if part is None or part.warehouse.hidden:
            return "hidden" if part is not None else ""
        if name == "mpw.post_receipt":
            return ""
        if key in self.world.people.strangers:
            return "taken"
        most = part.current.remaining if part.current is not None else Decimal(0)
        return "short" if Decimal(str(inner["quantity"])) > most else ""

    # ------------------------------------------------------------------ judging

    def look(self) -> None:
        """Judge what is new, or says something new, in the queue of exceptions."""
        for row in self.world.raw.execute("select id, kind, subject, detail, facts from exceptions"):
            self.judge(row)

    def judge(self, row: sqlite3.Row) -> None:
        """Raise a Violation for an exception without a cause; each is judged once for what it says."""
        if (row["id"], row["facts"]) in self._judged:
            return
        self._judged.add((row["id"], row["facts"]))
        kind, facts = row["kind"], json.loads(row["facts"])
        self.world.oracle.reached[f"exception {kind}"] += 1
        cause = getattr(self, f"_{kind}", None)
        if cause is None or not cause(row["subject"], facts):
            raise Violation(f"an exception without a cause: {kind} {row['subject']}: {row['detail']}")

    def dead(self, row: sqlite3.Row) -> None:
        """A row is dead only with an exception that says why."""
        query = "select 1 from exceptions where resolved_at is null and json_extract(facts, '$.outbox_id') = ?"
        if self.world.raw.execute(query, (row["id"],)).fetchone() is None:
            raise Violation(f"outbox {row['id']} {row['operation']} {row['api_key']} is dead, and nobody is told")

    # ------------------------------------------------------------------ what may stay

    def may_stay(self, row: sqlite3.Row) -> bool:
        """Tell whether an exception says something that nobody can end: it stays open, with its cause."""
        facts = json.loads(row["facts"])
        return row["kind"] in ("unknown_part", "unmapped_item", "stock_blocked") and self._is_nameless(
            row["subject"], facts
        )

    def _ids_of_nameless(self) -> set[str]:
        """Return the own ids of products of which a movement was shown without an external id."""
        mps = self.world.mps
        return {line.product.item_id for one in mps.all_movements if one.id in mps.nameless for line in one.lines}

    # ------------------------------------------------------------------ each kind

    def _movement_changed(self, subject: str, facts: dict[str, Any]) -> bool:
        """Somebody corrected that very movement."""
        return any(old and self.is_of(key, subject) for (_, key), old in self.world.mps.before.items())

    def _movement_deleted(self, subject: str, facts: dict[str, Any]) -> bool:
        """Somebody deleted that very movement."""
        return any(self.is_of(key, subject) for _, key in self.world.mps.withdrawn)

    def _short_window(self, subject: str, facts: dict[str, Any]) -> bool:
        """The feed lacks something that is younger than its window: somebody deleted it."""
        return bool(self.world.mps.withdrawn)

    def _gap(self, subject: str, facts: dict[str, Any]) -> bool:
        """People deleted all that the feed had shown: nothing tells that from a feed that reaches less far."""
        mps, last = self.world.mps, datetime.fromisoformat(subject.rsplit(" ", 1)[1])
        return bool(mps.withdrawn) and all(one.created_at > last for one in mps.all_movements if one.id in mps.shown)

    @staticmethod
    def is_of(key: str, subject: str) -> bool:
        """Tell whether a key is that of a line of the movement that a subject names."""
        return any(key.startswith(movement_key(word, 1)[:-1]) for word in subject.split() if "-" in word)

    def _unknown_value(self, subject: str, facts: dict[str, Any]) -> bool:
        """Some movement is of that very type: of people's, or of a patch that nobody can tell by its mark."""
        types = {one.type for one in self.world.mps.all_movements} - {INBOUND, OUTBOUND}
        return any(subject.endswith(type) for type in types)

    def _quarantined_row(self, subject: str, facts: dict[str, Any]) -> bool:
        """It is a movement of a type that we do not know."""
        odd = [one.id for one in self.world.mps.all_movements if one.type not in (INBOUND, OUTBOUND)]
        return any(name in subject for name in odd)

    def _push_not_there(self, subject: str, facts: dict[str, Any]) -> bool:
        """MPW did not keep that very row, or somebody deleted it before anyone read it."""
        key = str(facts["api_key"])
        vanished = [name for _, name in self.world.mpw.chronicle.vanished]
        gone = any(key in (name, event_of(name)) or name.startswith(f"{key}_s") for name in vanished)
        touched = self.world.people.deleted_keys
        theirs = key in self.world.people.taken or key in self.world.people.strangers  # and ours was voided unsent
        found = gone or theirs or key in touched or any(name.startswith(f"{key}_s") for name in touched)
        return self._blame(facts, found) if "outbox_id" in facts else found

    def _key_taken(self, subject: str, facts: dict[str, Any]) -> bool:
        """Another program has something else under that very key."""
        key = str(facts["api_key"])
        found = key in self.world.people.taken or key in self.world.people.strangers
        return self._blame(facts, found) if "outbox_id" in facts else found

    def _patch_without_echo(self, subject: str, facts: dict[str, Any]) -> bool:
        """A patch of that very item did nothing, or people had moved its stock to what the patch set, unseen."""
        item = self._item(facts)
        return bool(self.world.mpw.chronicle.moved_oddly[item]) or self._did_nothing(item)

    def _did_nothing(self, item: str) -> bool:
        struck = self.world.mpw.chronicle.struck["mpservices.patch_stock", item]
        return bool(struck) or any(name == item for name, *_ in self.world.mps.did_nothing)

    def _patch_fuse(self, subject: str, facts: dict[str, Any]) -> bool:
        """Its stock at MPservices was moved more than once by what no movement shows, or patches did nothing.

        One act surprises one patch: what its movement shows is believed from then on, and a second surprise is not it.
        """
        item = self._item_of(subject, facts)
        return len(self.world.mpw.chronicle.moved_oddly[item]) > 1 or self._did_nothing(item)

    def _stock_drift(self, subject: str, facts: dict[str, Any]) -> bool:
        """Its stock at MPservices was moved by what no movement shows, or not yet."""
        item = self._item_of(subject, facts)
        return bool(self.world.mpw.chronicle.moved_oddly[item]) or self._did_nothing(item)

    def _cost_is_wrong(self, subject: str, facts: dict[str, Any]) -> bool:
        return "cost_is_wrong" in self.world.habits

    def _cost_restated(self, subject: str, facts: dict[str, Any]) -> bool:
        """Each of the receipts that it names was sent before the setting was put right."""
        return bool(facts["keys"]) and set(facts["keys"]) <= self.world.misread

    def _clock_wrong(self, subject: str, facts: dict[str, Any]) -> bool:
        return bool(self.world.mpw.chronicle.off_clocks) or "skewed" in self.world.habits

    @staticmethod
    def _item_of(subject: str, facts: dict[str, Any]) -> str:
        return str(facts.get("external_id") or subject.removeprefix("mps:"))

    def _credentials(self, subject: str, facts: dict[str, Any]) -> bool:
        """That very system answered 401 since it was paused last."""
        seen = len(self.world.mpw.chronicle.unauthorized[subject])
        newer = seen > self._denied.get(subject, 0)
        self._denied[subject] = seen
        return newer

    # -- of rows that are gone

    def _deleted_in_mpw(self, subject: str, facts: dict[str, Any]) -> bool:
        """Somebody else deleted a row of it, or a permission was lost for as long as a void takes."""
        chronicle, after = self.world.mpw.chronicle, self.world.policy.void_after
        rows = _rows(facts)
        return any(row in chronicle.deleted or chronicle.was_hidden_for(row, after) for row in rows)

    def _mass_disappearance(self, subject: str, facts: dict[str, Any]) -> bool:
        """Each of the rows was truly not shown once, and they are many."""
        rows = _rows(facts)
        return len(rows) >= MASS and all(self._was_gone(row) for row in rows)

    def _was_gone(self, row: Row) -> bool:
        chronicle = self.world.mpw.chronicle
        gone = row in chronicle.deleted | chronicle.taken_back | chronicle.moved
        return gone or chronicle.was_hidden(row)

    # -- of pushes

    def _push_dead(self, subject: str, facts: dict[str, Any]) -> bool:
        """The vendor had to refuse it, and not for what we did ourselves."""
        write, chronicle = self._write(facts), self.world.mpw.chronicle
        known = chronicle.refused[write] & FATAL[facts["operation"]]
        if facts["operation"] == "post_issuance" and write in chronicle.cut:
            known |= chronicle.refused[write]  # "exists" and "too much" are told by their words
        return self._blame(facts, bool(known))

    def _books_differ(self, subject: str, facts: dict[str, Any]) -> bool:
        """Somebody changed or deleted that very event's row in MPW."""
        touched = self.world.mpw.edited | self.world.people.deleted_keys
        return any(event_of(name.rsplit("_s", 1)[0]) == facts["api_key"] for name in touched)

    def _push_conflict(self, subject: str, facts: dict[str, Any]) -> bool:
        """A person changed or deleted what stands under its key, or another program used the key."""
        people, mpw, key = self.world.people, self.world.mpw, str(facts["api_key"])
        touched = mpw.edited | people.deleted_keys
        found = key in touched or any(name.startswith(f"{key}_s") for name in touched)
        return self._blame(facts, found or key in people.taken or key in people.strangers)

    def _push_undecidable(self, subject: str, facts: dict[str, Any]) -> bool:
        """Its last call, or the daemon that made it, was struck; of an issuance any call: no look disproves one."""
        since = self._first_claimed if facts["operation"] == "post_issuance" else self._claimed
        return self._blame(facts, self._is_unclear(facts, since))

    def _push_unknown(self, subject: str, facts: dict[str, Any]) -> bool:
        return self._is_unclear(facts, self._claimed)

    def _not_enough_stock(self, subject: str, facts: dict[str, Any]) -> bool:
        """MPW has shown less of the part than the push asks for, or had to refuse it for that."""
        push = self.world.raw.execute("select * from outbox where id = ?", (facts["outbox_id"],)).fetchone()
        asked, least = json.loads(push["payload"]), self._least.get(str(push["item"]))
        shown = least is not None and least < Decimal(str(asked["quantity"]))
        return shown or "short" in self.world.mpw.chronicle.refused[self._write(facts)]

    def _cost_jump(self, subject: str, facts: dict[str, Any]) -> bool:
        """Something that costs was received, issued or edited: the item's cost is another one."""
        return Decimal(facts["cost"]) > 0

    def _order_changed(self, subject: str, facts: dict[str, Any]) -> bool:
        """Somebody edited that very order."""
        return (self._order(facts) if "outbox_id" in facts else subject) in self.world.oracle.edited_orders

    def _order_unknown(self, subject: str, facts: dict[str, Any]) -> bool:
        return self._order(facts) in self.world.mpw.chronicle.orders_not_shown

    def _is_unclear(self, facts: dict[str, Any], claimed: Mapping[int, float]) -> bool:
        since = claimed.get(facts["outbox_id"])
        return since is not None and self.world.mpw.chronicle.was_disturbed(self._write(facts), since)

    def _write(self, facts: dict[str, Any]) -> tuple[str, str]:
        """Return what a push's calls are known by."""
        operation, key = facts["operation"], str(facts["api_key"])
        if operation == "post_transfer":
            key = _transfer(self.world.people.docs["transfer", key])
        elif operation == "approve":
            key = self._order(facts)
        elif operation == "patch_stock":
            key = self._item(facts)
        return NAMES[operation], key

    def _order(self, facts: dict[str, Any]) -> str:
        return str(self.world.people.docs["po_approval", str(facts["api_key"])]["purchase_order_number"])

    def _item(self, facts: dict[str, Any]) -> str:
        """Return the item that a push is about."""
        key, docs, events = str(facts["api_key"]), self.world.people.docs, self.world.mps.events
        for kind in ("receipt", "issuance", "transfer", "inventory"):
            if (kind, key) in docs:
                return str(docs[kind, key]["part_number"])
            if (kind, key) in events:
                return events[kind, key][0]
        row = self.world.raw.execute("select item from outbox where id = ?", (facts["outbox_id"],)).fetchone()
        return str(row["item"])

    def _blame(self, facts: dict[str, Any], found: bool) -> bool:
        if found and facts["operation"] != "approve":
            self._blamed.add(self._item(facts))
        return found

    # -- of stock and cost

    def _stock_blocked(self, subject: str, facts: dict[str, Any]) -> bool:
        """A push of that very item to MPW is dead, and had a cause; or only its own id was ever shown."""
        return facts["external_id"] in self._blamed or self._is_nameless(subject, facts)

    def _is_nameless(self, subject: str, facts: dict[str, Any]) -> bool:
        named = {subject.removeprefix("mps:").partition(" in ")[0], str(facts.get("external_id"))}
        return bool(named & self._ids_of_nameless())

    def _unmapped_item(self, subject: str, facts: dict[str, Any]) -> bool:
        """A movement of it was shown without its external id."""
        return self._is_nameless(subject, facts)

    def _negative_stock(self, subject: str, facts: dict[str, Any]) -> bool:
        return facts["external_id"] in self.world.mpw.chronicle.overdrawn

    def _unknown_part(self, subject: str, facts: dict[str, Any]) -> bool:
        """MPW was asked about that very part while it hid its warehouse."""
        if self._is_nameless(subject, facts):
            return True
        known = self.world.mpw.chronicle.parts_not_shown
        if subject.startswith("mps:"):
            return any(part == facts["external_id"] for _, part in known)
        part, _, warehouse = subject.partition(" in ")
        return (warehouse, part) in known

    def _unknown_cost(self, subject: str, facts: dict[str, Any]) -> bool:
        """Nothing that the daemons were shown, and that is still there, says what it costs."""
        item, mpw = str(facts["external_id"]), self.world.mpw
        known = [number for number in self._received[item] if number in mpw.receipt_by_id]
        hidden = [number for number in known if mpw.chronicle.was_hidden(("receipt", number))]
        if item not in self._moved and len(hidden) == len(known):
            return True
        return not self._is_priced(item)  # what was shown to a daemon that lost its lead was not taken in

    def _is_priced(self, item: str) -> bool:
        """Tell whether the books say what an item costs; whether they are whole, the end of the run tells."""
        with self.world.inner.read() as conn:
            query = select(ledger_entries.c.id).where(ledger_entries.c.item == item, ledger_entries.c.unit_cost > 0)
            return conn.execute(query.limit(1)).first() is not None

    def _echo_undecided(self, subject: str, facts: dict[str, Any]) -> bool:
        """A person moved that very item, with a movement or without, or the patch was struck.

        Where follow-ups are in question themselves all of the chain are told together: one person's movement is cause
        enough for each.
        """
        query = "select facts from exceptions where kind = 'echo_undecided' and resolved_at is null"
        chain = [json.loads(row["facts"]) for row in self.world.raw.execute(query)]
        chain = [one for one in chain if one["external_id"] == facts["external_id"]]
        asked = {movement for one in (facts, *chain) for movement in one["movements"]}
        mine = [move for move in self.world.mps.all_movements if move.id in asked]
        if any(not move.by_patch for move in mine):
            return True
        if self.world.mpw.chronicle.moved_oddly[str(facts["external_id"])]:
            return True  # what no movement shows, or not yet, came between a patch and its follow-up
        since = self._claimed.get(facts["outbox_id"])
        write = "mpservices.patch_stock", str(facts["external_id"])
        return since is not None and self.world.mpw.chronicle.was_disturbed(write, since)


def _transfer(fields: dict[str, Any]) -> str:
    return f"{fields['part_number']} {Decimal(str(fields['quantity'])).normalize():f}"


def _rows(facts: dict[str, Any]) -> list[Row]:
    kind = str(facts["source"]).removeprefix("mpw.").removesuffix("s")
    return [(kind, int(name)) for name in facts["remote_ids"]]
