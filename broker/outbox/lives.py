"""Lives of an outbox: which is the current one, how one begins, and when none may accept. Called within the store's transactions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import structlog
from sqlalchemy import Connection, func, insert, select, update

from broker.outbox.reading import life_of
from broker.outbox.tables import outbox_life, stream
from broker.outbox.values import BeaconReturned, Life
from schemas.errors import SettingsError, UnavailableError
from schemas.event import new_epoch
from schemas.names import Party

log = structlog.get_logger()

RECOVER = 'run "panj post recover"'


_CURRENT = select(outbox_life).where(outbox_life.c.current.is_(True))
_CURRENT_LOCKED = _CURRENT.with_for_update()


def current_life(connection: Connection) -> Life | None:
    """The life that accepts, locked until the transaction ends: acceptors follow each other."""
    # PostgreSQL: where another process began a life while we waited for its lock, the first answer is empty, the second one is not.
    row = connection.execute(_CURRENT_LOCKED).first() or connection.execute(_CURRENT_LOCKED).first()
    return None if row is None else life_of(row)


def begin_life(connection: Connection, source: str, environment: str, now: datetime, *, recovering: bool = False) -> Life:
    """Begin the next life under a new epoch; one that is `recovering` accepts nothing until every house has told what it holds."""
    life = Life(new_epoch(), source, environment, now, recovering=recovering)
    connection.execute(update(outbox_life).where(outbox_life.c.current.is_(True)).values(current=False))
    row = {"epoch": life.epoch, "source": source, "environment": environment, "begun_at_utc": now, "current": True}
    connection.execute(insert(outbox_life), row | {"recovering_at_utc": now if recovering else None})
    return life


def suspect(connection: Connection, because: str, now: datetime) -> bool:
    """Note that the outbox was set back: from now on this life accepts nothing. False where that is known."""
    life = current_life(connection)
    if life is None or life.suspected_because is not None:
        return False
    here = outbox_life.c.epoch == life.epoch
    connection.execute(update(outbox_life).where(here).values(suspected_at_utc=now, suspected_because=because))
    log.error("outbox.set_back", source=life.source, epoch=life.epoch, because=because, advice=RECOVER)
    return True


def look_for_set_back(connection: Connection, returned: Iterable[BeaconReturned], now: datetime) -> None:
    """See whether a house holds what this outbox never gave: a number of this life, or a life that it does not know."""
    says = [home for home in returned if home.highest or home.epochs]
    if not says:
        return
    life = life_of(connection.execute(_CURRENT).one())
    if life.suspected_because is not None:
        return
    known = set(connection.execute(select(outbox_life.c.epoch)).scalars())
    for home in says:
        unknown = next((epoch for epoch in home.epochs if epoch not in known), None)
        given = _given(connection, home.destination, life.epoch)
        unit = Party.of_urn(home.destination).unit
        if unknown is not None and not life.recovering:  # one that recovers is about to learn of it
            suspect(connection, f"{unit} holds events of a life of it, {unknown}, of which it knows nothing", now)
        elif home.epoch == life.epoch and (home.highest or 0) > given:
            suspect(connection, f"{unit} holds its number {home.highest}, and the highest that it knows to have given is {given}", now)


def _given(connection: Connection, destination: str, epoch: str) -> int:
    here = (stream.c.destination == destination, stream.c.epoch == epoch)
    return connection.execute(select(func.max(stream.c.last_sequence)).where(*here)).scalar() or 0


def refuse_unfit(life: Life) -> None:
    """Raise UnavailableError `outbox-restored` or `outbox-recovering` where nothing may be accepted in this life."""
    if life.suspected_because is not None:
        text = f"this outbox was set back to an older state: {life.suspected_because}. Nothing is accepted until you {RECOVER}"
        raise UnavailableError("outbox-restored", text)
    if life.recovering:
        text = f"the houses have not told yet what this outbox forgot: nothing is accepted until they have ({RECOVER} shows how far it is)"
        raise UnavailableError("outbox-recovering", text)


def refuse_foreign(life: Life, source: Party, environment: str) -> None:
    """Raise SettingsError `outbox-foreign` where the outbox is another unit's or another environment's."""
    if life.source != source.urn:
        text = f"the outbox is {life.source}'s, not {source.urn}'s: give each post an outbox of its own"
        raise SettingsError("outbox-foreign", text, field="outbox", value=life.source)
    if life.environment != environment:
        text = f"the outbox is of environment {life.environment!r}, exchange.toml says {environment!r}: name another outbox"
        raise SettingsError("outbox-foreign", text, field="environment", value=life.environment)
