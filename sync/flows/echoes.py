"""Telling the movements that our own stock patches make from those of people.

Called in the transaction that takes in movements, whenever a patch is recorded, and before items are
compared: whatever is known then is enough, and a second call with the same facts changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sync.domain.echo import (
    DRAINS,
    PROMPT,
    Doubt,
    Expectation,
    Found,
    Line,
    Silent,
    StillOpen,
    Window,
    find_echo,
    late_echo,
    may_land_later,
    window_of,
    window_unanswered,
)
from sync.domain.ledger import ADJUSTMENT, NewEntry
from sync.domain.money import plain
from sync.domain.outbox import WORKER_STOPPED
from sync.domain.policy import Policy
from sync.domain.subjects import Subject
from sync.store.echoes import (
    Expected,
    base_of,
    close_echo,
    doubtful_movements,
    doubts_decided_by_people,
    expectation,
    first_whole_read_since,
    lines_to_settle,
    open_expectations,
    park_late_decisions,
    set_role,
    silent_expectations,
    undecided_lines,
    unreconciled_events,
    whole_reads_since,
)
from sync.store.exceptions import open_exception
from sync.store.facts import RECONCILED_SEQ, fact
from sync.store.item_states import beliefs, mark_dirty, save_item_state
from sync.store.ledger import append_entries, entries_by_id, reverse_entries
from sync.store.outbox_watch import check_now
from sync.store.stock_facts import ECHO_UNDECIDED

DRAIN_FLOW = "poll.mpservices.movements"
"""The flow whose runs are the whole reads of the feed."""


def settle_echoes(
    conn: Connection, external_ids: Iterable[str], *, policy: Policy, now: datetime, run_id: int | None
) -> int:
    """Decide what can be decided about these items' undecided movements; return how many expectations closed.

    An echo is filed anew as an adjustment (reversal and original, same api_key) and fixes the item's
    base. A movement of people's becomes an event, which reconcile is told to look at (`parked`).
    `run_id` is the reading of the feed that this transaction belongs to, if it does.
    """
    ids = sorted(set(external_ids))
    closed = 0
    waiting: set[str] = set()
    for expected in open_expectations(conn, ids):
        settled = _settle(conn, expected, policy=policy, now=now, run_id=run_id)
        closed += settled
        if not settled:
            waiting.add(expected.external_id)
    free = [item for item in ids if item not in waiting]
    for expected in silent_expectations(conn, free, since=now - policy.window):
        closed += _settle_late(conn, expected, policy=policy, now=now, run_id=run_id)
    _release_leftovers(conn, free, now=now)
    return closed


def settle_all(conn: Connection, *, policy: Policy, now: datetime) -> int:
    """Settle every open expectation, and the doubts that people have decided; return how many closed."""
    closed = settle_echoes(
        conn, [expected.external_id for expected in open_expectations(conn)], policy=policy, now=now, run_id=None
    )
    for row in doubts_decided_by_people(conn, ECHO_UNDECIDED):
        closed += _settle_doubt(conn, json.loads(row.facts), row.resolution or "", policy=policy, now=now)
    return closed


def close_absent(conn: Connection, outbox_id: int, external_id: str, *, now: datetime) -> None:
    """Close the expectation of a patch that provably had no effect: whatever moved, people moved."""
    close_echo(conn, outbox_id, "none", now=now)
    _release(conn, _not_in_doubt(conn, undecided_lines(conn, external_id)), now=now)


def _settle(conn: Connection, expected: Expected, *, policy: Policy, now: datetime, run_id: int | None) -> bool:
    base = base_of(conn, expected.external_id)
    lines = _settleable(conn, lines_to_settle(conn, expected.external_id, base))
    asked = _expectation(conn, expected, policy=policy, now=now, run_id=run_id)
    found = find_echo(asked, base, lines, cost_is=policy.cost_is)
    if isinstance(found, Doubt):
        _release(conn, found.foreign, now=now)
        _ask(conn, expected, found, now=now)
        return True
    if isinstance(found, Found):
        _file_echo(conn, expected, found.line, policy=policy, now=now, run_id=run_id)
        _release(conn, found.foreign, now=now)
        return True
    _release(conn, found.foreign, now=now)
    if isinstance(found, StillOpen):
        return False
    close_echo(conn, expected.outbox_id, "none", now=now)
    _rebase_silent(conn, expected, found, lines, now=now)
    return True


def _expectation(
    conn: Connection, expected: Expected, *, policy: Policy, now: datetime, run_id: int | None
) -> Expectation:
    landed: bool | None = None
    since: datetime | None = None
    waited = over = False
    if expected.state == "done":
        landed, since = True, expected.ended_at or expected.finalized_at or now
    elif expected.state in ("sending", "unknown"):
        waited = expected.last_sent_at is not None and now >= expected.last_sent_at + policy.late_arrival
        over = expected.http_status is not None and not may_land_later(expected.http_status)
        since = _end_of_call(expected, policy=policy)
    else:
        landed = False
    drains, prompt = 0, False
    if since is not None:
        drains = whole_reads_since(conn, DRAIN_FLOW, since, run_id=run_id, limit=DRAINS)
        first = first_whole_read_since(conn, DRAIN_FLOW, since, run_id=run_id)
        prompt = first is not None and first - since <= PROMPT
    return Expectation(
        new_stock=expected.new_stock,
        new_cost=expected.new_cost,
        base_quantity=expected.base_quantity,
        landed=landed,
        waited=waited,
        drains=drains,
        prompt=prompt,
        over=over,
        believed_quantity=expected.believed_quantity,
        window=_window(expected, expected.started_at or now, policy=policy, landed=landed),
    )


def _end_of_call(expected: Expected, *, policy: Policy) -> datetime | None:
    """Return when a call of unclear outcome ended, if we saw it end: the sweep ends what a crash left open."""
    if expected.started_at is None or expected.ended_at is None or expected.error == WORKER_STOPPED:
        return None
    return expected.ended_at if expected.ended_at - expected.started_at <= policy.request_timeout else None


def _window(expected: Expected, started_at: datetime, *, policy: Policy, landed: bool | None) -> Window:
    """Return when the patch can have been made: up to its answer, where one came, were it unreadable."""
    if landed or expected.answered_at is not None:
        return window_of(started_at, expected.ended_at, expected.answered_at)
    return window_unanswered(started_at, call_max=policy.request_timeout, ahead=expected.ahead)


def _settle_late(conn: Connection, expected: Expected, *, policy: Policy, now: datetime, run_id: int | None) -> bool:
    """Recognise an echo that the feed shows after we said that there was none, before reconcile takes it for an event.

    Not where the patch was expected to change nothing: then there is none, however late.
    """
    if expected.base_quantity == expected.new_stock:
        return False
    seq = int(fact(conn, RECONCILED_SEQ) or 0)
    lines = unreconciled_events(conn, expected.external_id, after_seq=seq)
    if not lines:
        return False
    asked = _expectation(conn, expected, policy=policy, now=now, run_id=run_id)
    line = late_echo(asked, lines, cost_is=policy.cost_is)
    if line is None:
        return False
    _file_echo(conn, expected, line, policy=policy, now=now, run_id=run_id)
    return True


def _file_echo(
    conn: Connection, expected: Expected, line: Line, *, policy: Policy, now: datetime, run_id: int | None
) -> None:
    entry_id = None
    if line.entry_id is not None:
        entry_id = _file_as_adjustment(conn, line.entry_id, policy=policy, now=now, run_id=run_id)
    set_role(conn, line, "echo", entry_id=entry_id)
    close_echo(conn, expected.outbox_id, "found", now=now, movement_id=line.movement_id, line_n=line.n)
    save_item_state(
        conn,
        expected.external_id,
        {
            "base_quantity": expected.new_stock,
            "base_at": line.created_at,
            "base_place": line.place,
            "base_verified": True,
            "mps_unit_cost": expected.new_cost,
            "last_patched_at": expected.finalized_at or expected.last_sent_at or now,
        },
    )
    _note_belief(conn, expected.external_id)


def _file_as_adjustment(conn: Connection, entry_id: int, *, policy: Policy, now: datetime, run_id: int | None) -> int:
    """File a movement's entry anew as an adjustment under the same key; return the new entry's id."""
    old = entries_by_id(conn, [entry_id])[entry_id]
    reverse_entries(conn, [entry_id], lock_date=policy.lock_date, now=now, run_id=run_id)
    entry = NewEntry(
        old.system,
        ADJUSTMENT,
        old.api_key,
        old.remote_id,
        old.item,
        old.warehouse,
        old.quantity,
        old.unit_cost,
        old.amount,
        old.occurred_on,
        old.occurred_at,
    )
    return append_entries(conn, [entry], lock_date=policy.lock_date, now=now, run_id=run_id)[0]


def _rebase_silent(conn: Connection, expected: Expected, found: Silent, lines: list[Line], *, now: datetime) -> None:
    """Write what a patch without an echo leaves us to believe.

    Where nothing was proved before, the patched stock was written when the answer came.
    """
    if found.base == "unknown":
        _forget_base(conn, expected.external_id, now=now)
    elif found.base == "patched" and expected.base_quantity is not None:
        known = [line.position for line in lines if not line.undecided]
        base = base_of(conn, expected.external_id)
        if base is not None and base.trusted:
            at, place = max([base.position, *known])
            save_item_state(
                conn,
                expected.external_id,
                {
                    "base_quantity": expected.new_stock,
                    "base_at": at,
                    "base_place": place,
                    "base_verified": False,
                },
            )
    _note_belief(conn, expected.external_id)


def _forget_base(conn: Connection, external_id: str, *, now: datetime) -> None:
    values: dict[str, Any] = {"base_quantity": None, "base_at": None, "base_place": None, "base_verified": False}
    save_item_state(conn, external_id, values)
    mark_dirty(conn, [external_id], now=now)


def _note_belief(conn: Connection, external_id: str) -> None:
    believed = beliefs(conn, [external_id])[external_id].quantity
    save_item_state(conn, external_id, {"mps_quantity": believed})


def _ask(conn: Connection, expected: Expected, doubt: Doubt, *, now: datetime) -> None:
    """Leave the choice to a person: none of the movements is forwarded, and the item is not patched until then."""
    close_echo(conn, expected.outbox_id, "several", now=now)
    told = "; ".join(
        f"{line.movement_id} of {line.created_at:%Y-%m-%d %H:%M:%S} UTC, "
        f"{plain(line.quantity)} at {plain(line.unit_cost)}"
        for line in doubt.lines
    )
    open_exception(
        conn,
        ECHO_UNDECIDED,
        Subject.event(expected.api_key),
        detail=f"our patch of {expected.external_id} to {plain(expected.new_stock)} at {plain(expected.new_cost)} made "
        f"a movement, and it is not clear which: {doubt.reason}. {told}",
        hint="look in MPservices which one is the stock update, if any, then `mpsync exceptions resolve ID --why TEXT`:"
        " the movement whose id stands in TEXT is filed as ours, the others go to MPW as people's",
        now=now,
        facts={
            "external_id": expected.external_id,
            "outbox_id": expected.outbox_id,
            "new_stock": plain(expected.new_stock),
            "movements": [line.movement_id for line in doubt.lines],
        },
    )


def _settle_doubt(
    conn: Connection, facts: Mapping[str, Any], resolution: str, *, policy: Policy, now: datetime
) -> bool:
    """Act on a person's word: the movement it names is the echo, the others of the doubt are people's."""
    external_id, doubtful = str(facts["external_id"]), set(facts["movements"])
    lines = [line for line in undecided_lines(conn, external_id) if line.movement_id in doubtful]
    if not lines:
        return False
    named = [line for line in lines if line.movement_id in resolution]
    expected = expectation(conn, int(facts["outbox_id"]))
    if len(named) == 1 and expected is not None:
        _file_echo(conn, expected, named[0], policy=policy, now=now, run_id=None)
        lines.remove(named[0])
    _release(conn, lines, now=now)
    check_now(conn, int(facts["outbox_id"]), now=now)
    mark_dirty(conn, [external_id], now=now)
    return True


def _release_leftovers(conn: Connection, external_ids: Iterable[str], *, now: datetime) -> None:
    """Let go what is undecided though nothing is expected any more, unless a person is to decide it."""
    for item in external_ids:
        _release(conn, _not_in_doubt(conn, undecided_lines(conn, item)), now=now)


def _not_in_doubt(conn: Connection, lines: list[Line]) -> list[Line]:
    """Return the lines that no person has been asked about."""
    if not any(line.undecided for line in lines):
        return lines
    doubtful = doubtful_movements(conn, ECHO_UNDECIDED)
    return [line for line in lines if line.movement_id not in doubtful]


def _settleable(conn: Connection, lines: list[Line]) -> list[Line]:
    """Return all lines, those that a person is asked about as decided: no other patch may claim them."""
    free = {line.api_key for line in _not_in_doubt(conn, lines)}
    return [line if line.api_key in free else replace(line, undecided=False) for line in lines]


def _release(conn: Connection, lines: Iterable[Line], *, now: datetime) -> None:
    """Take lines for people's: reconcile, which may have passed over them, is to look at them."""
    released = list(lines)
    entries = entries_by_id(conn, [line.entry_id for line in released if line.entry_id is not None])
    for line in released:
        set_role(conn, line, "event")
    park_late_decisions(conn, [(entry.kind, entry.api_key) for entry in entries.values()], now=now)
