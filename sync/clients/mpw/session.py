"""MPW's login: one token for all threads, one login at a time, and never a second try with a refused password."""

from __future__ import annotations

import copy
import re
import secrets
import threading
from dataclasses import dataclass
from datetime import timedelta

from sync.clients.http import Answer, Http
from sync.clients.jsontext import complaint, decode, lower_keys
from sync.clock import Clock
from sync.errors import AuthError, RejectedError, RemoteError, RetryableError

RENEW_AFTER_SECONDS = 20 * 3600.0
"""Tokens are valid for 24 hours (Authentication); renewed at 20, no call begins with one about to end."""

_REFUSED = (400, 401, 403, 422, 423)
_HINT = "check MPW_EMAIL and MPW_PASSWORD; no further login is tried with these"


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and when it was obtained (monotonic seconds)."""

    text: str
    obtained_at: float


class Session:
    """Holds the token of one MPW account, in memory only."""

    def __init__(self, http: Http, *, email: str, password: str, clock: Clock) -> None:
        self._http = http
        self._email = email
        self._password = password
        self._clock = clock
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._refusal: AuthError | None = None
        self._refused_at = clock.monotonic()
        self._finished_logins = 0
        self._last_trouble: RetryableError | None = None
        self._not_before = clock.monotonic()

    def token(self) -> Token:
        """Return a usable token, logging in where there is none.

        Raises AuthError when the credentials are refused (also without a request, once they were) and
        RetryableError for every other failure: the call that needed the token was never sent.
        """
        finished = self._finished_logins
        with self._lock:
            if self._token is not None and self._age(self._token) < RENEW_AFTER_SECONDS:
                return self._token
            if self._refusal is not None:
                raise copy.copy(self._refusal)
            # whoever waited here while another thread's login failed shares its failure
            if finished != self._finished_logins and self._last_trouble is not None:
                raise copy.copy(self._last_trouble)
            self._obey_retry_after()
            return self._log_in()

    def drop(self, token: Token) -> None:
        """Forget a token that was refused, unless another thread has renewed it already."""
        with self._lock:
            if self._token is token:
                self._token = None

    def age_seconds(self, token: Token) -> float:
        """Return how long ago a token was obtained."""
        return self._age(token)

    def forget_failure(self, *, older_than_seconds: float = 0.0) -> None:
        """Allow a login again after the credentials were refused, that long ago at least."""
        with self._lock:
            if self._clock.monotonic() - self._refused_at >= older_than_seconds:
                self._refusal = None

    def secrets(self) -> tuple[str, ...]:
        """Return what must never be shown: the password and the token."""
        token = self._token
        return (self._password, token.text) if token is not None else (self._password,)

    def _age(self, token: Token) -> float:
        return self._clock.monotonic() - token.obtained_at

    def _obey_retry_after(self) -> None:
        left = self._not_before - self._clock.monotonic()
        if left > 0:
            wait = timedelta(seconds=left)
            raise RetryableError("MPW asked not to log in yet", status=429, retry_after=wait)

    def _log_in(self) -> Token:
        self._last_trouble = None
        self._token = None
        started = self._clock.monotonic()
        try:
            self._token = Token(self._access_token(self._post()), started)
        except AuthError as error:
            self._refusal = error
            self._refused_at = self._clock.monotonic()
            raise copy.copy(error) from None
        except RemoteError as error:
            self._last_trouble = _retryable(error)
            if self._last_trouble.retry_after is not None:
                self._not_before = self._clock.monotonic() + self._last_trouble.retry_after.total_seconds()
            raise copy.copy(self._last_trouble) from None
        finally:
            self._finished_logins += 1
        return self._token

    def _post(self) -> Answer:
        body, content_type = _form({"email": self._email, "password": self._password})
        try:
            return self._http.send(
                "POST",
                "/authentication",
                write=False,
                endpoint="authentication",
                content=body,
                headers={"Content-Type": content_type},
            )
        except (AuthError, RejectedError) as error:
            if error.status in _REFUSED:
                raise _refusal(error.message.removeprefix("mpw answered "), error.status) from None
            raise

    def _access_token(self, answer: Answer) -> str:
        """Return the token of a 2xx answer; the answer itself is shown nowhere.

        JSON without a token is a refusal. A page in place of JSON says nothing of the credentials
        (a proxy, maintenance), so it is trouble that passes.
        """
        try:
            value = decode(answer.body)
        except ValueError:
            message = f"the login was answered HTTP {answer.status} with something that is no JSON"
            raise RetryableError(message, status=answer.status, answered_at=answer.answered_at) from None
        token = lower_keys(value).get("access_token") if isinstance(value, dict) else None
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            said = complaint(value) or "the answer holds no access_token"
            raise _refusal(self._http.redactor.text(said), answer.status)
        return token


def _refusal(said: str, status: int | None) -> AuthError:
    return AuthError(f"MPW refused the login: {said}", status=status, hint=_HINT)


def _retryable(error: RemoteError) -> RetryableError:
    """Return a failed login as what it is for the call that needed it: nothing was sent."""
    retry_after = error.retry_after if isinstance(error, RetryableError) else None
    return RetryableError(
        f"the login failed: {error.message}",
        status=error.status,
        body=error.body,
        answered_at=error.answered_at,
        hint=error.hint or "if this stays, check MPW_BASE_URL",
        retry_after=retry_after,
    )


def _form(fields: dict[str, str]) -> tuple[bytes, str]:
    """Return a multipart form, which is what the document's `curl -F` sends (Authentication)."""
    boundary = secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    return f"{''.join(parts)}--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
