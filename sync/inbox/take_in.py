"""Taking in the ERP's documents: each is accepted, or rejected with its reason in its own row."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import structlog
from sqlalchemy import Connection

from sync.database.engine import lock_appends
from sync.database.runs import Counts, end_run, start_run
from sync.inbox.part_rows import mpw_has
from sync.inbox.refusal_rows import MPW_LEADS, Refusals, resolve_accepted
from sync.inbox.rows import (
    ACCEPTED,
    REJECTED,
    SET_ASIDE,
    Taken,
    close_row,
    is_set_aside,
    known_digests,
    known_events,
    near_keys,
    received_rows,
    record_documents,
)
from sync.inbox.rules import STOCK_COST, VOID, ErpDocument, Invalid, read_document
from sync.ledger.books import Books
from sync.ledger.rules import ISSUANCE, RECEIPT
from sync.values.subjects import Subject
from sync.work.context import Context

log = structlog.get_logger("mpsync.inbox")

BATCH = 500
"""Rows decided in one transaction."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """What somebody put in: nothing of it has been checked."""

    document_type: str | None
    api_key: str | None
    payload: str | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of it. `document` None: it could not be read. `new`: it is not known yet.

    `before_cut`: it is dated before the go-live, so that it is recorded and never pushed.
    """

    accepted: bool
    document: ErpDocument | None = None
    new: bool = False
    error: str | None = None
    conflict: bool = False
    before_cut: bool = False


@dataclass(slots=True)
class Judge:
    """Decides documents in their order; one decided a moment ago counts as known.

    `voidable`: the events that voids name and that anything is known of; `near`: keys that begin as the others;
    `in_mpw`: the items that stock is set of and that are parts of MPW's.
    """

    known: dict[tuple[str, str], str] = field(default_factory=dict)
    voidable: set[tuple[str, str]] = field(default_factory=set)
    near: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    in_mpw: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, conn: Connection, documents: Sequence[ErpDocument | Invalid], warehouse: str | None) -> Judge:
        """Load what is known of the documents in a batch."""
        wanted: list[tuple[str, str]] = []
        for one in documents:
            if isinstance(one, ErpDocument):
                wanted.append((one.type, one.remote_id))
                if one.type in (RECEIPT, ISSUANCE):
                    wanted.append((VOID, f"{one.type}:{one.api_key}"))
        voids = {
            (one.text("kind"), one.api_key) for one in documents if isinstance(one, ErpDocument) and one.type == VOID
        }
        voidable = known_events(conn, voids) if voids else set()
        near = {event: near_keys(conn, *event) for event in voids - voidable}
        own = {one.text("external_id") for one in documents if isinstance(one, ErpDocument) and one.type == STOCK_COST}
        in_mpw = mpw_has(conn, own, default_warehouse=warehouse) if own else set()
        return cls(known_digests(conn, wanted), voidable, near, in_mpw)

    def decide(self, one: ErpDocument | Invalid) -> Verdict:
        """Accept a document, or say why not."""
        if isinstance(one, Invalid):
            return Verdict(False, error=one.reason)
        known = self.known.get((one.type, one.remote_id))
        if known == one.digest:
            return Verdict(True, one)
        if known is not None:
            reason = f"{one.type} {one.api_key} was accepted before with other content; use a new api_key"
            return Verdict(False, one, error=reason, conflict=True)
        if one.type == STOCK_COST and one.text("external_id") in self.in_mpw:
            return Verdict(False, error=MPW_LEADS)
        if one.type == VOID:
            event = one.text("kind"), one.api_key
            if event not in self.voidable and event not in self.known:
                known_now = [key for kind, key in self.known if kind == event[0]]
                return Verdict(False, error=_unknown_key(*event, [*self.near.get(event, []), *known_now]))
        if (VOID, f"{one.type}:{one.api_key}") in self.known:
            return Verdict(False, one, error=f"{one.type} {one.api_key} was voided; use a new api_key")
        self.known[one.type, one.remote_id] = one.digest
        ignored = f"not sent, no such field there: {', '.join(one.ignored)}" if one.ignored else None
        return Verdict(True, one, new=True, error=ignored)


def _unknown_key(kind: str, api_key: str, others: Sequence[str]) -> str:
    folded = {key.lower(): key for key in others}
    near = [folded[key] for key in difflib.get_close_matches(api_key.lower(), list(folded), n=3, cutoff=0.8)]
    offered = f" (is {' or '.join(near)} meant?)" if near else ""
    one = f"{'an' if kind == ISSUANCE else 'a'} {kind} {api_key}"
    return (
        f"unknown key: no system knows {one}{offered}, so there is nothing to delete. One that MPW alone "
        "has is known once its day has been read (mpsync backfill): send the void again then"
    )


def inbox_once(ctx: Context) -> Counts:
    """Decide every row that has come in; returns how many were seen, added (new documents) and so on.

    `quarantined` counts the rejected ones.
    """
    total, before_cut = Counts(), 0
    while ctx.due().received and not ctx.stopping():
        counts, recorded_only = _batch(ctx)
        total.add(counts)
        before_cut += recorded_only
        if counts.seen < BATCH:
            break
    if total.seen:
        log.info(
            "inbox.decided",
            accepted=total.added,
            unchanged=total.unchanged,
            rejected=total.quarantined,
            recorded_not_pushed=before_cut,
        )
    return total


def _batch(ctx: Context) -> tuple[Counts, int]:
    """Decide some rows; return the counts, and how many of the new ones are dated before the go-live."""
    with ctx.leader_writes() as books:
        rows = received_rows(books.conn, BATCH)
        if not rows:
            return Counts(), 0
        run_id = start_run(books.conn, "inbox", now=books.now)
        incoming = [Incoming(row.document_type, row.api_key, row.payload) for row in rows]
        verdicts = take_in(books.of_run(run_id), incoming)
        refusals = Refusals()
        for row, verdict in zip(rows, verdicts, strict=True):
            state = ACCEPTED if verdict.accepted else SET_ASIDE if is_set_aside(books.conn, row) else REJECTED
            if verdict.accepted and verdict.document is not None:
                refusals.forget(verdict.document)
            elif state == REJECTED and not verdict.conflict:
                refusals.add(row.id, row.document_type, row.api_key, row.payload, verdict.error or "rejected")
            close_row(
                books,
                row,
                state=state,
                error=verdict.error,
                digest=verdict.document.digest if verdict.document is not None else None,
            )
        refusals.tell(books)
        counts = counted(verdicts)
        end_run(books.conn, run_id, now=books.now, counts=counts)
    return counts, sum(verdict.before_cut for verdict in verdicts)


def take_in(
    books: Books, incoming: Sequence[Incoming], *, before: Mapping[tuple[str, str], str] | None = None
) -> list[Verdict]:
    """Decide documents and record the new ones; verdicts in the order given. Conflicts open an exception.

    `before`: digests of what counts as known beside what the database knows.
    """
    lock_appends(books.conn)  # an import beside the daemon waits here, and then sees what was decided
    documents = [read_document(one.document_type, one.api_key, one.payload) for one in incoming]
    judge = Judge.of(books.conn, documents, books.policy.warehouse)
    judge.known |= before or {}
    cut = books.policy.day(books.policy.push_from)
    verdicts = [_with_cut(judge.decide(one), cut) for one in documents]
    new = [
        Taken(verdict.document, one.payload or "")
        for one, verdict in zip(incoming, verdicts, strict=True)
        if verdict.new and verdict.document is not None
    ]
    record_documents(books, new)
    resolve_accepted(books, (one.document for one in verdicts if one.accepted and one.document))
    for verdict in verdicts:
        if verdict.conflict and verdict.document is not None:
            _report_conflict(books, verdict.document)
    return verdicts


def not_pushed(cut: date) -> str:
    """Return what is said of a document that is dated before the day of the go-live cut."""
    return f"recorded, not pushed: before {cut} (SYNC_PUSH_FROM)"


def _with_cut(verdict: Verdict, cut: date) -> Verdict:
    document = verdict.document
    if not verdict.new or document is None or document.type not in (RECEIPT, ISSUANCE):
        return verdict
    if document.created_on is None or document.created_on >= cut:
        return verdict
    said = [not_pushed(cut), *([verdict.error] if verdict.error else [])]
    return replace(verdict, before_cut=True, error="; ".join(said))


def counted(verdicts: Sequence[Verdict]) -> Counts:
    """Return verdicts as counts: added, unchanged, and rejected as quarantined."""
    return Counts(
        seen=len(verdicts),
        added=sum(verdict.new for verdict in verdicts),
        unchanged=sum(verdict.accepted and not verdict.new for verdict in verdicts),
        quarantined=sum(not verdict.accepted for verdict in verdicts),
    )


def _report_conflict(books: Books, one: ErpDocument) -> None:
    books.open_exception(
        "inbox_conflict",
        about=Subject.row(f"{one.type} {one.api_key}"),
        detail=f"the ERP sent {one.type} {one.api_key} again with other content; the first one stands",
        hint="a correction needs a new api_key and a void of the old one: tell the ERP's people, then resolve this",
    )
