"""The posts that a house knows because their beacons came: whom it tells CRLs, and how their clocks stand against ours.

A beacon bears the post's instant of sending. What it lacks against ours on arrival is the difference of the clocks and the time on the way,
which is never less than nothing: each beacon gives a lower bound of the difference, and the highest of some minutes comes close to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, select, update

from consumers.database import insert_missing
from consumers.tables import known_post
from schemas.names import Party

KEPT = 500  # posts of one country
MEASURED_FOR = timedelta(minutes=2)  # how long a bound counts: some beacons of an idle post, which sends one each minute


@dataclass(frozen=True, slots=True)
class PostClock:
    """A post's clock less ours, in seconds: at least so much, and measured when."""

    seconds: float
    measured_at_utc: datetime


def better(before: PostClock | None, bound: PostClock) -> PostClock:
    """The bound that tells more: the higher one, as long as it is of the last minutes."""
    aged = before is None or abs(bound.measured_at_utc - before.measured_at_utc) > MEASURED_FOR
    return bound if before is None or aged or bound.seconds >= before.seconds else before


def note(connection: Connection, post: Party, sent_at_utc: datetime, now_utc: datetime) -> PostClock:
    """Note a post's beacon; give how its clock stands."""
    here = known_post.c.source == post.urn
    row = connection.execute(select(known_post.c.skew_seconds, known_post.c.skew_measured_at_utc).where(here)).first()
    before = PostClock(row.skew_seconds, row.skew_measured_at_utc) if row is not None and row.skew_seconds is not None else None
    clock = better(before, PostClock((sent_at_utc - now_utc).total_seconds(), now_utc))
    values = {"last_seen_utc": now_utc, "skew_seconds": clock.seconds, "skew_measured_at_utc": clock.measured_at_utc}
    if row is None:
        _make_room(connection, post.country)
        insert_missing(connection, known_post, [{"source": post.urn, "first_seen_utc": now_utc, **values}])
    else:
        connection.execute(update(known_post).where(here), values)
    return clock


def _make_room(connection: Connection, country: str) -> None:
    """Forget the posts of a country that are silent for longest, beyond `KEPT`: an authority names as many as it likes."""
    ours = known_post.c.source.startswith(f"urn:customs:{country}:")
    if connection.execute(select(func.count()).select_from(known_post).where(ours)).scalar_one() >= KEPT:
        oldest = select(known_post.c.source).where(ours).order_by(known_post.c.last_seen_utc).limit(1).scalar_subquery()
        connection.execute(delete(known_post).where(known_post.c.source == oldest))


def known(connection: Connection, since_utc: datetime) -> list[Party]:
    """All posts that were heard since then."""
    query = select(known_post.c.source).where(known_post.c.last_seen_utc >= since_utc).order_by(known_post.c.source)
    return [Party.of_urn(urn) for urn in connection.execute(query).scalars()]


def clocks(connection: Connection) -> Sequence[tuple[str, datetime, float | None]]:
    """Every known post: its URN, when it was last heard, and its clock less ours in seconds."""
    query = select(known_post.c.source, known_post.c.last_seen_utc, known_post.c.skew_seconds).order_by(known_post.c.source)
    return [(row.source, row.last_seen_utc, row.skew_seconds) for row in connection.execute(query)]


def forget_instants(connection: Connection, now_utc: datetime) -> None:
    """Bring instants that a clock noted while it ran ahead back to now."""
    connection.execute(update(known_post).where(known_post.c.last_seen_utc > now_utc).values(last_seen_utc=now_utc))


def last_heard(connection: Connection) -> datetime | None:
    """When any beacon was last here, by our own clock then: our clock never stood before this."""
    return connection.execute(select(func.max(known_post.c.last_seen_utc))).scalar()
