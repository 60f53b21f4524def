"""What a person does about ledger entries that are held: book one, or say that it is none for the books."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from sync.database.engine import lock_appends
from sync.database.facts import fact
from sync.errors import ConfigError
from sync.journal import rows as stored
from sync.journal.derive import JOURNAL_SEQ, release, tell, wanted_terms
from sync.work.context import Context

DROPPED = "dropped"


def post(ctx: Context, seqs: Sequence[int], *, why: str, by: str) -> int:
    """Book ledger entries of MPW's that are not in the journal, whatever held them; return how many were.

    Raises ConfigError for one that cannot be booked: it names each, and books none.
    """
    wanted = wanted_terms(ctx)
    if wanted is None:
        raise ConfigError("there is no journal", hint="set SYNC_JOURNAL_FROM, then see what `mpsync doctor` says")
    with ctx.anyone_writes() as books:
        lock_appends(books.conn)
        _refuse_strangers(books.conn, seqs)
        return release(books, wanted, seqs, why=why, by=by).added


def drop(ctx: Context, seqs: Sequence[int], *, why: str, by: str) -> int:
    """Say of held ledger entries that they are none for the books; return how many. The list keeps them, with why."""
    with ctx.anyone_writes() as books:
        lock_appends(books.conn)
        held = stored.held_among(books.conn, seqs)
        if unknown := sorted(set(seqs) - set(held)):
            raise ConfigError(f"not held: {_named(unknown)}", hint="`mpsync journal held` lists what is")
        stored.hold(books, dict.fromkeys(held, (DROPPED, f"{by}: {why}")))
        tell(books)
    return len(held)


def _refuse_strangers(conn: Connection, seqs: Sequence[int]) -> None:
    there = {row.id: row for row in stored.ledger_rows(conn, seqs)}
    booked = stored.entries_by_ledger(conn, seqs)
    wrong = [f"{seq}: there is no such ledger entry" for seq in seqs if seq not in there]
    wrong += [f"{seq}: it is in the journal already, entry {booked[seq].id}" for seq in seqs if seq in booked]
    seen = int(fact(conn, JOURNAL_SEQ) or 0)
    wrong += [f"{seq}: the next cycle looks at it first" for seq in there if seq > seen]
    wrong += [
        f"{row.id}: a {row.kind} of {row.system} is never booked by itself"
        for row in there.values()
        if row.system != "mpw" or row.kind not in ("receipt", "issuance")
    ]
    if wrong:
        raise ConfigError(f"nothing was booked; {'; '.join(wrong)}", hint="`mpsync journal unposted` lists what can be")


def _named(seqs: Sequence[int]) -> str:
    return ", ".join(map(str, seqs))
