"""Control events that a post with a good key says to do harm: none of them ends the worker on which all beacons depend."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, select

from broker.bundle.pack import Route
from consumers.tables import parked
from schemas.event import event_bytes, new_id, new_salt, schema_of, utc_text
from schemas.names import EventType
from tests.integration.consumers.desk import ControlDesk
from tests.integration.consumers.frontier import HOUSE, Frontier
from tests.unit.bundle.senders import signed_anyhow


@pytest.fixture
def desk(engine: Engine, frontier: Frontier) -> ControlDesk:
    return ControlDesk(engine, frontier, frontier.new_post("panji-poyon"))


def codes(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(select(parked.c.code).order_by(parked.c.code)).scalars())


@pytest.mark.parametrize(
    "sent_at", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00", "0000-00-00T00:00:00Z", "9998-12-31T00:00:00+99:00"]
)
def test_a_beacon_from_the_ends_of_the_calendar_is_parked_and_the_next_one_comes_home(
    engine: Engine, desk: ControlDesk, sent_at: str
) -> None:
    desk.say(EventType.BEACON, {"mark": 1, "sent_at": sent_at})
    desk.beacon(2)
    assert [home.event.data["mark"] for home in desk.heard()] == [2]
    assert codes(engine) == ["field-invalid"]


def test_an_entry_that_is_no_event_is_parked_and_the_others_of_its_bundle_are_answered(engine: Engine, desk: ControlDesk) -> None:
    deliver(desk, [b"{}", beacon(desk, 1), b'{"a":NaN}', beacon(desk, 2)])
    assert [home.event.data["mark"] for home in desk.heard()] == [2]
    assert codes(engine) == ["field-missing", "json-number"]


def test_five_hundred_beacons_in_one_bundle_are_answered_once(desk: ControlDesk) -> None:
    deliver(desk, [beacon(desk, mark) for mark in range(1, 501)])
    assert [home.event.data["mark"] for home in desk.heard()] == [500]


def beacon(desk: ControlDesk, mark: int) -> bytes:
    now = utc_text(datetime.now(UTC))
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": new_id(),
        "source": desk.post.party.urn,
        "type": EventType.BEACON.value,
        "subject": "beacon",
        "time": now,
        "dataschema": schema_of(EventType.BEACON.value),
        "destination": HOUSE.urn,
        "environment": "test",
        "purpose": "exchange-control",
        "legalbasis": "protocol",
        "salt": new_salt(),
        "data": {"mark": mark, "sent_at": now},
    }
    return event_bytes(attributes)


def deliver(desk: ControlDesk, raws: list[bytes]) -> None:
    route = Route(desk.post.party, HOUSE, EventType.BEACON.value)
    desk.deliver(signed_anyhow(raws, route, desk.post.identity, datetime.now(UTC)))
