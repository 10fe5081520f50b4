"""Retention in the customs house, on both databases: agreed blocks leave for the archive, and never come back in."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from broker.archive import Archived
from consumers.loaders.record.tables import declaration as declaration_table
from consumers.pipeline import Pipeline
from consumers.retention import Retention
from consumers.tables import evidence, inbox, parked
from schemas.event import digest_of
from tests.integration.consumers.desk import ControlDesk
from tests.integration.consumers.frontier import HOUSE, Frontier, Post
from tests.integration.consumers.test_closing import answered, manifest, stream_of, taken_in

DAYS = 1_825


@pytest.fixture
def post(frontier: Frontier) -> Post:
    return frontier.new_post("panji-poyon")


@pytest.fixture
def desk(engine: Engine, frontier: Frontier, post: Post) -> ControlDesk:
    return ControlDesk(engine, frontier, post)


def retention(engine: Engine, years: int = 6) -> Retention:
    """As it looks so many years from now."""
    return Retention(engine, HOUSE, lambda: datetime.now(UTC) + timedelta(days=365 * years))


def prune(engine: Engine, archive: Path) -> list[Archived]:
    """All that may go, as the daemon does it."""
    going, gone = retention(engine), []
    while blocks := going.blocks(DAYS):
        gone += [each for block in blocks if (each := going.archive(block, archive)) is not None]
    going.sweep(DAYS)
    return gone


def count(engine: Engine, table: Any) -> int:
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def test_an_agreed_block_goes_when_it_is_old_and_the_record_stays(
    desk: ControlDesk, post: Post, pipeline: Pipeline, frontier: Frontier, engine: Engine, tmp_path: Path
) -> None:
    raws = taken_in(pipeline, frontier, post, 1_100)
    assert prune(engine, tmp_path) == []  # not agreed
    answered(desk, manifest(1, stream_of(raws)))
    assert retention(engine, years=1).blocks(DAYS) == []  # too young
    (gone,) = prune(engine, tmp_path)
    assert (gone.block.first, gone.block.last, gone.events) == (1, 1_000, 1_000)
    assert (count(engine, inbox), count(engine, declaration_table), count(engine, evidence)) == (100, 1_100, 1)
    assert gone.file is not None
    lines = [json.loads(line) for line in gzip.decompress(gone.file.read_bytes()).decode().splitlines()]
    assert [line["event"].encode() for line in lines if "event" in line] == raws[:1_000]
    assert len({line["jws"] for line in lines if "jws" in line}) == 2
    assert prune(engine, tmp_path) == []


def test_a_pruned_event_that_comes_again_is_parked_and_not_loaded(
    desk: ControlDesk, post: Post, pipeline: Pipeline, frontier: Frontier, engine: Engine, tmp_path: Path
) -> None:
    raws = _pruned(desk, post, pipeline, frontier, engine, tmp_path)
    answers = pipeline.process([frontier.delivery(post.bundle([raws[3], raws[1_050]]))])
    assert [answer.digest for answer in answers] == [digest_of(raws[1_050])]  # known still: its first fate again
    with engine.connect() as connection:
        assert connection.execute(select(parked.c.code)).scalars().all() == ["event-pruned"]
    assert count(engine, declaration_table) == 1_100


def test_the_same_declaration_in_another_event_is_loaded_already_and_another_content_is_refused(
    desk: ControlDesk, post: Post, pipeline: Pipeline, frontier: Frontier, engine: Engine, tmp_path: Path
) -> None:
    raws = _pruned(desk, post, pipeline, frontier, engine, tmp_path)
    kept = json.loads(raws[3])["data"]
    again = [post.event(kept), post.event(kept | {"consignee_name": "Somebody else"})]
    answers = pipeline.process([frontier.delivery(post.bundle(again))])
    fates = {answer.digest: answer.fate.value for answer in answers}
    assert [fates[digest_of(raw)] for raw in again] == ["LOADED", "REFUSED"]
    assert count(engine, declaration_table) == 1_100


def test_a_manifest_of_everything_still_agrees_and_one_of_another_block_does_not(
    desk: ControlDesk, post: Post, pipeline: Pipeline, frontier: Frontier, engine: Engine, tmp_path: Path
) -> None:
    raws = taken_in(pipeline, frontier, post, 1_100)
    _, digest = answered(desk, manifest(1, stream_of(raws)))
    prune(engine, tmp_path)
    stated = stream_of(raws)
    answer, digest = answered(desk, manifest(2, stated, previous=digest))
    assert answer.agreed
    stated["blocks"][0]["digest"] = stated["blocks"][1]["digest"]
    answer, _ = answered(desk, manifest(3, stated, previous=digest))
    assert [(each.first, each.archived) for each in answer.differences] == [(1, True)]


def _pruned(desk: ControlDesk, post: Post, pipeline: Pipeline, frontier: Frontier, engine: Engine, tmp_path: Path) -> Sequence[bytes]:
    raws = taken_in(pipeline, frontier, post, 1_100)
    answered(desk, manifest(1, stream_of(raws)))
    assert len(prune(engine, tmp_path)) == 1
    return raws
