"""Keeps secrets out of error texts and of what is kept of an answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from urllib.parse import quote, quote_plus

KEPT_CHARACTERS = 2000
_READ_BYTES = 16 * 1024
_MASK = "***"
_TOKEN_SHAPES = (
    re.compile(r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"),
    re.compile(r"(?i)(?<=bearer )\s*[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"""(?i)(?<=access_token)[\\"'\s:=]+[^\\"'\s,}]+"""),
)


class Redactor:
    """Replaces every secret, in each spelling that it can have in a URL or a JSON text."""

    def __init__(self, secrets: Callable[[], Iterable[str]]) -> None:
        self._secrets = secrets

    def text(self, text: str) -> str:
        """Return `text` without secrets and NUL (which PostgreSQL cannot keep), cut to 2,000 characters."""
        text = text.replace("\x00", "\\u0000")
        for secret in sorted(_spellings(self._secrets()), key=len, reverse=True):
            text = text.replace(secret, _MASK)
        for shape in _TOKEN_SHAPES:
            text = shape.sub(_MASK, text)
        return text[:KEPT_CHARACTERS]

    def body(self, body: bytes) -> str:
        """Return the beginning of an answer as text without secrets and without NUL, cut to 2,000 characters."""
        return self.text(body[:_READ_BYTES].decode("utf-8", "replace"))


def _spellings(secrets: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for secret in secrets:
        if secret:
            found |= {secret, quote(secret, safe=""), quote_plus(secret)}
            found |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return found
