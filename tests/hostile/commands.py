"""The command line in this process: what it says and how it ends."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sync.__main__ import main


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str

    def assert_civil(self) -> None:
        """It ended as documented, with a reason where it is not fine, and without a traceback."""
        assert "Traceback" not in self.err, self.err
        assert "bug of mpsync" not in self.err, self.err
        assert self.code in (0, 1, 2), self.err
        assert self.code == 0 or self.err.strip()


@contextlib.contextmanager
def surroundings(folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Work in a folder, with these variables beside the test's own."""
    before, here = dict(os.environ), Path.cwd()
    os.chdir(folder)
    os.environ.update(environment)
    try:
        yield
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(before)


def mpsync(*arguments: str) -> Said:
    """Run a command."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="replace") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(list(arguments))
        except SystemExit as ending:
            code = int(ending.code or 0)
    return Said(code, _written(out), _written(err))


def _written(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()
