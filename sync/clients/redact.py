"""Keeps secrets out of error texts and of what is kept of an answer."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import quote, quote_plus

KEPT_CHARACTERS = 2000
_READ_BYTES = 16 * 1024
_MASK = "***"
_CREDENTIAL_HEADERS = frozenset({"Authorization", "token"})
_UNMISTAKABLE_CHARACTERS = 12
_TOKEN_SHAPES = (
    re.compile(r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"),
    re.compile(r"(?i)(?<=bearer )\s*[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"""(?i)(?<=access_token)[\\"'\s:=]+[^\\"'\s,}]+"""),
)


class AnswerRedactor:
    """Replaces every secret, in each spelling that it can have in a URL or a JSON text."""

    def __init__(self, secrets: Callable[[], Iterable[str]]) -> None:
        self._secrets = secrets

    def text(self, text: str) -> str:
        """Return `text` without secrets and NUL (which PostgreSQL cannot keep), cut to 2,000 characters."""
        return self.whole(text.replace("\x00", "\\u0000"))[:KEPT_CHARACTERS]

    def whole(self, text: str) -> str:
        """Return all of `text` without secrets."""
        for secret in sorted(_spellings(self._secrets()), key=len, reverse=True):
            text = text.replace(secret, _MASK)
        for shape in _TOKEN_SHAPES:
            text = shape.sub(_MASK, text)
        return text

    def body(self, body: bytes) -> str:
        """Return the beginning of an answer as text without secrets and without NUL, cut to 2,000 characters."""
        return self.text(body[:_READ_BYTES].decode("utf-8", "replace"))


def without_credential(body: bytes, headers: Mapping[str, str]) -> bytes:
    """Return an answer's body without the credential that its request carried, should the vendor give it back.

    What is read of an answer is kept in tables, so it goes before anything is read. A short credential stays: the same
    few letters may well be data.
    """
    for name in _CREDENTIAL_HEADERS & headers.keys():
        credential = headers[name].removeprefix("Bearer ")
        if len(credential) >= _UNMISTAKABLE_CHARACTERS:
            for form in _spellings([credential]):
                body = body.replace(form.encode(), _MASK.encode())
    return body


def _spellings(secrets: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for secret in secrets:
        if secret:
            found |= {secret, quote(secret, safe=""), quote_plus(secret)}
            found |= {html.escape(secret), html.escape(secret, quote=False)}
            found |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return found
