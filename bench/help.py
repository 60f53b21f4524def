"""`mpsync --help` against a Python that does nothing: what the imports cost.

python -m bench.help
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.frame import Row, Table, median_of

TIMES = 15


def started(*command: str) -> float:
    """Return the median seconds that a process takes from start to end."""
    return median_of(TIMES, lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True)).wall


def main() -> None:
    """Measure both."""
    mpsync = str(Path(sys.executable).with_name("mpsync"))
    bare, ours = started(sys.executable, "-c", "pass"), started(mpsync, "--help")
    table = Table("help")
    note = f"bare Python {bare * 1e3:.0f} ms, ours {ours * 1e3:.0f} ms"
    table.add(Row("mpsync --help beyond bare Python", (ours - bare) * 1e3, "ms", 50, 30, kind="at most", note=note))
    table.report()


if __name__ == "__main__":
    main()
