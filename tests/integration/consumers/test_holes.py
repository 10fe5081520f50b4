"""Holes in streams as `panj status` tells them: pruned events are none, and a sender with a thousand lives does not hide the others."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, text

from broker.operations.contributions import Attention
from consumers.closing_tables import closing_stream
from consumers.holes import STREAMS_SHOWN, stock
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


def test_what_a_closing_agreed_to_is_counted_with_it_and_holes_above_it_are_told(
    pipeline: Pipeline, frontier: Frontier, engine: Engine, url: str, tmp_path: Path
) -> None:
    post = frontier.new_post("langar")
    raws = [post.event(declaration(f"a{number}")) for number in range(12)]
    raws[11] = post.event(declaration("a12", invoice_amount="-1"))  # refused; 12 was given and never sent
    first, later = frontier.delivery(post.bundle(raws[:8])), frontier.delivery(post.bundle([*raws[9:11], raws[11]]))
    pipeline.process([first, later])
    pipeline.process([first])

    def told() -> dict[str, object]:
        return {
            each.name: each.value
            for each in observe(settings_for(url, tmp_path))
            if each.name in ("loaded", "refused", "duplicates", "holes")
        }

    before = told()
    assert before == {"loaded": 10, "refused": 1, "duplicates": 8, "holes": 2}
    with engine.begin() as connection:
        row = {"source": post.party.urn, "type": EXPORT, "epoch": post.epoch, "number": 1, "first": 1, "last": 8}
        connection.execute(closing_stream.insert(), row)
    assert told() == before
    with engine.begin() as connection:
        connection.execute(closing_stream.insert(), {**row, "number": 2, "last": 11})  # agreed that nobody knows the event of 9
    assert told()["holes"] == 1


def test_what_came_since_the_last_closing_is_found_in_the_index_and_nothing_is_compiled_for_it(engine: Engine) -> None:
    asked = stock().compile(engine, compile_kwargs={"literal_binds": True})
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            assert connection.execute(text("SHOW jit")).scalar_one() == "off"
            for method in ("seqscan", "bitmapscan", "hashjoin", "mergejoin"):  # as the planner does by itself once there are many rows
                connection.execute(text(f"SET LOCAL enable_{method} = off"))
        explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
        plan = "\n".join(str(row) for row in connection.execute(text(f"{explain} {asked}")))
    assert "Index Only Scan using uq_inbox_place" in plan or "COVERING INDEX sqlite_autoindex_inbox" in plan, plan
    by_key = [line for line in plan.splitlines() if "Index Cond" in line and "sequence > marks.whole_to" in line and "type" in line]
    assert by_key or "(epoch=? AND type=? AND sequence>?)" in plan, plan
