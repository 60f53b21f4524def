"""Keeps secrets out of whatever people may read: known values wherever they stand, and whatever looks like one."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus

HIDDEN = "***"
SHORT = 4
"""A known secret below this length is hidden only where it stands alone: hiding every `a` would hide the log."""

_SECRET_KEY = re.compile(r"(?i)(^|[_\-.])(password|passwd|secret|token|authorization|cookie|credentials?)$")
_SECRET_SHAPES = (
    # A JSON Web Token, which is what MPW's login gives (mpw-api, Authentication).
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*"), HIDDEN),
    # MPservices' tokens (mpservices-api, the sample of every call).
    (re.compile(r"\bMPSER\d[\w-]{4,}"), HIDDEN),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"(://[^\s:/@]*:)[^\s/@]+@"), rf"\1{HIDDEN}@"),
    (
        re.compile(
            r"""(?i)\b(password|passwd|authorization|access_token|token)(["']?\s*[:=]\s*["']?)[^\s"'&,;})*][^\s"'&,;})]*"""
        ),
        rf"\1\2{HIDDEN}",
    ),
)


class Redactor:
    """Hides secrets in text and in nested values."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known = _pattern(secrets)

    def text(self, text: str) -> str:
        """Return the text without any secret."""
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        for shape, replacement in _SECRET_SHAPES:
            text = shape.sub(replacement, text)
        return text

    def value(self, value: object, key: str = "") -> object:
        """Return the value without any secret, its containers copied, and all that is not a plain value as text.

        Text below a key such as `password` or `token` is hidden whole; a number there (a lease's token) is not.
        """
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, Mapping):
            return {self._key(name): self.value(inner, str(name)) for name, inner in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.value(inner, key) for inner in value]
        if _SECRET_KEY.search(key):
            return HIDDEN
        if isinstance(value, bytes):
            value = value.decode("utf-8", errors="replace")
        return self.text(str(value))

    def _key(self, name: object) -> str:
        # A key is text too, but its word may be the name of a secret and must stay.
        return str(name) if self._known is None else self._known.sub(HIDDEN, str(name))


def _pattern(secrets: Iterable[str]) -> re.Pattern[str] | None:
    forms = {form for secret in secrets if secret for form in _forms(secret)}
    if not forms:
        return None
    # The longest first: one secret may begin with another.
    ordered = sorted(forms, key=lambda form: (-len(form), form))
    return re.compile("|".join(_alone(form) if len(form) < SHORT else re.escape(form) for form in ordered))


def _forms(secret: str) -> set[str]:
    """Return the secret as it stands in text, in a URL, in an HTML page, in JSON and in a Python repr."""
    escaped = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    pages = {html.escape(secret), html.escape(secret, quote=False)}
    return {secret, secret.strip() or secret, quote(secret, safe=""), quote_plus(secret), *escaped, *pages}


def _alone(form: str) -> str:
    return rf"(?<!\w){re.escape(form)}(?!\w)"
