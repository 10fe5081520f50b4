"""The walk through all records of both administrations: what must be true of them, whatever was tried."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import create_engine, text

from deploy.lab.administrations import Administration
from schemas.names import Party
from tests.acceptance.world import World


@dataclass(slots=True)
class Try:
    """One attack under way: its events' digests, so that what gets in is known by its name."""

    name: str
    tries: int = 0
    digests: set[bytes] = field(default_factory=set)
    wrongs: list[str] = field(default_factory=list)


class Held(NamedTuple):
    """What a house holds of an event."""

    digest: bytes
    raw: bytes
    fate: str


def of_posts(side: Administration, query: str, **values: object) -> list[tuple[Any, ...]]:
    """Ask the outboxes of a side's posts."""
    rows: list[tuple[Any, ...]] = []
    for post in side.settings.posts.values():
        engine = create_engine(post.outbox, connect_args={"timeout": 30} if post.outbox.startswith("sqlite") else {})
        with engine.connect() as connection:
            rows += [tuple(row) for row in connection.execute(text(query), values)]
        engine.dispose()
    return rows


def walk(world: World, tries: Sequence[Try], excused: set[bytes]) -> list[str]:
    """Go through all records; what is wrong and belongs to a try is noted there, the rest is given. `excused`: digests that may stand."""
    sides = world.lab.sides
    honest = excused | {bytes(row[0]) for side in sides for row in of_posts(side, "SELECT digest FROM outbox")}
    owners = {digest: one for one in tries for digest in one.digests}
    wrongs: list[str] = []
    houses: dict[str, dict[str, Held]] = {}
    for side in sides:
        houses[side.plan.country] = held = _held(world, side)
        for digest, wrong in (*_strangers(world, side, held, honest), *_unexplained(world, side, held)):
            (owners[digest].wrongs if digest in owners else wrongs).append(wrong)
    for side in sides:
        wrongs += _falsely_settled(side, houses)
    return wrongs


def _held(world: World, side: Administration) -> dict[str, Held]:
    rows = world.rows(side, "SELECT event_id, digest, raw, fate FROM inbox")
    return {str(event_id): Held(bytes(digest), bytes(raw), fate) for event_id, digest, raw, fate in rows}


def _strangers(world: World, side: Administration, held: dict[str, Held], honest: set[bytes]) -> Iterator[tuple[bytes, str]]:
    """Events that no honest outbox accepted, or of which the house keeps other bytes than it says."""
    withdrawn = {str(row[0]) for row in world.rows(side, "SELECT event_id FROM withdrawal WHERE filled_place")}
    for event_id, event in held.items():
        if event.digest not in honest:
            yield event.digest, f"the house of {side.plan.country} holds {event_id} ({event.fate}), which no post of its source signed"
        if event_id not in withdrawn and hashlib.sha256(event.raw).digest() != event.digest:
            yield event.digest, f"the house of {side.plan.country} keeps other bytes of {event_id} than their digest says"


def _unexplained(world: World, side: Administration, held: dict[str, Held]) -> Iterator[tuple[bytes, str]]:
    """Rows of the record that no loaded event explains."""
    for table in ("declaration", "crossing_event"):
        for event_id, reference in world.rows(side, f"SELECT event_id, reference FROM {table}"):  # noqa: S608  one of two constants
            event = held.get(str(event_id), Held(b"", b"{}", "none"))
            if event.fate != "LOADED" or json.loads(event.raw).get("subject") not in (reference, str(event_id)):
                yield event.digest, f"the house of {side.plan.country} has loaded {reference}, and no event explains it"


def _falsely_settled(side: Administration, houses: dict[str, dict[str, Held]]) -> Iterator[str]:
    """Outbox rows that are settled otherwise than the house of their destination says."""
    query = "SELECT event_id, destination, digest, fate FROM outbox WHERE settled_at_utc IS NOT NULL"
    for event_id, destination, digest, fate in of_posts(side, query):
        there = houses[Party.of_urn(destination).country].get(event_id)
        if there is None or (there.digest, there.fate) != (bytes(digest), fate):
            said = there.fate if there else "nothing"
            yield f"{event_id} of {side.plan.country} is settled as {fate}; the house of {destination} says {said}"
