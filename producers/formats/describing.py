"""What a column may fill, as people read it: every field of the four types, with its unit and the rule that reads it."""

from __future__ import annotations

from producers.formats.fields import fields_of
from producers.formats.reading import Described
from schemas.names import STREAM_TYPES


def describe_fields() -> tuple[Described, ...]:
    """List the fields of all types, each once, and in which types it is where it is not in all declarations."""
    by_path: dict[str, list[str]] = {}
    for event_type in sorted(STREAM_TYPES, key=_order):
        for path in fields_of(event_type):
            by_path.setdefault(path, []).append(event_type)
    told = []
    for path, types in by_path.items():
        found = fields_of(types[0])[path]
        only = "" if len(types) >= 3 else f"; {', '.join(_word(event_type) for event_type in types)} only"
        told.append(Described("<column>", path, found.unit, found.rule.says + only))
    return tuple(told)


def _order(event_type: str) -> int:
    return next(number for number, word in enumerate(("export", "import", "transit", "crossing")) if word in event_type)


def _word(event_type: str) -> str:
    return event_type.split(".")[1].split("-", maxsplit=1)[0]
