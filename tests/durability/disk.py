"""A disk under SQLite that tells written from synced, can lose its power, and can be full.

It stands where SQLite meets the operating system (a VFS, sqlite.org/vfs.html), in the very library that Python's
`sqlite3` uses, so that the program above it is the real one: its pragmas, its commits, its checkpoints. Every file of
one folder is followed: what was written goes to the real file and to a list; a sync makes the list durable.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import random
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

SECTOR = 512
"""What reaches a disk whole: of a longer write, any of its sectors may be missing after a power cut."""

FULL = 13
"""SQLITE_FULL, which the unix VFS gives for ENOSPC."""

_OK = 0
_OPEN_DELETE_ON_CLOSE = 0x8

_P = ctypes.c_void_p
_INT, _I64 = ctypes.c_int, ctypes.c_int64
_WRITE = ctypes.CFUNCTYPE(_INT, _P, _P, _INT, _I64)
_TRUNCATE = ctypes.CFUNCTYPE(_INT, _P, _I64)
_SYNC = ctypes.CFUNCTYPE(_INT, _P, _INT)
_CLOSE = ctypes.CFUNCTYPE(_INT, _P)
_OPEN = ctypes.CFUNCTYPE(_INT, _P, _P, _P, _INT, _P)  # the name as its address: SQLite keeps it, and what is behind it
_DELETE = ctypes.CFUNCTYPE(_INT, _P, _P, _INT)


class _IoMethods(ctypes.Structure):
    """sqlite3_io_methods, version 3."""

    _fields_ = (
        ("iVersion", _INT),
        ("xClose", _P),
        ("xRead", _P),
        ("xWrite", _P),
        ("xTruncate", _P),
        ("xSync", _P),
        *[(f"rest{n}", _P) for n in range(13)],
    )


class _File(ctypes.Structure):
    """sqlite3_file: what follows belongs to the unix VFS, which never looks at pMethods itself."""

    _fields_ = (("pMethods", ctypes.POINTER(_IoMethods)),)


class _Vfs(ctypes.Structure):
    """sqlite3_vfs, version 3."""

    _fields_ = (
        ("iVersion", _INT),
        ("szOsFile", _INT),
        ("mxPathname", _INT),
        ("pNext", _P),
        ("zName", ctypes.c_char_p),
        ("pAppData", _P),
        ("xOpen", _P),
        ("xDelete", _P),
        *[(f"rest{n}", _P) for n in range(16)],
    )


class NoAccessToSqliteError(Exception):
    """Python's SQLite hides its functions (some builds link it in without them)."""


def library() -> Any:
    """Return the SQLite that `sqlite3` uses, not just any that is installed."""
    import _sqlite3

    library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
    try:
        version = library.sqlite3_libversion
        library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
        library.sqlite3_vfs_register.argtypes = (ctypes.POINTER(_Vfs), _INT)
        library.sqlite3_vfs_unregister.argtypes = (ctypes.POINTER(_Vfs),)
    except AttributeError as error:
        raise NoAccessToSqliteError(str(error)) from None
    version.restype = ctypes.c_char_p
    if version().decode() != sqlite3.sqlite_version:
        raise NoAccessToSqliteError(f"found {version().decode()}, Python uses {sqlite3.sqlite_version}")
    return library


@dataclass
class _Content:
    """A file: what is durable, and in their order the writes (offset, bytes) and truncations (size, None) since."""

    durable: bytearray
    since: list[tuple[int, bytes | None]] = field(default_factory=list)

    def sync(self) -> None:
        for at, data in self.since:
            _apply(self.durable, at, data)
        self.since.clear()

    def after_power_cut(self, chance: random.Random | None) -> bytes:
        """Return the durable bytes, with `chance` also some sectors of what was written since, in their order."""
        if chance is None:
            return bytes(self.durable)
        kept = bytearray(self.durable)
        share = chance.random()
        for at, data in self.since:
            if data is None:
                if chance.random() < share:
                    _apply(kept, at, None)
                continue
            for start, piece in _sectors(at, data):
                if chance.random() < share:
                    _apply(kept, start, piece)
        return bytes(kept)


def _sectors(at: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    start = 0
    while start < len(data):
        end = min(len(data), start + SECTOR - (at + start) % SECTOR)
        yield at + start, data[start:end]
        start = end


def _apply(content: bytearray, at: int, data: bytes | None) -> None:
    if data is None:
        del content[at:]
        return
    if len(content) < at:
        content.extend(bytes(at - len(content)))
    content[at : at + len(data)] = data


_KEPT: list[Disk] = []
"""A connection that outlives its block still calls into it."""


class Disk:
    """The files of one folder, followed while the block runs: every connection opened inside it is on this disk.

    `free` is how many more bytes its files may grow by; None: without end. `operations` counts writes, truncations,
    syncs and deletions; whoever is in `watchers` is called after each, with the disk locked.
    """

    def __init__(self, folder: Path) -> None:
        self.free: int | None = None
        self.operations = 0
        self.syncs = 0
        self.watchers: list[Any] = []
        self._folder = folder.resolve()
        self._lock = threading.RLock()
        self._files: dict[str, _Content] = {}
        self._deleted: dict[str, _Content] = {}
        self._sizes: dict[str, int] = {}
        self._open: dict[int, str] = {}
        self._library = library()
        self._real = self._library.sqlite3_vfs_find(None)
        self._methods: dict[int, _IoMethods] = {}
        self._calls: list[Any] = []
        self._vfs = _Vfs.from_buffer_copy(self._real.contents)
        self._vfs.zName = f"mpsync-tests-{id(self)}".encode()
        self._vfs.xOpen = self._callback(_OPEN, self._x_open)
        self._vfs.xDelete = self._callback(_DELETE, self._x_delete)

    def __enter__(self) -> Disk:
        _KEPT.append(self)
        self._library.sqlite3_vfs_register(ctypes.byref(self._vfs), 1)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._library.sqlite3_vfs_unregister(ctypes.byref(self._vfs))
        self._library.sqlite3_vfs_register(self._real, 1)

    def after_power_cut(self, chance: random.Random | None = None) -> dict[str, bytes]:
        """Return what each file, by its name, would hold if the power went now.

        Without `chance` nothing that was not synced survives; with it, some of it does, in any mixture of sectors, and
        a deletion may have been undone that no sync of the folder had made lasting.
        """
        with self._lock:
            files = {path: content.after_power_cut(chance) for path, content in self._files.items()}
            if chance is not None:
                back = {
                    path: bytes(content.durable) for path, content in self._deleted.items() if chance.random() < 0.5
                }
                files |= back
        return {Path(path).name: content for path, content in files.items()}

    @contextmanager
    def still(self) -> Iterator[None]:
        """Let nothing reach the disk while the block runs."""
        with self._lock:
            yield

    def _callback(self, kind: Any, function: Any) -> int:
        call = kind(function)
        self._calls.append(call)  # ctypes frees what nobody holds
        return ctypes.cast(call, _P).value or 0

    def _x_open(self, _vfs: int, name: int | None, file: int, flags: int, out_flags: int | None) -> int:
        real = _OPEN(self._real.contents.xOpen)
        code = real(ctypes.addressof(self._real.contents), name, file, flags, out_flags)
        path = ctypes.string_at(name).decode() if name else ""
        if code != _OK or Path(path).parent != self._folder or flags & _OPEN_DELETE_ON_CLOSE:
            return int(code)
        opened = _File.from_address(file)
        with self._lock:
            if path not in self._files:
                self._files[path] = _Content(bytearray(Path(path).read_bytes()))
            self._sizes[path] = Path(path).stat().st_size
            self._open[file] = path
            opened.pMethods = ctypes.pointer(self._followed(opened.pMethods.contents))
        return _OK

    def _followed(self, real: _IoMethods) -> _IoMethods:
        """Return the methods with ours in front; one set for each of the unix VFS's own."""
        key = ctypes.addressof(real)
        if key not in self._methods:
            ours = _IoMethods.from_buffer_copy(real)
            close, write = _CLOSE(real.xClose), _WRITE(real.xWrite)
            truncate, sync = _TRUNCATE(real.xTruncate), _SYNC(real.xSync)
            ours.xClose = self._callback(_CLOSE, lambda file: self._x_close(close, file))
            ours.xWrite = self._callback(_WRITE, lambda *given: self._x_write(write, *given))
            ours.xTruncate = self._callback(_TRUNCATE, lambda file, size: self._x_truncate(truncate, file, size))
            ours.xSync = self._callback(_SYNC, lambda file, flags: self._x_sync(sync, file, flags))
            self._methods[key] = ours
        return self._methods[key]

    def _x_close(self, real: Any, file: int) -> int:
        with self._lock:
            self._open.pop(file, None)
        return int(real(file))

    def _x_write(self, real: Any, file: int, data: int, length: int, at: int) -> int:
        with self._lock:
            path = self._open[file]
            grows = max(0, at + length - self._sizes[path])
            if self.free is not None and grows > self.free:
                return FULL
            code = int(real(file, data, length, at))
            if code == _OK:
                self._sizes[path] += grows
                self.free = None if self.free is None else self.free - grows
                self._files[path].since.append((at, ctypes.string_at(data, length)))
                self._tick()
            return code

    def _x_truncate(self, real: Any, file: int, size: int) -> int:
        with self._lock:
            code = int(real(file, size))
            if code == _OK:
                self._sizes[self._open[file]] = size
                self._files[self._open[file]].since.append((size, None))
                self._tick()
            return code

    def _x_sync(self, real: Any, file: int, flags: int) -> int:
        with self._lock:
            code = int(real(file, flags))
            if code == _OK:
                self._files[self._open[file]].sync()
                self._deleted.pop(self._open[file], None)  # its first sync is one of the folder, too
                self.syncs += 1
                self._tick()
            return code

    def _x_delete(self, _vfs: int, name: int, sync_folder: int) -> int:
        real = _DELETE(self._real.contents.xDelete)
        path = ctypes.string_at(name).decode()
        with self._lock:
            code = int(real(ctypes.addressof(self._real.contents), name, sync_folder))
            content = self._files.pop(path, None)
            if code == _OK and content is not None:
                if not sync_folder:
                    self._deleted[path] = content
                self._tick()
            return code

    def _tick(self) -> None:
        self.operations += 1
        for watch in list(self.watchers):
            watch()
