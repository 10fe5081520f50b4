"""Instants as people type them after an option."""

from __future__ import annotations

from datetime import UTC, datetime

from schemas.errors import UsageError


def parse_instant(words: str, option: str) -> datetime:
    """Read `2026-11-24` (its first moment in UTC) or `2026-11-24T12:00:00Z`; without an offset it is UTC. UsageError `instant-invalid`."""
    try:
        instant = datetime.fromisoformat(words)
    except ValueError:
        text = "not an instant such as 2026-11-24 or 2026-11-24T12:00:00Z"
        raise UsageError("instant-invalid", text, field=option, value=words) from None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
