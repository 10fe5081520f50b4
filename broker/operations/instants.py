"""Instants and durations as people type them after an option."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from schemas.errors import UsageError

_DURATION = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def duration_of(words: str) -> timedelta:
    """`90m`, `2h`, `3d`, `45s`; UsageError `duration-invalid` for anything else."""
    match = _DURATION.fullmatch(words)
    if match is None:
        raise UsageError("duration-invalid", "a number and one of s, m, h, d, such as 2h", value=words)
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def parse_instant(words: str, option: str) -> datetime:
    """Read `2026-11-24` (its first moment in UTC) or `2026-11-24T12:00:00Z`; without an offset it is UTC. UsageError `instant-invalid`."""
    try:
        instant = datetime.fromisoformat(words)
    except ValueError:
        text = "not an instant such as 2026-11-24 or 2026-11-24T12:00:00Z"
        raise UsageError("instant-invalid", text, field=option, value=words) from None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
