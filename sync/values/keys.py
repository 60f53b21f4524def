"""The api_key of an event: the one its system gave it, else derived from the system's own identity.

Never from content or time: a reordered or edited answer must give the same keys. Keys travel in URL
paths (Receipts - DELETE, Issuances - DELETE), so they hold nothing but `[A-Za-z0-9_-]`.
"""

from __future__ import annotations

import hashlib
import re

KEY_CHARACTERS_MAX = 100
_KEY = re.compile(rf"[A-Za-z0-9_-]{{1,{KEY_CHARACTERS_MAX}}}", re.ASCII)
_MARKER = re.compile(rf"\[([A-Za-z0-9_-]{{1,{KEY_CHARACTERS_MAX}}})\]", re.ASCII)
_CHILD = re.compile(r"(.+)_s([1-9][0-9]*)", re.ASCII)
_CORRECTION = re.compile(r".+_c[1-9][0-9]*", re.ASCII)
_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_PLAIN_ID_CHARACTERS_MAX = 34
"""With `mps-` and a one-digit line number: the 40 characters that ours keep to (edge case M21)."""


def mpw_receipt_key(remote_id: str) -> str:
    """Return the key of a receipt that people keyed into MPW: `mpw-r-236252`."""
    return f"mpw-r-{_safe(remote_id)}"


def mpw_issuance_key(remote_id: str) -> str:
    """Return the key of an issuance that people keyed into MPW: `mpw-i-43381`."""
    return f"mpw-i-{_safe(remote_id)}"


def movement_key(movement_id: str, n: int, *, hashed: bool = False) -> str:
    """Return the key of a movement's n-th line: `mps-<movement id without dashes>-<n>`.

    An id that is long, or holds other characters, gets a hash of itself, so that two ids never share
    a key. Two that differ only in their dashes would: the later one is asked for `hashed`.
    """
    return f"mps-{_safe(movement_id, hashed=hashed)}-{n}"


def is_key(text: str | None) -> bool:
    """Tell whether a text can be an api_key."""
    return text is not None and _KEY.fullmatch(text) is not None


def markers(description: str | None) -> list[str]:
    """Return every `[key]` in a description, in its order; people use brackets too."""
    return _MARKER.findall(description) if description and "[" in description else []


def marker(description: str | None) -> str | None:
    """Return the last `[key]` in an issuance's description: where `with_marker` puts ours."""
    found = markers(description)
    return found[-1] if found else None


def with_marker(description: str | None, key: str, *, longest: int | None = None) -> str:
    """Return a description that ends in `[key]`: GET /issuances shows no api_key (Issuances - GET).

    With `longest` the text before the marker is cut so that all of it has at most so many characters; the marker itself
    is never cut. Room is left for the end of a part's key (`_s12`), which takes the marker's place.
    """
    text = (description or "").strip()
    mark = f"[{key}]"
    if text.endswith(mark):
        text = text.removesuffix(mark).rstrip()
    if longest is not None:
        text = text[: max(0, longest - len(mark) - len(" _s100"))].rstrip()
    return f"{text} {mark}" if text else mark


def child_key(key: str, n: int) -> str:
    """Return the key of the n-th part of an issuance that had to be split: `key_s1`."""
    return f"{key}_s{n}"


def is_child_key(key: str) -> bool:
    """Tell whether a key ends as the parts of a split issuance do."""
    return _CHILD.fullmatch(key) is not None


def is_child_of(key: str, parent: str) -> bool:
    """Tell whether a key is that of a part of the issuance with the other key."""
    found = _CHILD.fullmatch(key)
    return found is not None and found[1] == parent


def correction_key(key: str, n: int) -> str:
    """Return the key under which the n-th content of a corrected movement's event is posted: `key_c2`."""
    return f"{key}_c{n}"


def is_correction_key(key: str) -> bool:
    """Tell whether a key ends as those of corrected movements do."""
    return _CORRECTION.fullmatch(key) is not None


def _safe(remote_id: str, *, hashed: bool = False) -> str:
    if not hashed and remote_id.isdecimal() and remote_id.isascii() and len(remote_id) <= _PLAIN_ID_CHARACTERS_MAX:
        return remote_id
    plain = re.sub(r"[^A-Za-z0-9_]", "", remote_id, flags=re.ASCII)
    if plain and not hashed and len(plain) <= _PLAIN_ID_CHARACTERS_MAX and _PLAIN_ID.fullmatch(remote_id):
        return plain
    return f"{plain[:17]}_{hashlib.sha256(remote_id.encode('utf-8', 'backslashreplace')).hexdigest()[:16]}"
