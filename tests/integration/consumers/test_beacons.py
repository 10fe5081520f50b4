"""Beacons come home from the house with how far it holds the post's epoch."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Engine, text

from consumers.inbox import highest_of
from consumers.pipeline import Pipeline
from schemas.event import new_epoch
from tests.integration.consumers.conftest import Hands
from tests.integration.consumers.desk import ControlDesk
from tests.integration.consumers.frontier import CROSSING, Frontier, crossing, declaration


def test_a_beacon_comes_home_with_the_highest_sequence_held_of_its_epoch(pipeline: Pipeline, frontier: Frontier, engine: Engine) -> None:
    post = frontier.new_post("panji-poyon")
    desk = ControlDesk(engine, frontier, post)
    desk.beacon(1, epoch=post.epoch)
    (home,) = desk.heard()
    assert (home.event.data["epoch"], home.event.data["highest"]) == (post.epoch, 0)
    events = [post.event(declaration(f"b{number}")) for number in range(3)]
    pipeline.process([frontier.delivery(post.bundle(events))])
    pipeline.process([frontier.delivery(post.bundle([post.event(crossing("b", "arrived", "b1"), CROSSING)], CROSSING))])
    desk.beacon(2, epoch=post.epoch)
    desk.beacon(3, epoch=new_epoch())
    desk.beacon(4)
    answers = {home.event.data["mark"]: home.event.data.get("highest") for home in desk.heard()}
    assert answers == {2: 3, 3: 0, 4: None}


def test_a_beacon_comes_home_with_the_epochs_that_the_house_knows_of_the_post(
    pipeline: Pipeline, frontier: Frontier, engine: Engine, clock: Hands
) -> None:
    post, other = frontier.new_post("panji-poyon"), frontier.new_post("ishkoshim")
    desk = ControlDesk(engine, frontier, post)

    def epochs() -> list[str]:
        desk.beacon(1, epoch=post.epoch)
        (home,) = desk.heard()
        found: list[str] = home.event.data["epochs"]
        return found

    pipeline.process([frontier.delivery(other.bundle([other.event(declaration("e0"))]))])
    assert epochs() == []
    pipeline.process([frontier.delivery(post.bundle([post.event(declaration("e1"))]))])
    assert epochs() == [post.epoch]
    clock.ahead += timedelta(seconds=1)
    again = frontier.new_post("panji-poyon")
    pipeline.process([frontier.delivery(again.bundle([again.event(declaration("e2"))]))])
    assert epochs() == [again.epoch, post.epoch]


def test_the_highest_sequence_is_one_step_in_the_index(engine: Engine, pipeline: Pipeline, frontier: Frontier) -> None:
    post = frontier.new_post("panji-poyon")
    for first in range(0, 1_500, 500):
        events = [post.event(declaration(f"p{first + number}", items=1)) for number in range(500)]
        pipeline.process([frontier.delivery(post.bundle(events))])
    asked = highest_of(post.party.urn, post.epoch).compile(engine, compile_kwargs={"literal_binds": True})
    explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN (ANALYZE, BUFFERS OFF, TIMING OFF)"
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL enable_seqscan = off"))  # what the planner does once there are millions of rows
        plan = "\n".join(str(row) for row in connection.execute(text(f"{explain} {asked}")))
    assert "uq_inbox_place" in plan or "sqlite_autoindex_inbox" in plan, plan
    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan
    if engine.dialect.name == "sqlite":
        assert "COVERING INDEX" in plan, plan
    else:
        assert "Index Only Scan" in plan, plan
        assert "rows=1 " in plan, plan
