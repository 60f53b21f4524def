"""The files that each format makes of one small month: `python -m tests.journal.golden` makes them anew."""

from __future__ import annotations

import sys
import tempfile
from datetime import date
from pathlib import Path

from sync.journal.batches import export_journal
from sync.journal.formats.model import Options
from sync.journal.formats.registry import FORMATS
from tests.journal.books import Books

FOLDER = Path(__file__).parent / "golden"
OPTIONS = Options(tax_rate="Tax Exempt", company="Quarry Ltd")
CHART = """use,equipment,part,warehouse,account,cost_center,name
inventory,,,,1410,,Parts
inventory,,,WH2,1420,,Parts WH2
grni,,,,2150,,Goods received not invoiced
expense,,,,5100,,Parts used
expense,LDR-4,,,5120,QUARRY,Loader 4
expense,,BRG-*,,5110,,Bearings
rounding,,,,5190,,Rounding
"""
CASES = [(name, mode) for name in FORMATS for mode in ("summary", "detail")]


def small_month(books: Books) -> None:
    """Book receipts, issues, an edit, odd texts, six decimals, and what the ERP booked itself."""
    books.accounts(CHART)
    bosch = {"vendor_name": 'Bosch "Süd", GmbH', "purchase_order_number": 1005, "invoice_number": "=INV-7"}
    books.receive("mpw-r-1", "3", "27.95", remote_id="1", item="FLT-100", raw=bosch, occurred_on=date(2024, 3, 4))
    edited = books.receive("mpw-r-2", "7", "0.333333", remote_id="2", item="BRG-6204", occurred_on=date(2024, 3, 4))
    books.issue("mpw-i-3", "1", "27.95", remote_id="3", item="FLT-100", raw={"description": "eq:LDR-4 wo:17"})
    books.issue("mpw-i-4", "2", "0.333333", remote_id="4", item="BRG-6204")
    books.append("erp", "receipt", "ERP-1", "5", "2")
    books.receive("ERP-1", "5", "2", remote_id="5")
    books.reverse(edited)
    books.receive("mpw-r-2", "6", "0.333333", remote_id="2", item="BRG-6204", occurred_on=date(2024, 3, 4))
    books.receive("mpw-r-6", "1", "1234567.894999", remote_id="6", item="+pump", warehouse="WH2")
    books.book()


def made(books: Books, folder: Path, name: str, mode: str) -> Path:
    """Return the file that a format makes of what was booked, without giving it."""
    path = folder / f"{name}-{mode}{FORMATS[name].suffix}"
    export_journal(books.context(), path, format_=name, mode=mode, options=OPTIONS, by="test", look=True)
    return path


def main() -> None:
    """Make every file anew."""
    from sync.database.engine import Store
    from sync.database.migrate import upgrade
    from tests.clocks import FakeClock

    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/golden.db"
        upgrade(url)
        books = Books(Store(url), FakeClock())
        small_month(books)
        for name, mode in CASES:
            path = made(books, Path(folder), name, mode)
            (FOLDER / path.name).write_bytes(path.read_bytes())
            sys.stdout.write(f"{path.name}\n")
        books.store.close()


if __name__ == "__main__":
    main()
