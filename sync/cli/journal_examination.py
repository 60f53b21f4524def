"""What `mpsync doctor` says of the journal: what it lacks to begin, and what was set and no longer counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from sync.app import journal_terms_of
from sync.cli.examination import Finding
from sync.database.engine import Store
from sync.database.facts import fact
from sync.database.migrate import check
from sync.errors import SyncError
from sync.journal.account_rows import version_in_force
from sync.journal.derive import JOURNAL_TERMS, Fixed, fixed_of
from sync.journal.rows import has_entries

if TYPE_CHECKING:
    from sync.settings import Settings


def of_journal(settings: Settings) -> Iterator[Finding]:
    """Say whether a journal is kept, and what is missing."""
    terms = journal_terms_of(settings)
    try:
        if not check(settings.database_url).up_to_date:
            return
        with closing(Store(settings.database_url)) as store, store.read() as conn:
            version, known = version_in_force(conn), fact(conn, JOURNAL_TERMS)
            fixed = fixed_of(known) if known is not None and has_entries(conn) else None
    except (SQLAlchemyError, SyncError):
        return  # of_database has said so
    if terms.starts_on is None:
        if version:
            do = "set SYNC_JOURNAL_FROM to the first day of the books, and restart"
            yield Finding("journal", "wrong", "there are rules of accounts, and SYNC_JOURNAL_FROM is not set", do)
        else:
            do = "nothing if you want none; docs/accounting.md says how to begin"
            yield Finding("journal", "note", "none is kept: SYNC_JOURNAL_FROM and rules of accounts are not set", do)
        return
    if not version:
        do = "`mpsync accounts sample FILE`, correct FILE, then `mpsync accounts import FILE`"
        yield Finding("journal", "wrong", "SYNC_JOURNAL_FROM is set, and there are no rules of accounts", do)
        return
    yield Finding("journal", "ok", f"kept from {(fixed or terms).starts_on}, by version {version} of the accounts")
    wanted = Fixed(terms.starts_on, terms.currency, terms.decimals)
    if fixed is not None and wanted != fixed:
        do = "set them back: SYNC_JOURNAL_FROM, SYNC_CURRENCY and SYNC_JOURNAL_DECIMALS are fixed by the first entry"
        what = f"its entries are in {fixed.currency} with {fixed.decimals} decimals from {fixed.starts_on}: that stands"
        yield Finding("journal", "wrong", what, do)
