"""Column types that cannot lie: what goes in comes out, and what is not exact does not go in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Connection, Integer, MetaData, Table, func, insert, select
from sqlalchemy.exc import StatementError

from sync.database.engine import Store
from sync.database.types import Fixed, Instant
from sync.values.money import from_micros, to_micros

LARGEST = Decimal(2**63 - 1).scaleb(-6)
samples = Table(
    "samples", MetaData(), Column("id", Integer, primary_key=True), Column("f", Fixed), Column("i", Instant)
)

decimals = st.decimals(min_value=-LARGEST, max_value=LARGEST, places=6, allow_nan=False, allow_infinity=False)
instants = st.datetimes(
    min_value=datetime(1970, 1, 2),
    max_value=datetime(9990, 1, 1),
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-6)), timezone(timedelta(hours=5, minutes=45))]),
)
many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def conn(store: Store) -> Iterator[Connection]:
    with store.write() as conn:
        samples.create(conn)
        yield conn


def _kept(conn: Connection, **values: Any) -> Any:
    key = conn.execute(insert(samples).values(**values)).inserted_primary_key
    assert key is not None
    (name,) = values
    return conn.execute(select(samples.c[name]).where(samples.c.id == key[0])).scalar_one()


@many
@given(value=decimals)
def test_a_decimal_comes_back_as_it_went_in(conn: Connection, value: Decimal) -> None:
    kept = _kept(conn, f=value)

    assert isinstance(kept, Decimal)
    assert kept == value


@given(value=decimals)
def test_scaling_loses_nothing(value: Decimal) -> None:
    assert from_micros(to_micros(value)) == value


def test_the_smallest_and_the_largest_number_fit(conn: Connection) -> None:
    for value in (Decimal("0.000001"), Decimal("-0.000001"), LARGEST, -LARGEST):
        assert _kept(conn, f=value) == value


@pytest.mark.parametrize("value", [1.1, 2.0, float("nan"), True])
def test_a_float_is_refused_even_a_whole_one(conn: Connection, value: object) -> None:
    with pytest.raises(StatementError, match="not a number"):
        conn.execute(insert(samples).values(f=value))

    assert conn.execute(select(func.count()).select_from(samples)).scalar() == 0


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), Decimal(10) ** 13, "twelve"])
def test_what_the_column_cannot_hold_is_refused(conn: Connection, value: object) -> None:
    with pytest.raises(StatementError):
        conn.execute(insert(samples).values(f=value))


def test_a_float_is_refused_in_a_comparison_too(conn: Connection) -> None:
    with pytest.raises(StatementError, match="not a number"):
        conn.execute(select(samples).where(samples.c.f > 1.5))


@pytest.mark.parametrize(
    ("given_", "kept"), [("0.0000005", "0"), ("0.0000015", "0.000002"), ("1.23456749", "1.234567")]
)
def test_what_is_finer_than_a_millionth_is_rounded_half_even(conn: Connection, given_: str, kept: str) -> None:
    assert _kept(conn, f=Decimal(given_)) == Decimal(kept)


def test_a_sum_is_exact_where_doubles_are_not(conn: Connection) -> None:
    conn.execute(insert(samples), [{"f": Decimal("0.1")}] * 3)

    total = conn.execute(select(func.sum(samples.c.f, type_=Fixed))).scalar_one()

    assert total == Decimal("0.3")
    assert 0.1 + 0.1 + 0.1 != 0.3


def test_numbers_sort_and_compare_as_numbers(conn: Connection) -> None:
    conn.execute(insert(samples), [{"f": Decimal(v)} for v in ("10", "9", "-1", "0.5")])

    ordered = conn.execute(select(samples.c.f).order_by(samples.c.f)).scalars().all()
    small = conn.execute(select(samples.c.f).where(samples.c.f < Decimal("0.500001"))).scalars().all()

    assert ordered == [Decimal(v) for v in ("-1", "0.5", "9", "10")]
    assert sorted(small) == [Decimal("-1"), Decimal("0.5")]


def test_null_stays_null(conn: Connection) -> None:
    assert _kept(conn, f=None) is None
    assert _kept(conn, i=None) is None


@many
@given(value=instants)
def test_an_instant_comes_back_in_utc_to_the_microsecond(conn: Connection, value: datetime) -> None:
    kept = _kept(conn, i=value)

    assert kept == value
    assert kept.utcoffset() == timedelta(0)


@pytest.mark.parametrize("value", [datetime(2024, 3, 15, 12), "2024-03-15T12:00:00Z"])
def test_a_time_without_a_zone_is_refused(conn: Connection, value: object) -> None:
    with pytest.raises((StatementError, AttributeError)):
        conn.execute(insert(samples).values(i=value))

    assert conn.execute(select(func.count()).select_from(samples)).scalar() == 0


def test_instants_sort_as_time_does_whatever_their_zone(conn: Connection) -> None:
    east = datetime(2024, 3, 15, 1, tzinfo=timezone(timedelta(hours=5)))
    utc = datetime(2024, 3, 14, 20, 0, 0, 1, tzinfo=UTC)
    west = datetime(2024, 3, 14, 19, tzinfo=timezone(timedelta(hours=-6)))
    conn.execute(insert(samples), [{"i": west}, {"i": east}, {"i": utc}])

    assert conn.execute(select(samples.c.i).order_by(samples.c.i)).scalars().all() == [east, utc, west]


def test_an_instant_on_sqlite_is_text_of_one_width(sqlite_store: Store) -> None:
    with sqlite_store.write() as conn:
        samples.create(conn)
        conn.execute(insert(samples).values(i=datetime(2024, 3, 15, 6, tzinfo=timezone(timedelta(hours=-6)))))

        raw = conn.exec_driver_sql("select i from samples").scalar_one()

    assert raw == "2024-03-15T12:00:00.000000Z"
