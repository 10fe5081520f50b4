"""Telling fates back with the outbox and the national table both on PostgreSQL: through a table that is not there at first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text

from broker.outbox.store import Outbox
from broker.settings.sources import FatesBack
from deploy.lab.shared import PostgresAddress
from producers.fates.receivers import receiver_of
from producers.fates.teller import Teller
from tests.unit.outbox.drafts import POST, HandClock
from tests.unit.producers.test_fates import live, tell_all

DDL = """
CREATE TABLE panj_fate (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id text NOT NULL, fate text NOT NULL, reference text NOT NULL, version integer NOT NULL, event_type text NOT NULL,
    destination text NOT NULL, post text NOT NULL, at_utc text NOT NULL, problems text, UNIQUE (event_id, fate)
)
"""


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def outbox(url: str, clock: HandClock) -> Iterator[Outbox]:
    opened = Outbox.open(url, POST, "test", clock)
    yield opened
    opened.close()


def test_rows_are_told_once_each_though_the_database_was_not_there_at_first(
    outbox: Outbox, clock: HandClock, postgres: PostgresAddress
) -> None:
    with postgres.database() as national:
        receiver = receiver_of(FatesBack(database=national), POST.urn, clock)
        teller = Teller(outbox.tellings, receiver, clock, lambda: True)
        teller.turn()
        live(outbox, clock)
        tell_all(teller)  # there is no such table
        state = outbox.tellings.state()
        assert state is not None
        assert (state.on_the_way, "panj_fate" in (state.trouble or "")) == (10, True)
        engine = create_engine(national)
        with engine.begin() as connection:
            connection.execute(text(DDL))
        clock.turn(2)
        tell_all(teller)
        with engine.connect() as connection:
            found = connection.execute(text("SELECT reference, fate FROM panj_fate ORDER BY number")).all()
        assert len(found) == 10
        assert [fate for reference, fate in found if reference.endswith("/1")] == ["accepted", "relayed", "held", "refused"]
        receiver.close()
        engine.dispose()
