"""What an HTTP status means for the caller: status → error, one table for both vendors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from sync.clients.jsontext import complaint, decode, flat
from sync.clients.redact import AnswerRedactor
from sync.errors import (
    AuthError,
    MalformedResponseError,
    OutcomeUnknownError,
    RejectedError,
    RemoteError,
    RetryableError,
)

RETRY_AFTER_MAX = timedelta(days=1)
"""A vendor that asks for more than a day has a wrong clock; we look again tomorrow."""

_SAID_BYTES = 1024 * 1024
"""An answer that says no says it before this, and what follows is not worth the time."""


def error_for(
    status: int,
    body: bytes,
    headers: Mapping[str, str],
    *,
    write: bool,
    system: str,
    answered_at: datetime | None,
    now: datetime,
    redactor: AnswerRedactor,
) -> RemoteError:
    """Return the error that an answer outside 2xx stands for.

    A RejectedError's message is the vendor's own text and nothing else (a number in it is the
    vendor's number); the others begin with the system and the status.
    """
    # Before it is read: what strips an HTML page of its tags strips them from a password in it, too.
    said = redactor.text(_said(redactor.whole(body[:_SAID_BYTES].decode("utf-8", "replace")).encode()))
    kept = redactor.body(body)
    message = f"{system} answered HTTP {status}" + (f": {said}" if said else "")
    retry_after = retry_after_of(headers, answered_at or now)

    def retryable(hint: str | None = None) -> RemoteError:
        return RetryableError(
            message, status=status, body=kept, answered_at=answered_at, retry_after=retry_after, hint=hint
        )

    def plain(kind: type[RemoteError], text: str = message, hint: str | None = None) -> RemoteError:
        return kind(text, status=status, body=kept, answered_at=answered_at, hint=hint)

    if status in (425, 429):
        return retryable()
    if status == 407:
        return retryable("a proxy between here and the vendor wants credentials; see HTTPS_PROXY")
    if status == 401:
        return plain(AuthError, hint="check the credentials of this system")
    if status == 408 or status >= 500:
        return plain(OutcomeUnknownError) if write else retryable()
    if status < 400:
        kind = OutcomeUnknownError if write else MalformedResponseError
        return plain(kind, hint="redirects are not followed: check the base URL and paths in the settings")
    return plain(RejectedError, said or f"refused with HTTP {status} and no text")


def asks_to_wait(status: int, headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """Return how long an answer asks us to leave the vendor alone, None where it does not ask."""
    return retry_after_of(headers, now) if status in (408, 425, 429) or status >= 500 else None


def retry_after_of(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """Return how long the vendor asks to wait (Retry-After: seconds or a date), never negative, at most a day."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value, re.ASCII):
        wait = timedelta(seconds=float(value))
    else:
        at = http_date(value)
        if at is None:
            return None
        wait = at - now
    return min(max(wait, timedelta(0)), RETRY_AFTER_MAX)


def http_date(value: str | None) -> datetime | None:
    """Return the instant of a Date or Retry-After header in UTC, None where there is none or it is not a date."""
    if not value:
        return None
    try:
        at = parsedate_to_datetime(value)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def _said(body: bytes) -> str:
    """Return the message of an error answer: its message/error/errors, else what text there is."""
    try:
        value = decode(body)
    except ValueError:
        return _as_text(body)
    return complaint(value) or flat(value)


def _as_text(body: bytes) -> str:
    text = body[:16384].decode("utf-8", "replace").replace("\x00", " ")
    text = re.sub(r"(?is)<(script|style)\b.*?</\1\s*>", " ", text)
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())
