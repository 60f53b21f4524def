"""What a write was answered: rows, a refusal dressed as 200, or something that proves nothing."""

from __future__ import annotations

from dataclasses import dataclass

from sync.clients.http import Answer
from sync.clients.jsontext import complaint, decode, failure_in, lower_keys
from sync.clients.redact import AnswerRedactor
from sync.errors import OutcomeUnknownError, RejectedError

_ENVELOPES = ("receipt", "issuance", "issuances", "inventory", "inventories", "inventory_transfer", "data", "results")

PLAIN_WORDS_MAX = 80
"""Characters of an answer that is not JSON and yet says that all is well."""


@dataclass(frozen=True, slots=True)
class Written:
    """A write that the vendor accepted: its answer and the objects in it (names in lower case, numbers Decimal)."""

    answer: Answer
    rows: list[dict[str, object]]


def read_written(
    answer: Answer, redactor: AnswerRedactor, *, id_names: tuple[str, ...], empty_is_fine: bool
) -> Written:
    """Read the 2xx answer to a write: an object or an array of objects. Whether they prove it says `outbox.evidence`.

    Raises RejectedError for an object without any of `id_names` that says why it failed (`failure_in`: a refusal,
    whatever its status), and OutcomeUnknownError for everything that does not say what happened: one that shows a row
    and a failure, a flag without a reason, nothing at all.
    """
    if empty_is_fine and not answer.body.strip():
        return Written(answer, [])
    try:
        whole = decode(answer.body)
    except ValueError as error:
        raise _unreadable(answer, redactor, f"no JSON ({error})") from None
    value = _unwrapped(whole, id_names)
    elements = value if isinstance(value, list) else [value]
    rows = [lower_keys(row) for row in elements if isinstance(row, dict)]
    failure = next((said for part in (whole, *rows) if (said := failure_in(part)) is not None), None)
    if failure is not None:
        if any(_has_id(row, id_names) for row in rows) or complaint(whole) is None:
            raise _unreadable(answer, redactor, f"a failure ({redactor.text(failure)})")
        raise refused(answer, redactor, failure)
    if not rows or len(rows) != len(elements):
        raise _unreadable(answer, redactor, "neither an object nor an array of objects")
    if isinstance(value, dict) and not _has_id(value, id_names) and (said := complaint(value)) is not None:
        raise _unreadable(answer, redactor, f"no row but the words: {redactor.text(said)}")
    return Written(answer, rows)


def read_accepted(answer: Answer, redactor: AnswerRedactor) -> Written:
    """Read the 2xx answer to a write whose answer is not documented: any JSON, words or nothing at all are fine.

    Raises RejectedError where it says that it failed (`failure_in`), and OutcomeUnknownError for a page of HTML and
    for words that read like an error.
    """
    if not answer.body.strip():
        return Written(answer, [])
    try:
        value = decode(answer.body)
    except ValueError as error:
        if _is_plain_word(answer.body):
            return Written(answer, [])
        raise _unreadable(answer, redactor, f"no JSON ({error})") from None
    rows = [lower_keys(row) for row in (value if isinstance(value, list) else [value]) if isinstance(row, dict)]
    inner = [inside for row in rows for name in _ENVELOPES if isinstance(inside := row.get(name), dict)]
    for row in (*rows, *inner):
        failure = failure_in(row)
        if failure is not None:
            raise refused(answer, redactor, failure)
    return Written(answer, rows)


def _is_plain_word(body: bytes) -> bool:
    """Tell whether a body is a short text such as OK, and not a page, a cut JSON text or an error."""
    text = body.strip()
    if len(text) > PLAIN_WORDS_MAX or text[:1] in (b"<", b"{", b"[", b'"'):
        return False
    try:
        return failure_in({"message": text.decode()}) is None and text.decode().isprintable()
    except UnicodeDecodeError:
        return False


def refused(answer: Answer, redactor: AnswerRedactor, said: str) -> RejectedError:
    """Return the error for an answer that says, whatever its status, that nothing was done."""
    body = redactor.body(answer.body)
    return RejectedError(redactor.text(said), status=answer.status, body=body, answered_at=answer.answered_at)


def _unreadable(answer: Answer, redactor: AnswerRedactor, what: str) -> OutcomeUnknownError:
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
