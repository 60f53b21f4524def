"""Answers in pages, of a vendor that documents `pagination` and no page parameter (edge case M38)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Generic, TypeVar

from sync.clients.mpw.wire import Page
from sync.clients.rows import BadRow, Parsed
from sync.errors import MalformedResponseError
from sync.flows.paging import Paging

PAGES_MAX = 10_000
"""End of an answer that claims ever more pages."""

ROWS_MAX = 200_000
"""In all pages of one span: more is an answer without end, and each row is held until the last has come."""

T = TypeVar("T")
FetchPage = Callable[[date, date, int], tuple[Parsed[T], Page | None]]


class Pager(Generic[T]):
    """Reads spans of days whole, by `page=n` where that works, else by halving the span.

    `fetch` returns a page (from 1) of the rows between two days, `identity` a row's number. `paging` knows whether
    earlier passes have seen the page parameter work, and is told what this one sees; without it each pass finds out.
    """

    def __init__(self, fetch: FetchPage[T], identity: Callable[[T], str], paging: Paging | None = None) -> None:
        self._fetch = fetch
        self._identity = identity
        self._paging = paging
        self._parameter_works: bool | None = None
        self._seen_here = False

    def read(self, first: date, last: date) -> Parsed[T]:
        """Return everything between two days, both inclusive.

        Raises MalformedResponseError where a single day does not fit one page and pages cannot be
        asked for (a silent loss otherwise), and where there is no end of them.
        """
        parsed, page = self._fetch(first, last, 1)
        if page is None or page.page_count <= 1:
            return parsed
        if page.page_count > PAGES_MAX:
            raise MalformedResponseError(f"{page.page_count} pages from {first} to {last}: that cannot be", status=200)
        if self._asks_for_pages(first, last) and (whole := self._all_pages(first, last, parsed, page)) is not None:
            return whole
        if first == last:
            raise MalformedResponseError(
                f"{first} has {page.page_count} pages, and the page parameter shows the first one again",
                status=200,
                hint="the vendor's document names no page parameter: ask them how to read further pages",
            )
        middle = first + timedelta(days=(last - first).days // 2)
        left, right = self.read(first, middle), self.read(middle + timedelta(days=1), last)
        return self._joined([left, right])

    def _asks_for_pages(self, first: date, last: date) -> bool:
        """Tell whether to ask for further pages: not where they were seen not to come, unless nothing else is left."""
        if self._parameter_works is None and self._paging is not None:
            self._parameter_works = self._paging.works()
        return self._parameter_works is not False or (first == last and not self._seen_here)

    def _saw(self, works: bool, first: date, last: date, pages: int) -> None:
        if self._paging is not None and not (self._seen_here and self._parameter_works == works):
            self._paging.showed(works, first, last, pages)
        self._parameter_works, self._seen_here = works, True

    def _all_pages(self, first: date, last: date, start: Parsed[T], page: Page) -> Parsed[T] | None:
        """Return all pages as one; None where pages repeat, or do not add up to what was announced."""
        pages = [start]
        seen = self._ids(start)
        for number in range(2, page.page_count + 1):
            parsed, _ = self._fetch(first, last, number)
            ids = self._ids(parsed)
            if ids and ids <= seen:
                self._saw(False, first, last, page.page_count)
                return None
            seen |= ids
            if len(seen) > ROWS_MAX:
                raise MalformedResponseError(
                    f"more than {ROWS_MAX} rows from {first} to {last}: that cannot be", status=200
                )
            pages.append(parsed)
        whole = self._joined(pages)
        if len(whole.rows) + len(whole.bad) < page.count:
            return None
        self._saw(True, first, last, page.page_count)
        return whole

    def _ids(self, parsed: Parsed[T]) -> set[str]:
        return {self._identity(row) for row in parsed.rows} | {row.raw for row in parsed.bad}

    def _joined(self, parts: list[Parsed[T]]) -> Parsed[T]:
        """Join pages; a row that slid from one to the next while we read counts once, as it came last."""
        rows: dict[str, T] = {}
        bad: dict[str, BadRow] = {}
        for part in parts:
            rows.update((self._identity(row), row) for row in part.rows)
            bad.update((row.raw, row) for row in part.bad)
        return Parsed(list(rows.values()), list(bad.values()))
