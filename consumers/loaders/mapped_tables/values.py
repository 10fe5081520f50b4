"""From an event to the values of a mapped table's columns: found by the field's path, fitted to the column's type, never cut short."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any

from pydantic import BaseModel
from sqlalchemy import JSON, Boolean, Column, Date, DateTime, Float, Integer, Numeric, String

from consumers.columns import json_text
from consumers.loaders.following.values import Todo
from consumers.loaders.mapped_tables.mapping import MappedTable

Row = dict[str, Any]


class Unfit(ValueError):
    """A value that its column cannot hold: which column, and why."""


def rows_of(todo: Todo, table: MappedTable, columns: Mapping[str, Column[Any]]) -> Iterator[Row]:
    """Give the rows of one event for this table; Unfit where a value does not go into its column."""
    elements = [None] if table.each is None else getattr(todo.event.data, table.each, ())
    for element in elements:
        yield {column: _fitted(_value(todo, table, field, element), columns[column]) for field, column in table.columns.items()}


def _value(todo: Todo, table: MappedTable, field: str, element: Any) -> Any:
    head, _, rest = field.partition(".")
    if head == "event":
        return _of_envelope(todo, rest)
    if table.each is not None and head == table.each and rest:
        return _at(element, rest.split("."))
    return _at(todo.event.data, field.split("."))


def _of_envelope(todo: Todo, name: str) -> Any:
    event = todo.event
    named = {
        "accepted_at": event.accepted_at_utc,
        "received_at": event.received_at_utc,
        "status": "cancelled" if todo.cancels else "in-force",
    }
    return named[name] if name in named else getattr(event, name)


def _at(value: Any, steps: list[str]) -> Any:
    for step in steps:
        if value is None:
            return None
        value = value.get(step) if isinstance(value, dict) else getattr(value, step, None)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value.value if isinstance(value, Enum) else value


def _fitted(value: Any, column: Column[Any]) -> Any:
    plain = _plain(value)
    if plain is None or isinstance(column.type, JSON):
        return plain
    try:
        fitted = _as(plain, column)
    except (ValueError, ArithmeticError) as error:
        raise Unfit(f"column {column.name}: {error}") from None
    length = getattr(column.type, "length", None)
    if isinstance(fitted, str) and isinstance(length, int) and len(fitted) > length:
        raise Unfit(f"column {column.name} holds {length} characters, and this is {len(fitted)} long")
    return fitted


def _as(value: Any, column: Column[Any]) -> Any:
    fits = next((fit for kind, fit in _FITS if isinstance(column.type, kind)), None)
    return fits(value, column.type) if fits is not None else value


def _flag(value: Any, _: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("neither true nor false")  # noqa: TRY004 - it is the value that does not fit
    return value


def _whole(value: Any, _: Any) -> int:
    number = Decimal(int(value) if isinstance(value, bool) else value)
    if number != int(number):
        raise ValueError("not a whole number")
    return int(number)


def _instant(value: Any, kind: Any) -> datetime:
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time(), UTC)
    if not isinstance(value, datetime):
        raise ValueError("not an instant")  # noqa: TRY004 - as above
    return value.astimezone(UTC) if kind.timezone else value.astimezone(UTC).replace(tzinfo=None)


def _text(value: Any, _: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date):
        return value.isoformat()
    return value if isinstance(value, str) else json_text(value) if isinstance(value, list | dict) else str(value)


def _number(value: Any, _: Any) -> Decimal:
    return Decimal(int(value)) if isinstance(value, bool) else Decimal(value)


def _day(value: Any, _: Any) -> date:
    if isinstance(value, datetime):
        return value.date()
    if not isinstance(value, date):
        raise ValueError("not a day")  # noqa: TRY004 - as above
    return value


# Float before Numeric, whose subclass it is.
_FITS: tuple[tuple[type[Any], Callable[[Any, Any], Any]], ...] = (
    (Boolean, _flag),
    (Integer, _whole),
    (Float, lambda value, _: float(value)),
    (Numeric, _number),
    (DateTime, _instant),
    (Date, _day),
    (String, _text),
)
