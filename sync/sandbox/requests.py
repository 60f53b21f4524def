"""The log of every request that reached the sandbox."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock

LIMIT = 100_000
"""A long-running sandbox forgets older requests."""


@dataclass(slots=True)
class Seen:
    """One request: `status` is None while it is under way, and for good when the connection was closed unanswered."""

    system: str
    endpoint: str
    method: str
    path: str
    query: dict[str, str]
    body: str
    at: datetime
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None
    fault: str | None = None

    @property
    def is_write(self) -> bool:
        """Whether it was meant to change something at the vendor (a login is none)."""
        return self.method != "GET" and self.endpoint != "mpw.login"


class RequestLog:
    """Requests in order of arrival. Credentials are left out of what is kept."""

    def __init__(self) -> None:
        self._seen: deque[Seen] = deque(maxlen=LIMIT)
        self._lock = Lock()

    def add(self, seen: Seen) -> None:
        """Append a request."""
        with self._lock:
            self._seen.append(seen)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._seen.clear()

    def all(self) -> list[Seen]:
        """Return a copy."""
        with self._lock:
            return list(self._seen)

    def of(self, endpoint: str) -> list[Seen]:
        """Return the requests of one endpoint, such as `mpw.post_receipt`."""
        return [seen for seen in self.all() if seen.endpoint == endpoint]

    def writes(self) -> list[Seen]:
        """Return the requests that were meant to change something."""
        return [seen for seen in self.all() if seen.is_write]

    def __iter__(self) -> Iterator[Seen]:
        return iter(self.all())

    def __len__(self) -> int:
        return len(self._seen)

    def __getitem__(self, place: int) -> Seen:
        return self.all()[place]
