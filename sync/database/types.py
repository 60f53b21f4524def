"""Column types that cannot lie: exact decimals and UTC instants, alike on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, DateTime, Integer, String
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from sync.values.money import from_micros, to_micros

Id = BigInteger().with_variant(Integer(), "sqlite")
"""A surrogate key; on SQLite the row id itself."""


class Fixed(TypeDecorator[Decimal]):
    """A Decimal as a 64-bit integer of millionths: exact, sortable, summable on both databases.

    Rejects floats with ValueError: their digits are already wrong.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> int | None:
        """Scale a Decimal or int."""
        return None if value is None else to_micros(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Return the Decimal; sums arrive as int or Decimal, by database."""
        return None if value is None else from_micros(value)


def instant_text(value: datetime) -> str:
    """Return an aware instant as fixed-width UTC text, which sorts as time does."""
    if value.tzinfo is None:
        raise ValueError(f"naive datetime: {value!r}; an instant needs its zone")
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime: timestamptz on PostgreSQL, fixed-width ISO text on SQLite.

    Rejects naive values with ValueError; SQLite's own type would drop the offset silently.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column's real type."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(27))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Store in UTC."""
        if value is None:
            return None
        text = instant_text(value)
        return text if dialect.name == "sqlite" else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return an aware UTC datetime."""
        if value is None:
            return None
        if isinstance(value, str):
            return datetime.fromisoformat(value).astimezone(UTC)
        return value.astimezone(UTC)  # type: ignore[no-any-return]
