"""Files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from sync.errors import ConfigError


def write_whole(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write a file beside its place, force it to the disk, and rename it; raises ConfigError where that cannot be."""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise ConfigError(f"{path}: cannot write there: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            for part in (content,) if isinstance(content, bytes) else content:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o640)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


class Parts:
    """One file, or several where one cannot hold it all: FILE, or FILE-1, FILE-2 and so on. They appear at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written: list[Path] = []
        self._file: IO[bytes] | None = None
        self._hash = hashlib.sha256()

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *_: object) -> None:
        """Close what is open, and take away what was not kept."""
        self._end()
        for temporary in self._written:
            temporary.unlink(missing_ok=True)

    def begin(self, head: str) -> None:
        """Begin the next file; raises ConfigError where its folder cannot be written."""
        self._end()
        try:
            handle, temporary = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)
        except OSError as error:
            raise ConfigError(f"{self._path}: cannot write there: {error.strerror}") from None
        self._written.append(Path(temporary))
        self._file = os.fdopen(handle, "wb")
        self._hash = hashlib.sha256()
        self.write(head)

    def write(self, text: str) -> None:
        """Write a text into the file that was begun last."""
        assert self._file is not None
        raw = text.encode()
        self._hash.update(raw)
        self._file.write(raw)

    def digest(self) -> str:
        """Return the digest of the file that was begun last."""
        return self._hash.hexdigest()

    def keep(self) -> list[str]:
        """Force the files to the disk and give them their names; return these."""
        self._end()
        alone = len(self._written) == 1
        names = []
        for n, temporary in enumerate(self._written, 1):
            stem = self._path.name if alone else f"{self._path.stem}-{n}{self._path.suffix}"
            temporary.chmod(0o640)
            temporary.replace(self._path.with_name(stem))
            names.append(stem)
        self._written = []
        return names

    def _end(self) -> None:
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None
