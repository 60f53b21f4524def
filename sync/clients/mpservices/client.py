"""MPservices' API, call by call (the vendor's "API" page)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from urllib.parse import urlencode

import httpx

from sync.clients.fingerprint import fingerprint
from sync.clients.http import Answer, Http, RequestSeen
from sync.clients.jsontext import decode
from sync.clients.written import Written, read_accepted
from sync.clock import Clock
from sync.errors import AuthError, ConfigError, InvariantError, RejectedError

__all__ = ["MpservicesClient", "Written"]

MOVEMENTS_PATH = "/FetchTenantsInventoryMovements"
STOCK_COST_PATH = "/UpdateProductStockCost"
_PRINTED_TOKENS = ("MPSER110_<sample token>", "MPSER110_sample token", "<sample token>", "sample token")


class MpservicesClient:
    """One MPservices tenant; safe to use from several threads.

    Every call may raise AuthError (401 or 403), RetryableError and RejectedError; writes also
    OutcomeUnknownError, which only the movement that the write makes can settle. A call whose path is
    not set raises ConfigError: its URL is not in the document.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        clock: Clock,
        timeout_seconds: float = 30,
        max_requests_per_second: float = 5,
        concurrency: int = 2,
        work_orders_path: str = "",
        create_product_path: str = "",
        transport: httpx.BaseTransport | None = None,
        allow_plain_http: bool = False,
        observer: Callable[[RequestSeen], None] | None = None,
    ) -> None:
        self._token = _checked_token(token)
        self._http = Http(
            base_url,
            system="mpservices",
            clock=clock,
            timeout_seconds=timeout_seconds,
            max_requests_per_second=max_requests_per_second,
            concurrency=concurrency,
            transport=transport,
            secrets=lambda: (self._token,),
            observer=observer,
            allow_plain_http=allow_plain_http,
        )
        self._work_orders_path = self._path(work_orders_path, "MPSERVICES_WORK_ORDERS_PATH")
        self._create_product_path = self._path(create_product_path, "MPSERVICES_CREATE_PRODUCT_PATH")
        self.fingerprint = fingerprint(self._http.base_url, self._token)

    @property
    def tells_time(self) -> bool:
        """Whether the vendor says in its answers what time it is, as far as is known."""
        return self._http.tells_time

    def clock_ahead(self) -> timedelta | None:
        """Return how far the vendor's clock is ahead of ours at this moment; None where it has not told its time."""
        return self._http.clock_ahead()

    def close(self) -> None:
        """Close the idle connections."""
        self._http.close()

    def movements(self) -> Answer:
        """Return the movements created in the last two days, the last first (Get Inventory movements)."""
        return self._send("GET", MOVEMENTS_PATH, "movements", write=False)

    def work_orders(self) -> Answer:
        """Return the work orders created in the last two days, the last first (Get work orders)."""
        return self._send("GET", _known(self._work_orders_path), "work_orders", write=False)

    def create_product(self, fields: str) -> Written:
        """Create a product from a frozen JSON object, its fields sent in that order (Create a new product)."""
        path = _known(self._create_product_path)
        return self._accepted(self._send("POST", path, "create_product", write=True, form=_form(fields)))

    def update_stock_cost(self, fields: str) -> Written:
        """Set a product's stock and cost, absolute values, which creates a movement (Update product stock and cost)."""
        answer = self._send("PATCH", STOCK_COST_PATH, "update_stock_cost", write=True, form=_form(fields))
        return self._accepted(answer)

    def _accepted(self, answer: Answer) -> Written:
        return read_accepted(answer, self._http.redactor)

    def _send(self, method: str, path: str, endpoint: str, *, write: bool, form: bytes | None = None) -> Answer:
        headers = {"token": self._token}
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            return self._http.send(method, path, write=write, endpoint=endpoint, content=form, headers=headers)
        except (AuthError, RejectedError) as error:
            if error.status not in (401, 403):
                raise
            raise AuthError(
                f"MPservices refused the token (HTTP {error.status}): "
                + error.message.removeprefix(f"mpservices answered HTTP {error.status}: "),
                status=error.status,
                body=error.body,
                answered_at=error.answered_at,
                hint="check MPSERVICES_TOKEN in MPservices' Integrations Settings",
            ) from None

    def _path(self, path: str, setting: str) -> str:
        """Return an undocumented path without the base URL, should the whole address have been set."""
        text = path.strip().strip("'\"").removeprefix(self._http.base_url).strip("/")
        if "://" in text or re.search(r"[\s?#]", text) or any(part in (".", "..", "") for part in text.split("/")[1:]):
            raise ConfigError(f"{setting}: a path below the base URL is wanted, such as /FetchWorkOrders")
        return text


def _checked_token(token: str) -> str:
    text = token.strip()
    if text in _PRINTED_TOKENS:
        raise ConfigError("MPSERVICES_TOKEN: this is the token printed in the vendor's document; set your own")
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise ConfigError("MPSERVICES_TOKEN: it must be one word of printable ASCII characters")
    return text


def _known(path: str) -> str:
    if not path:
        raise ConfigError("the path of this call is not in MPservices' document and not set")
    return path


def _form(fields: str) -> bytes:
    """Return a JSON object as a form, its fields in the order in which they are written."""
    try:
        value = decode(fields.encode())
    except ValueError as error:
        raise InvariantError(f"the frozen fields are no JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvariantError("the frozen fields are no JSON object")
    return urlencode([(key, _form_text(item)) for key, item in value.items() if item is not None]).encode()


def _form_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, (str, int)):
        return str(value)
    raise InvariantError("a form holds texts and numbers only")
