"""One cycle in a process of its own, to be killed in the middle: `python -m tests.standin.one_cycle`."""

from __future__ import annotations

import os
from datetime import datetime, timedelta

from sync.app import open_app
from sync.jobs.cycle import cycle_once
from sync.settings import load_settings
from tests.standin.times import OurClock, TrueTime


def main() -> None:
    """Run it at the instant that STANDIN_NOW names, by a clock that is STANDIN_AHEAD seconds ahead."""
    ahead = timedelta(seconds=float(os.environ.pop("STANDIN_AHEAD")))
    clock = OurClock(TrueTime(datetime.fromisoformat(os.environ.pop("STANDIN_NOW"))), ahead)
    with open_app(load_settings(dotenv=None), clock=clock) as app, app.leading() as leadership:
        cycle_once(app.context(leadership))


if __name__ == "__main__":
    main()
