"""What is known of MPW's page parameter, and what a long answer shows of it (edge case M38)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sync.database.facts import fact, forget_fact
from sync.learned.rows import learn, learned
from sync.values.systems import MPW
from sync.work.context import Context

PAGE_HONOURED = "page_honoured"

SEARCH_AGAIN = timedelta(hours=1)
"""How long to wait before searching a day again that could not be read whole; sooner if its count changes."""


@dataclass(frozen=True, slots=True)
class Paging:
    """The page parameter in answers of one kind; `rows` names them to people."""

    ctx: Context
    rows: str

    def works(self) -> bool | None:
        """Return whether `page=n` brings the n-th page, None where nothing is known."""
        with self.ctx.read() as conn:
            known = learned(conn, MPW, PAGE_HONOURED)
        return None if known is None else known == "yes"

    def showed(self, works: bool, first: date, last: date, pages: int) -> None:
        """Keep what an answer of several pages has shown; no transaction may be open."""
        span = f"the {self.rows} from {first} to {last}, which have {pages} pages"
        evidence = f"all pages of {span}, are different" if works else f"a further page of {span}, was an earlier one"
        with self.ctx.anyone_writes() as books:
            value = "yes" if works else "no"
            learn(books.conn, MPW, PAGE_HONOURED, value, evidence=evidence, now=books.now)

    def left_of(self, day: date, count: int) -> int | None:
        """Return how many of a day's rows a search could show a short while ago; None: it is to be searched (again)."""
        with self.ctx.read() as conn:
            known = fact(conn, self._left(day))
        if known is None:
            return None
        left = json.loads(known)
        age = self.ctx.clock.now() - datetime.fromisoformat(left["at"])
        return int(left["read"]) if left["count"] == count and timedelta() <= age < SEARCH_AGAIN else None

    def showed_of(self, day: date, read: int, count: int) -> None:
        """Keep how many of a day's rows a search could show, if not all; no transaction may be open."""
        name = self._left(day)
        with self.ctx.read() as conn:
            known = fact(conn, name)
        if read >= count and known is None:
            return
        with self.ctx.anyone_writes() as books:
            if read >= count:
                forget_fact(books.conn, name)
            else:
                books.note_fact(name, json.dumps({"at": books.now.isoformat(), "count": count, "read": read}))

    def _left(self, day: date) -> str:
        return f"left of {self.rows} of {day}"
