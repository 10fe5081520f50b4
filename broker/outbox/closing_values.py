"""The values of closings as a post keeps them: its account with each house, the reconciliation under way, what leaves, what comes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from schemas.control import ManifestAnswer


class StreamName(NamedTuple):
    """A stream of one destination."""

    type: str
    epoch: str


class StreamRun(BaseModel):
    """How far one stream is within a reconciliation; sequences unless it says otherwise.

    Compared are the blocks from `start` to `target`; up to `done` the house has agreed. `ceiling`: below a block that differs and that
    nothing heals. `agreed`: blocks agreed to, `resent`: events sent again, `differing`: blocks under `ceiling`'s roof.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str
    epoch: str
    start: int
    target: int
    done: int
    ceiling: int | None = None
    agreed: int = 0
    resent: int = 0
    differing: int = 0

    @property
    def name(self) -> StreamName:
        """Which stream it is."""
        return StreamName(self.type, self.epoch)

    @property
    def goal(self) -> int:
        """Up to where the house can agree."""
        return self.target if self.ceiling is None else min(self.target, self.ceiling)


@dataclass(frozen=True, slots=True)
class Wish:
    """Somebody wants a closing with this destination (URN) now; `everything`: of all blocks, also those that were agreed long ago."""

    destination: str
    reason: str
    asked_at_utc: datetime
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """How a post stands with one house. `number` and `answer_digest`: the last agreed closing, 0 and None where there is none.

    `horizon_seconds`: how far back the house says that a backup may set it. A reconciliation is under way from `begun_at_utc` until
    `finished_at_utc` is set; `streams` tell how far it is, or how the last one ended.
    """

    destination: str
    number: int = 0
    answer_digest: bytes | None = None
    agreed_at_utc: datetime | None = None
    horizon_seconds: int | None = None
    house_number: int | None = None
    wish: Wish | None = None
    begun_at_utc: datetime | None = None
    reason: str = ""
    everything: bool = False
    finished_at_utc: datetime | None = None
    streams: tuple[StreamRun, ...] = ()

    @property
    def under_way(self) -> bool:
        """Whether a reconciliation has begun and not ended."""
        return self.begun_at_utc is not None and self.finished_at_utc is None


@dataclass(frozen=True, slots=True)
class RunBegun:
    """A reconciliation with this destination begins: what it compares."""

    destination: str
    reason: str
    everything: bool
    streams: tuple[StreamRun, ...]
    begun_at_utc: datetime


@dataclass(frozen=True, slots=True)
class ManifestSent:
    """A manifest about to be published, recorded before it is. `mark`: the last beacon sent before it; `again`: the bytes are known."""

    destination: str
    number: int
    digest: bytes
    mark: int
    sent_at_utc: datetime
    compared: int
    again: bool
    jws: str = field(repr=False)
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ManifestAnswered:
    """A house's answer to a manifest, as it came."""

    destination: str
    said: ManifestAnswer
    digest: bytes
    answered_at_utc: datetime
    jws: str = field(repr=False)
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Outstanding:
    """The manifest of the next closing, sent so often and last after beacon `mark`; `answered_at_utc` where it was, and not agreed to."""

    number: int
    digest: bytes
    mark: int
    sends: int
    sent_at_utc: datetime
    answered_at_utc: datetime | None
    compared: int
    raw: bytes = field(repr=False)


class Different(StrEnum):
    """Why an event at one place is not the same on both sides."""

    OTHER = "other"  # another id or other bytes stand there
    LOST = "lost"  # the house lacks it, and it cannot be sent again (or was, in vain)
    ARCHIVED = "archived"  # the house has pruned its block, which was another one


@dataclass(frozen=True, slots=True)
class Difference:
    """An event that is not the same on both sides; what nobody heals by machine. Ids and digests are None where there is none."""

    destination: str
    stream: StreamName
    sequence: int
    what: Different
    event_id: str | None
    digest: bytes | None
    house_event_id: str | None
    house_digest: bytes | None
    number: int
    found_at_utc: datetime
    ended_at_utc: datetime | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What the beginning of a reconciliation is decided by: up to where the house has answered each stream, and agreed for good; and up
    to where the events are in the archive only, and so can neither be stated nor sent again.
    """

    answered: Mapping[StreamName, int]
    agreed_for_good: Mapping[StreamName, int]
    pruned_to: Mapping[StreamName, int] = field(default_factory=dict)
