"""Equipment by GPS provider, once a day, kept as documents."""

from __future__ import annotations

from datetime import timedelta

from sync.clients.mpw.client import MpwClient
from sync.clients.mpw.wire import Equipment, read_equipment
from sync.database.engine import lock_appends
from sync.database.runs import Counts, newest_run
from sync.ledger.books import Books
from sync.ledger.coverage import EQUIPMENT, feed, is_feed_outdated, note_feed_read, save_days
from sync.ledger.documents import documents_by_remote_id, insert_documents, update_documents
from sync.ledger.quarantine import quarantine_rows, release_remote_ids
from sync.values.systems import MPW
from sync.work.context import Context
from sync.work.observed import Outcome, observe

DAILY = timedelta(days=1)


def poll_equipment_once(ctx: Context) -> Counts:
    """Read the equipment of every provider that is set; off without one."""
    client = ctx.mpw_client()
    if client is None or not ctx.policy.gps_providers:
        return Counts()
    return observe(
        ctx, "poll.mpw.equipment", source=EQUIPMENT, system=MPW, work=lambda run_id: _poll(ctx, client, run_id)
    ).counts


def _poll(ctx: Context, client: MpwClient, run_id: int) -> Outcome:
    began_at = ctx.clock.now()
    rows: dict[str, Equipment] = {}
    providers: dict[str, str] = {}
    bad = []
    for provider in ctx.policy.gps_providers:
        parsed = read_equipment(client.gps_meter_updates(provider).body)
        rows.update((row.id, row) for row in parsed.rows)
        providers.update((row.id, provider) for row in parsed.rows)
        bad.extend(parsed.bad)
    counts = Counts(seen=len(rows) + len(bad))
    with ctx.leader_writes() as books:
        lock_appends(books.conn)
        if is_feed_outdated(feed(books.conn, EQUIPMENT), run_id):
            return Outcome(dropped=True)
        read_no = max(run_id, newest_run(books.conn))
        note_feed_read(books.conn, EQUIPMENT, run_id=run_id, began_at=began_at, read_no=read_no)
        _take(books, rows, providers, counts)
        counts.quarantined = quarantine_rows(books, EQUIPMENT, None, bad)
        release_remote_ids(books, EQUIPMENT, rows, bad=bad)
        day = books.policy.day(began_at)
        read = {"source": EQUIPMENT, "day": day, "complete": ctx.is_timely(), "rows": len(rows)}
        numbers = {"began_no": run_id, "read_no": read_no}
        save_days(books.conn, [{**read, **numbers, "last_read_at": books.now, "fetch_began_at": began_at}])
    return Outcome(counts)


def _take(books: Books, rows: dict[str, Equipment], providers: dict[str, str], counts: Counts) -> None:
    known = documents_by_remote_id(books.conn, MPW, "equipment", rows)
    new, changed = [], []
    for row in rows.values():
        before = known.get(row.id)
        provider = providers[row.id]
        if before is not None and (before.digest, before.provider) == (row.digest, provider):
            counts.unchanged += 1
            continue
        values = {
            "raw": row.raw,
            "digest": row.digest,
            "item": row.name,
            "provider": provider,
            "last_seen_at": books.now,
        }
        if before is None:
            key = {"system": MPW, "type": "equipment", "remote_id": row.id, "source": EQUIPMENT}
            new.append({**key, "first_seen_at": books.now, **values})
        else:
            changed.append({"id": before.id, **values})
    insert_documents(books.conn, new)
    update_documents(books.conn, changed)
    counts.added, counts.changed = len(new), len(changed)
