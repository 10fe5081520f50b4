"""What a thief could have backdated: events signed with a certificate that is revoked by now, that came after the revocation or shortly
before it. A signature's own time is its maker's word; when it came here is ours.

The indexes of `evidence.fingerprint` and `inbox.bundle_digest` serve these questions; a load of bundles pays nothing
for them that can be measured, one of lone events a few per cent (tests/benchmarks/backdating.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Select, func, literal, select, union_all

from broker.trust.anchors import TrustStore
from broker.trust.crls import Revocation
from broker.trust.signing import read_jws
from consumers.tables import evidence, inbox, withdrawal
from schemas.errors import DistrustError
from schemas.names import EventType, Party


class Why(StrEnum):
    """Why an event is to be looked at."""

    SIGNED_AFTER = "signed after the revocation"
    CAME_AFTER = "came after the revocation, claims to be from before"
    CAME_SHORTLY_BEFORE = "came shortly before the revocation"


@dataclass(frozen=True, slots=True)
class Backdatable:
    """One event to be looked at, by the one signature that it came with."""

    event_id: str
    reference: str
    version: int | None
    type: str
    fate: str
    signed_at_utc: datetime
    received_at_utc: datetime
    why: Why


@dataclass(frozen=True, slots=True)
class Suspected:
    """A certificate that is revoked by now, what came with it from `looked_from_utc` on, and how many events came before."""

    urn: str
    fingerprint: str
    revocation: Revocation
    looked_from_utc: datetime
    events: tuple[Backdatable, ...]
    earlier: int


def why(signed_at_utc: datetime, received_at_utc: datetime, revoked_since_utc: datetime) -> Why:
    """Tell why an event that came from `looked_from_utc` on is to be looked at."""
    if received_at_utc < revoked_since_utc:
        return Why.CAME_SHORTLY_BEFORE
    return Why.SIGNED_AFTER if signed_at_utc >= revoked_since_utc else Why.CAME_AFTER


def suspected(connection: Connection, trust: TrustStore, before: timedelta, since_utc: datetime | None = None) -> Iterator[Suspected]:
    """Give every certificate of kept signatures that the newest CRLs revoke, with what came since then, or `before` that.

    `since_utc`, where the day of the theft is known, takes the place of both.
    """
    for urn, fingerprint, revocation in sorted(_revoked(connection, trust), key=lambda each: each[:2]):
        start = since_utc or revocation.since_utc - before
        rows = connection.execute(_came(fingerprint, start)).all()
        events = tuple(
            Backdatable(**row._asdict(), why=why(row.signed_at_utc, row.received_at_utc, revocation.since_utc))
            for row in sorted(rows, key=lambda row: (row.received_at_utc, row.reference))
        )
        yield Suspected(urn, fingerprint, revocation, start, events, int(connection.execute(_earlier(fingerprint, start)).scalar_one()))


def _revoked(connection: Connection, trust: TrustStore) -> Iterator[tuple[str, str, Revocation]]:
    """Each certificate that ever signed what is kept, as far as it is revoked by now."""
    for bundle_digest in connection.execute(_one_of_each()).scalars().all():
        kept = select(evidence.c.signatory, evidence.c.fingerprint, evidence.c.jws).where(evidence.c.bundle_digest == bundle_digest)
        one = connection.execute(kept).one()
        try:
            revocation = trust.revocation(Party.of_urn(one.signatory).country, read_jws(one.jws).x5c)
        except DistrustError:  # it was believed when it came; what cannot be read any more is for whoever changed it
            continue
        if revocation is not None:
            yield one.signatory, one.fingerprint, revocation


def _one_of_each() -> Select[Any]:
    """One signature of each certificate, in the order of its index, and from that alone."""
    place = func.row_number().over(partition_by=evidence.c.fingerprint, order_by=(evidence.c.received_at_utc, evidence.c.bundle_digest))
    some = select(evidence.c.bundle_digest, place.label("place")).subquery()
    return select(some.c.bundle_digest).where(some.c.place == 1)


def _came(fingerprint: str, start_utc: datetime) -> Any:
    """What came with this certificate since then: events, and withdrawals of events that had come before."""
    when = (evidence.c.signed_at_utc, evidence.c.received_at_utc)
    here = (evidence.c.fingerprint == fingerprint, evidence.c.received_at_utc >= start_utc)
    named = (inbox.c.event_id, inbox.c.reference, inbox.c.version)
    events = (
        select(*named, inbox.c.type, inbox.c.fate, *when).join(evidence, evidence.c.bundle_digest == inbox.c.bundle_digest).where(*here)
    )
    withdrawals = (
        select(*named, literal(EventType.WITHDRAWAL.value).label("type"), inbox.c.fate, *when)
        .join(withdrawal, withdrawal.c.event_id == inbox.c.event_id)
        .join(evidence, evidence.c.bundle_digest == withdrawal.c.bundle_digest)
        .where(withdrawal.c.filled_place.is_(False), *here)
    )
    return union_all(events, withdrawals)


def _earlier(fingerprint: str, start_utc: datetime) -> Select[Any]:
    query = select(func.count()).select_from(inbox.join(evidence, evidence.c.bundle_digest == inbox.c.bundle_digest))
    return query.where(evidence.c.fingerprint == fingerprint, evidence.c.received_at_utc < start_utc)


def anything(found: Sequence[Suspected]) -> bool:
    """Whether there is anything to look at."""
    return any(each.events for each in found)
