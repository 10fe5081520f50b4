"""Column types that keep the same value on PostgreSQL and SQLite: exact decimals, UTC instants, identifiers, JSON. No tables here.

SQLite has neither decimals nor instants: both are kept as text there, never as floats, so that what is read is what was written.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import JSON, BigInteger, Dialect, Integer, LargeBinary, Numeric, String, Text
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP, UUID
from sqlalchemy.types import TypeDecorator, TypeEngine

from schemas import strict_json


def instant_text(instant: datetime) -> str:
    """An instant as SQLite keeps it: RFC 3339, UTC, microseconds, `Z`; texts of this form sort as their instants do."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def exact_text(number: Decimal) -> str:
    """A decimal as SQLite keeps it: plain digits, no exponent."""
    return format(number, "f")


def json_text(value: Any) -> str:
    """A JSON column's value as text, compact; the same on both databases."""
    return strict_json.write(value).decode()


class Instant(TypeDecorator[datetime]):
    """A UTC instant: TIMESTAMPTZ on PostgreSQL, text on SQLite. Naive datetimes are a programming error (ValueError)."""

    impl = String(27)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """TIMESTAMPTZ where there is one."""
        return dialect.type_descriptor(TIMESTAMP(timezone=True) if dialect.name == "postgresql" else String(27))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Bring an aware datetime to UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"an instant needs its offset: {value!r}")
        return value.astimezone(UTC) if dialect.name == "postgresql" else instant_text(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Give it back in UTC."""
        if value is None:
            return None
        return (value if isinstance(value, datetime) else datetime.fromisoformat(value)).astimezone(UTC)


class Exact(TypeDecorator[Decimal]):
    """An exact decimal: NUMERIC on PostgreSQL, text on SQLite (compare there with `CAST(x AS REAL)`, add in the program)."""

    impl = Numeric
    cache_ok = True

    def __init__(self, precision: int, scale: int) -> None:
        super().__init__(precision, scale)
        self.precision, self.scale = precision, scale

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """NUMERIC where it is exact."""
        exact = dialect.name == "postgresql"
        return dialect.type_descriptor(Numeric(self.precision, self.scale) if exact else String(self.precision + 2))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """Write a Decimal; a float is a programming error (TypeError)."""
        if value is not None and not isinstance(value, Decimal):
            raise TypeError(f"money and masses are decimals, not {type(value).__name__}")
        return value if value is None or dialect.name == "postgresql" else exact_text(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Give it back as a Decimal."""
        return None if value is None else Decimal(value)


def identifier() -> TypeEngine[str]:
    """A UUID in its 36 characters: `uuid` on PostgreSQL (16 bytes in every index), text on SQLite."""
    return String(36).with_variant(UUID(as_uuid=False), "postgresql")


def name(length: int) -> TypeEngine[str]:
    """A name or code that is only compared bytewise: collation "C" on PostgreSQL, whose locale's rules would cost and could change."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


def words() -> TypeEngine[str]:
    """Text for people, of any length."""
    return Text()


def document() -> TypeEngine[Any]:
    """A JSON value: `jsonb` on PostgreSQL, JSON text on SQLite."""
    return JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def digest() -> TypeEngine[bytes]:
    """A SHA-256, 32 bytes."""
    return LargeBinary(32)


def big() -> TypeEngine[int]:
    """A whole number up to 2**63 - 1."""
    return BigInteger().with_variant(Integer(), "sqlite")
