"""Taking in movements, from the feed or from an export: each line an entry under a key that it keeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Row

from sync.clients.mpservices.wire import Movement, read_movements
from sync.clients.rows import BadRow
from sync.database.engine import lock_appends
from sync.database.exceptions import open_facts
from sync.database.runs import Counts
from sync.ledger.books import Books
from sync.ledger.coverage import MOVEMENTS
from sync.ledger.documents import documents_by_remote_id, insert_documents, update_documents
from sync.ledger.entries import event_entries
from sync.ledger.item_states import forget_bases_between
from sync.ledger.movement_lines import (
    ECHO,
    EVENT,
    UNDECIDED,
    EventKey,
    hold_from_push,
    ids_by_second,
    insert_lines,
    last_places,
    let_push,
    line_key,
    lines_of,
    take_back,
    update_line,
)
from sync.ledger.movement_rules import Line, file_line, kind_of, match_lines
from sync.ledger.quarantine import first_seen, raw_digest, raw_of, release_remote_ids
from sync.ledger.rules import ADJUSTMENT, ISSUANCE, RECEIPT, NewEntry, new_entry
from sync.reconcile.corrections import note_correction
from sync.stock.echo.lessons import learn_from_strange_type, looks
from sync.stock.echo.rows import attempt_before, items_patched, items_with_open_echoes, movements_decided
from sync.stock.echo.rules import Line as EchoLine
from sync.stock.echo.tell import settle_echoes
from sync.stock.facts import ECHO_UNDECIDED
from sync.values.policy import Policy
from sync.values.subjects import Subject
from sync.values.systems import MPSERVICES

UNKNOWN_VALUE = "unknown_value"

NEWER_THAN_ALL = 2**62
"""The number of a movement of which no line is stored; when it was first seen decides whose it may be."""

NOBODYS = -1
"""What was seen before every call of ours is the echo of none."""

FEED = "feed"
IMPORT = "import"
IMPORTED = "mpservices.import"
"""`documents.source` of movements that only an import has shown."""


@dataclass(slots=True)
class Ingested:
    """What taking in movements did. Counts are lines; `bad` are movements that could not be filed.

    `named`: the items that those name by an external id.
    """

    counts: Counts = field(default_factory=Counts)
    bad: list[BadRow] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    readable: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Filed:
    """A movement with its lines as the ledger has them."""

    movement: Movement
    kind: str
    lines: list[Line]


@dataclass(frozen=True, slots=True)
class _Strange:
    """A movement of one line and of a type that no document names: nobody's, unless it is our own echo."""

    movement: Movement
    line: Line


@dataclass(slots=True)
class _Work:
    """What one call writes, gathered so that entries and lines go in together."""

    books: Books
    counts: Counts
    places: dict[datetime, int]
    awaiting: set[str]
    strange: list[_Strange] = field(default_factory=list)
    entries: list[NewEntry] = field(default_factory=list)
    new_lines: list[dict[str, Any]] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    new_events: list[EventKey] = field(default_factory=list)
    seen_events: list[EventKey] = field(default_factory=list)


def as_known(conn: Connection, movements: Sequence[Movement], *, known: Collection[str]) -> list[Movement]:
    """Return movements under the ids by which they are known, where only capital and small letters differ.

    No document says that an id keeps its letters: an export, or a new version of MPservices, may show others, and each
    movement would be posted to MPW once more. `known`: those that are known as they stand. Only an id of the same
    createdAt, its fraction of a second aside where one lacks it, is taken for the same, and none where two are shown
    that are alike: then letters tell movements apart.
    """
    fresh = {one.created_at for one in movements if one.id not in known}
    stored = ids_by_second(conn, fresh) if fresh else {}
    shown = Counter(one.id.lower() for one in movements)

    def named(one: Movement) -> Movement:
        alike = [
            id_
            for id_, at in stored.get(one.created_at.replace(microsecond=0), ())
            if id_.lower() == one.id.lower() and _is_same_moment(at, one.created_at)
        ]
        return replace(one, id=alike[0]) if len(alike) == 1 and shown[one.id.lower()] == 1 else one

    return [named(one) for one in movements]


def ingest_movements(books: Books, movements: Sequence[Movement], *, source: str, push: bool) -> Ingested:
    """Take in movements in this transaction: of the `feed` (newest first) or of an `import` (in file order).

    Lines that are known keep their number, whatever their order now; an added line takes the next.
    An imported movement that the feed has shown is left as the feed showed it, unless a person had it taken back.
    Without `push`, new imported events are recorded only; the feed, or an import with `push`, lets them go.
    """
    lock_appends(books.conn)
    done = Ingested()
    filed, strange = _file_all(movements, books.policy, done)
    if source == FEED:
        filed.reverse()  # older first: places among equal times follow the feed's order
    ids = [*(item.movement.id for item in filed), *(one.movement.id for one in strange)]
    known = documents_by_remote_id(books.conn, MPSERVICES, "movement", ids)
    stored = lines_of(books.conn, (item.movement.id for item in filed))
    work = _Work(
        books,
        done.counts,
        places=last_places(books.conn, {item.movement.created_at for item in filed}),
        awaiting=items_patched(
            books.conn,
            {line.external_id for item in filed for line in item.lines},
            since=books.now - books.policy.window,
        ),
        strange=strange,
    )
    for item in filed:
        _take(item, known.get(item.movement.id), stored.get(item.movement.id, []), source, work)
    _write_new(work)
    if source == IMPORT and not push:
        hold_from_push(books.conn, work.new_events, why="imported without --push")
    else:
        reason = "the feed shows it" if source == FEED else "imported with --push"
        let_push(books, work.seen_events, reason=reason)
    _settle(work, done, known)
    return done


def _settle(work: _Work, done: Ingested, known: Mapping[str, Row[Any]]) -> None:
    """Tell our own echoes from people's movements. One of an unknown type that is not ours is a bad row."""
    candidates: dict[str, list[EchoLine]] = {}
    new = [one for one in work.strange if one.movement.id not in known]
    decided = movements_decided(work.books.conn, ECHO_UNDECIDED) if new else set()
    for one in new:
        if one.movement.id not in decided:
            candidates.setdefault(one.line.external_id, []).append(_as_candidate(work.books.conn, one))
    items = work.touched | items_with_open_echoes(work.books.conn) | set(candidates)
    found = settle_echoes(work.books, items, strange=candidates)
    for one in work.strange:
        if one.movement.id in known:
            done.readable.append(one.movement.id)
            work.counts.unchanged += 1
        elif one.movement.id in found:
            _take_echo(one, found[one.movement.id].quantity, work)
            learn_from_strange_type(work.books, found[one.movement.id])  # its text is kept only now
            done.readable.append(one.movement.id)
        else:
            if first_seen(work.books.conn, MOVEMENTS, one.movement.raw) is None:
                _report_type(work.books, one.movement)  # else it was told when it was first kept
            _refuse(one.movement, _strange_type(one.movement), done)


def _as_candidate(conn: Connection, one: _Strange) -> EchoLine:
    """Return a movement of an unknown type as the rules of the echo know a line: its sign says nothing."""
    since = first_seen(conn, MOVEMENTS, one.movement.raw)
    asked = None if since is None else attempt_before(conn, one.line.external_id, since) or NOBODYS
    line = one.line
    return EchoLine(
        movement_id=one.movement.id,
        n=1,
        api_key="",
        quantity=line.quantity,
        shown=line.shown_cost,
        created_at=line.created_at,
        place=0,
        single=True,
        undecided=True,
        seen=NEWER_THAN_ALL,
        signed=False,
        asked=asked,
        alike=looks(conn).are_of(one.movement.raw),
    )


def take_named(books: Books, movement_id: str) -> None:
    """File a movement that a person has named as our own patch's, where it is of an unknown type: no table has it."""
    raw = raw_of(books.conn, MOVEMENTS, movement_id)
    if raw is None or documents_by_remote_id(books.conn, MPSERVICES, "movement", [movement_id]):
        return
    lock_appends(books.conn)
    done = Ingested()
    _, strange = _file_all(read_movements(raw.encode()).rows, books.policy, done)
    places = last_places(books.conn, {one.line.created_at for one in strange})
    work = _Work(books, done.counts, places, awaiting=set())
    for one in strange:
        _take_echo(one, one.line.quantity, work)
    release_remote_ids(books, MOVEMENTS, [one.movement.id for one in strange], bad=())


def _take_echo(one: _Strange, quantity: Decimal, work: _Work) -> None:
    """File a movement of an unknown type that our own patch made: an adjustment, as every echo is."""
    line = replace(one.line, quantity=quantity)
    item = _Filed(one.movement, ADJUSTMENT, [line])
    _save_document(item, None, FEED, work)
    work.new_lines.clear()
    work.entries.clear()
    _add(item, [], [line], work)
    work.new_lines[0]["role"] = ECHO
    _write_new(work)
    work.books.resolve_exceptions(
        UNKNOWN_VALUE, about=_type_subject(one.movement), resolution="it is our own stock update's"
    )


def _strange_type(movement: Movement) -> str:
    return f"movement type {movement.type!r} is neither Inbound nor Outbound"


def _type_subject(movement: Movement) -> Subject:
    return Subject.source(MOVEMENTS, f"type {movement.type[:80]}")


def _file_all(movements: Sequence[Movement], policy: Policy, done: Ingested) -> tuple[list[_Filed], list[_Strange]]:
    filed: list[_Filed] = []
    strange: list[_Strange] = []
    for movement in movements:
        done.counts.seen += max(1, len(movement.lines))
        kind = kind_of(movement.type)
        try:
            lines = _lines(movement, kind or RECEIPT, policy)
            if kind is not None:
                filed.append(_Filed(movement, kind, lines))
                done.readable.append(movement.id)
            elif len(lines) == 1:
                strange.append(_Strange(movement, lines[0]))
            else:
                raise ValueError(_strange_type(movement))
        except ValueError as error:
            _refuse(movement, str(error), done)
    return filed, strange


def _refuse(movement: Movement, reason: str, done: Ingested) -> None:
    done.bad.append(BadRow(movement.raw, reason, movement.id))
    done.named.update(line.item_external_id for line in movement.lines if line.item_external_id is not None)


def _lines(movement: Movement, kind: str, policy: Policy) -> list[Line]:
    lines = []
    for number, line in enumerate(movement.lines, start=1):
        item = line.item_external_id or line.item_id
        if item is None:
            raise ValueError(f"line {number} names no item")
        if line.cost is None and kind != ISSUANCE:
            raise ValueError(f"line {number} has no cost")
        filed = file_line(
            kind,
            item,
            line.quantity,
            line.cost or Decimal(0),  # what an issuance costs is MPW's to say
            cost_is=policy.cost_is,
            created_at=movement.created_at,
            digest=line.digest,
            named=line.item_external_id is not None,
        )
        _entry(kind, "", movement, filed, policy)  # raises where the amount does not fit the ledger
        lines.append(filed)
    return lines


def _report_type(books: Books, movement: Movement) -> None:
    """Tell of a movement's type, once a movement: what a person has settled opens again with the next one only."""
    before = open_facts(books.conn, UNKNOWN_VALUE, _type_subject(movement))
    books.open_exception(
        UNKNOWN_VALUE,
        about=_type_subject(movement),
        detail=f"movement {movement.id} is of type {movement.type[:80]!r}, which is neither Inbound nor Outbound",
        hint="find out what it does to the stock and key that into MPW, then resolve this: MPservices' stock is then "
        "set to MPW's. The movement is in v_quarantine and reaches nobody",
        facts={"digests": sorted({raw_digest(movement.raw), *before.get("digests", ())})},
    )


def _take(item: _Filed, document: Row[Any] | None, stored: list[Row[Any]], source: str, work: _Work) -> None:
    movement = item.movement
    from_feed = document is not None and document.source == MOVEMENTS
    if not from_feed:
        work.seen_events.extend(EventKey(item.kind, line.api_key) for line in stored)
    taken_back = document is not None and document.digest == ""
    if source == IMPORT and taken_back:
        work.new_events.extend(EventKey(item.kind, line.api_key) for line in stored)
    if document is not None and (
        document.digest == movement.digest or (source == IMPORT and from_feed and not taken_back)
    ):
        work.counts.unchanged += max(1, len(item.lines))
        if source == FEED and not from_feed:
            update_documents(
                work.books.conn, [{"id": document.id, "source": MOVEMENTS, "last_seen_at": work.books.now}]
            )
        return
    _save_document(item, document, source, work)
    matches = match_lines(
        stored,
        item.lines,
        (
            (lambda old: ("digest", old.digest), lambda new: ("digest", new.digest)),
            (_content_of_row, _content_of_line),
            (lambda old: ("item", old.external_id), lambda new: ("item", new.external_id)),
        ),
    )
    changed = [(old, new) for old, new in matches.pairs if _differs(old, new)]
    moved = [pair for pair in matches.pairs if pair not in changed and not _is_same_moment(*_moments(pair))]
    redated = [pair for pair in moved if _needs_another_date(pair, work.books.policy)]
    forget_bases_between(work.books, ((new.external_id, old.created_at, new.created_at) for old, new in moved))
    gone = [line for line in matches.gone if line.entry_id is not None and source == FEED]
    if changed or redated or gone or (from_feed and matches.new):
        n = max((line.n for line in stored), default=0)
        keys = [
            line_key(work.books.conn, movement.id, n + place, about_to=work.keys)
            for place in range(1, len(matches.new) + 1)
        ]
        decided = note_correction(
            work.books,
            movement.id,
            changed=changed,
            redated=redated,
            gone=gone,
            added=dict(zip(keys, matches.new, strict=True)),
            stored=stored,
            created_at=movement.created_at,
        )
        work.seen_events = [event for event in work.seen_events if event.api_key not in decided]
    for old, new in matches.pairs:
        if (old, new) not in changed and old.digest != new.digest:
            update_line(work.books.conn, movement.id, old.n, digest=new.digest)
    for old, new in moved:
        if (old, new) not in redated:
            place = _place_at(new.created_at, work)
            update_line(work.books.conn, movement.id, old.n, created_at=new.created_at, place=place)
            work.touched.add(old.external_id)
    work.counts.unchanged += len(matches.pairs) - len(changed) - len(redated)
    for old, new in [*changed, *redated]:
        _change(item, old, new, work)
    for old in gone:
        _remove(old, work)
    if stored and matches.new:
        for old in stored:
            update_line(work.books.conn, movement.id, old.n, single=False)
    _add(item, stored, matches.new, work)


def _content_of_row(row: Row[Any]) -> tuple[object, ...]:
    return (row.external_id, row.quantity, row.unit_cost)


def _content_of_line(line: Line) -> tuple[object, ...]:
    return (line.external_id, line.quantity, line.unit_cost)


def _differs(old: Row[Any], new: Line) -> bool:
    """Tell whether a line says something else now. What our own patch cost, we know better than its movement."""
    if old.role == ECHO:
        return bool((old.external_id, old.quantity) != (new.external_id, new.quantity))
    return _content_of_row(old) != _content_of_line(new)


def _moments(pair: tuple[Row[Any], Line]) -> tuple[datetime, datetime]:
    return pair[0].created_at, pair[1].created_at


def _needs_another_date(pair: tuple[Row[Any], Line], policy: Policy) -> bool:
    """Tell whether a line that was moved in time belongs to another day, or to the other side of the go-live.

    Within its day nothing of it is to be done anew: the stocks are what they were, and so is MPW's date.
    """
    was, now = _moments(pair)
    cut = policy.push_from_there
    return pair[0].role != ECHO and (policy.day(was) != policy.day(now) or (was < cut) != (now < cut))


def _place_at(instant: datetime, work: _Work) -> int:
    work.places[instant] = work.places.get(instant, -1) + 1
    return work.places[instant]


def _is_same_moment(was: datetime, now: datetime) -> bool:
    """Tell whether two times are one that is, or was, shown without its fraction of a second."""
    whole = was.replace(microsecond=0) == now.replace(microsecond=0)
    return was == now or (whole and 0 in (was.microsecond, now.microsecond))


def _save_document(item: _Filed, document: Row[Any] | None, source: str, work: _Work) -> None:
    movement = item.movement
    values = {
        "source": MOVEMENTS if source == FEED else IMPORTED,
        "day": work.books.policy.day(movement.created_at),
        "raw": movement.raw,
        "digest": movement.digest,
        "last_seen_at": work.books.now,
    }
    if document is not None:
        update_documents(work.books.conn, [{"id": document.id, **values}])
        return
    key = {"system": MPSERVICES, "type": "movement", "remote_id": movement.id, "first_seen_at": work.books.now}
    insert_documents(work.books.conn, [{**key, **values}])


def _add(item: _Filed, stored: list[Row[Any]], lines: Sequence[Line], work: _Work) -> None:
    n = max((line.n for line in stored), default=0)
    for line in lines:
        n += 1
        place = _place_at(line.created_at, work)
        key = line_key(work.books.conn, item.movement.id, n, about_to=work.keys)
        work.keys.add(key)
        work.entries.append(_entry(item.kind, key, item.movement, line, work.books.policy))
        work.new_lines.append(
            {
                "movement_id": item.movement.id,
                "n": n,
                "api_key": key,
                "digest": line.digest,
                "external_id": line.external_id,
                "named": line.named,
                "quantity": line.quantity,
                "unit_cost": line.unit_cost,
                "shown_cost": line.shown_cost,
                "created_at": line.created_at,
                "place": place,
                "single": len(item.lines) == 1 and not stored,
                "role": UNDECIDED if line.external_id in work.awaiting else EVENT,
            }
        )
        work.touched.add(line.external_id)
        work.new_events.append(EventKey(item.kind, key))
        work.counts.added += 1


def _write_new(work: _Work) -> None:
    ids = work.books.append(work.entries)
    rows = zip(work.new_lines, ids, strict=True)
    insert_lines(work.books.conn, [{**line, "entry_id": entry_id, "seen_seq": entry_id} for line, entry_id in rows])


def _change(item: _Filed, old: Row[Any], new: Line, work: _Work) -> None:
    """Replace a line's entry: a reversal and a new original under the same key."""
    kind = ADJUSTMENT if old.role == ECHO else item.kind
    entry = _entry(kind, old.api_key, item.movement, new, work.books.policy)
    if not event_entries(
        work.books.conn, kind, old.api_key
    ):  # Inbound has become Outbound, or the reverse: another event
        work.new_events.append(EventKey(kind, old.api_key))
    if old.entry_id is not None:
        work.books.reverse([old.entry_id])
    entry_id = work.books.append([entry])[0]
    place = {}
    if old.created_at != new.created_at:
        place = {"place": _place_at(new.created_at, work)}
    update_line(
        work.books.conn,
        item.movement.id,
        old.n,
        digest=new.digest,
        external_id=new.external_id,
        named=new.named,
        quantity=new.quantity,
        unit_cost=new.unit_cost,
        shown_cost=new.shown_cost,
        created_at=new.created_at,
        entry_id=entry_id,
        **place,
    )
    work.touched.update((old.external_id, new.external_id))
    work.counts.changed += 1


def _remove(old: Row[Any], work: _Work) -> None:
    """Reverse a line that its movement no longer has; its number stays taken, its quantity counts no more."""
    work.books.reverse([old.entry_id])
    take_back(work.books.conn, old)
    work.touched.add(old.external_id)
    work.counts.changed += 1


def _entry(kind: str, key: str, movement: Movement, line: Line, policy: Policy) -> NewEntry:
    return new_entry(
        MPSERVICES,
        kind,
        key,
        movement.id,
        item=line.external_id,
        warehouse=None,
        quantity=line.quantity,
        unit_cost=line.unit_cost,
        occurred_on=policy.day(line.created_at),
        occurred_at=line.created_at,
    )
