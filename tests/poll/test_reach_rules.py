"""What a feed of "the last two days" shows of its reach, and when something may have been missed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from sync.poll.feed.reach_rules import Reach, Shows, edge_of, gap_after, watch

MONDAY = datetime(2024, 3, 11, tzinfo=UTC)
HOUR = timedelta(hours=1)
UTC_ZONE = ZoneInfo("UTC")
CHICAGO = ZoneInfo("America/Chicago")
Begins = Callable[[datetime], datetime]


def rolling(hours: float) -> Begins:
    return lambda now: now - timedelta(hours=hours)


def by_day(days: int, zone: ZoneInfo) -> Begins:
    """Today and `days` days before it, in a zone."""

    def begins(now: datetime) -> datetime:
        midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight - timedelta(days=days)

    return begins


def readings(
    begins: Begins,
    *,
    days: float = 6,
    every: timedelta = HOUR / 4,
    movements_every: timedelta = HOUR / 2,
    deleted: Iterable[str] = (),
    zone: ZoneInfo = UTC_ZONE,
) -> list[Shows]:
    """Read a feed for some days and return what it was found to show, in order."""
    created = {f"m{n}": MONDAY + n * movements_every for n in range(int(timedelta(days=days) / movements_every))}
    known: dict[str, datetime] = {}
    reach, found, now = Reach(), [], MONDAY + HOUR
    while now < MONDAY + timedelta(days=days):
        shown = {id_: at for id_, at in created.items() if begins(now) <= at <= now}
        if now > MONDAY + 10 * HOUR:
            shown = {id_: at for id_, at in shown.items() if id_ not in deleted}
        reach, facts = watch(reach, now, shown, edge_of(now, shown, known), zone=zone, setting=timedelta(hours=48))
        known |= shown
        found += facts
        now += every
    return found


def values(found: list[Shows], fact: str) -> set[str]:
    return {one.value for one in found if one.fact == fact}


def test_a_window_of_48_hours_by_the_clock_is_seen_as_that() -> None:
    found = readings(rolling(48))

    assert values(found, "window_is") == {"rolling"}
    assert all(47.4 <= float(hours) <= 48 for hours in values(found, "window_hours"))


def test_a_window_that_is_half_as_long_is_seen_and_never_called_longer() -> None:
    found = readings(rolling(24))

    assert values(found, "window_is") == {"rolling"}
    assert all(23.4 <= float(hours) <= 24 for hours in values(found, "window_hours"))


@pytest.mark.parametrize(("zone", "days", "hours"), [("UTC", 1, "24"), ("America/Chicago", 1, "24"), ("UTC", 2, "48")])
def test_a_window_by_calendar_is_as_long_as_just_after_midnight(zone: str, days: int, hours: str) -> None:
    found = readings(by_day(days, ZoneInfo(zone)), zone=CHICAGO)

    assert values(found, "window_is") == {"calendar"}
    assert found[-1].value == hours
    assert values(found, "window_hours") == {hours}


@pytest.mark.parametrize("deleted", [["m0"], ["m3"], ["m0", "m1", "m2"]])
def test_movements_that_people_deleted_show_no_reach(deleted: list[str]) -> None:
    assert readings(rolling(48), deleted=deleted, days=1.9) == []

    later = readings(rolling(48), deleted=deleted, days=6)

    assert all(47 <= float(hours) <= 48 for hours in values(later, "window_hours"))
    assert values(later, "window_is") == {"rolling"}


def test_a_busy_feed_is_learnt_from_like_a_quiet_one() -> None:
    found = readings(rolling(24), movements_every=timedelta(minutes=5), every=timedelta(minutes=5), days=3)

    assert values(found, "window_is") == {"rolling"}
    assert all(23.8 <= float(hours) <= 24 for hours in values(found, "window_hours"))


def test_few_movements_tell_the_reach_no_closer_than_they_can() -> None:
    found = readings(rolling(48), movements_every=7 * HOUR)

    assert found == []


def test_a_window_that_became_shorter_is_seen_after_two_edges() -> None:
    def begins(now: datetime) -> datetime:
        return now - timedelta(hours=48 if now < MONDAY + timedelta(days=4) else 12)

    found = readings(begins)

    assert float(found[-1].value if found[-1].fact == "window_hours" else found[-2].value) <= 12


def test_the_evidence_names_the_row_that_was_gone_and_the_one_that_was_shown() -> None:
    found = readings(rolling(48))

    assert found[0].evidence.startswith("movement m")
    assert "was gone and m" in found[0].evidence


# --- gaps ---------------------------------------------------------------------------------

NOW = MONDAY + timedelta(days=2)


def gap(
    silence: float, *, reach: float = 48, shown: dict[str, float] | None = None, known: dict[str, float]
) -> float | None:
    """Return how long before now a gap ends; ages in hours."""
    found = gap_after(
        NOW - timedelta(hours=silence),
        NOW,
        reach=timedelta(hours=reach),
        shown={id_: NOW - timedelta(hours=age) for id_, age in (shown or {}).items()},
        known={id_: NOW - timedelta(hours=age) for id_, age in known.items()},
    )
    return None if found is None else (NOW - found) / HOUR


def test_a_row_of_the_last_reading_that_is_shown_again_proves_that_nothing_was_missed() -> None:
    assert gap(30, shown={"a": 31, "b": 2}, known={"a": 31}) is None
    assert gap(60, shown={"a": 61}, known={"a": 61}) is None


def test_a_row_that_was_not_known_before_proves_nothing_however_old_it_says_it_is() -> None:
    assert gap(60, shown={"late": 61}, known={}) == 48


def test_a_silence_longer_than_the_reach_is_a_gap_up_to_the_reach() -> None:
    assert gap(30, reach=24, known={}) == 24
    assert gap(23, reach=24, known={}) is None


def test_rows_that_should_be_shown_and_are_gone_make_the_silence_a_gap() -> None:
    assert gap(30, shown={"new": 20}, known={"a": 31, "b": 40}) == 20
    assert gap(30, shown={}, known={"a": 31}) == 0


def test_a_deleted_row_after_a_short_silence_is_no_gap() -> None:
    assert gap(0.1, shown={}, known={"a": 31}) is None
