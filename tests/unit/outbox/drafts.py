"""Drafts for the tests of the outbox and the relay, and a clock that a test turns by hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from broker.outbox.store import Outbox
from broker.outbox.values import Acceptance, Draft, Occurrences, Recorded, Relayed, Settlement
from schemas.errors import Problem
from schemas.fates import Fate
from schemas.names import EventType, Party, house_of

POST = Party("tj", "panji-poyon")
HOUSE = house_of("af")
EXPORT = EventType.EXPORT_DECLARATION.value
CROSSING = EventType.CROSSING_EVENT.value
PROBLEM = Problem(code="field-missing", text="it lacks something", field="items.0.hs_code")


class HandClock:
    """A clock that stands still until it is turned."""

    def __init__(self, at_utc: datetime | None = None) -> None:
        self.at_utc = at_utc or datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at_utc

    def turn(self, seconds: float) -> datetime:
        self.at_utc += timedelta(seconds=seconds)
        return self.at_utc


def draft(
    number: int | str, version: int = 1, *, content: str = "", event_type: str = EXPORT, destination: Party = HOUSE, length: int = 10
) -> Draft:
    data = {"registration_number": str(number), "version": version, "note": content + "x" * length}
    digest = hashlib.sha256(repr(data).encode()).digest()
    return Draft(destination, event_type, f"TJ/TJPNJ/2026/{number}", version, digest, data, "customs-control", "bilateral protocol")


def drafts(count: int, first: int = 1, **more: object) -> list[Draft]:
    return [draft(number, **more) for number in range(first, first + count)]  # type: ignore[arg-type]  # passed through


def relay_all(outbox: Outbox, clock: HandClock, mark: int = 1) -> list[int]:
    """Note everything that waits for HOUSE as relayed."""
    positions = tuple(row.position for row in outbox.waiting(HOUSE.urn, 100_000, 10**9))
    outbox.record(Occurrences(relayed=[Relayed(positions, mark, clock())]))
    return list(positions)


def digests_of(outbox: Outbox) -> dict[str, bytes]:
    """The digest of each waiting event of HOUSE."""
    return {json.loads(row.raw)["id"]: row.digest for row in outbox.waiting(HOUSE.urn, 100_000, 10**9)}


def settle(outbox: Outbox, events: Sequence[Acceptance], digests: dict[str, bytes], fate: Fate = Fate.LOADED) -> Recorded:
    problems = () if fate is Fate.LOADED else (PROBLEM,)
    answers = [Settlement(event.event_id, digests[event.event_id], HOUSE.urn, fate, problems) for event in events]
    return outbox.record(Occurrences(settlements=answers))
