"""Run every measurement, each in a process of its own, and write bench/results.json.

python -m bench [NAME …]
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench.frame import RESULTS

SCRIPTS = ("backfill", "latency", "poll", "memory", "reconcile", "push", "claim", "views", "help", "idle")


def main(names: list[str]) -> int:
    """Run them; return how many rows fall short or scripts failed."""
    folder = Path(__file__).parent
    chosen = names or [name for name in SCRIPTS if (folder / f"{name}.py").exists()]
    failed = 0
    for name in chosen:
        failed += subprocess.run([sys.executable, "-m", f"bench.{name}"], cwd=folder.parent).returncode != 0
    results = json.loads(RESULTS.read_text())
    rows = [row for name, part in results.items() if name != "machine" for row in part]
    short = [row for row in rows if not row["met"]]
    print(f"\n{len(rows)} rows, {len(short)} short, {failed} scripts failed; written to {RESULTS.name}")
    for row in short:
        print(f"  SHORT {row['work']} {row['against']}: {row['value']} against {row['must']}")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
