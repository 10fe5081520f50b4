"""Suspensions: what people hold back for a while, and until when. Pure: outboxes keep those of outflow, the house's database intake's.

A suspension names a partner, a post, a type, or several of these: it covers what fits all that it names.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from schemas.names import Party


class Direction(StrEnum):
    """What is held back: what leaves an administration's posts, or what its customs house loads."""

    OUTFLOW = "outflow"
    INTAKE = "intake"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a suspension covers; None: any. `partner` is the country on the other side; `post` one of its posts (intake only)."""

    partner: str | None = None
    post: str | None = None
    type: str | None = None

    def covers(self, party: Party, event_type: str) -> bool:
        """Whether an event of that type to (outflow) or from (intake) this party is held back."""
        return self.partner in (None, party.country) and self.post in (None, party.name) and self.type in (None, event_type)

    def __str__(self) -> str:
        named = {"partner": self.partner, "post": self.post, "type": self.type}
        return ", ".join(f"{name} {value}" for name, value in named.items() if value is not None) or "everything"


@dataclass(frozen=True, slots=True)
class Suspension:
    """One suspension: what it covers, who began it when and why, until when (None: until somebody ends it), and how it ended."""

    id: str
    scope: Scope
    reason: str
    begun_by: str
    begun_at_utc: datetime
    until_utc: datetime | None = None
    ended_at_utc: datetime | None = None
    ended_by: str | None = None
    end_reason: str | None = None

    def in_force(self, now_utc: datetime) -> bool:
        """Whether it holds anything back at this moment."""
        return self.ended_at_utc is None and (self.until_utc is None or now_utc < self.until_utc)


@dataclass(frozen=True, slots=True)
class Holdback:
    """What may not leave for one destination now: everything, or some types. Control events always may."""

    everything: bool = False
    types: frozenset[str] = field(default_factory=frozenset)


NOTHING = Holdback()


def new_id() -> str:
    """A name for a suspension that people can type."""
    return secrets.token_hex(4)


def holdback(suspensions: Iterable[Suspension], destination: Party, now_utc: datetime) -> Holdback:
    """What these suspensions of outflow hold back from one house."""
    scopes = [one.scope for one in suspensions if one.in_force(now_utc) and one.scope.partner in (None, destination.country)]
    return Holdback(any(scope.type is None for scope in scopes), frozenset(scope.type for scope in scopes if scope.type is not None))
