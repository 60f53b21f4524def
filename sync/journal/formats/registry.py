"""Every format by its name."""

from __future__ import annotations

from sync.journal.formats import plaintext, spreadsheet
from sync.journal.formats.model import Format

FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        spreadsheet.CSV,
        spreadsheet.JSONL,
        plaintext.HLEDGER,
        plaintext.LEDGER,
        plaintext.BEANCOUNT,
        spreadsheet.QBO,
        spreadsheet.XERO,
        spreadsheet.BC,
        spreadsheet.ODOO,
        spreadsheet.ERPNEXT,
    )
}
