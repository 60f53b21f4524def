"""A probe in a process of its own, to be killed in the middle: `python -m tests.standin.one_probe ARGUMENTS`."""

from __future__ import annotations

import os
import signal
import sys
from datetime import datetime, timedelta
from unittest.mock import patch

from sync.__main__ import main
from sync.cli import probe
from sync.jobs.probe import _Probe
from sync.outbox.machine import NewPush
from tests.standin.times import OurClock, TrueTime


def run() -> int:
    """Run it at the instant that STANDIN_NOW names.

    PROBE_STEPS, PROBE_ADDS: die after so many steps, or after so many were written down, by one's own hand.
    """
    clock = OurClock(TrueTime(datetime.fromisoformat(os.environ.pop("STANDIN_NOW"))))
    steps, told = int(os.environ.pop("PROBE_STEPS", "0")), 0
    show = probe._show_step

    def count(step: object) -> None:
        nonlocal told
        told += 1
        show(step)  # type: ignore[arg-type]
        if told == steps:
            os.kill(os.getpid(), signal.SIGKILL)

    adds, added = int(os.environ.pop("PROBE_ADDS", "0")), 0
    add = _Probe._add

    def add_and_count(self: _Probe, *pushes: NewPush) -> list[int]:
        nonlocal added
        added += 1
        ids = add(self, *pushes)
        if added == adds:
            os.kill(os.getpid(), signal.SIGKILL)
        return ids

    with (
        patch.object(_Probe, "_add", add_and_count),
        patch("sync.app.SystemClock", lambda: clock),
        patch("sync.work.lead.TRUSTED", timedelta(hours=2)),  # its clock jumps when it sleeps
        patch.object(probe, "_show_step", count),
    ):
        return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(run())
