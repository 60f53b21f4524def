"""Scripted faults: what goes wrong with which request, how often, and whether the effect still happens.

| kind | effect | the client sees |
|---|---|---|
| refused_before | no | the connection closed |
| lost_request | no | the connection closed, after `seconds` if given |
| lost_answer | yes | the connection closed, after `seconds` if given |
| error_before | no | a 5xx (`status`, 503), Retry-After if given |
| error_after | yes | a 5xx (`status`, 500), Retry-After if given |
| too_many | no | 429 with Retry-After (`retry_after`, 1) |
| slow | yes, after `seconds` | the answer, after `seconds` (1); it takes effect even if the client has gone |
| cut_body | yes | half of the body that Content-Length promised |
| html | no | 200 (`status`) with a login page |
| html_after | yes | 200 (`status`) with a login page |
| unauthorized | no | 401 |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from threading import Lock

from sync.sandbox.requests import Seen

KINDS = frozenset(
    {
        "refused_before",
        "lost_request",
        "lost_answer",
        "error_before",
        "error_after",
        "too_many",
        "slow",
        "cut_body",
        "html",
        "html_after",
        "unauthorized",
    }
)
ENDPOINTS = frozenset(
    {
        "mpw.login",
        "mpw.issuances",
        "mpw.receipts",
        "mpw.post_receipt",
        "mpw.post_issuance",
        "mpw.delete_receipt",
        "mpw.delete_issuance",
        "mpw.inventories",
        "mpw.post_inventory",
        "mpw.transfer",
        "mpw.equipment",
        "mpw.work_orders",
        "mpw.purchase_orders",
        "mpw.approve",
        "mpservices.movements",
        "mpservices.work_orders",
        "mpservices.create_product",
        "mpservices.patch_stock",
    }
)
NO_EFFECT = frozenset({"refused_before", "lost_request", "error_before", "too_many", "html", "unauthorized"})


@dataclass(slots=True, eq=False)
class Fault:
    """One scripted fault; `times` None: until it is removed. `hits` counts the requests it struck."""

    endpoint: str
    kind: str
    times: int | None = 1
    after: int = 0
    status: int | None = None
    retry_after: int | str | None = None
    seconds: float | None = None
    match: Callable[[Seen], bool] | None = None
    hits: int = 0

    @property
    def spent(self) -> bool:
        """Whether it has struck as often as it was to."""
        return self.times is not None and self.hits >= self.times

    @property
    def has_effect(self) -> bool:
        """Whether the request still does what it asks for."""
        return self.kind not in NO_EFFECT

    def concerns(self, seen: Seen) -> bool:
        """Return whether a request is one of those it is for."""
        return fnmatchcase(seen.endpoint, self.endpoint) and (self.match is None or self.match(seen))


class Faults:
    """The faults in force; the oldest that concerns a request strikes it."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = Lock()

    def add(
        self,
        endpoint: str,
        kind: str,
        times: int | None = 1,
        after: int = 0,
        *,
        status: int | None = None,
        retry_after: int | str | None = None,
        seconds: float | None = None,
        match: Callable[[Seen], bool] | None = None,
    ) -> Fault:
        """Script a fault for an endpoint (a name of `ENDPOINTS`, or a pattern such as `mpw.*`).

        It lets `after` of its requests pass and strikes the next `times` (None: all). ValueError for a kind
        or an endpoint that does not exist, so that a typing error is no fault that never happens.
        """
        if kind not in KINDS:
            raise ValueError(f"no such kind of fault: {kind}; there are {', '.join(sorted(KINDS))}")
        if not any(fnmatchcase(name, endpoint) for name in ENDPOINTS):
            raise ValueError(f"no such endpoint: {endpoint}; there are {', '.join(sorted(ENDPOINTS))}")
        fault = Fault(endpoint, kind, times, after, status, retry_after, seconds, match)
        with self._lock:
            self._faults.append(fault)
        return fault

    def take(self, seen: Seen) -> Fault | None:
        """Return the fault that strikes this request, and count it."""
        with self._lock:
            for fault in self._faults:
                if fault.spent or not fault.concerns(seen):
                    continue
                if fault.after > 0:
                    fault.after -= 1
                    continue
                fault.hits += 1
                return fault
        return None

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    def pending(self) -> list[Fault]:
        """Return the faults that may still strike."""
        with self._lock:
            return [fault for fault in self._faults if not fault.spent]
