"""Files of cells: our own CSV and JSON lines, and what QuickBooks, Xero, Business Central, Odoo and ERPNext import.

What could not be tried against a live server stands in docs/accounting.md.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence

from sync.journal.formats.model import Document, Format, Line, Options, amount_text, day_as, printable, sides

COLUMNS = (
    "document",
    "booked_on",
    "line",
    "account",
    "debit",
    "credit",
    "description",
    "cost_center",
    "kind",
    "api_key",
    "item",
    "warehouse",
    "quantity",
    "vendor",
    "purchase_order",
    "invoice",
    "equipment",
    "work_order",
)
_FORMULA = ("=", "+", "-", "@")
_DETAILS = COLUMNS[8:]


def safe(text: str | None, longest: int = 0) -> str:
    """Return a text that no spreadsheet runs as a formula, without control characters."""
    shown = printable(text, longest)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown


def rows_text(rows: Iterable[Sequence[str]]) -> str:
    """Return rows as CSV, lines ended as spreadsheets end them."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return out.getvalue()


# --- our own ------------------------------------------------------------------------------


def _detail(line: Line, name: str) -> str:
    value = getattr(line, name)
    return "" if value is None else amount_text(value, 6).rstrip("0").rstrip(".") if name == "quantity" else safe(value)


def _csv_head(options: Options) -> str:
    return rows_text([COLUMNS])


def _csv(document: Document, options: Options) -> str:
    return rows_text(
        [
            safe(document.number),
            document.booked_on,
            str(n),
            safe(line.account),
            *sides(line, options),
            safe(document.text),
            safe(line.cost_center),
            *(_detail(line, name) for name in _DETAILS),
        ]
        for n, line in enumerate(document.lines, 1)
    )


def _jsonl(document: Document, options: Options) -> str:
    out = []
    for n, line in enumerate(document.lines, 1):
        debit, credit = sides(line, options, nothing=amount_text(0, options.decimals))
        known: dict[str, object] = {
            "document": document.number,
            "booked_on": document.booked_on,
            "line": n,
            "account": line.account,
            "debit": debit,
            "credit": credit,
            "description": document.text,
            "cost_center": line.cost_center,
        }
        for name in _DETAILS:
            value = getattr(line, name)
            known[name] = _detail(line, name) if name == "quantity" and value is not None else value
        out.append(json.dumps(known, ensure_ascii=False) + "\n")
    return "".join(out)


# --- QuickBooks Online --------------------------------------------------------------------

_QBO = ("JournalNo", "JournalDate", "AccountName", "Debits", "Credits", "Description", "Name", "Class")


def _qbo(document: Document, options: Options) -> str:
    day = day_as(document.booked_on, options.dates or "MM/DD/YYYY")
    return rows_text(
        (
            safe(document.number),
            day,
            safe(line.account),
            *sides(line, options),
            safe(document.text, 4000),
            safe(line.vendor),
            safe(line.cost_center),
        )
        for line in document.lines
    )


# --- Xero ---------------------------------------------------------------------------------

_XERO = (
    "*Narration",
    "*Date",
    "Description",
    "*AccountCode",
    "*TaxRate",
    "*Amount",
    "TrackingName1",
    "TrackingOption1",
)


def _xero(document: Document, options: Options) -> str:
    narration = safe(f"{document.number} {document.text}")  # what groups lines, so the number opens it
    return rows_text(
        (
            narration,
            day_as(document.booked_on, options.dates or "DD/MM/YYYY"),
            safe(line.item or document.text),
            safe(line.account),
            options.tax_rate,
            amount_text(line.amount, options.decimals),
            safe(options.tracking or "Cost center") if line.cost_center else "",
            safe(line.cost_center),
        )
        for line in document.lines
    )


# --- Business Central ---------------------------------------------------------------------

_BC = (
    "Posting Date",
    "Document No.",
    "Account Type",
    "Account No.",
    "Description",
    "Amount",
    "External Document No.",
)


def _bc(document: Document, options: Options) -> str:
    return rows_text(
        (
            day_as(document.booked_on, options.dates or "YYYY-MM-DD"),
            safe(document.number),
            "G/L Account",
            safe(line.account),
            safe(document.text, 100),
            amount_text(line.amount, options.decimals),
            safe(line.invoice, 20),
        )
        for line in document.lines
    )


# --- Odoo ---------------------------------------------------------------------------------

_ODOO = (
    "id",
    "date",
    "ref",
    "journal_id",
    "line_ids/account_id",
    "line_ids/name",
    "line_ids/debit",
    "line_ids/credit",
)


def _odoo(document: Document, options: Options) -> str:
    # a dot in an External ID is its module's
    external = "mpsync_" + document.number.replace(".", "_").replace("-", "_")
    head: tuple[str, ...] = (external, document.booked_on, safe(document.number), safe(options.journal or "MISC"))
    rows = []
    for line in document.lines:
        zero = amount_text(0, options.decimals)
        rows.append((*head, safe(line.account), safe(line.item or document.text), *sides(line, options, nothing=zero)))
        head = ("", "", "", "")
    return rows_text(rows)


# --- ERPNext ------------------------------------------------------------------------------

_ERPNEXT = (
    "ID",
    "Entry Type",
    "Company",
    "Posting Date",
    "Reference Number",
    "Reference Date",
    "User Remark",
    *(f"{name} (Accounting Entries)" for name in ("Account", "Debit", "Credit", "Cost Center")),
)


def _erpnext(document: Document, options: Options) -> str:
    day = document.booked_on
    head = ("", "Journal Entry", safe(options.company), day, safe(document.number), day, safe(document.text))
    rows = []
    for line in document.lines:
        zero = amount_text(0, options.decimals)
        rows.append((*head, safe(line.account), *sides(line, options, nothing=zero), safe(line.cost_center)))
        head = ("",) * 7
    return rows_text(rows)


def _headed(columns: Sequence[str]) -> str:
    return rows_text([columns])


CSV = Format("csv", ".csv", _csv_head, _csv)
JSONL = Format("jsonl", ".jsonl", lambda options: "", _jsonl)
QBO = Format("qbo", ".csv", lambda options: _headed(_QBO), _qbo, lines_max=1_000, number_max=21)
XERO = Format("xero", ".csv", lambda options: _headed(_XERO), _xero, lines_max=300, needs=("tax_rate",))
BC = Format("bc", ".csv", lambda options: _headed(_BC), _bc, number_max=20, account_max=20)
ODOO = Format("odoo", ".csv", lambda options: _headed(_ODOO), _odoo)
ERPNEXT = Format(
    "erpnext", ".csv", lambda options: _headed(_ERPNEXT), _erpnext, documents_max=5_000, needs=("company",)
)
