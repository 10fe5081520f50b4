"""Places in a view: the values of `changed` and of the key by which its rows are ordered, and how they are written down. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from schemas.errors import SettingsError

Value = int | str | Decimal | datetime | date | UUID | bytes | float
Place = tuple[Value, ...]  # `changed` first, then the columns of the key

_WRITE: tuple[tuple[type, str], ...] = (  # a datetime is a date, too: it stands before it
    (int, "integer"),
    (str, "text"),
    (Decimal, "decimal"),
    (datetime, "instant"),
    (date, "day"),
    (UUID, "uuid"),
    (bytes, "bytes"),
    (float, "float"),
)


def written(place: Place) -> list[list[str]]:
    """Give it as JSON keeps it: each value with its kind."""
    return [[_kind(value), _text(value)] for value in place]


def read_place(said: Sequence[Sequence[str]]) -> Place:
    """Read what `written` gave."""
    return tuple(_READ[kind](text) for kind, text in said)


def checked(values: Sequence[Any]) -> Place:
    """Take the values of a row; SettingsError `view-key` where one is NULL or of a kind that cannot be ordered by."""
    for value in values:
        _kind(value)
    return tuple(values)


def instant(value: Any) -> datetime:
    """Take `changed` as an instant; SettingsError `view-key` where it is none."""
    if isinstance(value, datetime):
        return value
    raise SettingsError("view-key", 'with order = "time" the column changed is a timestamp', value=type(value).__name__)


def _kind(value: Any) -> str:
    for kind, name in _WRITE:
        if isinstance(value, kind) and not isinstance(value, bool):
            return name
    text = "its columns changed and key are never NULL, and numbers, texts, instants or UUIDs: change the view"
    raise SettingsError("view-key", text, value=type(value).__name__)


def _text(value: Value) -> str:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes | float) else str(value)


_READ: dict[str, Any] = {
    "integer": int,
    "text": str,
    "decimal": Decimal,
    "instant": datetime.fromisoformat,
    "day": date.fromisoformat,
    "uuid": UUID,
    "bytes": bytes.fromhex,
    "float": float.fromhex,
}
