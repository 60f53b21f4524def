"""The answer to POST /purchase_orders/approve (Purchase Orders - POST)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sync.clients.http import Answer
from sync.clients.jsontext import complaint, decode, flat, lower_keys
from sync.clients.redact import AnswerRedactor
from sync.clients.written import refused
from sync.errors import OutcomeUnknownError


@dataclass(frozen=True, slots=True)
class ApprovalResult:
    """What became of each order that was sent: `errors` is by number; one that is in neither is unknown."""

    approved: frozenset[str]
    errors: dict[str, str]
    text: str


def read_approval(answer: Answer, sent: Sequence[str], redactor: AnswerRedactor) -> ApprovalResult:
    """Read `{"results": {"purchase_order_numbers": [...], "errors": [...]}}` for the numbers in `sent`.

    The document shows `errors` only empty: texts, objects, numbers and an object by number are all
    searched for the numbers that we sent. Raises RejectedError for a refusal without results and
    OutcomeUnknownError for an answer that says nothing of any order.
    """
    results = results_in(answer.body)
    text = redactor.body(answer.body)
    if results is None:
        said = _said(answer.body)
        if said:
            raise refused(answer, redactor, said)
        message = f"the approval was answered HTTP {answer.status} without results"
        raise OutcomeUnknownError(message, status=answer.status, body=text, answered_at=answer.answered_at)
    listed = results.get("purchase_order_numbers")
    approved = {number for number in sent if _names(number, flat(listed))} if listed is not None else set()
    return ApprovalResult(frozenset(approved), _errors(results.get("errors"), sent, redactor), text)


def results_in(body: bytes) -> dict[str, object] | None:
    """Return the part of an answer that tells of the orders, None where there is none.

    That is `results`; without it the object itself, but only with both lists: an object with one of
    them alone may be a refusal that names a field.
    """
    try:
        value = decode(body)
    except ValueError:
        return None
    fields = lower_keys(value) if isinstance(value, dict) else {}
    results = fields.get("results")
    if isinstance(results, dict):
        inner = lower_keys(results)
        return inner if "purchase_order_numbers" in inner or flat(inner.get("errors")) else None
    return fields if "purchase_order_numbers" in fields and "errors" in fields else None


def _errors(errors: object, sent: Sequence[str], redactor: AnswerRedactor) -> dict[str, str]:
    """Return the errors by order number; one that names no order we sent is every order's when only one was sent."""
    found: dict[str, str] = {}
    for piece in _pieces(errors, sent):
        text = redactor.text(flat(piece))
        numbers = [number for number in sent if _names(number, text)]
        if not numbers and len(sent) == 1 and text:
            numbers = list(sent)
        for number in numbers:
            found[number] = f"{found[number]}; {text}" if number in found else text
    return found


def _pieces(errors: object, sent: Sequence[str]) -> list[object]:
    """Return the errors one by one: a list's elements, or the entries of an object whose names are order numbers."""
    if isinstance(errors, list):
        return errors
    if isinstance(errors, dict) and any(_names(number, str(key)) for number in sent for key in errors):
        return [{key: value} for key, value in errors.items()]
    return [] if errors is None else [errors]


def _names(number: str, text: str) -> bool:
    """Tell whether a text names an order: 1000 is not in 10001, nor in $1000 or 1000.50."""
    pattern = rf"(?<![\d$])(?<!\d\.){re.escape(number)}(?!\d)(?!\.\d)"
    return re.search(pattern, text) is not None


def _said(body: bytes) -> str | None:
    try:
        return complaint(decode(body))
    except ValueError:
        return None
