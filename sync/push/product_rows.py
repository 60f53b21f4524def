"""What our own tables show of a product in MPservices, which no call can read back.

| what | when | shows that the product |
|---|---|---|
| a movement names its external id | createdAt | is there |
| a stock patch of it is done, and made a movement | the patch's last try | is there |
| such a patch is done without one, by a vendor that refuses it for want of a product | likewise | is there |
| a push that creates it is done | its end | is there |
| a stock patch of it was refused for want of a product | that try | is not there |

The newest of these counts: people delete products, too. A 2xx by itself proves nothing, neither of a patch: a vendor
may answer so to the patch of a product that it does not have.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, func, or_, select

from sync.database.schema import attempts, exceptions, movement_lines, outbox
from sync.outbox.machine import CREATE_PRODUCT, PATCH_STOCK
from sync.push.refusals import says_no_product


@dataclass(frozen=True, slots=True)
class ProductShown:
    """The newest evidence of a product: whether it is there, since when that is known, and how."""

    there: bool
    at: datetime
    evidence: str


def product_shown(conn: Connection, external_id: str) -> ProductShown | None:
    """Return the newest evidence of a product, None: there is none."""
    found = [*_moved(conn, external_id), *_patched(conn, external_id), *_created(conn, external_id)]
    return max(found, key=lambda one: (one.at, one.there)) if found else None


def patch_under_way(conn: Connection, external_id: str) -> bool:
    """Tell whether a stock patch of a product is on its way, which will show whether it is there."""
    query = select(outbox.c.id).where(
        outbox.c.item == external_id,
        outbox.c.operation == PATCH_STOCK,
        outbox.c.state.in_(("ready", "sending", "unknown")),
    )
    return conn.execute(query.limit(1)).first() is not None


def _moved(conn: Connection, external_id: str) -> list[ProductShown]:
    lines = movement_lines.c
    query = select(func.max(lines.created_at, type_=lines.created_at.type)).where(
        lines.external_id == external_id, lines.named, lines.digest != ""
    )
    at = conn.execute(query).scalar_one_or_none()
    return [] if at is None else [ProductShown(True, at, "a movement of MPservices names it")]


def _patched(conn: Connection, external_id: str) -> list[ProductShown]:
    last = and_(outbox.c.state == "done", attempts.c.n == outbox.c.tries)
    query = (
        select(outbox.c.id, outbox.c.remote_id, attempts)
        .join(attempts, attempts.c.outbox_id == outbox.c.id)
        .where(
            outbox.c.item == external_id,
            outbox.c.operation == PATCH_STOCK,
            or_(attempts.c.outcome == "rejected", last),
        )
    )
    tells = _refuses_what_is_not_there(conn)
    found = []
    for row in conn.execute(query):
        if row.outcome == "rejected":
            if says_no_product(row.error or "", row.http_status):
                told = f"stock patch {row.outbox_id} of it was refused: {row.error}"
                found.append(ProductShown(False, row.started_at, told))
        elif row.remote_id is not None or tells:
            told = f"stock patch {row.outbox_id} of it is done"
            found.append(ProductShown(True, row.started_at, told))
    return found


def _refuses_what_is_not_there(conn: Connection) -> bool:
    """Tell whether MPservices was ever seen to refuse the patch of a product that it does not have."""
    query = select(exceptions.c.id).where(exceptions.c.kind == "unknown_product").limit(1)
    return conn.execute(query).first() is not None


def _created(conn: Connection, external_id: str) -> list[ProductShown]:
    query = select(outbox.c.id, outbox.c.finalized_at).where(
        outbox.c.item == external_id, outbox.c.operation == CREATE_PRODUCT, outbox.c.state == "done"
    )
    return [ProductShown(True, row.finalized_at, f"push {row.id} created it") for row in conn.execute(query)]
