"""`mpsync` with leases of seconds, so that a test need not wait for the real ones.

`python -m tests.crash.short_leases run`. Nothing else differs from the program; the commands of this
folder use the real leases with `--real-leases`.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta

from sync import daemon
from sync.__main__ import main
from sync.flows import lead, push
from sync.store import engine

LEADS = timedelta(seconds=3)
TRUSTED = timedelta(seconds=2)
RENEW_SECONDS = 0.5
CLAIM_SPARE = timedelta(seconds=1)
IDLE_IN_TRANSACTION_SECONDS = 2


def _lease_until(now: datetime, *, request_timeout: timedelta) -> datetime:
    return now + 2 * request_timeout + CLAIM_SPARE


def shorten() -> None:
    """Shorten the leader's lease and the pusher's claims in this process."""
    lead.LASTS, lead.TRUSTED, lead.RENEW_SECONDS = LEADS, TRUSTED, RENEW_SECONDS
    daemon.RENEW_SECONDS = RENEW_SECONDS  # type: ignore[attr-defined]  # imported there by name
    engine.IDLE_IN_TRANSACTION_SECONDS = IDLE_IN_TRANSACTION_SECONDS
    push.lease_until = _lease_until  # type: ignore[attr-defined]  # imported there by name


if __name__ == "__main__":
    shorten()
    sys.exit(main())
