"""The measuring instrument of `make bench` itself: a round whose work was not done ends it, a copy loads once, no stage counts twice."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count

import psycopg
import pytest
from psycopg.errors import UniqueViolation
from sqlalchemy import create_engine

from consumers import migrations
from consumers.context import ReceivedEvent
from schemas import content
from schemas.event import new_epoch, new_id
from tests.benchmarks.ours import Pace, reads
from tests.benchmarks.peers.checking import Kept, Wanted
from tests.benchmarks.peers.houses import CONNECT, COUNT_DUPLICATE, statement_of
from tests.benchmarks.stages import Stages

SEED, DECLARATIONS = 7, 40


@pytest.fixture
def house(postgres_url: str) -> Iterator[psycopg.Connection]:
    """The session of a peer's house."""
    engine = create_engine(postgres_url)
    migrations.make_ready(engine)
    engine.dispose()
    with psycopg.connect(postgres_url.replace("+psycopg", "", 1), **CONNECT) as session:
        yield session


def events() -> list[ReceivedEvent]:
    epoch, now, sequence = new_epoch(), datetime.now(UTC), count(1)
    return [
        ReceivedEvent(
            id=new_id(),
            type=read.type,
            source="urn:customs:tj:panji-poyon",
            destination="urn:customs:af:customs",
            epoch=epoch,
            sequence=next(sequence),
            reference=(data := content.validate(read.type, read.data)).reference,
            version=data.version,
            accepted_at_utc=now,
            received_at_utc=now,
            purpose="customs-control",
            legal_basis="a protocol",
            digest=hashlib.sha256(str(read.data).encode()).digest(),
            content=content.content_digest(read.data),
            raw=b"{}",
            data=data,
        )
        for read in reads(DECLARATIONS, SEED)
    ]


def kept_of(event: ReceivedEvent) -> Kept:
    return event.reference, event.version, event.content, len(getattr(event.data, "items", ()))


def test_what_a_peer_loads_is_compared_row_by_row_with_what_was_sent(house: psycopg.Connection, postgres_url: str) -> None:
    address, sent = postgres_url.replace("+psycopg", "", 1), events()
    wanted = Wanted(frozenset(kept_of(event) for event in sent), f"%/{SEED:04}%")
    for event in sent[:-1]:
        house.execute(*statement_of(event, "signature"))
    with pytest.raises(SystemExit, match=f"it did not do the work: 1 of {DECLARATIONS} are missing, 0 are not what was sent"):
        wanted.check("it", address)
    house.execute(*statement_of(sent[-1], "signature"))
    wanted.check("it", address, duplicates=0)
    with pytest.raises(SystemExit, match="came openly"):
        wanted.check("it", address, encrypted=True)
    house.execute(
        "DELETE FROM declaration_item WHERE number = 3 AND event_id = (SELECT event_id FROM declaration_item WHERE number = 3 LIMIT 1)"
    )
    with pytest.raises(SystemExit, match=f"1 of {DECLARATIONS} are missing, 1 are not what was sent"):
        wanted.check("it", address)


def test_a_copy_loads_nothing_and_is_counted(house: psycopg.Connection, postgres_url: str) -> None:
    sent = events()
    wanted = Wanted(frozenset(kept_of(event) for event in sent), f"%/{SEED:04}%")
    for event in sent:
        house.execute(*statement_of(event, "signature"))
    with pytest.raises(UniqueViolation):
        house.execute(*statement_of(sent[0], "signature"))
    assert house.execute(COUNT_DUPLICATE, (sent[0].id, sent[0].digest)).rowcount == 1
    wanted.check("it", postgres_url.replace("+psycopg", "", 1), duplicates=1)


def test_a_stage_keeps_only_what_no_inner_stage_takes_and_leaves_all_as_it_was() -> None:
    before = content.content_digest
    stages = Stages(
        {"schemas.content:content_digest": "outer", "schemas.content:canonical_bytes": "inner", "schemas.content:gone": "never"}
    )
    data, begun = {"items": list(range(20_000))}, time.thread_time()
    for _ in range(50):
        content.content_digest(data)
    whole = time.thread_time() - begun
    cost = stages.cost()
    stages.remove()
    assert content.content_digest is before
    assert stages.missing == ["schemas.content:gone"]
    assert (cost["outer"][1], cost["inner"][1]) == (50, 50)
    assert cost["inner"][0] > 0
    assert cost["outer"][0] + cost["inner"][0] <= whole


def test_cpu_per_declaration_is_counted_between_looks_that_saw_progress() -> None:
    pace = Pace()
    for done, seconds in ((0, 1.0), (0, 1.1), (1_000, 1.2), (1_000, 9.0), (2_000, 1.4)):
        pace.note(done, {"post": seconds})
    assert pace.cpu_us() == {"post": pytest.approx(200.0)}
