"""One request to a base URL in a process of its own: prints how it ended and the most memory that it took.

python -m tests.hostile.one_request URL TIMEOUT LIMIT WRITE
"""

from __future__ import annotations

import json
import resource
import sys

from sync.clients.http import Http
from sync.clock import SystemClock
from sync.errors import RemoteError


def peak_bytes() -> int:
    """Return the most memory that was resident, in bytes (Linux counts kilobytes, macOS bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    """Send the request and report."""
    url, timeout, limit, write = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "write"
    http = Http(url, system="mpw", clock=SystemClock(), timeout_seconds=timeout, max_body_bytes=limit)
    before = peak_bytes()
    try:
        answer = http.send("POST" if write else "GET", "/receipts", write=write, endpoint="receipts")
        ending, message = "answer", str(len(answer.body))
    except RemoteError as error:
        ending, message = type(error).__name__, error.message
    print(json.dumps({"ending": ending, "message": message, "grown": peak_bytes() - before}))


if __name__ == "__main__":
    main()
