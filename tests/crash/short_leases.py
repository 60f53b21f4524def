"""`mpsync` with leases of seconds, so that a test need not wait for the real ones.

`python -m tests.crash.short_leases run`. Nothing else differs from the program; the commands of this
folder use the real leases with `--real-leases`.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from typing import Any

from sync import daemon
from sync.__main__ import main
from sync.database import engine
from sync.outbox import claims as outbox_claims
from sync.push import calls as push_calls
from sync.work import lead

LEADS = timedelta(seconds=3)
TRUSTED = timedelta(seconds=2)
RENEW_SECONDS = 0.5
IDLE_IN_TRANSACTION_SECONDS = 2
CLAIMS_LESS = timedelta(seconds=19)
"""A claim's lease without the 20 s that it spares for a busy machine, but for one."""

_real = outbox_claims.lease_until


def _lease_until(now: datetime, **given: Any) -> datetime:
    return _real(now, **given) - CLAIMS_LESS


def shorten() -> None:
    """Shorten the leader's lease and the pusher's claims in this process."""
    lead.LASTS, lead.TRUSTED, lead.RENEW_SECONDS = LEADS, TRUSTED, RENEW_SECONDS
    engine.IDLE_IN_TRANSACTION_SECONDS = IDLE_IN_TRANSACTION_SECONDS
    for module, name, value in ((daemon, "RENEW_SECONDS", RENEW_SECONDS), (push_calls, "lease_until", _lease_until)):
        assert hasattr(module, name)  # imported there by name
        setattr(module, name, value)


if __name__ == "__main__":
    shorten()
    sys.exit(main())
