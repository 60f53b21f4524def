"""A span is read whole, page by page or in halves, and an answer that claims ever more of them has an end."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

import pytest
from sqlalchemy import text

from sync.clients.mpw.wire import Page
from sync.clients.rows import Parsed
from sync.database.engine import Store
from sync.database.exceptions import open_exceptions
from sync.errors import MalformedResponseError
from sync.jobs.due import an_agenda
from sync.learned.rows import set_learned
from sync.learned.rules import FACTS
from sync.poll.spans import pages
from sync.poll.spans.pages import PAGES_MAX, Narrow, Pager, Splits
from sync.poll.spans.paging import Paging
from sync.values.policy import Policy
from sync.work.context import Context
from tests.clocks import FakeClock

FIRST, LAST = date(2024, 3, 1), date(2024, 3, 4)


class Answers:
    """A vendor with `per_day` rows a day, `size` on a page; `works`: it knows the page parameter."""

    def __init__(self, per_day: int, size: int, *, works: bool = True) -> None:
        self.per_day, self.size, self.works = per_day, size, works
        self.asked: list[tuple[date, date, int]] = []

    def __call__(self, first: date, last: date, number: int) -> tuple[Parsed[str], Page | None]:
        self.asked.append((first, last, number))
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        rows = [f"{day} {n}" for day in days for n in range(self.per_day)]
        start = (number - 1) * self.size if self.works else 0
        return Parsed(rows[start : start + self.size]), Page(number, self.size, -(-len(rows) // self.size), len(rows))


def test_all_pages_of_a_span_are_its_rows_once_each() -> None:
    answers = Answers(per_day=5, size=3)

    read = Pager(answers, str).read(FIRST, LAST)

    assert len(read.rows) == len(set(read.rows)) == 20
    assert answers.asked == [(FIRST, LAST, n) for n in range(1, 8)]


def test_where_the_first_page_comes_again_the_span_is_halved_and_a_day_that_does_not_fit_is_named() -> None:
    read = Pager(Answers(per_day=2, size=3, works=False), str).read(FIRST, LAST)

    assert len(read.rows) == len(set(read.rows)) == 8
    assert read.left == []

    read = Pager(Answers(per_day=4, size=3, works=False), str).read(FIRST, LAST)

    assert len(read.rows) == 12
    assert [(one.day, one.read, one.count) for one in read.left] == [
        (FIRST + timedelta(days=n), 3, 4) for n in range(4)
    ]


class ByDates:
    """Orders of one day, each with the day it is wanted on; a page holds `size`. `beside`: two pairs of dates count."""

    def __init__(self, wanted: list[date], size: int, *, beside: bool) -> None:
        self.wanted, self.size, self.beside = wanted, size, beside
        self.calls = 0

    def day(self, first: date, last: date, _number: int) -> tuple[Parsed[str], Page | None]:
        return self._page(range(len(self.wanted)) if first <= FIRST <= last else [])

    def part(self, _day: date, narrow: Narrow) -> tuple[Parsed[str], Page | None]:
        self.calls += 1
        if narrow.status not in (None, "open"):
            return self._page([])
        if narrow.other is None or not (self.beside or narrow.alone):
            return self._page(range(len(self.wanted)))
        _, first, last = narrow.other
        others = [-1] if narrow.alone and first <= FIRST <= last else []  # written on another day
        return self._page([*others, *(n for n, on in enumerate(self.wanted) if first <= on <= last)])

    def _page(self, found: Iterable[int]) -> tuple[Parsed[str], Page | None]:
        rows = [f"order {n}" for n in found]
        pages = max(1, -(-len(rows) // self.size))
        return Parsed(rows[: self.size]), Page(1, self.size, pages, len(rows))


@pytest.mark.parametrize("beside", [True, False], ids=["beside the day", "instead of it"])
@pytest.mark.parametrize("apart", [1, 9, 40])
def test_the_rows_of_a_full_day_of_one_status_are_told_apart_by_another_date(beside: bool, apart: int) -> None:
    answers = ByDates([FIRST + timedelta(days=n // 2 * apart) for n in range(8)], 3, beside=beside)
    splits: Splits[str] = Splits(
        answers.part, lambda row, _day: row != "order -1", lambda _row: "open", dates=("required_on",)
    )

    read = Pager(answers.day, str, splits=splits).read(FIRST, FIRST)

    assert sorted(read.rows) == [f"order {n}" for n in range(8)]
    assert read.left == []
    assert answers.calls <= pages.PARTS_MAX


def test_rows_that_no_other_date_tells_apart_are_kept_as_far_as_they_show_and_the_day_is_named() -> None:
    answers = ByDates([FIRST] * 8, 3, beside=True)
    splits: Splits[str] = Splits(answers.part, lambda _row, _day: True, lambda _row: "open", dates=("required_on",))

    read = Pager(answers.day, str, splits=splits).read(FIRST, FIRST)

    assert read.rows == ["order 0", "order 1", "order 2"]
    assert [(one.day, one.read, one.count) for one in read.left] == [(FIRST, 3, 8)]


def test_more_pages_than_can_be_are_not_asked_for() -> None:
    answers = Answers(per_day=PAGES_MAX, size=1)

    with pytest.raises(MalformedResponseError, match=r"40000 pages .* that cannot be"):
        Pager(answers, str).read(FIRST, LAST)

    assert len(answers.asked) == 1


def test_pages_with_more_rows_than_can_be_end_before_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "ROWS_MAX", 12)
    answers = Answers(per_day=5, size=3)

    with pytest.raises(MalformedResponseError, match=r"more than 12 rows .* that cannot be"):
        Pager(answers, str).read(FIRST, LAST)

    assert [number for _, _, number in answers.asked] == [1, 2, 3, 4, 5]


# --- what one pass learns, the next knows -------------------------------------------------


@pytest.fixture
def paging(store: Store, clock: FakeClock) -> Paging:
    return Paging(Context(store=store, clock=clock, policy=Policy(), agenda=an_agenda()), "purchase orders")


def _value(paging: Paging) -> tuple[str, str] | None:
    with paging.ctx.read() as conn:
        row = conn.execute(text("select value, evidence from v_learned where fact = 'page_honoured'")).first()
    return None if row is None else (row.value, row.evidence)


def test_that_pages_come_is_learnt_with_the_answer_that_shows_it(paging: Paging) -> None:
    Pager(Answers(per_day=5, size=3), str, paging).read(FIRST, LAST)

    assert _value(paging) == (
        "yes",
        "all pages of the purchase orders from 2024-03-01 to 2024-03-04, which have 7 pages, are different",
    )


def test_a_page_that_never_comes_is_asked_for_once_and_not_by_any_later_pass(paging: Paging) -> None:
    first, second = Answers(per_day=2, size=3, works=False), Answers(per_day=2, size=3, works=False)

    Pager(first, str, paging).read(FIRST, LAST)
    read = Pager(second, str, paging).read(FIRST, LAST)

    assert sum(number > 1 for _, _, number in first.asked) == 1
    assert [number for _, _, number in second.asked if number > 1] == []
    assert len(set(read.rows)) == len(read.rows) == 8
    assert (_value(paging) or ("",))[0] == "no"


def test_a_day_that_does_not_fit_is_asked_for_page_by_page_before_it_is_given_up(paging: Paging) -> None:
    Pager(Answers(per_day=2, size=3, works=False), str, paging).read(FIRST, LAST)
    better = Answers(per_day=4, size=3)

    read = Pager(better, str, paging).read(FIRST, FIRST)

    assert len(read.rows) == 4
    assert (_value(paging) or ("",))[0] == "no"  # one answer does not turn it over
    with paging.ctx.read() as conn:
        assert [row.subject for row in open_exceptions(conn, kind="learned_contradicted")] == ["mpw page_honoured"]


def test_what_a_person_set_decides_whether_pages_are_asked_for(paging: Paging) -> None:
    with paging.ctx.store.write() as conn:
        set_learned(conn, FACTS["mpw", "page_honoured"], "no", why="x", by="ann", now=paging.ctx.clock.now())
    answers = Answers(per_day=2, size=3)

    Pager(answers, str, paging).read(FIRST, LAST)

    assert {number for _, _, number in answers.asked} == {1}
