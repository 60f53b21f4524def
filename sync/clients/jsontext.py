"""JSON from the wire: exact numbers, no surprises."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

import msgspec

_DECODER = msgspec.json.Decoder(float_hook=Decimal)
ERROR_KEYS = ("message", "error", "errors")


def decode(body: bytes) -> object:
    """Return the value of a JSON text: floats as Decimal from their digits, integers exact.

    Raises ValueError, with a reason a person can read, for anything that is no JSON: NaN and
    Infinity, typographic quotes, a cut text, nesting without end, bytes that are no UTF-8.
    """
    try:
        return _DECODER.decode(body)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from None
    except UnicodeDecodeError:
        raise ValueError("the text is not UTF-8") from None
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    except InvalidOperation:
        raise ValueError("a number has an impossible exponent") from None


def lower_keys(value: dict[str, object]) -> dict[str, object]:
    """Return an object with its own keys in lower case (the sample answer to POST /receipts has `Api_key`)."""
    return {key.lower(): item for key, item in value.items()}


def complaint(value: object) -> str | None:
    """Return what an answer says in `message`, `error` or `errors`, in whatever shape, or None.

    Neither vendor documents how it words an error; MPW shows `"message":"…"` once (Receipts - POST).
    """
    if not isinstance(value, dict):
        return None
    fields = lower_keys(value)
    said = [text for key in ERROR_KEYS if (text := flat(fields.get(key)))]
    return "; ".join(dict.fromkeys(said)) or None


_FAILED_WORDS = frozenset(
    {"error", "errors", "fail", "failed", "failure", "rejected", "refused", "denied", "invalid", "unauthorized"}
)
_TROUBLE = re.compile(
    r"\b(errors?|fail(s|ed|ure)?|cannot|can ?not|can['’]?t|could ?n[o'’]t|unable|not|invalid|denied|refused|rejected"
    r"|forbidden|unauthori[sz]ed|missing|required|must|already|duplicated?|exists|exceed(s|ed|ing)?|maximum|insufficient"
    r"|unknown|wrong|exception|timed? ?out|unavailable)\b",
    re.IGNORECASE,
)


def failure_in(value: object) -> str | None:
    """Return what says, in a 2xx answer, that it did not succeed after all; None where nothing does.

    That is a success flag that says false, a status word (or number) of a failure, `error` or `errors` that hold
    anything, or a `message` that reads like an error. Neither document says how an error looks; MPW shows
    `"message":"Receipt found but cannot be updated…"` (Receipts - POST). A message of success is not one.
    """
    if not isinstance(value, dict):
        return None
    fields = lower_keys(value)
    if any(_says_no(fields.get(name)) for name in ("success", "succeeded", "successful", "ok")):
        return complaint(fields) or "it says that it did not succeed"
    for name in ("status", "result", "state", "outcome", "code"):
        word = fields.get(name)
        if isinstance(word, str) and word.strip().lower() in _FAILED_WORDS:
            return complaint(fields) or f"it says {name} {word.strip()}"
        if name in ("status", "code") and type(word) in (int, Decimal) and 400 <= word < 600:  # type: ignore[operator]
            return complaint(fields) or f"it says {name} {word}"
    if (said := "; ".join(text for name in ("error", "errors") if (text := _told(fields.get(name))))) != "":
        return complaint(fields) or said
    message = flat(fields.get("message"))
    return message if _TROUBLE.search(message) else None


def _says_no(value: object) -> bool:
    return value is False or (type(value) is int and value == 0) or str(value).strip().lower() in ("false", "no")


def _told(value: object) -> str:
    return "" if value in (0, "0", True) or str(value).strip().lower() in ("none", "null", "false") else flat(value)


def flat(value: object, depth: int = 4) -> str:
    """Return the texts inside a value as one line: a list's joined by "; ", an object's as "field: text"."""
    if value is None or value is False or depth == 0:
        return ""
    if isinstance(value, dict):
        parts = [f"{key}: {text}" for key, item in value.items() if (text := flat(item, depth - 1))]
        return "; ".join(parts)
    if isinstance(value, list):
        return "; ".join(text for item in value if (text := flat(item, depth - 1)))
    return str(value).strip()
