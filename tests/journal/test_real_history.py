"""A real purchasing history in accounts, to the cent."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from sync.journal.account_rows import save_rules
from sync.journal.accounts import numbered, read_rules, sample
from sync.journal.check import check_journal
from sync.journal.derive import journal_once
from sync.poll.backfill import backfill_once
from sync.sandbox.history import load_adventureworks
from sync.sandbox.server import Sandbox
from tests.e2e.test_real_history import FIRST, FOLDER, LAST
from tests.e2e.world import World

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the AdventureWorks data is not beside this checkout")

RECEIPTS = 8_704
INVENTORY, GRNI, ROUNDING = Decimal("61211692.90"), Decimal("-61211701.66"), Decimal("8.76")


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    with Sandbox(populate=False) as sandbox:
        load_adventureworks(sandbox.mpw, FOLDER)
        extra = {"SYNC_START_DATE": FIRST.isoformat(), "SYNC_JOURNAL_FROM": FIRST.isoformat()}
        yield World(sandbox, database_url, extra=extra)


def test_a_real_purchasing_history_ties_out_to_the_cent(world: World) -> None:
    with world.app() as app:
        backfill_once(app.context(), FIRST, LAST, sources=["mpw.receipts"], again=False)
        with app.context().anyone_writes() as books:
            save_rules(books, read_rules(numbered(sample())).rules, by="controller")
        with app.leading() as leadership:
            booked = journal_once(app.context(leadership)).added
        with app.store.read() as conn:
            found = check_journal(conn)

    balances = {name: Decimal(amount).scaleb(-6) for name, amount in found.by_account.items()}
    assert booked == RECEIPTS
    assert balances == {"1410": INVENTORY, "2150": GRNI, "5190": ROUNDING}
    assert found.wrong == []
    assert Decimal(found.rounded_value).scaleb(-6) == INVENTORY
