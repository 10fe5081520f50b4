"""`panj reconcile` in a customs house: asks the posts for closings by signed requests, and waits for what they state and we answer."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as StillOut
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, select

from broker import audit
from broker.amqp import connect
from broker.bundle.pack import Route, control_event, pack
from broker.operations.reconcile import Differing, Reconciled, Request
from broker.ports import Broker, Message, Published
from broker.settings.model import Settings
from broker.trust.keys import Identity, own_identity
from consumers import tables
from consumers.closing_tables import closing, closing_difference
from consumers.database import open_engine
from consumers.house import house_of
from consumers.migrations import make_ready
from schemas.control import ManifestRequest
from schemas.errors import UsageError
from schemas.event import digest_of
from schemas.names import EventType, Party

POLL_SECONDS = 0.3
ASKED_AT_LEAST_SECONDS = 5.0  # how long our broker's confirm is waited for, whatever the timeout


@dataclass(slots=True)
class _Asked:
    """A post that is asked, and how far that came."""

    post: Party
    published: Published | None = None
    row: Any = None  # its newest closing since we asked

    @property
    def ended(self) -> bool:
        return self.row is not None and bool(self.row.agreed)


def reconcile_house(settings: Settings, request: Request) -> list[Reconciled]:
    """Ask every post that this house ever heard of, in every lane, or the one that is named."""
    house = house_of(settings)
    engine = open_engine(house.database)
    try:
        make_ready(engine)
        with engine.connect().execution_options(reads=True) as connection, connection.begin():
            posts = _posts(connection, settings, request.post)
        since_utc = datetime.now(UTC)
        asked = [_Asked(post) for post in posts]
        if not request.dry_run:
            _ask(settings, engine, asked, request, since_utc)
        with engine.connect().execution_options(reads=True) as connection, connection.begin():
            differences = _differences(connection)
        return [_result(each, settings, differences.get(each.post.urn, ())) for each in asked]
    finally:
        engine.dispose()


def _posts(connection: Connection, settings: Settings, wanted: str | None) -> list[Party]:
    """The posts whose beacons or events came, in lanes that exchange.toml names; `wanted` by unit or by name."""
    sources = {
        *connection.execute(select(tables.known_post.c.source)).scalars(),
        *connection.execute(select(tables.stream.c.source)).scalars(),
    }
    known = sorted((Party.of_urn(source) for source in sources), key=lambda party: party.urn)
    found = [post for post in known if post.country in settings.lanes and wanted in (None, post.name, post.unit)]
    if wanted is not None and not found:
        units = ", ".join(post.unit for post in known) or "none"
        raise UsageError("post-unknown", f"this house has heard of no such post; it knows: {units}", field="--post", value=wanted)
    return found


def _ask(settings: Settings, engine: Engine, asked: Sequence[_Asked], request: Request, since_utc: datetime) -> None:
    house = house_of(settings)
    identity = own_identity(settings.house_party, house)
    until = time.monotonic() + request.timeout_seconds
    lanes = sorted({each.post.country for each in asked})
    brokers = {lane: connect(settings, lane, settings.house_party, house) for lane in lanes}
    try:
        _publish(settings, brokers, identity, asked, request, since_utc)
        _note(engine, asked, request, since_utc)
        while request.wait:
            waiting = [each for each in asked if each.published is Published.CONFIRMED and not each.ended]
            _look(engine, waiting, since_utc, request)
            if all(each.ended for each in waiting) or time.monotonic() >= until:
                return
            time.sleep(POLL_SECONDS)
    finally:
        for broker in brokers.values():
            broker.close()


def _publish(
    settings: Settings, brokers: Mapping[str, Broker], identity: Identity, asked: Sequence[_Asked], request: Request, now: datetime
) -> None:
    futures: list[tuple[_Asked, Future[Published]]] = []
    for each in asked:
        (future,) = brokers[each.post.country].publish([_message(settings, identity, each.post, request, now)])
        futures.append((each, future))
    end = time.monotonic() + max(request.timeout_seconds, ASKED_AT_LEAST_SECONDS)
    for each, future in futures:
        try:
            each.published = future.result(max(0.0, end - time.monotonic()))
        except StillOut:
            each.published = Published.LOST


def _message(settings: Settings, identity: Identity, post: Party, request: Request, now: datetime) -> Message:
    kind, house = EventType.MANIFEST_REQUEST.value, settings.house_party
    said = ManifestRequest(reason=request.reason, everything=request.everything)
    raw = control_event(kind, house, post, environment=settings.environment, subject="a closing, please", data=said, now=now)
    return pack(Route(house, post, kind), [raw], [digest_of(raw)], identity, now)


def _note(engine: Engine, asked: Sequence[_Asked], request: Request, now: datetime) -> None:
    with engine.begin() as connection:
        for each in asked:
            detail = {"everything": request.everything, "published": each.published.value if each.published else None}
            act = audit.Act(audit.actor(), "reconciliation.asked", each.post.urn, request.reason, detail)
            audit.append(connection, tables.audit, act, now)


def _look(engine: Engine, waiting: Sequence[_Asked], since_utc: datetime, request: Request) -> None:
    with engine.connect().execution_options(reads=True) as connection, connection.begin():
        for each in waiting:
            here = (closing.c.source == each.post.urn, closing.c.answered_at_utc >= since_utc)
            columns = (closing.c.number, closing.c.agreed, closing.c.compared, closing.c.differing)
            row = connection.execute(select(*columns).where(*here).order_by(closing.c.answered_at_utc.desc()).limit(1)).first()
            if row is not None and (each.row is None or tuple(each.row) != tuple(row)):
                each.row = row
                request.tell(f"{each.post.unit}: {_said(each)}")


def _said(each: _Asked) -> str:
    if each.row is None:
        return {
            None: "would be asked",
            Published.CONFIRMED: "asked; it has not stated its account yet",
            Published.RETURNED: "not asked: no link of its side takes what we send",
            Published.REFUSED: "not asked: our broker refuses",
            Published.LOST: "not asked: our broker does not answer",
        }[each.published]
    if each.row.agreed:
        return f"closing {each.row.number} agreed, {each.row.compared} blocks"
    return f"closing {each.row.number}: {each.row.differing} of {each.row.compared} blocks differ, the post heals what it can"


def _differences(connection: Connection) -> Mapping[str, Sequence[Differing]]:
    query = select(closing_difference).where(closing_difference.c.ended_at_utc.is_(None), closing_difference.c.what != "missing")
    key = (closing_difference.c.source, closing_difference.c.type, closing_difference.c.epoch, closing_difference.c.first)
    found: dict[str, list[Differing]] = defaultdict(list)
    for row in connection.execute(query.order_by(*key)):
        what = f"{row.what}: somewhere from {row.first} to {row.last}; the post names the ids"
        found[row.source].append(Differing(row.type, row.epoch, row.first, what, None, None, None, None, row.found_at_utc))
    return found


def _result(each: _Asked, settings: Settings, differences: Sequence[Differing]) -> Reconciled:
    number = each.row.number if each.ended else None
    return Reconciled(each.post.urn, settings.house_party.urn, each.ended, number, _said(each), differences=tuple(differences))
