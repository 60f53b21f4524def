"""Compressed answers, opened a piece at a time and never further than a limit.

A compressed body can be a thousand times smaller than what it opens to, and compressed twice a
million times; so what is opened is counted while it is opened, and only one layer is.
"""

from __future__ import annotations

import zlib

ACCEPTED = "gzip"
TRAILING_BYTES_MAX = 64 * 1024
"""After the end of a compressed text: some servers pad it, and what is there is not read."""

_WBITS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


class UndecodableError(Exception):
    """The body is not in an encoding that was asked for, or not whole."""


class Inflater:
    """Opens the pieces of one body; raises UndecodableError for what it cannot open."""

    def __init__(self, content_encoding: str) -> None:
        name = content_encoding.strip().lower()
        if name not in ("", "identity", *_WBITS):
            raise UndecodableError(f"has the content encoding {name[:60]!r}, which was not asked for")
        self._open = zlib.decompressobj(_WBITS[name]) if name in _WBITS else None
        self._trailing = 0

    def feed(self, piece: bytes, at_most: int) -> bytes:
        """Return what a piece opens to, `at_most` so many bytes and perhaps not all of it."""
        if self._open is None:
            return piece
        if self._open.eof:
            self._trailing += len(piece)
            if self._trailing > TRAILING_BYTES_MAX:
                raise UndecodableError("goes on after the end of its compressed text")
            return b""
        try:
            return self._open.decompress(piece, at_most)
        except zlib.error as error:
            raise UndecodableError(f"is not compressed as it says: {error}") from None

    def end(self) -> None:
        """Check that a compressed body came to its end."""
        if self._open is not None and not self._open.eof:
            raise UndecodableError("ends in the middle of its compressed text")
