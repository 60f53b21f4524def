"""Maintenance Pro Web's API, call by call ("Maintenance Pro Web API Documentation")."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import date, timedelta
from typing import Literal

import httpx

from sync.clients.fingerprint import fingerprint
from sync.clients.http import Answer, Http, RequestSeen
from sync.clients.jsontext import decode
from sync.clients.mpw.approval import ApprovalResult, read_approval, results_in
from sync.clients.mpw.session import Session, Token
from sync.clients.written import Written, read_written
from sync.clock import Clock
from sync.errors import AuthError, ConfigError, InvariantError, OutcomeUnknownError, RemoteError, RetryableError

__all__ = ["APPROVALS_MAX", "MpwClient", "Written"]

APPROVALS_MAX = 50
"""Up to 50 purchase order numbers may be sent separated by a comma (Purchase Orders - POST)."""

FRESH_TOKEN_SECONDS = 60.0
"""A token this young that is refused twice in a row was not refused for its age."""

_GONE = (404, 410)

WorkOrderDate = Literal["start_on", "scheduled_on", "due_on", "completed_on"]
OrderDate = Literal["created_on", "required_on", "completed_on"]


class MpwClient:
    """One MPW account; safe to use from several threads.

    Reads return the raw answer (`sync.clients.mpw.wire` reads it), so that an equal body need not be
    parsed. Writes post the frozen JSON text of the inner object byte for byte. Every call may raise
    AuthError and RetryableError; reads RejectedError and MalformedResponseError (a redirect); writes
    RejectedError and OutcomeUnknownError. A write answered 401 was not executed: its token is dropped
    and RetryableError(status=401) raised, and nothing is sent again here.
    """

    def __init__(
        self,
        base_url: str,
        email: str,
        password: str,
        *,
        clock: Clock,
        timeout_seconds: float = 30,
        max_requests_per_second: float = 10,
        concurrency: int = 4,
        transport: httpx.BaseTransport | None = None,
        allow_plain_http: bool = False,
        observer: Callable[[RequestSeen], None] | None = None,
    ) -> None:
        if not email or not password:
            raise ConfigError("MPW: e-mail and password must both be set")
        self._http = Http(
            base_url,
            system="mpw",
            clock=clock,
            timeout_seconds=timeout_seconds,
            max_requests_per_second=max_requests_per_second,
            concurrency=concurrency,
            transport=transport,
            secrets=self._secrets,
            observer=observer,
            allow_plain_http=allow_plain_http,
        )
        self.fingerprint = fingerprint(self._http.base_url, email, password)
        self._session = Session(self._http, email=email, password=password, clock=clock)

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

    def log_in(self) -> None:
        """Make sure that there is a token (Authentication); raises AuthError or RetryableError."""
        self._session.token()

    def forget_failure(self, *, older_than_seconds: float = 0.0) -> None:
        """Allow one more login after the credentials were refused, that long ago at least (Authentication)."""
        self._session.forget_failure(older_than_seconds=older_than_seconds)

    # reads

    def issuances(self, day: date, warehouse_name: str | None = None) -> Answer:
        """Return the issuances of a day, of one warehouse where it is named (Issuances - GET)."""
        return self._read("/issuances", {"date": day.isoformat(), "warehouse_name": warehouse_name})

    def receipts(
        self,
        day: date | None = None,
        *,
        api_key: str | None = None,
        vendor_name: str | None = None,
        vendor_number: str | None = None,
        part_number: str | None = None,
    ) -> Answer:
        """Return the receipts of a day, or the one with this api_key: exactly one of both (Receipts - GET).

        A key that is not there may be answered 404, which the document leaves open; it is returned with
        that status and the body `[]`.
        """
        if (day is None) == (api_key is None):
            raise InvariantError("receipts are asked for by day or by api_key")
        return self._read(
            "/receipts",
            {
                "date": day.isoformat() if day else None,
                "api_key": api_key,
                "vendor_name": vendor_name,
                "vendor_number": vendor_number,
                "part_number": part_number,
            },
            absent_is_empty=api_key is not None,
        )

    def inventories(
        self, *, warehouse_name: str | None = None, part_number: str | None = None, api_key: str | None = None
    ) -> Answer:
        """Return the stock of a part in a warehouse, or of an api_key (Inventory - GET).

        What is not there may be answered 404; it is returned with that status and the body `[]`.
        """
        if api_key is None and (warehouse_name is None or part_number is None):
            raise InvariantError("inventories are asked for by warehouse and part, or by api_key")
        return self._read(
            "/inventories",
            {"warehouse_name": warehouse_name, "part_number": part_number, "api_key": api_key},
            absent_is_empty=True,
        )

    def gps_meter_updates(
        self, provider: str, *, name: str | None = None, serial_number: str | None = None, gps_key: str | None = None
    ) -> Answer:
        """Return the equipment of a GPS provider, whose name must match exactly (Equipment - GET)."""
        return self._read(
            "/gps_meter_updates",
            {"gps_provider": provider, "name": name, "serial_number": serial_number, "gps_key": gps_key},
        )

    def work_orders(
        self,
        by: WorkOrderDate,
        first: date,
        last: date,
        *,
        status: str | None = None,
        page: int | None = None,
        also: tuple[str, date, date] | None = None,
    ) -> Answer:
        """Return the work orders of a span of days, both inclusive, by one of four dates (Work Orders- GET).

        No page parameter is documented; `page` from 2 on is sent in the hope that there is one. `also` is a range of
        another of its dates (name, first, last), to narrow a day that does not fit a page.
        """
        return self._range("/work_orders", (by, first, last), also, status, page)

    def purchase_orders(
        self,
        by: OrderDate,
        first: date,
        last: date,
        *,
        status: str | None = None,
        page: int | None = None,
        also: tuple[str, date, date] | None = None,
    ) -> Answer:
        """Return the purchase orders of a span of days, both inclusive, by one of three dates (Purchase Orders - GET).

        No page parameter is documented; `page` from 2 on is sent in the hope that there is one. `also` is a range of
        another of its dates (name, first, last), to narrow a day that does not fit a page.
        """
        return self._range("/purchase_orders", (by, first, last), also, status, page)

    # writes

    def post_receipt(self, receipt: str) -> Written:
        """Create a receipt, or update the one with this api_key while none of it is used (Receipts - POST)."""
        return self._post("/receipts", "receipt", receipt)

    def post_issuance(self, issuance: str) -> Written:
        """Create an issuance; an api_key that exists is refused (Issuances - POST).

        The rows are several where equipment or a work order was named and the quantity was split over receipts.
        """
        return self._post("/issuances", "issuance", issuance)

    def post_inventory(self, inventory: str) -> Written:
        """Create a part in a warehouse, or update the one with this api_key (Inventory - POST)."""
        return self._post("/inventories", "inventory", inventory)

    def post_transfer(self, transfer: str) -> Written:
        """Move stock between warehouses; it has no key, so a repeat moves it again (Inventory Transfers - POST)."""
        return self._post("/inventory_transfers", "inventory_transfer", transfer)

    def approve(self, numbers: Sequence[str]) -> tuple[ApprovalResult, Answer]:
        """Set up to 50 requisitions to "Ordered"; there is no undo (Purchase Orders - POST)."""
        if not 1 <= len(numbers) <= APPROVALS_MAX or any("," in n or not n.strip() for n in numbers):
            raise InvariantError(f"an approval takes 1 to {APPROVALS_MAX} order numbers")
        body = '{"purchase_order_numbers":"' + ",".join(numbers) + '"}'
        answer = self._write("POST", "/purchase_orders/approve", body, accept=range(400, 500))
        if answer.status >= 400 and (answer.status in (408, 425, 429) or results_in(answer.body) is None):
            raise self._http.error_of(answer, write=True)
        return read_approval(answer, numbers, self._http.redactor), answer

    def delete_receipt(self, api_key: str) -> Written:
        """Delete the receipt with this api_key; one that is not there is a RejectedError, 404 (Receipts - DELETE).

        A 404 that is an HTML page is an OutcomeUnknownError.
        """
        return self._delete("receipt", api_key)

    def delete_issuance(self, api_key: str) -> Written:
        """Delete every issuance with this api_key; none is a RejectedError, 404 (Issuances - DELETE)."""
        return self._delete("issuance", api_key)

    def _range(
        self,
        path: str,
        span: tuple[str, date, date],
        also: tuple[str, date, date] | None,
        status: str | None,
        page: int | None,
    ) -> Answer:
        params: dict[str, str | None] = {}
        for by, first, last in (span, also) if also is not None else (span,):
            params |= {f"{by}_from": first.isoformat(), f"{by}_to": last.isoformat()}
        shown = str(page) if page is not None and page > 1 else None
        return self._read(path, {**params, "status": status, "page": shown})

    def _read(self, path: str, params: dict[str, str | None], *, absent_is_empty: bool = False) -> Answer:
        sent = {name: value for name, value in params.items() if value is not None}
        accept = (404,) if absent_is_empty else ()
        try:
            answer = self._with_token("GET", path, write=False, params=sent, accept=accept)
        except _TokenRefusedError:
            answer = self._read_again(path, sent, accept)
        if answer.status == 404:
            if not _is_json(answer.body):
                raise self._http.error_of(answer, write=False)
            return Answer(404, b"[]", answer.headers, answer.answered_at)
        return answer

    def _read_again(self, path: str, params: dict[str, str], accept: Collection[int]) -> Answer:
        try:
            return self._with_token("GET", path, write=False, params=params, accept=accept)
        except _TokenRefusedError as error:
            raise error.as_retryable() from None

    def _post(self, path: str, envelope: str, inner: str) -> Written:
        answer = self._write("POST", path, '{"' + envelope + '":' + inner + "}")
        return read_written(answer, self._http.redactor, id_names=("id",), empty_is_fine=False)

    def _delete(self, kind: str, api_key: str) -> Written:
        answer = self._write("DELETE", (kind, api_key), None, accept=_GONE)
        if answer.status in _GONE:
            raise self._not_there(answer)
        return read_written(answer, self._http.redactor, id_names=("id", "api_key"), empty_is_fine=True)

    def _not_there(self, answer: Answer) -> RemoteError:
        """Return what a delete's 404 means: an HTML page is a proxy's or another service's, not the vendor's word."""
        error = self._http.error_of(answer, write=True)
        if not answer.body.lstrip().startswith(b"<"):
            return error
        return OutcomeUnknownError(
            f"the delete was answered HTTP {answer.status} with an HTML page: {error.message}",
            status=error.status,
            body=error.body,
            answered_at=error.answered_at,
            hint="if this stays, check MPW_BASE_URL and the proxies on the way",
        )

    def _write(
        self, method: str, path: str | tuple[str, ...], body: str | None, accept: Collection[int] = ()
    ) -> Answer:
        try:
            return self._with_token(method, path, write=True, body=body, accept=accept)
        except _TokenRefusedError as error:
            raise error.as_retryable() from None

    def _with_token(
        self,
        method: str,
        path: str | tuple[str, ...],
        *,
        write: bool,
        params: dict[str, str] | None = None,
        body: str | None = None,
        accept: Collection[int] = (),
    ) -> Answer:
        """Send one request with the token; raise `_TokenRefusedError` for a 401 after dropping the token."""
        token = self._session.token()
        headers = {"Authorization": f"Bearer {token.text}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        endpoint = path.strip("/") if isinstance(path, str) else path[0]
        accepted = [status for status in accept if status != 401]
        try:
            answer = self._http.send(
                method,
                path,
                write=write,
                endpoint=endpoint,
                params=params,
                content=body.encode() if body is not None else None,
                headers=headers,
                accept=accepted,
            )
        except AuthError as error:
            raise self._refused(token, error) from None
        return answer

    def _refused(self, token: Token, error: AuthError) -> _TokenRefusedError:
        self._session.drop(token)
        return _TokenRefusedError(error, self._session.age_seconds(token) < FRESH_TOKEN_SECONDS)

    def _secrets(self) -> tuple[str, ...]:
        return self._session.secrets() if hasattr(self, "_session") else ()


class _TokenRefusedError(Exception):
    """A call was answered 401: nothing was done; `fresh` when its token had just been obtained."""

    def __init__(self, error: AuthError, fresh: bool) -> None:
        super().__init__(error.message)
        self.error = error
        self.fresh = fresh

    def as_retryable(self) -> RetryableError:
        """The login works, so the credentials are right: whatever it is, it may pass, and nothing was done."""
        error = self.error
        message = f"MPW refuses even a new token: {error.message}" if self.fresh else error.message
        hint = "if this stays, check that the account may use the API" if self.fresh else None
        return RetryableError(message, status=401, body=error.body, answered_at=error.answered_at, hint=hint)


def _is_json(body: bytes) -> bool:
    """Tell whether a 404 is the vendor's own word; a proxy's page is not."""
    try:
        decode(body)
    except ValueError:
        return False
    return True
