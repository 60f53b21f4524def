"""What a person would answer who looks at the vendors: about what no table and no reading can tell (rule 6)."""

from __future__ import annotations

import json
from collections.abc import Iterator

from sync.sandbox.server import Sandbox
from tests.crash.books import Books
from tests.crash.people import SECOND


def words_about_pushes(books: Books, sandbox: Sandbox) -> Iterator[tuple[int, bool]]:
    """Give the id of each transfer and product whose answer was lost and that a person is asked about: is it there?

    A product can be told by the stock patch of its item alone, and these have no part in MPW for one to come from.
    """
    doubts = books.query(
        "select o.id, o.operation, o.item from v_outbox o join v_exceptions e on e.subject = cast(o.id as text)"
        " where o.operation in ('post_transfer', 'create_product') and o.state = 'unknown'"
        " and e.kind = 'push_undecidable' and e.resolved_at is null order by o.id"
    )
    for doubt in doubts:
        item = str(doubt["item"])
        if doubt["operation"] == "post_transfer":
            yield int(doubt["id"]), sandbox.mpw.stock(item, SECOND) > 0
        else:
            yield int(doubt["id"]), any(one.external_id == item for one in sandbox.mpservices.products)


def words_about_echoes(books: Books, sandbox: Sandbox) -> Iterator[tuple[int, str | None]]:
    """Give the id of each doubt about a patch's own movement, and the movement that a patch made, None: none of them.

    A doubt comes of follow-ups that were killed one after the other, before their answers were read.
    """
    doubts = books.query(
        "select id, facts from exceptions where kind = 'echo_undecided' and resolved_at is null order by id"
    )
    made = {move.id for move in list(sandbox.mpservices.all_movements) if move.by_patch}
    for doubt in doubts:
        asked = json.loads(str(doubt["facts"])).get("movements", ())
        yield int(doubt["id"]), next((one for one in asked if one in made), None)
