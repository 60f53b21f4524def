"""A sandbox without data, on a clock that stands still, and clients that speak plain HTTP to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx
import pytest

from sync.sandbox.server import Sandbox

MAIN = "Warehouse #1"


class StillClock:
    """Time that moves only when a test moves it."""

    def __init__(self) -> None:
        self.instant = datetime(2023, 9, 19, 14, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.instant

    def monotonic(self) -> float:
        return self.instant.timestamp()

    def sleep(self, seconds: float, wake: threading.Event | None = None) -> bool:
        self.instant += timedelta(seconds=seconds)
        return False

    def advance(self, **spans: float) -> None:
        self.instant += timedelta(**spans)


class Vendor:
    """An HTTP client of one vendor: `call` returns the status and the JSON, numbers exact."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def call(self, method: str, path: str, **more: object) -> tuple[int, object]:
        answer = self.http.request(method, path, **more)  # type: ignore[arg-type]
        return answer.status_code, json.loads(answer.text, parse_float=Decimal)

    def get(self, path: str, **query: object) -> tuple[int, object]:
        return self.call("GET", path, params=query)

    def post(self, path: str, body: object) -> tuple[int, object]:
        return self.call("POST", path, json=body)

    def delete(self, path: str) -> tuple[int, object]:
        return self.call("DELETE", path)

    def post_receipt(self, **changes: object) -> tuple[int, object]:
        fields = {
            "part_number": "1233",
            "quantity_received": 4,
            "unit_cost": 2,
            "created_on": "2023-09-19",
            "api_key": "r1",
            "warehouse_name": MAIN,
        }
        return self.post("/receipts", {"receipt": _without_none(fields | changes)})

    def post_issuance(self, **changes: object) -> tuple[int, object]:
        fields = {
            "part_number": "1233",
            "quantity": 1,
            "created_on": "2023-09-19",
            "api_key": "i1",
            "warehouse_name": MAIN,
        }
        return self.post("/issuances", {"issuance": _without_none(fields | changes)})


def _without_none(fields: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def sandbox(clock: StillClock) -> Iterator[Sandbox]:
    """An empty sandbox with one part, 1233, in Warehouse #1."""
    with Sandbox(populate=False, clock=clock) as running:
        running.mpw.add_warehouse("WH2")
        running.mpw.add_part("1233", MAIN, name="Part name")
        yield running


@pytest.fixture
def anonymous(sandbox: Sandbox) -> Iterator[Vendor]:
    with httpx.Client(base_url=sandbox.mpw_url, verify=False) as http:
        yield Vendor(http)


@pytest.fixture
def mpw(sandbox: Sandbox) -> Iterator[Vendor]:
    """MPW with a valid token."""
    with httpx.Client(base_url=sandbox.mpw_url, verify=False) as http:
        token = http.post("/authentication", data={"email": sandbox.email, "password": sandbox.password})
        http.headers["Authorization"] = f"Bearer {token.json()['access_token']}"
        yield Vendor(http)


@pytest.fixture
def mpservices(sandbox: Sandbox) -> Iterator[Vendor]:
    with httpx.Client(base_url=sandbox.mpservices_url, headers={"token": sandbox.token}, verify=False) as http:
        yield Vendor(http)
