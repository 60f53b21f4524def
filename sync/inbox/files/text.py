"""Which encoding a text file is in: a byte order mark, else valid UTF-8, else Windows-1252 where that is likely."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path

from sync.errors import FileNotTakenError

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_SAMPLE = 4096
_LOOKED_AT = 64_000
"""Bytes, in lines that are not plain ASCII, by which an encoding is told that says nothing of itself."""

_RIVALS = ("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp850", "cp437", "mac_roman")
_WORSE = 0.05
"""By how much less orderly a text may look in Windows-1252 than in the encoding that suits it best."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """A file's encoding: Python's name of it, and what people call it."""

    name: str
    title: str


UTF_8 = Encoding("utf-8-sig", "UTF-8")


def encoding_of(path: Path) -> Encoding:
    """Return a text file's encoding.

    Bytes that are no UTF-8 in a file that otherwise is UTF-8 spoil their own lines. Raises FileNotTakenError for what
    is no text, and for text in another encoding.
    """
    with path.open("rb") as source:
        head = source.read(_SAMPLE)
        for mark, name in _MARKS:
            if head.startswith(mark):
                return UTF_8 if name == "utf-8-sig" else Encoding(name, "UTF-16")
        if b"\x00" in head:
            return _zeros(path, head)
        source.seek(0)
        odd, utf_8 = _scan(source)
    if not odd or utf_8:
        return UTF_8
    return _single_byte(path, odd)


def _zeros(path: Path, head: bytes) -> Encoding:
    """Tell UTF-16 without a mark by where its zeros are."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    for name, many, few in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if many > len(head) // 4 and few <= many // 20:
            return Encoding(name, "UTF-16")
    return UTF_8  # zeros spoil the lines that they stand in


def _scan(lines: object) -> tuple[bytes, bool]:
    """Return the lines that are no UTF-8, as far as they are looked at, and whether others are UTF-8 beyond ASCII."""
    odd, utf_8 = bytearray(), False
    for line in lines:  # type: ignore[attr-defined]
        if line.isascii():
            continue
        try:
            line.decode("utf-8")
            utf_8 = True
        except UnicodeDecodeError:
            if len(odd) < _LOOKED_AT:
                odd += line[:_LOOKED_AT]
    return bytes(odd), utf_8


def _single_byte(path: Path, sample: bytes) -> Encoding:
    from charset_normalizer import from_bytes

    found = from_bytes(sample, cp_isolation=list(_RIVALS))
    best = found.best()
    try:
        text = sample.decode("cp1252")
    except UnicodeDecodeError:
        text = None
    fits = next((one for one in found if str(one) == text), None)
    if best is not None and fits is not None and fits.chaos <= best.chaos + _WORSE:
        return Encoding("cp1252", "Windows-1252")
    looks = f", and looks like {best.encoding}" if best is not None and str(best) != text else ""
    raise FileNotTakenError(
        f"{path} is neither UTF-8 nor UTF-16 nor Windows-1252{looks}: nothing is taken",
        hint="save it as UTF-8 (in Excel: CSV UTF-8), or as .xlsx",
    )
