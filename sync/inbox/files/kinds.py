"""What a file is, by its first bytes: a name is what somebody thought it was."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Literal

from sync.errors import ConfigError, FileNotTakenError

FileKind = Literal["text", "json", "workbook"]

READS = "it reads .csv, .jsonl, .json, .xlsx and .xls"
_HEAD = 8192
_SOMETHING_ELSE = (
    (b"%PDF", "a PDF"),
    (b"\x1f\x8b", "compressed by gzip"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"{\\rtf", "a document in RTF"),
    (b"SQLite format 3", "an SQLite database"),
    (b"PAR1", "a Parquet file"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
)
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_JSON_NAMES = (".jsonl", ".ndjson", ".json")


def kind_of(path: Path) -> FileKind:
    """Return what kind of file it is that is to be read.

    Raises FileNotTakenError, in one sentence, where it is something else, and ConfigError where it cannot be read.
    """
    try:
        if path.is_dir():
            raise FileNotTakenError(f"{path} is a folder: name the file in it")
        with path.open("rb") as source:
            head = source.read(_HEAD)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start or head in (b"\xff\xfe", b"\xfe\xff"):
        raise FileNotTakenError(f"{path} is empty: nothing is taken")
    for magic, what in _SOMETHING_ELSE:
        if head.startswith(magic) and (magic != b"MZ" or b"\x00" in head):
            raise _something_else(path, what)
    if head.startswith(_ZIP):
        return _zipped(path)
    if head.startswith(_OLE):
        return "workbook"
    if start.startswith(b"<"):
        raise _something_else(path, _markup(start))
    if path.suffix.lower() in _JSON_NAMES:
        return "json"
    return "json" if path.suffix.lower() != ".csv" and start[:1] in (b"{", b"[") else "text"


def _zipped(path: Path) -> FileKind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError):
        raise FileNotTakenError(f"{path} is a zip archive, or a workbook, that is cut off: nothing is taken") from None
    if names & {"xl/workbook.xml", "xl/workbook.bin"}:
        return "workbook"
    if "word/document.xml" in names:
        raise _something_else(path, "a document of Word")
    raise _something_else(path, "a zip archive", hint="take the file out of it first")


def _markup(start: bytes) -> str:
    if re.search(rb"<(!doctype html|html|head|body|table)\b", start[:2048].lower()):
        return "an HTML page"
    return "XML"


def _something_else(path: Path, what: str, *, hint: str = "") -> FileNotTakenError:
    save = "open it in the program that made it and save it as .xlsx or CSV" if what in ("an HTML page", "XML") else ""
    return FileNotTakenError(f"{path} is {what}, and nothing of it is taken: {READS}", hint=hint or save or None)
