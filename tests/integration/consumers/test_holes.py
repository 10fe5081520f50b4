"""Holes in streams as `panj status` tells them: pruned events are none, and a sender with a thousand lives does not hide the others."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, text

from broker.operations.contributions import Attention
from consumers.holes import STREAMS_SHOWN
from consumers.operations import observe
from consumers.pipeline import Pipeline
from schemas.event import new_epoch
from tests.integration.consumers.frontier import EXPORT, Frontier, declaration
from tests.integration.consumers.test_operations import settings_for


def test_what_was_pruned_is_no_hole(pipeline: Pipeline, frontier: Frontier, engine: Engine, url: str, tmp_path: Path) -> None:
    post = frontier.new_post("langar")
    pipeline.process([frontier.delivery(post.bundle([post.event(declaration(f"h{number}")) for number in range(6)]))])
    with engine.begin() as connection:
        connection.execute(text("UPDATE stream SET pruned_to = 4"))
        connection.execute(text("DELETE FROM inbox WHERE sequence <= 4"))
    readings = {(reading.subject, reading.name): reading for reading in observe(settings_for(url, tmp_path))}
    found = readings[(f"{post.party.urn} {EXPORT} {post.epoch}", "holes")]
    assert (found.value, found.attention) == (0, Attention.FINE)


def test_many_streams_are_told_in_few_lines_those_with_holes_first(
    pipeline: Pipeline, frontier: Frontier, url: str, tmp_path: Path
) -> None:
    honest, hostile = frontier.new_post("langar"), frontier.new_post("panji-poyon")
    honest.event(declaration("lost-1"))
    honest.event(declaration("lost-2"))
    honest.event(declaration("lost-3"))
    pipeline.process([frontier.delivery(honest.bundle([honest.event(declaration("here"))]))])
    events = [hostile.event(declaration(f"l{number}"), epoch=new_epoch(), sequence=1 + number % 2) for number in range(200)]
    pipeline.process([frontier.delivery(hostile.bundle(events))])
    readings = [reading for reading in observe(settings_for(url, tmp_path)) if "holes" in reading.name]
    assert len(readings) == STREAMS_SHOWN + 1
    assert readings[0].subject == f"{honest.party.urn} {EXPORT} {honest.epoch}"
    assert (readings[0].value, readings[0].attention) == (3, Attention.WATCH)
    assert readings[-1].name == "holes in further streams"
    assert sum(reading.value for reading in readings if isinstance(reading.value, int)) == 3 + 100
