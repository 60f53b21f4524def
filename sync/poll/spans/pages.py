"""Answers in pages, of a vendor that documents `pagination` and no page parameter (edge case M38).

A span is read by `page=n` where that works, else by halving it. A single day with more rows than a page is read in
parts by the document's other filters (status, and the other dates); what is left of it even so is told, and is no
reason to drop what was read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Generic, TypeVar

from sync.clients.mpw.wire import Page
from sync.clients.rows import BadRow, Parsed
from sync.errors import MalformedResponseError, RejectedError
from sync.poll.spans.paging import Paging

PAGES_MAX = 10_000
"""End of an answer that claims ever more pages."""

ROWS_MAX = 200_000
"""In all pages of one span: more is an answer without end, and each row is held until the last has come."""

PARTS_MAX = 60
"""The most calls to spend on a day whose rows do not fit one page."""

OTHER_DATES_BEFORE = timedelta(days=366)
OTHER_DATES_AFTER = timedelta(days=3 * 366)
"""How far from the day that is read its rows' other dates are looked for."""

OTHER_DATES_NEAR = timedelta(days=30)
"""Most orders are wanted within so long after they were written: these days are looked at apart, and first."""

ONE_DAY = timedelta(days=1)

T = TypeVar("T")
FetchPage = Callable[[date, date, int], tuple[Parsed[T], Page | None]]


@dataclass(frozen=True, slots=True)
class Left:
    """A day of which the vendor has `count` rows and shows no more than `read` of them."""

    day: date
    read: int
    count: int

    def __str__(self) -> str:
        return f"{self.day}: {self.read} of {self.count} rows could be read, and no page beyond the first"


@dataclass(slots=True)
class Read(Parsed[T]):
    """A span's rows, and the days that are not whole."""

    left: list[Left] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Narrow:
    """Conditions beside the span: a status, exactly as the vendor writes it, and a range of another date.

    `alone`: that range stands instead of the span. The document shows requests with one pair of dates only.
    """

    status: str | None = None
    other: tuple[str, date, date] | None = None
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Splits(Generic[T]):
    """How one day can be asked for in parts. `statuses`: spellings to try beside those that the rows show."""

    fetch: Callable[[date, Narrow], tuple[Parsed[T], Page | None]]
    belongs: Callable[[T, date], bool]
    status_of: Callable[[T], str]
    statuses: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()


class Pager(Generic[T]):
    """Reads spans of days whole, by `page=n` where that works, else by halving the span.

    `fetch` returns a page (from 1) of the rows between two days, `identity` a row's number. `paging` knows whether
    earlier passes have seen the page parameter work, and is told what this one sees; without it each pass finds out.
    `splits` says how a day can be read in parts; without it a day beyond a page is never whole.
    """

    def __init__(
        self,
        fetch: FetchPage[T],
        identity: Callable[[T], str],
        paging: Paging | None = None,
        splits: Splits[T] | None = None,
    ) -> None:
        self._fetch = fetch
        self._identity = identity
        self._paging = paging
        self._splits = splits
        self._parameter_works: bool | None = None
        self._seen_here = False

    def read(self, first: date, last: date) -> Read[T]:
        """Return everything between two days, both inclusive; `left` names the days that are not whole.

        Raises MalformedResponseError where there is no end of pages.
        """
        parsed, page = self._fetch(first, last, 1)
        if page is None or page.page_count <= 1:
            return Read(parsed.rows, parsed.bad)
        if page.page_count > PAGES_MAX:
            raise MalformedResponseError(f"{page.page_count} pages from {first} to {last}: that cannot be", status=200)
        if self._asks_for_pages(first, last) and (whole := self._all_pages(first, last, parsed, page)) is not None:
            return whole
        if first == last:
            return self._in_parts(first, parsed, page)
        middle = first + timedelta(days=(last - first).days // 2)
        left, right = self.read(first, middle), self.read(middle + timedelta(days=1), last)
        joined = self._joined([left, right])
        joined.left = [*left.left, *right.left]
        return joined

    def _asks_for_pages(self, first: date, last: date) -> bool:
        """Tell whether to ask for further pages: not where they were seen not to come, unless nothing else is left."""
        if self._parameter_works is None and self._paging is not None:
            self._parameter_works = self._paging.works()
        return self._parameter_works is not False or (first == last and not self._seen_here)

    def _saw(self, works: bool, first: date, last: date, pages: int) -> None:
        if self._paging is not None and not (self._seen_here and self._parameter_works == works):
            self._paging.showed(works, first, last, pages)
        self._parameter_works, self._seen_here = works, True

    def _in_parts(self, day: date, start: Parsed[T], page: Page) -> Read[T]:
        """Return as much of a day as the other filters show, and say what is left of it.

        What was not to be shown a short while ago is not searched for again: its first page is read, as all that are.
        """
        before = self._paging.left_of(day, page.count) if self._paging is not None else None
        parts = _Parts(self._splits, self._identity, day, page.count)
        parts.take(start)
        if before is None:
            parts.ask()
        read, shown = parts.read(), before
        if shown is None:
            shown = len(read.rows) + len(read.bad)
            if self._paging is not None:
                self._paging.showed_of(day, shown, page.count)
        if shown < page.count:
            read.left.append(Left(day, shown, page.count))
        return read

    def _all_pages(self, first: date, last: date, start: Parsed[T], page: Page) -> Read[T] | None:
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

    def _joined(self, parts: Iterable[Parsed[T]]) -> Read[T]:
        """Join pages; a row that slid from one to the next while we read counts once, as it came last."""
        rows: dict[str, T] = {}
        bad: dict[str, BadRow] = {}
        for part in parts:
            rows.update((self._identity(row), row) for row in part.rows)
            bad.update((row.raw, row) for row in part.bad)
        return Read(list(rows.values()), list(bad.values()))


class _Parts(Generic[T]):
    """One day that does not fit a page, gathered call by call until all its rows are there, or `PARTS_MAX` were made.

    Orders are asked for by status, and where a status does not fit a page either by halves of the other dates, beside
    the day or, where no notice is taken of two pairs of dates, instead of it.
    A filter that the vendor refuses, or takes no notice of, is not used further.
    """

    def __init__(self, splits: Splits[T] | None, identity: Callable[[T], str], day: date, count: int) -> None:
        self._splits, self._identity, self._day, self._count = splits, identity, day, count
        self._rows: dict[str, T] = {}
        self._bad: dict[str, BadRow] = {}
        self._calls = 0
        self._not_beside: set[str] = set()  # dates of which no notice is taken beside the day

    def take(self, parsed: Parsed[T]) -> None:
        """Add an answer's rows; what it shows of other days says nothing of this one."""
        belongs = self._splits.belongs if self._splits is not None else lambda _row, _day: True
        self._rows.update((self._identity(row), row) for row in parsed.rows if belongs(row, self._day))
        self._bad.update((row.raw, row) for row in parsed.bad)

    def is_whole(self) -> bool:
        """Tell whether there are as many rows as the vendor announced."""
        return len(self._rows) + len(self._bad) >= self._count

    def read(self) -> Read[T]:
        """Return what there is."""
        return Read(list(self._rows.values()), list(self._bad.values()))

    def ask(self) -> None:
        """Make the calls."""
        if self._splits is None:
            return
        asked: set[str] = set()
        while (status := self._next_status(asked)) is not None and not self._is_over():
            asked.add(status)
            found = self._fetch(Narrow(status))
            if found is None:
                break
            parsed, fits = found
            if any(self._splits.status_of(row) != status for row in parsed.rows):
                break  # it takes no notice of the status
            if not fits:
                self._by_other_dates(status)
        if not self._is_over():
            self._by_other_dates(None)

    def _next_status(self, asked: set[str]) -> str | None:
        assert self._splits is not None
        shown = sorted({self._splits.status_of(row) for row in self._rows.values()})
        return next((status for status in (*shown, *self._splits.statuses) if status not in asked), None)

    def _by_other_dates(self, status: str | None) -> None:
        assert self._splits is not None
        for name in self._splits.dates:
            beside = name not in self._not_beside and self._halve(status, name, alone=False)
            if not beside and not self._is_over():
                self._not_beside.add(name)
                self._halve(status, name, alone=True)

    def _halve(self, status: str | None, name: str, *, alone: bool) -> bool:
        """Ask for ranges of another date, the halves of those that do not fit a page, and so on.

        Return False where the vendor does not take such a question, or takes no notice of this date: a row has one
        such date, and is shown for two ranges that have no day in common.
        """
        day = self._day
        spans = [
            (day, day + OTHER_DATES_NEAR),
            (day + OTHER_DATES_NEAR + ONE_DAY, day + OTHER_DATES_AFTER),
            (day - OTHER_DATES_BEFORE, day - ONE_DAY),
        ]
        seen: list[tuple[date, date, set[str]]] = []
        while spans and not self._is_over():
            first, last = spans.pop(0)
            found = self._fetch(Narrow(status, (name, first, last), alone))
            if found is None:
                return False
            parsed, fits = found
            ids = {self._identity(row) for row in parsed.rows}
            if any(ids & others for start, end, others in seen if end < first or last < start):
                return False
            seen.append((first, last, ids))
            if not fits and first < last:
                middle = first + (last - first) // 2
                spans += [(first, middle), (middle + ONE_DAY, last)]
        return True

    def _fetch(self, narrow: Narrow) -> tuple[Parsed[T], bool] | None:
        """Return an answer, and whether it is whole; None where the vendor does not take such a question."""
        assert self._splits is not None
        self._calls += 1
        try:
            parsed, page = self._splits.fetch(self._day, narrow)
        except (RejectedError, MalformedResponseError):
            return None
        self.take(parsed)
        return parsed, page is None or page.page_count <= 1

    def _is_over(self) -> bool:
        return self.is_whole() or self._calls >= PARTS_MAX
