"""What the answers to a probe's steps show of MPW, and the table of what is known beside what is assumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from sync.clients.mpw.wire import read_purchase_orders
from sync.database.engine import Store
from sync.errors import RemoteError
from sync.jobs.reports import view
from sync.learned.rows import learn
from sync.learned.rules import FACTS, Fact
from sync.outbox.rows import Push
from sync.push.operations.payload_fields import fields_of, text
from sync.push.operations.probe import MADE, REFUSED, Shown
from sync.push.refusals import wording
from sync.values.money import plain
from sync.values.systems import MPW
from sync.work.context import Context

ORDERS_BACK = timedelta(days=365)
"""How far back purchase orders are read to see a second page of them."""

NOT_TOLD: Mapping[str, str] = {
    "stock_cut": "told only where decimals of a stock are lost",
    "cost_cut": "told only where decimals of a cost are lost",
    "window_hours": "told by days of reading the feed",
    "window_is": "told by days of reading the feed",
    "page_honoured": "told only by more than one page of purchase orders",
    "description_max": "300 characters came back whole, or none did",
    "cost_decimals": "no decimal was lost, or no movement showed one",
    "stock_decimals": "no decimal was lost, or no movement showed one",
    "clock_skew_seconds": "its clock agrees with ours",
}
"""Why a probe may leave a fact open."""


@dataclass(frozen=True, slots=True)
class Posted:
    """A step that posted: its row at its end, and what GET showed of it before it was deleted."""

    row: Push
    shown: tuple[Shown, ...] = ()

    @property
    def made(self) -> bool:
        """Whether MPW showed what it was to make."""
        return (self.row.evidence or "").startswith(MADE)

    @property
    def refused(self) -> str | None:
        """What MPW said where it refused the step and made nothing."""
        evidence = self.row.evidence or ""
        return evidence.removeprefix(REFUSED) if evidence.startswith(REFUSED) else None

    @property
    def wording(self) -> str:
        """The refusal without what differs from one to the next."""
        fields = fields_of(self.row.payload)
        ignore = [text(fields.get(name)) for name in ("api_key", "part_number", "warehouse_name", "created_on")]
        return wording(self.refused or "", ignore=[*ignore, text(fields.get("description"))])


@dataclass(slots=True)
class Lessons:
    """What MPW's answers showed: by fact, the value and the answer that showed it."""

    found: list[tuple[str, str, str]] = field(default_factory=list)

    def note(self, fact: str, value: str, posted: Posted, told: str) -> None:
        """Keep one."""
        self.found.append((fact, value, f"probe {posted.row.api_key}: {told}"[:500]))


def lessons_of(posted: Mapping[str, Posted]) -> Lessons:
    """Return what the steps teach: each differs from one that was taken in one thing, and its answer is about that."""
    lessons = Lessons()
    plain_one, again = posted.get("issuance"), posted.get("again")
    beyond, fraction, long_one = posted.get("beyond"), posted.get("fraction"), posted.get("description")
    taken = plain_one is not None and plain_one.made
    if plain_one is not None:
        _description(plain_one, lessons)
    if taken and again is not None and again.refused and not (beyond and beyond.wording == again.wording):
        lessons.note("exists_words", again.wording, again, f"the same key again was refused: {again.refused}")
    if taken and beyond is not None and beyond.refused and not (again and again.wording == beyond.wording):
        lessons.note("maximum_words", beyond.wording, beyond, f"more than there is was refused: {beyond.refused}")
    if taken and fraction is not None:
        _fraction(fraction, lessons)
    if long_one is not None:
        _description(long_one, lessons)
    return lessons


def _fraction(posted: Posted, lessons: Lessons) -> None:
    sent = Decimal(str(fields_of(posted.row.payload)["quantity"]))
    if posted.refused is not None:
        lessons.note("fractions_taken", "no", posted, f"{plain(sent)} was refused: {posted.refused}")
    elif posted.shown:
        total = sum((one.quantity for one in posted.shown), Decimal(0))
        value = "yes" if total == sent else "no"
        lessons.note("fractions_taken", value, posted, f"{plain(sent)} is shown as {plain(total)}")


def _description(posted: Posted, lessons: Lessons) -> None:
    """Learn from what came back of a description that ends in the key."""
    if not posted.shown:
        return
    fields = fields_of(posted.row.payload)
    sent, shown = text(fields["description"]), (posted.shown[0].description or "").strip()
    told = f"{len(sent)} characters were sent, and {shown[:60]!r} ({len(shown)}) came back"
    if f"[{text(fields['api_key'])}]" in shown:
        lessons.note("marker_survives", "yes", posted, told)
    elif shown and sent.startswith(shown):
        lessons.note("description_max", str(len(shown)), posted, told)
    else:
        lessons.note("marker_survives", "no", posted, told)


def learn_all(ctx: Context, lessons: Lessons) -> None:
    """Write down what was learnt; a value that contradicts what is known is told as any other is."""
    with ctx.leader_writes() as books:
        for fact, value, evidence in lessons.found:
            learn(books.conn, MPW, fact, value, evidence=evidence, now=books.now)


def learn_paging(ctx: Context) -> str:
    """Read two pages of purchase orders, and return in a few words what that showed."""
    client = ctx.mpw_client()
    last = ctx.policy.day(ctx.clock.now())
    if client is None:
        return "not read: MPW is off or paused"
    try:
        first_rows, page = read_purchase_orders(client.purchase_orders("created_on", last - ORDERS_BACK, last).body)
        if page is None or page.page_count < 2:
            return f"not told: the orders of {ORDERS_BACK.days} days fit one page"
        answer = client.purchase_orders("created_on", last - ORDERS_BACK, last, page=2)
        second_rows, _ = read_purchase_orders(answer.body)
    except RemoteError as error:
        return f"not read: {error.message}"
    first, second = ({one.number for one in rows.rows} for rows in (first_rows, second_rows))
    value = "no" if not second or first & second else "yes"
    told = f"of {page.count} orders on {page.page_count} pages, page=2 showed {len(second - first)} that page 1 did not"
    with ctx.leader_writes() as books:
        learn(books.conn, MPW, "page_honoured", value, evidence=f"probe: {told}", now=books.now)
    return told


@dataclass(frozen=True, slots=True)
class FactRow:
    """A fact beside its assumption. `told`: this probe has shown it, or shown it again."""

    system: str
    fact: str
    value: str | None
    assumed: str
    meaning: str
    evidence: str | None
    differs: bool
    note: str | None


def facts_beside(store: Store, *, since: datetime, assumed: Callable[[Fact], str | None]) -> Sequence[FactRow]:
    """Return every fact: what is known of it, and what docs/assumptions.md assumes while nothing is.

    `assumed` tells the assumption as a value, where it or a setting is one.
    """
    with store.read() as conn:
        known = {(row["system"], row["fact"]): row for row in view(conn, "v_learned", order="system, fact")}
    found = []
    for key, fact in FACTS.items():
        row = known.get(key)
        value = None if row is None else str(row["value"])
        before = assumed(fact)
        differs = value is not None and before is not None and (before == "all" or not fact.same(value, before))
        note = NOT_TOLD.get(fact.name, "nothing showed it") if value is None else None
        if row is not None and row["seen_at"] < since:
            note = "known from before"
        evidence = None if row is None else str(row["evidence"])
        found.append(FactRow(fact.system, fact.name, value, fact.assumed, fact.meaning, evidence, differs, note))
    return found
