"""Recognises changed credentials without keeping them."""

from __future__ import annotations

import hashlib


def fingerprint(*parts: str) -> str:
    """Return 16 hex digits that change with the credentials and from which a password cannot be guessed cheaply."""
    *public, secret = parts
    salt = "\x1f".join(("mpsync", *public)).encode()
    return hashlib.scrypt(secret.encode(), salt=salt, n=2**13, r=8, p=1, dklen=8).hex()
