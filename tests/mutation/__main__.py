"""Try changes of the rules against the tests: `python -m tests.mutation --count 300 --seed 1`.

Each change is made in a copy of the checkout. First the quick tests of its room run, then all quick ones, and with
`--usual` the usual tests of its room and of the flows. The last lines say what nobody
noticed, and how many were noticed by what.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing import get_context
from pathlib import Path

from tests.mutation.changes import ROOT, Change, drawn
from tests.mutation.harmless import HARMLESS

LASTS_SECONDS_MAX = 900
"""A change may loop for ever: that is noticed, too."""

PASSED, FAILED = 0, 10
"""How a run of pytest ends here: anything else is a fault of this module."""

FLOWS = ("tests/reconcile", "tests/push", "tests/poll", "tests/stock", "tests/outbox", "tests/jobs", "tests/inbox")


def stages(change: Change, *, usual: bool) -> list[tuple[str, list[str]]]:
    """Return what a change must pass to survive, the quickest first."""
    room = change.path.split("/")[1]
    found = [("room", ["-m", "quick", f"tests/{room}"]), ("quick", ["-m", "quick", *FLOWS, "tests"])]
    return [*found, ("usual", ["-m", "not slow and not quick", *sorted({*FLOWS, f"tests/{room}"})])] if usual else found


def noticed_by(change: Change, copy: Path, *, usual: bool) -> str | None:
    """Return the first stage in which a test fails; None where none does."""
    target = copy / change.path
    real = target.read_text()
    target.write_text(change.source())
    try:
        return next((name for name, given in stages(change, usual=usual) if fails(given, copy)), None)
    finally:
        target.write_text(real)


def fails(given: Sequence[str], copy: Path) -> bool:
    """Run pytest in a process of its own; the libraries are loaded already, the program is not."""
    process = get_context("fork").Process(target=_run, args=(list(given), copy))
    process.start()
    process.join(LASTS_SECONDS_MAX)
    if process.is_alive():
        process.kill()
        return True
    if process.exitcode not in (PASSED, FAILED):
        raise RuntimeError(f"pytest {' '.join(given)} ended with {process.exitcode}")
    return process.exitcode == FAILED


def _run(given: list[str], copy: Path) -> None:
    import pytest

    os.chdir(copy)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "sync")]:
        del sys.modules[name]
    sys.path[:] = [str(copy), *(path for path in sys.path if path and Path(path).resolve() != ROOT)]
    sys.dont_write_bytecode = False
    loaded = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        code = pytest.main(["-n0", "-x", "-q", "-p", "no:cacheprovider", "-W", loaded, *given])
    noticed = {
        pytest.ExitCode.OK: PASSED,
        pytest.ExitCode.NO_TESTS_COLLECTED: PASSED,
        pytest.ExitCode.TESTS_FAILED: FAILED,
    }
    noticed[pytest.ExitCode.INTERRUPTED] = FAILED  # what was changed cannot even be imported
    os._exit(noticed.get(pytest.ExitCode(code), 1))


def copied(folder: Path) -> Path:
    """Copy what the tests need of the checkout."""
    copy = folder / "copy"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".venv", ".git", "wt", "dist", "*.db*", "node_modules"))
    return copy


def survivors(
    changes: Sequence[Change], *, usual: bool = False, say: bool = False
) -> tuple[list[Change], Counter[str]]:
    """Try each; return those that nobody noticed and that are not known to be harmless, and the counts by stage."""
    import hypothesis  # noqa: F401
    import pytest  # noqa: F401
    import sqlalchemy  # noqa: F401

    left, counts = [], Counter[str]()
    with tempfile.TemporaryDirectory(prefix="mpsync-changes-") as folder:
        copy = copied(Path(folder))
        if fails(["-m", "quick", "tests/values"], copy):
            raise RuntimeError("the tests fail without any change")
        for change in changes:
            stage = "harmless" if str(change) in HARMLESS else noticed_by(change, copy, usual=usual)
            counts[stage or "survived"] += 1
            if stage is None:
                left.append(change)
            if say:
                print(f"{stage or 'SURVIVED':9} {change}", flush=True)
    return left, counts


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 1 where a change survived."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--skip", type=int, default=0, help="so many of the draw were tried before")
    parser.add_argument("--usual", action="store_true", help="let survivors meet the usual tests as well")
    given = parser.parse_args(arguments)
    left, counts = survivors(drawn(given.count, given.seed)[given.skip :], usual=given.usual, say=True)
    print("; ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
