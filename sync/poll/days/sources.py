"""The two lists that MPW gives one day at a time, as one kind of row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from sync.clients.http import Answer
from sync.clients.mpw.client import MpwClient
from sync.clients.mpw.day_rows import DayRow, read_issuance_rows, read_receipt_rows
from sync.clients.rows import Parsed
from sync.ledger.coverage import ISSUANCES, RECEIPTS
from sync.ledger.rules import ISSUANCE, RECEIPT
from sync.values.keys import mpw_issuance_key, mpw_receipt_key


@dataclass(frozen=True, slots=True)
class DaySource:
    """How one of the two lists is asked for, read and filed."""

    name: str
    kind: str  # of its ledger entries, and the type of its documents
    post: str  # the operation with which we make such rows
    delete: str
    sticky: bool  # a row keeps its key when what told it is edited away
    derived_key: Callable[[str], str]
    fetch: Callable[[MpwClient, date], Answer]
    read: Callable[[bytes], Parsed[DayRow]]


DAY_SOURCES: dict[str, DaySource] = {
    ISSUANCES: DaySource(
        ISSUANCES,
        ISSUANCE,
        "post_issuance",
        "delete_issuance",
        True,
        mpw_issuance_key,
        lambda client, day: client.issuances(day),
        read_issuance_rows,
    ),
    RECEIPTS: DaySource(
        RECEIPTS,
        RECEIPT,
        "post_receipt",
        "delete_receipt",
        False,
        mpw_receipt_key,
        lambda client, day: client.receipts(day),
        read_receipt_rows,
    ),
}
