"""JSON from the wire: exact numbers, no surprises."""

from __future__ import annotations

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
