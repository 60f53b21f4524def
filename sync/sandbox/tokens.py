"""MPW's login: one account, tokens that look like a JSON Web Token and end by the clock."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from datetime import datetime, timedelta
from itertools import count

import msgspec

from sync.clock import Clock


class Tokens:
    """Tokens that were given out; "Tokens are valid for 24 hours" (MPW, Authentication)."""

    def __init__(self, clock: Clock, hours: float) -> None:
        self._clock = clock
        self._valid_for = timedelta(hours=hours)
        self._ends: dict[str, datetime] = {}
        self._serial = count(1)

    def issue(self, email: str) -> str:
        """Return a new token."""
        ends = self._clock.now() + self._valid_for
        head = {"alg": "HS256", "typ": "JWT"}
        claims = {"sub": email, "jti": next(self._serial), "exp": int(ends.timestamp())}
        token = ".".join(_segment(msgspec.json.encode(part)) for part in (head, claims, b"sandbox".hex()))
        self._ends[token] = ends
        return token

    def allows(self, authorization: str | None) -> bool:
        """Return whether an Authorization header carries a token that is still valid."""
        scheme, _, token = (authorization or "").partition(" ")
        ends = self._ends.get(token.strip())
        return scheme.lower() == "bearer" and ends is not None and self._clock.now() < ends

    def expire(self) -> None:
        """Let every token end now."""
        self._ends.clear()


def _segment(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
