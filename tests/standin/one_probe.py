"""A probe in a process of its own, to be killed in the middle: `python -m tests.standin.one_probe ARGUMENTS`."""

from __future__ import annotations

import os
import signal
import sys
from datetime import datetime, timedelta
from unittest.mock import patch

from sync.__main__ import main
from sync.cli import probe
from tests.standin.times import OurClock, TrueTime


def run() -> int:
    """Run it at the instant that STANDIN_NOW names; PROBE_STEPS: die after so many steps, by one's own hand."""
    clock = OurClock(TrueTime(datetime.fromisoformat(os.environ.pop("STANDIN_NOW"))))
    steps, told = int(os.environ.pop("PROBE_STEPS", "0")), 0
    show = probe._show_step

    def count(step: object) -> None:
        nonlocal told
        told += 1
        show(step)  # type: ignore[arg-type]
        if told == steps:
            os.kill(os.getpid(), signal.SIGKILL)

    with (
        patch("sync.app.SystemClock", lambda: clock),
        patch("sync.work.lead.TRUSTED", timedelta(hours=2)),  # its clock jumps when it sleeps
        patch.object(probe, "_show_step", count),
    ):
        return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(run())
