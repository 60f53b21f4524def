"""What a write was answered: rows, a refusal dressed as 200, or something that proves nothing."""

from __future__ import annotations

from dataclasses import dataclass

from sync.clients.http import Answer
from sync.clients.jsontext import complaint, decode, flat, lower_keys
from sync.clients.redact import Redactor
from sync.errors import OutcomeUnknownError, RejectedError

_ENVELOPES = ("receipt", "issuance", "issuances", "inventory", "inventories", "inventory_transfer", "data", "results")


@dataclass(frozen=True, slots=True)
class Written:
    """A write that the vendor accepted: its answer and the objects in it (names in lower case, numbers Decimal)."""

    answer: Answer
    rows: list[dict[str, object]]


def read_written(answer: Answer, redactor: Redactor, *, id_names: tuple[str, ...], empty_is_fine: bool) -> Written:
    """Read the 2xx answer to a write: an object or an array of objects.

    Raises RejectedError for an object without any of `id_names` that carries message, error or errors
    (a refusal, whatever its status), and OutcomeUnknownError for everything that does not say what happened.
    """
    if empty_is_fine and not answer.body.strip():
        return Written(answer, [])
    try:
        value = _unwrapped(decode(answer.body), id_names)
    except ValueError as error:
        raise _unreadable(answer, redactor, f"no JSON ({error})") from None
    if isinstance(value, dict):
        said = complaint(value)
        if said and not _has_id(value, id_names):
            raise refused(answer, redactor, said)
        return Written(answer, [lower_keys(value)])
    rows = [lower_keys(row) for row in value if isinstance(row, dict)] if isinstance(value, list) else []
    if not rows or not isinstance(value, list) or len(rows) != len(value):
        raise _unreadable(answer, redactor, "neither an object nor an array of objects")
    return Written(answer, rows)


def read_accepted(answer: Answer, redactor: Redactor) -> Written:
    """Read the 2xx answer to a write whose answer is not documented: any JSON or nothing at all is fine.

    Raises RejectedError where it carries error or errors, or says that it did not succeed, and
    OutcomeUnknownError for what is no JSON.
    """
    if not answer.body.strip():
        return Written(answer, [])
    try:
        value = decode(answer.body)
    except ValueError as error:
        raise _unreadable(answer, redactor, f"no JSON ({error})") from None
    rows = [lower_keys(row) for row in (value if isinstance(value, list) else [value]) if isinstance(row, dict)]
    for row in rows:
        failed = row.get("success") is False or str(row.get("status")).lower() in ("error", "fail", "failed")
        if failed or flat(row.get("error")) or flat(row.get("errors")):
            raise refused(answer, redactor, complaint(row) or "refused without a reason")
    return Written(answer, rows)


def refused(answer: Answer, redactor: Redactor, said: str) -> RejectedError:
    """Return the error for an answer that says, whatever its status, that nothing was done."""
    body = redactor.body(answer.body)
    return RejectedError(redactor.text(said), status=answer.status, body=body, answered_at=answer.answered_at)


def _unreadable(answer: Answer, redactor: Redactor, what: str) -> OutcomeUnknownError:
    return OutcomeUnknownError(
        f"the write was answered HTTP {answer.status} with {what}",
        status=answer.status,
        body=redactor.body(answer.body),
        answered_at=answer.answered_at,
    )


def _unwrapped(value: object, id_names: tuple[str, ...]) -> object:
    """Take an answer out of an envelope, should the vendor put one round it as it does round the request."""
    if not isinstance(value, dict) or _has_id(value, id_names):
        return value
    fields = lower_keys(value)
    inner = next((fields[name] for name in _ENVELOPES if isinstance(fields.get(name), (dict, list))), None)
    return inner if inner else value


def _has_id(value: dict[str, object], id_names: tuple[str, ...]) -> bool:
    fields = lower_keys(value)
    return any(fields.get(name) not in (None, "") for name in id_names)
