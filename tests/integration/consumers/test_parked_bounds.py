"""How much a stranger can make the house keep: rows that are closed again and again, and claims by the thousand, are bounded too."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine, func, select

from broker.bundle.lines import join
from broker.ports import Message
from consumers.pipeline import Pipeline
from consumers.tables import parked, parked_event
from schemas.event import new_id
from tests.integration.consumers.frontier import Frontier, declaration


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.parked.OPEN_ROWS", 5)
    monkeypatch.setattr("consumers.parked.TOTAL_BYTES", 100_000)


def spoiled(message: Message, raw: bytes, number: int) -> Message:
    return replace(message, body=join([raw]), content_encoding=None, headers={**message.headers, "jws": f"a..{number}"})


def test_rows_that_are_closed_by_what_comes_are_forgotten_oldest_first(pipeline: Pipeline, frontier: Frontier, engine: Engine) -> None:
    raw = frontier.post.event(declaration("closed"))
    honest = frontier.post.bundle([raw])
    for turn in range(5):
        pipeline.process([frontier.delivery(spoiled(honest, raw, 10 * turn + number)) for number in range(4)])
        pipeline.process([frontier.delivery(honest)])
    with engine.connect() as connection:
        rows = connection.execute(select(parked.c.closed_at_utc, parked.c.headers)).all()
        claims = connection.execute(select(func.count()).select_from(parked_event)).scalar_one()
    assert 5 <= len(rows) <= 9
    assert all(row.closed_at_utc is not None for row in rows)
    assert {row.headers["jws"] for row in rows} >= {f"a..{40 + number}" for number in range(4)}
    assert claims == len(rows)


def test_the_ids_that_a_message_claims_count_towards_what_is_kept(pipeline: Pipeline, frontier: Frontier, engine: Engine) -> None:
    honest = frontier.post.bundle([frontier.post.event(declaration("claims"))])
    for number in range(5):
        body = join([b'{"id":"%s"}' % new_id().encode() for _ in range(400)])
        message = replace(honest, body=body, content_encoding=None, headers={**honest.headers, "jws": f"a..{number}"})
        pipeline.process([frontier.delivery(message)])
    with engine.connect() as connection:
        rows, kept = connection.execute(select(func.count(), func.sum(parked.c.kept_bytes)).select_from(parked)).one()
        claims = connection.execute(select(func.count()).select_from(parked_event)).scalar_one()
    assert rows == 5
    assert kept <= 100_000
    assert claims in (400, 800)
