"""Request bodies: JSON with exact numbers, forms in both encodings."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import parse_qsl

import msgspec

from sync.sandbox.answers import Refusal

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")


def to_json(body: object) -> bytes:
    """Return JSON with Decimals as numbers, every digit as it is."""
    return _encoder.encode(body)


def from_json(body: bytes) -> object:
    """Return what JSON says, numbers exact; ValueError when it is none."""
    return _decoder.decode(body)


def json_object(content_type: str, body: bytes) -> Mapping[str, object]:
    """Return the JSON object of a request; Refusal 415 for another content type, 400 for another body."""
    if media_type(content_type) != "application/json":
        raise Refusal(415, "The body must be application/json")
    try:
        value = from_json(body)
    except ValueError:
        raise Refusal(400, "The body is not JSON") from None
    if not isinstance(value, dict):
        raise Refusal(400, "The body must be a JSON object")
    return value


def enveloped(content_type: str, body: bytes, envelope: str) -> Mapping[str, object]:
    """Return the object inside `{"receipt": {…}}`; Refusal 400 when the envelope is missing."""
    value = json_object(content_type, body).get(envelope)
    if not isinstance(value, dict):
        raise Refusal(400, f"The JSON object {envelope} is missing")
    return value


def any_form(content_type: str, body: bytes) -> dict[str, str]:
    """Return the fields of a form in either encoding; empty for anything else."""
    if media_type(content_type) == MULTIPART:
        return _multipart(content_type, body)
    return urlencoded(content_type, body) if media_type(content_type) == URLENCODED else {}


def urlencoded(content_type: str, body: bytes) -> dict[str, str]:
    """Return the fields; Refusal 400 for another body (MPservices: "Our API accepts form-encoded request bodies")."""
    if media_type(content_type) != URLENCODED:
        raise Refusal(400, "The body must be form-encoded")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body)))
    except ValueError:
        raise Refusal(400, "The body is not form-encoded") from None


def media_type(content_type: str) -> str:
    """Return a content type without its parameters."""
    return content_type.split(";")[0].strip().lower()


def _multipart(content_type: str, body: bytes) -> dict[str, str]:
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    fields: dict[str, str] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            fields[name] = payload.decode(errors="replace")
    return fields
