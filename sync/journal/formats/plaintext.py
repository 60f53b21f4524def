"""Ledgers of plain text: hledger and Ledger read one file, Beancount another. Each checks what it reads."""

from __future__ import annotations

import re
from functools import lru_cache

from sync.journal.formats.model import Document, Format, Options, amount_text, printable

UNDER = {
    "inventory": "Assets:Inventory",
    "transfer": "Assets:Transfer",
    "grni": "Liabilities:GRNI",
    "found": "Income:Found",
    "opening": "Equity:Opening",
    "expense": "Expenses:Parts",
    "variance": "Expenses:Variance",
    "rounding": "Expenses:Rounding",
}
"""Where each use's accounts hang: these programs tell by the first part what sort of account it is."""

_ELSE = "Equity:Other"


def names_of(options: Options) -> dict[str, str]:
    """Return what each account is called; two never share a name, whatever signs theirs are made of."""
    return dict(_named(tuple(sorted((code, use) for code, (use, _) in options.accounts.items()))))


@lru_cache(maxsize=8)
def _named(accounts: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    taken: set[str] = set()
    named = []
    for code, use in accounts:
        plain = re.sub(r"[^A-Za-z0-9-]+", "-", code).strip("-") or "Account"
        plain = plain if plain[0].isdigit() or plain[0].isupper() else f"X{plain}"
        name, n = f"{UNDER.get(use, _ELSE)}:{plain}", 1
        while name in taken:
            n += 1
            name = f"{UNDER.get(use, _ELSE)}:{plain}-{n}"
        taken.add(name)
        named.append((code, name))
    return tuple(named)


def _commodity(options: Options) -> str:
    return f"1000.{'0' * options.decimals} {options.currency}"


def _ledger_head(options: Options) -> str:
    lines = [f"commodity {options.currency}", f"    format {_commodity(options)}", ""]
    return "\n".join([*lines, *(f"account {name}" for name in sorted(names_of(options).values()))]) + "\n"


def _ledger_text(text: str | None) -> str:
    """Return a text that neither ends its field nor begins a comment."""
    return re.sub(r"\s+", " ", printable(text).replace(";", ",").replace("|", "/")).strip()


def _ledger(document: Document, options: Options) -> str:
    names = names_of(options)
    lines = [f"\n{document.booked_on} ({document.number.replace(')', ' ')}) {_ledger_text(document.text)}"]
    lines += [
        f"    {names[line.account]}    {amount_text(line.amount, options.decimals)} {options.currency}"
        for line in document.lines
    ]
    return "\n".join(lines) + "\n"


def _beancount_head(options: Options) -> str:
    lines = [f'option "operating_currency" "{options.currency}"', ""]
    opened = sorted(names_of(options).values())
    return "\n".join([*lines, *(f"{options.first_day} open {name} {options.currency}" for name in opened)]) + "\n"


def _beancount(document: Document, options: Options) -> str:
    names = names_of(options)
    text = printable(document.text).replace("\\", "/").replace('"', "'")
    number = printable(document.number).replace("\\", "/").replace('"', "'")
    lines = [f'\n{document.booked_on} * "{text}"', f'  document: "{number}"']
    lines += [
        f"  {names[line.account]}  {amount_text(line.amount, options.decimals)} {options.currency}"
        for line in document.lines
    ]
    return "\n".join(lines) + "\n"


HLEDGER = Format("hledger", ".journal", _ledger_head, _ledger)
LEDGER = Format("ledger", ".ledger", _ledger_head, _ledger)
BEANCOUNT = Format("beancount", ".beancount", _beancount_head, _beancount)
