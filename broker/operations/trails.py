"""Audit trails as `panj audit` reads and judges them, one of each database in which people act; found through the entry points
"panj.audit". What a trail is stands in `broker.audit`.

A package contributes a function `trails(settings) -> Iterable[Trail]`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points

from sqlalchemy import Connection, inspect, select

from broker.audit import Entry, entries, first_broken
from broker.operations.contributions import database_exists
from broker.outbox.closing_tables import closing
from broker.outbox.engine import open_engine, reading
from broker.outbox.tables import audit
from broker.settings.model import Settings
from schemas.strict_json import parse

GROUP = "panj.audit"


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a trail as it was at some time, written down elsewhere: `where` says where, `digest` is its last entry's."""

    where: str
    digest: str


@dataclass(frozen=True, slots=True)
class Trail:
    """What people did in one unit's database, oldest first, and what is known of the trail from elsewhere."""

    unit: str
    entries: Sequence[Entry]
    heads: Sequence[Head] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a trail is whole: `broken_at` is the sequence at which it does not hang together, `missing` are heads that it lacks."""

    unit: str
    entries: int
    head: str | None
    broken_at: int | None
    missing: tuple[Head, ...]
    heads: int

    @property
    def whole(self) -> bool:
        """Whether nothing was changed, removed or cut off, as far as it can be told from here."""
        return self.broken_at is None and not self.missing


def judge(trail: Trail, told: Sequence[Head] = ()) -> Verdict:
    """Check a trail: its chain of digests, and that the heads which were written down elsewhere (and those `told`) stand in it.

    The chain alone would not show that its end was cut off, or that all of it was written anew; a head that somebody else signed does.
    """
    digests = {entry.digest for entry in trail.entries}
    heads = (*trail.heads, *told)
    missing = tuple(head for head in heads if head.digest not in digests)
    last = trail.entries[-1].digest if trail.entries else None
    return Verdict(trail.unit, len(trail.entries), last, first_broken(trail.entries), missing, len(heads))


def trails(settings: Settings) -> list[Trail]:
    """Ask every contributor for the trails on this machine."""
    found: list[Trail] = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        contribute: Callable[[Settings], Iterable[Trail]] = point.load()
        found.extend(contribute(settings))
    return found


def trails_of_outboxes(settings: Settings) -> Iterator[Trail]:
    """The trails in the outboxes of this administration's posts that are on this machine."""
    for name, post in sorted(settings.posts.items()):
        if not database_exists(post.outbox):
            continue
        engine = open_engine(post.outbox)
        try:
            with reading(engine) as connection:
                if inspect(connection).has_table(audit.name):
                    heads = _heads(connection)  # before the entries: what a closing names was written before it
                    yield Trail(settings.post_party(name).unit, entries(connection, audit), heads)
        finally:
            engine.dispose()


def _heads(connection: Connection) -> list[Head]:
    """Heads of the trail that stand in manifests which a house has agreed to: changed later, both signatures would not fit."""
    if not inspect(connection).has_table(closing.name):
        return []
    query = select(closing.c.destination, closing.c.number, closing.c.manifest).where(closing.c.agreed)
    found = []
    for row in connection.execute(query.order_by(closing.c.destination, closing.c.number)):
        head = parse(bytes(row.manifest))["data"].get("audit_head")
        if head is not None:
            found.append(Head(f"closing {row.number} with {row.destination}", head))
    return found
