"""The one function that speaks HTTP: limits, status → error, redaction. It never retries anything by itself."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import ssl
import threading
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import quote, urlencode, urlsplit

import httpx

from sync.clients.deadline import Deadline, bound
from sync.clients.inflate import ACCEPTED, Inflater, UndecodableError
from sync.clients.jsontext import decode
from sync.clients.redact import AnswerRedactor, without_credential
from sync.clients.retry_after import RetryAfter
from sync.clients.verdict import asks_to_wait, error_for, http_date
from sync.clock import Clock
from sync.errors import (
    ConfigError,
    InvariantError,
    MalformedResponseError,
    OutcomeUnknownError,
    RemoteError,
    RetryableError,
)

__all__ = ["Answer", "Http", "RequestSeen", "checked_base_url", "decode"]

MAX_BODY_BYTES = 64 * 1024 * 1024
VALUES_MAX = 2_000_000
"""In one answer. What is read of a value takes up to a hundred bytes, were it written with two: `[0,0,0,…`."""

TOO_LARGE_KEPT_BYTES = 1024 * 1024
"""Of an answer that is too large: what it says is told to people, and not read."""

KEEPALIVE_SECONDS = 5.0
"""Servers close idle connections after 5 s or more; a write on one that just closed would be ambiguous."""

TELLING_SECONDS_MAX = 60.0
"""An answer that took longer tells what time it is at the vendor too roughly: its Date header may be of any of them."""

_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A vendor's answer; header names in lower case, `answered_at` its Date header in UTC."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    answered_at: datetime | None


@dataclass(frozen=True, slots=True)
class RequestSeen:
    """One request for whoever counts them; `outcome` is "ok" or the name of the error's class."""

    system: str
    method: str
    endpoint: str
    write: bool
    status: int | None
    outcome: str
    seconds: float
    body_bytes: int


@dataclass(slots=True)
class _Received:
    """What came of a request: `cut` says why the body is not whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cut: str | None = None
    too_large: bool = False


class Http:
    """One vendor's HTTP service; safe to use from several threads.

    `timeout_seconds` bounds a whole request from its first byte to the last of the answer (waiting
    for a slot or for the pace comes before). TLS is always verified, redirects are never followed,
    cookies never kept. Proxies of the environment are used, except for a service on this machine.
    `observer` must not raise. Raises ConfigError for a base URL that would send secrets in the clear.
    """

    def __init__(
        self,
        base_url: str,
        *,
        system: str,
        clock: Clock,
        timeout_seconds: float,
        max_requests_per_second: float = 0,
        concurrency: int = 0,
        transport: httpx.BaseTransport | None = None,
        secrets: Callable[[], Iterable[str]] = tuple,
        max_body_bytes: int = MAX_BODY_BYTES,
        observer: Callable[[RequestSeen], None] | None = None,
        allow_plain_http: bool = False,
    ) -> None:
        self.base_url = checked_base_url(base_url, system=system, allow_plain_http=allow_plain_http)
        self.system = system
        self.redactor = AnswerRedactor(secrets)
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._max_body_bytes = max_body_bytes
        self._observer = observer
        self._slots = threading.BoundedSemaphore(concurrency) if concurrency > 0 else None
        self._pace = _Pace(clock, max_requests_per_second)
        self._rest = RetryAfter(clock)
        self._deadline = Deadline(clock)
        self._told: tuple[datetime, float] | None = None
        self.tells_time = True
        trust_env = not _is_loopback(urlsplit(self.base_url).hostname or "")
        self._client = httpx.Client(
            transport=transport,
            timeout=httpx.Timeout(timeout_seconds),
            limits=httpx.Limits(max_connections=None, keepalive_expiry=KEEPALIVE_SECONDS),
            follow_redirects=False,
            event_hooks={"response": [_forget_location]},
            verify=_tls(trust_env, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")),
            trust_env=trust_env,
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
            headers={"User-Agent": "mpsync", "Accept": "application/json", "Accept-Encoding": ACCEPTED},
        )
        bound(self._client, self._deadline)

    def close(self) -> None:
        """Close the idle connections."""
        self._client.close()

    def send(
        self,
        method: str,
        path: str | Sequence[str],
        *,
        write: bool,
        endpoint: str,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        accept: Container[int] = (),
    ) -> Answer:
        """Send one request and return its 2xx answer (or one whose status is in `accept`).

        A `path` given as a sequence is taken segment by segment, so that a "/" inside one is encoded.
        Raises RetryableError when nothing can have happened (connection refused, any failed read, 429, a vendor
        that asked with Retry-After to be left alone and is: nothing is sent),
        OutcomeUnknownError when a write may have taken effect, and else by status: see `error_for`.
        """
        url = self._url(path, params)
        with self._slots or contextlib.nullcontext():
            self._pace.wait()
            self._rest.check(self.system)
            with self._observed(method, endpoint, write) as seen:
                asked = self._clock.monotonic()
                received = self._exchange(method, url, write, content, headers)
                seen.append(received)
                answer = self._answer(received, write, accept)
                self._note_time(answer, asked, self._clock.monotonic())
                return answer

    def clock_ahead(self) -> timedelta | None:
        """Return how far the vendor's clock is ahead of ours at this moment; None where it has not told its time.

        Reckoned by monotonic seconds from its last good answer: also where our clock was set since.
        """
        told = self._told
        if told is None:
            return None
        return told[0] + timedelta(seconds=self._clock.monotonic() - told[1]) - self._clock.now()

    def _note_time(self, answer: Answer, asked: float, answered: float) -> None:
        """Remember what time it is there, known to half the time that the answer took.

        An answer from a cache is as old as it says (Age; RFC 9111, 5.1); one that took long tells too little. Errors
        may be of whatever stands in between.
        """
        if not 200 <= answer.status < 300 or answered - asked > TELLING_SECONDS_MAX:
            return
        self.tells_time = answer.answered_at is not None
        if answer.answered_at is not None:
            age = answer.headers.get("age", "0")
            old = int(age) if age.isascii() and age.isdigit() and len(age) < 10 else 0
            self._told = answer.answered_at + timedelta(seconds=0.5 + old), (asked + answered) / 2

    def error_of(self, answer: Answer, *, write: bool) -> RemoteError:
        """Return the error that an accepted answer outside 2xx stands for after all."""
        return error_for(
            answer.status,
            answer.body,
            answer.headers,
            write=write,
            system=self.system,
            answered_at=answer.answered_at,
            now=self._clock.now(),
            redactor=self.redactor,
        )

    def _url(self, path: str | Sequence[str], params: Mapping[str, str] | None) -> str:
        segments = path.strip("/").split("/") if isinstance(path, str) else list(path)
        if any(segment in ("", ".", "..") for segment in segments):
            raise InvariantError(f"no path can be made of {segments!r}")
        url = self.base_url + "/" + "/".join(quote(segment, safe="") for segment in segments)
        return f"{url}?{urlencode(params, quote_via=quote, safe='')}" if params else url

    def _exchange(
        self, method: str, url: str, write: bool, content: bytes | None, headers: Mapping[str, str] | None
    ) -> _Received:
        self._deadline.start(self._timeout_seconds)
        try:
            request = self._client.build_request(method, url, content=content, headers=headers)
        except httpx.InvalidURL as error:
            raise RetryableError(self._trouble("could not be reached", error)) from None
        try:
            response = self._client.send(request, stream=True)
        except _NEVER_SENT as error:
            raise RetryableError(self._trouble("could not be reached", error)) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            kind = OutcomeUnknownError if write else RetryableError
            raise kind(self._trouble("gave no answer", error)) from None
        try:
            return self._receive(response, headers or {})
        finally:
            response.close()

    def _receive(self, response: httpx.Response, headers: Mapping[str, str]) -> _Received:
        """Read the body as far as it comes, within the deadline and the size limit."""
        received = _Received(response.status_code, dict(response.headers), b"")
        body = bytearray()
        try:
            for piece in _opened(response, self._max_body_bytes + 1):
                body += piece
                if len(body) > self._max_body_bytes:
                    received.too_large = True
                    received.cut = f"sent more than {self._max_body_bytes} bytes"
                    break
                if self._deadline.left() <= 0:
                    received.cut = f"did not end its answer within {self._timeout_seconds:g} s"
                    break
        except (httpx.HTTPError, UndecodableError) as error:
            received.cut = self._trouble("cut its answer short", error, named=False)
        if received.cut is None and _values_at_most(body) > VALUES_MAX:
            received.too_large = True
            received.cut = f"sent more than {VALUES_MAX} values"
        if received.too_large:
            del body[TOO_LARGE_KEPT_BYTES:]  # several at once are not to be held any longer than they come
        received.body = without_credential(bytes(body), headers)
        return received

    def _answer(self, received: _Received, write: bool, accept: Container[int]) -> Answer:
        answered_at = http_date(received.headers.get("date"))
        answer = Answer(received.status, received.body, received.headers, answered_at)
        good = 200 <= received.status < 300
        wait = asks_to_wait(received.status, received.headers, answered_at or self._clock.now())
        if wait is not None:
            self._rest.ask(wait)
        if not good and received.status not in accept:
            raise self.error_of(answer, write=write)
        if received.cut is None:
            return answer
        if not good:
            raise self.error_of(answer, write=write)
        kind: type[RemoteError] = MalformedResponseError if received.too_large else RetryableError
        raise (OutcomeUnknownError if write else kind)(
            f"{self.system} {received.cut} (HTTP {received.status})",
            status=received.status,
            body=self.redactor.body(received.body),
            answered_at=answered_at,
        )

    def _trouble(self, what: str, error: Exception, *, named: bool = True) -> str:
        detail = str(error) or type(error).__name__
        return self.redactor.text(f"{self.system} {what}: {detail}" if named else f"{what}: {detail}")

    @contextlib.contextmanager
    def _observed(self, method: str, endpoint: str, write: bool) -> Iterator[list[_Received]]:
        seen: list[_Received] = []
        started = self._clock.monotonic()
        outcome = "ok"
        try:
            yield seen
        except BaseException as error:
            outcome = type(error).__name__
            raise
        finally:
            if self._observer is not None:
                self._observer(
                    RequestSeen(
                        system=self.system,
                        method=method,
                        endpoint=endpoint,
                        write=write,
                        status=seen[0].status if seen else None,
                        outcome=outcome,
                        seconds=self._clock.monotonic() - started,
                        body_bytes=len(seen[0].body) if seen else 0,
                    )
                )


class _Pace:
    """Spaces requests evenly; the lock is held only to take a place, never while waiting."""

    def __init__(self, clock: Clock, max_requests_per_second: float) -> None:
        self._clock = clock
        self._interval = 1 / max_requests_per_second if max_requests_per_second > 0 else 0.0
        self._lock = threading.Lock()
        self._next_at = clock.monotonic()

    def wait(self) -> None:
        if not self._interval:
            return
        with self._lock:
            now = self._clock.monotonic()
            at = max(now, self._next_at)
            self._next_at = at + self._interval
        if at > now:
            self._clock.sleep(at - now)


def checked_base_url(base_url: str, *, system: str, allow_plain_http: bool = False) -> str:
    """Return the base URL without its last slash; raise ConfigError where it is none or not safe.

    Plain http is for this machine only (the sandbox): the password or token would travel readable.
    """
    text = base_url.strip().rstrip("/")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
        httpx.URL(text)
    except (ValueError, httpx.InvalidURL) as error:
        raise ConfigError(f"{system}: the base URL is not readable: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError(f"{system}: the base URL must begin with https:// and name a host")
    if parts.username or parts.password or parts.query or parts.fragment or any(c.isspace() for c in text):
        raise ConfigError(f"{system}: the base URL must hold no credentials, no query and no spaces")
    if parts.scheme == "http" and not allow_plain_http and not _is_loopback(host):
        raise ConfigError(f"{system}: the base URL must begin with https:// (http:// is for this machine only)")
    return text


def _values_at_most(body: bytearray) -> int:
    """Return how many JSON values a body can hold at most: each but the first follows a comma or an opening bracket."""
    if len(body) <= 2 * VALUES_MAX:
        return len(body) // 2 + 1
    return 1 + sum(body.count(sign) for sign in (b",", b"[", b"{"))


def _opened(response: httpx.Response, at_most: int) -> Iterator[bytes]:
    """Yield a body's pieces as they come, opened where they are compressed, each to `at_most` bytes."""
    if response.is_stream_consumed:  # a test's stand-in, which hands over a whole body
        yield response.content
        return
    inflater = Inflater(response.headers.get("content-encoding", ""))
    ended = False
    for raw in response.iter_raw():
        ended = True
        yield inflater.feed(raw, at_most)
    if ended:
        inflater.end()


@cache
def _tls(trust_env: bool, _file: str | None, _folder: str | None) -> ssl.SSLContext:
    """Return what verifies certificates: both vendors' clients share it, since to read the list takes 0.03 s.

    `_file` and `_folder` are the two variables that replace the list: httpx reads them itself.
    """
    return httpx.create_ssl_context(trust_env=trust_env)


def _forget_location(response: httpx.Response) -> None:
    """Drop where a redirect points: httpx looks at it though none is followed, and raises for one it cannot read."""
    response.headers.pop("Location", None)


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
