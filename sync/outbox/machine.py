"""The outbox: its rows, its states, and the only decisions that move a row from one to another.

Which states a row goes through is drawn in ARCHITECTURE.md; `LEGAL` is every move there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sync.errors import AuthError, RejectedError, RemoteError, RetryableError
from sync.values.backoff import backoff

POST_RECEIPT = "post_receipt"
POST_ISSUANCE = "post_issuance"
APPROVE = "approve"
PATCH_STOCK = "patch_stock"
CREATE_PRODUCT = "create_product"
POST_INVENTORY = "post_inventory"
POST_TRANSFER = "post_transfer"
DELETE_RECEIPT = "delete_receipt"
DELETE_ISSUANCE = "delete_issuance"
PROBE_POST = "probe_post"
PROBE_DELETE = "probe_delete"

RANKS: Mapping[str, int] = {DELETE_RECEIPT: 0, DELETE_ISSUANCE: 0, POST_RECEIPT: 0, POST_ISSUANCE: 1}
"""The order within an item: what brings stock (back) goes before what takes it; the rest is `RANK_OTHERS`."""

RANK_OTHERS = 5

TELL_AFTER = timedelta(days=1)
"""How long a push may be unknown, or wait for stock, before a person is told."""


def rank_of(operation: str) -> int:
    """Return an operation's place in the queue of its entity; lower goes first."""
    return RANKS.get(operation, RANK_OTHERS)


@dataclass(frozen=True, slots=True)
class NewPush:
    """A push as the rules derive it: one effect at a vendor, under one key.

    `payload` is frozen: exactly these bytes are sent, by every attempt. `facts` is what the rules
    knew (JSON-able), `reason` one sentence for people. `state` is 'held' or 'ready'.
    Entity keys: `item:<part number>`, `po:<number>`, `mps:<external_id>` (its stock), and of what creates it
    `product:<external_id>`: a stock patch goes while it is unknown whether the product is there, and tells.
    """

    route: str
    operation: str
    kind: str | None
    api_key: str
    entity_key: str
    item: str | None
    payload: str
    reason: str
    state: str
    rank: int = RANK_OTHERS
    facts: Mapping[str, Any] = field(default_factory=dict)


def product_entity(external_id: str) -> str:
    """Return the entity key of what creates a product."""
    return f"product:{external_id}"


# --- what a try, or a look at the vendor, came to -----------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What came with an answer: status, the vendor's clock, the key the try carried, the operation's own data."""

    status: int | None = None
    answered_at: datetime | None = None
    sent_key: str | None = None
    data: Any = None


@dataclass(frozen=True, slots=True)
class Delivered(Told):
    """The effect is there: `evidence` says how we know, `remote_ids` what it became at the vendor.

    `answered`: we know it from the vendor's answer alone; nobody has read it there yet.
    """

    evidence: str
    remote_ids: tuple[str, ...] = ()
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Refused(Told):
    """The vendor understood and refused, and there is no effect. `kind` and `hint` name the exception."""

    reason: str
    kind: str = "push_dead"
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Conflict(Told):
    """There is something under our key, or of our making, that differs from what we sent."""

    detail: str
    kind: str = "push_conflict"
    hint: str | None = None
    remote_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotSent(Told):
    """Provably nothing happened: never sent, 429, 401. Uses up no attempt.

    `at_once`: nothing speaks against the next try right now (a token that ran out was dropped).
    """

    reason: str
    retry_after: timedelta | None = None
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Unclear(Told):
    """The effect may or may not be there: only evidence settles it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Landed(Told):
    """The vendor said yes, which proves nothing by itself: what it must have made is looked for, and found or not."""

    reason: str


@dataclass(frozen=True, slots=True)
class More(Told):
    """A part of the effect is there or known, the rest goes in further calls: ready again at once."""

    reason: str
    remote_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NoStock(Told):
    """Refused for want of stock, no effect: it waits until stock appears, behind no receipt of its item."""

    reason: str


@dataclass(frozen=True, slots=True)
class BatchRefused(Told):
    """A call for several rows was refused as a whole: each goes again alone, so that one bad row sinks no other."""

    reason: str


Outcome = Delivered | Refused | Conflict | NotSent | Unclear | Landed | More | NoStock | BatchRefused
"""What one call did for one row."""


@dataclass(frozen=True, slots=True)
class Absent:
    """No effect of ours is there, and no call of ours can still land: it may be sent again."""

    detail: str = "not there"


@dataclass(frozen=True, slots=True)
class Later:
    """Nothing can be said yet; look again then."""

    until: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Undecidable:
    """No evidence will come by itself: a person decides, and until then the row stays unknown."""

    detail: str
    hint: str


@dataclass(frozen=True, slots=True)
class Obsolete:
    """No effect is there, and none is wanted any more: discarded."""

    evidence: str


Verdict = Delivered | Conflict | Absent | Later | Undecidable | Obsolete | More
"""What the verifier learned about an unknown row. More: the part in question is there, others are still to be sent."""


# --- the machine --------------------------------------------------------------------------

FINAL = frozenset({"done", "dead", "superseded", "discarded"})
IN_FLIGHT = frozenset({"sending", "unknown"})

LEGAL: Mapping[str, frozenset[str]] = {
    "held": frozenset({"ready", "dead", "superseded", "discarded"}),
    "ready": frozenset({"ready", "sending", "done", "dead", "superseded", "discarded"}),
    "sending": frozenset({"ready", "unknown", "done", "dead"}),
    "unknown": frozenset({"unknown", "ready", "done", "dead", "discarded"}),
    "dead": frozenset({"ready", "unknown", "done", "discarded"}),
    "done": frozenset({"dead"}),
    "superseded": frozenset(),
    "discarded": frozenset(),
}
"""Every move there is. ready → done, dead, discarded: `prepare` found it done, wrong, or unwanted. held, ready → dead
also where the ledger shows that somebody else's row has the key. done → dead: its answer was perfect, and MPW does
not have it, or still has what was deleted (`push_not_there`); nothing else is ever undone."""

TOO_OLD = timedelta(days=7)
"""After a week of calls that came to nothing a person should look. Counted from the first unclear call, so
that neither an outage in which nothing is sent, nor a pause, nor waiting for stock ages a row."""

CHECK_AGAIN_MAX = timedelta(hours=1)
STOCK_WAIT = timedelta(minutes=15)
STOCK_WAIT_MAX = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Retrying:
    """The numbers of the retry policy, with one random number in [0, 1) for this decision."""

    base: timedelta
    random: float


@dataclass(frozen=True, slots=True)
class Standing:
    """What a decision needs to know of a row that is in flight."""

    ambiguous: bool
    failures: int
    """Tries in a row, the last one included, that came to nothing: the exponent of the back-off."""
    failing_since: datetime | None
    """Start of the first unclear try among these; None: all were provably without effect."""
    last_sent_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Transition:
    """A row's next state and what is written with it.

    `outcome` names the try in its attempt row. `counts`: the call may have reached the vendor.
    """

    state: str
    outcome: str
    cause: Any
    due_at: datetime | None = None
    ambiguous: bool | None = None
    counts: bool = False
    last_error: str | None = None
    evidence: str | None = None
    remote_ids: tuple[str, ...] = ()


FAILING = frozenset({"unknown", "not_sent", "429", "401"})
WAITING = frozenset({"no_stock"})


def streak_of(outcome: Outcome | None) -> frozenset[str]:
    """Return which outcomes of earlier tries count as the same kind of failure as this one."""
    return WAITING if isinstance(outcome, NoStock) else FAILING


def is_legal(state: str, to: str) -> bool:
    """Tell whether a row may go from one state to another."""
    return to in LEGAL[state]


def outcome_of(error: RemoteError) -> Outcome:
    """Return what a failed write call means: refused, provably without effect, or unclear."""
    told: dict[str, Any] = {"status": error.status, "answered_at": error.answered_at}
    if isinstance(error, RejectedError):
        return Refused(error.message, hint=error.hint, **told)
    if isinstance(error, AuthError):
        return NotSent(error.message, **told)
    if isinstance(error, RetryableError):
        return NotSent(error.message, retry_after=error.retry_after, at_once=error.status == 401, **told)
    return Unclear(error.message, **told)


def after_answer(row: Standing, outcome: Outcome, *, now: datetime, retrying: Retrying) -> Transition:
    """Decide what becomes of a row in `sending` whose call has ended.

    Ambiguity is sticky: a row that was ever ambiguous does not become ready on a call that
    provably did nothing, but unknown again, so that it is verified before it is sent again.
    """
    match outcome:
        case Delivered():
            return Transition(
                "done", "done", outcome, counts=True, evidence=outcome.evidence, remote_ids=outcome.remote_ids
            )
        case Refused():
            return Transition("dead", "rejected", outcome, counts=True, last_error=outcome.reason)
        case Conflict():
            return _conflict(outcome, counts=True)
        case More():
            return Transition("ready", "partial", outcome, due_at=now, counts=True, remote_ids=outcome.remote_ids)
        case NoStock():
            due = now + stock_wait(row.failures)
            return Transition("ready", "no_stock", outcome, due_at=due, counts=True, last_error=outcome.reason)
        case BatchRefused():
            state = "unknown" if row.ambiguous else "ready"
            return Transition(state, "batch_refused", outcome, due_at=now, counts=True, last_error=outcome.reason)
        case NotSent():
            return _not_sent(row, outcome, now=now, retrying=retrying)
        case Landed():
            return Transition(
                "unknown", "landed", outcome, due_at=now, ambiguous=True, counts=True, last_error=outcome.reason
            )
        case Unclear():
            due = now + backoff(row.failures, base=retrying.base, random=retrying.random)
            return Transition(
                "unknown", "unknown", outcome, due_at=due, ambiguous=True, counts=True, last_error=outcome.reason
            )


def _not_sent(row: Standing, outcome: NotSent, *, now: datetime, retrying: Retrying) -> Transition:
    wait = backoff(row.failures, base=retrying.base, random=retrying.random, retry_after=outcome.retry_after)
    due = now if outcome.at_once and row.failures <= 1 else now + wait
    name = str(outcome.status) if outcome.status in (401, 429) else "not_sent"
    state = "unknown" if row.ambiguous else "ready"
    return Transition(state, name, outcome, due_at=due, last_error=outcome.reason)


WORKER_STOPPED = "the worker stopped between the claim and the answer"
"""What an attempt says that nobody saw the end of; its `ended_at` is when somebody noticed."""


def after_lease_ran_out(*, now: datetime) -> Transition:
    """Decide what becomes of a row in `sending` whose worker is gone: its call may have gone out."""
    return Transition(
        "unknown",
        "unknown",
        Unclear(WORKER_STOPPED),
        due_at=now,
        ambiguous=True,
        counts=True,
        last_error=WORKER_STOPPED,
    )


def after_verification(row: Standing, verdict: Verdict, *, now: datetime, retrying: Retrying) -> Transition:
    """Decide what becomes of an unknown row after a look at the vendor."""
    match verdict:
        case Delivered():
            return Transition("done", "verified", verdict, evidence=verdict.evidence, remote_ids=verdict.remote_ids)
        case Conflict():
            return _conflict(verdict, counts=False)
        case More():
            return Transition("ready", "partial", verdict, due_at=now, remote_ids=verdict.remote_ids)
        case Obsolete():
            return Transition("discarded", "obsolete", verdict, evidence=verdict.evidence)
        case Undecidable():
            due = now + CHECK_AGAIN_MAX
            return Transition("unknown", "undecidable", verdict, due_at=due, last_error=verdict.detail)
        case Later():
            return Transition("unknown", "later", verdict, due_at=max(verdict.until, now), last_error=verdict.reason)
        case Absent():
            return _absent(row, verdict, now=now)


def _conflict(cause: Conflict, *, counts: bool) -> Transition:
    return Transition("dead", "conflict", cause, counts=counts, last_error=cause.detail, remote_ids=cause.remote_ids)


def _absent(row: Standing, verdict: Absent, *, now: datetime) -> Transition:
    if row.failing_since is not None and now - row.failing_since > TOO_OLD:
        reason = f"given up after {TOO_OLD.days} days of calls without an effect"
        return Transition("dead", "too_old", verdict, last_error=reason)
    return Transition("ready", "absent", verdict, due_at=now, last_error=verdict.detail)


def check_again_at(row: Standing, *, now: datetime, retrying: Retrying) -> datetime:
    """Return when to verify again after a check that failed: as long again as it has been open, at most an hour."""
    age = now - (row.last_sent_at or row.created_at)
    wait = min(max(age, retrying.base), CHECK_AGAIN_MAX)
    return now + wait / 2 + wait / 2 * retrying.random


def absence_counts_at(last_sent_at: datetime, late_arrival: timedelta) -> datetime:
    """Return from when on not finding an effect proves that there is none: a call may land late until then."""
    return last_sent_at + late_arrival


def stock_wait(failures: int) -> timedelta:
    """Return how long to wait for stock if nothing tells us of it sooner: 15 minutes, doubling, at most an hour."""
    wait: timedelta = STOCK_WAIT * 2 ** min(max(failures - 1, 0), 10)
    return min(wait, STOCK_WAIT_MAX)
