"""Dates of the ERP's documents that are more likely a slip than meant: far ahead, or before the ledger begins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from sync.values.policy import Rules

ODD_DATE = "odd_date"
HINT = (
    "if the date is right, `mpsync exceptions resolve ID --apply --why TEXT`: it goes on as dated; if it is wrong, let "
    "the ERP void it and send it under a new key, which ends this; `--keep` in place of `--apply`: it is not sent"
)


@dataclass(frozen=True, slots=True)
class OddDate:
    """Why a date is odd, and from when it no longer is; None: while the settings are as they are."""

    why: str
    fine_from: datetime | None


def odd_date(day: date, *, policy: Rules, now: datetime) -> OddDate | None:
    """Return why a business date is odd: it lies beyond tomorrow, or before the ledger's first day."""
    if day < policy.start_date:
        return OddDate(f"before the ledger's first day, {policy.start_date} (SYNC_START_DATE)", None)
    tomorrow = policy.day(now) + timedelta(days=1)
    if day <= tomorrow:
        return None
    fine_from = datetime.combine(day - timedelta(days=1), time(), policy.timezone)
    return OddDate(f"beyond tomorrow, {tomorrow}", fine_from)
