"""What the vendors do that their documents do not say, learnt from ordinary work or set by a person.

Which facts there are, and when a row that says otherwise is believed, is in `sync.learned.rules`.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.engine import Row
from sqlalchemy.exc import IntegrityError

from sync.database.chunks import upsert
from sync.database.exceptions import open_exception, resolve_exceptions
from sync.database.schema import learned as facts_
from sync.errors import InvariantError
from sync.learned.rules import FACTS, Contrary, Fact, Known, detail_of, hint_of, overruled, set_by_person, weigh
from sync.values.policy import Policy
from sync.values.subjects import Subject

CONTRADICTED = "learned_contradicted"
COLUMNS = ("value", "evidence", "seen_at", "set_by", "contrary")


def learned(conn: Connection, system: str, fact: str) -> str | None:
    """Return what is known of a fact of a system ('mpw', 'mpservices'), or None."""
    query = select(facts_.c.value).where(facts_.c.system == system, facts_.c.fact == fact)
    return conn.execute(query).scalar_one_or_none()


def learned_of(conn: Connection, system: str) -> dict[str, str]:
    """Return everything that is known of a system, by fact."""
    return {fact: value for (of, fact), value in all_learned(conn).items() if of == system}


def reach_of(conn: Connection, policy: Policy) -> timedelta:
    """Return how far back MPservices' feed is trusted to reach: as far as is set, and no further than was shown."""
    hours = learned(conn, "mpservices", "window_hours")
    return policy.window if hours is None else min(policy.window, timedelta(hours=float(hours)))


def all_learned(conn: Connection) -> dict[tuple[str, str], str]:
    """Return everything that is known, by system and fact."""
    query = select(facts_.c.system, facts_.c.fact, facts_.c.value)
    return {(row.system, row.fact): row.value for row in conn.execute(query)}


def learn(conn: Connection, system: str, fact: str, value: str, *, evidence: str, now: datetime) -> bool:
    """Write down what ordinary work has shown; True where what is known is new, or other than before.

    `evidence` names the row or the answer that shows it; the same evidence counts once. What a person set stands. A
    value that contradicts what is known opens `learned_contradicted`, and is believed by the rule of
    `sync.learned.rules.weigh`. Raises InvariantError for a fact that is not registered there, or does not take this
    value.
    """
    meant = _fact(system, fact)
    try:
        value = meant.read(value)
    except ValueError as error:
        raise InvariantError(f"learnt what cannot be: {error}") from error
    row = _row(conn, meant)
    weighed = weigh(meant, None if row is None else _known(row), value, evidence[:1000])
    if weighed is None:
        return False
    if not _replace(conn, meant, row, weighed.known, now=now if weighed.believed or row is None else row.seen_at):
        return False  # another process has just learnt something of it: the next row tells again
    subject = subject_of(meant)
    if weighed.believed:
        resolution = f"{value} is believed now: {weighed.known.evidence}"
        resolve_exceptions(conn, CONTRADICTED, subject, resolution=resolution[:500], now=now)
    elif weighed.contradicted is not None:
        open_exception(
            conn,
            CONTRADICTED,
            subject,
            detail=detail_of(meant, weighed.known, weighed.contradicted),
            hint=hint_of(meant, weighed.known, weighed.contradicted),
            now=now,
            facts={"system": system, "fact": fact, "shown": weighed.contradicted},
        )
    return weighed.believed


def set_learned(conn: Connection, fact: Fact, value: str, *, why: str, by: str, now: datetime) -> None:
    """Set a fact on a person's word, which stands; an open contradiction of it is settled.

    Raises ValueError, which says what the fact takes, for a value that it does not take.
    """
    value = fact.read(value)
    row = _row(conn, fact)
    known = set_by_person(fact, None if row is None else _known(row), value, why=why, by=by)
    upsert(conn, facts_, [_values(fact, known, now)], key=("system", "fact"), update=COLUMNS)
    resolve_exceptions(conn, CONTRADICTED, subject_of(fact), resolution=f"set to {value}: {why}", by=by, now=now)


def forget_learned(conn: Connection, fact: Fact, *, by: str, now: datetime) -> bool:
    """Forget what is known of a fact: the assumption holds until the next row shows it; False: nothing was known."""
    known = conn.execute(delete(facts_).where(facts_.c.system == fact.system, facts_.c.fact == fact.name)).rowcount > 0
    resolve_exceptions(conn, CONTRADICTED, subject_of(fact), resolution="the fact was forgotten", by=by, now=now)
    return known


def overrule(conn: Connection, system: str, fact: str) -> None:
    """Let what is known stand against the rows that have said otherwise: a person has settled the contradiction."""
    meant = _fact(system, fact)
    row = _row(conn, meant)
    if row is not None:
        _replace(conn, meant, row, overruled(_known(row)), now=row.seen_at)


def subject_of(fact: Fact) -> Subject:
    """Return the subject of an exception about a fact."""
    return Subject.setting(f"{fact.system} {fact.name}")


def _fact(system: str, name: str) -> Fact:
    fact = FACTS.get((system, name))
    if fact is None:
        raise InvariantError(f"{system} {name} is not registered in sync/learned/rules.py")
    return fact


def _row(conn: Connection, fact: Fact) -> Row[Any] | None:
    query = select(facts_).where(facts_.c.system == fact.system, facts_.c.fact == fact.name)
    return conn.execute(query).first()


def _known(row: Row[Any]) -> Known:
    contrary = {
        value: Contrary(tuple(one["evidence"]), one["in_a_row"], one["overruled"])
        for value, one in json.loads(row.contrary).items()
    }
    return Known(row.value, row.evidence, row.set_by, contrary)


def _replace(conn: Connection, fact: Fact, before: Row[Any] | None, known: Known, *, now: datetime) -> bool:
    """Write what is known in place of what we read; False where another process has changed it since."""
    values = _values(fact, known, now)
    if before is None:
        try:
            with conn.begin_nested():
                conn.execute(insert(facts_).values(**values))
        except IntegrityError:  # another process was first
            return False
        return True
    same = (facts_.c.system == fact.system, facts_.c.fact == fact.name, facts_.c.value == before.value)
    unchanged = (facts_.c.contrary == before.contrary, facts_.c.seen_at == before.seen_at)
    return conn.execute(update(facts_).where(*same, *unchanged).values(**values)).rowcount == 1


def _values(fact: Fact, known: Known, now: datetime) -> dict[str, Any]:
    contrary = {value: asdict(one) for value, one in known.contrary.items()}
    return {
        "system": fact.system,
        "fact": fact.name,
        "value": known.value,
        "evidence": known.evidence,
        "seen_at": now,
        "set_by": known.set_by,
        "contrary": json.dumps(contrary, sort_keys=True),
    }
