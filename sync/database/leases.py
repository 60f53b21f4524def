"""Who leads: a lease row whose token grows with every new holder."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from sync.database.schema import leases
from sync.errors import LeaseLostError


@dataclass(frozen=True, slots=True)
class Lease:
    """A held lease, while the row has its `token`. `expires_at` is of the clock that all who want it go by."""

    name: str
    owner: str
    token: int
    expires_at: datetime


def take_lease(
    conn: Connection, name: str, owner: str, *, now: datetime, lasts: timedelta, holder_is_gone: bool = False
) -> Lease | None:
    """Take a lease that is free, run out or already ours; None while another holds it.

    `now` is of the database server's clock where there is one (`Store.time`). Compare-and-set on the token: of two
    that try at once, one gets it. `holder_is_gone` says that something stronger than the clock (a file lock) proves
    the holder dead.
    """
    row = conn.execute(select(leases).where(leases.c.name == name)).first()
    expires_at = now + lasts
    if row is None:
        try:
            with conn.begin_nested():
                conn.execute(insert(leases).values(name=name, owner=owner, token=1, expires_at=expires_at))
        except IntegrityError:
            return None
        return Lease(name, owner, 1, expires_at)
    if row.owner != owner and row.expires_at > now and not holder_is_gone:
        return None
    token = row.token if row.owner == owner else row.token + 1
    won = conn.execute(
        update(leases)
        .where(leases.c.name == name, leases.c.token == row.token, leases.c.owner == row.owner)
        .values(owner=owner, token=token, expires_at=expires_at)
    )
    return Lease(name, owner, token, expires_at) if won.rowcount else None


def release_lease(conn: Connection, lease: Lease, *, now: datetime) -> None:
    """Give a lease up, so that a successor need not wait for its end."""
    conn.execute(
        update(leases)
        .where(leases.c.name == lease.name, leases.c.token == lease.token, leases.c.owner == lease.owner)
        .values(expires_at=now)
    )


_HOLDER = select(leases.c.token, leases.c.owner).where(leases.c.name == bindparam("name")).with_for_update(read=True)


def check_lease(conn: Connection, lease: Lease) -> None:
    """Raise LeaseLostError unless the lease is still ours, and keep it so until this transaction ends."""
    row = conn.execute(_HOLDER, {"name": lease.name}).first()
    if row is None or row.token != lease.token or row.owner != lease.owner:
        raise LeaseLostError(f"the {lease.name} lease went to another instance; this work is dropped")
