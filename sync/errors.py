"""Errors, named by what the caller does next.

SyncError
├─ ConfigError                stop before starting, exit 2
├─ FileNotTakenError          a file is not what it has to be → nothing of it is taken, exit 1
├─ RemoteError
│  ├─ RetryableError          a failed read, a write that never left, 408/425/429 → back off, obey Retry-After
│  ├─ OutcomeUnknownError     a write whose answer was lost → verify, never a fresh key
│  ├─ RejectedError           understood and refused → dead letter (or a rule of the operation)
│  ├─ AuthError               pause that system, say so once
│  └─ MalformedResponseError  2xx we cannot read → keep the body, do not advance
├─ StoreError
│  ├─ LeaseLostError          somebody else leads now → drop the work, write nothing; exit 75
│  ├─ LeaseHeldError          another instance holds the lease → exit 75
│  └─ SchemaOutdatedError     the database is newer than the program → exit 2
└─ InvariantError             our bug: crash loudly, write nothing
"""

from __future__ import annotations

from datetime import datetime, timedelta


class SyncError(Exception):
    """A failure with facts and, where one exists, a hint an operator can act on."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(SyncError):
    """A setting, file or argument is wrong; nothing has started."""


class FileNotTakenError(SyncError):
    """A file that a person handed in is something else, or cannot be read in one way only; nothing of it is taken."""


class RemoteError(SyncError):
    """A vendor's answer, or the lack of one.

    `status` is the HTTP status (None: no answer arrived), `answered_at` the vendor's own
    clock from its Date header, `body` the first 2,000 characters of the answer, redacted.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        body: str | None = None,
        answered_at: datetime | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.body = body
        self.answered_at = answered_at


class RetryableError(RemoteError):
    """Nothing happened at the vendor; try again, never before `retry_after` where that is given."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        body: str | None = None,
        answered_at: datetime | None = None,
        hint: str | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message, status=status, body=body, answered_at=answered_at, hint=hint)
        self.retry_after = retry_after


class OutcomeUnknownError(RemoteError):
    """A write that may or may not have taken effect: only evidence settles it."""


class RejectedError(RemoteError):
    """The vendor understood and refused; nothing happened there."""


class AuthError(RemoteError):
    """The credentials are wrong: trying again would lock the account."""


class MalformedResponseError(RemoteError):
    """A read was answered 2xx with something that is not what the document describes."""


class StoreError(SyncError):
    """The database refused, or what it holds does not allow the work."""


class LeaseLostError(StoreError):
    """This instance no longer leads; what it was about to write is dropped."""


class LeaseHeldError(StoreError):
    """Another instance holds the lease."""


class SchemaOutdatedError(StoreError):
    """The database's schema is newer than this program."""


class InvariantError(SyncError):
    """A rule the program rests on is broken: our bug. Nothing is written."""
