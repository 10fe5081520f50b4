"""What the inbox reads to find out whether a batch came before."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, Engine, text

from consumers import inbox
from consumers.inbox import Place
from consumers.pipeline import Pipeline
from tests.integration.consumers.frontier import EXPORT, HOUSE, Frontier, declaration

BATCH = 100


def _rows_read(connection: Connection) -> int:
    query = text("SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'inbox'")
    return int(connection.execute(query).scalar_one())


def test_a_place_is_found_wherever_it_stands_in_its_stream_and_only_there(engine: Engine, pipeline: Pipeline, frontier: Frontier) -> None:
    post, other = frontier.new_post("panji-poyon"), frontier.new_post("ishkoshim")
    events = [post.event(declaration(f"i{number}", items=1)) for number in range(5)]
    answers = pipeline.process([frontier.delivery(post.bundle(events))])
    places: list[Place] = [(post.party.urn, HOUSE.urn, EXPORT, post.epoch, sequence) for sequence in (2, 5, 6)]
    with engine.connect() as connection:
        found = inbox.look_up(connection, [], [*places, (other.party.urn, HOUSE.urn, EXPORT, other.epoch, 1)])
        both = inbox.look_up(connection, [answers[1].event_id, answers[0].event_id], places)
    assert sorted(row.place[-1] for row in found) == [2, 5]
    assert sorted(row.place[-1] for row in both) == [1, 2, 5]


def test_what_a_batch_looks_up_does_not_grow_with_its_stream(engine: Engine, pipeline: Pipeline, frontier: Frontier) -> None:
    if engine.dialect.name != "postgresql":
        pytest.skip("SQLite takes a list as so many probes of the key")
    post = frontier.new_post("panji-poyon")
    for first in range(0, 10 * BATCH, BATCH):
        events = [post.event(declaration(f"g{first + number}", items=1)) for number in range(BATCH)]
        pipeline.process([frontier.delivery(post.bundle(events))])
    coming: list[Place] = [(post.party.urn, HOUSE.urn, EXPORT, post.epoch, 10 * BATCH + number) for number in range(1, BATCH + 1)]
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL plan_cache_mode = force_generic_plan"))  # as a worker has it after some batches
        before = _rows_read(connection)
        assert inbox.look_up(connection, [], coming) == []
        assert _rows_read(connection) - before <= BATCH
