"""What is known of MPW's page parameter, and what a long answer shows of it (edge case M38)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sync.flows.context import MPW, Context
from sync.store.learned import learn, learned

PAGE_HONOURED = "page_honoured"


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
        with self.ctx.store.write() as conn:
            value = "yes" if works else "no"
            learn(conn, MPW, PAGE_HONOURED, value, evidence=evidence, now=self.ctx.clock.now())
