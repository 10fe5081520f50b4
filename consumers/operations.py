"""What the customs house contributes to `panj status`, `panj trace` and `panj audit`: read from its database, nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, func, or_, select
from sqlalchemy.exc import DBAPIError

from broker.clocks import STEP, watch_seconds
from broker.operations.contributions import Attention, Reading, Step, database_exists
from broker.operations.suspensions import Listed, reading_of
from broker.operations.trails import Trail
from broker.settings.model import Settings
from broker.suspension import Direction
from consumers import known_posts, migrations, suspensions
from consumers.closing import covering
from consumers.closing_observing import observe_closings
from consumers.database import is_away, open_engine
from consumers.holes import StreamStock, observe_holes, take_stock
from consumers.loaders.following.observing import observe_followers
from consumers.loaders.record.tables import declaration
from consumers.review.observing import observe_held, observe_orders, observe_parked, steps_of_orders, trail_of_house
from consumers.tables import held, inbox, parked, parked_event, withdrawal
from schemas.errors import UnavailableError
from schemas.event import utc_text
from schemas.fates import Fate
from schemas.names import Party, is_event_id

CLOCK_OLD = timedelta(minutes=10)  # a post that was not heard for so long says nothing of its clock any more


@contextmanager
def reading(url: str, *, noted: bool = False) -> Iterator[Connection | None]:
    """A connection that only reads, or None where the database has no tables yet; UnavailableError where it does not answer.

    `noted`: it may write, too, for what is written into the audit trail in the same transaction.

    SettingsError `house-database-older` where a person must upgrade it first.
    """
    engine = open_engine(url)
    try:
        if migrations.current_revision(engine) is None:
            yield None
            return
        migrations.make_ready(engine)
        with engine.connect().execution_options(reads=not noted) as connection, connection.begin():
            yield connection
    except DBAPIError as error:
        if not is_away(error):
            raise
        reason = str(error.orig).strip().splitlines()[0][:200]
        raise UnavailableError("house-database-away", f"the house's database does not answer: {reason}") from error
    finally:
        engine.dispose()


def observe(settings: Settings) -> Iterator[Reading]:
    """The house's fates, held and parked rows, orders about them, and holes in the streams that it takes in."""
    if settings.house is None:
        return
    subject = settings.house_party.unit
    with reading(settings.house.database) as connection:
        if connection is None:
            advice = 'no tables yet: start the house with "panj customs run"'
            yield Reading(subject, "database", "empty", attention=Attention.WATCH, advice=advice)
            return
        now = datetime.now(UTC)
        stocks = take_stock(connection)
        found = [
            *observe_fates(connection, subject, stocks),
            *observe_held(connection, subject, now),
            *observe_parked(connection, subject),
            *_suspensions(connection, subject, now),
            *observe_orders(connection, subject, now),
            *observe_holes(stocks, subject),
            *_clocks(connection, settings, datetime.now(UTC)),
            *observe_followers(connection, settings, now),
            *observe_closings(connection, settings.closing.every_seconds, now),
        ]
    yield from found


def observe_fates(connection: Connection, subject: str, stocks: Sequence[StreamStock]) -> Iterator[Reading]:
    """How many events the inbox holds by fate: those that are not LOADED are counted in an index of their own, LOADED is the rest."""
    undone = select(inbox.c.fate, func.count()).where(inbox.c.fate != Fate.LOADED.value).group_by(inbox.c.fate)
    counted = {fate: int(count) for fate, count in connection.execute(undone)}
    loaded = sum(each.kept for each in stocks) - sum(counted.values())
    yield Reading(subject, Fate.LOADED.value.lower(), loaded, "events")
    yield Reading(subject, Fate.REFUSED.value.lower(), counted.get(Fate.REFUSED.value, 0), "events")
    again = select(func.coalesce(func.sum(inbox.c.duplicates), 0)).where(inbox.c.duplicates > 0)
    yield Reading(subject, "duplicates", int(connection.execute(again).scalar_one()), "events")


def _suspensions(connection: Connection, subject: str, now_utc: datetime) -> Iterator[Reading]:
    for one in suspensions.read(connection):
        events = suspensions.holding(connection, one.id)
        if one.in_force(now_utc):
            yield reading_of(Listed(Direction.INTAKE, subject, one, events), now_utc)
        elif events:
            advice = f"{one.scope}: suspension {one.id} has ended; they are taken up by themselves while the house runs"
            yield Reading(subject, "suspended intake", events, "events", Attention.WATCH, advice)


def _clocks(connection: Connection, settings: Settings, now_utc: datetime) -> Iterator[Reading]:
    """Our own clock against what was written down, and each post's against ours."""
    house, tolerance = settings.house_party.unit, settings.clock_tolerance_seconds
    latest = known_posts.last_heard(connection)
    if latest is not None and latest - now_utc > STEP:
        advice = 'nothing is taken in until it is right: set the clock; where it had run ahead: "panj customs run --trust-clock"'
        yield Reading(house, "clock", f"before {utc_text(latest)}", attention=Attention.ACT, advice=advice)
    for source, seen, seconds in known_posts.clocks(connection):
        if seconds is None or now_utc - seen > CLOCK_OLD:
            continue
        off, advice = abs(seconds), ""
        attention = Attention.FINE if off <= watch_seconds(tolerance) else Attention.WATCH
        if attention:
            advice = "its clock runs ahead: have it set" if seconds > 0 else "its clock is behind, or its beacons took so long on the way"
        if seconds > tolerance:
            attention, advice = Attention.ACT, advice + ": beyond the tolerance"
        yield Reading(f"{Party.of_urn(source).unit} → {house}", "clock of the post against ours", round(seconds, 1), "s", attention, advice)


def trace(settings: Settings, reference: str) -> Iterator[Step]:
    """What the house knows of a declaration, by its reference or by its registration number alone."""
    if settings.house is None:
        return
    where = settings.house_party.unit
    steps: list[Step] = []
    with reading(settings.house.database) as connection:
        if connection is not None:
            for row in connection.execute(rows_of(reference)):
                steps.extend(_steps(connection, row, where))
    yield from steps


def rows_of(reference: str) -> Select[Any]:
    """The inbox rows of a declaration, by its reference or by its registration number alone, or of one event, in order of coming."""
    if is_event_id(reference):
        return select(inbox).where(inbox.c.event_id == reference)
    by_number = select(declaration.c.reference).where(declaration.c.registration_number == reference)
    refused = inbox.c.reference.like("%/" + reference.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_"), escape="\\")
    alone = (inbox.c.reference.in_(by_number), (inbox.c.fate != Fate.LOADED.value) & refused) if "/" not in reference else ()
    return select(inbox).where(or_(inbox.c.reference == reference, *alone)).order_by(inbox.c.received_at_utc, inbox.c.event_id)


def _steps(connection: Connection, row: Row[*tuple[Any, ...]], where: str) -> Iterator[Step]:
    about = (row.reference, row.version or 0, row.event_id)
    origin = f"from {row.source}, {row.type} {row.epoch}/{row.sequence}"
    tombstone = connection.execute(select(withdrawal).where(withdrawal.c.event_id == row.event_id)).first()
    if tombstone is not None:
        came = "took its place, which was empty" if tombstone.filled_place else "came after the event itself"
        yield Step(tombstone.received_at_utc, where, "withdrawn by its sender", *about, f"{tombstone.reason}; the withdrawal {came}")
    if tombstone is None or not tombstone.filled_place:
        yield Step(row.received_at_utc, where, "received", *about, origin)
    waiting = connection.execute(select(held).where(held.c.event_id == row.event_id)).first()
    if waiting is not None:
        yield Step(waiting.first_held_at_utc, where, "held", *about, waiting.problem)
        yield from steps_of_orders(connection, row.event_id, where, about)
    if row.fate != Fate.HELD.value:
        again = f"came again {row.duplicates} times" if row.duplicates else ""
        problems = "; ".join(f"{problem['text']} [{problem['code']}]" for problem in row.problems or ())
        yield Step(row.decided_at_utc, where, row.fate.lower(), *about, problems or again)
    if waiting is not None and waiting.finished_at_utc is not None:
        yield Step(waiting.finished_at_utc, where, "answered for good", *about)
    closed = covering(connection, row.source, row.type, row.epoch, row.sequence)
    if closed is not None:
        yield Step(closed.answered_at_utc, where, "closed", *about, f"closing {closed.number}, signed by both sides")
    query = select(parked).join(parked_event, parked_event.c.digest == parked.c.digest).where(parked_event.c.event_id == row.event_id)
    for one in connection.execute(query):
        yield Step(one.first_seen_utc, where, "parked", *about, f"a message that claims to hold it, {one.times} times: {one.text}")


def trails(settings: Settings) -> Iterator[Trail]:
    """The audit trail in the house's database."""
    if settings.house is None or not database_exists(settings.house.database):
        return
    with reading(settings.house.database) as connection:
        found = None if connection is None else trail_of_house(connection, settings.house_party.unit)
    if found is not None:
        yield found
